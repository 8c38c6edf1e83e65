//! Sets and maps of nftables, in a table of their own.

use std::collections::BTreeSet;

use nft_codec::{Act, Element, Key, L4Proto, Name, Op, TableFamily, Verdict};
use schema::{Family, ListKind, ListWay, Transport};

use super::members::Changed;
use super::{List, Listed, Member, Members, beside, output, words};
use crate::HarnessError;
use crate::datapath::Batch;
use crate::datapath::nftables::{Nft, Script, Transaction};
use crate::datapath::steps::Tool as _;

const TABLE: &str = "bench-list";
/// No word of the tool's own.
const NAME: &str = "members";

fn family(list: &List) -> TableFamily {
    match list.family() {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    }
}

/// Fields of its keys.
fn is_concatenated(kind: ListKind) -> bool {
    matches!(kind, ListKind::Concatenated | ListKind::Ranges)
}

pub(super) fn make(list: &List) -> Result<(), HarnessError> {
    let (kind, family) = (list.kind(), family(list));
    let address = match family {
        TableFamily::Ip => "ipv4_addr",
        TableFamily::Ip6 => "ipv6_addr",
    };
    let key = match is_concatenated(kind) {
        true => format!("{address} . inet_proto . inet_service"),
        false => address.to_owned(),
    };
    let (object, data) = match kind {
        ListKind::VerdictMap => ("map", " : verdict"),
        _ => ("set", ""),
    };
    let flags = match kind {
        ListKind::Interval | ListKind::Ranges => " flags interval ;",
        ListKind::Merged => " flags interval ; auto-merge ;",
        _ => "",
    };
    let [listed, otherwise] = list.listed.targets().map(str::to_lowercase);
    let rule = match kind {
        ListKind::VerdictMap => format!("{family} daddr vmap @{NAME}"),
        _ if is_concatenated(kind) => {
            format!("{family} daddr . meta l4proto . th dport @{NAME} {listed}")
        }
        _ => format!("{family} daddr @{NAME} {listed}"),
    };
    let text = format!(
        "add table {family} {TABLE}\n\
         add {object} {family} {TABLE} {NAME} {{ type {key}{data} ;{flags} }}\n\
         add chain {family} {TABLE} forward {{ type filter hook forward priority 0 ; policy {otherwise} ; }}\n\
         add rule {family} {TABLE} forward {rule}\n"
    );
    Nft.read(&text)
}

/// Its first key and its last.
fn keys(list: &List, member: Member) -> [Key; 2] {
    let Member { first, prefix } = member;
    let whole = match list.family() {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    };
    let last = if prefix < whole {
        beside(member).first
    } else {
        first
    };
    let [port, last_port] = Members::ports();
    match list.kind() {
        ListKind::Concatenated => [Key::AddressProtoPort(first, L4Proto::UDP, port); 2],
        ListKind::Ranges => [
            Key::AddressProtoPort(first, L4Proto::UDP, port),
            Key::AddressProtoPort(last, L4Proto::UDP, last_port),
        ],
        _ => [Key::Address(first), Key::Address(last)],
    }
}

fn is_of_intervals(kind: ListKind) -> bool {
    kind.row().prefixes > 0
}

fn op(list: &List, act: Act) -> Op {
    Op {
        family: family(list),
        table: Name::new(TABLE),
        act,
    }
}

fn sent(list: &List, act: Act, by: Transport) -> Batch {
    let ops = vec![op(list, act)];
    match by {
        Transport::Nft => Batch::of(Some(Script::new(&ops))),
        _ => Batch::of(Some(Transaction::new(1, ops, false))),
    }
}

/// What puts entries in.
fn adding(list: &List, members: &[Member]) -> Act {
    let name = Name::new(NAME);
    if is_of_intervals(list.kind()) {
        let mut all: Vec<[Key; 2]> = members.iter().map(|m| keys(list, *m)).collect();
        // As the tool sends them.
        all.sort_unstable();
        return Act::AddIntervals(name, all);
    }
    let verdict = (list.kind() == ListKind::VerdictMap).then_some(match list.listed {
        Listed::Pass => Verdict::Accept,
        Listed::Drop => Verdict::Drop,
    });
    let element = |member: &Member| Element::new(keys(list, *member)[0], verdict.clone());
    Act::AddElements(name, members.iter().map(element).collect())
}

/// What takes entries out.
fn deleting(list: &List, members: &[Member]) -> Act {
    let name = Name::new(NAME);
    let all = members.iter().map(|member| keys(list, *member));
    match is_of_intervals(list.kind()) {
        true => Act::DeleteIntervals(name, all.collect()),
        false => Act::DeleteElements(name, all.map(|[key, _]| key).collect()),
    }
}

pub(super) fn entered(list: &List, members: &[Member], by: Transport) -> Batch {
    sent(list, adding(list, members), by)
}

pub(super) fn struck(list: &List, member: Member, by: Transport) -> Batch {
    sent(list, deleting(list, &[member]), by)
}

/// The differences in one transaction, or all anew in one or in two.
pub(super) fn replaced(list: &List, way: ListWay, members: &Changed) -> Option<Batch> {
    let is_map = list.kind() == ListKind::VerdictMap;
    let flush = Act::FlushSet(Name::new(NAME), is_map);
    let acts = match way {
        ListWay::Transaction => vec![vec![
            deleting(list, &members.leaving),
            adding(list, &members.coming),
        ]],
        ListWay::FlushAdd => vec![vec![flush], vec![adding(list, &members.all)]],
        ListWay::FlushAddAtOnce => vec![vec![flush, adding(list, &members.all)]],
        _ => return None,
    };
    let transactions = (1..).zip(acts).map(|(number, acts)| {
        let ops = acts.into_iter().map(|act| op(list, act)).collect();
        Transaction::new(number, ops, false)
    });
    Some(Batch::of_all(transactions))
}

/// An entry as it is listed.
pub(super) fn text(list: &List, member: Member) -> String {
    let [port, last_port] = Members::ports();
    let udp = libc::IPPROTO_UDP;
    match list.kind() {
        ListKind::Concatenated => format!("{} . {udp} . {port}", member.text()),
        ListKind::Ranges => format!("{} . {udp} . {port}-{last_port}", member.text()),
        ListKind::VerdictMap => {
            let [listed, _] = list.listed.targets().map(str::to_lowercase);
            format!("{} : {listed}", member.text())
        }
        _ => member.text(),
    }
}

fn object(list: &List) -> &'static str {
    match list.kind() {
        ListKind::VerdictMap => "map",
        _ => "set",
    }
}

pub(super) fn listed(list: &List) -> Result<BTreeSet<String>, HarnessError> {
    let family = family(list).to_string();
    let text = output(&["nft", "-n", "list", object(list), &family, TABLE, NAME])?;
    let Some((_, elements)) = text.split_once("elements = {") else {
        return Ok(BTreeSet::new());
    };
    let elements = elements.split('}').next().unwrap_or_default();
    Ok(elements
        .split(',')
        .map(|element| element.trim().to_owned())
        .collect())
}

/// What takes the rule away.
pub(super) fn flush(list: &List) -> String {
    format!("nft flush chain {} {TABLE} forward", family(list))
}

pub(super) fn damage(list: &List, last: Member, moved: bool) -> Vec<Vec<String>> {
    let family = family(list);
    let line = |action: &str, member: Member| {
        let element = text(list, member);
        words(&format!(
            "nft {action} element {family} {TABLE} {NAME} {{ {element} }}"
        ))
    };
    // A moved network need not be one: only its first address is kept.
    let moved = moved.then(|| Member {
        prefix: match list.family() {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        },
        ..last
    });
    let added = moved.map(|member| line("add", beside(member)));
    std::iter::once(line("delete", last)).chain(added).collect()
}
