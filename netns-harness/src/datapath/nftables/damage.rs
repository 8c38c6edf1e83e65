//! Ways of breaking installed services by hand, with `nft`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nft_codec::{Act, Name, Rule};
use schema::Family;

use super::layout::{self, Layout};
use super::{Nftables, exposed};
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

/// Packets for the VIP of `a` go to the chain of `b`.
fn lead(a: &Service, b: &Service) -> Act {
    let (chain, _) = exposed::internal(b);
    let (map, element) = layout::service_element(a.frontend, chain);
    Act::AddElements(map, vec![element])
}

fn rewrite(chain: &Name, rules: impl IntoIterator<Item = Rule>) -> Vec<Act> {
    let flush = Act::FlushChain(chain.clone());
    let add = |rule| Act::AddRule(chain.clone(), rule);
    let acts = std::iter::once(flush).chain(rules.into_iter().map(add));
    acts.collect()
}

/// The first endpoint's packets go to an address outside.
fn elsewhere(layout: &Layout, a: &Service) -> Vec<Act> {
    let (own, endpoints) = exposed::internal(a);
    let Some(first) = endpoints.first() else {
        return Vec::new();
    };
    let outside = Endpoint {
        address: nowhere(a.family()),
        port: first.port,
    };
    let protocol = a.frontend.protocol;
    if layout.has_chains_of(a) {
        let name = |kind| layout::names_of(kind, a, &[*first]).pop();
        let affinity = a.exposure.affinity_s.and_then(|_| name("affinity"));
        let rules = layout.endpoint_rules(protocol, outside, affinity);
        let chain = name("endpoint").into_iter();
        return chain
            .flat_map(|chain| rewrite(&chain, rules.clone()))
            .collect();
    }
    let mut endpoints = endpoints.to_vec();
    endpoints[0] = outside;
    rewrite(&own, [layout.draw_rule(protocol, &endpoints)])
}

/// The first endpoint gets two of E + 1 numbers.
fn skew(layout: &Layout, a: &Service) -> Vec<Act> {
    let (own, endpoints) = exposed::internal(a);
    let mut endpoints = endpoints.to_vec();
    endpoints.extend(endpoints.first().copied());
    let off_cluster = layout
        .has_endpoint_chains()
        .then(|| layout.off_cluster_rule(a.frontend));
    let leading = layout.leading_rules(a, &endpoints);
    rewrite(&own, off_cluster.into_iter().chain(leading))
}
