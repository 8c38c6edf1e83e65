//! Batches interpreted: servers, addresses, sets and rules as they would be after each step, refusing what
//! tools and kernel would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipset_sys::{Command, Create, Entry, Set, SetType};
use ipvs_codec::{LinkOp, ListedDestination, ListedService, Op};
use model::Servers;
use schema::Family;

use super::census::State;
use super::part::{Part, Request, deletions};
use super::{Ipvs, layout};
use crate::datapath::meaning::Meaning;
use crate::datapath::steps::{Commands, Restore, SetScript, Sets};
use crate::datapath::{Batch, Step};
use crate::relation::Relation;
use crate::service::Cidr;
use crate::xtables::tables::Tables;

impl Meaning for Ipvs {
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        let mut kernel = Kernel::of(self.family);
        for step in batches.iter().flat_map(|batch| &batch.steps) {
            kernel.run(&**step)?;
        }
        kernel.state().relation()
    }
}

/// A namespace, as a mode of a family sees it.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    family: Family,
    servers: Servers,
    device: Option<BTreeSet<IpAddr>>,
    pub(super) sets: BTreeMap<String, Set>,
    /// Of which addresses they are.
    families: BTreeMap<String, ipset_sys::Family>,
    pub(super) tables: Tables,
    sysctls: bool,
}

impl Kernel {
    /// An untouched one.
    pub(super) fn of(family: Family) -> Self {
        Self {
            family,
            servers: Servers::default(),
            device: None,
            sets: BTreeMap::new(),
            families: BTreeMap::new(),
            tables: Tables::default(),
            sysctls: false,
        }
    }

    /// Carries out one step.
    ///
    /// # Errors
    /// What would be refused, and why.
    pub(super) fn run(&mut self, step: &dyn Step) -> Result<(), String> {
        if let Some(request) = step.as_a::<Request>() {
            self.part(&request.part)
        } else if let Some(restore) = step.as_a::<Restore>() {
            // A rule refers to a set by its index, which is looked up when the rule is made
            // (`set_match_v4_checkentry` in net/netfilter/xt_set.c).
            let mut words = restore.text.split_whitespace();
            while words.any(|word| word == "--match-set") {
                let set = words.next().unwrap_or_default();
                if !self.sets.contains_key(set) {
                    return Err(format!("no set {set} for a rule"));
                }
            }
            self.tables.restore(&restore.text)
        } else if let Some(Sets(commands)) = step.as_a() {
            commands.iter().try_for_each(|c| self.command(c, false))
        } else if let Some(script) = step.as_a::<SetScript>() {
            let mut lines = script.text.lines();
            lines.try_for_each(|line| self.command(&parsed(line)?, false))
        } else if let Some(Commands(lines)) = step.as_a() {
            lines.iter().try_for_each(|words| self.process(words))
        } else {
            Err("a step of another mode".to_owned())
        }
    }

    fn part(&mut self, part: &Part) -> Result<(), String> {
        match part {
            Part::Sysctls => self.sysctls = true,
            Part::Links(batch) => batch.ops().iter().try_for_each(|op| self.link(*op))?,
            Part::Servers(batch) => {
                let read = model::requests(batch.bytes()).ok_or("bytes that ask for nothing")?;
                read.iter().try_for_each(|(_, op)| self.server(op))?;
            }
            Part::Script(_, text) => model::parse_ipvsadm(text)?
                .iter()
                .try_for_each(|op| self.server(op))?,
            // Nobody has connections here.
            Part::Retire(leaving) => deletions(leaving)
                .iter()
                .try_for_each(|op| self.server(op))?,
            Part::Look(..) => {}
        }
        Ok(())
    }

    fn server(&mut self, op: &Op) -> Result<(), String> {
        // `ip_vs_new_dest` wants a routable address of IPv4: there is one once the device has an address.
        if matches!(op, Op::AddDestination(_, new) if new.server.address.is_ipv4())
            && self.device.as_ref().is_none_or(BTreeSet::is_empty)
        {
            return Err(format!("{op}: EINVAL"));
        }
        self.servers
            .carry_out(op)
            .map_err(|errno| format!("{op}: {errno}"))
    }

    fn link(&mut self, op: LinkOp) -> Result<(), String> {
        let done = match (op, &mut self.device) {
            (LinkOp::AddDummy(_), device @ None) => {
                *device = Some(BTreeSet::new());
                true
            }
            // The other family may have made it.
            (LinkOp::AddDummy(_), Some(_)) => true,
            (LinkOp::DeleteDevice(_), device @ Some(_)) => {
                *device = None;
                true
            }
            (LinkOp::AddAddress(_, address), Some(device)) => device.insert(address),
            (LinkOp::DeleteAddress(_, address), Some(device)) => device.remove(&address),
            _ => false,
        };
        match done {
            true => Ok(()),
            false => Err(format!("{op}: refused")),
        }
    }

    /// `ipset COMMAND … [-exist]`.
    fn process(&mut self, words: &[String]) -> Result<(), String> {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let ["ipset", rest @ ..] = texts.as_slice() else {
            return Err(format!("'{}': not a command of ipset", words.join(" ")));
        };
        let (rest, forgiving) = match rest {
            [rest @ .., "-exist"] => (rest, true),
            rest => (rest, false),
        };
        self.command(&parsed(&rest.join(" "))?, forgiving)
    }

    fn command(&mut self, command: &Command, forgiving: bool) -> Result<(), String> {
        let done = match command {
            Command::Create(create) => {
                let set = Set {
                    name: create.name.clone(),
                    type_name: create.set_type.name().to_owned(),
                    max_elements: create.max_elements,
                    memory_bytes: 0,
                    entries: Vec::new(),
                };
                self.families.insert(create.name.clone(), create.family);
                self.sets.insert(create.name.clone(), set).is_none()
            }
            // An entry of ports alone is of no family.
            Command::Add(name, entry)
                if self
                    .sets
                    .get(name)
                    .is_some_and(|set| set.type_name != "bitmap:port")
                    && self.families.get(name) != Some(&ipset_sys::Family::of(entry.address)) =>
            {
                false
            }
            Command::Add(name, entry) => self.sets.get_mut(name).is_some_and(|set| {
                let new = !set.entries.contains(entry);
                set.entries.extend(new.then_some(*entry));
                new || forgiving
            }),
            Command::Delete(name, entry) => self.sets.get_mut(name).is_some_and(|set| {
                let before = set.entries.len();
                set.entries.retain(|there| there != entry);
                set.entries.len() < before
            }),
            _ => false,
        };
        match done {
            true => Ok(()),
            false => Err(format!("'{command}': refused")),
        }
    }

    /// The namespace as the census sees it.
    pub(super) fn state(&self) -> State {
        let listed = |(service, destinations): &(ipvs_codec::Service, BTreeMap<_, _>)| {
            let server = ListedService {
                service: *service,
                other_flags: 0,
            };
            let destination = |destination: &ipvs_codec::Destination| ListedDestination {
                destination: *destination,
                thresholds: (0, 0),
                active: 0,
                inactive: 0,
            };
            (server, destinations.values().map(destination).collect())
        };
        let addresses = self.device.as_ref();
        let others = layout::SYSCTLS.iter().filter(|_| !self.sysctls);
        State {
            family: self.family,
            servers: self.servers.0.values().map(listed).collect(),
            addresses: addresses
                .map(|all| all.iter().map(|a| (*a, Cidr::one(*a).prefix)).collect()),
            sets: self.sets.clone(),
            tables: self.tables.clone(),
            other_sysctls: others.map(|(name, _)| (*name, "0".to_owned())).collect(),
        }
    }
}

/// A line of `ipset restore`, as far as the mode writes it.
fn parsed(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let command = match words[..] {
        ["create", name, set_type, ref options @ ..] => set(name, set_type, options),
        ["add", name, text] => entry(text).map(|entry| Command::Add(name.to_owned(), entry)),
        ["del", name, text] => entry(text).map(|entry| Command::Delete(name.to_owned(), entry)),
        _ => None,
    };
    command.ok_or_else(|| format!("'{line}': not understood"))
}

fn set(name: &str, set_type: &str, options: &[&str]) -> Option<Command> {
    let types = layout::SETS.iter().map(|(_, set_type)| *set_type);
    let set_type: SetType = types.into_iter().find(|t| t.name() == set_type)?;
    Some(Command::Create(Create {
        name: name.to_owned(),
        set_type,
        family: match options {
            ["family", "inet6", ..] => ipset_sys::Family::Inet6,
            _ => ipset_sys::Family::Inet,
        },
        max_elements: 0,
        hash_size: None,
        skbinfo: false,
    }))
}

/// `10.96.0.1`, `10.96.0.1,tcp:80`, with a second address or network behind, or `30001`.
fn entry(text: &str) -> Option<Entry> {
    let mut parts = text.split(',');
    let first = parts.next()?;
    let Some(port) = parts.next() else {
        return match first.parse() {
            Ok(port) => Some(layout::port_entry(port)),
            Err(_) => Some(layout::bound_entry(first.parse().ok()?)),
        };
    };
    let (protocol, port) = port.split_once(':')?;
    let entry = layout::cluster_entry(crate::service::Frontend {
        vip: first.parse().ok()?,
        port: port.parse().ok()?,
        protocol: protocol.parse().ok()?,
    });
    let Some(second) = parts.next() else {
        return Some(entry);
    };
    let (second, prefix) = match second.split_once('/') {
        Some((network, prefix)) => (network, Some(prefix.parse().ok()?)),
        None => (second, None),
    };
    Some(Entry {
        second: Some(second.parse().ok()?),
        prefix,
        ..entry
    })
}
