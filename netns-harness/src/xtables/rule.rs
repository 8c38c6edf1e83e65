//! One iptables rule, parsed from the words that `iptables-save` prints and `iptables-restore` takes
//! (`iptables(8)`, `iptables-extensions(8)`). A word that is not understood is kept, not skipped: the
//! tracer refuses to guess.

use std::net::{IpAddr, SocketAddr};

use crate::service::{Cidr, Endpoint, Frontend, Plan, family};

/// What a rule does with a packet that it matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Target {
    /// Counts only.
    #[default]
    None,
    /// `-j chain`.
    Jump(String),
    /// `-g chain`.
    Goto(String),
    /// `-j RETURN`.
    Return,
    /// `-j ACCEPT`.
    Accept,
    /// `-j REJECT`.
    Refuse,
    /// `-j DROP`.
    Drop,
    /// `-j DNAT --to-destination`.
    Dnat(Endpoint),
    /// `-j MASQUERADE`.
    Masquerade,
    /// `-j MARK`: bits of `mask` are cleared, then those of `value` turned (`mark_tg` in net/netfilter/xt_mark.c).
    Mark { value: u32, mask: u32 },
    /// `-j SET --map-set NAME dst,dst --map-mark`: the mark that the set has for the destination.
    MapMark(String),
}

/// A match that can be negated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match<T> {
    pub(crate) value: T,
    pub(crate) negated: bool,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Rule {
    pub(crate) source: Option<Match<Cidr>>,
    pub(crate) destination: Option<Match<Cidr>>,
    pub(crate) protocol: Option<String>,
    pub(crate) destination_port: Option<u16>,
    /// `statistic --mode random --probability`.
    pub(crate) probability: Option<f64>,
    /// `mark`, `conntrack`, `addrtype`: matches on state that a first packet does not have.
    pub(crate) state: Option<State>,
    /// `recent`: a list of the sources of late.
    pub(crate) recent: Option<Recent>,
    /// `nfacct --nfacct-name`: the counter ([`crate::accounts`]). Without a quota it matches every packet
    /// (`nfnl_acct_overquota` in net/netfilter/nfnetlink_acct.c).
    pub(crate) account: Option<String>,
    pub(crate) target: Target,
    /// `MASQUERADE --random-fully`.
    pub(crate) random_fully: bool,
    /// Words that were not understood.
    pub(crate) unknown: Vec<String>,
}

/// Matches whose answer for the first packet of a client's flow is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// `mark [!] --mark value/mask` (`net/netfilter/xt_mark.c`, `mark_mt`).
    Mark {
        value: u32,
        mask: u32,
        negated: bool,
    },
    /// `addrtype --dst-type LOCAL`: true of addresses of the node alone; a VIP is none.
    LocalDestination,
    /// `addrtype --src-type LOCAL`: the node itself sends.
    LocalSource,
    /// `conntrack --ctstate` with NEW.
    New,
    /// `conntrack --ctstate` without NEW.
    NotNew,
    /// `conntrack [!] --ctstate` with DNAT and without NEW: of first packets, those that go elsewhere than they were
    /// sent (`XT_CONNTRACK_STATE_DNAT` in `net/netfilter/xt_conntrack.c`).
    Translated { negated: bool },
}

/// What is done with a list of sources (`recent_mt` in net/netfilter/xt_recent.c). Lists are of whole addresses, which
/// iptables-save says by a mask of ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Recent {
    /// The list's name.
    pub(crate) name: String,
    /// `--set`: the source is noted; always true.
    pub(crate) set: bool,
    /// `--rcheck`: true of a source that is in the list.
    pub(crate) check: bool,
    /// `--seconds`: not longer than that ago.
    pub(crate) seconds: Option<u32>,
    /// `--reap`: older sources leave the list.
    pub(crate) reap: bool,
}

/// Whether a mask is that of one address.
fn is_ones(mask: IpAddr) -> bool {
    match mask {
        IpAddr::V4(mask) => mask.to_bits() == u32::MAX,
        IpAddr::V6(mask) => mask.to_bits() == u128::MAX,
    }
}

/// Whether an address is one of the lab's node.
pub(crate) fn is_local(address: IpAddr) -> bool {
    let plan = Plan::of(family(address));
    let own = [plan.client_link.host(1), plan.node()];
    address.is_loopback() || own.contains(&address)
}

/// Splits a line into words; double quotes group, as in iptables-save.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' if quoted => word.extend(characters.next()),
            '"' => {
                quoted = !quoted;
                any = true;
            }
            c if c.is_whitespace() && !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// `a.b.c.d` or `a.b.c.d/n`, or the same of IPv6.
fn cidr(text: &str) -> Option<Cidr> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Some(Cidr::one(text.parse().ok()?));
    };
    let one = Cidr::one(address.parse().ok()?);
    let prefix = prefix.parse().ok().filter(|p| *p <= one.prefix)?;
    Some(Cidr { prefix, ..one })
}

fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// `0x4000/0x4000`.
fn value_and_mask(text: &str) -> Option<(u32, u32)> {
    let (value, mask) = text.split_once('/')?;
    Some((number(value)?, number(mask)?))
}

/// What an operation of target MARK does, as it is sent and as it is saved.
fn marking(operation: &str, word: &str) -> Option<Target> {
    let (value, mask) = match operation {
        "--set-xmark" => value_and_mask(word)?,
        "--or-mark" => (number(word)?, number(word)?),
        "--xor-mark" => (number(word)?, 0),
        _ => return None,
    };
    Some(Target::Mark { value, mask })
}

fn endpoint(text: &str) -> Option<Endpoint> {
    text.parse::<SocketAddr>().ok().map(Endpoint::from)
}

/// Matches of which each word is understood.
const MATCHES: [&str; 9] = [
    "comment",
    "recent",
    "tcp",
    "udp",
    "statistic",
    "mark",
    "conntrack",
    "addrtype",
    "nfacct",
];

/// Parses the words that follow `-A CHAIN`.
pub(crate) fn parse(words: &[String]) -> Rule {
    let mut rule = Rule::default();
    let mut words = words.iter().map(String::as_str);
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        if rule.take(word, negated, &mut words).is_none() {
            rule.unknown.push(word.to_owned());
        }
        negated = false;
    }
    rule
}

fn jump(target: &str) -> Target {
    match target {
        "ACCEPT" => Target::Accept,
        "DROP" => Target::Drop,
        "REJECT" => Target::Refuse,
        "RETURN" => Target::Return,
        "MASQUERADE" => Target::Masquerade,
        // Complete only with what follows: an operation, --to-destination, --map-set.
        "MARK" | "DNAT" | "SET" => Target::None,
        chain => Target::Jump(chain.to_owned()),
    }
}

impl Rule {
    /// Takes in an option with the words that belong to it; `None` when it is not understood.
    fn take<'a>(
        &mut self,
        option: &str,
        negated: bool,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Option<()> {
        let mut next = || words.next();
        let network = |text| {
            let value = cidr(text)?;
            Some(Match { value, negated })
        };
        match (option, negated) {
            ("-s", _) => self.source = Some(network(next()?)?),
            ("-d", _) => self.destination = Some(network(next()?)?),
            ("--mark", _) => {
                let (value, mask) = value_and_mask(next()?)?;
                self.state = Some(State::Mark {
                    value,
                    mask,
                    negated,
                });
            }
            ("--ctstate", _) => {
                let states = next()?;
                let has = |wanted| states.split(',').any(|state| state == wanted);
                self.state = Some(match (has("NEW"), has("DNAT")) {
                    (false, true) => State::Translated { negated },
                    (new, _) if new == negated => State::NotNew,
                    _ => State::New,
                });
            }
            (_, true) => return None,
            ("-m", _) => {
                let name = next()?;
                MATCHES.contains(&name).then_some(())?;
            }
            ("--mode", _) if next()? == "random" => {}
            ("--comment" | "--reject-with", _) => drop(next()?),
            ("--nfacct-name", _) => self.account = Some(next()?.to_owned()),
            ("-p", _) => self.protocol = Some(next()?.to_owned()),
            ("--dport", _) => self.destination_port = Some(next()?.parse().ok()?),
            ("--probability", _) => self.probability = Some(next()?.parse().ok()?),
            ("--dst-type", _) if next()? == "LOCAL" => self.state = Some(State::LocalDestination),
            ("--src-type", _) if next()? == "LOCAL" => self.state = Some(State::LocalSource),
            ("--name", _) => self.recent().name = next()?.to_owned(),
            ("--set", _) => self.recent().set = true,
            ("--rcheck", _) => self.recent().check = true,
            ("--reap", _) => self.recent().reap = true,
            ("--seconds", _) => self.recent().seconds = Some(next()?.parse().ok()?),
            ("--rsource", _) => {}
            ("--mask", _) => {
                let mask: IpAddr = next()?.parse().ok()?;
                is_ones(mask).then_some(())?;
            }
            ("-j", _) => self.target = jump(next()?),
            ("-g", _) => self.target = Target::Goto(next()?.to_owned()),
            ("--to-destination", _) => self.target = Target::Dnat(endpoint(next()?)?),
            ("--map-set", _) => {
                self.target = Target::MapMark(next()?.to_owned());
                let rest = (next()?, next()?);
                (rest == ("dst,dst", "--map-mark")).then_some(())?;
            }
            ("--set-xmark" | "--or-mark" | "--xor-mark", _) => {
                self.target = marking(option, next()?)?;
            }
            ("--random-fully", _) => self.random_fully = true,
            _ => return None,
        }
        Some(())
    }

    fn recent(&mut self) -> &mut Recent {
        self.recent.get_or_insert_default()
    }

    /// Whether the first packet of a client that sent none before matches when it bears `mark`, and was sent elsewhere
    /// when it is `translated`; the probability is not looked at.
    pub(crate) fn matches(
        &self,
        source: IpAddr,
        to: Frontend,
        packet_mark: u32,
        translated: bool,
    ) -> bool {
        let inside = |m: &Option<Match<Cidr>>, address| {
            m.as_ref()
                .is_none_or(|m| m.value.contains(address) != m.negated)
        };
        inside(&self.source, source)
            && inside(&self.destination, to.vip)
            && self
                .protocol
                .as_deref()
                .is_none_or(|p| p == to.protocol.name() || p == "all")
            && self.destination_port.is_none_or(|p| p == to.port)
            && !self.recent.as_ref().is_some_and(|recent| recent.check)
            && self.state.is_none_or(|state| match state {
                State::Mark {
                    value,
                    mask,
                    negated,
                } => (packet_mark & mask == value) != negated,
                State::New => true,
                State::NotNew => false,
                State::LocalDestination => is_local(to.vip),
                State::LocalSource => is_local(source),
                State::Translated { negated } => translated != negated,
            })
    }

    /// The destination, when the rule names exactly one.
    pub(crate) fn exact_destination(&self) -> Option<Frontend> {
        let destination = self.destination.as_ref();
        let exact = destination.filter(|d| !d.negated && d.value.host_bits() == 0)?;
        Some(Frontend {
            vip: exact.value.network,
            port: self.destination_port?,
            protocol: self.protocol.as_deref()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_means_the_same_as_sent_and_as_saved() {
        let sent = "-m comment --comment \"bench/svc-0:p80 cluster IP\" -m tcp -p tcp -d 10.96.0.1 --dport 80 ! -s 10.128.0.0/9 -j KUBE-MARK-MASQ";
        let saved = "! -s 10.128.0.0/9 -d 10.96.0.1/32 -p tcp -m comment --comment \"bench/svc-0:p80 cluster IP\" -m tcp --dport 80 -j KUBE-MARK-MASQ";
        assert_eq!(parse(&words(sent)), parse(&words(saved)));
        assert!(parse(&words(sent)).unknown.is_empty());
    }

    #[test]
    fn a_rule_of_ip6tables_names_its_addresses_as_ipv4s_does() {
        let vip: IpAddr = "fd00:10:96::1".parse().unwrap();
        let rule = |text: &str| parse(&words(text));
        let portal = rule("-d fd00:10:96::1/128 -p tcp -m tcp --dport 80 -j KUBE-SVC-A");
        let to = portal.exact_destination().unwrap();
        assert_eq!((to.vip, to.port), (vip, 80));
        assert!(portal.matches(vip, to, 0, false));
        let dnat = rule("-p tcp -m tcp -j DNAT --to-destination [fd00:10:128::1]:8080");
        let endpoint = Endpoint {
            address: "fd00:10:128::1".parse().unwrap(),
            port: 8080,
        };
        assert_eq!(dnat.target, Target::Dnat(endpoint));
        assert!(!rule("-s fd00::/129 -j RETURN").unknown.is_empty());
        // Of the node-port rule, and as ip6tables-save prints a refusal.
        let ports = rule("! -d ::1/128 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS");
        assert_eq!(
            ports,
            rule("-m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS")
        );
        assert_eq!((ports.exact_destination(), ports.unknown.len()), (None, 0));
        let refusal = rule("-p tcp -j REJECT --reject-with icmp6-port-unreachable");
        assert_eq!((refusal.target, refusal.unknown.len()), (Target::Refuse, 0));
        assert!(!rule("-s 10.0.0.0/8 -j RETURN").matches(vip, to, 0, false));
    }

    #[test]
    fn a_mark_match_is_a_comparison_under_a_mask() {
        let to = Frontend {
            vip: IpAddr::from([10, 96, 0, 1]),
            port: 80,
            protocol: schema::Protocol::Tcp,
        };
        let matches = |rule: &str, mark| parse(&words(rule)).matches(to.vip, to, mark, false);
        let nibble = "-m mark --mark 0x20000000/0xf0000000 -g KUBE-ID-2";
        assert!(matches(nibble, 0x2fff_4000) && !matches(nibble, 0x3000_0000));
        let unmarked = "-m mark ! --mark 0x4000/0x4000 -j RETURN";
        assert!(matches(unmarked, 0) && !matches(unmarked, 0x1_4000));
    }

    #[test]
    fn a_mark_is_set_as_the_saved_form_says() {
        let target = |rule: &str| parse(&words(rule)).target;
        for (sent, saved) in [
            ("--or-mark 0x4000", "--set-xmark 0x4000/0x4000"),
            ("--xor-mark 0x4000", "--set-xmark 0x4000/0x0"),
        ] {
            let as_sent = target(&format!("-j MARK {sent}"));
            assert_eq!(as_sent, target(&format!("-j MARK {saved}")));
            assert_ne!(as_sent, target("-j MARK --or-mark 0x8000"));
        }
    }

    #[test]
    fn the_set_target_is_understood_only_when_it_maps_the_mark_of_the_destination() {
        let target = |rule: &str| parse(&words(rule));
        let whole = target("-j SET --map-set A dst,dst --map-mark");
        assert_eq!(
            (whole.target, whole.unknown.len()),
            (Target::MapMark("A".to_owned()), 0)
        );
        for other in [
            "--map-set A src,dst --map-mark",
            "--map-set A dst,dst --map-prio",
            "--add-set A dst,dst",
        ] {
            assert!(
                !target(&format!("-j SET {other}")).unknown.is_empty(),
                "{other}"
            );
        }
    }

    #[test]
    fn a_list_of_late_sources_means_the_same_as_sent_and_as_saved() {
        let rule = |text: &str| parse(&words(text));
        let sent =
            rule("-m recent --name KUBE-SEP-A --rcheck --seconds 10800 --reap -j KUBE-SEP-A");
        for mask in ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            let saved = format!(
                "-m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --mask {mask} --rsource -j KUBE-SEP-A"
            );
            assert_eq!(rule(&saved), sent);
        }
        assert!(sent.unknown.is_empty());
        let noted = rule("-m recent --name KUBE-SEP-A --set -m tcp -p tcp -j RETURN");
        let saved = "-p tcp -m recent --set --name KUBE-SEP-A --mask 255.255.255.255 --rsource -m tcp -j RETURN";
        assert_eq!(noted, rule(saved));
        let to = Frontend {
            vip: IpAddr::from([10, 96, 0, 1]),
            port: 80,
            protocol: schema::Protocol::Tcp,
        };
        // Nobody is in a list before its first packet.
        assert!(noted.matches(to.vip, to, 0, false) && !sent.matches(to.vip, to, 0, false));
        for other in ["--update", "--mask 255.255.0.0", "--rdest", "--hitcount 2"] {
            let unknown = rule(&format!("-m recent --name A --rcheck {other} -j DROP")).unknown;
            assert!(!unknown.is_empty(), "{other}");
        }
    }

    #[test]
    fn addresses_of_the_node_are_local_as_sources_and_as_destinations() {
        let plan = Plan::of(schema::Family::Ipv4);
        let to = |vip| Frontend {
            vip,
            port: 30_001,
            protocol: schema::Protocol::Tcp,
        };
        let matches =
            |rule: &str, source, vip| parse(&words(rule)).matches(source, to(vip), 0, false);
        let ports = "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS";
        let own = "-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ";
        let (node, client) = (plan.node(), plan.client());
        assert!(matches(ports, client, node) && !matches(ports, client, plan.services.host(1)));
        assert!(matches(own, node, node) && !matches(own, client, node));
    }

    #[test]
    fn a_drop_is_no_refusal() {
        let target = |rule: &str| parse(&words(rule)).target;
        assert_eq!(target("-j DROP"), Target::Drop);
        assert_ne!(target("-j DROP"), target("-j REJECT"));
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        assert_eq!(
            parse(&words("-p tcp -m time --timestart 10:00 -j ACCEPT")).unknown,
            ["-m", "--timestart", "10:00"]
        );
    }
}
