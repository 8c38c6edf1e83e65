//! `ipset save`: kube-proxy's sets of mode ipvs, and how full every set is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use crate::service::{Net, Protocol};

/// How full a set is: kube-proxy's hold 65,536 entries, and it fails beyond.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// The set's name.
    pub name: String,
    /// Its entries.
    pub entries: u64,
    /// The most that it holds; `None` of a type without such a bound.
    pub maxelem: Option<u64>,
}

/// An address, a protocol and a port.
pub(crate) type Place = (IpAddr, Protocol, u16);

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) fills: Vec<Fill>,
    at: HashMap<String, usize>,
    /// ClusterIPs in their order, and the lines they stand in.
    pub(crate) cluster_ips: Vec<(Place, u64)>,
    pub(crate) clusters: HashSet<Place>,
    pub(crate) load_balancers: HashSet<Place>,
    pub(crate) externals: HashSet<Place>,
    /// Addresses that only local endpoints answer at.
    pub(crate) only_local: HashSet<Place>,
    pub(crate) node_ports: HashSet<(Protocol, u16)>,
    pub(crate) node_ports_only_local: HashSet<(Protocol, u16)>,
    /// Sources that load balancers are for.
    pub(crate) ranges: HashMap<Place, BTreeSet<Net>>,
    /// Endpoints of this node, where the set is there.
    pub(crate) local: Option<HashSet<Place>>,
}

impl Sets {
    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.fills.is_empty()
    }

    /// Takes a line in; `None` where it is none of theirs.
    pub(crate) fn line(&mut self, line: &str, number: u64) -> Option<Result<(), &'static str>> {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("create"), Some(name), Some(kind)) if kind.contains(':') => {
                let mut rest = words.skip_while(|word| *word != "maxelem");
                let maxelem = rest.nth(1).and_then(|word| word.parse().ok());
                let fill = self.fill(name);
                fill.maxelem = maxelem;
                if base(name) == "LOOP-BACK" {
                    self.local.get_or_insert_default();
                }
                Some(Ok(()))
            }
            (Some("create"), Some(name), None) if kube(name) => Some(Err("a set without a type")),
            (Some("add"), Some(name), Some(entry)) if self.at.contains_key(name) || kube(name) => {
                self.fill(name).entries += 1;
                Some(self.entry(base(name), entry, number))
            }
            (Some("add"), Some(name), None) if kube(name) => Some(Err("an entry of nothing")),
            _ => None,
        }
    }

    /// Takes in those of another file; an error names a set that is another one there.
    pub(crate) fn merge(&mut self, other: Self) -> Result<(), String> {
        for fill in other.fills {
            match self.at.get(&fill.name).map(|at| &self.fills[*at]) {
                Some(own) if *own == fill => {}
                Some(_) => return Err(fill.name),
                None => {
                    self.at.insert(fill.name.clone(), self.fills.len());
                    self.fills.push(fill);
                }
            }
        }
        for (place, line) in other.cluster_ips {
            if self.clusters.insert(place) {
                self.cluster_ips.push((place, line));
            }
        }
        self.load_balancers.extend(other.load_balancers);
        self.externals.extend(other.externals);
        self.only_local.extend(other.only_local);
        self.node_ports.extend(other.node_ports);
        self.node_ports_only_local
            .extend(other.node_ports_only_local);
        for (place, nets) in other.ranges {
            self.ranges.entry(place).or_default().extend(nets);
        }
        if let Some(local) = other.local {
            self.local.get_or_insert_default().extend(local);
        }
        Ok(())
    }

    fn fill(&mut self, name: &str) -> &mut Fill {
        let next = self.fills.len();
        let at = *self.at.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.fills.push(Fill {
                name: name.to_owned(),
                entries: 0,
                maxelem: None,
            });
        }
        &mut self.fills[at]
    }

    fn entry(&mut self, set: &str, entry: &str, number: u64) -> Result<(), &'static str> {
        let mut fields = entry.split(',');
        let mut field = || fields.next().unwrap_or_default();
        let known = [
            "CLUSTER-IP",
            "LOAD-BALANCER",
            "LOAD-BALANCER-LOCAL",
            "LOAD-BALANCER-SOURCE-CIDR",
            "EXTERNAL-IP",
            "EXTERNAL-IP-LOCAL",
            "LOOP-BACK",
        ];
        if known.contains(&set) {
            let place =
                place(field(), field()).ok_or("an entry without address, protocol and port")?;
            if set == "LOAD-BALANCER-SOURCE-CIDR" {
                let net = field()
                    .parse()
                    .map_err(|()| "an entry without a range of sources")?;
                self.ranges.entry(place).or_default().insert(net);
                return Ok(());
            }
            if set.ends_with("-LOCAL") {
                self.only_local.insert(place);
            }
            match set {
                "CLUSTER-IP" => {
                    self.cluster_ips.push((place, number));
                    self.clusters.insert(place)
                }
                "LOOP-BACK" => self.local.get_or_insert_default().insert(place),
                "EXTERNAL-IP" | "EXTERNAL-IP-LOCAL" => self.externals.insert(place),
                _ => self.load_balancers.insert(place),
            };
        } else if let Some(protocol) = set.strip_prefix("NODE-PORT-") {
            let (protocol, only_local) = match protocol.strip_prefix("LOCAL-") {
                Some(protocol) => (protocol, true),
                None => (protocol, false),
            };
            let port = match protocol {
                "TCP" => (
                    Protocol::Tcp,
                    field().parse().map_err(|_| "a port without number")?,
                ),
                "UDP" => (
                    Protocol::Udp,
                    field().parse().map_err(|_| "a port without number")?,
                ),
                "SCTP-HASH" => {
                    let place = place(field(), field());
                    let (_, protocol, port) =
                        place.ok_or("an entry without address, protocol and port")?;
                    (protocol, port)
                }
                _ => return Ok(()),
            };
            self.node_ports.insert(port);
            if only_local {
                self.node_ports_only_local.insert(port);
            }
        }
        Ok(())
    }
}

/// Whether a set is kube-proxy's.
fn kube(name: &str) -> bool {
    name.starts_with("KUBE-")
}

/// What a set of kube-proxy's is for, whichever its family: `CLUSTER-IP` of `KUBE-6-CLUSTER-IP`.
fn base(name: &str) -> &str {
    let base = name.strip_prefix("KUBE-").unwrap_or_default();
    match base.strip_prefix("6-").unwrap_or(base) {
        // The kernel has names of 31 characters.
        "LOAD-BALANCER-SOURCE-CID" => "LOAD-BALANCER-SOURCE-CIDR",
        "NODE-PORT-LOCAL-SCTP-HAS" => "NODE-PORT-LOCAL-SCTP-HASH",
        base => base,
    }
}

/// `10.0.0.1` and `tcp:80`.
fn place(address: &str, port: &str) -> Option<Place> {
    let (protocol, port) = port.split_once(':')?;
    Some((
        address.parse().ok()?,
        Protocol::from_word(protocol)?,
        port.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_in_sets_of_every_type() {
        let mut sets = Sets::default();
        for line in [
            "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536",
            "add KUBE-CLUSTER-IP 10.131.0.1,tcp:443 packets 12 bytes 720",
            "create inet6:SRC hash:net family inet6 maxelem 64 timeout 0",
            "add inet6:SRC 2001:db8:72::/64 timeout 0 nomatch",
            "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535",
            "add KUBE-NODE-PORT-TCP 30443",
        ] {
            assert_eq!(sets.line(line, 1), Some(Ok(())), "{line}");
        }
        let fills: Vec<_> = sets
            .fills
            .iter()
            .map(|set| (set.entries, set.maxelem))
            .collect();
        assert_eq!(fills, [(1, Some(65_536)), (1, Some(64)), (1, None)]);
        assert!(sets.node_ports.contains(&(Protocol::Tcp, 30_443)));
    }

    #[test]
    fn lines_of_others_are_not_its_own_and_cut_ones_are_said() {
        let mut sets = Sets::default();
        for line in ["add nonsense 1", "create table x", "", "address add 1"] {
            assert_eq!(sets.line(line, 1), None, "{line}");
        }
        for line in [
            "add KUBE-CLUSTER-IP",
            "add KUBE-CLUSTER-IP 10.0.0.1,tcp:",
            "create KUBE-X",
        ] {
            assert!(matches!(sets.line(line, 1), Some(Err(_))), "{line}");
        }
    }
}
