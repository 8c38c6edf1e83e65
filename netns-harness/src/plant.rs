//! A slow-down of known size: rules that match nothing, in a table of their own, before nat. Packets cross them
//! in every mode, so that what a gate finds can be held against what was planted.

use std::net::{IpAddr, Ipv4Addr};

use nft_codec::{
    Act, BaseChain, ChainKind, Comparison, Connection, EncodedBatch, Hook, Name, Network, Op,
    Policy, Rule, Statement, TableFamily, Verdict,
};

use crate::HarnessError;

/// No mode has a table of this name.
const TABLE: &str = "bench-runner-planted";
const PREROUTING: &str = "prerouting";
/// After connection tracking (-200) and mangle (-150), before nat (-100): `enum nf_ip_hook_priorities`.
const PRIORITY: i32 = -110;
/// TEST-NET-1 (RFC 5737): no address of a lab.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn op(act: Act) -> Op {
    Op {
        family: TableFamily::Ip,
        table: Name::new(TABLE),
        act,
    }
}

/// Table, and in each chain so many rules and then a counter of the packets that crossed them.
fn planting(rules: u32) -> Vec<Op> {
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
            Statement::DestinationAddress(Comparison::Equal, Network::host(NOWHERE)),
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

/// Plants so many rules at prerouting and as many at output, in the calling thread's network namespace.
///
/// # Errors
/// The kernel refused.
pub fn add(rules: u32) -> Result<(), HarnessError> {
    send("plant rules that match nothing", planting(rules))
}

/// Removes what was planted; how many packets have crossed the rules at prerouting.
///
/// # Errors
/// The kernel refused, or the rules were no longer there.
pub fn remove() -> Result<u64, HarnessError> {
    let act = "read the counter behind the planted rules";
    let rules = Connection::open()
        .and_then(|mut connection| connection.chain_rules(TableFamily::Ip, TABLE, PREROUTING))
        .map_err(HarnessError::netlink(act))?;
    let crossed = rules.last().and_then(Rule::packets);
    send("remove the planted rules", vec![op(Act::DeleteTable)])?;
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
        testing::in_namespace(|| {
            add(3).unwrap();
            let listed = testing::tool("nft", &["-y", "list", "table", "ip", TABLE], "");
            assert_eq!(listed.matches("ip daddr 192.0.2.1 drop").count(), 6);
            assert_eq!(listed.matches("priority -110").count(), 2, "{listed}");
            assert_eq!(remove().unwrap(), 0);
            assert!(remove().is_err(), "nothing is planted any more");
        });
    }
}
