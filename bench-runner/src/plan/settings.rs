//! What was asked, resolved, and what single options cannot know of each other. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use guest::suite::Suites;
use netns_harness::datapath::{KUBE_PROXY, facts};
use netns_harness::service::{MAX_NODE_PORTS, NODE_PORTS};
use netns_sys::tools::{LIBRARIES, SBIN};
use reports::compare::looks::LOOKS;
use scenarios::cost::Asked;
use scenarios::population::{
    ADDED_SERVICES, most_with_endpoints, most_with_node_ports, most_with_stride,
};
use scenarios::spec::{Setup, Suite};
use scenarios::{LargeCluster, Request, TRACKED_S, most_flows_of_node};
use schema::{
    Cache, Engine, INSTALLED, KubeProxyVersion, Metric, Mix, Mode, NodeKind, PacketPath, Position,
    Protocol, ScenarioKind, ServiceType, Topic, Transport,
};

use super::environment::FLOWS;
use super::{Plan, PlannedEnvironment, icount};
use crate::case::{Case, makes_sets};
use crate::cli::words::HIDDEN;
use crate::cli::{Given, Maxelem, RunArgs, SandboxOption, Scenarios};
use crate::exit::{Usage, refused};
use crate::machine::Machine;
use crate::variant;

/// Repetition blocks when nobody said: an interval needs six, and two more leave room for what is disturbed.
const REPETITIONS: u32 = 8;

/// What was asked, resolved: every default filled in.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The variant that this is asked of, as it was given; without a name: the run itself.
    pub(crate) given: Given,
    /// The sides of a comparison, each with the whole of what is asked of it; none in an ordinary run.
    pub(crate) variants: Vec<Self>,
    /// As it was given.
    pub(crate) args: RunArgs,
    /// Sysctls and tools that were named.
    pub(crate) setup: Setup,
    pub(crate) sizes: Vec<u32>,
    /// Endpoints of each service, each number measured by itself.
    pub(crate) endpoints: Vec<u32>,
    pub(crate) modes: Vec<Mode>,
    /// What nodes serve, each measured by itself.
    pub(crate) nodes: Vec<NodeKind>,
    /// What services are, each measured by itself.
    pub(crate) mixes: Vec<Mix>,
    /// The least times between two syncs of a real kube-proxy, milliseconds.
    pub(crate) min_sync_periods_ms: Vec<u32>,
    pub(crate) scenarios: Vec<ScenarioKind>,
    /// What is asked on the host's kernel.
    pub(crate) request: Request,
    pub(crate) repetitions: u32,
    pub(crate) control: bool,
}

/// 100, 300, 1000, 3000, … below `most`, then `most`.
pub(super) fn sweep(most: u32) -> Vec<u32> {
    let half_decades = (2..=6).flat_map(|e| [10u32.pow(e), 3 * 10u32.pow(e)]);
    half_decades
        .take_while(|n| *n < most)
        .chain([most])
        .collect()
}

/// With half the largest size too, a quarter and so on, until four have the layout of the largest, where some have another:
/// a line is fitted over four sizes, and none over two layouts.
fn with_a_line(mut sizes: Vec<u32>, large: impl Fn(u32) -> bool) -> Vec<u32> {
    let most = sizes[sizes.len() - 1];
    let alike = |sizes: &[u32]| sizes.iter().filter(|n| large(**n) == large(most)).count();
    if alike(&sizes) == sizes.len() {
        return sizes;
    }
    let mut half = most / 2;
    while alike(&sizes) < 4 && half > 0 && large(half) == large(most) {
        if !sizes.contains(&half) {
            sizes.push(half);
        }
        half /= 2;
    }
    sizes.sort_unstable();
    sizes
}

/// Sides that are swept up to the same size are asked at the same sizes: those of either.
fn share_sizes(sides: &mut [Settings]) {
    let swept: Vec<(u32, Vec<u32>)> = sides
        .iter()
        .filter(|side| side.is_swept())
        .map(|side| (side.request.largest, side.sizes.clone()))
        .collect();
    for side in sides.iter_mut().filter(|side| side.is_swept()) {
        let largest = side.request.largest;
        let others = swept.iter().filter(|(most, _)| *most == largest);
        side.sizes.extend(others.flat_map(|(_, sizes)| sizes));
        side.sizes.sort_unstable();
        side.sizes.dedup();
    }
}

/// What `--until-decided` needs.
fn check_until_decided(args: &RunArgs) -> Result<(), Usage> {
    if args.deterministic {
        return refused(
            "--until-decided adds blocks until chance is ruled out, and --deterministic leaves nothing to chance: leave one of the two out",
        );
    }
    if args.variant.len() != 2 {
        return refused(
            "--until-decided asks whether two sides differ: name them, as in --variant base:'' --variant head:'--tool nft=PATH'",
        );
    }
    if args.repetitions.is_none() && args.budget.is_none() {
        return refused(
            "--until-decided goes on until compare can decide, which may be never: name a limit, as in --budget 30m",
        );
    }
    Ok(())
}

impl Settings {
    /// Fills in the defaults and checks what single options cannot know of each other.
    pub(crate) fn resolve(args: &RunArgs) -> Result<Self, Usage> {
        if args.until_decided {
            check_until_decided(args)?;
        }
        let given = variant::all(args)?;
        let run = Given::default();
        if given.is_empty() {
            let settings = Self::of(args, run)?;
            settings.check()?;
            return Ok(settings);
        }
        let side = |(given, args): (Given, RunArgs)| {
            let name = given.name.clone();
            let side = Self::of(&args, given).and_then(|side| side.check().map(|()| side));
            side.map_err(|Usage(why)| Usage(format!("--variant {name}: {why}")))
        };
        let variants: Result<Vec<Self>, Usage> = given.into_iter().map(side).collect();
        let mut variants = variants?;
        share_sizes(&mut variants);
        let settings = Self {
            variants,
            ..Self::of(args, run)?
        };
        settings.check_sides()?;
        Ok(settings)
    }

    /// Whether its sizes are those of a sweep.
    pub(super) fn is_swept(&self) -> bool {
        is_swept(&self.args)
    }

    /// Name of the variant that this is asked of; "" for the run.
    pub(crate) fn variant(&self) -> &str {
        &self.given.name
    }

    /// What is asked of each variant; of the run itself when it has none.
    pub(crate) fn sides(&self) -> &[Self] {
        match self.variants.as_slice() {
            [] => std::slice::from_ref(self),
            sides => sides,
        }
    }

    /// Whether the scenarios were named, and are not those of an ordinary run.
    pub(super) fn is_named(&self) -> bool {
        !self.args.scenarios.is_empty()
    }

    /// What single variants cannot know of each other.
    fn check_sides(&self) -> Result<(), Usage> {
        let [first, others @ ..] = self.variants.as_slice() else {
            return Ok(());
        };
        let (name, sizes) = (first.variant(), first.sizes.len());
        if let Some(other) = others.iter().find(|side| side.sizes.len() != sizes) {
            return refused(format!(
                "--variant {}: {} sizes, and variant {name} has {sizes}: each is compared with one of the other; give both as many with --services, or add --no-sweep",
                other.variant(),
                other.sizes.len(),
            ));
        }
        let named = |side: &&Self| !side.args.kernel.is_empty();
        let (with, without): (Vec<_>, Vec<_>) = self.variants.iter().partition(named);
        if let (Some(with), Some(without)) = (with.first(), without.first()) {
            return refused(format!(
                "--variant {}: it names no --kernel and variant {} does: the host's kernel is not compared with a guest's; name one for each",
                without.variant(),
                with.variant()
            ));
        }
        Ok(())
    }

    /// Fills in the defaults; without what [`Settings::check`] sees.
    fn of(args: &RunArgs, given: Given) -> Result<Self, Usage> {
        if args.sandbox == SandboxOption::Netns && !args.kernel.is_empty() {
            return refused(
                "--kernel names a guest's kernel and --sandbox netns has none: leave one of the two out",
            );
        }
        if args.deterministic {
            icount::check(args)?;
        }
        if args.no_sweep && args.services.len() > 1 {
            return refused(
                "--no-sweep goes with one number of --services; a list is measured exactly",
            );
        }
        let imported = args.imported.as_deref();
        let endpoints = match imported {
            Some(imported) => vec![
                imported
                    .endpoints()
                    .div_ceil(imported.kinds().len() as u32)
                    .max(1),
            ],
            None => ascending(&args.endpoints),
        };
        let sizes = match args.services.as_slice() {
            _ if let Some(imported) = imported => vec![imported.kinds().len() as u32],
            [one] if is_swept(args) => endpoints.iter().fold(sweep(*one), |sizes, endpoints| {
                with_a_line(sizes, |n| args.large_cluster.at(n, *endpoints))
            }),
            list => ascending(list),
        };
        let repetitions = match () {
            () if args.deterministic => icount::SEEDS,
            () if args.until_decided => *LOOKS.last().expect("there are looks"),
            () => REPETITIONS,
        };
        Ok(Self {
            given,
            variants: Vec::new(),
            setup: Setup {
                sysctls: args.sysctl.iter().cloned().collect(),
                tools: args.tool.iter().cloned().collect(),
                suite: None,
            },
            modes: ordered(&args.modes, Mode::ALL),
            nodes: args.families.nodes(),
            mixes: mixes(args),
            min_sync_periods_ms: each_once(&args.min_sync_period),
            scenarios: match args.deterministic {
                true => icount::scenarios(asked_for(&args.scenarios), args),
                false => asked_for(&args.scenarios),
            },
            request: Request {
                positions: match args.positions.as_slice() {
                    [] if args.deterministic => icount::POSITIONS.to_vec(),
                    named => ordered(named, Position::ALL),
                },
                protocols: match imported {
                    Some(imported) => imported.protocols(),
                    None => ordered(&args.protocols, Protocol::ALL),
                },
                transports: each_once(&args.transports),
                engines: ordered(&args.engines, Engine::ALL),
                chosen: args.chosen.clone(),
                mix: Mix::default(),
                imported: None,
                large_cluster: match imported {
                    Some(imported) => args.large_cluster.of(imported.endpoints()),
                    None => args.large_cluster,
                },
                kube_proxy: match args.kube_proxy.as_slice() {
                    [] => vec![KubeProxyVersion::default()],
                    named => each_once(named),
                },
                flows: args.flows.unwrap_or(FLOWS),
                brief: false,
                counted: false,
                largest: sizes.last().copied().unwrap_or_default(),
            },
            sizes,
            endpoints,
            repetitions: args.repetitions.unwrap_or(repetitions),
            control: !args.no_control && !args.deterministic,
            args: args.clone(),
        })
    }

    /// The stays' modes as they are programmed, whatever they are measured on.
    pub(crate) fn cases(&self) -> Vec<Case> {
        self.cases_in(&PlannedEnvironment::host())
    }

    /// The same of what is measured in an environment.
    pub(crate) fn cases_in(&self, environment: &PlannedEnvironment) -> Vec<Case> {
        Plan::new(self, std::slice::from_ref(environment), &Machine::default()).cases()
    }

    /// What counted guests are asked: by itself where instructions are all that is asked for; else what
    /// [`icount::beside`] leaves of what is timed.
    pub(crate) fn counted(&self) -> Self {
        match self.args.deterministic {
            true => self.clone(),
            false => icount::beside(self),
        }
    }

    /// Whether no scenario is left of it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.scenarios.is_empty()
    }

    fn check(&self) -> Result<(), Usage> {
        let asks_packets = self.scenarios.contains(&ScenarioKind::FirstPacket);
        if self.request.chosen.cache == Cache::Cold && !asks_packets {
            return refused(
                "--cache cold empties caches between first packets, and first-packet is not among --scenarios: add it or leave --cache cold out",
            );
        }
        let mut unread = self.request.chosen.read_by_one();
        if let Some((name, scenario)) = unread.find(|(_, by)| !self.scenarios.contains(by)) {
            return refused(format!(
                "{name} is for scenario {scenario}, which is not among --scenarios: add it or leave {name} out"
            ));
        }
        let (smallest, protocols) = (self.sizes[0] as usize, self.request.protocols.len());
        if smallest < protocols {
            return refused(format!(
                "--services {smallest} is fewer than the protocols asked for; add --protocols tcp or raise --services"
            ));
        }
        self.check_service_types()?;
        self.check_transports()?;
        self.check_room()?;
        self.check_flows_of_node()?;
        self.check_scale_down()?;
        let by_node = self.request.chosen.paths.contains(&PacketPath::Node);
        if self.args.plant.is_some() && by_node {
            return refused(
                "--plant counts the packets that cross its rules at prerouting, and those of --paths node do not: leave one of the two out",
            );
        }
        if self.args.damage.is_some() && (smallest < 2 * protocols || self.endpoints[0] < 2) {
            return refused(
                "--damage needs at least two services of each protocol and two endpoints",
            );
        }
        if let Some(tool) = self.setup.tools.keys().find(|tool| !self.starts(tool)) {
            return refused(format!(
                "--tool {tool}: nothing that is asked starts {tool}: see --modes, --transports and --engines"
            ));
        }
        self.check_suites()?;
        let cleans = self.scenarios.contains(&ScenarioKind::ConntrackClean);
        if cleans && self.setup.sysctls.contains_key(TRACKED_S.0) {
            return refused(format!(
                "--sysctl {}: conntrack-clean sets it itself, so that no flow is forgotten before it looks: leave one of the two out",
                TRACKED_S.0
            ));
        }
        let commented =
            |case: &Case| facts(case.mode).comments && case.transport != Transport::KubeProxy;
        if self.args.large_cluster != LargeCluster::Auto && !self.cases().iter().any(commented) {
            return refused(
                "--large-cluster: nothing that is asked has endpoint comments of ours (a real kube-proxy has them as it sees fit): leave it out, or add an iptables mode",
            );
        }
        let mut leaving = self.args.leaving.iter();
        if let Some(mode) = leaving.find(|mode| mode.is_floor() || !self.modes.contains(mode)) {
            let why = match mode.is_floor() {
                true => "it serves no services: name the mode that yours are served by",
                false => "--modes leaves it out, so that nothing would stand beside the others",
            };
            return refused(format!("--leaving {mode}: {why}"));
        }
        let raised = |case: &Case| self.raises(case.mode, case.transport);
        if self.args.maxelem == Maxelem::Raised && !self.cases().iter().any(raised) {
            return refused(
                "--maxelem raised: nothing that is asked makes kube-proxy's sets (ours in mode ipvs do; a real kube-proxy's hold what it sees fit): leave it out, or add mode ipvs",
            );
        }
        let real = self.request.transports.contains(&Transport::KubeProxy);
        if real && !self.setup.tools.contains_key("kube-proxy") {
            return refused(
                "--transports kube-proxy needs the program: --tool kube-proxy=PATH (`scripts/kube-proxy 1.37` builds one and prints its path)",
            );
        }
        if !self.args.kube_proxy.is_empty() && self.layouts().is_empty() {
            return refused(
                "--kube-proxy: nothing that is asked has rules of ours in a layout of kube-proxy's (a real one has those of its own version): leave it out, or see --modes and --transports",
            );
        }
        let of_floors = |kind: &ScenarioKind| {
            matches!(kind.row().topic, Topic::Packets | Topic::Lists)
                || *kind == ScenarioKind::EmptyUpdate
        };
        let asks_floors = self.scenarios.iter().any(of_floors);
        if self.modes.iter().all(|m| m.is_floor()) && !asks_floors {
            return refused(
                "the floors none and conntrack have no control plane: ask for first-packet or another scenario of packets, or empty-update, or add a mode",
            );
        }
        if self.cases().is_empty() {
            return refused(
                "nothing would be measured: none of the --modes is asked any of the --scenarios (idle and conntrack-clean are asked of kube-proxy's own modes, conntrack-clean where there are UDP services): add a mode, a protocol or a scenario",
            );
        }
        Ok(())
    }

    /// Each kind of services is named once, and is no floor's.
    fn check_service_types(&self) -> Result<(), Usage> {
        let named = &self.args.service_types;
        let mut twice = named.iter().enumerate();
        if let Some((_, word)) = twice.find(|(at, word)| named[..*at].contains(word)) {
            return refused(format!(
                "--service-types names {word} twice: each type is measured by itself, once; for shares of one population see --mix"
            ));
        }
        let mix = self.args.mix.as_ref();
        if let Some(single) = mix.and_then(Mix::single) {
            return refused(format!(
                "--mix {single} is one type: say --service-types {single}, or give further types their shares, as in cluster-ip=60,node-port=40"
            ));
        }
        let is_named = !named.is_empty() || mix.is_some();
        if is_named && self.modes.iter().all(|mode| mode.is_floor()) {
            return refused(
                "--service-types and --mix: the floors none and conntrack have no services: add a mode, or leave them out",
            );
        }
        Ok(())
    }

    /// What `--tools` covers is named by no other option.
    fn check_suites(&self) -> Result<(), Usage> {
        if self.args.tools.is_empty() {
            return Ok(());
        }
        if self.modes.iter().all(|mode| mode.is_floor()) {
            return refused(
                "--tools: the floors none and conntrack are not asked what tools cost: add a mode, or leave it out",
            );
        }
        let mut replaced = self.setup.tools.keys();
        if let Some(tool) = replaced.find(|tool| *tool != KUBE_PROXY.0) {
            return refused(format!(
                "--tool {tool} and --tools name two programs for one tool: leave one of the two out"
            ));
        }
        let covered = [SBIN, LIBRARIES].map(|folder| Path::new("/").join(folder));
        let covers = |file: &&PathBuf| covered.iter().any(|folder| file.starts_with(folder));
        if let Some(program) = self.setup.tools.get(KUBE_PROXY.0).filter(covers) {
            return refused(format!(
                "--tool kube-proxy={}: over its folder --tools mounts that of the suite: put it elsewhere",
                program.display()
            ));
        }
        let cache = Suites::of_user();
        let below = |folder: &&&str| cache.folder().starts_with(folder);
        match HIDDEN.iter().find(below) {
            Some(folder) => refused(format!(
                "--tools: the cache {} is below {folder}, of which stays have their own: set XDG_CACHE_HOME to another place",
                cache.folder().display()
            )),
            None => Ok(()),
        }
    }

    /// Each transport programs a mode, and each mode has one.
    fn check_transports(&self) -> Result<(), Usage> {
        for transport in &self.request.transports {
            let programs = |m: &Mode| !m.is_floor() && facts(*m).has(*transport);
            if !self.modes.iter().any(programs) {
                return refused(format!(
                    "--transports {transport}: no requested mode can be programmed that way"
                ));
            }
        }
        if let Some(mode) = self.modes.iter().find(|m| self.transports(**m).is_empty()) {
            let can: Vec<&str> = facts(*mode).transports().map(|t| t.name()).collect();
            return refused(format!(
                "--transports leaves no way to program mode {mode}: add {} or leave the mode out with --modes",
                can.join(" or ")
            ));
        }
        Ok(())
    }

    /// The address plan and each mode's layout have room for the services, and for those that are added.
    fn check_room(&self) -> Result<(), Usage> {
        let largest = self.request.largest;
        if let Some(stride) = self.args.vip_stride {
            let families = self.nodes.iter().flat_map(|node| node.families());
            let most = families.map(|family| most_with_stride(*family, stride));
            let most = most.min().unwrap_or(0).saturating_sub(ADDED_SERVICES);
            if largest > most {
                return refused(format!(
                    "--services {largest}: with --vip-stride {stride} the service range has room for {most}: lower one of the two"
                ));
            }
        }
        for endpoints in &self.endpoints {
            let most = most_with_endpoints(*endpoints);
            if largest > most {
                return refused(format!(
                    "--services {largest} --endpoints {endpoints}: more addresses than the plan holds, which has room for {most} services of so many endpoints: lower one of the two"
                ));
            }
        }
        for mix in &self.mixes {
            let protocols = self.request.protocols.len();
            let most = most_with_node_ports(mix.cycle(), protocols).unwrap_or(u32::MAX);
            if largest > most {
                return refused(format!(
                    "--services {largest}: node ports are {} to {}, {MAX_NODE_PORTS} of each protocol, and of {} that is room for {most} beside {ADDED_SERVICES} additions; lower --services or leave the type out",
                    NODE_PORTS.start(),
                    NODE_PORTS.end(),
                    mix.words(),
                ));
            }
        }
        for mode in &self.modes {
            let most = facts(*mode).most_services.unwrap_or(u32::MAX);
            if largest > most.saturating_sub(ADDED_SERVICES) {
                return refused(format!(
                    "--services {largest}: mode {mode} has marks for {most} services, {ADDED_SERVICES} of them kept for additions; ask for at most {} or leave the mode out with --modes",
                    most - ADDED_SERVICES
                ));
            }
        }
        Ok(())
    }

    /// The node has a port for each first packet that it sends.
    fn check_flows_of_node(&self) -> Result<(), Usage> {
        let plan = Plan::new(self, &[PlannedEnvironment::host()], &Machine::default());
        for spec in plan.stays.iter().map(|stay| &stay.spec) {
            if let Some(most) = most_flows_of_node(spec).filter(|most| spec.flows > *most) {
                return refused(format!(
                    "--flows {}: the node has one address, whose ports are enough for {most} flows in each cell of a stay by --paths node: lower --flows, or name fewer --positions",
                    spec.flows
                ));
            }
        }
        Ok(())
    }

    /// A scale-down that was named takes endpoints of somebody.
    fn check_scale_down(&self) -> Result<(), Usage> {
        let scale_down = Scenarios::One(ScenarioKind::ScaleDown);
        let left = self.request.chosen.scaled_to.iter().min();
        let Some(left) = left.filter(|_| self.args.scenarios.contains(&scale_down)) else {
            return Ok(());
        };
        let most = self.endpoints.last().copied().unwrap_or_default();
        match &self.args.imported {
            Some(imported) if imported.with_more_than(*left) == 0 => refused(format!(
                "--scenarios scale-down: no service of --population has more endpoints than the {left} that --scaled-to leaves it"
            )),
            None if most <= *left => refused(format!(
                "--scenarios scale-down: --scaled-to {left} leaves services every endpoint that --endpoints {most} gives them: lower it, as in --scaled-to 0, or raise --endpoints"
            )),
            _ => Ok(()),
        }
    }

    /// Versions of kube-proxy after which rules are laid out.
    pub(crate) fn layouts(&self) -> BTreeSet<KubeProxyVersion> {
        let cases = self.cases().into_iter();
        cases.filter_map(|case| case.kube_proxy).collect()
    }

    /// Whether anything that is asked starts the tool: a mode as it is programmed, or kube-proxy's way of an update.
    fn starts(&self, tool: &str) -> bool {
        let as_kube_proxy = |kind: &ScenarioKind| {
            *kind == ScenarioKind::Idle || kind.ask(Metric::SyncTime).is_some()
        };
        let updates = self.scenarios.iter().any(as_kube_proxy);
        let by_mode = |case: &Case| case.tools().iter().any(|(name, _)| *name == tool);
        let by_sync = |mode: &Mode| facts(*mode).sync_tools.contains(&tool);
        let reads = self.scenarios.contains(&ScenarioKind::Listing);
        let by_reader = |mode: &Mode| {
            let mut readers = facts(*mode).readers.iter();
            readers.any(|reader| reader.row().program == Some(tool))
        };
        self.cases().iter().any(by_mode)
            || updates && self.modes.iter().any(by_sync)
            || reads && self.modes.iter().any(by_reader)
    }

    /// Whether the sets of a mode that is programmed that way hold more entries than kube-proxy's.
    pub(crate) fn raises(&self, mode: Mode, transport: Transport) -> bool {
        self.args.maxelem == Maxelem::Raised && makes_sets(mode, transport)
    }

    /// Engines in which a mode is measured: only ipset's rules go through either.
    pub(super) fn engines(&self, mode: Mode) -> Vec<Option<Engine>> {
        match facts(mode).engines {
            [] => vec![None],
            _ => self.request.engines.iter().copied().map(Some).collect(),
        }
    }

    /// Versions of kube-proxy whose layouts of a mode are measured: of each layout one, the newest; none where kube-proxy
    /// has no such mode or a real one writes the rules.
    pub(super) fn versions(&self, asked: Asked) -> Vec<Option<KubeProxyVersion>> {
        let named = self.request.kube_proxy.iter();
        let layouts = named.filter_map(|version| facts(asked.mode).layout(*version));
        let newest: BTreeSet<_> = layouts.map(|layout| layout.last).collect();
        match asked.transport {
            Transport::KubeProxy => vec![None],
            _ if newest.is_empty() => vec![None],
            _ => newest.into_iter().map(Some).collect(),
        }
    }

    /// Suites that were named, of all sides: without the tools that are installed.
    pub(crate) fn named_suites(&self) -> BTreeSet<String> {
        let named = self.sides().iter().flat_map(|side| &side.args.tools);
        named.filter(|name| *name != INSTALLED).cloned().collect()
    }

    /// Suites with whose tools a mode is measured; none: those that are installed. A floor is the same with all.
    pub(super) fn suites(&self, mode: Mode) -> Vec<Option<Suite>> {
        let named = self.args.tools.iter();
        let suites = named.map(|name| match name.as_str() {
            INSTALLED => None,
            name => Some(Suite {
                name: name.to_owned(),
                root: Suites::of_user().place(name),
            }),
        });
        match self.args.tools.is_empty() || mode.is_floor() {
            true => vec![None],
            false => each_once(&suites.collect::<Vec<_>>()),
        }
    }

    /// What the services of a mode are, each measured by itself. A floor has none.
    pub(super) fn mixes_of(&self, mode: Mode) -> Vec<Mix> {
        match mode.is_floor() {
            true => vec![Mix::default()],
            false => self.mixes.clone(),
        }
    }

    /// Transports in which a mode is measured.
    pub(super) fn transports(&self, mode: Mode) -> Vec<Transport> {
        let (can, named) = (facts(mode), self.request.transports.iter().copied());
        if self.request.transports.is_empty() || mode.is_floor() {
            return vec![can.ordinary()];
        }
        named.filter(|t| can.has(*t)).collect()
    }
}

fn is_swept(args: &RunArgs) -> bool {
    args.imported.is_none() && args.services.len() == 1 && !args.no_sweep && !args.deterministic
}

/// The scenarios of a run: those of an ordinary one when nothing was named.
fn asked_for(words: &[Scenarios]) -> Vec<ScenarioKind> {
    let named = |kind: &ScenarioKind| {
        words.contains(&Scenarios::All)
            || words.contains(&Scenarios::One(*kind))
            || words.is_empty() && kind.row().in_default_run
    };
    ScenarioKind::ALL.iter().copied().filter(named).collect()
}

/// What services are: each type that was named, in the vocabulary's order, and the mix; ClusterIPs when neither was.
fn mixes(args: &RunArgs) -> Vec<Mix> {
    let named = |service_type: &&ServiceType| args.service_types.contains(service_type);
    let types = ServiceType::ALL.iter().filter(named);
    let mut mixes: Vec<Mix> = types.copied().map(Mix::of).collect();
    mixes.extend(args.mix.clone());
    let imported = args.imported.iter();
    mixes.extend(imported.map(|imported| Mix::of_population(imported.hash())));
    if mixes.is_empty() {
        mixes.push(Mix::default());
    }
    mixes
}

/// Numbers by their size, each once.
fn ascending(named: &[u32]) -> Vec<u32> {
    let each: BTreeSet<u32> = named.iter().copied().collect();
    each.into_iter().collect()
}

/// In the order in which they were named.
fn each_once<T: Clone + PartialEq>(named: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for value in named {
        if !once.contains(value) {
            once.push(value.clone());
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
