//! Changes of a population at size N, as kube-proxy would make them: `service-add`, `service-remove` and
//! `endpoint-churn` differ in the change alone.
//!
//! In the first repetition a cell rehearses: one change that is not timed, whose tool is weighed and whose
//! result the full census must confirm. Then come the timed changes, and one that is timed as kube-proxy's whole
//! sync. Each starts from what the one before left, until the population has drifted by a hundredth; then it is
//! put back, untimed. After the last, the population is put back and the census must list it.

use netns_harness::datapath::{RenderOptions, SyncKind, facts};
use netns_harness::service::{Population, Service};
use netns_harness::treatment::answering;
use schema::{Options, ScenarioKind, Stage};

use crate::cost::{Asked, PROOF_NS};
use crate::error::{At as _, CellError, Result};
use crate::node::no_room;
use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario};
use crate::spec::StaySpec;
use crate::stay::Stay;

/// Timed changes of a cell: a stay counts by its median, and more stays say more than more changes in one.
const TIMED: u32 = 3;

/// A slow change, nanoseconds.
const SLOW_NS: u64 = 1_000_000_000;

/// Whether a cell rehearses, in the first repetition. Where a change takes over a second, service-add alone does.
fn rehearses(change_ns: u64, scenario: ScenarioKind) -> bool {
    change_ns <= SLOW_NS || scenario == ScenarioKind::ServiceAdd
}

/// Whether a cell makes a change as kube-proxy's whole sync. Where one takes over a second, service-add alone does.
fn syncs(asked: Asked, scenario: ScenarioKind) -> bool {
    asked.update_ns() + asked.read_back_ns() <= SLOW_NS || scenario == ScenarioKind::ServiceAdd
}

/// Changes that are counted: of long ones one, in which what only the first change of a stay does is little.
fn counted_changes(asked: Asked) -> usize {
    const LONG_NS: u64 = 300_000_000;
    if asked.update_ns() > LONG_NS {
        1
    } else {
        TIMED as usize
    }
}

/// Whether kube-proxy's syncs are counted where instructions are.
pub(crate) fn counts_syncs(spec: &StaySpec) -> bool {
    spec.services <= facts(spec.mode).counted_syncs
}

/// Changes before the population is put back: it stays within a hundredth of N.
const fn drift(services: u32) -> u32 {
    let hundredth = services / 100;
    if hundredth == 0 { 1 } else { hundredth }
}

/// One change.
pub(crate) struct Change {
    /// The population afterwards.
    pub(crate) to: Population,
    /// A service that must answer afterwards, from one of its endpoints.
    pub(crate) witness: Option<Service>,
    /// A service that must not answer afterwards: putting back what was not removed would hide it.
    pub(crate) gone: Option<Service>,
}

/// A scenario that changes the population.
pub(crate) struct Update {
    /// Its name.
    pub(crate) kind: ScenarioKind,
    /// Options of its cell.
    pub(crate) options: fn(Asked, &Request) -> Options,
    /// The `n`-th change, from the population before it; it must not give the same twice.
    pub(crate) change: fn(&mut Stay<'_>, &Options, &Population, u32) -> Result<Change>,
}

/// What a change is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Rehearsal,
    Timed,
    Sync,
    /// From a real kube-proxy's being told until a flow is served by the new rule.
    Effect,
    /// The same until the kernel's listing has it.
    Listing,
    /// With the kernel's waits counted.
    Waits,
}

/// What the changes of a cell are for, in their order, in the first repetition or in another. Where time is executed
/// instructions they are the same in every one, because each is held against the same repetition of another run.
fn acts(stay: &Stay<'_>, scenario: ScenarioKind, first: bool) -> Vec<Act> {
    let (spec, asked) = (stay.spec, stay.spec.asked());
    let timed = [Act::Timed; TIMED as usize];
    let real = stay.datapath.programmer().is_some();
    let synced = stay
        .datapath
        .kube_proxy_sync(SyncKind::Partial, false)
        .is_some()
        && syncs(asked, scenario);
    if spec.counted {
        let waits = (!real).then_some(Act::Waits);
        let sync = (synced && counts_syncs(spec)).then_some(Act::Sync);
        let timed = timed.into_iter().take(counted_changes(asked));
        return timed.chain(waits).chain(sync).collect();
    }
    let rehearsed = first && rehearses(asked.update_ns(), scenario);
    let once = |act, made: bool| made.then_some(act).into_iter();
    let adds = real && scenario == ScenarioKind::ServiceAdd && spec.mix.largest().answers();
    once(Act::Rehearsal, rehearsed)
        .chain(timed)
        .chain(once(Act::Sync, synced))
        .chain(once(Act::Effect, adds))
        .chain(once(Act::Listing, real))
        .collect()
}

impl Scenario for Update {
    fn kind(&self) -> ScenarioKind {
        self.kind
    }

    fn options(&self, asked: Asked, request: &Request) -> Options {
        (self.options)(asked, request)
    }

    /// Of the first repetition.
    fn expected_ns(&self, asked: Asked, _options: &Options, request: &Request) -> u64 {
        let change_ns = asked.update_ns();
        if request.counted {
            // As many as its acts make, which go by the host's time.
            let timed = counted_changes(Asked {
                counted: false,
                ..asked
            });
            let changes = timed as u64 + 1;
            let put_back = changes.div_ceil(u64::from(drift(asked.services)));
            return (changes + put_back) * change_ns
                + asked.sync_ns()
                + PROOF_NS
                + asked.listing_ns();
        }
        let synced = u64::from(syncs(asked, self.kind));
        let rehearsed = u64::from(rehearses(change_ns, self.kind));
        let changes = rehearsed + u64::from(TIMED) + synced;
        let put_back = changes.div_ceil(u64::from(drift(asked.services)));
        (changes + put_back) * change_ns + synced * asked.read_back_ns() + 2 * asked.listing_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let render = stay.render_options(options);
        let base = stay.population;
        let services = stay.spec.services;
        if self.kind == ScenarioKind::ServiceAdd {
            check_room(stay)?;
        }
        if self.changes_services() && stay.spec.mix.single().is_none() {
            recorder.fact("changed_service_type", stay.spec.mix.largest());
        }
        let mut current: Option<Population> = None;
        let mut drifted = 0;
        for (n, act) in (0..).zip(acts(stay, self.kind, stay.spec.block == 0)) {
            let from = current.as_ref().unwrap_or(base);
            let next = (self.change)(stay, options, from, n)?;
            match act {
                Act::Rehearsal => {
                    stay.weigh(from, &next.to, &render, recorder)?;
                    recorder.fact("census_after_update", stay.census(&next.to)?);
                }
                Act::Timed => stay.change_sampled(Some(from), &next.to, &render, recorder)?,
                Act::Effect => stay.effect_sampled(from, &next, recorder)?,
                Act::Listing => stay.listing_sampled(from, &next.to, recorder)?,
                Act::Sync => stay.sync_sampled(from, &next.to, &render, recorder)?,
                Act::Waits => stay.waits_sampled(from, &next.to, &render, recorder)?,
            }
            see_it_answer(stay, next.witness.as_ref())?;
            see_it_gone(stay, next.gone.as_ref())?;
            current = Some(next.to);
            drifted += 1;
            if drifted == drift(services) {
                put_back(stay, current.take().as_ref(), &render)?;
                drifted = 0;
            }
        }
        put_back(stay, current.take().as_ref(), &render)?;
        recorder.fact("census_after_putting_back", stay.census(base)?);
        Ok(())
    }
}

impl Update {
    /// Whether services come or go: those of one type.
    fn changes_services(&self) -> bool {
        self.kind != ScenarioKind::EndpointChurn
    }
}

/// Whether the layout has room for all that a cell adds at a time, in each repetition what the first adds.
///
/// # Errors
/// It has not: unsupported.
fn check_room(stay: &Stay<'_>) -> Result {
    let (spec, services) = (stay.spec, stay.spec.services);
    let changes = acts(stay, ScenarioKind::ServiceAdd, true).len() as u32;
    let added = 0..changes.min(drift(services));
    let (recipe, of) = (spec.recipe(), spec.mix.largest());
    let mut all = stay.population.clone();
    all.services
        .extend(added.map(|n| recipe.added(services, n, of)));
    match no_room(stay.datapath, &all).filter(|_| !spec.raised) {
        None => Ok(()),
        Some(reason) => Err(CellError::unsupported(reason)),
    }
}

/// Goes back to the population of the stay, untimed.
fn put_back(stay: &Stay<'_>, from: Option<&Population>, render: &RenderOptions) -> Result {
    let Some(from) = from else { return Ok(()) };
    let undo = stay.datapath.render(Some(from), stay.population, render);
    stay.carry_out(&undo).at(Stage::Measure)
}

/// A service that was removed, or has no endpoints left, does not answer.
pub(crate) fn see_it_gone(stay: &mut Stay<'_>, gone: Option<&Service>) -> Result {
    let Some(service) = gone else { return Ok(()) };
    match stay.client.is_silent(service.frontend).at(Stage::Proof)? {
        true => Ok(()),
        false => Err(CellError::at(
            Stage::Proof,
            format!(
                "{} has nobody to answer for it and is answered",
                service.frontend
            ),
        )),
    }
}

/// A changed service answers, from one of its endpoints.
pub(crate) fn see_it_answer(stay: &mut Stay<'_>, witness: Option<&Service>) -> Result {
    let mode = stay.spec.mode;
    // One of a type that answers no pod is no witness.
    let Some(service) = witness.filter(|service| !answering(service, mode).is_empty()) else {
        return Ok(());
    };
    let answers = stay.client.probe_all(&[service.frontend.into()]);
    answers
        .at(Stage::Proof)?
        .into_iter()
        .try_for_each(|reached| proof::check_reached(mode, service, service.frontend, reached))
}
