//! Plans of runs whose time is executed instructions. A stay has a guest of its own there, which is slow, so stays
//! are few: what installs the population is measured, and what is measured afterwards rests on that install. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use netns_harness::datapath::Transport;
use scenarios::spec::StaySpec;
use schema::{Cache, Mode, NotRun, ONE_TRANSACTION, OptionKey, Position, ScenarioKind};

use super::{CONTROL, PlannedStay, Settings};
use crate::cli::{RunArgs, SandboxOption, Scenarios};
use crate::exit::{Usage, refused};
use crate::progress::rough;

/// What a gate asks when nothing was named: an install, an update, a packet.
const SCENARIOS: [ScenarioKind; 3] = [
    ScenarioKind::ColdInstall,
    ScenarioKind::ServiceAdd,
    ScenarioKind::FirstPacket,
];
/// What has no counted form.
const NOT_COUNTED: [ScenarioKind; 4] = [
    ScenarioKind::EmptyUpdate,
    ScenarioKind::Idle,
    ScenarioKind::ConntrackClean,
    ScenarioKind::LiveSet,
];
/// Seeds when nobody said.
pub(super) const SEEDS: u32 = 6;
/// Where what depends on the position shows, and where it does not.
pub(super) const POSITIONS: [Position; 2] = [Position::First, Position::Last];

/// What makes no sense where instructions are counted.
///
/// # Errors
/// An option that does not go with `--deterministic`, with the remedy.
pub(super) fn check(args: &RunArgs) -> Result<(), Usage> {
    let [empty, idle, clean, live] = NOT_COUNTED.map(Scenarios::One);
    let mistakes = [
        (
            args.sandbox == SandboxOption::Netns,
            "--deterministic counts the instructions of a guest and --sandbox netns has none: leave one of the two out",
        ),
        (
            args.budget.is_some(),
            "--deterministic makes every repetition, so that no result depends on how fast this machine is: leave --budget out, and lower --repetitions or name fewer --modes or --scenarios",
        ),
        (
            args.chosen.cache == Cache::Cold,
            "--deterministic counts instructions, of which a cold cache needs no more than a warm one: leave --cache cold out",
        ),
        (
            args.scenarios.contains(&empty),
            "--deterministic needs no floor of updates, as scenario empty-update is one, since no machine changes what is counted: leave one of the two out",
        ),
        (
            args.scenarios.contains(&idle),
            "--deterministic counts what a guest executes from one moment to another, and scenario idle asks for the processor time of what kube-proxy does by itself: leave one of the two out",
        ),
        (
            args.scenarios.contains(&clean),
            "--deterministic has no counted form yet of scenario conntrack-clean: leave one of the two out",
        ),
        (
            args.scenarios.contains(&live),
            "--deterministic has one CPU, and scenario live-set changes a list on one and sends packets on another: leave one of the two out",
        ),
    ];
    match mistakes.into_iter().find(|(made, _)| *made) {
        Some((_, why)) => refused(why),
        None => Ok(()),
    }
}

/// Of the scenarios `asked` for, those that a run has whose instructions are counted.
pub(super) fn scenarios(asked: Vec<ScenarioKind>, args: &RunArgs) -> Vec<ScenarioKind> {
    if args.scenarios.is_empty() {
        return SCENARIOS.to_vec();
    }
    // Left over by `all`.
    let counts = |kind: &ScenarioKind| !NOT_COUNTED.contains(kind);
    asked.into_iter().filter(counts).collect()
}

/// Cells of a stay that serves and that an install is joined with.
pub(super) const JOINED: u32 = 6;
/// The size at which most is counted beside what is timed.
const SMALL: u32 = 1_000;
/// Seeds where a larger one is counted, too.
const LARGE_SEEDS: u32 = 3;

/// What is counted beside what is timed: the largest size, and a small one where sizes are swept; the first packet of any
/// service, and of the last, which is the dearest where a list is walked; of the scenarios those that count. No scenario where that is none.
pub(super) fn beside(timed: &Settings) -> Settings {
    let args = &timed.args;
    let counts = |kind: &ScenarioKind| !NOT_COUNTED.contains(kind);
    let mut scenarios = match args.scenarios.is_empty() {
        true => SCENARIOS.to_vec(),
        false => timed.scenarios.clone(),
    };
    scenarios.retain(counts);
    if args.chosen.cache == Cache::Cold {
        scenarios.retain(|kind| *kind != ScenarioKind::FirstPacket);
    }
    let largest = timed.request.largest;
    let mut sizes = vec![largest];
    if timed.is_swept() && largest > SMALL {
        sizes.insert(0, SMALL);
    }
    let mut request = timed.request.clone();
    // A real one answers by timers of its own.
    let real = |transport: &Transport| *transport == Transport::KubeProxy;
    if request.transports.iter().any(real) {
        request.transports.retain(|transport| !real(transport));
        if request.transports.is_empty() {
            scenarios.clear();
        }
    }
    if args.positions.is_empty() {
        request.positions = vec![Position::Last, Position::Uniform];
    }
    Settings {
        sizes,
        scenarios,
        request,
        control: false,
        variants: timed.variants.iter().map(beside).collect(),
        ..timed.clone()
    }
}

/// How often a stay is made at most: what is counted `beside` what is timed, up to so many services, no more often than
/// its order needs.
pub(super) fn blocks(stay: &StaySpec, repetitions: u32, beside: Option<u32>) -> u32 {
    match beside.filter(|_| stay.counted) {
        None => repetitions,
        Some(largest) if largest > SMALL => repetitions.min(LARGE_SEEDS),
        Some(_) => repetitions.min(SEEDS),
    }
}

/// Joins each install with the stay that would install the same once more to serve: that in one transaction, or that in
/// chunks where it is counted `beside` what is timed and one would take long. Left out are the control series, whose
/// ratio would be exactly 1, and, unless the scenarios were `named`, the installs that are not joined.
pub(super) fn joined(stays: Vec<PlannedStay>, named: bool, beside: bool) -> Vec<PlannedStay> {
    let in_chunks: BTreeSet<Mode> = match beside {
        true => stays
            .iter()
            .filter(|stay| is_large_chunk(&stay.spec))
            .map(|stay| stay.spec.mode)
            .collect(),
        false => BTreeSet::new(),
    };
    let joins = |spec: &StaySpec| match in_chunks.contains(&spec.mode) && spec.services > SMALL {
        true => is_large_chunk(spec),
        false => chunk(spec) == Some(ONE_TRANSACTION),
    };
    let (installs, mut kept): (Vec<PlannedStay>, Vec<PlannedStay>) = stays
        .into_iter()
        .filter(|stay| stay.spec.variant != CONTROL)
        .filter_map(|stay| match chunk(&stay.spec) {
            Some(_) if named || joins(&stay.spec) => Some(stay),
            Some(ONE_TRANSACTION) => Some(listed(stay)),
            Some(_) => None,
            None => Some(stay),
        })
        .partition(|stay| joins(&stay.spec));
    for install in installs {
        let serves =
            |stay: &&mut PlannedStay| stay.left_out.is_none() && serves(&stay.spec, &install.spec);
        match kept.iter_mut().find(serves) {
            Some(stay) if install.left_out.is_none() => {
                stay.spec.cells.splice(0..0, install.spec.cells);
                // The install is what comes before the others.
                stay.expected_ns = stay.expected_ns - stay.before_ns + install.expected_ns;
            }
            _ => kept.push(install),
        }
    }
    kept
}

/// Whether a stay installs in chunks, and nothing else, where one transaction may take long.
fn is_large_chunk(spec: &StaySpec) -> bool {
    spec.services > SMALL && chunk(spec).is_some_and(|chunk| chunk != ONE_TRANSACTION)
}

/// A stay that is in the plan with what it is expected to take, and not made.
fn listed(stay: PlannedStay) -> PlannedStay {
    let expected = rough(Duration::from_nanos(stay.expected_ns));
    let why = format!(
        "one transaction of so many is expected to take {expected} to count: --deterministic --scenarios cold-install counts it"
    );
    PlannedStay {
        expected_ns: 0,
        left_out: stay.left_out.or(Some(NotRun::LeftOut(why))),
        ..stay
    }
}

/// How a stay installs, if that is all it does.
fn chunk(spec: &StaySpec) -> Option<&str> {
    match spec.cells.as_slice() {
        [cell] if cell.scenario == ScenarioKind::ColdInstall => cell.options.get(OptionKey::Chunk),
        _ => None,
    }
}

/// Whether a stay serves what another one installs: they differ in their cells alone.
fn serves(stay: &StaySpec, install: &StaySpec) -> bool {
    let is_served = |kind| scenarios::scenario(kind).needs() == scenarios::Needs::Served;
    let same = StaySpec {
        cells: stay.cells.clone(),
        ..install.clone()
    };
    stay.cells.iter().all(|cell| is_served(cell.scenario)) && *stay == same
}

#[cfg(test)]
mod tests;
