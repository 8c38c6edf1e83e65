//! Changes of a population at size N, as kube-proxy would make them: what `service-add`,
//! `service-remove` and `endpoint-churn` share.
//!
//! A cell first rehearses: one change that is not timed, whose tool is weighed and whose result the full
//! census must confirm. Then come the timed changes, then those that are timed as kube-proxy's whole
//! sync. Each starts from what the one before left, until the population has drifted by a thousandth;
//! then it is put back, untimed. After the last, the population is put back and the census must list it.

use netns_harness::datapath::{RenderOptions, Transport};
use netns_harness::service::{Population, Service};
use schema::{Mode, Options, Stage};

use crate::cost::{self, Size};
use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::{CellError, Request};
use crate::stay::Stay;

/// Timed changes of a cell. More stays say more than more changes in one, and above [`LARGE`] an
/// iptables update takes most of a second.
const fn repetitions(services: u32) -> u32 {
    if services > LARGE { 4 } else { 10 }
}

/// Changes timed as kube-proxy's sync. Reading the kernel's state back can take seconds, so above [`LARGE`]
/// services only stays of the first block do it.
const fn syncs(services: u32, block: u32) -> u32 {
    match (services > LARGE, block) {
        (false, _) => 3,
        (true, 0) => 1,
        (true, _) => 0,
    }
}

/// From here on an update takes long enough to be precise after few repetitions.
const LARGE: u32 = 1_000;

/// Changes before the population is put back: it stays within a thousandth of N.
const fn drift(services: u32) -> u32 {
    let thousandth = services / 1_000;
    if thousandth == 0 { 1 } else { thousandth }
}

/// One change.
pub(crate) struct Change {
    /// The population afterwards.
    pub(crate) to: Population,
    /// A service that must answer afterwards, from one of its endpoints.
    pub(crate) witness: Option<Service>,
}

/// The options of an update cell: none for a floor, which has no control plane.
pub(crate) fn cells(mode: Mode, transport: Transport, request: &Request) -> Vec<Options> {
    if mode.is_floor() {
        return Vec::new();
    }
    vec![options(transport, request)]
}

/// Options of every cell that writes rules.
pub(crate) fn options(transport: Transport, request: &Request) -> Options {
    let layout = if request.large_cluster { "on" } else { "off" };
    Options::from([
        ("transport".to_owned(), transport.name().to_owned()),
        ("large_cluster".to_owned(), layout.to_owned()),
    ])
}

/// How long an update cell is expected to take, nanoseconds.
pub(crate) fn expected_ns(mode: Mode, size: Size, options: &Options) -> u64 {
    let transport = options
        .get("transport")
        .and_then(|t| Transport::from_name(t))
        .unwrap_or(Transport::Restore);
    let (timed, synced) = (repetitions(size.services), syncs(size.services, 0));
    let changes = u64::from(1 + timed + synced);
    let put_back = changes.div_ceil(u64::from(drift(size.services)));
    (changes + put_back) * cost::update_ns(mode, transport, size)
        + u64::from(synced) * cost::read_back_ns(mode, size)
        + 2 * cost::listing_ns(mode, size)
}

/// What a change is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Rehearsal,
    Timed,
    Sync,
}

/// Makes the changes of a cell. `change` gives the `n`-th one from the population before it; it must
/// not give the same twice.
///
/// # Errors
/// The kernel or a tool refused, a witness did not answer, or the census is not the population.
pub(crate) fn run(
    stay: &mut Stay<'_>,
    options: &Options,
    recorder: &mut Recorder,
    change: impl Fn(&mut Stay<'_>, &Population, u32) -> Change,
) -> Result<(), CellError> {
    let render = stay.render_options(options)?;
    let base = stay.population;
    let services = stay.spec.services;
    let acts = std::iter::once(Act::Rehearsal)
        .chain((0..repetitions(services)).map(|_| Act::Timed))
        .chain((0..syncs(services, stay.spec.block)).map(|_| Act::Sync));
    let mut current: Option<Population> = None;
    let mut drifted = 0;
    for (n, act) in acts.enumerate() {
        let from = current.as_ref().unwrap_or(base);
        let next = change(stay, from, n as u32);
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

/// Goes back to the population of the stay, untimed.
fn put_back(
    stay: &Stay<'_>,
    from: Option<&Population>,
    render: &RenderOptions,
) -> Result<(), CellError> {
    let Some(from) = from else { return Ok(()) };
    let undo = stay.datapath.render(Some(from), stay.population, render);
    stay.lab
        .on_node(|| stay.datapath.apply(&undo))
        .map_err(|e| CellError::at(Stage::Measure, e))?;
    Ok(())
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
