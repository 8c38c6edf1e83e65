//! Plans of runs whose time is executed instructions. A stay has a guest of its own there, booted for it, so stays
//! are few: what installs the population is measured, and what is measured afterwards rests on that install. Pure.

use scenarios::spec::StaySpec;
use schema::{Cache, ONE_TRANSACTION, OptionKey, Position, ScenarioKind};

use super::{CONTROL, PlannedStay};
use crate::cli::{RunArgs, SandboxOption, Scenarios};
use crate::exit::{Usage, refused};

/// What a gate asks when nothing was named: an install, an update, a packet.
const SCENARIOS: [ScenarioKind; 3] = [
    ScenarioKind::ColdInstall,
    ScenarioKind::ServiceAdd,
    ScenarioKind::FirstPacket,
];
/// What has no counted form.
const NOT_COUNTED: [ScenarioKind; 3] = [
    ScenarioKind::EmptyUpdate,
    ScenarioKind::Idle,
    ScenarioKind::ConntrackClean,
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
    let [empty, idle, clean] = NOT_COUNTED.map(Scenarios::One);
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
            "--deterministic counts no syncs yet, of which scenario conntrack-clean is made: leave one of the two out",
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

/// Joins each install in one transaction with the stay that would install the same once more to serve. Left out are
/// the control series, whose ratio would be exactly 1, and, unless the scenarios were `named`, installs in chunks.
pub(super) fn joined(stays: Vec<PlannedStay>, named: bool) -> Vec<PlannedStay> {
    let (installs, mut kept): (Vec<PlannedStay>, Vec<PlannedStay>) = stays
        .into_iter()
        .filter(|stay| stay.spec.variant != CONTROL)
        .filter(|stay| named || chunk(&stay.spec).is_none_or(|chunk| chunk == ONE_TRANSACTION))
        .partition(|stay| chunk(&stay.spec) == Some(ONE_TRANSACTION));
    for install in installs {
        let serves =
            |stay: &&mut PlannedStay| stay.left_out.is_none() && serves(&stay.spec, &install.spec);
        match kept.iter_mut().find(serves) {
            Some(stay) if install.left_out.is_none() => {
                stay.spec.cells.splice(0..0, install.spec.cells);
                stay.expected_ns += install.expected_ns;
            }
            _ => kept.push(install),
        }
    }
    kept
}

/// What a stay installs in one transaction, if that is all it does.
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
