//! Virtual servers as `ipvsadm -Sn`, `ipvsadm -Ln` and `/proc/net/ip_vs` list them. Which of them is a ClusterIP, and which
//! the node port or load balancer of which service, is told by kube-proxy's sets where they are given, and by the endpoints.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use crate::found::{Found, Source};
use crate::ipset::{Place, Sets};
use crate::note::{Notes, quoted};
use crate::service::{Endpoint, Family, Protocol, Service, Vip, address_and_port};

/// `--service-node-port-range` of an API server by default.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// With how many services that have one of its endpoints an address is compared, to find whose it is.
const MOST_COMPARED: usize = 1_000;

/// What a virtual server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    At(Place),
    /// A mark of the firewall, and whether it is of IPv6.
    Mark(u32, bool),
}

/// A virtual server.
#[derive(Debug)]
struct Server {
    key: Key,
    affinity_seconds: Option<Option<u32>>,
    /// Destinations, and whether each is reached by masquerading, as all of kube-proxy's are.
    endpoints: Vec<Endpoint>,
    masqueraded: bool,
    /// Printed once more, by counters or by a second listing: what follows is known already.
    again: bool,
    line: u64,
}

/// A listing's columns and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listing {
    /// `/proc/net/ip_vs`: addresses and ports in hexadecimal digits.
    hexadecimal: bool,
    /// Forwarding and weights, not counters.
    configured: bool,
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct Table {
    servers: Vec<Server>,
    at: HashMap<Key, usize>,
    listing: Option<Listing>,
    /// The server that the destinations of a listing are of.
    current: Option<usize>,
    /// The first name in the place of an address, and its line.
    pub(crate) names: Option<(String, u64)>,
    /// Whether a listing's head was seen, be it one of no server.
    pub(crate) any: bool,
}

/// What came of all servers.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    pub(crate) found: Vec<Found>,
    /// Virtual servers that are node ports.
    pub(crate) node_ports: Vec<Place>,
}

impl Table {
    /// Whether there is no virtual server.
    pub(crate) const fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Takes a line in; `None` where it is none of theirs.
    pub(crate) fn line(&mut self, line: &str, number: u64) -> Option<Result<(), &'static str>> {
        let line = line.trim();
        let line = line.strip_prefix("ipvsadm ").unwrap_or(line);
        let mut words = line.split_whitespace();
        match words.next()? {
            "-A" | "-a" if words.next().is_some_and(|word| word.starts_with('-')) => {
                Some(self.saved(line, number))
            }
            "IP" if line.starts_with("IP Virtual Server version ") => {
                self.any = true;
                self.current = None;
                Some(Ok(()))
            }
            "Prot" if line.starts_with("Prot LocalAddress:Port") => {
                self.listing = Some(Listing {
                    hexadecimal: false,
                    configured: line.contains("Scheduler"),
                });
                Some(Ok(()))
            }
            "->" if line.starts_with("-> RemoteAddress:Port") => {
                if let Some(listing) = &mut self.listing {
                    // ipvsadm pads the column, the kernel does not.
                    listing.hexadecimal = line.starts_with("-> RemoteAddress:Port Forward");
                }
                Some(Ok(()))
            }
            "->" => self.destination(line, number),
            protocol @ ("TCP" | "UDP" | "SCTP" | "FWM") => self.server(protocol, line, number),
            _ => None,
        }
    }

    fn add(&mut self, key: Key, affinity_seconds: Option<Option<u32>>, line: u64) -> usize {
        let next = self.servers.len();
        let at = *self.at.entry(key).or_insert(next);
        if at == next {
            self.servers.push(Server {
                key,
                affinity_seconds,
                endpoints: Vec::new(),
                masqueraded: true,
                again: false,
                line,
            });
        }
        let server = &mut self.servers[at];
        server.again |= !server.endpoints.is_empty();
        at
    }

    fn add_endpoint(&mut self, server: usize, endpoint: Endpoint, masqueraded: bool) {
        let server = &mut self.servers[server];
        if !server.again {
            server.masqueraded &= masqueraded;
            server.endpoints.push(endpoint);
        }
    }

    /// A line of `ipvsadm -S`.
    fn saved(&mut self, line: &str, number: u64) -> Result<(), &'static str> {
        let mut words = line.split_whitespace().peekable();
        let adds_server = words.next() == Some("-A");
        let (mut key, mut to, mut six) = (None, None, false);
        let (mut weight, mut affinity, mut masqueraded) = (None, None, None);
        while let Some(option) = words.next() {
            let protocol = match option {
                "-t" | "--tcp-service" => Some(Protocol::Tcp),
                "-u" | "--udp-service" => Some(Protocol::Udp),
                "--sctp-service" => Some(Protocol::Sctp),
                _ => None,
            };
            let mut value = || words.next().ok_or("an option has no value");
            match (option, protocol) {
                (_, Some(protocol)) => {
                    let (address, port) = self.address(value()?, number)?;
                    key = Some(Key::At((address, protocol, port)));
                }
                ("-f" | "--fwmark-service", _) => {
                    key = Some(Key::Mark(
                        value()?.parse().map_err(|_| "a mark without number")?,
                        false,
                    ));
                }
                ("-6" | "--ipv6", _) => six = true,
                ("-r" | "--real-server", _) => to = Some(self.address(value()?, number)?),
                ("-w" | "--weight", _) => {
                    weight = Some(value()?.parse().map_err(|_| "a weight without number")?)
                }
                ("-m" | "--masquerading", _) => masqueraded = Some(true),
                ("-g" | "--gatewaying" | "-i" | "--ipip", _) => masqueraded = Some(false),
                ("-p" | "--persistent", _) => {
                    // Without a time it is ipvsadm's own.
                    let time = words.peek().and_then(|word| word.parse().ok());
                    affinity = Some(Some(time.unwrap_or(300)));
                }
                // The scheduler, its flags, masks, thresholds, tunnels.
                _ => {}
            }
        }
        let key = match key.ok_or("no virtual server")? {
            Key::Mark(mark, _) => Key::Mark(mark, six),
            key => key,
        };
        match (adds_server, to) {
            (true, _) => {
                self.add(key, affinity, number);
            }
            (false, Some((address, port))) => {
                let Some(server) = self.at.get(&key).copied() else {
                    return Err("a real server of a virtual server that is not there");
                };
                let endpoint = Endpoint {
                    weight,
                    ..Endpoint::at(Some(address), Some(port))
                };
                self.add_endpoint(server, endpoint, masqueraded.ok_or("no way of forwarding")?);
            }
            (false, None) => return Err("no real server"),
        }
        Ok(())
    }

    /// An address and a port, where they are no names.
    fn address(&mut self, text: &str, number: u64) -> Result<(IpAddr, u16), &'static str> {
        address_and_port(text).ok_or_else(|| self.no_address(text, number))
    }

    /// What is neither may be a name: ipvsadm was not told to print numbers.
    fn no_address(&mut self, text: &str, number: u64) -> &'static str {
        let letters = text.chars().any(|c| c.is_ascii_alphabetic());
        if letters && text.contains(':') && !text.starts_with('[') && self.names.is_none() {
            self.names = Some((quoted(text), number));
        }
        "no address and port"
    }

    /// A virtual server in a listing.
    fn server(
        &mut self,
        protocol: &str,
        line: &str,
        number: u64,
    ) -> Option<Result<(), &'static str>> {
        let mut words = line.split_whitespace().skip(1);
        let text = words.next()?;
        let (listing, sure) = match self.listing {
            Some(listing) => (listing, true),
            None => {
                let hexadecimal = hexadecimal(text).is_some() && address_and_port(text).is_none();
                let configured = true;
                (
                    Listing {
                        hexadecimal,
                        configured,
                    },
                    false,
                )
            }
        };
        let key = match Protocol::from_word(protocol) {
            None if listing.hexadecimal => u32::from_str_radix(text, 16)
                .ok()
                .map(|mark| Key::Mark(mark, false)),
            None => text
                .parse()
                .ok()
                .map(|mark| Key::Mark(mark, line.contains("IPv6"))),
            Some(protocol) => {
                let place = match listing.hexadecimal {
                    true => hexadecimal(text),
                    false => address_and_port(text),
                };
                place.map(|(address, port)| Key::At((address, protocol, port)))
            }
        };
        let Some(key) = key else {
            if !sure {
                return None;
            }
            self.current = None;
            return Some(Err(match listing.hexadecimal {
                true => "no address and port",
                false => self.no_address(text, number),
            }));
        };
        let mut words = words.skip_while(|word| *word != "persistent").skip(1);
        let persistent =
            listing.configured && line.split_whitespace().any(|word| word == "persistent");
        let time = words.next().and_then(|word| word.parse().ok());
        // The kernel counts it in its ticks, whose length it does not say.
        let affinity = persistent.then_some(time.filter(|_| !listing.hexadecimal));
        self.current = Some(self.add(key, affinity, number));
        self.any = true;
        Some(Ok(()))
    }

    /// A real server in a listing.
    fn destination(&mut self, line: &str, number: u64) -> Option<Result<(), &'static str>> {
        let mut words = line.split_whitespace().skip(1);
        let text = words.next()?;
        let Some(current) = self.current else {
            // Of a server that was not understood, or of another tool's text.
            return self
                .listing
                .map(|_| Err("a real server of no virtual server"));
        };
        let listing = self.listing;
        let place = match listing {
            Some(listing) if listing.hexadecimal => hexadecimal(text),
            Some(_) => self.address(text, number).ok(),
            None => address_and_port(text).or_else(|| hexadecimal(text)),
        };
        let Some((address, port)) = place else {
            return Some(Err("no address and port"));
        };
        let configured = listing.is_none_or(|listing| listing.configured);
        let mut endpoint = Endpoint::at(Some(address), Some(port));
        let mut masqueraded = true;
        if configured {
            masqueraded = matches!(words.next(), Some("Masq" | "Local"));
            endpoint.weight = words.next().and_then(|word| word.parse().ok());
        }
        self.add_endpoint(current, endpoint, masqueraded);
        Some(Ok(()))
    }
}

/// An address and a port in hexadecimal digits, as `/proc/net/ip_vs` has them: `0A830001:01BB`, `[2001:0db8:…:0505]:20FB`.
fn hexadecimal(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let digits =
        |text: &str, many| text.len() == many && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits(port, 4) {
        return None;
    }
    let address = match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
        Some(address) => IpAddr::V6(address.parse().ok()?),
        None if digits(address, 8) => {
            IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?))
        }
        None => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

/// The endpoints of a server as a set.
fn places(endpoints: &[Endpoint]) -> HashSet<(IpAddr, u16)> {
    endpoints
        .iter()
        .filter_map(|e| e.addr.zip(e.port))
        .collect()
}

/// By what a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Cluster,
    NodePort,
    LoadBalancer,
    External,
}

/// Told by the sets; without them by the range of node ports.
fn by(place: Place, sets: &Sets) -> By {
    let (address, protocol, port) = place;
    let in_cluster = sets.clusters.contains(&place);
    if sets.load_balancers.contains(&place) {
        By::LoadBalancer
    } else if sets.externals.contains(&place) {
        By::External
    } else if in_cluster {
        By::Cluster
    } else {
        let of_nodes = NODE_PORTS.contains(&port) || sets.node_ports.contains(&(protocol, port));
        match address.is_loopback() || of_nodes {
            true => By::NodePort,
            false => By::Cluster,
        }
    }
}

/// The services that virtual servers and sets make together.
pub(crate) fn trace(table: Table, sets: &Sets, file: usize, notes: &mut Notes) -> Traced {
    let mut traced = Traced::default();
    let mut outside: Vec<(Server, Place, By)> = Vec::new();
    // The ClusterIPs that have an endpoint, by protocol and endpoint.
    let mut serving: HashMap<(Protocol, IpAddr, u16), Vec<usize>> = HashMap::new();
    for server in table.servers {
        let place = match server.key {
            Key::At(place) if server.masqueraded => place,
            Key::At((address, protocol, port)) => {
                let what = format!(
                    "{address}:{port}/{protocol} is not a kube-proxy service: it does not masquerade"
                );
                notes.left_out(file, Some(server.line), what);
                continue;
            }
            Key::Mark(mark, _) => {
                let what = format!("mark {mark} is not a kube-proxy service: it has no address");
                notes.left_out(file, Some(server.line), what);
                continue;
            }
        };
        let by = by(place, sets);
        if by != By::Cluster {
            if by == By::NodePort {
                traced.node_ports.push(place);
            }
            outside.push((server, place, by));
            continue;
        }
        let (address, protocol, port) = place;
        for (endpoint, port) in places(&server.endpoints) {
            let served = serving.entry((protocol, endpoint, port)).or_default();
            served.push(traced.found.len());
        }
        let mut endpoints = server.endpoints;
        for endpoint in &mut endpoints {
            let local = sets.local.as_ref().zip(endpoint.addr.zip(endpoint.port));
            let at = local.map(|(local, (addr, port))| local.contains(&(addr, protocol, port)));
            endpoint.local = at;
        }
        endpoints.retain(|e| {
            e.addr
                .is_none_or(|addr| Family::of(addr) == Family::of(address))
        });
        // kube-proxy's are all 1; another says which are to get no more.
        if endpoints.iter().all(|endpoint| endpoint.weight == Some(1)) {
            endpoints
                .iter_mut()
                .for_each(|endpoint| endpoint.weight = None);
        }
        traced.found.push(Found {
            service: Service {
                affinity_seconds: server.affinity_seconds,
                endpoints: Some(endpoints),
                ..Service::new(Vip::Known(address), port, protocol)
            },
            source: Source::Ipvs,
            file,
            line: Some(server.line),
        });
    }
    let all: Vec<HashSet<(IpAddr, u16)>> = traced
        .found
        .iter()
        .map(|found| places(found.service.endpoints.as_deref().unwrap_or_default()))
        .collect();
    let (mut said, mut unsaid) = (HashSet::new(), Vec::new());
    // Those without endpoints that no load balancer, and no node port, is known of.
    let serves_none = (0..all.len()).filter(|i| all[*i].is_empty());
    let serves_none: VecDeque<usize> = serves_none.collect();
    let mut idle = [serves_none.clone(), serves_none];
    for (server, place, by) in outside {
        let own = places(&server.endpoints);
        let (address, protocol, port) = place;
        let near = own.iter().next();
        let near = near.and_then(|(endpoint, port)| serving.get(&(protocol, *endpoint, *port)));
        let near = near.into_iter().flatten().copied();
        // A load balancer has the port of its service.
        let of_port = |i: &usize| by == By::NodePort || traced.found[*i].service.port == port;
        let holds = |i: &usize| own.is_subset(&all[*i]);
        let near: Vec<usize> = near
            .take(MOST_COMPARED)
            .filter(of_port)
            .filter(holds)
            .collect();
        let same: Vec<usize> = near
            .iter()
            .copied()
            .filter(|i| all[*i].len() == own.len())
            .collect();
        let of = match (same.as_slice(), near.as_slice()) {
            ([only], _) | ([], [only]) => Some(*only),
            _ if own.is_empty() && !said.contains(&(protocol, port)) => {
                // Services that serve nobody are alike: it is of the first that has no such address yet.
                let free = &mut idle[usize::from(by == By::NodePort)];
                let alike = |i: &usize| {
                    let service = &traced.found[*i].service;
                    of_port(i)
                        && service.protocol == protocol
                        && service.affinity_seconds == server.affinity_seconds
                };
                let first = free.iter().take(MOST_COMPARED).position(alike);
                first.and_then(|place| free.remove(place))
            }
            _ => None,
        };
        let Some(only) = of else {
            unsaid.push((place, by, server.line));
            continue;
        };
        let service = &mut traced.found[only].service;
        let told = match by {
            By::NodePort => sets.node_ports_only_local.contains(&(protocol, port)),
            _ => sets.only_local.contains(&place),
        };
        service.external_local |= told || own.len() < all[only].len();
        match by {
            By::NodePort => {
                said.insert((protocol, port));
                service.node_port = Some(Some(port));
            }
            By::LoadBalancer => {
                service.load_balancer_ips.push(Some(address));
                let ranges = sets.ranges.get(&place).into_iter().flatten();
                service.source_ranges.extend(ranges.map(|net| Some(*net)));
            }
            By::External | By::Cluster => service.external_ips.push(Some(address)),
        }
    }
    for ((address, protocol, port), by, line) in unsaid {
        // A node port is one service's, at whichever address of the node.
        if by != By::NodePort || !said.contains(&(protocol, port)) {
            let what = format!("{address}:{port}/{protocol}: of which service is not said");
            notes.left_out(file, Some(line), what);
        }
    }
    for found in &mut traced.found {
        found.service.set_type();
    }
    traced
}

/// The services that sets alone tell of: ClusterIPs whose endpoints are not known.
pub(crate) fn of_sets(sets: &Sets, file: usize) -> impl Iterator<Item = Found> {
    let places = sets.cluster_ips.iter();
    places.map(move |&((address, protocol, port), line)| Found {
        service: Service::new(Vip::Known(address), port, protocol),
        source: Source::Ipset,
        file,
        line: Some(line),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        let mut table = Table::default();
        for (line, number) in text.lines().zip(1..) {
            assert!(matches!(table.line(line, number), Some(Ok(()))), "{line}");
        }
        table
    }

    fn services(table: Table, sets: &Sets) -> (Vec<Service>, usize, Notes) {
        let mut notes = Notes::default();
        let traced = trace(table, sets, 0, &mut notes);
        let services = traced.found.into_iter().map(|found| found.service);
        (services.collect(), traced.node_ports.len(), notes)
    }

    const SAVED: &str = "-A -t 10.0.0.1:80 -s rr -p 10800
-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1
-a -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 1
-A -t 192.0.2.31:30080 -s rr
-a -t 192.0.2.31:30080 -r 10.1.0.2:8080 -m -w 1";
    const LISTED: &str = "IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.1:80 rr persistent 10800
  -> 10.1.0.1:8080                Masq    1      0          0
  -> 10.1.0.2:8080                Masq    1      0          0
TCP  192.0.2.31:30080 rr
  -> 10.1.0.2:8080                Masq    1      0          0";
    const KERNEL: &str = "IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000001:0050 rr persistent 10800000 FFFFFFFF
  -> 0A010001:1F90      Masq    1      0          0
  -> 0A010002:1F90      Masq    1      0          0
TCP  C000021F:7580 rr
  -> 0A010002:1F90      Masq    1      0          0";

    #[test]
    fn a_table_is_the_same_however_it_is_printed() {
        let none = Sets::default();
        let (saved, node_ports, _) = services(table(SAVED), &none);
        assert_eq!((saved.len(), node_ports), (1, 1));
        assert_eq!(saved[0].to_string(), "10.0.0.1:80/tcp");
        assert_eq!(saved[0].affinity_seconds, Some(Some(10_800)));
        assert_eq!(saved[0].endpoints.as_ref().unwrap().len(), 2);
        let (listed, ..) = services(table(LISTED), &none);
        assert_eq!(listed, saved);
        // A tick of the kernel's has no length that is known.
        let (mut kernel, ..) = services(table(KERNEL), &none);
        assert_eq!(kernel[0].affinity_seconds.take(), Some(None));
        kernel[0].affinity_seconds = Some(Some(10_800));
        assert_eq!(kernel, saved);
    }

    #[test]
    fn a_node_port_is_that_of_the_service_that_has_its_endpoints() {
        let (services, ..) = services(table(SAVED), &Sets::default());
        assert_eq!(services[0].node_port, Some(Some(30_080)));
        // One of two endpoints: those of this node.
        assert!(services[0].external_local);
    }

    #[test]
    fn of_two_services_with_the_same_endpoints_neither_has_the_node_port() {
        let other = SAVED.replace("10.0.0.1", "10.0.0.2");
        let (services, _, notes) = services(table(&format!("{SAVED}\n{other}")), &Sets::default());
        assert_eq!(services.len(), 2);
        assert!(services.iter().all(|service| service.node_port.is_none()));
        assert_eq!(notes.left_out, 1);
    }

    #[test]
    fn sets_say_which_address_is_which() {
        let mut sets = Sets::default();
        for line in [
            "add KUBE-CLUSTER-IP 10.0.0.1,tcp:80",
            "add KUBE-EXTERNAL-IP 192.0.2.31,tcp:30080",
            "add KUBE-LOOP-BACK 10.1.0.2,tcp:8080,10.1.0.2",
        ] {
            sets.line(line, 1);
        }
        let mut text = SAVED.replace("10.0.0.1:80", "10.0.0.1:30080");
        sets.line("add KUBE-CLUSTER-IP 10.0.0.1,tcp:30080", 2);
        let (found, node_ports, _) = services(table(&text), &sets);
        assert_eq!(node_ports, 0);
        assert_eq!(found[0].external_ips, [Some("192.0.2.31".parse().unwrap())]);
        let local: Vec<_> = found[0]
            .endpoints
            .iter()
            .flatten()
            .map(|e| e.local)
            .collect();
        assert_eq!(local, [Some(false), Some(true)]);
        // A load balancer at another port is another service's.
        text = SAVED.replace(":30080", ":81");
        sets.line("add KUBE-LOAD-BALANCER 192.0.2.31,tcp:81", 3);
        let (found, _, notes) = services(table(&text), &sets);
        assert!(found[0].load_balancer_ips.is_empty());
        assert_eq!(notes.left_out, 1);
    }

    #[test]
    fn marks_and_tunnels_are_not_kube_proxys() {
        let text = "-A -f 7 -6 -s rr
-a -f 7 -6 -r 10.0.3.9:0 -g -w 1
-A -t 10.0.0.1:80 -s sh
-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 1 --tun-type gue";
        let (services, _, notes) = services(table(text), &Sets::default());
        assert!(services.is_empty());
        assert_eq!(notes.left_out, 2);
    }

    #[test]
    fn names_in_the_place_of_addresses_are_kept_for_the_refusal() {
        let mut table = Table::default();
        let head: Vec<&str> = LISTED.lines().take(3).collect();
        for line in &head {
            table.line(line, 1);
        }
        assert!(matches!(
            table.line("TCP  worker-b:https rr", 4),
            Some(Err(_))
        ));
        assert_eq!(table.names, Some(("'worker-b:https'".to_owned(), 4)));
        let mut alone = Table::default();
        assert!(alone.line("TCP connections are many", 1).is_none());
        assert!(alone.line("-> nonsense", 1).is_none());
        assert!(matches!(
            alone.line("-A -t worker-b:https -s rr", 2),
            Some(Err(_))
        ));
        assert!(alone.names.is_some());
    }

    #[test]
    fn counters_are_no_weights() {
        let text = LISTED
            .replace(
                "Scheduler Flags",
                "              Conns   InPkts  OutPkts  InBytes OutBytes",
            )
            .replace("           Forward Weight ActiveConn InActConn", "")
            .replace("rr persistent 10800", "1204K 18M 17M 2143M 9G")
            .replace("Masq    1      0          0", "1204K 18M 17M 2143M 9G");
        let (services, ..) = services(table(&text), &Sets::default());
        assert_eq!(services[0].endpoints.as_ref().unwrap().len(), 2);
        assert_eq!(services[0].affinity_seconds, None);
    }
}
