//! Debian's and Ubuntu's package manager as a source of kernels and of another suite's tools, without root and without touching what is
//! the system's.
//!
//! How a package is verified, by apt alone (`apt-secure(8)`): a repository's `InRelease` is signed by the
//! distribution's archive key, which the `debian-archive-keyring` or `ubuntu-keyring` package installed; it
//! holds the SHA-256 of each package list, and a list holds the SHA-256 and size of each package. `apt-get
//! download` removes what it fetched and fails when these differ, and `apt-get update` takes no list from a
//! repository that is unsigned or signed by another key. No option that weakens this is ever given.
//!
//! Lists are the system's where they know the kernel. Where they do not (Debian's newer kernels are in
//! backports, images of containers ship no lists at all) lists of our own are kept in the cache: the
//! distribution's suites, from the system's own mirror, and its backports.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use netns_sys::clock;

use crate::GuestError;

/// Time limit of reading lists; of fetching them; of a package.
const READ: Duration = Duration::from_secs(60);
const UPDATE: Duration = Duration::from_secs(120);
const DOWNLOAD: Duration = Duration::from_secs(600);

/// A program is looked after at this interval.
const STEP: Duration = Duration::from_millis(20);

/// Where Debian and Ubuntu keep the keys of their archives; and, without a mirror of the system's own,
/// which mirror.
const DISTRIBUTIONS: &[(&str, &str, &str)] = &[
    (
        "debian",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "http://deb.debian.org/debian/",
    ),
    (
        "ubuntu",
        "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
        "http://archive.ubuntu.com/ubuntu/",
    ),
];

/// What the lists say of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Bytes of the package.
    pub(crate) download_bytes: u64,
    /// Bytes of its files.
    pub(crate) installed_bytes: u64,
    /// Packages that hold modules of this image, as on Ubuntu.
    pub(crate) modules: Vec<String>,
}

/// Package lists: the system's, or our own.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    own: Option<PathBuf>,
    /// What dpkg(1) says is installed.
    status: PathBuf,
}

/// dpkg(1)'s own account of what is installed.
const STATUS: &str = "/var/lib/dpkg/status";

impl Lists {
    /// Those of the system.
    pub(crate) fn of_system() -> Self {
        Self {
            own: None,
            status: STATUS.into(),
        }
    }

    /// Our own, in that folder.
    pub(crate) fn own(folder: PathBuf) -> Self {
        Self {
            own: Some(folder),
            status: STATUS.into(),
        }
    }

    /// Our own of a system on which nothing is installed, in that folder.
    pub(crate) fn of_nothing(folder: PathBuf) -> Self {
        Self {
            status: folder.join("status"),
            own: Some(folder),
        }
    }

    /// Whether they are the system's.
    pub(crate) const fn is_system(&self) -> bool {
        self.own.is_none()
    }

    /// Whether they were ever fetched.
    pub(crate) fn fetched(&self) -> bool {
        self.own.as_ref().is_none_or(|f| f.join(FETCHED).exists())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-q", "-o", "Acquire::Languages=none"]);
        command.args(["-o", "Acquire::http::Timeout=20"]);
        command.args(["-o", "Acquire::https::Timeout=20"]);
        command.args(["-o", "Acquire::Retries=1"]);
        if let Some(folder) = &self.own {
            let mut option = |name: &str, value: &Path| {
                let mut word = OsString::from(name);
                word.push(value);
                command.arg("-o").arg(word);
            };
            option("Dir::State=", folder);
            option("Dir::State::status=", &self.status);
            option("Dir::Cache=", &folder.join("cache"));
            option("Dir::Etc::sourcelist=", &folder.join(SOURCES));
            option("Dir::Etc::sourceparts=", Path::new("-"));
        }
        command
    }

    /// Names of all kernel packages, without those of debugging, without signature, and of real-time
    /// kernels.
    pub(crate) fn kernels(&self) -> Result<Vec<String>, GuestError> {
        let mut search = self.command("apt-cache");
        search.args(["search", "--names-only", "^linux-image-[0-9]"]);
        let text = output(search, READ, &mut || {})?;
        let names = text.lines().filter_map(|l| l.split_whitespace().next());
        let plain =
            |n: &&str| !n.contains("-dbg") && !n.contains("-unsigned") && !n.contains("-rt-");
        Ok(names.filter(plain).map(str::to_owned).collect())
    }

    /// What the lists say of those packages.
    pub(crate) fn about(&self, names: &[String]) -> Result<Vec<Package>, GuestError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut show = self.command("apt-cache");
        show.args(["--no-all-versions", "show"]).args(names);
        let text = output(show, READ, &mut || {})?;
        Ok(text.split("\n\n").filter_map(package).collect())
    }

    /// Fetches packages into the folder `into` and verifies them. `tick` is called all the while.
    pub(crate) fn download(
        &self,
        packages: &[Package],
        into: &Path,
        tick: &mut dyn FnMut(),
    ) -> Result<(), GuestError> {
        let mut download = self.command("apt-get");
        let named = packages
            .iter()
            .map(|package| format!("{}={}", package.name, package.version));
        download.arg("download").args(named).current_dir(into);
        output(download, DOWNLOAD, tick).map(drop)
    }

    /// The packages that would be installed for these, with all that they depend on.
    pub(crate) fn installs(&self, names: &[&str]) -> Result<Vec<String>, GuestError> {
        let mut simulate = self.command("apt-get");
        simulate
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(names);
        let text = output(simulate, READ, &mut || {})?;
        Ok(text.lines().filter_map(installed).collect())
    }

    /// Fetches the lists of one suite of this distribution.
    ///
    /// # Errors
    /// There is no such suite, nothing could be fetched, or this is neither Debian nor Ubuntu.
    pub(crate) fn update_suite(&self, suite: &str) -> Result<(), GuestError> {
        let source = Distribution::of_system()?.source(suite);
        fs::create_dir_all(self.folder()).map_err(GuestError::file("make", self.folder()))?;
        fs::write(&self.status, "").map_err(GuestError::file("write", &self.status))?;
        self.update_from(&source)
    }

    /// Fetches our own lists: backports, and with `all` the system's suites of this distribution too.
    ///
    /// # Errors
    /// Nothing could be fetched, or this is neither Debian nor Ubuntu.
    pub(crate) fn update(&self, all: bool) -> Result<(), GuestError> {
        if self.is_system() {
            return Ok(());
        }
        self.update_from(&Distribution::of_system()?.sources(all))
    }

    fn folder(&self) -> &Path {
        self.own.as_deref().unwrap_or(Path::new("/var/lib/apt"))
    }

    /// Fetches our own lists of these lines of `sources.list(5)`.
    fn update_from(&self, sources: &str) -> Result<(), GuestError> {
        let folder = self.folder();
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(GuestError::file("make", path))?;
        }
        let path = folder.join(SOURCES);
        fs::write(&path, sources).map_err(GuestError::file("write", &path))?;
        let mut update = self.command("apt-get");
        // Otherwise a mirror that cannot be reached is only a warning.
        update.args(["-o", "APT::Update::Error-Mode=any", "update"]);
        output(update, UPDATE, &mut || {})?;
        let mark = folder.join(FETCHED);
        fs::write(&mark, "").map_err(GuestError::file("write", mark))
    }
}

/// Our own list of sources, in the lists' folder.
const SOURCES: &str = "sources.list";
/// There once all of them were fetched.
const FETCHED: &str = "fetched";

/// This system's distribution, and where its packages come from.
struct Distribution {
    /// "bookworm".
    codename: String,
    /// `[signed-by=…] `, where its archive's key is installed.
    signed: String,
    mirror: String,
    /// Of the system, of this release: mirror, suite, component.
    suites: Vec<[String; 3]>,
}

impl Distribution {
    fn of_system() -> Result<Self, GuestError> {
        let mut targets = Lists::of_system().command("apt-get");
        targets.args([
            "indextargets",
            "--format",
            "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)",
        ]);
        let targets = output(targets, READ, &mut || {})?;
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self::of(&targets, &release).ok_or_else(|| GuestError::Program {
            program: "apt-get update".to_owned(),
            reason: "this is neither Debian nor Ubuntu (/etc/os-release)".to_owned(),
        })
    }

    fn of(targets: &str, os_release: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|l| l.strip_prefix(key))?;
            Some(line.trim_matches('"').to_owned())
        };
        let (id, codename) = (value("ID=")?, value("VERSION_CODENAME=")?);
        let (_, keyring, mirror) = DISTRIBUTIONS.iter().find(|(name, ..)| *name == id)?;
        let signed = if Path::new(keyring).exists() {
            format!("[signed-by={keyring}] ")
        } else {
            String::new()
        };
        let suites = targets.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let is_list = words.next() == Some("Packages");
            let (uri, suite, component) = (words.next()?, words.next()?, words.next()?);
            let rest = suite.strip_prefix(&*codename)?;
            let ours = is_list && (rest.is_empty() || rest.starts_with('-'));
            ours.then(|| [uri, suite, component].map(str::to_owned))
        });
        let suites: Vec<[String; 3]> = suites.collect();
        let base = suites.iter().find(|[_, suite, _]| *suite == codename);
        let mirror = base.map_or_else(|| (*mirror).to_owned(), |[uri, ..]| uri.clone());
        Some(Self {
            codename,
            signed,
            mirror,
            suites,
        })
    }

    /// One suite of it, as a line of `sources.list(5)`.
    fn source(&self, suite: &str) -> String {
        format!("deb {}{} {suite} main\n", self.signed, self.mirror)
    }

    /// The suites of this release that the system has, and its backports; as lines of `sources.list(5)`.
    fn sources(&self, all: bool) -> String {
        let of_mirror = |suite: String| [self.mirror.clone(), suite, "main".to_owned()];
        let mut suites = match self.suites.as_slice() {
            [] => vec![of_mirror(self.codename.clone())],
            known if all => known.to_vec(),
            _ => Vec::new(),
        };
        suites.push(of_mirror(format!("{}-backports", self.codename)));
        suites.sort();
        suites.dedup();
        let lines = suites.into_iter().map(|[uri, suite, component]| {
            format!("deb {}{uri} {suite} {component}\n", self.signed)
        });
        lines.collect()
    }
}

/// The package of a line "Inst name (version …)" of a simulated install.
fn installed(line: &str) -> Option<String> {
    let name = line.strip_prefix("Inst ")?.split_whitespace().next()?;
    Some(name.to_owned())
}

/// A stanza of `apt-cache show`.
fn package(stanza: &str) -> Option<Package> {
    let field = |name: &str| {
        let mut lines = stanza.lines();
        lines.find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    };
    let number = |name: &str| field(name).and_then(|v| v.parse::<u64>().ok());
    let depends = field("Depends").unwrap_or_default().split([',', '|']);
    let modules = depends
        .filter_map(|d| d.split_whitespace().next())
        .filter(|d| d.starts_with("linux-modules-"));
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        download_bytes: number("Size").unwrap_or(0),
        // Kibibytes: deb-control(5).
        installed_bytes: number("Installed-Size").unwrap_or(0) * 1024,
        modules: modules.map(str::to_owned).collect(),
    })
}

/// Runs a program to its end, or kills it at the limit; its standard output. Nobody can be asked anything, and
/// it does not outlive us.
pub(crate) fn output(
    mut command: Command,
    limit: Duration,
    tick: &mut dyn FnMut(),
) -> Result<String, GuestError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| GuestError::Program {
        program: program.clone(),
        reason,
    };
    let file = || tempfile::tempfile().map_err(|e| failed(e.to_string()));
    let (mut said, mut errors) = (file()?, file()?);
    let share = |f: &fs::File| f.try_clone().map_err(|e| failed(e.to_string()));
    command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(share(&said)?)
        .stderr(share(&errors)?);
    netns_sys::child::dies_with_parent(&mut command);
    let mut child = command
        .spawn()
        .map_err(GuestError::file("start", &program))?;
    let start = clock::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| failed(e.to_string()))? {
            break status;
        }
        if u128::from(start.elapsed_ns()) > limit.as_nanos() {
            // An error means that it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("not done after {} s", limit.as_secs())));
        }
        tick();
        std::thread::sleep(STEP);
    };
    if status.success() {
        return text(&mut said).map_err(|e| failed(e.to_string()));
    }
    let said = text(&mut errors).unwrap_or_default();
    let errors = said.lines().filter_map(|l| l.strip_prefix("E: "));
    let mut words: Vec<&str> = errors.take(2).map(str::trim).collect();
    if words.is_empty() {
        words.extend(said.lines().last());
    }
    Err(failed(if words.is_empty() {
        status.to_string()
    } else {
        words.join("; ")
    }))
}

fn text(file: &mut fs::File) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut data = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut data)?;
    Ok(String::from_utf8_lossy(&data).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "ID=debian\nVERSION_CODENAME=bookworm\n";
    const TARGETS: &str = "\
Packages http://mirror.example/debian/ bookworm main
Packages http://mirror.example/debian/ bookworm-updates main
DEP-11 http://mirror.example/debian/ bookworm main
Packages http://other.example/apt/ stable main
";

    fn sources(targets: &str, os_release: &str, all: bool) -> String {
        Distribution::of(targets, os_release).unwrap().sources(all)
    }

    #[test]
    fn our_own_lists_are_backports_from_the_systems_mirror() {
        let lines = sources(TARGETS, BOOKWORM, false);
        assert!(
            lines.ends_with("http://mirror.example/debian/ bookworm-backports main\n")
                && lines.lines().count() == 1,
            "{lines}"
        );
    }

    #[test]
    fn when_the_system_has_no_lists_its_own_suites_come_too_and_nobody_elses() {
        let lines = sources(TARGETS, BOOKWORM, true);
        assert!(lines.contains("/debian/ bookworm main") && !lines.contains("other"));
        assert_eq!(lines.lines().count(), 3, "{lines}");
        let lines = sources("", BOOKWORM, true);
        assert!(lines.contains("http://deb.debian.org/debian/ bookworm main"));
        assert!(Distribution::of(TARGETS, "ID=fedora\n").is_none());
    }

    #[test]
    fn another_suite_comes_from_the_mirror_of_this_one() {
        let line = Distribution::of(TARGETS, BOOKWORM)
            .unwrap()
            .source("trixie");
        assert!(
            line.ends_with("http://mirror.example/debian/ trixie main\n"),
            "{line}"
        );
    }

    #[test]
    fn what_would_be_installed_is_read_from_a_simulation() {
        let said = "0 upgraded, 2 newly installed\nInst libc6 (2.41-12 Debian:13/stable [amd64])\nConf libc6 (2.41-12 x)\n";
        let found: Vec<String> = said.lines().filter_map(installed).collect();
        assert_eq!(found, ["libc6"]);
    }

    #[test]
    fn a_package_is_read_from_its_stanza() {
        let stanza = "Package: linux-image-6.8.0-31-generic\nVersion: 6.8.0-31.31\nSize: 14000000\nInstalled-Size: 14500\nDepends: kmod, linux-base (>= 4.5), linux-modules-6.8.0-31-generic\n";
        let found = package(stanza).unwrap();
        assert_eq!(found.modules, ["linux-modules-6.8.0-31-generic"]);
        assert_eq!(
            (found.download_bytes, found.installed_bytes),
            (14_000_000, 14_500 * 1024)
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_and_one_that_fails_is_quoted() {
        let mut long = Command::new("sleep");
        long.arg("100");
        let error = output(long, Duration::from_millis(50), &mut || {}).unwrap_err();
        assert!(error.to_string().contains("not done after"), "{error}");
        let mut bad = Command::new("sh");
        bad.args([
            "-c",
            "echo 'W: noise' >&2; echo 'E: no such thing' >&2; exit 100",
        ]);
        let error = output(bad, READ, &mut || {}).unwrap_err();
        assert_eq!(error.to_string(), "sh: no such thing");
    }
}
