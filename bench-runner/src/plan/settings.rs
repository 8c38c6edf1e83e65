//! What was asked, resolved, and what single options cannot know of each other. Pure.

use std::time::Duration;

use netns_harness::datapath::facts;
use scenarios::population::{ADDED_SERVICES, most_with_stride};
use scenarios::spec::Setup;
use scenarios::{Request, SCENARIOS, Scenario};
use schema::{Cache, Damage, Engine, Metric, Mode, Position, Protocol, ScenarioKind, Transport};

use super::environment::FLOWS;
use super::{Plan, PlannedEnvironment, icount};
use crate::case::{self, Case};
use crate::cli::{Given, OnOff, RunArgs, SandboxOption, Scenarios};
use crate::exit::Usage;
use crate::machine::Machine;
use crate::variant;

/// Repetition blocks when nobody said: an interval needs six, and two more leave room for what is disturbed.
const REPETITIONS: u32 = 8;

/// One side of a comparison.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// As it was given.
    pub(crate) given: Given,
    /// The whole of what is asked of it.
    pub(crate) settings: Settings,
}

/// What was asked, resolved: every default filled in.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name of the variant that this is asked of; "" for the run.
    pub(crate) variant: String,
    /// The sides of a comparison; none in an ordinary run.
    pub(crate) variants: Vec<Side>,
    pub(crate) sandbox: SandboxOption,
    /// Kernels of guests, as they were named.
    pub(crate) kernels: Vec<String>,
    /// Sysctls and tools that were named.
    pub(crate) setup: Setup,
    /// Rules that match nothing, before nat.
    pub(crate) plant: Option<u32>,
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
    pub(crate) damage: Option<Damage>,
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
        let given = variant::all(args)?;
        if given.is_empty() {
            let settings = Self::of(args)?;
            settings.check()?;
            return Ok(settings);
        }
        let side = |(given, args): (Given, RunArgs)| {
            let of_variant = |Usage(why)| Usage(format!("--variant {}: {why}", given.name));
            let settings = Self {
                variant: given.name.clone(),
                ..Self::of(&args).map_err(of_variant)?
            };
            settings.check().map_err(of_variant)?;
            Ok(Side { given, settings })
        };
        let variants: Result<Vec<Side>, Usage> = given.into_iter().map(side).collect();
        let settings = Self {
            variants: variants?,
            ..Self::of(args)?
        };
        settings.check_sides()?;
        Ok(settings)
    }

    /// What is asked of each variant; of the run itself when it has none.
    pub(crate) fn sides(&self) -> Vec<&Self> {
        match self.variants.as_slice() {
            [] => vec![self],
            sides => sides.iter().map(|side| &side.settings).collect(),
        }
    }

    /// What single variants cannot know of each other.
    fn check_sides(&self) -> Result<(), Usage> {
        let [first, others @ ..] = self.variants.as_slice() else {
            return Ok(());
        };
        let sizes = |side: &Side| side.settings.sizes.len();
        if let Some(other) = others.iter().find(|side| sizes(side) != sizes(first)) {
            return Err(Usage(format!(
                "--variant {}: {} sizes, and variant {} has {}: each is compared with one of the other; give both as many with --services, or add --no-sweep",
                other.given.name,
                sizes(other),
                first.given.name,
                sizes(first),
            )));
        }
        let named = |side: &&Side| !side.settings.kernels.is_empty();
        let (with, without): (Vec<&Side>, Vec<&Side>) = self.variants.iter().partition(named);
        if let (Some(with), Some(without)) = (with.first(), without.first()) {
            return Err(Usage(format!(
                "--variant {}: it names no --kernel and variant {} does: the host's kernel is not compared with a guest's; name one for each",
                without.given.name, with.given.name
            )));
        }
        Ok(())
    }

    /// Fills in the defaults; without what [`Settings::check`] sees.
    fn of(args: &RunArgs) -> Result<Self, Usage> {
        if args.sandbox == SandboxOption::Netns && !args.kernel.is_empty() {
            return Err(Usage(
                "--kernel names a guest's kernel and --sandbox netns has none: leave one of the two out".to_owned(),
            ));
        }
        if args.deterministic {
            icount::check(args)?;
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
        Ok(Self {
            variant: String::new(),
            variants: Vec::new(),
            sandbox: args.sandbox,
            kernels: args.kernel.clone(),
            setup: Setup {
                sysctls: args.sysctl.iter().cloned().collect(),
                tools: args.tool.iter().cloned().collect(),
            },
            plant: args.plant,
            sizes,
            endpoints: args.endpoints,
            modes: ordered(&args.modes, Mode::ALL),
            scenarios: match args.deterministic {
                true => icount::scenarios(asked_for(&args.scenarios), args),
                false => asked_for(&args.scenarios),
            },
            named: !args.scenarios.is_empty(),
            request: Request {
                positions: match args.positions.as_slice() {
                    [] if args.deterministic => icount::POSITIONS.to_vec(),
                    named => ordered(named, Position::ALL),
                },
                protocols: ordered(&args.protocols, Protocol::ALL),
                transports: each_once(&args.transports),
                engines: ordered(&args.engines, Engine::ALL),
                cache: args.cache,
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
            repetitions: args.repetitions.unwrap_or(match args.deterministic {
                true => icount::SEEDS,
                false => REPETITIONS,
            }),
            budget: args.budget,
            cell_timeout: args.cell_timeout,
            control: !args.no_control && !args.deterministic,
            deterministic: args.deterministic,
            damage: args.damage,
        })
    }

    /// The stays' modes as they are programmed, whatever they are measured on.
    pub(crate) fn cases(&self) -> Vec<Case> {
        self.cases_of(Vec::new())
    }

    /// The same for the stays of these variants; none: of all.
    pub(crate) fn cases_of(&self, variants: Vec<String>) -> Vec<Case> {
        let host = PlannedEnvironment::host().of(variants);
        Plan::new(self, &[host], &Machine::default()).cases()
    }

    fn check(&self) -> Result<(), Usage> {
        if self.request.cache == Cache::Cold && !self.scenarios.contains(&ScenarioKind::FirstPacket)
        {
            return Err(Usage(
                "--cache cold empties caches between first packets, and first-packet is not among --scenarios: add it or leave --cache cold out".to_owned(),
            ));
        }
        let smallest = self.sizes[0] as usize;
        if smallest < self.request.protocols.len() {
            return Err(Usage(format!(
                "--services {smallest} is fewer than the protocols asked for; add --protocols tcp or raise --services"
            )));
        }
        for transport in &self.request.transports {
            let programs = |m: &&Mode| !m.is_floor() && facts(**m).has(*transport);
            if !self.modes.iter().any(|m| programs(&m)) {
                return Err(Usage(format!(
                    "--transports {transport}: no requested mode can be programmed that way"
                )));
            }
        }
        if let Some(mode) = self.modes.iter().find(|m| self.transports(**m).is_empty()) {
            let can: Vec<&str> = facts(*mode).transports().map(|t| t.name()).collect();
            return Err(Usage(format!(
                "--transports leaves no way to program mode {mode}: add {} or leave the mode out with --modes",
                can.join(" or ")
            )));
        }
        let largest = self.sizes[self.sizes.len() - 1];
        if let Some(stride) = self.vip_stride {
            let most = most_with_stride(stride).saturating_sub(ADDED_SERVICES);
            if largest > most {
                return Err(Usage(format!(
                    "--services {largest}: with --vip-stride {stride} the service range has room for {most}: lower one of the two"
                )));
            }
        }
        for mode in &self.modes {
            let most = facts(*mode).most_services.unwrap_or(u32::MAX);
            if largest > most.saturating_sub(ADDED_SERVICES) {
                return Err(Usage(format!(
                    "--services {largest}: mode {mode} has marks for {most} services, {ADDED_SERVICES} of them kept for additions; ask for at most {} or leave the mode out with --modes",
                    most - ADDED_SERVICES
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
        if let Some(tool) = self.setup.tools.keys().find(|tool| !self.starts(tool)) {
            return Err(Usage(format!(
                "--tool {tool}: nothing that is asked starts {tool}: see --modes, --transports and --engines"
            )));
        }
        if self.modes.iter().all(|m| m.is_floor())
            && !self.scenarios.contains(&ScenarioKind::FirstPacket)
        {
            return Err(Usage("the floors none and conntrack have no control plane: ask for first-packet, or add a mode".to_owned()));
        }
        Ok(())
    }

    /// Whether anything that is asked starts the tool: a mode as it is programmed, or kube-proxy's way of an update.
    fn starts(&self, tool: &str) -> bool {
        let as_kube_proxy = |kind: &ScenarioKind| kind.ask(Metric::SyncTime).is_some();
        let updates = self.scenarios.iter().any(as_kube_proxy);
        let programmed = self.modes.iter().flat_map(|mode| {
            let transports = self.transports(*mode);
            let engines = self.engines(*mode);
            let case = move |engine| {
                transports.clone().into_iter().map(move |transport| Case {
                    mode: *mode,
                    transport,
                    engine,
                    setup: Setup::default(),
                })
            };
            engines.into_iter().flat_map(case)
        });
        let by_mode = |case: &Case| case::tools(case).iter().any(|(name, _)| *name == tool);
        let by_sync = |mode: &Mode| facts(*mode).sync_tools.contains(&tool);
        programmed.into_iter().any(|case| by_mode(&case))
            || updates && self.modes.iter().any(by_sync)
    }

    /// Engines in which a mode is measured: only ipset's rules go through either.
    pub(super) fn engines(&self, mode: Mode) -> Vec<Option<Engine>> {
        match facts(mode).engines {
            [] => vec![None],
            _ => self.request.engines.iter().copied().map(Some).collect(),
        }
    }

    /// Transports in which a mode is measured.
    pub(super) fn transports(&self, mode: Mode) -> Vec<Transport> {
        let can = facts(mode);
        if self.request.transports.is_empty() || mode.is_floor() {
            return vec![can.ordinary()];
        }
        self.request
            .transports
            .iter()
            .copied()
            .filter(|t| can.has(*t))
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

/// In the order in which they were named.
fn each_once<T: Copy + PartialEq>(named: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for value in named {
        if !once.contains(value) {
            once.push(*value);
        }
    }
    once
}

/// Everything when nothing was named; each once, in the vocabulary's order.
fn ordered<T: Copy + PartialEq>(named: &[T], all: &[T]) -> Vec<T> {
    all.iter()
        .copied()
        .filter(|v| named.is_empty() || named.contains(v))
        .collect()
}
