//! The end of packets that nobody is to answer: they are counted and dropped where they arrive in the endpoints' namespace, so that nothing
//! is woken by them.

use netns_sys::netns::NetNs;
use nft_codec::{
    Act, BaseChain, ChainKind, Comparison, Connection, EncodedBatch, Hook, Name, Network, Op,
    Policy, Rule, Statement, TableFamily, Verdict,
};
use schema::Family;

use crate::HarnessError;
use crate::service::Cidr;

const TABLE: &str = "bench-runner-sink";
const CHAIN: &str = "prerouting";
/// `NF_IP_PRI_RAW`: before connection tracking, were there any.
const PRIORITY: i32 = -300;

/// While it lives, packets from a range, or to one, are dropped there.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    namespace: &'a NetNs,
    family: TableFamily,
}

impl<'a> Sink<'a> {
    /// In a namespace, for packets from `range`.
    ///
    /// # Errors
    /// The kernel refused the rule.
    pub(super) fn of_packets_from(namespace: &'a NetNs, range: Cidr) -> Result<Self, HarnessError> {
        Self::of(namespace, range, Statement::SourceAddress)
    }

    /// The same for packets to `range`.
    ///
    /// # Errors
    /// The kernel refused the rule.
    pub(super) fn of_packets_to(namespace: &'a NetNs, range: Cidr) -> Result<Self, HarnessError> {
        Self::of(namespace, range, Statement::DestinationAddress)
    }

    fn of(
        namespace: &'a NetNs,
        range: Cidr,
        such: impl FnOnce(Comparison, Network) -> Statement,
    ) -> Result<Self, HarnessError> {
        let sink = Self {
            namespace,
            family: match range.family() {
                Family::Ipv4 => TableFamily::Ip,
                Family::Ipv6 => TableFamily::Ip6,
            },
        };
        let chain = Act::AddChain(
            Name::new(CHAIN),
            Some(BaseChain {
                kind: ChainKind::Filter,
                hook: Hook::Prerouting,
                priority: PRIORITY,
                policy: Policy::Accept,
            }),
            None,
        );
        let network = Network::new(range.network, range.prefix);
        let rule = Rule::new(vec![
            such(Comparison::Equal, network),
            Statement::Counter(0, 0),
            Statement::Verdict(Verdict::Drop),
        ]);
        sink.send(
            "drop what nobody is to answer",
            vec![
                Act::AddTable(None),
                chain,
                Act::AddRule(Name::new(CHAIN), rule),
            ],
        )?;
        Ok(sink)
    }

    /// How many packets have come so far.
    ///
    /// # Errors
    /// The kernel does not list the counter.
    pub(super) fn packets(&self) -> Result<u64, HarnessError> {
        let act = "read how many packets have arrived";
        let rules = self.within(act, || {
            Connection::open()
                .and_then(|mut connection| connection.chain_rules(self.family, TABLE, CHAIN))
                .map_err(HarnessError::netlink(act))
        })?;
        rules
            .first()
            .and_then(Rule::packets)
            .ok_or_else(|| HarnessError::listing("the sink")(format!("{} rules", rules.len())))
    }

    fn send(&self, act: &str, acts: Vec<Act>) -> Result<(), HarnessError> {
        let op = |act| Op {
            family: self.family,
            table: Name::new(TABLE),
            act,
        };
        let ops: Vec<Op> = acts.into_iter().map(op).collect();
        let batch = EncodedBatch::encode(ops).expect("a short rule that can be encoded");
        self.within(act, || {
            Connection::open()
                .and_then(|mut connection| connection.send(&batch))
                .map_err(HarnessError::netlink(act))
        })
    }

    fn within<T>(
        &self,
        act: &str,
        done: impl FnOnce() -> Result<T, HarnessError>,
    ) -> Result<T, HarnessError> {
        let entered = self.namespace.run(done);
        entered.map_err(|e| HarnessError::system(act, e))?
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        // A lab whose sink stays is of no use, and whoever asks next is told so by its proofs.
        let _ = self.send("remove the sink", vec![Act::DeleteTable]);
    }
}
