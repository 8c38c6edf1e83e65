//! `tools list|fetch|clean` and `--tools` against the real package manager and a repository in a scratch folder: no network,
//! and nothing of the system's is touched. What a suite measures is `scripts/verify/tool-suites`'s.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use runner::{RUNNER, text};
use serde_json::Value;
use tempfile::TempDir;

/// Nobody listens there: whoever asks the network is refused at once.
const NO_NETWORK: &str = "http://127.0.0.1:9";

/// A cache, and what apt is told instead of the system's sources.
struct Scratch(TempDir);

impl Scratch {
    fn new(source: &str) -> Self {
        let this = Self(TempDir::new().unwrap());
        let at = this.0.path().display();
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(this.path(folder)).unwrap();
        }
        fs::write(this.path("status"), "").unwrap();
        fs::write(
            this.path("sources.list"),
            source.replace("HERE", &at.to_string()),
        )
        .unwrap();
        let configuration = format!(
            "Dir::State \"{at}/state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\nDir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"-\";\nAPT::Sandbox::User \"root\";\n"
        );
        fs::write(this.path("apt.conf"), configuration).unwrap();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(RUNNER)
            .args(words)
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("XDG_CACHE_HOME", self.path("home"))
            .env("http_proxy", NO_NETWORK)
            .env("https_proxy", NO_NETWORK)
            .env("LC_ALL", "C")
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What it says last on its standard error, when it is a mistake of the user's.
    fn refused(&self, words: &[&str]) -> String {
        let done = self.run(words);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        let last = said.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("error: "), "{said}");
        last
    }

    /// A suite that is whole.
    fn with_suite(self, name: &str) -> Self {
        let root = self.path("home/bench-runner/tools").join(name);
        fs::create_dir_all(root.join("usr/sbin")).unwrap();
        fs::write(root.join("packages"), "nftables 9.9-1\n").unwrap();
        self
    }

    fn in_cache(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("home/bench-runner/tools"));
        let entries = entries.into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != ".lock").collect()
    }
}

#[test]
fn without_a_network_one_line_says_so_and_nothing_is_left() {
    let scratch = Scratch::new("");
    for words in [
        ["tools", "fetch", "trixie"].as_slice(),
        &[
            "run", "--modes", "nftables", "--tools", "trixie", "--out", "new",
        ],
    ] {
        let said = scratch.refused(words);
        assert!(
            said.contains("'trixie' cannot be fetched") && said.contains("look at the network"),
            "{said}"
        );
        assert_eq!(scratch.in_cache(), Vec::<String>::new());
        assert!(!scratch.path("new").exists());
    }
}

/// A repository with that suite, as of the running distribution.
fn repository(scratch: &Scratch, suite: &str) {
    let dist = scratch.path("repository/dists").join(suite);
    fs::create_dir_all(dist.join("main/binary-amd64")).unwrap();
    fs::write(dist.join("main/binary-amd64/Packages"), "").unwrap();
    fs::write(dist.join("Release"), format!("Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: amd64\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n")).unwrap();
}

fn codename() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let line = release
        .lines()
        .find_map(|l| l.strip_prefix("VERSION_CODENAME="));
    line.unwrap().to_owned()
}

#[test]
fn a_suite_that_the_archive_does_not_have_and_one_that_nobody_signed_are_refused() {
    let of_here = format!(
        "deb [trusted=yes] file:HERE/repository {} main\n",
        codename()
    );
    let scratch = Scratch::new(&of_here);
    // The mirror is the one from which this distribution's own suite comes.
    repository(&scratch, &codename());
    let mut update = Command::new("apt-get");
    let updated = update
        .env("APT_CONFIG", scratch.path("apt.conf"))
        .arg("update")
        .output();
    assert!(updated.unwrap().status.success());
    repository(&scratch, "unsigned");
    let said = scratch.refused(&["tools", "fetch", "nosuch"]);
    assert!(
        said.contains("has no suite 'nosuch'") && said.contains("trixie"),
        "{said}"
    );
    let said = scratch.refused(&["tools", "fetch", "unsigned"]);
    assert!(said.contains("not signed"), "{said}");
    assert_eq!(scratch.in_cache(), Vec::<String>::new());
}

#[test]
fn what_is_here_is_listed_and_removed_by_name() {
    let scratch = Scratch::new("").with_suite("trixie");
    let listed = scratch.run(&["tools", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["cached"][0]["name"], "trixie");
    assert_eq!(listed["cached"][0]["packages"]["nftables"], "9.9-1");
    let said = scratch.refused(&["tools", "clean", "sid"]);
    assert!(said.contains("there are: trixie"), "{said}");
    assert!(scratch.run(&["tools", "clean", "trixie"]).status.success());
    assert_eq!(scratch.in_cache(), Vec::<String>::new());
}

#[test]
fn a_name_that_is_a_path_is_no_suite() {
    let scratch = Scratch::new("");
    let said = scratch.refused(&["run", "--tools", "../trixie"]);
    assert!(said.contains("no name of a suite"), "{said}");
    assert!(!Path::new("../trixie").exists());
}
