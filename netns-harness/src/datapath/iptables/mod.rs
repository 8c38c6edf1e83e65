//! iptables as kube-proxy programs it: one `iptables-restore --noflush` transaction an update, with
//! KUBE-SERVICES and the shared chains in full and only the chains of changed services.
//!
//! The law of size (tested) is in [`LAW`].

mod layout;
mod layout_check;
mod rule;
mod tables;
mod trace;

use std::process::Command;

use schema::Mode;

use super::{
    Applied, Batch, Damage, Datapath, NatCounters, Payload, RenderOptions, Transaction, Transport,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{Frontend, Population, Service};
use layout::{FILTER_CHAINS, NAT_CHAINS, RestoreText};
pub use layout::{chain_count, endpoint_chain, rule_count, service_chain};
use tables::Tables;

/// The law of size, in large-cluster layout: N services, E endpoints.
pub const LAW: &[(&str, &str)] = &[
    ("rules", "20 + N·(2 + 3·E)"),
    ("chains", "9 + N·(1 + E)"),
    ("operations of a cold install", "29 + N·(3 + 4·E)"),
    ("operations of a service-add", "17 + (N + 1) + 2 + 4·E"),
    (
        "bytes of a service-add",
        "972 + Σ over N + 1 services of (73 + characters of VIP and port) + bytes of the new service's chains, which do not depend on N",
    ),
];

/// The iptables mode: legacy x_tables engine.
#[derive(Debug, Clone, Copy)]
pub struct Iptables {
    mode: Mode,
    /// Prefix of the tools: `iptables-legacy`.
    tool: &'static str,
}

impl Iptables {
    /// Through `iptables-nft-restore`.
    #[must_use]
    pub const fn nft() -> Self {
        Self {
            mode: Mode::IptablesNft,
            tool: "iptables-nft",
        }
    }

    /// Through `iptables-legacy-restore`.
    #[must_use]
    pub const fn legacy() -> Self {
        Self {
            mode: Mode::IptablesLegacy,
            tool: "iptables-legacy",
        }
    }
}

/// The floor of every mode that tracks connections: nat hooks and conntrack, no service.
#[derive(Debug, Clone, Copy)]
pub struct Conntrack;

/// An empty nat table registers its hooks; a MASQUERADE rule, even in a chain that nothing reaches,
/// makes the kernel track connections (`net/netfilter/xt_MASQUERADE.c`, `nf_ct_netns_get`).
const CONNTRACK_RULES: &str = "*nat\n:BENCH-FLOOR - [0:0]\n-A BENCH-FLOOR -j MASQUERADE\nCOMMIT\n";

/// Declaring built-in chains without --noflush empties the table: the teardown of both.
const EMPTY_TABLES: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n\
*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n";

/// Bytes of a service's line in KUBE-SERVICES in large-cluster layout, newline included.
#[must_use]
pub fn portal_bytes(service: &Service) -> usize {
    // -A KUBE-SERVICES -m tcp -p tcp -d VIP --dport PORT -j KUBE-SVC-0123456789ABCDEF
    const FIXED: usize =
        "-A KUBE-SERVICES -m tcp -p tcp -d  --dport  -j KUBE-SVC-0123456789ABCDEF\n".len();
    FIXED + service.frontend.vip.to_string().len() + service.frontend.port.to_string().len()
}

fn restore(tool: &str, arguments: &[&str], text: &str) -> Result<Applied, HarnessError> {
    let program = format!("{tool}-restore");
    let mut command = Command::new(&program);
    // The private /run of a stay holds the lock; the host's lock is never touched.
    command
        .args(arguments)
        .env("XTABLES_LOCKFILE", "/run/xtables.lock");
    let done = netns_sys::process::run(&mut command, text.as_bytes())
        .map_err(|e| HarnessError::system(format!("start {program}"), e))?;
    if !done.status.success() {
        return Err(refused(format!("{program} {}", arguments.join(" ")), &done));
    }
    Ok(Applied {
        user_ns: done.user_ns,
        system_ns: done.system_ns,
        held: None,
    })
}

fn refused(tool: String, done: &netns_sys::process::Finished) -> HarnessError {
    let stderr = String::from_utf8_lossy(&done.stderr)
        .lines()
        .take(3)
        .collect::<Vec<_>>()
        .join("; ");
    HarnessError::Tool {
        tool,
        status: done.status.to_string(),
        stderr,
    }
}

fn output(program: &str, arguments: &[&str]) -> Result<String, HarnessError> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("XTABLES_LOCKFILE", "/run/xtables.lock");
    let done = netns_sys::process::run(&mut command, b"")
        .map_err(|e| HarnessError::system(format!("start {program}"), e))?;
    if !done.status.success() {
        return Err(refused(format!("{program} {}", arguments.join(" ")), &done));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Tables of the legacy engine as the kernel lists them.
fn listed(tool: &str) -> Result<Tables, HarnessError> {
    let text = output(&format!("{tool}-save"), &[])?;
    let mut tables = Tables::default();
    tables
        .restore(&text)
        .map_err(|text| HarnessError::Listing {
            what: "iptables-save",
            text,
        })?;
    Ok(tables)
}

fn meaning_of(tables: &Tables) -> Result<Relation, HarnessError> {
    trace::relation(tables).map_err(|text| HarnessError::Listing {
        what: "iptables rules",
        text,
    })
}

/// The first nftables table of the namespace, of any family.
pub(super) fn leftover_nftables() -> Result<Option<String>, HarnessError> {
    let tables = nft_codec::Connection::open()
        .and_then(|mut connection| connection.tables())
        .map_err(|source| HarnessError::Nftables {
            act: "list nftables tables".into(),
            source,
        })?;
    Ok(tables
        .first()
        .map(|table| format!("nftables table {} of family {}", table.name, table.family)))
}

/// Rules and chains that the legacy engine still has, built-in chains aside.
fn leftover_rules(tool: &str) -> Result<Option<String>, HarnessError> {
    let tables = listed(tool)?;
    let (rules, chains) = (tables.rules(), tables.own_chains());
    Ok((rules + chains > 0).then(|| format!("{rules} rules and {chains} chains")))
}

/// nftables tables must not stand beside another mode's rules.
fn no_nftables() -> Result<(), HarnessError> {
    match leftover_nftables()? {
        None => Ok(()),
        Some(text) => Err(HarnessError::Listing {
            what: "a namespace without nftables",
            text,
        }),
    }
}

/// x_tables tables must not stand beside another mode's rules. They are made when first named, so a
/// namespace that no iptables-legacy has touched has none.
///
/// # Errors
/// There are some.
pub(super) fn no_legacy_tables() -> Result<(), HarnessError> {
    // thread-self, not self: /proc/net is the main thread's.
    let names =
        std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
    match names.lines().next() {
        None => Ok(()),
        Some(table) => Err(HarnessError::Listing {
            what: "a namespace without iptables-legacy",
            text: format!("table {table}"),
        }),
    }
}

/// For the bare floor: an error if any engine has a rule.
///
/// # Errors
/// A rule was found, or a listing failed.
pub(super) fn anything_installed() -> Result<Relation, HarnessError> {
    no_nftables()?;
    let tables = listed("iptables-legacy")?;
    if tables.rules() > 0 {
        return Err(HarnessError::Listing {
            what: "a namespace without rules",
            text: format!("{} iptables rules", tables.rules()),
        });
    }
    Ok(Relation::default())
}

/// Breaks a floor: a rule that answers for a service.
pub(super) fn stray_rule(a: &Service, b: &Service) -> Vec<Vec<String>> {
    vec![iptables(
        "-A",
        "PREROUTING",
        &format!(
            "-d {} -p {} --dport {} -j DNAT --to-destination {}",
            a.frontend.vip, a.frontend.protocol, a.frontend.port, b.endpoints[0]
        ),
    )]
}

fn iptables(action: &str, chain: &str, rest: &str) -> Vec<String> {
    ["iptables-legacy", "-w", "5", "-t", "nat", action, chain]
        .into_iter()
        .chain(rest.split_whitespace())
        .map(str::to_owned)
        .collect()
}

/// Packets counted by a listing's first chain: (policy, first rule).
fn parse_counters(text: &str) -> Option<(u64, Option<u64>)> {
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

fn prerouting_counters() -> Result<(u64, Option<u64>), HarnessError> {
    let text = output(
        "iptables-legacy",
        &["-w", "5", "-t", "nat", "-v", "-x", "-n", "-L", "PREROUTING"],
    )?;
    parse_counters(&text).ok_or_else(|| HarnessError::Listing {
        what: "iptables -L PREROUTING",
        text: text.lines().next().unwrap_or_default().to_owned(),
    })
}

fn tool_missing(tool: &str, error: &HarnessError) -> String {
    match error {
        HarnessError::System { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            format!("{tool}-restore is not installed: apt-get install iptables")
        }
        HarnessError::Tool { stderr, .. } => {
            format!("the kernel or {tool} refused the rules: {stderr}")
        }
        other => other.to_string(),
    }
}

impl Datapath for Conntrack {
    fn mode(&self) -> Mode {
        Mode::Conntrack
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Restore]
    }

    fn probe(&self, _transport: Transport) -> Result<(), String> {
        restore(
            "iptables-legacy",
            &["-w", "5", "--noflush"],
            CONNTRACK_RULES,
        )
        .map(|_| ())
        .map_err(|e| tool_missing("iptables-legacy", &e))
    }

    fn render(
        &self,
        from: Option<&Population>,
        _to: &Population,
        _options: &RenderOptions,
    ) -> Batch {
        let transactions = match from {
            Some(_) => Vec::new(),
            None => vec![Transaction {
                operations: 2,
                messages: 0,
                payload: Payload::Restore(CONNTRACK_RULES.to_owned()),
            }],
        };
        Batch { transactions }
    }

    fn apply(&self, batch: &Batch) -> Result<Applied, HarnessError> {
        apply_restore("iptables-legacy", batch)
    }

    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        interpret(batches)
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        no_nftables()?;
        meaning_of(&listed("iptables-legacy")?)
    }

    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        leftover_rules("iptables-legacy")
    }

    fn inventory(&self) -> Result<super::Inventory, HarnessError> {
        let tables = listed("iptables-legacy")?;
        Ok(super::Inventory {
            rules: tables.rules() as u64,
            chains: tables.own_chains() as u64,
            ..super::Inventory::default()
        })
    }

    fn nat_counters(&self) -> Result<NatCounters, HarnessError> {
        Ok(NatCounters {
            entered: Some(prerouting_counters()?.0),
        })
    }

    fn teardown(&self) -> Vec<HarnessError> {
        restore("iptables-legacy", &["-w", "5"], EMPTY_TABLES)
            .err()
            .into_iter()
            .collect()
    }

    fn damage(&self, _damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        stray_rule(a, b)
    }
}

fn apply_restore(tool: &str, batch: &Batch) -> Result<Applied, HarnessError> {
    let mut total = Applied::default();
    for transaction in &batch.transactions {
        let Payload::Restore(text) = &transaction.payload else {
            unreachable!("iptables modes render restore input only");
        };
        let one = restore(tool, &["-w", "5", "--noflush", "--counters"], text)?;
        total.user_ns += one.user_ns;
        total.system_ns += one.system_ns;
    }
    Ok(total)
}

fn interpret(batches: &[Batch]) -> Result<Relation, String> {
    let mut tables = Tables::default();
    for transaction in batches.iter().flat_map(|b| &b.transactions) {
        let Payload::Restore(text) = &transaction.payload else {
            return Err("not restore input".to_owned());
        };
        tables.restore(text)?;
    }
    trace::relation(&tables)
}

impl Datapath for Iptables {
    fn mode(&self) -> Mode {
        self.mode
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Restore]
    }

    fn law_of_size(&self) -> &'static [(&'static str, &'static str)] {
        LAW
    }

    fn probe(&self, transport: Transport) -> Result<(), String> {
        let population = super::probe_population();
        let options = RenderOptions {
            transport,
            large_cluster: false,
            chunk: None,
            untimed: false,
            resync: false,
        };
        self.apply(&self.render(None, &population, &options))
            .map_err(|e| tool_missing(self.tool, &e))?;
        let listed = self.census().map_err(|e| tool_missing(self.tool, &e))?;
        match listed.differences(&Relation::of(&population)) {
            None => Ok(()),
            Some(differences) => Err(format!(
                "a trial population is not what the kernel lists: {differences}"
            )),
        }
    }

    /// `from: None`: jumps, shared chains and all services, `chunk` services a transaction. Otherwise
    /// kube-proxy's partial sync (≥ 1.28).
    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        let transactions = match from {
            None => {
                let chunk = options
                    .chunk
                    .unwrap_or(usize::MAX)
                    .min(to.services.len().max(1));
                let mut chunks: Vec<&[Service]> = to.services.chunks(chunk).collect();
                if chunks.is_empty() {
                    chunks.push(&[]);
                }
                let last = chunks.len() - 1;
                let parts = chunks.iter().enumerate();
                parts
                    .map(|(i, services)| render_install(services, i == 0, i == last, options))
                    .collect()
            }
            Some(from) => vec![render_update(from, to, options)],
        };
        Batch { transactions }
    }

    fn apply(&self, batch: &Batch) -> Result<Applied, HarnessError> {
        apply_restore(self.tool, batch)
    }

    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        interpret(batches)
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        no_nftables()?;
        let tables = listed(self.tool)?;
        layout_check::complete(&tables).map_err(|text| HarnessError::Listing {
            what: "iptables layout",
            text,
        })?;
        meaning_of(&tables)
    }

    fn order(&self) -> Result<Option<Vec<Frontend>>, HarnessError> {
        Ok(Some(layout_check::portals(&listed(self.tool)?)))
    }

    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        leftover_rules(self.tool)
    }

    fn inventory(&self) -> Result<super::Inventory, HarnessError> {
        let tables = listed(self.tool)?;
        Ok(super::Inventory {
            rules: tables.rules() as u64,
            chains: tables.own_chains() as u64,
            ..super::Inventory::default()
        })
    }

    fn nat_counters(&self) -> Result<NatCounters, HarnessError> {
        // Rule 1 of PREROUTING is the jump to KUBE-SERVICES: every first packet crosses it.
        Ok(NatCounters {
            entered: Some(prerouting_counters()?.1.unwrap_or(0)),
        })
    }

    fn teardown(&self) -> Vec<HarnessError> {
        restore(self.tool, &["-w", "5"], EMPTY_TABLES)
            .err()
            .into_iter()
            .collect()
    }

    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        let portal = |s: &Service| {
            format!(
                "-d {}/32 -p {} -m {} --dport {} -j {}",
                s.frontend.vip,
                s.frontend.protocol,
                s.frontend.protocol,
                s.frontend.port,
                service_chain(s)
            )
        };
        let first = endpoint_chain(a, a.endpoints[0]);
        let protocol = a.frontend.protocol;
        match damage {
            Damage::Delete => vec![iptables("-D", "KUBE-SERVICES", &portal(a))],
            Damage::Elsewhere => {
                let port = a.endpoints[0].port;
                let to = format!(
                    "-p {protocol} -m {protocol} -j DNAT --to-destination 10.191.255.254:{port}"
                );
                vec![iptables("-R", &first, &format!("2 {to}"))]
            }
            Damage::Skew => {
                let rule = format!("2 -m statistic --mode random --probability 0.9 -j {first}");
                vec![iptables("-R", &service_chain(a), &rule)]
            }
            Damage::Swap => {
                let swapped = |s: &Service, to: &Service| {
                    portal(s).replace(&service_chain(s), &service_chain(to))
                };
                vec![
                    iptables("-D", "KUBE-SERVICES", &portal(a)),
                    iptables("-D", "KUBE-SERVICES", &portal(b)),
                    iptables("-I", "KUBE-SERVICES", &format!("1 {}", swapped(a, b))),
                    iptables("-I", "KUBE-SERVICES", &format!("1 {}", swapped(b, a))),
                ]
            }
        }
    }
}

fn transaction(text: RestoreText) -> Transaction {
    let (text, operations) = text.finish();
    Transaction {
        operations,
        messages: 0,
        payload: Payload::Restore(text),
    }
}

fn render_install(
    services: &[Service],
    first: bool,
    last: bool,
    options: &RenderOptions,
) -> Transaction {
    let mut text = RestoreText::new(options.large_cluster);
    if first {
        text.filter_section(true);
    }
    text.begin("nat");
    if first {
        NAT_CHAINS.iter().for_each(|chain| text.declare(chain));
    }
    services.iter().for_each(|s| text.declare_service(s));
    text.jumps("nat", first);
    if first {
        text.nat_rules_first();
    }
    for service in services {
        text.portal(service);
        text.service_rules(service);
    }
    if last {
        text.nat_rules_last();
    }
    text.commit();
    transaction(text)
}

fn render_update(from: &Population, to: &Population, options: &RenderOptions) -> Transaction {
    let (written, stale) = layout::changes(from, to);
    let mut text = RestoreText::new(options.large_cluster);
    text.filter_section(false);
    text.begin("nat");
    NAT_CHAINS.iter().for_each(|chain| text.declare(chain));
    written.iter().for_each(|s| text.declare_service(s));
    // A stale chain is declared, which empties it, and deleted at the end.
    let kept: std::collections::HashSet<String> =
        written.iter().flat_map(|s| chains_of(s)).collect();
    let gone: Vec<String> = stale
        .iter()
        .flat_map(|s| chains_of(s))
        .filter(|c| !kept.contains(c))
        .collect();
    gone.iter().for_each(|chain| text.declare(chain));
    text.nat_rules_first();
    to.services.iter().for_each(|s| text.portal(s));
    written.iter().for_each(|s| text.service_rules(s));
    text.nat_rules_last();
    gone.iter().for_each(|chain| text.delete_chain(chain));
    text.commit();
    transaction(text)
}

fn chains_of(service: &Service) -> Vec<String> {
    let endpoints = service
        .endpoints
        .iter()
        .map(|e| endpoint_chain(service, *e));
    std::iter::once(service_chain(service))
        .chain(endpoints)
        .collect()
}

/// Chains of the filter table that a sync declares.
#[must_use]
pub fn shared_chains() -> usize {
    FILTER_CHAINS.len() + NAT_CHAINS.len()
}

#[cfg(test)]
mod tests;
