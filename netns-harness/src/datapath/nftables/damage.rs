//! Ways of breaking installed services by hand, with `nft`.

use std::net::Ipv4Addr;

use nft_codec::{Act, Element, Name, Op, Rule, Statement, Verdict};

use super::Nftables;
use super::layout::{self, op};
use crate::datapath::{Breakable, Damage};
use crate::service::{Endpoint, Service};

/// A documentation address (RFC 5737): nobody's endpoint.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

impl Breakable for Nftables {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        commands(damage, a, b)
    }
}

/// Command lines of `nft`, to be run in this order.
fn commands(damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
    let ops = match damage {
        Damage::Delete => vec![delete_element(a)],
        Damage::Elsewhere => elsewhere(a),
        Damage::Skew => skew(a),
        Damage::Swap => vec![delete_element(a), delete_element(b), lead(a, b), lead(b, a)],
    };
    ops.into_iter()
        .map(|op| vec!["nft".to_owned(), op.to_string()])
        .collect()
}

fn delete_element(service: &Service) -> Op {
    op(Act::DeleteElements {
        set: Name::new(layout::SERVICE_IPS),
        keys: vec![layout::key(service.frontend)],
    })
}

/// Packets for `a` go to the chain of `b`.
fn lead(a: &Service, b: &Service) -> Op {
    let verdict = Some(Verdict::Goto(layout::service_chain(b)));
    let element = Element {
        key: layout::key(a.frontend),
        verdict,
        comment: None,
    };
    op(Act::AddElements {
        set: Name::new(layout::SERVICE_IPS),
        elements: vec![element],
    })
}

fn rewrite(chain: Name, rules: impl IntoIterator<Item = Rule>) -> Vec<Op> {
    let flush = op(Act::FlushChain {
        chain: chain.clone(),
    });
    let add = rules.into_iter().map(move |rule| {
        op(Act::AddRule {
            chain: chain.clone(),
            rule,
        })
    });
    std::iter::once(flush).chain(add).collect()
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
    rewrite(
        chain.clone(),
        layout::endpoint_rules(a.frontend.protocol, outside),
    )
}

/// The first endpoint gets two of E + 1 numbers.
fn skew(a: &Service) -> Vec<Op> {
    let mut chains = layout::endpoint_chains(a);
    chains.extend(chains.first().cloned());
    let choice = layout::choice_rule(&chains);
    debug_assert!(matches!(
        choice.statements[..],
        [Statement::RandomVmap { .. }]
    ));
    rewrite(
        layout::service_chain(a),
        [layout::off_cluster_rule(a.frontend), choice],
    )
}
