//! Connection tracking over netlink, as far as kube-proxy asks it: which UDP flows are tracked, and those forgotten whose
//! endpoint has left.
//!
//! After a sync in which an endpoint of any UDP service came or went, kube-proxy lists the whole table of its family; where a flow to
//! a service is answered by who is none of its endpoints, it lists the table again and deletes each such flow with a message
//! of its own (`CleanStaleEntries` in pkg/proxy/conntrack/cleanup.go, the same from 1.32 to 1.37 for services that have
//! endpoints; `ConntrackDeleteFilters` of its netlink library). It opens a socket for each request, here one is kept.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use netlink::{Attributes, Error, Socket, flags, write};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use schema::{Family, KubeProxyVersion, Protocol, ReachedBy};

use crate::HarnessError;
use crate::service::{Endpoint, Population, Service};

/// `struct nfgenmsg`: family, version, resource.
const fn header(family: Family) -> [u8; 4] {
    let family = match family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    [family as u8, 0, 0, 0]
}

/// `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE` of `NFNL_SUBSYS_CTNETLINK` (include/uapi/linux/netfilter/nfnetlink_conntrack.h,
/// with what follows).
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `CTA_TUPLE_ORIG` and `CTA_TUPLE_REPLY`, and what a tuple holds: `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const IP: u16 = 1;
const PROTO: u16 = 2;
/// `CTA_IP_V4_SRC` and `_DST`, `CTA_IP_V6_SRC` and `_DST`: a tuple has those of its family.
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;

/// An address and a port.
type End = (IpAddr, u16);

/// Where UDP services are reached, and who serves them there.
#[derive(Debug, Clone)]
pub struct Serving {
    family: Family,
    /// Endpoints by service.
    endpoints: Vec<HashSet<End>>,
    /// Services by ClusterIPs, addresses of load balancers and external ones.
    frontends: HashMap<End, usize>,
    /// The same by node ports, at whatever address.
    node_ports: HashMap<u16, usize>,
}

impl Serving {
    /// Those of a population, whose services are of one family, of which a version cleans up the flows: from 1.37 on those of
    /// services without endpoints too, but for their node ports (`CleanStaleEntries` of pkg/proxy/conntrack/cleanup.go, 1.36.3
    /// and 1.37.2).
    #[must_use]
    pub fn of(version: KubeProxyVersion, population: &Population) -> Self {
        let first = population.services.first();
        let mut serving = Self {
            family: first.map_or(Family::Ipv4, Service::family),
            endpoints: Vec::new(),
            frontends: HashMap::new(),
            node_ports: HashMap::new(),
        };
        let services = population.services.iter();
        for service in services.filter(|service| service.frontend.protocol == Protocol::Udp) {
            let served = !service.endpoints.is_empty();
            if !served && version < KubeProxyVersion::V1_37 {
                continue;
            }
            let nth = serving.endpoints.len();
            serving
                .endpoints
                .push(service.endpoints.iter().map(end_of).collect());
            for (by, to) in service.frontends() {
                if by != ReachedBy::NodePort {
                    serving.frontends.insert((to.vip, to.port), nth);
                } else if served {
                    serving.node_ports.insert(to.port, nth);
                }
            }
        }
        serving
    }

    /// Whether a change from one population to another is one after which kube-proxy looks for stale flows.
    #[must_use]
    pub fn changes(from: &Population, to: &Population) -> bool {
        let udp = |population: &'_ Population| {
            let services = population.services.iter();
            let udp = services.filter(|service| service.frontend.protocol == Protocol::Udp);
            udp.map(|service| (service.frontend, service.endpoints.clone()))
                .collect::<HashMap<_, _>>()
        };
        udp(from) != udp(to)
    }

    /// The services that a flow is to, by its address and by its port.
    fn asked(&self, flow: &Flow) -> impl Iterator<Item = &HashSet<End>> {
        let by_address = self.frontends.get(&flow.sent_to);
        let by_port = self.node_ports.get(&flow.sent_to.1);
        let services = by_address.into_iter().chain(by_port);
        services.map(|nth| &self.endpoints[*nth])
    }

    /// Whether a flow is to one of the services.
    fn has(&self, flow: &Flow) -> bool {
        self.asked(flow).next().is_some()
    }

    /// Whether a flow is to one of the services, and answered by none of its endpoints.
    fn has_left(&self, flow: &Flow) -> bool {
        self.asked(flow)
            .any(|endpoints| !endpoints.contains(&flow.answered_by))
    }
}

const fn end_of(endpoint: &Endpoint) -> End {
    (endpoint.address, endpoint.port)
}

/// What a clean-up did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Flows that were tracked, of whichever protocol.
    pub tracked: u64,
    /// Those that were deleted.
    pub deleted: u64,
    /// Netlink messages that it took.
    pub messages: u64,
}

/// How many UDP flows to the services are tracked in the calling thread's network namespace, and how many of them are
/// answered by who is no endpoint.
///
/// # Errors
/// The kernel tracks no connections, or refused.
pub fn tracked(serving: &Serving) -> Result<(u64, u64), HarnessError> {
    let (mut found, mut stale) = (0, 0);
    Tracking::open()?.list(serving.family, |flow, _| {
        found += u64::from(serving.has(flow));
        stale += u64::from(serving.has_left(flow));
    })?;
    Ok((found, stale))
}

/// Forgets every flow of a family that the calling thread's network namespace tracks.
///
/// # Errors
/// As [`tracked`].
pub fn forget(family: Family) -> Result<(), HarnessError> {
    Tracking::open()?.delete(family, &[])
}

/// A tracked UDP flow.
struct Flow {
    sent_to: End,
    answered_by: End,
}

impl Flow {
    /// Of an entry's attributes; none where it is of another protocol.
    fn of(entry: Attributes<'_>) -> Option<Self> {
        let original = entry.nested(ORIGINAL)?;
        let [protocol] = original.nested(PROTO)?.exact(PROTO_NUM)?;
        if i32::from(protocol) != libc::IPPROTO_UDP {
            return None;
        }
        let end = |tuple: Attributes<'_>, [v4, v6]: [u16; 2], port| {
            let ip = tuple.nested(IP)?;
            let address = match ip.exact::<4>(v4) {
                Some(address) => IpAddr::from(address),
                None => IpAddr::from(ip.exact::<16>(v6)?),
            };
            let port = tuple.nested(PROTO)?.exact(port)?;
            Some((address, u16::from_be_bytes(port)))
        };
        let (sent_to, answered_by) = ([IP_V4_DST, IP_V6_DST], [IP_V4_SRC, IP_V6_SRC]);
        Some(Self {
            sent_to: end(original, sent_to, PROTO_DST_PORT)?,
            answered_by: end(entry.nested(REPLY)?, answered_by, PROTO_SRC_PORT)?,
        })
    }
}

/// A socket to connection tracking.
#[derive(Debug)]
pub(crate) struct Tracking(Socket);

impl Tracking {
    /// In the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, HarnessError> {
        let socket = Socket::open(SockProtocol::NetlinkNetFilter, header(Family::Ipv4).len());
        let socket = socket.map_err(HarnessError::netlink("reach connection tracking"))?;
        Ok(Self(socket))
    }

    /// Deletes flows to services whose endpoint has left, as kube-proxy does.
    pub(crate) fn clean(&mut self, serving: &Serving) -> Result<Cleaned, HarnessError> {
        let mut stale = 0;
        let tracked = self.list(serving.family, |flow, _| {
            stale += u64::from(serving.has_left(flow))
        })?;
        if stale == 0 {
            return Ok(Cleaned {
                tracked,
                deleted: 0,
                messages: 1,
            });
        }
        let mut leaving: Vec<Vec<u8>> = Vec::new();
        self.list(serving.family, |flow, entry| {
            if serving.has_left(flow) {
                leaving.push(entry.0.to_vec());
            }
        })?;
        for entry in &leaving {
            self.delete(serving.family, entry)?;
        }
        let deleted = leaving.len() as u64;
        Ok(Cleaned {
            tracked,
            deleted,
            messages: 2 + deleted,
        })
    }

    /// Gives `each` every UDP flow of a family, with its entry's attributes; how many entries there are of all protocols.
    fn list(
        &mut self,
        family: Family,
        mut each: impl FnMut(&Flow, Attributes<'_>),
    ) -> Result<u64, HarnessError> {
        let request = |sequence| {
            let mut out = Vec::new();
            write(
                &mut out,
                GET,
                flags::DUMP,
                sequence,
                &header(family),
                |_| (),
            );
            out
        };
        let mut entries = 0;
        // A table that changes meanwhile is taken as it was seen: kube-proxy does, and the sync after it sees the rest.
        let listed = self.0.dump("tracked connections", request, |_, entry| {
            entries += 1;
            if let Some(flow) = Flow::of(entry) {
                each(&flow, entry);
            }
            Ok(())
        });
        listed.map_err(HarnessError::netlink("list connection tracking"))?;
        Ok(entries)
    }

    /// Deletes the entry with these attributes, all entries of the family where there are none. One that has gone by itself is no error.
    fn delete(&mut self, family: Family, entry: &[u8]) -> Result<(), HarnessError> {
        let request = |sequence| {
            let mut out = Vec::with_capacity(20 + entry.len());
            write(
                &mut out,
                DELETE,
                flags::ACK,
                sequence,
                &header(family),
                |out| {
                    out.extend_from_slice(entry);
                },
            );
            out
        };
        match self.0.ask("a tracked connection", request, |_, _| Ok(())) {
            Err(Error::System {
                errno: Errno::ENOENT,
                ..
            }) => Ok(()),
            done => done.map_err(HarnessError::netlink("delete a tracked connection")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Plan, family};
    use netlink::{attribute, nest};
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn tuple(out: &mut Vec<u8>, kind: u16, from: End, to: End, protocol: u8) {
        nest(out, kind, |out| {
            nest(out, IP, |out| {
                for (kinds, address) in [
                    ([IP_V4_SRC, IP_V6_SRC], from.0),
                    ([IP_V4_DST, IP_V6_DST], to.0),
                ] {
                    match address {
                        IpAddr::V4(address) => attribute(out, kinds[0], &address.octets()),
                        IpAddr::V6(address) => attribute(out, kinds[1], &address.octets()),
                    }
                }
            });
            nest(out, PROTO, |out| {
                attribute(out, PROTO_NUM, &[protocol]);
                attribute(out, PROTO_SRC_PORT, &from.1.to_be_bytes());
                attribute(out, PROTO_DST_PORT, &to.1.to_be_bytes());
            });
        });
    }

    fn entry(to: End, answered_by: End, protocol: i32) -> Vec<u8> {
        let (client, mut out) = ((Plan::of(family(to.0)).client(), 40_000), Vec::new());
        tuple(&mut out, ORIGINAL, client, to, protocol as u8);
        tuple(&mut out, REPLY, answered_by, client, protocol as u8);
        out
    }

    /// Whether the clean-up of a population takes a flow away.
    fn leaves(population: &Population, to: End, answered_by: End, protocol: i32) -> bool {
        let entry = entry(to, answered_by, protocol);
        let flow = Flow::of(Attributes(&entry));
        flow.is_some_and(|flow| Serving::of(KubeProxyVersion::V1_36, population).has_left(&flow))
    }

    fn population(endpoints: u32) -> Population {
        // Of odd indices UDP is the protocol.
        let service = Service::of_test(1, 0x0a60_0001, 0x0a80_0001, endpoints);
        Population {
            services: vec![service],
        }
    }

    const VIP: End = (IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), 80);
    const OTHER: End = (IpAddr::V4(Ipv4Addr::new(10, 96, 0, 2)), 80);

    const fn pod(last: u8) -> End {
        (IpAddr::V4(Ipv4Addr::new(10, 128, 0, last)), 8080)
    }

    #[test]
    fn a_udp_flow_leaves_with_its_endpoint_and_no_other_does() {
        let (two, udp) = (population(2), libc::IPPROTO_UDP);
        assert!(!leaves(&two, VIP, pod(1), udp) && !leaves(&two, VIP, pod(2), udp));
        assert!(leaves(&two, VIP, pod(3), udp));
        assert!(leaves(&two, VIP, (pod(1).0, 9090), udp), "another port");
        assert!(!leaves(&two, VIP, pod(3), libc::IPPROTO_TCP));
        assert!(!leaves(&two, OTHER, pod(3), udp), "no service of ours");
        assert!(!leaves(&two, (VIP.0, 53), pod(3), udp), "nor this port");
        // As kube-proxy before 1.37: the rule that refuses such a service is thought to be enough.
        assert!(!leaves(&population(0), VIP, pod(1), udp));
    }

    #[test]
    fn a_flow_of_ipv6_is_read_from_its_own_attributes() {
        let vip = (IpAddr::V6(Ipv6Addr::LOCALHOST), 53);
        let pod = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080);
        let entry = entry(vip, pod, libc::IPPROTO_UDP);
        let flow = Flow::of(Attributes(&entry)).unwrap();
        assert_eq!((flow.sent_to, flow.answered_by), (vip, pod));
    }

    #[test]
    fn a_flow_that_nat_did_not_touch_or_that_is_torn_is_none_of_ours() {
        let whole = entry(VIP, pod(3), libc::IPPROTO_UDP);
        assert!(Flow::of(Attributes(&whole)).is_some());
        assert!(Flow::of(Attributes(&whole[..whole.len() / 2])).is_none());
        assert!(Flow::of(Attributes(&[])).is_none());
    }

    #[test]
    fn only_changes_of_udp_services_are_followed_by_a_look() {
        let with = |index, endpoints| {
            let mut all = population(2);
            all.services
                .push(Service::of_test(index, 0x0a60_0009, 0x0a80_0009, endpoints));
            all
        };
        assert!(!Serving::changes(&population(2), &population(2)));
        assert!(Serving::changes(&population(2), &population(1)));
        assert!(Serving::changes(&population(2), &with(3, 1)), "UDP comes");
        assert!(!Serving::changes(&population(2), &with(2, 1)), "TCP comes");
        assert!(!Serving::changes(&with(2, 1), &with(2, 2)));
    }
}
