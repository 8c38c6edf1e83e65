//! Tools run to their end.

use std::io;
use std::process::Command;

use netns_sys::isolation;
use netns_sys::process::{self, Finished};

use crate::HarnessError;
use crate::remedy::{Lack, Remedy};

/// Runs a tool on its standard input, to its end, which must be a good one.
///
/// # Errors
/// It cannot be started; or it refused, with the first lines of what it said.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<Finished, HarnessError> {
    run_to(command, input, &[0])
}

/// The same where several exit codes are good ends.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_to(
    command: &mut Command,
    input: &str,
    good: &[i32],
) -> Result<Finished, HarnessError> {
    let done = process::run(command, input.as_bytes());
    let name = || command.get_program().to_string_lossy();
    let done = done.map_err(|error| HarnessError::system(format!("start {}", name()), error))?;
    if done.status.code().is_some_and(|code| good.contains(&code)) {
        return Ok(done);
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let stderr = String::from_utf8_lossy(&done.stderr);
    Err(HarnessError::Tool {
        tool: words.join(" "),
        status: done.status.to_string(),
        stderr: stderr.lines().take(3).collect::<Vec<_>>().join("; "),
    })
}

/// What a tool is asked that reads its standard input, and a line that it must refuse.
fn asked(tool: &str) -> Option<(&'static [&'static str], &'static str)> {
    match tool {
        "nft" => Some((&["-f", "-"], "this must fail\n")),
        "ipset" => Some((&["restore"], "this must fail\n")),
        "ipvsadm" => Some((&["-R"], "-this -must -fail\n")),
        _ if tool.ends_with("-restore") => Some((&["--noflush"], "this must fail\n")),
        _ => None,
    }
}

/// What lacks where a tool that reads its standard input is not given it, or its words do not come back: it is given a line
/// that it must refuse, as it is given rules. Where SELinux lets a program into a domain of its own, files that it
/// inherits and may not use are replaced by /dev/null (`flush_unauthorized_files` in security/selinux/hooks.c): then it
/// reads nothing, and ends well.
///
/// `None` for a tool that reads and says what it should, or that cannot be started.
#[must_use]
pub fn deaf(tool: &str) -> Option<Lack> {
    let (arguments, line) = asked(tool)?;
    let mut command = netns_sys::tools::command(tool);
    let command = command.env("XTABLES_LOCKFILE", "/run/xtables.lock");
    let done = process::run(command.args(arguments), line.as_bytes()).ok()?;
    let why = if done.status.success() {
        "took a line that it must refuse: it does not read what it is given"
    } else if done.stdout.is_empty() && done.stderr.is_empty() {
        "refused a line and said nothing: its words do not come back"
    } else {
        return None;
    };
    let selinux = std::fs::read_to_string("/proc/filesystems");
    let selinux = selinux.is_ok_and(|known| known.contains("selinuxfs"));
    let remedy = selinux.then_some(Remedy::Selinux);
    Some(
        Lack::from(format!(
            "{tool} {why} (memory files as standard input and outputs)"
        ))
        .with(remedy),
    )
}

/// That a tool is not there, where it could not be started for that; `None` for any other error.
pub(crate) fn missing(tool: &str, package: &str, error: &HarnessError) -> Option<Lack> {
    match error {
        HarnessError::System { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Some(Lack::of_program(tool, package))
        }
        _ => None,
    }
}

/// What lacks where a tool of a package was to do something: the tool, or the right to do it. What the kernel lacks is
/// found by asking it ([`crate::lab::facility::missing`]).
pub(crate) fn lack(tool: &str, package: &str, error: &HarnessError) -> Lack {
    let HarnessError::Tool { stderr, .. } = error else {
        return missing(tool, package, error).unwrap_or_else(|| error.to_string().into());
    };
    let said = stderr.trim_end_matches('.');
    let root = (!isolation::administers()).then_some(Remedy::Root);
    Lack::from(format!("{tool} refused the rules: {said}")).with(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// What SELinux does to a tool in a domain of its own, simulated: a program that never sees its input, and one whose
    /// words are lost.
    #[test]
    fn a_tool_that_reads_nothing_or_is_not_heard_is_told_from_one_that_refuses() {
        let folder = std::env::temp_dir().join(format!("deaf-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut named = std::collections::BTreeMap::new();
        for (tool, script) in [
            ("iptables-legacy-restore", "exec </dev/null; cat"),
            (
                "iptables-nft-restore",
                "exec >/dev/null 2>&1; read line; exit 1",
            ),
            ("nft", "read line; echo \"refused: $line\" >&2; exit 1"),
        ] {
            let file = folder.join(tool);
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            named.insert(tool.to_owned(), file);
        }
        netns_sys::tools::replace(named).unwrap();
        let said = |tool: &str| deaf(tool).map(|lack| lack.reason).unwrap_or_default();
        assert!(said("iptables-legacy-restore").contains("does not read what it is given"));
        assert!(said("iptables-nft-restore").contains("said nothing"));
        assert_eq!(
            (
                deaf("nft"),
                deaf("iptables-legacy"),
                deaf("no-such-restore")
            ),
            (None, None, None)
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
