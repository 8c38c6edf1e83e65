//! Sets of ipset, which one rule of iptables looks into.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipset_sys::{Command, Entry};
use schema::{Family, ListKind, ListWay, Transport};

use super::members::Changed;
use super::{List, Member, Members, beside, output, words};
use crate::HarnessError;
use crate::datapath::Batch;
use crate::datapath::steps::{SetScript, Sets};
use crate::service::Plan;
use crate::xtables::tool;

const NAME: &str = "list";
/// Sets of a list:set: as many as it holds where nobody says (`IP_SET_LIST_DEFAULT_SIZE`).
const PARTS: u32 = 8;
/// Room for entries that are added, besides a tenth.
const MORE: u32 = 16;

pub(super) const fn module(kind: ListKind) -> Option<&'static str> {
    Some(match kind {
        ListKind::HashIp => "ip_set_hash_ip",
        ListKind::HashNet1 | ListKind::HashNet8 | ListKind::HashNet32 => "ip_set_hash_net",
        ListKind::HashIpPort => "ip_set_hash_ipport",
        ListKind::BitmapIp => "ip_set_bitmap_ip",
        ListKind::ListSet => "ip_set_list_set",
        _ => return None,
    })
}

/// What is filled beside the list and then swapped with it.
const SPARE: &str = "spare";

/// A part of a list:set.
fn part(nth: u32) -> String {
    format!("{NAME}-{nth}")
}

/// Command lines that make an empty set of that name.
fn created(list: &List, name: &str) -> Vec<String> {
    let members = list.members;
    let family = match list.family() {
        Family::Ipv4 => "inet",
        Family::Ipv6 => "inet6",
    };
    let hash = |of: &str, entries: u32| {
        let buckets = entries.max(64).next_power_of_two();
        let most = entries + entries / 10 + MORE;
        format!("{of} family {family} hashsize {buckets} maxelem {most}")
    };
    let create = |name: &str, of: &str| format!("ipset create {name} {of}");
    match list.kind() {
        ListKind::ListSet => {
            let each = members.entries().div_ceil(PARTS);
            let parts = (0..PARTS).map(part);
            let whole = create(name, &format!("list:set size {PARTS}"));
            let made = parts
                .clone()
                .map(|part| create(&part, &hash("hash:ip", each)));
            let put = parts.map(|part| format!("ipset add {name} {part}"));
            made.chain([whole]).chain(put).collect()
        }
        ListKind::BitmapIp => {
            let range = Plan::of(list.family()).endpoints;
            let [first, last] = [range.host(0), range.host(u16::MAX.into())];
            vec![create(name, &format!("bitmap:ip range {first}-{last}"))]
        }
        ListKind::HashIp => vec![create(name, &hash("hash:ip", members.entries()))],
        ListKind::HashIpPort => vec![create(name, &hash("hash:ip,port", members.entries()))],
        _ => vec![create(name, &hash("hash:net", members.entries()))],
    }
}

fn run(lines: &[String]) -> Result<(), HarnessError> {
    lines
        .iter()
        .try_for_each(|line| tool::command(&words(line)))
}

pub(super) fn make_spare(list: &List) -> Result<(), HarnessError> {
    run(&created(list, SPARE))
}

pub(super) fn make(list: &List) -> Result<(), HarnessError> {
    run(&created(list, NAME))?;
    let by = match list.kind() {
        ListKind::HashIpPort => "dst,dst",
        _ => "dst",
    };
    let [target, otherwise] = list.listed.targets();
    let text = format!(
        "*filter\n:FORWARD {otherwise} [0:0]\n-A FORWARD -m set --match-set {NAME} {by} -j {target}\nCOMMIT\n"
    );
    tool::restore(list.iptables(), tool::ADD, &text)
}

/// The set that an entry goes into.
fn set_of(list: &List, member: Member) -> String {
    match list.kind() {
        ListKind::ListSet => {
            let octets = match member.first {
                IpAddr::V4(address) => address.to_bits(),
                IpAddr::V6(address) => address.to_bits() as u32,
            };
            // The two lowest bits are the same in all entries.
            part((octets >> 2) % PARTS)
        }
        _ => NAME.to_owned(),
    }
}

fn entry(list: &List, member: Member) -> Entry {
    let [port, _] = Members::ports();
    let of_ports = list.kind() == ListKind::HashIpPort;
    Entry {
        address: member.first,
        protocol: if of_ports { libc::IPPROTO_UDP as u8 } else { 0 },
        port: if of_ports { port } else { 0 },
        second: None,
        prefix: (list.kind().row().prefixes > 0).then_some(member.prefix),
        mark: None,
    }
}

fn sent(commands: Vec<Command>, by: Transport) -> Batch {
    match by {
        Transport::IpsetRestore => Batch::of(Some(SetScript::new(&commands))),
        _ => Batch::of(Some(Sets(commands))),
    }
}

pub(super) fn entered(list: &List, members: &[Member], by: Transport) -> Batch {
    let add = |member: &Member| Command::Add(set_of(list, *member), entry(list, *member));
    let mut commands: Vec<Command> = members.iter().map(add).collect();
    if list.kind() == ListKind::ListSet {
        // Those of one set share messages.
        commands.sort_by(|a, b| name(a).cmp(name(b)));
    }
    sent(commands, by)
}

fn name(command: &Command) -> &str {
    match command {
        Command::Add(name, _) => name,
        _ => NAME,
    }
}

pub(super) fn struck(list: &List, member: Member, by: Transport) -> Batch {
    sent(
        vec![Command::Delete(set_of(list, member), entry(list, member))],
        by,
    )
}

/// One by one, by a set beside it, or in place.
pub(super) fn replaced(list: &List, way: ListWay, members: &Changed) -> Option<Batch> {
    if list.kind() == ListKind::ListSet {
        return None;
    }
    let add = |set: &'static str| {
        let all = members.all.iter();
        all.map(move |member| Command::Add(set.to_owned(), entry(list, *member)))
    };
    let whole = |commands: Vec<Command>| Batch::of(Some(Sets(commands)));
    Some(match way {
        ListWay::OneByOne => {
            let coming = members.coming.iter();
            let coming = coming.map(|m| Command::Add(NAME.to_owned(), entry(list, *m)));
            let leaving = members.leaving.iter();
            let leaving = leaving.map(|m| Command::Delete(NAME.to_owned(), entry(list, *m)));
            Batch::of_all(coming.chain(leaving).map(|command| Sets(vec![command])))
        }
        ListWay::Swap => {
            let swap = Command::Swap(NAME.to_owned(), SPARE.to_owned());
            let flush = Command::Flush(SPARE.to_owned());
            whole(add(SPARE).chain([swap, flush]).collect())
        }
        ListWay::FlushAdd => {
            let flush = Command::Flush(NAME.to_owned());
            whole(std::iter::once(flush).chain(add(NAME)).collect())
        }
        _ => return None,
    })
}

/// An entry as it is listed.
pub(super) fn text(list: &List, member: Member) -> String {
    let [port, _] = Members::ports();
    let text = match list.kind() {
        ListKind::HashIpPort => format!("{},udp:{port}", member.first),
        _ => member.text(),
    };
    format!("add {} {text}", set_of(list, member))
}

pub(super) fn listed(list: &List) -> Result<BTreeSet<String>, HarnessError> {
    let text = output(&["ipset", "save"])?;
    let put = format!("add {NAME} {NAME}-");
    let entries = text
        .lines()
        .filter(|line| line.starts_with("add ") && !line.starts_with(&put));
    let found: BTreeSet<String> = entries.map(|line| line.trim_end().to_owned()).collect();
    let wanted = match list.kind() {
        ListKind::ListSet => PARTS as usize,
        _ => 0,
    };
    match text.lines().filter(|line| line.starts_with(&put)).count() == wanted {
        true => Ok(found),
        false => Err(HarnessError::listing("ipset save")(
            "another number of sets in the list:set",
        )),
    }
}

pub(super) fn damage(list: &List, last: Member, moved: bool) -> Vec<Vec<String>> {
    let line = |action: &str, member: Member| {
        let text = text(list, member);
        words(&format!(
            "ipset {action} {}",
            text.trim_start_matches("add ")
        ))
    };
    // A moved network need not be one: only its first address is kept.
    let whole = match last.first {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let one = Member {
        prefix: whole,
        ..beside(last)
    };
    let added = moved.then(|| line("add", one));
    std::iter::once(line("del", last)).chain(added).collect()
}
