//! What would make a thing ready, found in a reason.

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
        assert_eq!(remedy("no trial of ipset was made"), None);
    }
}
