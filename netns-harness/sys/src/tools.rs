//! Which file is started when a tool is: the one that PATH finds, or another that was named in its place.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where programs are, and libraries with the dynamic loader, below a root: of this system, or of the tools of another suite.
pub const SBIN: &str = "usr/sbin";
/// See [`SBIN`].
pub const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// The dynamic loader's file; programs name it by [`LOADER_PATH`].
pub const LOADER: &str = "ld-linux-x86-64.so.2";
/// See [`LOADER`].
pub const LOADER_PATH: &str = "/lib64/ld-linux-x86-64.so.2";
/// Where tools are looked for that are a suite's.
pub const SUITE_PATH: &str = "/usr/sbin:/usr/bin";

/// What this process starts in place of a tool: a stay is one process, and has one set of tools.
static REPLACED: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();

/// From now on this process starts the file in place of the tool of that name. Once a process, before it
/// starts any.
///
/// # Errors
/// It was called before.
pub fn replace(tools: BTreeMap<String, PathBuf>) -> io::Result<()> {
    let once = |_| io::Error::other("the tools of this process are decided already");
    REPLACED.set(tools).map_err(once)
}

fn replacement(name: &str) -> Option<&'static PathBuf> {
    REPLACED.get()?.get(name)
}

/// A command that starts the tool of that name, or what stands in its place.
#[must_use]
pub fn command(name: &str) -> Command {
    replacement(name).map_or_else(|| Command::new(name), |file| as_tool(name, file))
}

/// A command that starts `file` in place of the tool `name`: under that name, because iptables' programs are
/// one file that does what it is called.
#[must_use]
pub fn as_tool(name: &str, file: &std::path::Path) -> Command {
    let mut command = Command::new(file);
    command.arg0(name);
    command
}

/// The file that is started as that tool; `None` where there is none.
#[must_use]
pub fn file(name: &str) -> Option<PathBuf> {
    replacement(name)
        .cloned()
        .or_else(|| crate::process::found(name))
}

/// Whether the tool can be started: it is in one of the directories of PATH, or something stands in its place.
#[must_use]
pub fn installed(name: &str) -> bool {
    replacement(name).is_some() || crate::process::installed(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the table is the process's.
    #[test]
    fn a_replaced_tool_is_started_under_its_name_and_the_others_are_found_by_path() {
        assert!(!installed("no-such-tool"));
        let sh = PathBuf::from("/bin/sh");
        replace(BTreeMap::from([("no-such-tool".to_owned(), sh)])).unwrap();
        assert!(installed("no-such-tool") && installed("sh") && !installed("another"));
        let said = |name: &str| {
            let done = command(name).args(["-c", "echo $0"]).output().unwrap();
            String::from_utf8(done.stdout).unwrap()
        };
        assert_eq!(said("no-such-tool"), "no-such-tool\n");
        assert_eq!(said("sh"), "sh\n");
        assert!(replace(BTreeMap::new()).is_err(), "decided once");
    }
}
