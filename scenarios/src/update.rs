//! Changes of a population at size N, as kube-proxy would make them: what `service-add`,
//! `service-remove` and `endpoint-churn` share.
//!
//! In the first repetition a cell rehearses: one change that is not timed, whose tool is weighed and whose
//! result the full census must confirm. Then come the timed changes, and one that is timed as kube-proxy's whole
//! sync. Each starts from what the one before left, until the population has drifted by a hundredth; then it is
//! put back, untimed. After the last, the population is put back and the census must list it.

use netns_harness::datapath::RenderOptions;
use netns_harness::service::{Population, Service};
use schema::{Mode, Options, ScenarioKind, Stage};

use crate::cost::{self, Size};
use crate::error::CellError;
use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::transport_of;
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
fn syncs(mode: Mode, size: Size, change_ns: u64, scenario: ScenarioKind) -> bool {
    change_ns + cost::read_back_ns(mode, size) <= SLOW_NS || scenario == ScenarioKind::ServiceAdd
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

/// How long an update cell of the first repetition is expected to take, nanoseconds.
pub(crate) fn expected_ns(
    mode: Mode,
    size: Size,
    options: &Options,
    scenario: ScenarioKind,
) -> u64 {
    let change_ns = cost::update_ns(mode, transport_of(options), size);
    let synced = u64::from(syncs(mode, size, change_ns, scenario));
    let rehearsed = u64::from(rehearses(change_ns, scenario));
    let changes = rehearsed + u64::from(TIMED) + synced;
    let put_back = changes.div_ceil(u64::from(drift(size.services)));
    (changes + put_back) * change_ns
        + synced * cost::read_back_ns(mode, size)
        + 2 * cost::listing_ns(mode, size)
}

/// What a change is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Rehearsal,
    Timed,
    Sync,
}

/// What the changes of a cell are for, in their order. Where time is executed instructions all of them are timed, and
/// as many in every repetition, because each is held against the same repetition of another run.
fn acts(stay: &Stay<'_>, scenario: ScenarioKind, options: &Options) -> Vec<Act> {
    let (spec, size) = (stay.spec, stay.spec.size());
    let timed = [Act::Timed; TIMED as usize];
    if spec.counted {
        return timed.to_vec();
    }
    let change_ns = cost::update_ns(spec.mode, transport_of(options), size);
    let rehearsed = spec.block == 0 && rehearses(change_ns, scenario);
    let synced = stay.datapath.kube_proxy_sync(stay.population).is_some()
        && syncs(spec.mode, size, change_ns, scenario);
    let once = |act, made: bool| made.then_some(act).into_iter();
    once(Act::Rehearsal, rehearsed)
        .chain(timed)
        .chain(once(Act::Sync, synced))
        .collect()
}

/// Makes the changes of a cell. `change` gives the `n`-th one from the population before it; it must
/// not give the same twice.
///
/// # Errors
/// The kernel or a tool refused, a witness did not answer, or the census is not the population.
pub(crate) fn run(
    stay: &mut Stay<'_>,
    scenario: ScenarioKind,
    options: &Options,
    recorder: &mut Recorder,
    change: impl Fn(&mut Stay<'_>, &Population, u32) -> Change,
) -> Result<(), CellError> {
    let render = stay.render_options(options);
    let base = stay.population;
    let services = stay.spec.services;
    let mut current: Option<Population> = None;
    let mut drifted = 0;
    for (n, act) in (0..).zip(acts(stay, scenario, options)) {
        let from = current.as_ref().unwrap_or(base);
        let next = change(stay, from, n);
        match act {
            Act::Rehearsal => {
                stay.weigh(from, &next.to, &render, recorder)?;
                recorder.fact("census_after_update", stay.census(&next.to)?);
            }
            Act::Timed => {
                let batch = stay.render_sampled(Some(from), &next.to, &render, recorder);
                stay.apply_sampled(&batch, recorder)?;
            }
            Act::Sync => stay.sync_sampled(from, &next.to, &render, recorder)?,
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
    // Position is a question of ours: an update must not have turned the list round.
    if stay.spec.block == 0 {
        stay.check_order()?;
    }
    Ok(())
}

/// Goes back to the population of the stay, untimed.
fn put_back(
    stay: &Stay<'_>,
    from: Option<&Population>,
    render: &RenderOptions,
) -> Result<(), CellError> {
    let Some(from) = from else { return Ok(()) };
    let undo = stay.datapath.render(Some(from), stay.population, render);
    stay.carry_out(&undo)
        .map_err(|e| CellError::at(Stage::Measure, e))
}

/// A removed service does not answer.
fn see_it_gone(stay: &mut Stay<'_>, gone: Option<&Service>) -> Result<(), CellError> {
    let Some(service) = gone else { return Ok(()) };
    let silent = stay
        .client
        .is_silent(service.frontend)
        .map_err(|e| CellError::at(Stage::Proof, e))?;
    if silent {
        return Ok(());
    }
    Err(CellError::at(
        Stage::Proof,
        format!("{} was removed and still answers", service.frontend),
    ))
}

/// A changed service answers, from one of its endpoints.
fn see_it_answer(stay: &mut Stay<'_>, witness: Option<&Service>) -> Result<(), CellError> {
    let Some(service) = witness else {
        return Ok(());
    };
    let answers = stay
        .client
        .probe_all(&[service.frontend])
        .map_err(|e| CellError::at(Stage::Proof, e))?;
    answers.into_iter().try_for_each(|reached| {
        proof::check_reached(stay.spec.mode, service, service.frontend, reached)
    })
}
