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

/// While it lives, packets from some ranges, or to them, are dropped there.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    namespace: &'a NetNs,
    family: TableFamily,
}

impl<'a> Sink<'a> {
    /// In a namespace, for packets from each of these ranges.
    ///
    /// # Errors
    /// The kernel refused the rules.
    pub(super) fn of_packets_from(
        namespace: &'a NetNs,
        ranges: &[Cidr],
    ) -> Result<Self, HarnessError> {
        Self::of(namespace, ranges, Statement::SourceAddress)
    }

    /// The same for packets to them.
    ///
    /// # Errors
    /// The kernel refused the rules.
    pub(super) fn of_packets_to(
        namespace: &'a NetNs,
        ranges: &[Cidr],
    ) -> Result<Self, HarnessError> {
        Self::of(namespace, ranges, Statement::DestinationAddress)
    }

    fn of(
        namespace: &'a NetNs,
        ranges: &[Cidr],
        such: fn(Comparison, Network) -> Statement,
    ) -> Result<Self, HarnessError> {
        let family = ranges.first().map_or(Family::Ipv4, |range| range.family());
        let sink = Self {
            namespace,
            family: match family {
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
        let rule = |range: &Cidr| {
            let network = Network::new(range.network, range.prefix);
            let rule = Rule::new(vec![
                such(Comparison::Equal, network),
                Statement::Counter(0, 0),
                Statement::Verdict(Verdict::Drop),
            ]);
            Act::AddRule(Name::new(CHAIN), rule)
        };
        let made = [Act::AddTable(None), chain];
        let acts = made.into_iter().chain(ranges.iter().map(rule));
        sink.send("drop what nobody is to answer", acts.collect())?;
        Ok(sink)
    }

    /// How many packets have come so far.
    ///
    /// # Errors
    /// The kernel does not list the counters.
    pub(super) fn packets(&self) -> Result<u64, HarnessError> {
        Ok(self.of_each()?.into_iter().sum())
    }

    /// The same of each range.
    ///
    /// # Errors
    /// The kernel does not list the counters.
    pub(super) fn of_each(&self) -> Result<Vec<u64>, HarnessError> {
        let act = "read how many packets have arrived";
        let rules = self.within(act, || {
            Connection::open()
                .and_then(|mut connection| connection.chain_rules(self.family, TABLE, CHAIN))
                .map_err(HarnessError::netlink(act))
        })?;
        let counted: Option<Vec<u64>> = rules.iter().map(Rule::packets).collect();
        let counted = counted.filter(|counted| !counted.is_empty());
        counted.ok_or_else(|| HarnessError::listing("the sink")(format!("{} rules", rules.len())))
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
