//! Ways of breaking installed services by hand, with `nft`.

use std::net::Ipv4Addr;

use nft_codec::{Act, Element, Name, Op, Rule, Verdict};

use super::Nftables;
use super::layout::{self, op};
use crate::datapath::{Breakable, Damage};
use crate::service::{Endpoint, Service};

/// A documentation address (RFC 5737): nobody's endpoint.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

impl Breakable for Nftables {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        let ops = match damage {
            Damage::Delete => vec![delete_element(a)],
            Damage::Elsewhere => elsewhere(a),
            Damage::Skew => skew(a),
            Damage::Swap => vec![delete_element(a), delete_element(b), lead(a, b), lead(b, a)],
        };
        let lines = ops.iter().map(|op| vec!["nft".to_owned(), op.to_string()]);
        lines.collect()
    }
}

fn delete_element(service: &Service) -> Op {
    let keys = vec![layout::key(service.frontend)];
    op(Act::DeleteElements(Name::new(layout::SERVICE_IPS), keys))
}

/// Packets for `a` go to the chain of `b`.
fn lead(a: &Service, b: &Service) -> Op {
    let verdict = Some(Verdict::Goto(layout::service_chain(b)));
    let elements = vec![Element::new(layout::key(a.frontend), verdict)];
    op(Act::AddElements(Name::new(layout::SERVICE_IPS), elements))
}

fn rewrite(chain: &Name, rules: impl IntoIterator<Item = Rule>) -> Vec<Op> {
    let flush = Act::FlushChain(chain.clone());
    let add = |rule| Act::AddRule(chain.clone(), rule);
    let acts = std::iter::once(flush).chain(rules.into_iter().map(add));
    acts.map(op).collect()
}

/// The first endpoint's chain leads to an address outside.
fn elsewhere(a: &Service) -> Vec<Op> {
    let chains = layout::endpoint_chains(a);
    let (Some(chain), Some(endpoint)) = (chains.first(), a.endpoints.first()) else {
        return Vec::new();
    };
    let outside = Endpoint {
        address: ELSEWHERE,
        port: endpoint.port,
    };
    rewrite(chain, layout::endpoint_rules(a.frontend.protocol, outside))
}

/// The first endpoint gets two of E + 1 numbers.
fn skew(a: &Service) -> Vec<Op> {
    let mut chains = layout::endpoint_chains(a);
    chains.extend(chains.first().cloned());
    let choice = layout::choice_rule(&chains);
    rewrite(
        &layout::service_chain(a),
        [layout::off_cluster_rule(a.frontend), choice],
    )
}
