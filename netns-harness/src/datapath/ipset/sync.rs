//! From one population to another: which transactions, in which order.
//!
//! A mark must never lead into nothing, nor to another service. So whatever is taken away goes element
//! first and chains afterwards, and whatever is added comes chains first and element last. Each step is
//! atomic: an `iptables-restore` of one table, a command on one element, a swap of two sets.

use std::collections::{BTreeSet, HashSet};

use ipset_sys::Command;

use super::Ipset;
use super::ids::{ById, Id, LEVELS, Prefix, by_id};
use super::layout;
use crate::datapath::iptables::layout::changes;
use crate::datapath::iptables::services::chains_of;
use crate::datapath::steps::{Restore, SetScript, Sets};
use crate::datapath::{Batch, RenderOptions, Transport};
use crate::service::{Population, Service};
use crate::xtables::RestoreText;

/// What must be sent.
pub(super) fn render(
    ipset: Ipset,
    from: Option<&Population>,
    to: &Population,
    options: &RenderOptions,
) -> Batch {
    let mut steps = Steps {
        batch: Batch::default(),
        ipset,
        options,
    };
    match from {
        None => install(&mut steps, to),
        Some(from) if options.resync => resync(&mut steps, from, to),
        Some(from) => update(&mut steps, from, to),
    }
    steps.batch
}

/// The steps of a batch, by transport.
struct Steps<'a> {
    batch: Batch,
    ipset: Ipset,
    options: &'a RenderOptions,
}

impl Steps<'_> {
    fn text(&self) -> RestoreText {
        RestoreText::new(self.ipset.family, self.options.large_cluster)
    }

    fn restore(&mut self, text: RestoreText) {
        self.batch.push(Restore::new(self.ipset.tool(), text));
    }

    /// Nothing where there are no commands.
    fn sets(&mut self, commands: Vec<Command>) {
        match self.options.transport {
            _ if commands.is_empty() => {}
            Transport::IpsetRestore => self.batch.push(SetScript::new(&commands)),
            _ => self.batch.push(Sets(commands)),
        }
    }
}

/// The set, filled; then the rules, `chunk` services a transaction, the rule that looks packets up last.
fn install(steps: &mut Steps<'_>, to: &Population) {
    let family = steps.ipset.family;
    let set = layout::set(family);
    let mut commands = vec![layout::create(set, family)];
    commands.extend(to.services.iter().map(|s| add(set, s)));
    steps.sets(commands);
    let services = by_id(to);
    let ordered: Vec<(Id, &Service)> = services.into_iter().collect();
    let chunk = steps
        .options
        .chunk
        .unwrap_or(usize::MAX)
        .clamp(1, ordered.len().max(1));
    let mut chunks: Vec<&[(Id, &Service)]> = ordered.chunks(chunk).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let last = chunks.len() - 1;
    let mut before = None;
    for (i, services) in chunks.into_iter().enumerate() {
        let mut text = steps.text();
        if i == 0 {
            text.filter_section(true, &[]);
        }
        text.begin("nat");
        if i == 0 {
            layout::declare_shared(&mut text);
        }
        declare(&mut text, before, services);
        if i == 0 {
            layout::shared_rules(&mut text, true);
        }
        rules(&mut text, before, services);
        text.commit();
        if i == last {
            layout::mangle_section(&mut text, true);
        }
        before = services.last().map(|(id, _)| *id);
        steps.restore(text);
    }
}

/// Declares the chains of services and those of the dispatch that they are the first to need.
fn declare(text: &mut RestoreText, mut before: Option<Id>, services: &[(Id, &Service)]) {
    for (id, service) in services {
        layout::declare_path(text, before, *id);
        text.declare_service(service);
        before = Some(*id);
    }
}

/// The rules of those chains.
fn rules(text: &mut RestoreText, mut before: Option<Id>, services: &[(Id, &Service)]) {
    for (id, service) in services {
        layout::path_rules(text, before, service);
        text.service_rules(service);
        before = Some(*id);
    }
}

/// Only what changed: elements that go, chains, elements that come. Table nat is the only one touched.
fn update(steps: &mut Steps<'_>, from: &Population, to: &Population) {
    let change = Change::new(from, to);
    let set = layout::set(steps.ipset.family);
    steps.sets(change.departures(set));
    let dispatch = Dispatch::new(&change);
    let gone = change.gone_chains();
    if !(dispatch.rewritten.is_empty() && change.written.is_empty() && gone.is_empty()) {
        let mut text = steps.text();
        text.begin("nat");
        let rewritten = dispatch.rewritten.iter();
        rewritten.for_each(|prefix| text.declare(&prefix.to_string()));
        change.written.iter().for_each(|s| text.declare_service(s));
        // What goes is declared, which empties it, and deleted once nothing leads there.
        let gone: Vec<String> = dispatch
            .gone
            .iter()
            .map(Prefix::to_string)
            .chain(gone)
            .collect();
        gone.iter().for_each(|chain| text.declare(chain));
        for prefix in &dispatch.rewritten {
            layout::chain_rules(&mut text, *prefix, &change.after);
        }
        change.written.iter().for_each(|s| text.service_rules(s));
        gone.iter().for_each(|chain| text.delete_chain(chain));
        text.commit();
        steps.restore(text);
    }
    let arrivals = change.arrivals().map(|s| add(set, s));
    steps.sets(arrivals.collect());
}

/// Everything again: elements that go, all chains in one transaction, a new set filled and swapped in.
fn resync(steps: &mut Steps<'_>, from: &Population, to: &Population) {
    let change = Change::new(from, to);
    let family = steps.ipset.family;
    let (set, new_set) = (layout::set(family), layout::new_set(family));
    steps.sets(change.departures(set));
    let ordered: Vec<(Id, &Service)> = change.after.iter().map(|(id, s)| (*id, *s)).collect();
    let gone_prefixes = prefixes(&change.before);
    let kept = prefixes(&change.after);
    let gone = gone_prefixes.difference(&kept).map(Prefix::to_string);
    let gone: Vec<String> = gone.chain(change.gone_chains()).collect();
    let mut text = steps.text();
    text.filter_section(false, &[]);
    text.begin("nat");
    layout::declare_shared(&mut text);
    declare(&mut text, None, &ordered);
    gone.iter().for_each(|chain| text.declare(chain));
    layout::shared_rules(&mut text, false);
    rules(&mut text, None, &ordered);
    gone.iter().for_each(|chain| text.delete_chain(chain));
    text.commit();
    layout::mangle_section(&mut text, false);
    steps.restore(text);
    let mut commands = vec![layout::create(new_set, family)];
    commands.extend(to.services.iter().map(|s| add(new_set, s)));
    commands.push(Command::Swap(new_set.to_owned(), set.to_owned()));
    commands.push(Command::Destroy(new_set.to_owned()));
    steps.sets(commands);
}

/// Two populations, and what differs.
struct Change<'a> {
    before: ById<'a>,
    after: ById<'a>,
    /// New or changed.
    written: Vec<&'a Service>,
    /// Gone or changed.
    stale: Vec<&'a Service>,
}

impl<'a> Change<'a> {
    fn new(from: &'a Population, to: &'a Population) -> Self {
        let (written, stale) = changes(from, to);
        Self {
            before: by_id(from),
            after: by_id(to),
            written,
            stale,
        }
    }

    /// Removes from a set the elements that no service has any more.
    fn departures(&self, set: &str) -> Vec<Command> {
        let stay = elements(&self.written);
        let gone = self.stale.iter().filter(|s| !stay.contains(&place(s)));
        gone.map(|s| Command::Delete(set.to_owned(), layout::key(s)))
            .collect()
    }

    /// Services whose element is new.
    fn arrivals(&self) -> impl Iterator<Item = &'a Service> {
        let were = elements(&self.stale);
        self.written
            .iter()
            .copied()
            .filter(move |s| !were.contains(&place(s)))
    }

    /// Chains of services and endpoints that are no more.
    fn gone_chains(&self) -> Vec<String> {
        let kept: HashSet<String> = self.written.iter().flat_map(|s| chains_of(s)).collect();
        let stale = self.stale.iter().flat_map(|s| chains_of(s));
        stale.filter(|chain| !kept.contains(chain)).collect()
    }
}

/// What an element says: where packets go, and which mark they get.
type Place = (crate::service::Frontend, Id);

fn place(service: &Service) -> Place {
    (service.frontend, Id::of(service))
}

fn elements(services: &[&Service]) -> HashSet<Place> {
    services.iter().map(|s| place(s)).collect()
}

/// What an update changes in the dispatch: at most the chains on the changed services' paths.
#[derive(Default)]
struct Dispatch {
    rewritten: BTreeSet<Prefix>,
    gone: BTreeSet<Prefix>,
}

impl Dispatch {
    fn new(change: &Change<'_>) -> Self {
        let services = change.written.iter().chain(&change.stale);
        let mut touched: BTreeSet<Prefix> = services
            .map(|s| Id::of(s))
            .filter(|id| leads_to(&change.before, *id) != leads_to(&change.after, *id))
            .map(|id| id.prefix(LEVELS - 1))
            .collect();
        let mut dispatch = Self::default();
        while let Some(prefix) = touched.pop_last() {
            let was = change.before.range(prefix.ids()).next().is_some();
            let is = change.after.range(prefix.ids()).next().is_some();
            if is || prefix == Prefix::ROOT {
                dispatch.rewritten.insert(prefix);
            } else {
                dispatch.gone.insert(prefix);
            }
            // The chain above has a rule for this one, or no longer has.
            if was != is {
                touched.extend(prefix.parent());
            }
        }
        dispatch
    }
}

fn leads_to(services: &ById<'_>, id: Id) -> Option<String> {
    let service = services.get(&id)?;
    Some(crate::datapath::iptables::service_chain(service))
}

/// Prefixes that have a chain besides the root, for some services.
fn prefixes(services: &ById<'_>) -> BTreeSet<Prefix> {
    let ids = services.keys();
    ids.flat_map(|id| (1..LEVELS).map(|nibbles| id.prefix(nibbles)))
        .collect()
}

fn add(set: &str, service: &Service) -> Command {
    Command::Add(set.to_owned(), layout::element(service))
}
