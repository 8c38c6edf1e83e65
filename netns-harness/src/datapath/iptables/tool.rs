//! The iptables tools, run in the calling thread's network namespace: what they take, what they list,
//! and what their refusals mean. `tool` is their common prefix: `iptables-legacy` or `iptables-nft`.

use std::process::Command;

use super::tables::Tables;
use crate::HarnessError;
use crate::datapath::{Applied, Batch, Engine, Payload};

/// Arguments of every restore that adds to what is there (kube-proxy's `RestoreAll` with
/// `NoFlushTables` and `RestoreCounters`).
pub(in crate::datapath) const ADD: &[&str] = &["-w", "5", "--noflush", "--counters"];

/// Prefix of an engine's tools.
#[must_use]
pub(in crate::datapath) const fn prefix(engine: Engine) -> &'static str {
    match engine {
        Engine::Legacy => "iptables-legacy",
        Engine::Nft => "iptables-nft",
    }
}

/// A program with the stay's own lock: the private /run of a stay holds it, the host's is never touched.
fn program(name: &str) -> Command {
    let mut command = netns_sys::tools::command(name);
    command.env("XTABLES_LOCKFILE", "/run/xtables.lock");
    command
}

fn carry_out(
    command: &mut Command,
    input: &str,
) -> Result<netns_sys::process::Finished, HarnessError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = netns_sys::process::run(command, input.as_bytes())
        .map_err(|e| HarnessError::system(format!("start {name}"), e))?;
    if done.status.success() {
        return Ok(done);
    }
    let words = command.get_args().map(std::ffi::OsStr::to_string_lossy);
    let words: Vec<_> = std::iter::once(name.into()).chain(words).collect();
    let stderr = String::from_utf8_lossy(&done.stderr);
    Err(HarnessError::Tool {
        tool: words.join(" "),
        status: done.status.to_string(),
        stderr: stderr.lines().take(3).collect::<Vec<_>>().join("; "),
    })
}

/// One restore transaction.
///
/// # Errors
/// The tool is missing, or refused.
pub(in crate::datapath) fn restore(
    tool: &str,
    arguments: &[&str],
    text: &str,
) -> Result<Applied, HarnessError> {
    let done = carry_out(program(&format!("{tool}-restore")).args(arguments), text)?;
    Ok(Applied {
        user_ns: done.user_ns,
        system_ns: done.system_ns,
        held: None,
    })
}

/// Whether a tool takes a command, where a refusal (exit status 1) is an answer: the rule is not there, or the
/// chain is.
///
/// # Errors
/// The tool is missing, or ended in another way.
pub(in crate::datapath) fn ask(name: &str, arguments: &[&str]) -> Result<bool, HarnessError> {
    let mut command = program(name);
    let done = netns_sys::process::run(command.args(arguments), b"")
        .map_err(|e| HarnessError::system(format!("start {name}"), e))?;
    match done.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(HarnessError::Tool {
            tool: [&[name], arguments].concat().join(" "),
            status: done.status.to_string(),
            stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        }),
    }
}

/// Standard output of a listing.
pub(super) fn output(name: &str, arguments: &[&str]) -> Result<String, HarnessError> {
    let done = carry_out(program(name).args(arguments), "")?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Sends a batch: restore input to one process, command lines to one process each.
///
/// # Errors
/// The first transaction or command that was refused; earlier ones stay applied.
pub(in crate::datapath) fn apply(tool: &str, batch: &Batch) -> Result<Applied, HarnessError> {
    let mut total = Applied::default();
    for transaction in &batch.transactions {
        match &transaction.payload {
            Payload::Restore(text) => {
                let one = restore(tool, ADD, text)?;
                total.user_ns += one.user_ns;
                total.system_ns += one.system_ns;
            }
            Payload::Commands(lines) => {
                for words in lines {
                    let done = carry_out(program(&words[0]).args(&words[1..]), "")?;
                    total.user_ns += done.user_ns;
                    total.system_ns += done.system_ns;
                }
            }
            _ => unreachable!("iptables modes render restore input and command lines only"),
        }
    }
    Ok(total)
}

/// Tables as the kernel lists them, through `-save`.
///
/// # Errors
/// The listing failed, or says that it is not the whole truth.
pub(in crate::datapath) fn listed(tool: &str) -> Result<Tables, HarnessError> {
    let text = output(&format!("{tool}-save"), &[])?;
    let failed = |text| HarnessError::Listing {
        what: "iptables-save",
        text,
    };
    if let Some(line) = warning(&text) {
        return Err(failed(line.to_owned()));
    }
    let mut tables = Tables::default();
    tables.restore(&text).map_err(failed)?;
    Ok(tables)
}

/// The first comment of a listing that is neither its head nor its end: "# Table `x' is incompatible,
/// use 'nft' tool." stands where rules were left out (iptables, `iptables/xtables-save.c`).
pub(super) fn warning(listing: &str) -> Option<&str> {
    listing.lines().find(|line| {
        line.starts_with('#')
            && !line.starts_with("# Generated by ")
            && !line.starts_with("# Completed on ")
    })
}

/// Packets counted by a listing's first chain: (policy, first rule).
pub(super) fn parse_counters(text: &str) -> Option<(u64, Option<u64>)> {
    let mut lines = text.lines();
    let policy = lines
        .next()?
        .split("policy ACCEPT ")
        .nth(1)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    let rule = lines
        .nth(1)
        .and_then(|l| l.split_whitespace().next())
        .and_then(|w| w.parse().ok());
    Some((policy, rule))
}

/// Packets that nat's PREROUTING has seen: (policy, first rule).
///
/// # Errors
/// The listing failed.
pub(in crate::datapath) fn prerouting_counters(
    engine: Engine,
) -> Result<(u64, Option<u64>), HarnessError> {
    if engine == Engine::Legacy {
        let packets = netns_sys::x_tables::prerouting_packets("nat")
            .map_err(|e| HarnessError::system("read the counters of table nat", e))?;
        return Ok((packets.policy, packets.first_rule));
    }
    listed_counters(prefix(engine))
}

/// The same as the tool lists it.
fn listed_counters(tool: &str) -> Result<(u64, Option<u64>), HarnessError> {
    let text = output(
        tool,
        &["-w", "5", "-t", "nat", "-v", "-x", "-n", "-L", "PREROUTING"],
    )?;
    parse_counters(&text).ok_or_else(|| HarnessError::Listing {
        what: "iptables -L PREROUTING",
        text: text.lines().next().unwrap_or_default().to_owned(),
    })
}

/// What an engine lacks here, and what would help.
pub(in crate::datapath) fn remedy(tool: &str, error: &HarnessError) -> String {
    let (system, refusal) = match error {
        HarnessError::System { source, .. } => (Some(source), ""),
        HarnessError::Tool { stderr, .. } => (None, stderr.trim_end_matches('.')),
        other => return other.to_string(),
    };
    if system.is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        return format!("{tool} is not installed: apt-get install iptables");
    }
    let nft = tool == prefix(Engine::Nft);
    let says = |text: &str| refusal.contains(text);
    let advice = if says("Message too long") {
        // iptables/nft.c mnl_set_sndbuffer() (1.8.9): SO_SNDBUFFORCE or nothing, so wmem_max is of no use.
        "it sends a transaction as one netlink message, and without CAP_NET_ADMIN in the initial user namespace its socket cannot hold one (EMSGSIZE): run as root, or raise net.core.wmem_default above the size of a transaction (3.3 KB a service of two endpoints)"
    } else if says("Permission denied") || says("not permitted") {
        "it needs CAP_NET_ADMIN over this network namespace: run as root"
    } else if says("table does not exist") || says("can't initialize iptables table") {
        "the kernel has no ip_tables (CONFIG_IP_NF_IPTABLES_LEGACY, CONFIG_IP_NF_NAT): modprobe -a iptable_nat iptable_filter, or another kernel with --kernel"
    } else if nft && (says("Protocol not supported") || says("initialize nft")) {
        "the kernel has no nf_tables (CONFIG_NF_TABLES_IPV4): modprobe nf_tables, or another kernel with --kernel"
    } else if nft {
        "the kernel may lack a part of nf_tables or of x_tables: modprobe -a nft_compat nft_chain_nat xt_comment xt_statistic xt_conntrack xt_mark xt_addrtype xt_nat xt_MASQUERADE"
    } else {
        "the kernel may lack a part of x_tables: modprobe -a iptable_nat xt_comment xt_statistic xt_conntrack xt_mark xt_addrtype xt_nat xt_MASQUERADE"
    };
    match system {
        Some(_) => error.to_string(),
        None => format!("{tool} refused the rules: {refusal}; {advice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_leaves_rules_out_says_so_and_is_seen() {
        let head = "# Generated by iptables-nft-save v1.8.9 (nf_tables) on Mon Nov 23 00:03:17 2026\n*nat\nCOMMIT\n# Completed on Mon Nov 23 00:03:17 2026\n";
        assert_eq!(warning(head), None);
        let torn = format!("{head}# Table `filter' is incompatible, use 'nft' tool.\n");
        assert!(warning(&torn).is_some_and(|line| line.contains("incompatible")));
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_what_would_help() {
        let refused = |stderr: &str| HarnessError::Tool {
            tool: "iptables-nft-restore".to_owned(),
            status: "exit status: 1".to_owned(),
            stderr: stderr.to_owned(),
        };
        let said = |stderr| remedy("iptables-nft", &refused(stderr));
        let too_long = said("sendmsg() failed: Message too long");
        assert!(too_long.contains("EMSGSIZE") && too_long.contains("wmem_default"));
        assert!(said("Fatal: can't open lock file: Permission denied").contains("CAP_NET_ADMIN"));
        assert!(said("something new").contains("nft_compat"));
        let missing = HarnessError::system(
            "start iptables-nft-restore",
            std::io::Error::from(std::io::ErrorKind::NotFound),
        );
        assert!(remedy("iptables-nft", &missing).contains("apt-get install iptables"));
    }
}
