//! Whether this machine is a node: kube-proxy's work on it disturbs what is measured. Only reads.

use nft_codec::Connection;
use schema::Family;

use super::process::of_family;
use crate::datapath::Engine;
use crate::xtables::tool;

/// What of kube-proxy is on this machine, a sentence each, as far as this process may see.
#[must_use]
pub fn found_here() -> Vec<String> {
    let engines = Family::ALL.iter().flat_map(|family| {
        let engines = Engine::ALL.iter();
        engines.filter_map(move |engine| iptables(*engine, *family))
    });
    let rules = nftables().into_iter().chain(engines);
    processes().into_iter().chain(rules).collect()
}

fn processes() -> Option<String> {
    let folders = std::fs::read_dir("/proc").ok()?;
    let pids = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut pids = pids.filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let is_kube_proxy = |pid: &String| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim_end() == "kube-proxy")
    };
    let pid = pids.find(is_kube_proxy)?;
    Some(format!("a kube-proxy runs (process {pid})"))
}

fn nftables() -> Option<String> {
    let tables = Connection::open().ok()?.tables().ok()?;
    let found = tables
        .iter()
        .any(|table| table.name.as_str() == "kube-proxy");
    found.then(|| "there is an nftables table kube-proxy".to_owned())
}

/// Asks only where the engine has a table of its own already, since asking makes it.
fn iptables(engine: Engine, family: Family) -> Option<String> {
    let (names, number) = match family {
        Family::Ipv4 => ("/proc/net/ip_tables_names", libc::NFPROTO_IPV4),
        Family::Ipv6 => ("/proc/net/ip6_tables_names", libc::NFPROTO_IPV6),
    };
    let has_nat = match engine {
        Engine::Legacy => {
            let names = std::fs::read_to_string(names).ok()?;
            names.lines().any(|name| name == "nat")
        }
        Engine::Nft => {
            let tables = Connection::open().ok()?.tables().ok()?;
            let nat =
                |t: &nft_codec::TableId| i32::from(t.family) == number && t.name.as_str() == "nat";
            tables.iter().any(nat)
        }
    };
    let tool = of_family(tool::prefix(engine), family);
    let tables = has_nat.then(|| tool::listed(&tool))?.ok()?;
    let chains = tables.0.get("nat")?.chains.keys();
    let count = chains.filter(|chain| chain.starts_with("KUBE-")).count();
    (count > 0).then(|| format!("{tool} has {count} chains KUBE-*"))
}
