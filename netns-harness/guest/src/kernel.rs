//! A kernel that can be booted: an x86 bzImage and the modules that belong to it.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::GuestError;
use crate::modules::Modules;

/// The setup header lies in the first sector but one, and the release at most 64 KiB behind it.
const HEADER_BYTES: u64 = 0x2_0000;

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub version: String,
    /// The bzImage.
    pub image: PathBuf,
    /// The folder `lib/modules/<version>`.
    pub modules: PathBuf,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a kernel came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is the one that runs here.
    Host,
    /// The user named its image.
    Path,
    /// A package of the distribution.
    Package {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the running kernel's files"),
            Self::Path => f.write_str("a file"),
            Self::Package { name, version } => write!(f, "package {name} {version}"),
        }
    }
}

impl Kernel {
    /// The kernel in the file `image`. Its modules are looked for in `<folder of the image>/../lib/modules`
    /// and in `/lib/modules`, by the release that the image names.
    ///
    /// # Errors
    /// It is no kernel image, or its modules are nowhere.
    pub fn from_image(image: &Path) -> Result<Self, GuestError> {
        let version = release(image)?;
        let beside = image.parent().and_then(Path::parent).map(Path::to_path_buf);
        let roots = beside.into_iter().chain([PathBuf::from("/")]);
        let folders: Vec<PathBuf> = roots
            .flat_map(|r| ["lib/modules", "usr/lib/modules"].map(|m| r.join(m).join(&version)))
            .collect();
        match folders.iter().find(|f| f.is_dir()) {
            Some(modules) => Ok(Self {
                version,
                image: image.to_owned(),
                modules: modules.clone(),
                origin: Origin::Path,
            }),
            None => Err(GuestError::NoKernel(format!(
                "{} is Linux {version}, but its modules are not in {}: put them there, or name a package: --kernel 6.1",
                image.display(),
                folders[0].display()
            ))),
        }
    }

    /// The running kernel's image and modules, where distributions install them: `/boot/vmlinuz-RELEASE`
    /// (Debian, Ubuntu, SUSE) or `/lib/modules/RELEASE/vmlinuz` (Fedora, Arch).
    ///
    /// # Errors
    /// They are not installed.
    pub fn host() -> Result<Self, GuestError> {
        let running = nix::sys::utsname::uname().map_or_else(
            |_| String::new(),
            |u| u.release().to_string_lossy().into_owned(),
        );
        let places = [
            format!("/boot/vmlinuz-{running}"),
            format!("/lib/modules/{running}/vmlinuz"),
        ];
        let Some(image) = places.iter().map(Path::new).find(|p| p.is_file()) else {
            return Err(GuestError::NoKernel(format!(
                "the running kernel's image is not installed ({}): name another: --kernel 6.1",
                places.join(" or ")
            )));
        };
        let kernel = Self::from_image(image)?;
        Ok(Self {
            origin: Origin::Host,
            ..kernel
        })
    }

    /// Its modules.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list_modules(&self) -> Result<Modules, GuestError> {
        Modules::list(&self.version, &self.modules)
    }
}

/// The release that an x86 image names: `kernel_version` of the setup header
/// (`Documentation/arch/x86/boot.rst`, Linux 6.12).
fn release(image: &Path) -> Result<String, GuestError> {
    let foreign = || GuestError::Foreign {
        path: image.to_owned(),
        reason: "not a kernel image (x86 bzImage): name a vmlinuz file, or a package: --kernel 6.1"
            .to_owned(),
    };
    let about = fs::metadata(image).map_err(GuestError::file("read", image))?;
    if !about.is_file() {
        return Err(foreign());
    }
    let mut data = Vec::new();
    let file = fs::File::open(image).map_err(GuestError::file("read", image))?;
    file.take(HEADER_BYTES)
        .read_to_end(&mut data)
        .map_err(GuestError::file("read", image))?;
    if data.get(0x202..0x206) != Some(b"HdrS") {
        return Err(foreign());
    }
    let low = *data.get(0x20e).ok_or_else(foreign)?;
    let high = *data.get(0x20f).ok_or_else(foreign)?;
    let at = usize::from(u16::from_le_bytes([low, high])) + 0x200;
    let text = data.get(at..).ok_or_else(foreign)?;
    let end = text
        .iter()
        .position(|b| *b == b' ' || *b == 0)
        .filter(|end| (1..=128).contains(end))
        .ok_or_else(foreign)?;
    String::from_utf8(text[..end].to_vec()).map_err(|_| foreign())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The beginning of an image: enough for its release to be read.
    pub(crate) fn image(version: &str) -> Vec<u8> {
        let mut data = vec![0; 0x400];
        data[0x202..0x206].copy_from_slice(b"HdrS");
        data[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        let text = format!("{version} (builder@host) #1 SMP\0");
        data[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        data
    }

    #[test]
    fn the_release_comes_from_the_image_and_the_modules_from_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("lib/modules/6.9.0-x");
        fs::create_dir_all(&modules).unwrap();
        fs::create_dir_all(dir.path().join("boot")).unwrap();
        let path = dir.path().join("boot/vmlinuz");
        fs::write(&path, image("6.9.0-x")).unwrap();
        let kernel = Kernel::from_image(&path).unwrap();
        assert_eq!(
            (kernel.version.as_str(), kernel.modules, kernel.origin),
            ("6.9.0-x", modules, Origin::Path)
        );
    }

    #[test]
    fn a_file_that_is_no_image_and_an_image_without_modules_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vmlinuz");
        fs::write(&path, "hello").unwrap();
        let error = Kernel::from_image(&path).unwrap_err().to_string();
        assert!(error.contains("not a kernel image"), "{error}");
        let error = Kernel::from_image(dir.path()).unwrap_err().to_string();
        assert!(error.contains("not a kernel image"), "{error}");
        fs::write(&path, image("0.0.1-none")).unwrap();
        let error = Kernel::from_image(&path).unwrap_err().to_string();
        assert!(error.contains("modules"), "{error}");
    }
}
