//! What is installed, read back: by the reference tools, and over netlink by dumps of ours. A reading is made ready before
//! it is timed, its command or its sockets; what it has read is counted afterwards, from its own words, and held against
//! the [`Inventory`].

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::process::Command;

use ipset_sys::{Session, Set};
use ipvs_codec::{Connection as Servers, Links, ListedDestination, ListedService};
use netns_sys::distribution::install;
use nft_codec::{Connection as NfTables, Name, Raw, Table, TableFamily};
use schema::{Family, Reader};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Inventory, ModeFacts, ipvs, nftables};
use crate::HarnessError;
use crate::tools;
use crate::xtables::{save, tool};

/// What is counted of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// Rules.
    Rule,
    /// Chains, built-in ones aside.
    Chain,
    /// Sets and maps, anonymous ones included.
    Set,
    /// Sets and maps with names of their own.
    NamedSet,
    /// Elements of those.
    NamedElement,
    /// Virtual servers.
    Server,
    /// Their destinations.
    Destination,
    /// Addresses of services on the device that has them.
    Address,
}

impl Thing {
    /// How many there are.
    #[must_use]
    pub const fn of(self, inventory: &Inventory) -> u64 {
        match self {
            Self::Rule => inventory.rules,
            Self::Chain => inventory.chains,
            Self::Set => inventory.sets,
            Self::NamedSet => inventory.named_sets(),
            Self::NamedElement => inventory.named_elements(),
            Self::Server => inventory.servers,
            Self::Destination => inventory.destinations,
            Self::Address => inventory.addresses,
        }
    }
}

/// Of several.
impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rule => "rules",
            Self::Chain => "chains",
            Self::Set => "sets",
            Self::NamedSet => "named sets",
            Self::NamedElement => "elements",
            Self::Server => "virtual servers",
            Self::Destination => "destinations",
            Self::Address => "addresses",
        })
    }
}

/// A reader that is ready, in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct Reading {
    reader: Reader,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Tool(Command),
    /// /proc/net/fib_trie, and addresses that it shows and no service has.
    Trie(BTreeSet<Ipv4Addr>),
    Tables(NfTables, TableFamily),
    Sets(Session),
    Servers(Servers),
    Addresses(Links, Family),
}

/// What was read, not counted yet.
#[derive(Debug)]
pub struct Listed(Content);

#[derive(Debug)]
enum Content {
    Text(Vec<u8>),
    Names(Vec<Name>),
    Raw(Raw),
    Table(Table),
    Sets(Vec<Set>),
    Servers(Vec<(ListedService, Vec<ListedDestination>)>),
    Addresses(usize),
}

/// Words of the tool that a reader starts, for a mode and the family of its services; none where we read ourselves.
#[must_use]
pub fn command(reader: Reader, facts: &ModeFacts) -> Vec<&'static str> {
    let (ip, flag) = match facts.family {
        Family::Ipv4 => ("ip", "-4"),
        Family::Ipv6 => ("ip6", "-6"),
    };
    match reader {
        Reader::IptablesSave => facts
            .rules
            .map_or_else(Vec::new, |engine| vec![save(engine, facts.family)]),
        Reader::NftList => vec!["nft", "list", "ruleset", ip],
        Reader::NftTerse => vec!["nft", "--terse", "list", "ruleset", ip],
        Reader::NftJson => vec!["nft", "--json", "list", "ruleset", ip],
        Reader::NftJsonTerse => vec![
            "nft",
            "--json",
            "--terse",
            "list",
            "table",
            ip,
            nftables::TABLE,
        ],
        Reader::NftJsonChains => vec!["nft", "--json", "list", "chains", ip],
        Reader::IpsetSave => vec!["ipset", "save"],
        Reader::IpsetTerse => vec!["ipset", "list", "-terse"],
        Reader::IpvsadmSave => vec!["ipvsadm", "-S", "-n"],
        Reader::IpAddress => vec![
            "ip",
            "-oneline",
            flag,
            "address",
            "show",
            "dev",
            ipvs::DEVICE,
        ],
        Reader::NetlinkChains
        | Reader::NetlinkRaw
        | Reader::NetlinkDecoded
        | Reader::NetlinkSets
        | Reader::NetlinkServers
        | Reader::NetlinkAddresses
        | Reader::FibTrie => Vec::new(),
    }
}

/// Why a reader cannot read here, with the remedy; `None` where it can.
#[must_use]
pub fn refused(reader: Reader, facts: &ModeFacts) -> Option<String> {
    if reader == Reader::FibTrie && facts.family == Family::Ipv6 {
        return Some("/proc/net/fib_trie has addresses of IPv4 alone".to_owned());
    }
    let program = *command(reader, facts).first()?;
    let package = match program {
        "nft" => "nftables",
        "ip" => "iproute2",
        "ipset" | "ipvsadm" => program,
        _ => "iptables",
    };
    (!netns_sys::tools::installed(program))
        .then(|| format!("{program} is not installed: {}", install(package)))
}

impl Reading {
    /// Makes a reader of a mode ready.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub fn ready(reader: Reader, facts: &ModeFacts) -> Result<Self, HarnessError> {
        let tables = || {
            let connection = NfTables::open().map_err(HarnessError::netlink("reach nf_tables"));
            let family = nftables::table_family(facts.family);
            connection.map(|connection| Source::Tables(connection.alone(), family))
        };
        let source = match reader {
            Reader::NetlinkChains | Reader::NetlinkRaw | Reader::NetlinkDecoded => tables()?,
            Reader::NetlinkSets => {
                Source::Sets(Session::open().map_err(HarnessError::ipset("reach ip_set"))?)
            }
            Reader::NetlinkServers => {
                Source::Servers(Servers::open().map_err(HarnessError::netlink("reach IPVS"))?)
            }
            Reader::NetlinkAddresses => {
                let links = Links::open().map_err(HarnessError::netlink("reach route netlink"))?;
                Source::Addresses(links, facts.family)
            }
            Reader::FibTrie => Source::Trie(not_of_services()?),
            _ => {
                let words = command(reader, facts);
                let (program, arguments) = words
                    .split_first()
                    .expect("who has no socket and no file has a tool");
                let mut command = tool::program(program);
                command.args(arguments);
                Source::Tool(command)
            }
        };
        Ok(Self { reader, source })
    }

    /// Reads: the timed act.
    ///
    /// # Errors
    /// The tool is missing or refused, or the kernel does not list.
    pub fn read(&mut self) -> Result<Listed, HarnessError> {
        let failed = HarnessError::netlink("read back");
        let content = match &mut self.source {
            Source::Tool(command) => Content::Text(tools::run(command, "")?.stdout),
            Source::Trie(_) => {
                const FILE: &str = "/proc/thread-self/net/fib_trie";
                let text = std::fs::read(FILE);
                let text = text.map_err(|e| HarnessError::system(format!("read {FILE}"), e))?;
                Content::Text(text)
            }
            Source::Tables(connection, family) => match self.reader {
                Reader::NetlinkChains => {
                    Content::Names(connection.chain_names(*family).map_err(failed)?)
                }
                Reader::NetlinkRaw => {
                    Content::Raw(connection.raw(*family, nftables::TABLE).map_err(failed)?)
                }
                _ => {
                    let table = connection.table(*family, nftables::TABLE).map_err(failed)?;
                    Content::Table(table.unwrap_or_default())
                }
            },
            Source::Sets(session) => {
                Content::Sets(session.sets().map_err(HarnessError::ipset("read back"))?)
            }
            Source::Servers(connection) => {
                let services = connection.services().map_err(failed)?.into_iter();
                let whole = services.map(|listed| {
                    let destinations = connection.destinations(listed.service.id)?;
                    Ok((listed, destinations))
                });
                Content::Servers(whole.collect::<Result<_, _>>().map_err(failed)?)
            }
            Source::Addresses(links, family) => {
                let own = links.addresses(ipvs::DEVICE, ipvs::of_links(*family));
                Content::Addresses(own.map_err(failed)?.len())
            }
        };
        Ok(Listed(content))
    }
}

/// Addresses of IPv4 that are on other devices than that of services.
fn not_of_services() -> Result<BTreeSet<Ipv4Addr>, HarnessError> {
    let all = netns_sys::netns::ipv4_addresses();
    let all = all.map_err(|e| HarnessError::system("list addresses", e))?;
    let others = all.into_iter().filter(|(link, _)| link != ipvs::DEVICE);
    Ok(others.map(|(_, address)| address).collect())
}

impl Reading {
    /// What was read, counted: of a text from the text.
    ///
    /// # Errors
    /// A text that is not the whole truth, or not what it should be.
    pub fn counted(&self, listed: &Listed) -> Result<Vec<(Thing, u64)>, HarnessError> {
        let many = |thing, count: usize| (thing, count as u64);
        Ok(match &listed.0 {
            Content::Text(text) => {
                let text = String::from_utf8_lossy(text);
                if let Source::Trie(others) = &self.source {
                    let of_services = local_addresses(&text).difference(others).count();
                    return Ok(vec![many(Thing::Address, of_services)]);
                }
                let failed = HarnessError::listing(self.reader.row().words);
                of_text(self.reader, &text).map_err(failed)?
            }
            Content::Names(names) => vec![many(Thing::Chain, names.len())],
            Content::Raw(raw) => vec![
                (Thing::Rule, raw.rules),
                (Thing::Chain, raw.chains),
                (Thing::Set, raw.sets),
                (Thing::NamedElement, raw.elements),
            ],
            Content::Table(table) => {
                let all = nftables::count(table);
                let things = [Thing::Rule, Thing::Chain, Thing::Set, Thing::NamedElement];
                things.map(|thing| (thing, thing.of(&all))).to_vec()
            }
            Content::Sets(sets) => {
                let entries = sets.iter().map(|set| set.entries.len()).sum();
                vec![
                    many(Thing::NamedSet, sets.len()),
                    many(Thing::NamedElement, entries),
                ]
            }
            Content::Servers(servers) => {
                let destinations = servers.iter().map(|(_, all)| all.len()).sum();
                vec![
                    many(Thing::Server, servers.len()),
                    many(Thing::Destination, destinations),
                ]
            }
            Content::Addresses(count) => vec![many(Thing::Address, *count)],
        })
    }
}

impl Listed {
    /// Bytes of a tool's output, or of the file; `None` where there is no text.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        match &self.0 {
            Content::Text(text) => Some(text.len() as u64),
            _ => None,
        }
    }
}

/// What a tool's text holds.
fn of_text(reader: Reader, text: &str) -> Result<Vec<(Thing, u64)>, String> {
    let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count() as u64;
    Ok(match reader {
        Reader::IptablesSave => {
            if let Some(warning) = tool::warning(text) {
                return Err(warning.to_owned());
            }
            // A built-in chain has a policy.
            let own = |line: &&str| line.starts_with(':') && line.contains(" - ");
            vec![
                (Thing::Rule, lines("-A ")),
                (Thing::Chain, text.lines().filter(own).count() as u64),
            ]
        }
        Reader::NftList => {
            let all = Script::of(text);
            vec![
                (Thing::Rule, all.rules),
                (Thing::Chain, all.chains),
                (Thing::NamedSet, all.sets),
                (Thing::NamedElement, all.elements),
            ]
        }
        Reader::NftTerse => {
            let all = Script::of(text);
            vec![
                (Thing::Rule, all.rules),
                (Thing::Chain, all.chains),
                (Thing::NamedSet, all.sets),
            ]
        }
        Reader::NftJson => {
            let all = Json::of(text)?;
            vec![
                (Thing::Rule, all.rules()),
                (Thing::Chain, all.chains()),
                (Thing::NamedSet, all.sets()),
                (Thing::NamedElement, all.elements()),
            ]
        }
        Reader::NftJsonTerse => {
            let all = Json::of(text)?;
            vec![
                (Thing::Rule, all.rules()),
                (Thing::Chain, all.chains()),
                (Thing::NamedSet, all.sets()),
            ]
        }
        Reader::NftJsonChains => vec![(Thing::Chain, Json::of(text)?.chains())],
        Reader::IpsetSave => vec![
            (Thing::NamedSet, lines("create ")),
            (Thing::NamedElement, lines("add ")),
        ],
        Reader::IpsetTerse => {
            let numbers = text
                .lines()
                .filter_map(|line| line.strip_prefix("Number of entries: "));
            let numbers = numbers.map(|number| number.trim().parse::<u64>());
            let entries: Result<Vec<u64>, _> = numbers.collect();
            let entries = entries.map_err(|e| format!("a number of entries: {e}"))?;
            vec![
                (Thing::NamedSet, lines("Name: ")),
                (Thing::NamedElement, entries.iter().sum()),
            ]
        }
        Reader::IpvsadmSave => vec![
            (Thing::Server, lines("-A ")),
            (Thing::Destination, lines("-a ")),
        ],
        Reader::IpAddress => vec![(Thing::Address, text.lines().count() as u64)],
        _ => Vec::new(),
    })
}

/// Addresses of this node in /proc/net/fib_trie: each stands above "/32 host LOCAL", in one table or in two.
fn local_addresses(text: &str) -> BTreeSet<Ipv4Addr> {
    let mut above: Option<Ipv4Addr> = None;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            above = address.trim().parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(above);
        }
    }
    found
}

/// A script of nft, counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Script {
    rules: u64,
    chains: u64,
    sets: u64,
    elements: u64,
}

impl Script {
    /// A block of a table begins and ends with one tab, its lines with two; elements of a set are divided by commas, of which
    /// no key, value or comment of ours has any. Elements that rules have put there have a time, and do not count.
    fn of(text: &str) -> Self {
        let mut counted = Self::default();
        let (mut chain, mut fades, mut elements) = (false, false, false);
        for line in text.lines() {
            let block = line
                .strip_prefix('\t')
                .filter(|rest| !rest.starts_with('\t'));
            if let Some(opened) = block.and_then(|rest| rest.strip_suffix(" {")) {
                chain = opened.starts_with("chain ");
                fades = false;
                counted.chains += u64::from(chain);
                counted.sets += u64::from(opened.starts_with("set ") || opened.starts_with("map "));
                continue;
            }
            let words = line.trim();
            if chain {
                let said = words.starts_with("type ") || words.starts_with("comment ");
                let rule = line.starts_with("\t\t") && !words.is_empty() && !said;
                counted.rules += u64::from(rule);
                continue;
            }
            fades |= words.starts_with("timeout ")
                || words.starts_with("flags ") && words.contains("timeout");
            let first = words.strip_prefix("elements = {");
            elements |= first.is_some();
            if elements && !fades {
                let words = first.unwrap_or(words).trim_end_matches('}').trim();
                let pieces = words.split(',').filter(|piece| !piece.trim().is_empty());
                counted.elements += pieces.count() as u64;
            }
            elements &= !words.ends_with('}');
        }
        counted
    }
}

/// The JSON of nft, as far as it is counted.
#[derive(Debug, Deserialize)]
struct Json {
    nftables: Vec<Object>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    rule: Option<IgnoredAny>,
    chain: Option<IgnoredAny>,
    set: Option<Elements>,
    map: Option<Elements>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Elements {
    elem: Vec<IgnoredAny>,
    timeout: Option<IgnoredAny>,
}

impl Json {
    fn of(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    fn rules(&self) -> u64 {
        self.nftables
            .iter()
            .filter(|one| one.rule.is_some())
            .count() as u64
    }

    fn chains(&self) -> u64 {
        let all = self.nftables.iter();
        all.filter(|one| one.chain.is_some()).count() as u64
    }

    fn with_elements(&self) -> impl Iterator<Item = &Elements> {
        let all = self.nftables.iter();
        all.filter_map(|one| one.set.as_ref().or(one.map.as_ref()))
    }

    fn sets(&self) -> u64 {
        self.with_elements().count() as u64
    }

    /// Without what rules have put there.
    fn elements(&self) -> u64 {
        let kept = self.with_elements().filter(|of| of.timeout.is_none());
        kept.map(|of| of.elem.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_counted_without_headers_comments_and_elements_that_rules_made() {
        let text = "\
table ip kube-proxy {
\tcomment \"rules for kube-proxy\"

\tset cluster-ips {
\t\ttype ipv4_addr
\t\tcomment \"Active ClusterIPs\"
\t\telements = { 10.96.0.1, 10.96.0.2,
\t\t\t     10.96.0.3 }
\t}

\tset affinity-1 {
\t\ttype ipv4_addr
\t\tflags dynamic,timeout
\t\ttimeout 3h
\t\telements = { 10.0.0.9 timeout 3h expires 2h59m59s }
\t}

\tmap service-ips {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t\telements = { 10.96.0.1 . tcp . 80 comment \"a/b:p\" : goto service-1 }
\t}

\tmap no-endpoint-services {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t}

\tchain nat-prerouting {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\tcounter packets 0 bytes 0
\t\tjump services
\t}

\tchain service-1 {
\t\tcomment \"a\"
\t\tip saddr != 10.0.0.0/8 jump mark
\t\tnumgen random mod 2 vmap { 0 : goto e-1, 1 : goto e-2 }
\t}
}
";
        let wanted = Script {
            rules: 4,
            chains: 2,
            sets: 4,
            elements: 4,
        };
        assert_eq!(Script::of(text), wanted);
        let short = text.replacen("10.96.0.2,", "", 1);
        assert_eq!(Script::of(&short).elements, 3);
    }

    #[test]
    fn the_json_is_counted_by_its_objects_and_not_by_what_rules_say() {
        let text = r#"{"nftables": [{"metainfo": {}}, {"table": {"name": "kube-proxy"}},
            {"chain": {"name": "a"}}, {"chain": {"name": "b"}},
            {"set": {"name": "s", "elem": ["10.96.0.1", {"elem": {"val": "10.96.0.2", "comment": "{\"rule\": 1"}}]}},
            {"set": {"name": "t", "timeout": 10800, "elem": ["10.0.0.9"]}}, {"map": {"name": "m"}},
            {"rule": {"chain": "a", "expr": [{"vmap": {"data": {"set": [[0, {"goto": {"target": "b"}}]]}}}]}}]}"#;
        let json = Json::of(text).unwrap();
        let counted = [json.rules(), json.chains(), json.sets(), json.elements()];
        assert_eq!(counted, [1, 2, 3, 2]);
        assert!(Json::of(&text[..text.len() - 1]).is_err());
    }

    #[test]
    fn an_address_counts_once_though_two_tables_have_it_and_networks_do_not() {
        let table = "  +-- 0.0.0.0/0 3 0 5\n     |-- 10.96.0.1\n        /32 host LOCAL\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        let text = format!("Main:\n{table}Local:\n{table}");
        let wanted = ["10.96.0.1", "127.0.0.1"].map(|a| a.parse().unwrap());
        assert_eq!(local_addresses(&text), BTreeSet::from(wanted));
    }

    #[test]
    fn texts_of_the_other_tools_are_counted_by_their_lines() {
        let counted = |reader, text: &str| of_text(reader, text).unwrap();
        let rules = "# Generated by iptables-save v1.8.9 on Mon\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\nCOMMIT\n";
        assert_eq!(
            counted(Reader::IptablesSave, rules),
            [(Thing::Rule, 1), (Thing::Chain, 1)]
        );
        assert!(of_text(Reader::IptablesSave, "# Table `nat' is incompatible\n").is_err());
        let sets =
            "create S hash:ip,port family inet\nadd S 10.96.0.1,tcp:80\nadd S 10.96.0.2,tcp:80\n";
        assert_eq!(
            counted(Reader::IpsetSave, sets),
            [(Thing::NamedSet, 1), (Thing::NamedElement, 2)]
        );
        let terse =
            "Name: S\nType: hash:ip\nNumber of entries: 2\n\nName: T\nNumber of entries: 3\n";
        assert_eq!(
            counted(Reader::IpsetTerse, terse),
            [(Thing::NamedSet, 2), (Thing::NamedElement, 5)]
        );
        assert!(of_text(Reader::IpsetTerse, "Number of entries: many\n").is_err());
        let servers = "-A -t 10.96.0.1:80 -s rr\n-a -t 10.96.0.1:80 -r 10.128.0.1:8080 -m -w 1\n";
        assert_eq!(
            counted(Reader::IpvsadmSave, servers),
            [(Thing::Server, 1), (Thing::Destination, 1)]
        );
    }
}
