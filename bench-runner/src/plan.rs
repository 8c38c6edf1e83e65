//! What a run will do, decided before it starts: stays, their cells, their order. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use netns_harness::datapath::{Engine, Transport, facts};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use reports::compare::looks::LOOKS;
use reports::quantity::{counted, whole};
use scenarios::cost::Asked;
use scenarios::spec::{CellSpec, Setup, StaySpec, Suite};
use scenarios::{LargeCluster, Needs, Request, SCENARIOS, Scenario};
use schema::{
    CellKey, INSTALLED, Mix, Mode, NodeKind, NotRun, OptionKey, RAISED, ScenarioKind, ServiceType,
    Stack,
};

pub(crate) use schema::CONTROL;

use crate::case::Case;
use crate::machine::Machine;
use crate::progress::rough;

mod environment;
mod fit;
mod icount;
mod pairs;
mod settings;

pub(crate) use environment::{ENVIRONMENT, OPENED, PlannedEnvironment, TRIED};
pub(crate) use settings::Settings;

use environment::default_budget;
use pairs::Pairs;

/// Building a lab, starting a process, settling: expected, nanoseconds.
const STAY_NS: u64 = 150_000_000;
/// The same where instructions are counted, with a guest that begins where another one was kept: instructions that take as long.
const COUNTED_STAY_NS: u64 = 500_000_000;

/// What of a stay is before its first cell: its lab, and where its node serves two families the services of the other.
fn before_ns(spec: &StaySpec) -> u64 {
    let beside = match spec.stack {
        Stack::Single => 0,
        Stack::Dual => costs(spec).preparation_ns(),
    };
    beside
        + if spec.counted {
            COUNTED_STAY_NS
        } else {
            STAY_NS
        }
}

/// What its acts are asked for: instructions where these are counted.
fn costs(spec: &StaySpec) -> Asked {
    Asked {
        counted: spec.counted,
        ..spec.asked()
    }
}

/// A stay of every block.
#[derive(Debug, Clone)]
pub(crate) struct PlannedStay {
    /// Its specification; numbers are filled in by [`Plan::block`].
    pub(crate) spec: StaySpec,
    /// How long it is expected to take, nanoseconds.
    pub(crate) expected_ns: u64,
    /// What of that is before its first cell.
    pub(crate) before_ns: u64,
    /// Why an ordinary run does not try it.
    pub(crate) left_out: Option<NotRun>,
    /// Stays of different variants with one number are compared: they lie side by side in every block.
    pub(crate) pair: usize,
    /// Blocks that it is in: the first so many.
    pub(crate) blocks: u32,
}

impl PlannedStay {
    /// Whether all that it asks leaves its services as they are.
    fn serves(&self) -> bool {
        let is_served = |kind| scenarios::scenario(kind).needs() == Needs::Served;
        self.spec.cells.iter().all(|cell| is_served(cell.scenario))
    }

    /// How long it is expected to take, if it is begun, nanoseconds.
    pub(crate) fn begun_ns(&self) -> u64 {
        match self.left_out {
            None => self.expected_ns,
            Some(_) => 0,
        }
    }

    /// How long all of it is expected to take, nanoseconds.
    fn whole_ns(&self) -> u64 {
        self.begun_ns() * u64::from(self.blocks)
    }
}

/// Whether the services of a stay, by their number alone, are more than kube-proxy's sets hold.
fn fills_sets(spec: &StaySpec) -> bool {
    let most = facts(spec.mode).most_entries;
    let ours = spec.transport != Transport::KubeProxy && !spec.raised;
    ours && most.is_some_and(|most| spec.services > most)
}

fn slower(time_ns: u64, slowdown: f64) -> u64 {
    (time_ns as f64 * slowdown) as u64
}

/// The stays of one block, in no order yet.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Blocks of the stays that have most.
    pub(crate) blocks: u32,
    /// Time after which no further stay is started whose time is none of instructions: of those nothing is left to the
    /// budget.
    pub(crate) budget: Duration,
    pub(crate) stays: Vec<PlannedStay>,
    /// Stays at a time whose time is executed instructions; others are carried out alone.
    pub(crate) at_a_time: usize,
}

impl Plan {
    /// Decides the stays, each once in every environment that its variant is measured in.
    pub(crate) fn new(
        settings: &Settings,
        environments: &[PlannedEnvironment],
        machine: &Machine,
    ) -> Self {
        // In one order, however they were named or found again.
        let mut environments = environments.to_vec();
        environments.sort_by(|a, b| a.name.cmp(&b.name));
        let mut stays = Vec::new();
        let mut pairs = Pairs::default();
        let sides = settings.sides();
        for side in sides {
            let here = |e: &&PlannedEnvironment| e.measures(side.variant());
            let of_side = environments.iter().filter(here).flat_map(|environment| {
                let first = sides.iter().find(|s| environment.measures(s.variant()));
                let counted = environment.is_counted().then(|| side.counted());
                let beside = (counted.is_some() && !settings.args.deterministic)
                    .then_some(side.request.largest);
                let side = counted.as_ref().unwrap_or(side);
                let own = Settings {
                    request: environment.request(side),
                    // One control series an environment, beside the first variant there.
                    control: side.control && first.is_some_and(|s| s.variant() == side.variant()),
                    ..side.clone()
                };
                let mut stays = Self::stays(&own, environment);
                if environment.is_counted() {
                    stays = icount::joined(stays, side.is_named(), beside.is_some());
                }
                if let Some(largest) = beside {
                    // What passes no service costs the same whatever their number.
                    let is_spared =
                        |spec: &StaySpec| spec.mode.is_floor() && spec.services < largest;
                    stays.retain(|stay| !is_spared(&stay.spec));
                }
                for stay in &mut stays {
                    let lacks = environment.lacks.contains(&Case::of(&stay.spec));
                    if lacks || fills_sets(&stay.spec) {
                        (stay.expected_ns, stay.before_ns) = (0, 0);
                    }
                    stay.spec.environment.clone_from(&environment.name);
                    stay.blocks = icount::blocks(&stay.spec, settings.repetitions, beside);
                }
                stays
            });
            let mut of_side: Vec<PlannedStay> = of_side.collect();
            pairs.assign(&mut of_side, &side.sizes);
            stays.append(&mut of_side);
        }
        let budget = settings.args.budget;
        let mut plan = Self {
            seed: settings.args.seed,
            blocks: stays.iter().map(|stay| stay.blocks).max().unwrap_or(1),
            budget: budget.unwrap_or_else(|| default_budget(settings, &environments)),
            stays,
            at_a_time: machine.at_a_time(),
        };
        plan.fit(settings.args.until_decided.then_some(LOOKS[0]));
        plan
    }

    /// The stays of an environment.
    fn stays(settings: &Settings, environment: &PlannedEnvironment) -> Vec<PlannedStay> {
        let (mut stays, slowdown) = (Vec::new(), environment.slowdown());
        let populations = settings.sizes.iter().flat_map(|services| {
            let endpoints = settings.endpoints.iter();
            endpoints.map(move |endpoints| (*services, *endpoints))
        });
        for (services, endpoints) in populations {
            let of = |mode, transport| Asked {
                mode,
                transport,
                services,
                endpoints,
                counted: settings.request.counted,
            };
            for &mode in &settings.modes {
                let transports = settings.transports(mode);
                for &transport in &transports {
                    let first = transport == transports[0];
                    for template in templates(settings, of(mode, transport)) {
                        let (serving, own) = asked(settings, &template);
                        stays.extend(serving_stay(&template, serving, first, slowdown));
                        stays.extend(own_stays(settings, &template, own, environment));
                    }
                }
            }
            if settings.control && settings.modes.contains(&Mode::BARE) {
                let template = StaySpec {
                    variant: CONTROL.to_owned(),
                    ..template(settings, of(Mode::BARE, Transport::Restore), None, None)
                };
                let template = on_node(&template, settings.nodes[0]);
                let (serving, _) = asked(settings, &template);
                stays.extend(serving_stay(&template, serving, true, slowdown));
            }
        }
        stays.extend(Self::stays_of_lists(settings, environment));
        stays
    }

    /// The stays of what asks of no services, each once whatever services there are.
    fn stays_of_lists(settings: &Settings, environment: &PlannedEnvironment) -> Vec<PlannedStay> {
        let mut stays = Vec::new();
        for &mode in &settings.modes {
            for &transport in &settings.transports(mode) {
                let of = Asked {
                    mode,
                    transport,
                    services: 0,
                    endpoints: 0,
                    counted: settings.request.counted,
                };
                let engines = settings.engines(mode).into_iter();
                let with = engines.flat_map(|engine| {
                    let suites = settings.suites(mode).into_iter();
                    suites.map(move |suite| template(settings, of, engine, suite))
                });
                for template in with {
                    let alone = settings.nodes.iter();
                    for node in alone.filter(|node| node.stack == Stack::Single) {
                        let template = on_node(&template, *node);
                        let (_, own) = asked(settings, &template);
                        stays.extend(own_stays(settings, &template, own, environment));
                    }
                }
            }
        }
        stays
    }

    /// Modes as they are programmed in the plan, each once.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let each: BTreeSet<Case> = self.stays.iter().map(|s| Case::of(&s.spec)).collect();
        each.into_iter().collect()
    }

    /// The seed of a block, of its populations and of what counted guests take for random: a block is a sample of the
    /// populations too, and all of its stays share one, those of every variant among them.
    pub(crate) const fn seed_of(&self, block: u32) -> u64 {
        self.seed.wrapping_add(block as u64)
    }

    /// Stays whose time is executed instructions, or the others.
    pub(crate) fn part(&self, counted: bool) -> impl Iterator<Item = &PlannedStay> + Clone {
        let of_part = move |stay: &&PlannedStay| stay.spec.counted == counted;
        self.stays.iter().filter(of_part)
    }

    /// How long all that is counted is expected to take, several stays at a time.
    pub(crate) fn counted_time(&self) -> Duration {
        let all_ns: u64 = self.part(true).map(PlannedStay::whole_ns).sum();
        Duration::from_nanos(all_ns) / self.at_a_time as u32
    }

    /// How long the first block of what is timed is expected to take.
    pub(crate) fn block_time(&self) -> Duration {
        Duration::from_nanos(self.part(false).map(PlannedStay::begun_ns).sum())
    }

    /// How long what is timed is expected to take: the first block, and others within the budget.
    pub(crate) fn timed_time(&self) -> Duration {
        let all = Duration::from_nanos(self.part(false).map(PlannedStay::whole_ns).sum());
        all.min(self.budget.max(self.block_time()))
    }

    /// What will be made, and how long that is expected to take: a sentence of what is counted, one of what is timed.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let size = |of_counted| {
            // What is known to be unsupported takes no time.
            let stays = self.part(of_counted).filter(|stay| stay.expected_ns > 0);
            let cells: usize = stays.clone().map(|stay| stay.spec.cells.len()).sum();
            let blocks = stays.clone().map(|stay| stay.blocks).max()?;
            let (cells, stays) = (
                counted(cells as u64, "cell"),
                counted(stays.count() as u64, "stay"),
            );
            Some((format!("{cells} in {stays} a block"), blocks))
        };
        let of_instructions = size(true).map(|(size, blocks)| {
            format!(
                "counted: {size}, up to {} with seeds {} to {}, {} at a time: about {}",
                counted(blocks.into(), "block"),
                self.seed,
                self.seed_of(blocks - 1),
                counted(self.at_a_time as u64, "stay"),
                rough(self.counted_time()),
            )
        });
        let timed = size(false).map(|(size, blocks)| {
            let all = Duration::from_nanos(self.part(false).map(PlannedStay::whole_ns).sum());
            let until = match all > self.timed_time() {
                true => format!(
                    "of {blocks} as many as the budget of {} has room for, about {}",
                    rough(self.budget),
                    rough(self.timed_time())
                ),
                false => format!("{} about {}", counted(blocks.into(), "block"), rough(all)),
            };
            let block = rough(self.block_time());
            format!(
                "timed: {size}; one block takes about {block}, {until}; seed {}",
                self.seed
            )
        });
        let cut = self.what_does_not_fit();
        let (nodes, services) = (self.what_nodes_serve(), self.what_services_are());
        let all = of_instructions.into_iter().chain(timed);
        let beyond = self.beyond_sets();
        all.chain(nodes)
            .chain(services)
            .chain(beyond)
            .chain(cut)
            .collect()
    }

    /// What kube-proxy's sets have no room for, whatever its services are.
    fn beyond_sets(&self) -> Vec<String> {
        let beyond = self.stays.iter().map(|stay| &stay.spec);
        let beyond = beyond.filter(|spec| fills_sets(spec));
        let each: BTreeSet<(Mode, u32)> = beyond.map(|spec| (spec.mode, spec.services)).collect();
        let said = |(mode, services): (Mode, u32)| {
            let most = facts(mode).most_entries.unwrap_or(0);
            format!(
                "unsupported: {mode} at {} services: kube-proxy's sets hold {} entries; --maxelem raised asks what the kernel does with more",
                whole(services.into()),
                whole(most.into())
            )
        };
        each.into_iter().map(said).collect()
    }

    /// What nodes serve, as a sentence, unless all serve IPv4 alone.
    fn what_nodes_serve(&self) -> Option<String> {
        let each: BTreeSet<NodeKind> = self.stays.iter().map(|s| s.spec.node()).collect();
        if each.iter().all(|node| node.is_ordinary()) {
            return None;
        }
        let single = each.iter().filter(|node| node.stack == Stack::Single);
        let single: Vec<&str> = single.map(|node| node.family.words()).collect();
        let single = match single.as_slice() {
            [] => None,
            [one] => Some(format!("nodes of {one} alone")),
            several => Some(format!(
                "{} each on nodes of its own, which serve that family alone: no dual stack",
                several.join(" and ")
            )),
        };
        let dual = each.iter().any(|node| node.stack == Stack::Dual);
        let dual = dual.then(|| {
            "dual-stack nodes: every service has an address of IPv4 and one of IPv6, and what is asked of one family is asked beside the rules of the other".to_owned()
        });
        let said: Vec<String> = single.into_iter().chain(dual).collect();
        Some(format!("families: {}", said.join("; and ")))
    }

    /// What services are, as a sentence, unless all have a ClusterIP alone.
    fn what_services_are(&self) -> Option<String> {
        let serving = self.stays.iter().filter(|s| !s.spec.mode.is_floor());
        if let Some(imported) = serving.clone().find_map(|s| s.spec.imported.as_ref()) {
            return Some(format!(
                "services: those of population {}, {} VIP:port pairs with {} endpoints in all, at addresses of the lab's",
                imported.hash(),
                imported.kinds().len(),
                imported.endpoints(),
            ));
        }
        let each: BTreeSet<&Mix> = serving.map(|s| &s.spec.mix).collect();
        if each.iter().all(|mix| mix.is_ordinary()) {
            return None;
        }
        let each: Vec<String> = each.into_iter().map(Mix::words).collect();
        Some(format!(
            "service types: {}, each in stays of its own",
            each.join("; ")
        ))
    }

    /// What is counted, every block of it, the longest stays of each first, so that none is left to run alone at the end.
    pub(crate) fn counted_stays(&self) -> Vec<PlannedStay> {
        let block = |block| {
            let mut stays = self.block(block);
            stays.retain(|stay| stay.spec.counted);
            stays.sort_by_key(|stay| std::cmp::Reverse(stay.expected_ns));
            stays
        };
        (0..self.blocks).flat_map(block).collect()
    }

    /// What is timed before anything is repeated for precision: the first block.
    pub(crate) fn first_timed(&self) -> Vec<PlannedStay> {
        let mut stays = self.block(0);
        stays.retain(|stay| !stay.spec.counted);
        stays
    }

    /// Cells of one block.
    pub(crate) fn cells_per_block(&self) -> u64 {
        self.stays.iter().map(|s| s.spec.cells.len() as u64).sum()
    }

    /// Cells of all blocks.
    pub(crate) fn cells(&self) -> u64 {
        let of = |stay: &PlannedStay| u64::from(stay.blocks) * stay.spec.cells.len() as u64;
        self.stays.iter().map(of).sum()
    }

    /// Places of the stays that are compared with the one at `place`, itself among them.
    pub(crate) fn pair_of(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        let pair = self.stays[place].pair;
        let stays = self.stays.iter().enumerate();
        stays.filter_map(move |(at, stay)| (stay.pair == pair).then_some(at))
    }

    /// The stays of a block in their order, those of a pair side by side, with their numbers; cells in an order
    /// of their own.
    pub(crate) fn block(&self, block: u32) -> Vec<PlannedStay> {
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(self.seed ^ (u64::from(block) << 32) ^ 0x626c_6f63);
        let mut pairs = pairs::grouped(&self.stays);
        pairs.shuffle(&mut rng);
        for pair in &mut pairs {
            pairs::order(pair, self.seed, block);
        }
        let mut stays: Vec<PlannedStay> = pairs.into_iter().flatten().collect();
        let mut cell = u64::from(block) * self.cells_per_block();
        for (i, stay) in stays.iter_mut().enumerate() {
            stay.spec.block = block;
            stay.spec.stay = block * self.stays.len() as u32 + i as u32;
            stay.spec.seed = self.seed_of(block);
            // What comes before a cell is part of what is counted in it.
            if !stay.spec.counted {
                stay.spec.cells.shuffle(&mut rng);
            }
            // Probes of two stays must not share their randomness, populations must.
            let _: u64 = rng.next_u64();
            for spec in &mut stay.spec.cells {
                spec.id = cell;
                cell += 1;
            }
        }
        stays.retain(|stay| block < stay.blocks);
        stays
    }
}

/// What is asked of, once for each suite of tools, each engine, each layout, each period of a real kube-proxy, each kind
/// of node, and each kind of services. A floor has no services: what passes it is asked once.
fn templates(settings: &Settings, asked: Asked) -> Vec<StaySpec> {
    let periods = match asked.transport {
        Transport::KubeProxy => settings
            .min_sync_periods_ms
            .iter()
            .copied()
            .map(Some)
            .collect(),
        _ => vec![None],
    };
    let versions = settings.versions(asked);
    let mut templates = Vec::new();
    for suite in settings.suites(asked.mode) {
        for engine in settings.engines(asked.mode) {
            for &min_sync_period_ms in &periods {
                let laid_out = versions.iter().map(|&kube_proxy| StaySpec {
                    min_sync_period_ms,
                    kube_proxy,
                    ..template(settings, asked, engine, suite.clone())
                });
                let on_nodes = laid_out.flat_map(|template| {
                    let nodes = settings.nodes.iter();
                    nodes.map(move |node| on_node(&template, *node))
                });
                let imported = settings.args.imported.as_ref();
                let imported = imported.filter(|_| !asked.mode.is_floor());
                let of_mixes = on_nodes.flat_map(|template| {
                    let mixes = settings.mixes_of(asked.mode).into_iter();
                    mixes.map(move |mix| StaySpec {
                        imported: imported.cloned(),
                        ..of_mix(&template, &mix)
                    })
                });
                templates.extend(of_mixes);
            }
        }
    }
    templates
}

/// The same on a node that serves that.
fn on_node(template: &StaySpec, node: NodeKind) -> StaySpec {
    StaySpec {
        family: node.family,
        stack: node.stack,
        ..template.clone()
    }
}

/// The same of services that are that.
fn of_mix(template: &StaySpec, mix: &Mix) -> StaySpec {
    StaySpec {
        mix: mix.clone(),
        ..template.clone()
    }
}

/// On a node of IPv4, of ClusterIPs.
fn template(
    settings: &Settings,
    asked: Asked,
    engine: Option<Engine>,
    suite: Option<Suite>,
) -> StaySpec {
    let (args, request) = (&settings.args, &settings.request);
    StaySpec {
        stay: 0,
        block: 0,
        environment: String::new(),
        mode: asked.mode,
        services: asked.services,
        endpoints: asked.endpoints,
        variant: settings.variant().to_owned(),
        seed: args.seed,
        protocols: request.protocols.clone(),
        family: NodeKind::default().family,
        stack: NodeKind::default().stack,
        vip_stride: args.vip_stride,
        mix: Mix::default(),
        imported: None,
        transport: asked.transport,
        min_sync_period_ms: None,
        kube_proxy: None,
        engine,
        large_cluster: request.large_cluster.at(asked.services, asked.endpoints),
        raised: settings.raises(asked.mode, asked.transport),
        flows: request.flows,
        brief: request.brief,
        counted: request.counted,
        damage: args.damage,
        plant: args.plant,
        setup: Setup {
            suite,
            ..settings.setup.clone()
        },
        cells: Vec::new(),
    }
}

/// A cell, and its expected time on the host's kernel, nanoseconds, or its instructions.
type Timed = (CellSpec, u64);

/// Cells that were asked for: those that leave services as they were, and the others.
fn asked(settings: &Settings, template: &StaySpec) -> (Vec<Timed>, Vec<Timed>) {
    let asked = costs(template);
    let request = &Request {
        mix: template.mix.clone(),
        imported: template.imported.clone(),
        ..settings.request.clone()
    };
    let wanted = |s: &&&dyn Scenario| {
        settings.scenarios.contains(&s.kind())
            && s.is_of_services() == (template.services > 0)
            && is_asked_of(s.kind(), &template.mix)
    };
    let cells = SCENARIOS.iter().filter(wanted).flat_map(|scenario| {
        let options = scenario.cells(asked, request).into_iter();
        options.map(move |mut options| {
            let expected_ns = scenario.expected_ns(asked, &options, request);
            if let Some(engine) = template.engine {
                options.set(OptionKey::Engine, engine);
            }
            let layout = template
                .kube_proxy
                .and_then(|version| facts(asked.mode).layout(version));
            if let Some(layout) = layout.filter(|_| options.get(OptionKey::KubeProxy).is_none()) {
                options.set(OptionKey::KubeProxy, layout);
            }
            if let Some(period) = template.min_sync_period_ms {
                // Whatever is asked is asked of its rules, which are as it sees fit.
                scenarios::layout_options(&mut options, asked, LargeCluster::Auto);
                options.set(OptionKey::Transport, template.transport);
                options.set(OptionKey::MinSyncPeriod, words_of_ms(period));
            }
            if !settings.args.tools.is_empty() && !asked.mode.is_floor() {
                let suite = template.setup.suite.as_ref();
                options.set(
                    OptionKey::Suite,
                    suite.map_or(INSTALLED, |suite| &suite.name),
                );
            }
            if template.raised {
                options.set(OptionKey::Maxelem, RAISED);
            }
            if let Some(stride) = template.vip_stride {
                options.set(OptionKey::VipStride, stride);
            }
            options.set_node(template.node());
            options.set_mix(&template.mix);
            let cell = CellSpec {
                id: 0,
                scenario: scenario.kind(),
                options,
            };
            (cell, expected_ns)
        })
    });
    cells.partition(|(cell, _)| scenarios::scenario(cell.scenario).needs() == Needs::Served)
}

/// Whether a scenario has anything to ask of services that are that: some want an answer, some an endpoint to replace.
fn is_asked_of(kind: ScenarioKind, mix: &Mix) -> bool {
    match kind {
        ScenarioKind::FirstPacket | ScenarioKind::ConntrackClean => {
            mix.types().any(ServiceType::answers)
        }
        ScenarioKind::EndpointChurn | ScenarioKind::ScaleDown => {
            mix.types().any(ServiceType::has_endpoints)
        }
        _ => true,
    }
}

/// A time as it is written in kube-proxy's configuration.
fn words_of_ms(ms: u32) -> String {
    match ms % 1_000 {
        0 => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// The stay that is prepared once and then asked everything that leaves services as they were. What
/// does not depend on the transport is asked once.
fn serving_stay(
    template: &StaySpec,
    mut cells: Vec<Timed>,
    first_transport: bool,
    slowdown: f64,
) -> Option<PlannedStay> {
    cells.retain(|(cell, _)| first_transport || cell.options.transport().is_some());
    let (cells, expected_ns): (Vec<CellSpec>, Vec<u64>) = cells.into_iter().unzip();
    let before_ns = before_ns(template) + costs(template).preparation_ns();
    (!cells.is_empty()).then(|| PlannedStay {
        expected_ns: slower(before_ns + expected_ns.iter().sum::<u64>(), slowdown),
        before_ns: slower(before_ns, slowdown),
        spec: StaySpec {
            cells,
            ..template.clone()
        },
        left_out: None,
        pair: 0,
        blocks: 0,
    })
}

/// Stays with one cell each.
fn own_stays(
    settings: &Settings,
    template: &StaySpec,
    cells: Vec<Timed>,
    environment: &PlannedEnvironment,
) -> impl Iterator<Item = PlannedStay> {
    // What is left out depends on no machine's pace. Where instructions are counted such a stay has a limit for each cell and one for
    // what is around them: an install in chunks, which is joined with one that serves, may take what is not needed there.
    let counted = template.counted;
    let (slowdown, usual) = (environment.slowdown(), environment.usual());
    let limits = move |cell: &CellSpec| match (counted, cell.options.chunk()) {
        (false, _) => 1,
        (true, Some(_)) => icount::JOINED + 1,
        (true, None) => 2,
    };
    cells.into_iter().map(move |(cell, own_ns)| {
        let (cell_ns, usual_ns) = (slower(own_ns, slowdown), slower(own_ns, usual));
        let preparation_ns = match scenarios::scenario(cell.scenario).needs() {
            Needs::Empty => 0,
            _ => costs(template).preparation_ns(),
        };
        // What is slower than its limit costs its limit.
        let limit = limits(&cell) * settings.args.cell_timeout;
        let limit_ns = limit.as_nanos() as u64;
        let left_out = (!settings.is_named() && usual_ns > limit_ns).then(|| {
            NotRun::LeftOut(format!(
                "expected to take {} s, longer than its limit of {} s: ask for it with --scenarios {}",
                usual_ns / 1_000_000_000,
                limit.as_secs(),
                cell.scenario
            ))
        });
        let before_ns = slower(before_ns(template) + preparation_ns, slowdown);
        let expected_ns = before_ns + cell_ns.min(limit_ns);
        PlannedStay {
            spec: StaySpec {
                cells: vec![cell],
                ..template.clone()
            },
            expected_ns,
            before_ns,
            left_out,
            pair: 0,
            blocks: 0,
        }
    })
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

/// The mode, which variant's, on what node where that is not one of IPv4, and of what services where these are no ClusterIPs:
/// "nftables (head, IPv6)".
pub(crate) fn mode_of(spec: &StaySpec) -> String {
    let variant = Some(spec.variant.clone()).filter(|name| !name.is_empty());
    let node = (!spec.node().is_ordinary()).then(|| spec.node().words());
    let services = (!spec.mix.is_ordinary()).then(|| spec.mix.words());
    let words: Vec<String> = variant.into_iter().chain(node).chain(services).collect();
    match words.as_slice() {
        [] => spec.mode.to_string(),
        words => format!("{} ({})", spec.mode, words.join(", ")),
    }
}

#[cfg(test)]
mod tests;
