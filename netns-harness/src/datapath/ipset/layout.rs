//! The mode's rules as text and its elements as commands: what is the same whatever the update.

use std::fmt::Display;

use ipset_sys::{Command, Create, Entry, SetType};
use schema::{Family, Protocol};

use super::ids::{ById, Id, LEVELS, MARK_MASK, Prefix};
use crate::datapath::iptables::layout::nat_chains;
use crate::datapath::iptables::service_chain;
use crate::datapath::steps::of_sets;
use crate::service::{Exposure, Service};
use crate::xtables::RestoreText;
use crate::xtables::tables::Tables;

/// The set whose elements mark packets of a family, named as kube-proxy names those of IPv6 (`NewIPSet` in
/// pkg/proxy/ipvs/ipset.go).
pub(super) const fn set(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "KUBE-SERVICE-IPS",
        Family::Ipv6 => "KUBE-6-SERVICE-IPS",
    }
}

/// Its successor while a resync fills it.
pub(super) const fn new_set(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "KUBE-SERVICE-IPS-NEW",
        Family::Ipv6 => "KUBE-6-SERVICE-IPS-NEW",
    }
}

/// Whether a set is the mode's for that family.
pub(super) fn is_of(name: &str, family: Family) -> bool {
    [set(family), new_set(family)].contains(&name)
}
/// The chain of table mangle that looks a destination up.
const LOOKUP_CHAIN: &str = "KUBE-SERVICES";
/// Room in a set: ipset's default, one more than there are ids.
const MAX_ELEMENTS: u32 = 65_536;

/// Why the mode does not lay a service out; `None`: it does. A set's element is a destination and leads to one chain of
/// endpoints: client affinity is this chain's own affair, and all else would take chains and sets that nobody has proposed.
pub(super) fn unsupported(service: &Service) -> Option<&'static str> {
    let inside = Exposure {
        affinity_s: service.exposure.affinity_s,
        ..Exposure::default()
    };
    match () {
        () if service.exposure != inside => Some(
            "mode ipset looks up ClusterIPs alone: it has no layout for node ports, external addresses and traffic policies",
        ),
        () if service.endpoints.is_empty() => Some(
            "mode ipset leads every service to a chain of its endpoints, and has no layout for one without",
        ),
        () => None,
    }
}

/// `create NAME hash:ip,port family FAMILY skbinfo`.
pub(super) fn create(name: &str, family: Family) -> Command {
    Command::Create(Create {
        name: name.to_owned(),
        set_type: SetType::HashIpPort,
        family: of_sets(family),
        max_elements: MAX_ELEMENTS,
        hash_size: None,
        skbinfo: true,
    })
}

/// A service's element, with the mark that leads to its chain.
pub(super) fn element(service: &Service) -> Entry {
    Entry {
        mark: Some(Id::of(service).mark()),
        ..key(service)
    }
}

/// The element without its mark: what names it in a deletion.
pub(super) fn key(service: &Service) -> Entry {
    Entry {
        address: service.frontend.vip,
        protocol: match service.frontend.protocol {
            Protocol::Tcp => libc::IPPROTO_TCP as u8,
            Protocol::Udp => libc::IPPROTO_UDP as u8,
        },
        port: service.frontend.port,
        second: None,
        prefix: None,
        mark: None,
    }
}

/// Table nat's shared chains, declared.
pub(super) fn declare_shared(text: &mut RestoreText) {
    let chains = nat_chains(text.family).iter();
    chains.for_each(|chain| text.declare(chain));
    text.declare(&Prefix::ROOT.to_string());
}

/// Table nat's shared rules; `first`: with the jumps from the built-in chains.
pub(super) fn shared_rules(text: &mut RestoreText, first: bool) {
    text.jumps("nat", first);
    text.nat_rules_first();
    // A packet for no service passes this one rule of the dispatch.
    text.operation(format_args!(
        "-A KUBE-SERVICES -m mark ! --mark 0x0/{MARK_MASK:#x} -g {}",
        Prefix::ROOT
    ));
    text.nat_rules_last();
}

/// The whole section of table mangle, the only one in which xt_set maps marks
/// (`net/netfilter/xt_set.c`, `set_target_v3_checkentry`). It is what opens the way for packets, so it
/// comes last in an installation.
pub(super) fn mangle_section(text: &mut RestoreText, first: bool) {
    text.begin("mangle");
    text.declare(LOOKUP_CHAIN);
    for chain in ["PREROUTING", "OUTPUT"].iter().filter(|_| first) {
        text.operation(format_args!(
            "-A {chain} -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j {LOOKUP_CHAIN}"
        ));
    }
    let set = set(text.family);
    text.operation(format_args!(
        "-A {LOOKUP_CHAIN} -j SET --map-set {set} dst,dst --map-mark"
    ));
    text.commit();
}

/// Declares the dispatch chains that `id` is the first to need when `before` is the id before it, in
/// ascending order.
pub(super) fn declare_path(text: &mut RestoreText, before: Option<Id>, id: Id) {
    for nibbles in first_new(before, id)..LEVELS {
        if nibbles > 0 {
            text.declare(&id.prefix(nibbles).to_string());
        }
    }
}

/// The dispatch rules that `service` is the first to need when `before` is the id before its own: one in
/// each chain from the last that both share, down to the one that leads to the service.
pub(super) fn path_rules(text: &mut RestoreText, before: Option<Id>, service: &Service) {
    let id = Id::of(service);
    let last_shared = first_new(before, id).saturating_sub(1);
    for nibbles in last_shared..LEVELS {
        dispatch_rule(text, id.prefix(nibbles + 1), service);
    }
}

/// Length of the shortest prefix of `id` that no smaller id has.
fn first_new(before: Option<Id>, id: Id) -> u8 {
    before.map_or(0, |before| id.common_nibbles(before) + 1)
}

/// All rules of a prefix's chain.
pub(super) fn chain_rules(text: &mut RestoreText, prefix: Prefix, services: &ById<'_>) {
    let mut last = None;
    for (id, service) in services.range(prefix.ids()) {
        let child = id.prefix(prefix.nibbles() + 1);
        if last != Some(child) {
            dispatch_rule(text, child, service);
            last = Some(child);
        }
    }
}

/// The rule that leads on to `child`: to its chain, or to the service's when the id is complete.
fn dispatch_rule(text: &mut RestoreText, child: Prefix, service: &Service) {
    let (value, mask) = child.last_nibble();
    let mut rule = |target: &dyn Display| {
        if let Some(chain) = child.parent() {
            text.operation(format_args!(
                "-A {chain} -m mark --mark {value:#x}/{mask:#x} -g {target}"
            ));
        }
    };
    if child.nibbles() == LEVELS {
        rule(&service_chain(service));
    } else {
        rule(&child);
    }
}

/// Tables without services of a family.
pub(super) fn base(family: Family) -> Tables {
    let mut text = RestoreText::new(family, true);
    text.filter_section(true, &[]);
    text.begin("nat");
    declare_shared(&mut text);
    shared_rules(&mut text, true);
    text.commit();
    mangle_section(&mut text, true);
    Tables::of(&text.finish().0)
}
