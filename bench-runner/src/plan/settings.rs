//! What was asked, resolved, and what single options cannot know of each other. Pure.

use std::time::Duration;

use netns_harness::datapath::{Engine, Transport, registry};
use scenarios::population::most_with_stride;
use scenarios::position::Position;
use scenarios::{Request, SCENARIOS, Scenario};
use schema::{Mode, Protocol, ScenarioKind};

use super::environment::FLOWS;
use super::{Plan, PlannedEnvironment, counted};
use crate::cli::{OnOff, RunArgs, SandboxOption, Scenarios};
use crate::exit::Usage;
use crate::readiness::Case;

/// Services beyond N that the updates of a stay may add.
const ROOM: u32 = 100;

/// What was asked, resolved: every default filled in.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) sizes: Vec<u32>,
    pub(crate) endpoints: u32,
    pub(crate) modes: Vec<Mode>,
    pub(crate) scenarios: Vec<ScenarioKind>,
    /// Whether the scenarios were named, and are not those of an ordinary run.
    pub(crate) named: bool,
    /// What is asked on the host's kernel.
    pub(crate) request: Request,
    /// Flows, as they were given.
    pub(crate) flows: Option<u32>,
    /// VIPs so far apart, instead of drawn.
    pub(crate) vip_stride: Option<u32>,
    pub(crate) seed: u64,
    pub(crate) repetitions: u32,
    /// As it was given.
    pub(crate) budget: Option<Duration>,
    pub(crate) cell_timeout: Duration,
    pub(crate) control: bool,
    /// Whether instructions are counted instead of time.
    pub(crate) deterministic: bool,
    pub(crate) damage: Option<String>,
}

/// 100, 300, 1000, 3000, … below `most`, then `most`.
pub(super) fn sweep(most: u32) -> Vec<u32> {
    let half_decades = (2..=6).flat_map(|e| [10u32.pow(e), 3 * 10u32.pow(e)]);
    half_decades
        .take_while(|n| *n < most)
        .chain([most])
        .collect()
}

impl Settings {
    /// Fills in the defaults and checks what single options cannot know of each other.
    pub(crate) fn resolve(args: &RunArgs) -> Result<Self, Usage> {
        if args.sandbox == SandboxOption::Netns && !args.kernel.is_empty() {
            return Err(Usage(
                "--kernel names a guest's kernel and --sandbox netns has none: leave one of the two out".to_owned(),
            ));
        }
        if args.deterministic {
            counted::check(args)?;
        }
        if args.no_sweep && args.services.len() > 1 {
            return Err(Usage(
                "--no-sweep goes with one number of --services; a list is measured exactly"
                    .to_owned(),
            ));
        }
        let mut sizes = match args.services.as_slice() {
            [one] if !args.no_sweep && !args.deterministic => sweep(*one),
            list => list.to_vec(),
        };
        sizes.sort_unstable();
        sizes.dedup();
        let largest = sizes.last().copied().unwrap_or_default();
        let settings = Self {
            sizes,
            endpoints: args.endpoints,
            modes: ordered(&args.modes, Mode::ALL),
            scenarios: match args.deterministic {
                true => counted::scenarios(asked_for(&args.scenarios), args),
                false => asked_for(&args.scenarios),
            },
            named: !args.scenarios.is_empty(),
            request: Request {
                positions: match args.positions.as_slice() {
                    [] if args.deterministic => counted::POSITIONS.to_vec(),
                    named => ordered(named, &Position::ALL),
                },
                protocols: ordered(&args.protocols, Protocol::ALL),
                transports: args.transports.clone(),
                engines: ordered(&args.engines, &Engine::ALL),
                churn: args.churn,
                large_cluster: args.large_cluster == OnOff::On,
                flows: args.flows.unwrap_or(FLOWS),
                brief: false,
                counted: false,
                largest,
            },
            flows: args.flows,
            vip_stride: args.vip_stride,
            seed: args.seed,
            repetitions: args.repetitions,
            budget: args.budget,
            cell_timeout: args.cell_timeout,
            control: !args.no_control && !args.deterministic,
            deterministic: args.deterministic,
            damage: args.damage.clone(),
        };
        settings.check()?;
        Ok(settings)
    }

    /// The stays' modes as they are programmed, whatever they are measured on.
    pub(crate) fn cases(&self) -> Vec<Case> {
        Plan::new(self, &[PlannedEnvironment::host()]).cases()
    }

    fn check(&self) -> Result<(), Usage> {
        let smallest = self.sizes[0] as usize;
        if smallest < self.request.protocols.len() {
            return Err(Usage(format!(
                "--services {smallest} is fewer than the protocols asked for; add --protocols tcp or raise --services"
            )));
        }
        for transport in &self.request.transports {
            let programs =
                |m: &&Mode| !m.is_floor() && registry(**m).transports().contains(transport);
            if !self.modes.iter().any(|m| programs(&m)) {
                return Err(Usage(format!(
                    "--transports {transport}: no requested mode can be programmed that way"
                )));
            }
        }
        if let Some(mode) = self.modes.iter().find(|m| self.transports(**m).is_empty()) {
            let can: Vec<&str> = registry(*mode)
                .transports()
                .iter()
                .map(|t| t.name())
                .collect();
            return Err(Usage(format!(
                "--transports leaves no way to program mode {mode}: add {} or leave the mode out with --modes",
                can.join(" or ")
            )));
        }
        let largest = self.sizes[self.sizes.len() - 1];
        if let Some(stride) = self.vip_stride {
            let most = most_with_stride(stride).saturating_sub(ROOM);
            if largest > most {
                return Err(Usage(format!(
                    "--services {largest}: with --vip-stride {stride} the service range has room for {most}: lower one of the two"
                )));
            }
        }
        for mode in &self.modes {
            let most = registry(*mode).most_services().unwrap_or(u32::MAX);
            if largest > most.saturating_sub(ROOM) {
                return Err(Usage(format!(
                    "--services {largest}: mode {mode} has marks for {most} services, {ROOM} of them kept for additions; ask for at most {} or leave the mode out with --modes",
                    most - ROOM
                )));
            }
        }
        if self.damage.is_some()
            && (smallest < 2 * self.request.protocols.len() || self.endpoints < 2)
        {
            return Err(Usage(
                "--damage needs at least two services of each protocol and two endpoints"
                    .to_owned(),
            ));
        }
        if self.modes.iter().all(|m| m.is_floor())
            && !self.scenarios.contains(&ScenarioKind::FirstPacket)
        {
            return Err(Usage("the floors none and conntrack have no control plane: ask for first-packet, or add a mode".to_owned()));
        }
        Ok(())
    }

    /// Engines in which a mode is measured: only ipset's rules go through either.
    pub(super) fn engines(&self, mode: Mode) -> Vec<Option<Engine>> {
        match mode {
            Mode::Ipset => self.request.engines.iter().copied().map(Some).collect(),
            _ => vec![None],
        }
    }

    /// Transports in which a mode is measured.
    pub(super) fn transports(&self, mode: Mode) -> Vec<Transport> {
        let can = registry(mode);
        let can = can.transports();
        if self.request.transports.is_empty() || mode.is_floor() {
            return vec![can[0]];
        }
        self.request
            .transports
            .iter()
            .copied()
            .filter(|t| can.contains(t))
            .collect()
    }
}

/// The scenarios of a run: those of an ordinary one when nothing was named.
fn asked_for(words: &[Scenarios]) -> Vec<ScenarioKind> {
    let named = |s: &&&dyn Scenario| {
        words.contains(&Scenarios::All)
            || words.contains(&Scenarios::One(s.kind()))
            || words.is_empty() && s.in_default_run()
    };
    SCENARIOS.iter().filter(named).map(|s| s.kind()).collect()
}

/// Everything when nothing was named; each once, in the vocabulary's order.
fn ordered<T: Copy + PartialEq>(named: &[T], all: &[T]) -> Vec<T> {
    all.iter()
        .copied()
        .filter(|v| named.is_empty() || named.contains(v))
        .collect()
}
