//! Kernel modules: which files, in which order, and as bytes that any kernel loads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::GuestError;

/// The modules of one kernel.
#[derive(Debug, Clone)]
pub struct Modules {
    version: String,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// A module as it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The relocatable object, not compressed.
    pub object: Vec<u8>,
}

/// A module's name from its file's: `nf-log_x.ko.xz` is `nf_log_x`.
fn name_of(file: &str) -> Option<String> {
    let stem = ["", ".xz", ".zst", ".gz"]
        .iter()
        .find_map(|packed| file.strip_suffix(&format!(".ko{packed}")))?;
    Some(stem.replace('-', "_"))
}

impl Modules {
    /// Lists `lib/modules/<version>`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(version: &str, folder: &Path) -> Result<Self, GuestError> {
        let mut files = BTreeMap::new();
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            let entries = fs::read_dir(&folder).map_err(GuestError::file("read", &folder))?;
            for entry in entries.flatten() {
                let kind = entry.file_type().ok();
                if kind.is_some_and(|k| k.is_dir()) {
                    open.push(entry.path());
                } else if let Some(name) = name_of(&entry.file_name().to_string_lossy()) {
                    files.insert(name, entry.path());
                }
            }
        }
        // A kernel that has everything built in ships no such file.
        let text = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        let builtin = text
            .lines()
            .filter_map(|l| name_of(l.rsplit('/').next()?))
            .collect();
        Ok(Self {
            version: version.to_owned(),
            files,
            builtin,
        })
    }

    /// Whether the kernel has it, as a module or built in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.builtin.contains(name) || self.files.contains_key(name)
    }

    /// The modules of `wanted` and all that they depend on, dependencies first; what is built in is left
    /// out. Dependencies are the `depends=` of each module's `.modinfo`.
    ///
    /// # Errors
    /// The kernel lacks one, or a file cannot be read.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<Module>, GuestError> {
        let mut done = BTreeSet::new();
        let mut order = Vec::new();
        for name in wanted {
            self.visit(name, &mut done, &mut order)?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        done: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), GuestError> {
        let name = name.replace('-', "_");
        if self.builtin.contains(&name) || !done.insert(name.clone()) {
            return Ok(());
        }
        let path = self.files.get(&name).ok_or_else(|| GuestError::NoModule {
            version: self.version.clone(),
            module: name.clone(),
        })?;
        let object = unpacked(path)?;
        let info = Info::of(path, &object)?;
        if info.built_for != self.version {
            return Err(GuestError::OtherKernel {
                path: path.clone(),
                built_for: info.built_for,
                version: self.version.clone(),
            });
        }
        for dependency in info.depends {
            self.visit(&dependency, done, order)?;
        }
        order.push(Module { name, object });
        Ok(())
    }
}

/// A module's object, whatever it is packed with.
fn unpacked(path: &Path) -> Result<Vec<u8>, GuestError> {
    let data = fs::read(path).map_err(GuestError::file("read", path))?;
    let mut object = Vec::new();
    let read = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => liblzma::read::XzDecoder::new(&*data).read_to_end(&mut object),
        Some("gz") => flate2::read::GzDecoder::new(&*data).read_to_end(&mut object),
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(&*data)
            .map_err(std::io::Error::other)
            .and_then(|mut decoder| decoder.read_to_end(&mut object)),
        _ => return Ok(data),
    };
    read.map_err(GuestError::file("unpack", path))?;
    Ok(object)
}

/// What a module says of itself in `.modinfo`: NUL-separated `key=value` strings (`scripts/mod/modpost.c`,
/// Linux 6.12).
struct Info {
    /// `depends=`: modules that it needs.
    depends: Vec<String>,
    /// The first word of `vermagic=`: the release of its kernel (`include/linux/vermagic.h`).
    built_for: String,
}

impl Info {
    fn of(path: &Path, object: &[u8]) -> Result<Self, GuestError> {
        use object::{Object as _, ObjectSection as _};
        let bad = |reason: String| GuestError::Foreign {
            path: path.to_owned(),
            reason,
        };
        let file =
            object::File::parse(object).map_err(|e| bad(format!("no kernel module: {e}")))?;
        let section = file
            .section_by_name(".modinfo")
            .ok_or_else(|| bad("no kernel module: it has no .modinfo".to_owned()))?;
        let data = section.data().map_err(|e| bad(e.to_string()))?;
        let value = |key: &[u8]| {
            let mut entries = data.split(|b| *b == 0);
            let found = entries.find_map(|entry| entry.strip_prefix(key));
            String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
        };
        let depends = value(b"depends=");
        let named = depends.split(',').filter(|n| !n.is_empty());
        let vermagic = value(b"vermagic=");
        Ok(Self {
            depends: named.map(str::to_owned).collect(),
            built_for: vermagic.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_dash_and_no_packing() {
        assert_eq!(name_of("nf-log.ko.xz").as_deref(), Some("nf_log"));
        assert_eq!(name_of("veth.ko").as_deref(), Some("veth"));
        assert_eq!(name_of("modules.builtin"), None);
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("modules.builtin"),
            "kernel/net/core/builtin.ko\n",
        )
        .unwrap();
        let modules = Modules::list("1.2.3", dir.path()).unwrap();
        assert_eq!(modules.closure(&["builtin"]).unwrap(), []);
        let error = modules.closure(&["ip_vs"]).unwrap_err().to_string();
        assert!(
            error.contains("ip_vs") && error.contains("1.2.3"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_no_module_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("odd.ko"), "text").unwrap();
        let modules = Modules::list("1.2.3", dir.path()).unwrap();
        assert!(modules.closure(&["odd"]).is_err());
    }
}
