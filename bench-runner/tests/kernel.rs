//! `kernel list|fetch|clean` against the real package manager and a repository of one tiny kernel in a
//! scratch folder: no network, and nothing of the system's is touched.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use runner::{RUNNER, text, until};
use serde_json::Value;
use tempfile::TempDir;

const RELEASE: &str = "9.1.0-1-cloud-amd64";
const PACKAGE: &str = "linux-image-9.1.0-1-cloud-amd64";
/// Nobody listens there: whoever asks the network is refused at once.
const NO_NETWORK: &str = "http://127.0.0.1:9";

/// A repository, what apt knows of it, and a cache.
struct Repository {
    scratch: TempDir,
}

impl Repository {
    /// With a kernel whose package apt trusts.
    fn new() -> Self {
        Self::with_source("[trusted=yes] ")
    }

    fn with_source(options: &str) -> Self {
        let this = Self {
            scratch: TempDir::new().unwrap(),
        };
        this.build_package();
        this.index();
        this.configure(options);
        let update = this.command("apt-get").arg("update").output().unwrap();
        let trusted = !options.is_empty();
        assert_eq!(update.status.success(), trusted, "{}", said(&update));
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn archive(&self) -> PathBuf {
        self.path("repository").join(format!("{PACKAGE}.deb"))
    }

    fn build_package(&self) {
        let tree = self.path("tree");
        for folder in ["DEBIAN", "boot", &format!("lib/modules/{RELEASE}")] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        fs::create_dir(self.path("repository")).unwrap();
        let control = format!(
            "Package: {PACKAGE}\nVersion: 9.1-1\nArchitecture: all\nMaintainer: nobody <nobody@example.invalid>\nDescription: Linux 9.1\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x300 + RELEASE.len()].copy_from_slice(RELEASE.as_bytes());
        fs::write(tree.join(format!("boot/vmlinuz-{RELEASE}")), image).unwrap();
        let builtin = format!("lib/modules/{RELEASE}/modules.builtin");
        fs::write(tree.join(builtin), "kernel/net/veth.ko\n").unwrap();
        let mut build = Command::new("dpkg-deb");
        build.args(["--root-owner-group", "--build"]);
        output_of(build.args([tree, self.archive()]));
    }

    /// `Packages` and `Release`, with the checksums that apt verifies.
    fn index(&self) {
        let control = output_of(Command::new("dpkg-deb").arg("--field").arg(self.archive()));
        let size = fs::metadata(self.archive()).unwrap().len();
        let packages = format!(
            "{}\nFilename: ./{PACKAGE}.deb\nSize: {size}\nSHA256: {}\n",
            control.trim(),
            checksum(&self.archive())
        );
        let file = self.path("repository/Packages");
        fs::write(&file, &packages).unwrap();
        let release = format!(
            "Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
            checksum(&file),
            packages.len()
        );
        fs::write(self.path("repository/Release"), release).unwrap();
    }

    /// What apt is told instead of the system's configuration of sources.
    fn configure(&self, options: &str) {
        let at = self.scratch.path().display();
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        fs::write(self.path("status"), "").unwrap();
        let source = format!("deb {options}file:{at}/repository ./\n");
        fs::write(self.path("sources.list"), source).unwrap();
        let configuration = format!(
            "Dir::State \"{at}/state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\nDir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"-\";\nAPT::Sandbox::User \"root\";\n"
        );
        fs::write(self.path("apt.conf"), configuration).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("XDG_CACHE_HOME", self.path("home"))
            .env("http_proxy", NO_NETWORK)
            .env("https_proxy", NO_NETWORK)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    fn kernel(&self, words: &[&str]) -> Output {
        let mut command = self.command(RUNNER);
        command.arg("kernel").args(words).output().unwrap()
    }

    fn list(&self) -> Value {
        let done = self.kernel(&["list", "--json"]);
        assert!(done.status.success(), "{}", said(&done));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn cache(&self) -> PathBuf {
        self.path("home/bench-runner/kernels")
    }

    /// Names in the cache, without those that are no kernels' and are always there.
    fn in_cache(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".lock" && name != ".lists")
            .collect();
        names.sort();
        names
    }

    /// A PATH whose apt-get does `instead` of downloading.
    fn path_with_apt(&self, instead: &str) -> std::ffi::OsString {
        let folder = self.path("programs");
        fs::create_dir(&folder).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' download '*) {instead} ;; esac\nPATH='{}' exec apt-get \"$@\"\n",
            path.to_string_lossy()
        );
        let file = folder.join("apt-get");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let mut all = folder.into_os_string();
        all.push(":");
        all.push(path);
        all
    }
}

fn output_of(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

fn checksum(file: &Path) -> String {
    let line = output_of(Command::new("sha256sum").arg(file));
    line.split_whitespace().next().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    text(&output.stderr)
}

/// Exit code 2 and one line, which is handed back.
#[track_caller]
fn refused(output: &Output) -> String {
    runner::refused(output, 2)
}

#[test]
fn a_kernel_is_listed_fetched_kept_and_cleaned() {
    let repository = Repository::new();
    let before = repository.list();
    assert_eq!(before["cached"], Value::Array(Vec::new()));
    assert_eq!(before["available"][0]["name"], "9.1");
    assert_eq!(before["available"][0]["package"], PACKAGE);

    let fetched = repository.kernel(&["fetch", "9.1"]);
    assert!(fetched.status.success(), "{}", said(&fetched));
    let line = String::from_utf8(fetched.stdout).unwrap();
    let image = PathBuf::from(
        line.trim()
            .strip_prefix("9.1 9.1.0-1-cloud-amd64 ")
            .unwrap(),
    );
    assert!(
        image.is_file() && image.starts_with(repository.cache()),
        "{line}"
    );

    let after = repository.list();
    let kernel = &after["cached"][0];
    assert_eq!(kernel["release"], RELEASE);
    assert_eq!(kernel["package_version"], "9.1-1");
    assert!(kernel["bytes"].as_u64().unwrap() > 0);
    assert!(after["bytes"].as_u64().unwrap() >= kernel["bytes"].as_u64().unwrap());

    // What is here needs no package manager, and no second download.
    let again = repository
        .command(RUNNER)
        .args(["kernel", "fetch", RELEASE])
        .env("PATH", repository.path_with_apt("exit 1"))
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", said(&again));

    let freed = repository.kernel(&["clean", "9.1"]);
    assert!(text(&freed.stdout).starts_with("freed "), "{freed:?}");
    assert_eq!(repository.in_cache(), Vec::<String>::new());
}

#[test]
fn a_package_that_was_tampered_with_is_refused_and_nothing_of_it_stays() {
    let repository = Repository::new();
    let mut package = fs::read(repository.archive()).unwrap();
    let last = package.len() - 1;
    package[last] ^= 1;
    fs::write(repository.archive(), package).unwrap();
    let line = refused(&repository.kernel(&["fetch", "9.1"]));
    assert!(
        line.contains(PACKAGE) && line.contains("Hash Sum mismatch"),
        "{line}"
    );
    assert_eq!(repository.in_cache(), Vec::<String>::new());
}

#[test]
fn packages_of_an_unsigned_repository_are_not_taken() {
    let repository = Repository::with_source("");
    let line = refused(&repository.kernel(&["fetch", "9.1"]));
    assert!(line.contains("no kernel '9.1'"), "{line}");
    assert_eq!(repository.in_cache(), Vec::<String>::new());
}

#[test]
fn an_unknown_kernel_lists_what_there_is() {
    let repository = Repository::new();
    let line = refused(&repository.kernel(&["fetch", "5.4"]));
    assert!(
        line.contains("no kernel '5.4'") && line.contains("by version: 9.1"),
        "{line}"
    );
    // That the mirror was asked for newer ones, and could not be reached, is said.
    assert!(line.contains("newer ones cannot be listed"), "{line}");
    let line = refused(&repository.kernel(&["clean", "5.4"]));
    assert!(line.contains("there are: none"), "{line}");
    let line = refused(&repository.kernel(&["fetch", "./vmlinuz"]));
    assert!(line.contains("is not fetched"), "{line}");
}

#[test]
fn without_a_package_manager_the_other_way_is_named() {
    let repository = Repository::new();
    let mut fetch = repository.command(RUNNER);
    fetch.args(["kernel", "fetch", "9.1"]);
    let line = refused(
        &fetch
            .env("PATH", repository.path("empty"))
            .output()
            .unwrap(),
    );
    assert!(
        line.contains("apt-cache") && line.contains("--kernel PATH"),
        "{line}"
    );
    let mut list = repository.command(RUNNER);
    list.args(["kernel", "list"]);
    let done = list.env("PATH", repository.path("empty")).output().unwrap();
    assert!(done.status.success(), "a list says it and goes on");
    assert!(text(&done.stdout).contains("apt-cache is not installed"));
}

#[test]
fn without_a_network_the_package_managers_words_are_given_with_what_to_do() {
    let repository = Repository::new();
    let words =
        "E: Failed to fetch http://mirror.invalid/x.deb  Could not resolve 'mirror.invalid'";
    let path = repository.path_with_apt(&format!("echo \"{words}\" >&2; exit 100"));
    let mut fetch = repository.command(RUNNER);
    fetch.args(["kernel", "fetch", "9.1"]).env("PATH", path);
    let line = refused(&fetch.output().unwrap());
    assert!(
        line.contains("Could not resolve 'mirror.invalid'") && line.contains("kernel list"),
        "{line}"
    );
    assert_eq!(repository.in_cache(), Vec::<String>::new());
}

#[test]
fn a_cache_on_a_full_disk_is_said_to_be_full_before_anything_is_fetched() {
    let repository = Repository::new();
    let home = repository.path("home");
    fs::create_dir(&home).unwrap();
    // A file system of its own, in a mount namespace of its own.
    let mut unshare = repository.command("unshare");
    unshare.arg("--mount");
    if !nix::unistd::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = "mount -t tmpfs -o size=1m none \"$1\" && shift && exec \"$@\"";
    unshare.args(["sh", "-c", script, "sh"]);
    unshare.arg(&home).arg(RUNNER);
    let line = refused(&unshare.args(["kernel", "fetch", "9.1"]).output().unwrap());
    assert!(
        line.contains("no room")
            && line.contains("kernel clean")
            && line.contains("XDG_CACHE_HOME"),
        "{line}"
    );
}

#[test]
fn two_fetches_at_once_give_one_kernel() {
    let repository = Repository::new();
    let fetch = || {
        let mut command = repository.command(RUNNER);
        command.args(["kernel", "fetch", "9.1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let all: Vec<_> = (0..3).map(|_| fetch()).collect();
    for fetch in all {
        let done = fetch.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
    }
    assert_eq!(repository.in_cache(), [format!("{PACKAGE}_9.1-1")]);
}

#[test]
fn what_a_killed_fetch_left_is_no_kernel_and_is_removed_by_the_next() {
    let repository = Repository::new();
    let path = repository.path_with_apt("echo half >half.deb; exec sleep 600");
    let mut fetch = repository.command(RUNNER);
    fetch.args(["kernel", "fetch", "9.1"]).env("PATH", path);
    let mut fetch = fetch.stderr(Stdio::null()).spawn().unwrap();
    let partial = repository.cache().join(format!(".partial-{PACKAGE}"));
    until("the fetch has begun", || partial.join("half.deb").exists());
    fetch.kill().unwrap();
    fetch.wait().unwrap();
    assert_eq!(repository.list()["cached"], Value::Array(Vec::new()));
    let done = repository.kernel(&["fetch", "9.1"]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(repository.in_cache(), [format!("{PACKAGE}_9.1-1")]);
}
