//! What several dumps say of one service, brought together. Two of one kind must agree: they are parts of one cluster, or
//! two clusters. Of two kinds the one that is nearer to what the operator wrote is believed, and the other fills its gaps.

use std::collections::{HashMap, HashSet};

use crate::found::{Found, Source};
use crate::note::{Notes, Refused};
use crate::service::{Endpoint, Protocol, Service, Vip};

/// Where two services meet.
type Key = (Vip, u16, Protocol);

/// One service for each VIP:port of a protocol.
pub(crate) fn merge(
    mut found: Vec<Found>,
    labels: &[String],
    notes: &mut Notes,
) -> Result<Vec<Service>, Refused> {
    found.sort_by_key(|found| found.source);
    let mut at: HashMap<Key, usize> = HashMap::new();
    let mut merged: Vec<Found> = Vec::new();
    // Of virtual servers alone an address of a load balancer looks like a ClusterIP.
    let mut outside: HashSet<Key> = HashSet::new();
    for next in found {
        let service = &next.service;
        let key = (service.vip, service.port, service.protocol);
        let Some(place) = at.get(&key).copied() else {
            let weak = matches!(next.source, Source::Ipvs | Source::Ipset);
            if !(weak && outside.contains(&key)) {
                at.insert(key, merged.len());
                let addresses = service
                    .frontends()
                    .skip(usize::from(service.vip.address().is_some()));
                outside
                    .extend(addresses.map(|ip| (Vip::Known(ip), service.port, service.protocol)));
                merged.push(next);
            }
            continue;
        };
        let first = &mut merged[place];
        let differ = differ(&first.service, &next.service);
        match differ {
            None => {}
            Some(what) if first.source == next.source && first.file != next.file => {
                return Err(Refused::Contradiction {
                    first: labels[first.file].clone(),
                    second: labels[next.file].clone(),
                    what: format!("{service} {what}"),
                });
            }
            Some(what) => {
                let what = format!("{service} {what}; what {} has is taken", labels[first.file]);
                notes.left_out(next.file, next.line, what);
            }
        }
        fill(&mut first.service, next.service);
        if first.source != Source::Api {
            first.service.set_type();
        }
    }
    Ok(merged.into_iter().map(|found| found.service).collect())
}

/// In what two services on one VIP:port are not the same.
fn differ(first: &Service, second: &Service) -> Option<String> {
    if let (Some(one), Some(other)) = (&first.name, &second.name)
        && one != other
    {
        return Some(format!(
            "is of {one} in the first, of {other} in the second"
        ));
    }
    if let (Some(Some(one)), Some(Some(other))) = (first.node_port, second.node_port)
        && one != other
    {
        return Some(format!(
            "has node port {one} in the first, {other} in the second"
        ));
    }
    let (one, other) = (first.endpoints.as_ref()?, second.endpoints.as_ref()?);
    if one.len() != other.len() {
        return Some(format!(
            "has {} endpoints in the first, {} in the second",
            one.len(),
            other.len()
        ));
    }
    let places = |endpoints: &[Endpoint]| {
        let places = endpoints.iter().map(|e| e.addr.zip(e.port));
        places.collect::<Option<HashSet<_>>>()
    };
    let (one, other) = (places(one)?, places(other)?);
    let away = one.difference(&other).count();
    (away > 0).then(|| format!("has {away} endpoints in the first that are not in the second"))
}

/// Gives a service what only the other one says.
fn fill(first: &mut Service, second: Service) {
    first.name = first.name.take().or(second.name);
    first.node_port = match (first.node_port, second.node_port) {
        (Some(None) | None, Some(known)) => Some(known),
        (known, _) => known,
    };
    if first.external_ips.is_empty() && first.load_balancer_ips.is_empty() {
        first.external_ips = second.external_ips;
        first.load_balancer_ips = second.load_balancer_ips;
    }
    if first.source_ranges.is_empty() {
        first.source_ranges = second.source_ranges;
    }
    first.external_local |= second.external_local;
    first.internal_local |= second.internal_local;
    first.affinity_seconds = match (first.affinity_seconds, second.affinity_seconds) {
        (Some(None) | None, Some(known)) => Some(known),
        (known, _) => known,
    };
    let Some(second) = second.endpoints else {
        return;
    };
    let known = |endpoints: &[Endpoint]| endpoints.iter().filter(|e| e.addr.is_some()).count();
    match &mut first.endpoints {
        Some(first) if first.len() != second.len() || known(first) >= known(&second) => {
            let local = second
                .iter()
                .filter_map(|e| Some(((e.addr?, e.port?), e.local?)));
            let local: HashMap<_, bool> = local.collect();
            for endpoint in first.iter_mut().filter(|endpoint| endpoint.local.is_none()) {
                let place = endpoint.addr.zip(endpoint.port);
                endpoint.local = place.and_then(|place| local.get(&place).copied());
            }
        }
        first => *first = Some(second),
    }
}
