//! kube-proxy's sync as batches: everything from nothing, everything again, or only what changed.

use std::collections::{HashMap, HashSet};

use nft_codec::{Act, Element, Key, Name, Op, Verdict};

use super::exposed::Part;
use super::layout::{FullSync, Layout};
use super::step::{Script, Transaction};
use crate::datapath::{Batch, RenderOptions, Stale, Transport};
use crate::service::{Population, Service};

/// What must be sent to go from serving `from` (`None`: an untouched kernel) to serving `to`.
pub(super) fn render(
    layout: &Layout,
    from: Option<&Population>,
    to: &Population,
    options: &RenderOptions,
) -> Batch {
    let mut transactions = Transactions {
        layout,
        options,
        done: Batch::default(),
        open: Vec::new(),
        services: 0,
    };
    let nothing = Population::default();
    let before = Installed::of(layout, from.unwrap_or(&nothing));
    let after = Installed::of(layout, to);
    if options.stale == Stale::Collected {
        transactions.delete(stale_chains(layout, &before, &after));
        return transactions.finish();
    }
    let full = match from {
        None => Some(FullSync::First),
        Some(_) => options.resync.then_some(FullSync::Later),
    };
    if let Some(sync) = full {
        transactions.open = layout.base(sync);
    }
    // A full sync empties the sets and maps first, or reads what they hold.
    let emptied = full.is_some() && !layout.reads_sets;
    let mut elements = match emptied {
        false => before.elements.clone(),
        true => Elements::new(),
    };
    for service in &to.services {
        let unchanged = before
            .services
            .get(&identity(service))
            .is_some_and(|there| *there == service)
            && full.is_none();
        // Elements are looked at for every service, as kube-proxy does; they say for themselves
        // whether anything changed.
        let mut ops = Vec::new();
        if unchanged {
            for element in layout.elements(service) {
                ensure(layout, &mut ops, &mut elements, element);
            }
            transactions.open.append(&mut ops);
            continue;
        }
        for part in layout.parts(service) {
            match part {
                Part::Chain(chain) => layout.ensure_chain(&mut ops, &chain),
                Part::Element(set, element) => {
                    ensure(layout, &mut ops, &mut elements, (set, element));
                }
            }
        }
        transactions.service(service, ops);
    }
    transactions.leave_behind(&before, &after, emptied);
    transactions.finish()
}

/// What makes a service the same service: the parts of its chains' names.
type Identity = (u32, u16, schema::Protocol);

fn identity(service: &Service) -> Identity {
    (
        service.index,
        service.frontend.port,
        service.frontend.protocol,
    )
}

type Elements = HashMap<(Name, Key), Option<Verdict>>;

/// What a population's services have put into the kernel.
struct Installed<'a> {
    services: HashMap<Identity, &'a Service>,
    /// In population order, so that what is removed is removed in a fixed order.
    order: Vec<&'a Service>,
    elements: Elements,
}

impl<'a> Installed<'a> {
    fn of(layout: &Layout, population: &'a Population) -> Self {
        let order: Vec<_> = population.services.iter().collect();
        let elements = order
            .iter()
            .flat_map(|service| layout.elements(service))
            .map(|(set, element)| ((set, element.key), element.verdict))
            .collect();
        Self {
            services: order
                .iter()
                .map(|service| (identity(service), *service))
                .collect(),
            order,
            elements,
        }
    }
}

/// Chains that `after` does not have any more.
fn stale_chains(layout: &Layout, before: &Installed<'_>, after: &Installed<'_>) -> Vec<Name> {
    let mut stale = Vec::new();
    for service in &before.order {
        let now = after.services.get(&identity(service)).copied();
        if now.is_none_or(|now| now != *service) {
            let kept = now.map(|now| layout.chains(now));
            let kept: HashSet<_> = kept.into_iter().flatten().collect();
            let own = layout.chains(service).into_iter();
            stale.extend(own.filter(|chain| !kept.contains(chain)));
        }
    }
    stale
}

/// Adds an element unless it is there; one with another verdict is replaced.
fn ensure(
    layout: &Layout,
    ops: &mut Vec<Op>,
    elements: &mut Elements,
    (set, element): (Name, Element),
) {
    match elements.insert((set.clone(), element.key), element.verdict.clone()) {
        Some(there) if there == element.verdict => return,
        Some(_) => {
            let delete = Act::DeleteElements(set.clone(), vec![element.key]);
            ops.push(layout.op(delete));
        }
        None => {}
    }
    ops.push(layout.op(Act::AddElements(set, vec![element])));
}

/// The transactions of a batch, while they grow.
struct Transactions<'a> {
    layout: &'a Layout,
    options: &'a RenderOptions,
    done: Batch,
    open: Vec<Op>,
    /// Services in the open transaction.
    services: usize,
}

impl Transactions<'_> {
    /// A service that is new or changed: its chains, emptied, with its elements; its sets and rules.
    fn service(&mut self, service: &Service, parts: Vec<Op>) {
        if self
            .options
            .chunk
            .is_some_and(|chunk| self.services >= chunk.max(1))
        {
            self.close();
        }
        self.services += 1;
        let (layout, ops) = (self.layout, &mut self.open);
        ops.extend(parts);
        let rules = layout.rules(service).into_iter();
        ops.extend(rules.map(|act| layout.op(act)));
    }

    /// Flushes the chains and deletes the clients' sets and the elements that `after` does not have, the latter unless sets
    /// and maps were `emptied`; then, in a transaction of its own, deletes those chains.
    fn leave_behind(&mut self, before: &Installed<'_>, after: &Installed<'_>, emptied: bool) {
        let layout = self.layout;
        let stale = stale_chains(layout, before, after);
        let (mut sets, mut gone) = (Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for service in &before.order {
            let now = after.services.get(&identity(service));
            if now.is_none_or(|now| now != service) {
                let kept = now.map(|now| layout.affinity_sets(now)).unwrap_or_default();
                let gone = layout.affinity_sets(service).into_iter();
                sets.extend(gone.filter(|set| !kept.contains(set)));
            }
            for (set, element) in layout.elements(service) {
                let place = (set, element.key);
                if !emptied && !after.elements.contains_key(&place) && seen.insert(place.clone()) {
                    gone.push(place);
                }
            }
        }
        let flush = |chain: &Name| layout.op(Act::FlushChain(chain.clone()));
        self.open.extend(stale.iter().map(flush));
        let delete = |set| layout.op(Act::DeleteSet(set, false));
        self.open.extend(sets.into_iter().map(delete));
        let delete = |(set, key)| layout.op(Act::DeleteElements(set, vec![key]));
        self.open.extend(gone.into_iter().map(delete));
        self.close();
        if self.options.stale != Stale::Left {
            self.delete(stale);
        }
    }

    /// Deletes chains that are empty. A service's leads to its endpoints' chains where it is not: any order will do.
    fn delete(&mut self, chains: Vec<Name>) {
        let layout = self.layout;
        let delete = |chain| layout.op(Act::DeleteChain(chain));
        self.open.extend(chains.into_iter().map(delete));
    }

    fn close(&mut self) {
        self.services = 0;
        let ops = std::mem::take(&mut self.open);
        if ops.is_empty() {
            return;
        }
        match self.options.transport {
            Transport::Nft => self.done.push(Script::new(&ops)),
            _ => {
                let number = self.done.steps.len() + 1;
                let untimed = self.options.untimed;
                self.done.push(Transaction::new(number, ops, untimed));
            }
        }
    }

    fn finish(mut self) -> Batch {
        self.close();
        self.done
    }
}
