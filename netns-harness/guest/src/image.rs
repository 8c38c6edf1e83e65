//! The initramfs of a guest: the runner's own binary as the first process, the tools that modes need with
//! their libraries, and just the modules that they need.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::GuestError;
use crate::cpio::Archive;
use crate::elf;
use crate::kernel::Kernel;

/// Without these there is no way to talk to the guest.
const REQUIRED: &[&str] = &["virtio_mmio", "virtio_console"];

/// What labs, modes and traffic use, as far as the kernel has it: a mode whose module is missing says so
/// when it is tried.
pub fn wanted() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("modules.txt").lines();
    lines.filter(|line| !line.starts_with('#'))
}

/// Tools that modes start, as far as they are installed here.
pub const TOOLS: &[&str] = &[
    "iptables-legacy",
    "iptables-legacy-restore",
    "iptables-legacy-save",
    "iptables-nft",
    "iptables-nft-restore",
    "iptables-nft-save",
    "ip6tables-legacy",
    "ip6tables-legacy-restore",
    "ip6tables-legacy-save",
    "ip6tables-nft",
    "ip6tables-nft-restore",
    "ip6tables-nft-save",
    "ip",
    "ipset",
    "ipvsadm",
    "ipvsadm-restore",
    "ipvsadm-save",
    "nft",
];

/// Where tools are looked for, here and in the guest.
const PROGRAM_FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Name lookups that tools make: `protocols(5)`, `nsswitch.conf(5)`.
const PROTOCOLS: &str = "ip\t0\tIP\nicmp\t1\tICMP\ntcp\t6\tTCP\nudp\t17\tUDP\nsctp\t132\tSCTP\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nprotocols: files\nservices: files\n";

/// Order of loading, in the guest.
pub(crate) const MODULE_LIST: &str = "/modules/order";

/// What an initramfs was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Tools that are in it, by name.
    pub tools: Vec<String>,
    /// Tools that are not installed here.
    pub missing_tools: Vec<String>,
    /// Modules, in the order of loading.
    pub modules: Vec<String>,
    /// Modules that the kernel lacks.
    pub missing_modules: Vec<String>,
    /// Its size, bytes.
    pub bytes: u64,
}

/// Writes an initramfs for `kernel` to `out`, with the program `runner` as the first process. Equal inputs
/// give equal bytes.
///
/// # Errors
/// A file cannot be read or written, the kernel lacks virtio, or a tool's library is missing.
pub fn build(runner: &Path, kernel: &Kernel, out: &Path) -> Result<Contents, GuestError> {
    build_with(runner, &[], &[], kernel, out)
}

/// As [`build`], with further programs and their libraries: where each is in the guest, and its file here. A folder comes as
/// it is, with its links, and brings no library of this system. Modules of these names are loaded beside those of every guest.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    runner: &Path,
    further: &[(&Path, &Path)],
    modules: &[&str],
    kernel: &Kernel,
    out: &Path,
) -> Result<Contents, GuestError> {
    let file = fs::File::create(out).map_err(GuestError::file("make", out))?;
    let mut image = Image {
        archive: Archive::new(io::BufWriter::new(file)),
        path: out.to_owned(),
    };
    for folder in ["/proc", "/sys", "/dev", "/run", "/tmp", "/var"] {
        image.write(|a| a.folder(folder))?;
    }
    // A merged /usr: programs and plug-ins are found by either name, as here.
    for folder in ["/bin", "/sbin", "/lib", "/lib64"] {
        if let Ok(to) = fs::read_link(folder) {
            let to = to.display().to_string();
            image.write(|a| a.link(folder, &to))?;
        }
    }
    // The kernel opens it for the first process before anything is mounted.
    image.write(|a| a.device("/dev/console", 0o600, 5, 1))?;
    image.write(|a| a.file("/etc/protocols", 0o644, PROTOCOLS.as_bytes()))?;
    image.write(|a| a.file("/etc/nsswitch.conf", 0o644, NSSWITCH.as_bytes()))?;
    let (tools, missing_tools) = image.programs(runner, further)?;
    let (modules, missing_modules) = image.modules(kernel, modules)?;
    image.write_last()?;
    let bytes = fs::metadata(out)
        .map_err(GuestError::file("read", out))?
        .len();
    Ok(Contents {
        tools,
        missing_tools,
        modules,
        missing_modules,
        bytes,
    })
}

struct Image {
    archive: Archive<io::BufWriter<fs::File>>,
    path: PathBuf,
}

impl Image {
    fn write(
        &mut self,
        act: impl FnOnce(&mut Archive<io::BufWriter<fs::File>>) -> io::Result<()>,
    ) -> Result<(), GuestError> {
        act(&mut self.archive).map_err(GuestError::file("write", &self.path))
    }

    fn write_last(self) -> Result<(), GuestError> {
        let written = self.archive.finish().and_then(|out| {
            out.into_inner()
                .map_err(io::IntoInnerError::into_error)
                .map(|_| ())
        });
        written.map_err(GuestError::file("write", self.path))
    }

    /// A program or library, without what only a debugger reads.
    fn program(&mut self, at: &Path, from: &Path) -> Result<(), GuestError> {
        let data = fs::read(from).map_err(GuestError::file("read", from))?;
        let data = elf::loaded(from, data)?;
        let at = whole(at).display().to_string();
        if self.archive.holds(&at) {
            return Ok(());
        }
        self.write(|a| a.file(&at, 0o755, &data))
    }

    /// The runner, the tools, iptables' plug-ins, further programs, and every library of theirs.
    fn programs(
        &mut self,
        runner: &Path,
        further: &[(&Path, &Path)],
    ) -> Result<(Vec<String>, Vec<String>), GuestError> {
        let (mut tools, mut missing) = (Vec::new(), Vec::new());
        let mut programs = vec![runner.to_owned()];
        for (at, from) in further {
            if from.is_dir() {
                self.tree(at, from)?;
                continue;
            }
            self.program(at, from)?;
            programs.push((*from).to_owned());
        }
        for tool in TOOLS {
            let found = PROGRAM_FOLDERS
                .iter()
                .map(|folder| Path::new(folder).join(tool))
                .find(|path| path.is_file());
            match found.and_then(|path| path.canonicalize().ok()) {
                // A script, as ipvsadm-save is, needs a shell, which the guest has not.
                Some(real) if is_elf(&real) => {
                    let link = format!("/usr/sbin/{tool}");
                    let to = whole(&real).display().to_string();
                    self.program(&real, &real)?;
                    if link != to {
                        self.write(|a| a.link(&link, &to))?;
                    }
                    tools.push((*tool).to_owned());
                    programs.push(real);
                }
                _ => missing.push((*tool).to_owned()),
            }
        }
        for plugin in plugins() {
            self.program(&plugin, &plugin)?;
            programs.push(plugin);
        }
        self.program(Path::new("/init"), runner)?;
        let libraries: BTreeMap<PathBuf, PathBuf> = elf::closure(&programs)?;
        for (at, from) in &libraries {
            self.program(at, from)?;
        }
        Ok((tools, missing))
    }

    /// A folder with all that is in it.
    fn tree(&mut self, at: &Path, from: &Path) -> Result<(), GuestError> {
        let entries = fs::read_dir(from).map_err(GuestError::file("read", from))?;
        let mut entries: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        entries.sort();
        for path in entries {
            let at = at.join(path.file_name().unwrap_or_default());
            if let Ok(to) = fs::read_link(&path) {
                self.write(|a| a.link(&at.display().to_string(), &to.display().to_string()))?;
            } else if path.is_dir() {
                self.tree(&at, &path)?;
            } else if is_elf(&path) {
                self.program(&at, &path)?;
            }
        }
        Ok(())
    }

    fn modules(
        &mut self,
        kernel: &Kernel,
        further: &[&str],
    ) -> Result<(Vec<String>, Vec<String>), GuestError> {
        let modules = kernel.list_modules()?;
        let mut all: Vec<&str> = wanted().collect();
        all.extend_from_slice(further);
        let (wanted, missing): (Vec<&str>, Vec<&str>) =
            all.into_iter().partition(|m| modules.has(m));
        let all: Vec<&str> = REQUIRED.iter().copied().chain(wanted).collect();
        let loaded = modules.closure(&all)?;
        let mut order = String::new();
        for module in &loaded {
            let path = format!("/modules/{}.ko", module.name);
            self.write(|a| a.file(&path, 0o644, &module.object))?;
            order.push_str(&module.name);
            order.push('\n');
        }
        self.write(|a| a.file(MODULE_LIST, 0o644, order.as_bytes()))?;
        let names = loaded.into_iter().map(|m| m.name).collect();
        Ok((names, missing.into_iter().map(str::to_owned).collect()))
    }
}

/// The path with its folder's symbolic links followed.
fn whole(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|p| p.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Whether a file is a program or library in ELF format.
#[must_use]
pub fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = fs::File::open(path).and_then(|mut f| io::Read::read_exact(&mut f, &mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// iptables' matches and targets, which it loads while it runs.
fn plugins() -> Vec<PathBuf> {
    let folder = elf::library_folders()
        .into_iter()
        .map(|f| f.join("xtables"))
        .find(|f| f.is_dir());
    let entries = folder.and_then(|f| fs::read_dir(f).ok());
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "so"))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Origin;

    /// A kernel with that in its list of built-in modules, and no module.
    fn kernel(folder: &Path, builtin: &[&str]) -> Kernel {
        fs::create_dir_all(folder).unwrap();
        let lines: String = builtin
            .iter()
            .map(|name| format!("kernel/drivers/{name}.ko\n"))
            .collect();
        fs::write(folder.join("modules.builtin"), lines).unwrap();
        Kernel {
            version: "9.9".to_owned(),
            image: PathBuf::from("/nonexistent"),
            modules: folder.to_owned(),
            origin: Origin::Path,
        }
    }

    #[test]
    fn equal_inputs_give_equal_bytes_whatever_their_times() {
        let dir = tempfile::tempdir().unwrap();
        let runner = dir.path().join("runner");
        let built = |name: &str| {
            // Copied anew: another inode, another time.
            fs::copy("/bin/true", &runner).unwrap();
            let kernel = kernel(&dir.path().join(name), REQUIRED);
            let out = dir.path().join("initramfs");
            build(&runner, &kernel, &out).unwrap();
            fs::read(out).unwrap()
        };
        let first = built("a");
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(first == built("b"), "two builds differ");
        assert!(first.len() > 1_000_000, "{} bytes", first.len());
    }

    #[test]
    fn what_the_kernel_lacks_and_only_some_modes_need_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = kernel(
            &dir.path().join("modules"),
            &["virtio_mmio", "virtio_console", "veth"],
        );
        let out = dir.path().join("initramfs");
        let contents = build(Path::new("/bin/true"), &kernel, &out).unwrap();
        let lacks = |name: &str| contents.missing_modules.iter().any(|m| m == name);
        assert!(lacks("ip_vs") && lacks("nf_tables") && !lacks("veth"));
        assert_eq!(contents.bytes, fs::metadata(out).unwrap().len());
    }
}
