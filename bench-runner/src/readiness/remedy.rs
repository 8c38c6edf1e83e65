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

/// What to do instead where this kernel has none of the modules that a remedy would load.
const GUEST: &str = "bench-runner run --sandbox guest";

/// A remedy that can work: a command that loads modules only if one of them is there.
pub(crate) fn that_works(remedy: String, has_module: impl Fn(&str) -> bool) -> String {
    let Some(modules) = remedy.strip_prefix("sudo modprobe ") else {
        return remedy;
    };
    let mut names = modules.split_whitespace().filter(|word| *word != "-a");
    match names.any(has_module) {
        true => remedy,
        false => GUEST.to_owned(),
    }
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

    #[test]
    fn a_module_that_is_nowhere_is_not_advised() {
        let advised = |remedy: &str| that_works(remedy.to_owned(), |module| module == "nf_tables");
        let load = "sudo modprobe -a nf_tables nft_compat";
        assert_eq!(advised(load), load);
        assert_eq!(advised("sudo modprobe -a ip_vs dummy"), GUEST);
        let install = "sudo apt-get install -y nftables";
        assert_eq!(advised(install), install);
    }
}
