//! A slow-down of known size: rules that match nothing, in a table of their own, before nat. Packets cross them
//! in every mode, so that what a gate finds can be held against what was planted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nft_codec::{
    Act, BaseChain, ChainKind, Comparison, Connection, EncodedBatch, Hook, Name, Network, Op,
    Policy, Rule, Statement, TableFamily, Verdict,
};
use schema::Family;

use crate::HarnessError;

/// No mode has a table of this name.
const TABLE: &str = "bench-runner-planted";
const PREROUTING: &str = "prerouting";
/// After connection tracking (-200) and mangle (-150), before nat (-100): `enum nf_ip_hook_priorities`.
const PRIORITY: i32 = -110;

const fn table_family(family: Family) -> TableFamily {
    match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    }
}

/// For documentation (RFC 5737, RFC 3849): no address of a lab.
const fn nowhere(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    }
}

fn op(family: Family, act: Act) -> Op {
    Op {
        family: table_family(family),
        table: Name::new(TABLE),
        act,
    }
}

/// Table, and in each chain so many rules and then a counter of the packets that crossed them.
fn planting(family: Family, rules: u32) -> Vec<Op> {
    let op = |act| op(family, act);
    let mut ops = vec![op(Act::AddTable(None))];
    for (name, hook) in [(PREROUTING, Hook::Prerouting), ("output", Hook::Output)] {
        let chain = Name::new(name);
        ops.push(op(Act::AddChain(
            chain.clone(),
            Some(BaseChain {
                kind: ChainKind::Filter,
                hook,
                priority: PRIORITY,
                policy: Policy::Accept,
            }),
            None,
        )));
        let nothing = Rule::new(vec![
            Statement::DestinationAddress(Comparison::Equal, Network::host(nowhere(family))),
            Statement::Verdict(Verdict::Drop),
        ]);
        let counter = Rule::new(vec![Statement::Counter(0, 0)]);
        let all = (0..rules).map(|_| nothing.clone()).chain([counter]);
        ops.extend(all.map(|rule| op(Act::AddRule(chain.clone(), rule))));
    }
    ops
}

fn send(act: &str, ops: Vec<Op>) -> Result<(), HarnessError> {
    let batch = EncodedBatch::encode(ops).expect("short rules of statements that can be encoded");
    Connection::open()
        .and_then(|mut connection| connection.send(&batch))
        .map_err(HarnessError::netlink(act))
}

/// Plants so many rules at prerouting and as many at output, for packets of a family, in the calling thread's network
/// namespace.
///
/// # Errors
/// The kernel refused.
pub fn add(family: Family, rules: u32) -> Result<(), HarnessError> {
    send("plant rules that match nothing", planting(family, rules))
}

/// Removes what was planted; how many packets have crossed the rules at prerouting.
///
/// # Errors
/// The kernel refused, or the rules were no longer there.
pub fn remove(family: Family) -> Result<u64, HarnessError> {
    let act = "read the counter behind the planted rules";
    let rules = Connection::open()
        .and_then(|mut connection| connection.chain_rules(table_family(family), TABLE, PREROUTING))
        .map_err(HarnessError::netlink(act))?;
    let crossed = rules.last().and_then(Rule::packets);
    send(
        "remove the planted rules",
        vec![op(family, Act::DeleteTable)],
    )?;
    crossed.ok_or_else(|| {
        let text = format!("{} rules, the last without a counter", rules.len());
        HarnessError::listing("planted rules")(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planted_is_listed_and_removed() {
        for (family, table, rule) in [
            (Family::Ipv4, "ip", "ip daddr 192.0.2.1 drop"),
            (Family::Ipv6, "ip6", "ip6 daddr 2001:db8::1 drop"),
        ] {
            testing::in_namespace(|| {
                add(family, 3).unwrap();
                let listed = testing::tool("nft", &["-y", "list", "table", table, TABLE], "");
                assert_eq!(listed.matches(rule).count(), 6, "{listed}");
                assert_eq!(listed.matches("priority -110").count(), 2, "{listed}");
                assert_eq!(remove(family).unwrap(), 0);
                assert!(remove(family).is_err(), "nothing is planted any more");
            });
        }
    }
}
