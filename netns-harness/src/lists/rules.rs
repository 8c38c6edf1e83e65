//! A rule each, in chain FORWARD of table filter.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schema::{ListWay, Transport};

use super::members::Changed;
use super::{List, Member, beside, words};
use crate::HarnessError;
use crate::datapath::Batch;
use crate::datapath::steps::{Commands, Restore, WholeTable};
use crate::xtables::tool;

/// What its rules begin with, as the tools list them.
const RULE: &str = "-A FORWARD -d ";

pub(super) fn make(list: &List) -> Result<(), HarnessError> {
    let [_, otherwise] = list.listed.targets();
    let text = format!("*filter\n:FORWARD {otherwise} [0:0]\nCOMMIT\n");
    tool::restore(list.iptables(), tool::ADD, &text)
}

/// A rule behind `-A FORWARD` or `-D FORWARD`.
fn rule(list: &List, member: Member) -> String {
    let [target, _] = list.listed.targets();
    let Member { first, prefix } = member;
    format!("-d {first}/{prefix} -j {target}")
}

fn act(list: &List, action: &str, members: &[Member], by: Transport) -> Batch {
    let tool = list.iptables();
    if by == Transport::Exec {
        let line = |member: &Member| {
            let rule = rule(list, *member);
            words(&format!("{tool} -w 5 {action} FORWARD {rule}"))
        };
        return Batch::of(Some(Commands(members.iter().map(line).collect())));
    }
    let mut text = "*filter\n".to_owned();
    for member in members {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{action} FORWARD {}", rule(list, *member));
    }
    text.push_str("COMMIT\n");
    Batch::of(Some(Restore::of_text(tool, &text, members.len() as u64)))
}

pub(super) fn entered(list: &List, members: &[Member], by: Transport) -> Batch {
    act(list, "-A", members, by)
}

pub(super) fn struck(list: &List, member: Member, by: Transport) -> Batch {
    act(list, "-D", &[member], by)
}

/// The whole table anew, or the differences, in one transaction.
pub(super) fn replaced(list: &List, way: ListWay, members: &Changed) -> Option<Batch> {
    let mut text = "*filter\n".to_owned();
    match way {
        ListWay::Restore => {
            let [_, otherwise] = list.listed.targets();
            let _ = writeln!(text, ":FORWARD {otherwise} [0:0]");
            for member in &members.all {
                let _ = writeln!(text, "-A FORWARD {}", rule(list, *member));
            }
        }
        ListWay::Transaction => {
            let changes = members.coming.iter().map(|member| ("-A", member));
            let leaving = members.leaving.iter().map(|member| ("-D", member));
            for (action, member) in changes.chain(leaving) {
                let _ = writeln!(text, "{action} FORWARD {}", rule(list, *member));
            }
        }
        _ => return None,
    }
    text.push_str("COMMIT\n");
    let (tool, operations) = (list.iptables(), members.all.len() as u64);
    Some(match way {
        ListWay::Restore => Batch::of(Some(WholeTable::of_text(tool, &text, operations))),
        _ => {
            let operations = (members.coming.len() + members.leaving.len()) as u64;
            Batch::of(Some(Restore::of_text(tool, &text, operations)))
        }
    })
}

/// A rule as it is listed.
pub(super) fn text(list: &List, member: Member) -> String {
    format!("-A FORWARD {}", rule(list, member))
}

pub(super) fn listed(list: &List) -> Result<BTreeSet<String>, HarnessError> {
    let save = format!("{}-save", list.iptables());
    let text = tool::output(&save, &["-t", "filter"])?;
    let rules = text.lines().filter(|line| line.starts_with("-A "));
    let found: Vec<&str> = rules.collect();
    let all: BTreeSet<String> = found.iter().map(|line| (*line).to_owned()).collect();
    match all.len() == found.len() && found.iter().all(|line| line.starts_with(RULE)) {
        true => Ok(all),
        false => Err(HarnessError::listing("iptables-save")(
            "a rule that is there twice, or that is none of the list's",
        )),
    }
}

pub(super) fn damage(list: &List, last: Member, moved: bool) -> Vec<Vec<String>> {
    let tool = list.iptables();
    let line = |action: &str, member: Member| {
        let rule = rule(list, member);
        words(&format!("{tool} -w 5 {action} FORWARD {rule}"))
    };
    let added = moved.then(|| line("-A", beside(last)));
    std::iter::once(line("-D", last)).chain(added).collect()
}
