//! What would make a thing ready: named to the user, or found in a reason.

use std::io;

/// Why no namespaces can be made, with what would allow it.
pub(crate) fn no_namespaces(error: &io::Error) -> String {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}"))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let lifted = [
        (
            "user/max_user_namespaces",
            "0",
            "user.max_user_namespaces=15000",
        ),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "kernel.unprivileged_userns_clone=1",
        ),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ]
    .into_iter()
    .find(|(name, closed, _)| read(name) == *closed);
    let otherwise = lifted.map_or_else(String::new, |(_, _, setting)| {
        format!(", or allow user namespaces: sudo sysctl -w {setting}")
    });
    if netns_sys::isolation::needs_user_namespace() {
        format!(
            "making network namespaces needs root, and without it a user namespace, which is refused ({error}): run the same command with sudo{otherwise}"
        )
    } else {
        format!("cannot make namespaces: {error}")
    }
}

/// The command in a reason that would make a thing ready, ready to be pasted.
pub(crate) fn remedy(reason: &str) -> Option<String> {
    const COMMANDS: [&str; 4] = ["apt-get install ", "modprobe ", "sysctl -w ", "mount "];
    let start = COMMANDS.iter().filter_map(|c| reason.find(c)).min()?;
    let rest = &reason[start..];
    let end = rest
        .find([',', ';', ')', '('])
        .or_else(|| rest.find(" or "))
        .unwrap_or(rest.len());
    let command = rest[..end].trim().trim_end_matches('.');
    Some(format!(
        "sudo {}",
        command.replace("apt-get install ", "apt-get install -y ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_the_command_alone() {
        for (reason, command) in [
            (
                "nft is not installed: apt-get install nftables",
                "sudo apt-get install -y nftables",
            ),
            (
                "this kernel lacks xt_set: modprobe -a xt_set; see dmesg",
                "sudo modprobe -a xt_set",
            ),
            (
                "no nf_tables (CONFIG_NF_TABLES_IPV4): modprobe nf_tables, or another kernel",
                "sudo modprobe nf_tables",
            ),
        ] {
            assert_eq!(remedy(reason).as_deref(), Some(command), "{reason}");
        }
        assert_eq!(remedy("mode ipset is not in this version"), None);
    }
}
