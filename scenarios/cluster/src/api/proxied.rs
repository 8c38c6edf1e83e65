//! Which of the objects kube-proxy proxies, with which endpoints (`pkg/proxy` of Kubernetes 1.36: `serviceport.go`,
//! `endpointslicecache.go`, `topology.go`).

use std::collections::{BTreeMap, HashMap};

use super::{Fate, Group, Key, Pods, Port, Spec, State, Store};
use crate::found::{Found, Source};
use crate::note::Notes;
use crate::service::{Endpoint, Family, Name, Service, ServiceType, Vip};

/// The most endpoints that a manifest's replicas are taken for.
const MOST_REPLICAS: u64 = 10_000;

impl Store {
    /// The services of all objects, in the order in which the Services came, and notes of those that are none. `unknown` numbers
    /// the VIPs that are not known.
    pub(crate) fn proxied(&mut self, unknown: &mut u32, notes: &mut Notes) -> Vec<Found> {
        let mut slices: HashMap<&Key, Vec<&Group>> = HashMap::new();
        for (of, slice) in &self.slices {
            slices.entry(of).or_default().push(&slice.object);
        }
        // Where there is no slice at all the Endpoints are all there is; else they are the same once more.
        for (of, endpoints) in &self.endpoints {
            if !slices.contains_key(of) {
                slices.insert(of, endpoints.object.iter().collect());
            }
        }
        let any_endpoints = !slices.is_empty();
        let mut found = Vec::new();
        for (key, at) in &self.services {
            let spec = &at.object;
            let (count, why) = match spec.fate {
                Fate::Proxied => {
                    let groups = slices.get(key).map(Vec::as_slice);
                    // Without a selector nobody makes slices: that there are none is what there is.
                    let groups = match groups {
                        None if any_endpoints
                            && spec.selector.is_empty()
                            && !spec.vips.is_empty() =>
                        {
                            Some(&[][..])
                        }
                        groups => groups,
                    };
                    let pods = groups.is_none().then(|| self.pods(key, spec)).flatten();
                    let vips = vips(spec, unknown);
                    for service in vips.flat_map(|vip| services(key, spec, vip, groups, pods)) {
                        found.push(Found {
                            service,
                            source: Source::Api,
                            file: at.file,
                            line: Some(at.line),
                        });
                    }
                    continue;
                }
                Fate::ExternalName => (&mut self.counts.external_name, "an ExternalName"),
                Fate::Headless => (&mut self.counts.headless, "headless"),
                Fate::WithoutClusterIp => (
                    &mut self.counts.without_cluster_ip,
                    "without a ClusterIP yet",
                ),
                Fate::OfOtherProxy => (&mut self.counts.of_other_proxy, "of another proxy"),
            };
            *count += 1;
            let what = format!("{}/{} is {why}: kube-proxy leaves it alone", key.0, key.1);
            notes.left_out(at.file, Some(at.line), what);
        }
        for (of, file, line) in self.orphans() {
            let what = format!(
                "endpoints of {}/{}, of which there is no Service",
                of.0, of.1
            );
            notes.left_out(file, Some(line), what);
        }
        found
    }

    /// Endpoints of no Service that was given.
    fn orphans(&self) -> impl Iterator<Item = (&Key, usize, u64)> {
        let slices = self.slices.iter().map(|(of, at)| (of, at.file, at.line));
        let endpoints = self.endpoints.iter().map(|(of, at)| (of, at.file, at.line));
        let all = slices.chain(endpoints);
        all.filter(|(of, ..)| !self.service_at.contains_key(*of))
    }

    /// How many pods a manifest's Service selects: those of the workloads whose pods have its labels, or, where a workload
    /// does not say its pods' labels, of the one of its name.
    fn pods(&self, key: &Key, spec: &Spec) -> Option<u64> {
        if spec.selector.is_empty() {
            return None;
        }
        let selected = |pods: &&Pods| {
            let near = pods
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == key.0);
            near && match pods.labels.is_empty() {
                true => pods.name == key.1,
                false => within(&spec.selector, &pods.labels),
            }
        };
        let mut replicas = self
            .workloads
            .iter()
            .filter(selected)
            .map(|pods| pods.replicas);
        let first = replicas.next()?;
        let all = replicas.fold(first, u64::saturating_add);
        (all <= MOST_REPLICAS).then_some(all)
    }
}

fn within(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    selector.iter().all(has)
}

/// The VIPs of a Service: of a manifest without one those that it will get.
fn vips<'a>(spec: &'a Spec, unknown: &mut u32) -> impl Iterator<Item = Vip> + use<'a> {
    let known = spec.vips.iter().map(|vip| Vip::Known(*vip));
    let number = *unknown;
    let families: &[Family] = match (spec.vips.is_empty(), spec.families.as_slice()) {
        (false, _) => &[],
        (true, []) => &[Family::Ipv4],
        (true, families) => families,
    };
    *unknown += families.len() as u32;
    let to_come = families.iter().zip(number..);
    known.chain(to_come.map(|(family, number)| Vip::Unknown {
        family: *family,
        number,
    }))
}

/// The ports of a Service on one of its VIPs.
fn services(
    key: &Key,
    spec: &Spec,
    vip: Vip,
    groups: Option<&[&Group]>,
    pods: Option<u64>,
) -> impl Iterator<Item = Service> {
    let family = vip.family();
    spec.ports.iter().map(move |port| {
        let outside = matches!(
            spec.service_type,
            ServiceType::NodePort | ServiceType::LoadBalancer
        );
        let given = |addresses: &[std::net::IpAddr]| {
            let own = addresses.iter().filter(|a| Family::of(**a) == family);
            own.map(|address| Some(*address)).collect()
        };
        let ranges = spec.source_ranges.iter();
        let ranges = ranges.filter(|net| Family::of(net.network) == family);
        Service {
            name: Some(Name {
                namespace: key.0.clone(),
                service: key.1.clone(),
                port: port.name.clone(),
            }),
            service_type: spec.service_type,
            node_port: match (outside, port.node_port) {
                (true, Some(port)) => Some(Some(port)),
                // A manifest leaves it to the API server.
                (true, None) if spec.vips.is_empty() => Some(None),
                _ => None,
            },
            external_ips: given(&spec.external_ips),
            load_balancer_ips: given(&spec.load_balancer_ips),
            source_ranges: match spec.service_type {
                ServiceType::LoadBalancer => ranges.map(|net| Some(*net)).collect(),
                _ => Vec::new(),
            },
            external_local: spec.external_local && (outside || !spec.external_ips.is_empty()),
            internal_local: spec.internal_local,
            affinity_seconds: spec.affinity_seconds.map(Some),
            endpoints: match (groups, pods) {
                (Some(groups), _) => Some(usable(groups, port, family)),
                (None, Some(pods)) => Some(vec![Endpoint::at(None, port.target); pods as usize]),
                (None, None) => None,
            },
            ..Service::new(vip, port.port, port.protocol)
        }
    })
}

/// The ready endpoints of a port, or, where none is, those that are leaving and still serve.
fn usable(groups: &[&Group], port: &Port, family: Family) -> Vec<Endpoint> {
    let mut order = Vec::new();
    let mut states: HashMap<_, State> = HashMap::new();
    for group in groups {
        let of_port = |(name, protocol, _): &&(String, _, u16)| {
            *name == port.name && *protocol == port.protocol
        };
        for (_, _, number) in group.ports.iter().filter(of_port) {
            let own = group
                .endpoints
                .iter()
                .filter(|(a, _)| Family::of(*a) == family);
            for &(address, state) in own {
                let place = (address, *number);
                match states.get(&place) {
                    None => order.push(place),
                    // Of a pod that is gone and the one that has its address now, that one counts.
                    Some(State::Ready) => continue,
                    Some(_) if state != State::Ready => continue,
                    Some(_) => {}
                }
                states.insert(place, state);
            }
        }
    }
    let of = |wanted| {
        let places = order
            .iter()
            .filter(|place| states.get(place) == Some(&wanted));
        let at = |(address, port): &(_, _)| Endpoint::at(Some(*address), Some(*port));
        places.map(at).collect::<Vec<_>>()
    };
    match of(State::Ready) {
        ready if ready.is_empty() => of(State::Leaving),
        ready => ready,
    }
}
