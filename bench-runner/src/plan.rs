//! What a run will do, decided before it starts: stays, their cells, their order. Pure.

use std::time::Duration;

use netns_harness::datapath::{Engine, Transport, registry};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use scenarios::cost::{self, Size};
use scenarios::position::Position;
use scenarios::spec::{CellSpec, StaySpec};
use scenarios::{Needs, Request, SCENARIOS, Scenario};
use schema::{Accelerator, CellKey, Mode, Protocol, ScenarioKind};

use crate::cli::{OnOff, RunArgs, SandboxOption, Scenarios};
use crate::exit::Usage;
use crate::readiness::Case;

/// Name of the environment that is the host's kernel.
pub(crate) const ENVIRONMENT: &str = "netns";
/// Variant of the second `none` series.
pub(crate) const CONTROL: &str = "control";
/// Services beyond N that the updates of a stay may add.
const ROOM: u32 = 100;
/// What things take in a translated guest over what they are expected to take on the host's kernel.
const TRANSLATED: f64 = 10.0;
/// New flows in a first-packet cell when nobody said.
const FLOWS: u32 = 1_000;
/// The same where a guest is translated: its median needs no more, and stays say more than flows.
const BRIEF_FLOWS: u32 = 200;
/// Budgets when nobody said.
const HOST_BUDGET: Duration = Duration::from_secs(460);
const GUEST_BUDGET: Duration = Duration::from_secs(300);
const LARGE_GUEST_BUDGET: Duration = Duration::from_secs(1_200);
/// Building a lab, starting a process, settling: expected, nanoseconds.
const STAY_NS: u64 = 250_000_000;

/// An environment, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedEnvironment {
    /// Its name.
    pub(crate) name: String,
    /// What executes it.
    pub(crate) accel: Accelerator,
}

impl PlannedEnvironment {
    /// The host's kernel.
    pub(crate) fn host() -> Self {
        Self {
            name: ENVIRONMENT.to_owned(),
            accel: Accelerator::None,
        }
    }

    /// A guest.
    pub(crate) fn guest(name: String, accel: Accelerator) -> Self {
        Self { name, accel }
    }

    /// What things take there over what they are expected to take on the host's kernel.
    fn slowdown(&self) -> f64 {
        match self.accel {
            Accelerator::None => 1.0,
            Accelerator::Kvm => 1.5,
            Accelerator::Tcg | Accelerator::TcgIcount => TRANSLATED,
        }
    }

    /// What is asked there: of what only adds precision less where everything takes many times longer.
    fn request(&self, settings: &Settings) -> Request {
        let brief = matches!(self.accel, Accelerator::Tcg | Accelerator::TcgIcount);
        let flows = if brief { BRIEF_FLOWS } else { FLOWS };
        Request {
            brief,
            flows: settings.flows.unwrap_or(flows),
            ..settings.request.clone()
        }
    }

    fn is_host(&self) -> bool {
        self.name == ENVIRONMENT
    }
}

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
    pub(crate) seed: u64,
    pub(crate) repetitions: u32,
    /// As it was given.
    pub(crate) budget: Option<Duration>,
    pub(crate) cell_timeout: Duration,
    pub(crate) control: bool,
    pub(crate) damage: Option<String>,
}

/// A stay of every block.
#[derive(Debug, Clone)]
pub(crate) struct PlannedStay {
    /// Its specification; numbers are filled in by [`Plan::block`].
    pub(crate) spec: StaySpec,
    /// How long it is expected to take, nanoseconds.
    pub(crate) expected_ns: u64,
    /// Why an ordinary run does not try it.
    pub(crate) left_out: Option<String>,
}

impl PlannedStay {
    fn slower(self, slowdown: f64) -> Self {
        Self {
            expected_ns: slower(self.expected_ns, slowdown),
            ..self
        }
    }
}

fn slower(time_ns: u64, slowdown: f64) -> u64 {
    (time_ns as f64 * slowdown) as u64
}

/// The stays of one block, in no order yet.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) blocks: u32,
    /// Time after which no further stay is started.
    pub(crate) budget: Duration,
    pub(crate) stays: Vec<PlannedStay>,
}

/// 100, 300, 1000, 3000, … below `most`, then `most`.
fn sweep(most: u32) -> Vec<u32> {
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
        if args.no_sweep && args.services.len() > 1 {
            return Err(Usage(
                "--no-sweep goes with one number of --services; a list is measured exactly"
                    .to_owned(),
            ));
        }
        let mut sizes = match args.services.as_slice() {
            [one] if !args.no_sweep => sweep(*one),
            list => list.to_vec(),
        };
        sizes.sort_unstable();
        sizes.dedup();
        let largest = sizes.last().copied().unwrap_or_default();
        let settings = Self {
            sizes,
            endpoints: args.endpoints,
            modes: ordered(&args.modes, Mode::ALL),
            scenarios: asked_for(&args.scenarios),
            named: !args.scenarios.is_empty(),
            request: Request {
                positions: ordered(&args.positions, &Position::ALL),
                protocols: ordered(&args.protocols, Protocol::ALL),
                transports: args.transports.clone(),
                engines: ordered(&args.engines, &Engine::ALL),
                churn: args.churn,
                large_cluster: args.large_cluster == OnOff::On,
                flows: args.flows.unwrap_or(FLOWS),
                brief: false,
                largest,
            },
            flows: args.flows,
            seed: args.seed,
            repetitions: args.repetitions,
            budget: args.budget,
            cell_timeout: args.cell_timeout,
            control: !args.no_control,
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
    fn engines(&self, mode: Mode) -> Vec<Option<Engine>> {
        match mode {
            Mode::Ipset => self.request.engines.iter().copied().map(Some).collect(),
            _ => vec![None],
        }
    }

    /// Transports in which a mode is measured.
    fn transports(&self, mode: Mode) -> Vec<Transport> {
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

/// How long a run goes on when nobody said.
fn default_budget(settings: &Settings, environments: &[PlannedEnvironment]) -> Duration {
    let largest = settings.request.largest;
    match environments.iter().all(PlannedEnvironment::is_host) {
        true => HOST_BUDGET,
        false if largest <= 1_000 => GUEST_BUDGET,
        false => LARGE_GUEST_BUDGET,
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

impl Plan {
    /// Decides the stays, each once in every environment.
    pub(crate) fn new(settings: &Settings, environments: &[PlannedEnvironment]) -> Self {
        // In one order, however they were named or found again.
        let mut environments = environments.to_vec();
        environments.sort_by(|a, b| a.name.cmp(&b.name));
        let stays = environments.iter().flat_map(|environment| {
            let settings = Settings {
                request: environment.request(settings),
                ..settings.clone()
            };
            let mut stays = Self::stays(&settings, environment.slowdown());
            for stay in &mut stays {
                stay.spec.environment.clone_from(&environment.name);
            }
            stays
        });
        Self {
            seed: settings.seed,
            blocks: settings.repetitions,
            budget: settings
                .budget
                .unwrap_or_else(|| default_budget(settings, &environments)),
            stays: stays.collect(),
        }
    }

    /// The stays of an environment in which everything takes `slowdown` times as long as on the host's kernel.
    fn stays(settings: &Settings, slowdown: f64) -> Vec<PlannedStay> {
        let mut stays = Vec::new();
        for &services in &settings.sizes {
            let size = Size {
                services,
                endpoints: settings.endpoints,
            };
            for &mode in &settings.modes {
                for (i, transport) in settings.transports(mode).into_iter().enumerate() {
                    for engine in settings.engines(mode) {
                        let template = template(settings, mode, size, transport, engine);
                        let first = i == 0;
                        let serving = serving_stay(settings, &template, transport, first);
                        stays.extend(serving.map(|stay| stay.slower(slowdown)));
                        stays.extend(own_stays(settings, &template, transport, slowdown));
                    }
                }
            }
            if settings.control && settings.modes.contains(&Mode::None) {
                let template = StaySpec {
                    variant: CONTROL.to_owned(),
                    ..template(settings, Mode::None, size, Transport::Restore, None)
                };
                let serving = serving_stay(settings, &template, Transport::Restore, true);
                stays.extend(serving.map(|stay| stay.slower(slowdown)));
            }
        }
        stays
    }

    /// Modes as they are programmed in the plan, each once.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut found: Vec<Case> = self
            .stays
            .iter()
            .filter_map(|s| Case::of(&s.spec))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Cells of one block.
    pub(crate) fn cells_per_block(&self) -> u64 {
        self.stays.iter().map(|s| s.spec.cells.len() as u64).sum()
    }

    /// How long one block is expected to take, nanoseconds.
    pub(crate) fn block_ns(&self) -> u64 {
        self.stays.iter().map(|s| s.expected_ns).sum()
    }

    /// The stays of a block in their order, with their numbers; cells in an order of their own.
    pub(crate) fn block(&self, block: u32) -> Vec<PlannedStay> {
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(self.seed ^ (u64::from(block) << 32) ^ 0x626c_6f63);
        let mut stays = self.stays.clone();
        stays.shuffle(&mut rng);
        let mut cell = u64::from(block) * self.cells_per_block();
        for (i, stay) in stays.iter_mut().enumerate() {
            stay.spec.block = block;
            stay.spec.stay = block * self.stays.len() as u32 + i as u32;
            stay.spec.cells.shuffle(&mut rng);
            // Probes of two stays must not share their randomness, populations must.
            let _: u64 = rng.next_u64();
            for spec in &mut stay.spec.cells {
                spec.id = cell;
                cell += 1;
            }
        }
        stays
    }
}

fn template(
    settings: &Settings,
    mode: Mode,
    size: Size,
    transport: Transport,
    engine: Option<Engine>,
) -> StaySpec {
    StaySpec {
        stay: 0,
        block: 0,
        environment: String::new(),
        mode,
        services: size.services,
        endpoints: size.endpoints,
        variant: String::new(),
        seed: settings.seed,
        protocols: settings.request.protocols.clone(),
        transport: transport.name().to_owned(),
        engine: engine.map(|e| e.name().to_owned()),
        large_cluster: settings.request.large_cluster,
        flows: settings.request.flows,
        brief: settings.request.brief,
        damage: settings.damage.clone(),
        cells: Vec::new(),
    }
}

/// Cells that were asked for, of scenarios with certain needs, each with its expected time.
fn asked(
    settings: &Settings,
    template: &StaySpec,
    transport: Transport,
    needs: impl Fn(Needs) -> bool,
) -> Vec<(CellSpec, u64)> {
    let wanted = SCENARIOS
        .iter()
        .filter(|s| settings.scenarios.contains(&s.kind()) && needs(s.needs()));
    let mut cells = Vec::new();
    for scenario in wanted {
        let options = scenario.cells(
            template.mode,
            template.services,
            transport,
            &settings.request,
        );
        for mut options in options {
            let expected_ns =
                scenario.expected_ns(template.mode, size(template), &options, &settings.request);
            if let Some(engine) = &template.engine {
                options.insert("engine".to_owned(), engine.clone());
            }
            let cell = CellSpec {
                id: 0,
                scenario: scenario.kind(),
                options,
            };
            cells.push((cell, expected_ns));
        }
    }
    cells
}

fn size(spec: &StaySpec) -> Size {
    Size {
        services: spec.services,
        endpoints: spec.endpoints,
    }
}

/// The stay that is prepared once and then asked everything that leaves services as they were. What
/// does not depend on the transport is asked once.
fn serving_stay(
    settings: &Settings,
    template: &StaySpec,
    transport: Transport,
    first_transport: bool,
) -> Option<PlannedStay> {
    let mut spec = template.clone();
    let mut expected_ns = STAY_NS + cost::preparation_ns(spec.mode, size(&spec));
    for (cell, cell_ns) in asked(settings, template, transport, |n| n == Needs::Served) {
        if first_transport || cell.options.contains_key("transport") {
            expected_ns += cell_ns;
            spec.cells.push(cell);
        }
    }
    (!spec.cells.is_empty()).then_some(PlannedStay {
        spec,
        expected_ns,
        left_out: None,
    })
}

/// Stays with one cell each.
fn own_stays(
    settings: &Settings,
    template: &StaySpec,
    transport: Transport,
    slowdown: f64,
) -> Vec<PlannedStay> {
    let cells = asked(settings, template, transport, |n| n != Needs::Served);
    let stay = |(cell, cell_ns): (CellSpec, u64)| {
        let cell_ns = slower(cell_ns, slowdown);
        let needs = scenarios::scenario(cell.scenario).needs();
        let preparation = match needs {
            Needs::Empty => 0,
            _ => cost::preparation_ns(template.mode, size(template)),
        };
        // What is slower than its limit costs its limit.
        let limit = settings.cell_timeout.as_nanos() as u64;
        let left_out = (!settings.named && cell_ns > limit).then(|| {
            format!(
                "expected to take {} s, longer than its limit of {} s: ask for it with --scenarios {}",
                cell_ns / 1_000_000_000,
                settings.cell_timeout.as_secs(),
                cell.scenario
            )
        });
        PlannedStay {
            spec: StaySpec {
                cells: vec![cell],
                ..template.clone()
            },
            expected_ns: if left_out.is_some() {
                0
            } else {
                slower(STAY_NS + preparation, slowdown) + cell_ns.min(limit)
            },
            left_out,
        }
    };
    cells.into_iter().map(stay).collect()
}

/// Identity of a cell.
pub(crate) fn key(spec: &StaySpec, cell: &CellSpec) -> CellKey {
    CellKey {
        mode: spec.mode,
        scenario: cell.scenario,
        services: spec.services,
        endpoints: spec.endpoints,
        environment: spec.environment.clone(),
        variant: spec.variant.clone(),
        options: cell.options.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::collections::HashSet;

    fn plan(words: &[&str]) -> Plan {
        let cli = crate::cli::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
        Plan::new(
            &Settings::resolve(&cli.run).unwrap(),
            &[PlannedEnvironment::host()],
        )
    }

    #[test]
    fn one_number_is_swept_in_half_decades_and_a_list_is_exact() {
        assert_eq!(sweep(10_000), [100, 300, 1000, 3000, 10_000]);
        assert_eq!(sweep(500), [100, 300, 500]);
        assert_eq!(sweep(50), [50]);
        let sizes: HashSet<u32> = plan(&["--services", "20,10"])
            .stays
            .iter()
            .map(|s| s.spec.services)
            .collect();
        assert_eq!(sizes, HashSet::from([10, 20]));
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_another_seed_another() {
        let order = |seed: &str| {
            let specs: Vec<_> = plan(&["--services", "1000", "--seed", seed])
                .block(0)
                .into_iter()
                .map(|s| s.spec)
                .collect();
            specs
        };
        assert_eq!(order("3"), order("3"));
        let modes = |seed| {
            order(seed)
                .iter()
                .map(|s| (s.mode, s.services))
                .collect::<Vec<_>>()
        };
        assert_ne!(modes("3"), modes("4"));
    }

    #[test]
    fn every_block_holds_every_stay_once_and_cell_numbers_do_not_repeat() {
        let plan = plan(&["--services", "1000"]);
        let mut ids = HashSet::new();
        for block in 0..3 {
            let stays = plan.block(block);
            assert_eq!(stays.len(), plan.stays.len());
            for cell in stays.iter().flat_map(|s| &s.spec.cells) {
                assert!(ids.insert(cell.id));
            }
        }
        assert_eq!(ids.len() as u64, 3 * plan.cells_per_block());
    }

    #[test]
    fn floors_have_no_control_plane_cells_and_none_has_a_control_series() {
        let plan = plan(&["--services", "100"]);
        for stay in plan.stays.iter().filter(|s| s.spec.mode.is_floor()) {
            assert!(
                stay.spec
                    .cells
                    .iter()
                    .all(|c| c.scenario == ScenarioKind::FirstPacket)
            );
        }
        assert_eq!(
            plan.stays
                .iter()
                .filter(|s| s.spec.variant == CONTROL)
                .count(),
            1
        );
    }

    #[test]
    fn what_does_not_depend_on_the_transport_is_asked_once() {
        let plan = plan(&[
            "--services",
            "100",
            "--modes",
            "nftables",
            "--transports",
            "netlink,nft",
        ]);
        let latency = plan
            .stays
            .iter()
            .flat_map(|s| &s.spec.cells)
            .filter(|c| c.scenario == ScenarioKind::FirstPacket);
        assert_eq!(latency.count(), 8);
    }
}
