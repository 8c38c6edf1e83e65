//! Ways of breaking installed services by hand, with `nft`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nft_codec::{Act, Element, Name, Rule, Verdict};
use schema::Family;

use super::Nftables;
use super::layout::{self, Layout};
use crate::datapath::{Breakable, Damage};
use crate::service::{Endpoint, Service};

/// A documentation address (RFC 5737, RFC 3849): nobody's endpoint.
const fn nowhere(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    }
}

impl Breakable for Nftables {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        let acts = match damage {
            Damage::Delete => vec![delete_element(a)],
            Damage::Elsewhere => elsewhere(self.layout(), a),
            Damage::Skew => skew(self.layout(), a),
            Damage::Swap => vec![delete_element(a), delete_element(b), lead(a, b), lead(b, a)],
        };
        let ops = acts.into_iter().map(|act| self.layout().op(act));
        let lines = ops.map(|op| vec!["nft".to_owned(), op.to_string()]);
        lines.collect()
    }
}

fn delete_element(service: &Service) -> Act {
    let keys = vec![layout::key(service.frontend)];
    Act::DeleteElements(Name::new(layout::SERVICE_IPS), keys)
}

/// Packets for `a` go to the chain of `b`.
fn lead(a: &Service, b: &Service) -> Act {
    let verdict = Some(Verdict::Goto(layout::service_chain(b)));
    let elements = vec![Element::new(layout::key(a.frontend), verdict)];
    Act::AddElements(Name::new(layout::SERVICE_IPS), elements)
}

fn rewrite(chain: &Name, rules: impl IntoIterator<Item = Rule>) -> Vec<Act> {
    let flush = Act::FlushChain(chain.clone());
    let add = |rule| Act::AddRule(chain.clone(), rule);
    let acts = std::iter::once(flush).chain(rules.into_iter().map(add));
    acts.collect()
}

/// The first endpoint's packets go to an address outside.
fn elsewhere(layout: &Layout, a: &Service) -> Vec<Act> {
    let Some(first) = a.endpoints.first() else {
        return Vec::new();
    };
    let outside = Endpoint {
        address: nowhere(a.family()),
        port: first.port,
    };
    let protocol = a.frontend.protocol;
    match layout.has_endpoint_chains() {
        true => rewrite(
            &layout::endpoint_chains(a)[0],
            layout::endpoint_rules(protocol, outside),
        ),
        false => {
            let mut endpoints = a.endpoints.clone();
            endpoints[0] = outside;
            let rule = layout.draw_rule(protocol, &endpoints);
            rewrite(&layout::service_chain(a), [rule])
        }
    }
}

/// The first endpoint gets two of E + 1 numbers.
fn skew(layout: &Layout, a: &Service) -> Vec<Act> {
    let own = layout::service_chain(a);
    match layout.has_endpoint_chains() {
        true => {
            let mut chains = layout::endpoint_chains(a);
            chains.extend(chains.first().cloned());
            let choice = layout::choice_rule(&chains);
            rewrite(&own, [layout.off_cluster_rule(a.frontend), choice])
        }
        false => {
            let mut endpoints = a.endpoints.clone();
            endpoints.extend(a.endpoints.first().copied());
            let rule = layout.draw_rule(a.frontend.protocol, &endpoints);
            rewrite(&own, [rule])
        }
    }
}
