//! A stay from its beginning to its end: one process, one lab, one population, prepared and proved once, then
//! its cells.
//!
//! What a stay says is in [`crate::spec::Event`]s; it never decides about other stays.

use std::collections::BTreeMap;

use netns_harness::accounts;
use netns_harness::datapath::{Implementation, needs_forced_buffers, read_back};
use netns_harness::lab::{self, Pinning};
use netns_harness::meters;
use netns_harness::traffic::Client;
use netns_sys::clock;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use schema::{Engine, Metric, OptionKey, Outcome, Stage};

use crate::error::{At as _, CellError, Result};
use crate::node::{Beside, made_lab, no_room, preparation, programmed_as};
use crate::recorder::Recorder;
use crate::scenario::Needs;
use crate::spec::{CellOutcome, CellSpec, Event, StaySpec};
use crate::stay::{Stay, tell};

/// Carries out a stay in the calling process, which must be isolated already. Everything it sees goes to
/// `emit`, in order.
pub fn run_stay(spec: &StaySpec, emit: &dyn Fn(Event)) {
    if let Err(error) = carry_out(spec, emit) {
        emit(Event::Failed {
            stage: error.stage,
            reason: error.reason,
        });
    }
}

fn carry_out(spec: &StaySpec, emit: &dyn Fn(Event)) -> Result {
    netns_sys::tools::replace(spec.setup.tools.clone()).at(Stage::Preparation)?;
    let forced = netns_sys::isolation::forces_buffers();
    let engine = spec.engine.unwrap_or_default();
    let refused = needs_forced_buffers(spec.mode, spec.transport, engine).filter(|_| !forced);
    let refused = refused.map(str::to_owned);
    let declined = |reason: &str| {
        for cell in &spec.cells {
            emit(Event::Ended(unsupported(cell, reason)));
        }
        emit(Event::Closed);
    };
    if let Some(reason) = refused.or_else(|| Some(lab::refused(spec.node())?.reason)) {
        declined(&reason);
        return Ok(());
    }
    let datapath = programmed_as(spec, spec.family)?;
    let population = spec.recipe().population(spec.services);
    if let Some(reason) = datapath.no_layout(&population) {
        declined(reason);
        return Ok(());
    }
    if let Some(reason) = no_room(&*datapath, &population).filter(|_| !spec.raised) {
        declined(&reason);
        return Ok(());
    }
    let beside = Beside::of(spec)?;
    let clock_step_ns = clock::step_ns();
    let is_empty = |cell: &CellSpec| crate::scenario(cell.scenario).needs() == Needs::Empty;
    let empty = spec.cells.iter().any(is_empty);
    let pinning = Pinning::choose().at(Stage::Lab)?;
    let lab = made_lab(spec, pinning, &*datapath, beside.as_ref())?;
    let cpus = netns_sys::thread::allowed_cpus().at(Stage::Lab)?;
    let mut stay = Stay {
        spec,
        datapath: &*datapath,
        lab: &lab,
        beside: beside.as_ref(),
        client: Client::new(&lab),
        population: &population,
        // The shuffle of cells and blocks is the planner's; this is for probes and uniform positions.
        rng: Xoshiro256PlusPlus::seed_from_u64(
            spec.seed ^ (u64::from(spec.stay) << 32) ^ 0x7374_6179,
        ),
        emit,
        clock_step_ns,
        met: false,
        cpus,
    };
    let mut proved = Recorder::default();
    if !empty {
        prepare(&mut stay, &mut proved)?;
    }
    let mut common = proved.into_facts();
    let of_suite = |cell: &CellSpec| cell.options.get(OptionKey::Suite).is_some();
    if spec.cells.iter().any(of_suite) {
        common.insert("tools".to_owned(), tools_told(&*datapath, spec));
    }
    if let Some(beside) = &beside {
        common.insert("beside".to_owned(), beside.words());
    }
    let facts = datapath.facts();
    if facts.either && facts.rules != Some(Engine::default()) {
        common.extend(
            facts
                .rules
                .map(|engine| ("rules_engine".to_owned(), engine.to_string())),
        );
    }
    if facts.accounts {
        // Of two kernels one may have rules that the other has not.
        let counted = if accounts::available() { "on" } else { "off" };
        common.insert("nfacct".to_owned(), counted.to_owned());
    }
    // What was named for this stay, as it reads back.
    let named = &spec.setup.sysctls;
    let pinned = |key: &str| {
        key.split_once(':')
            .is_some_and(|(_, n)| named.contains_key(n))
    };
    common.extend(lab.sysctls().into_iter().filter(|(key, _)| pinned(key)));
    ask(&mut stay, common, forced)?;
    let (driven, ours) = (beside.iter(), beside.iter());
    if !empty || spec.is_joined() {
        for beside in driven.filter(|beside| beside.is_driven()) {
            beside.check(&lab)?;
        }
        stay.teardown()?;
    }
    for beside in ours.filter(|beside| !beside.is_driven()) {
        beside.check(&lab)?;
    }
    emit(Event::Closed);
    Ok(())
}

/// What the tools that are started here say that they are.
fn tools_told(datapath: &dyn Implementation, spec: &StaySpec) -> String {
    let own = datapath.facts().tools(spec.transport).into_iter();
    let names = own.map(|(name, _)| name);
    let readers = spec.cells.iter().filter_map(|cell| cell.options.reader());
    let readers = readers.filter_map(|reader| {
        let words = read_back::command(reader, datapath.facts());
        words.first().copied()
    });
    let mut names: Vec<&str> = names
        .chain(datapath.facts().sync_tools.iter().copied())
        .chain(readers)
        .collect();
    names.sort_unstable();
    names.dedup();
    let said = names.into_iter().map(|name| {
        let mut command = netns_sys::tools::command(name);
        let done = netns_sys::process::run(command.arg("--version"), b"");
        let text = done.map_or_else(
            |e| e.to_string(),
            |done| String::from_utf8_lossy(&done.stdout).trim().to_owned(),
        );
        format!("{name}: {}", text.lines().next().unwrap_or_default())
    });
    said.collect::<Vec<_>>().join("; ")
}

/// Asks the cells of a stay, whose facts `common` are each one's too.
fn ask(stay: &mut Stay<'_>, mut common: BTreeMap<String, String>, forced: bool) -> Result {
    let spec = stay.spec;
    for cell in &spec.cells {
        (stay.emit)(Event::Started { cell: cell.id });
        let needs_root = crate::scenario(cell.scenario).needs_root();
        let ended = match needs_root.filter(|_| !forced) {
            Some(reason) => unsupported(cell, reason),
            None => measure(stay, cell, &common),
        };
        let why = ended.outcome.reason();
        if spec.is_joined() && cell.id == spec.cells[0].id {
            // What the install was proved by is what the cells after it rest on.
            common.extend(ended.facts.clone());
            if let Some(why) = why {
                (stay.emit)(Event::Ended(ended));
                let reason = format!("the install before it: {why}");
                return Err(CellError::at(Stage::Preparation, reason));
            }
        }
        (stay.emit)(Event::Ended(ended));
    }
    Ok(())
}

/// Installs the population, untimed, the fastest proven way, and proves it.
fn prepare(stay: &mut Stay<'_>, recorder: &mut Recorder) -> Result {
    let start = clock::now();
    let batch = preparation(stay.datapath, stay.population, &stay.spec.rendered());
    stay.on_node(Stage::Preparation, || stay.datapath.carry_out(&batch))?;
    recorder.fact("preparation_ms", start.elapsed_ns() / 1_000_000);
    tell(&batch, "preparation");
    drop(batch);
    stay.damage()?;
    let services = stay.census(stay.population)?;
    recorder.fact("census_services", services);
    stay.probe(recorder)
}

fn unsupported(cell: &CellSpec, reason: &str) -> CellOutcome {
    CellOutcome {
        cell: cell.id,
        outcome: CellError::unsupported(reason).into_outcome(),
        series: Vec::new(),
        facts: BTreeMap::new(),
        elapsed_ns: 0,
        steal_ns: None,
        run_delay_ns: None,
    }
}

fn measure(stay: &mut Stay<'_>, cell: &CellSpec, common: &BTreeMap<String, String>) -> CellOutcome {
    let (start, steal_before, waited_before) = (clock::now(), meters::steal_ns(), Waited::of(stay));
    let mut recorder = Recorder::default();
    let measured = crate::plant::run(stay, cell, &mut recorder)
        .and_then(|()| recorder.finish(stay.clock_step_ns));
    let (outcome, series, mut facts) = match measured {
        Ok((series, facts)) => (Outcome::Measured, series, facts),
        Err(error) => (error.into_outcome(), Vec::new(), BTreeMap::new()),
    };
    // What it says of itself goes before what the stay says.
    for (name, said) in common {
        facts.entry(name.clone()).or_insert_with(|| said.clone());
    }
    let sends_packets = series.iter().any(|series| series.metric == Metric::Latency);
    CellOutcome {
        cell: cell.id,
        outcome,
        series,
        facts,
        elapsed_ns: start.elapsed_ns(),
        steal_ns: meters::steal_ns()
            .zip(steal_before)
            .map(|(after, before)| after.saturating_sub(before)),
        run_delay_ns: waited_before.longest_until(&Waited::of(stay), sends_packets),
    }
}

/// How long the threads that measure have waited for a CPU so far, nanoseconds; none where the kernel does not say.
struct Waited {
    /// The client, which applies updates too.
    client: Option<u64>,
    /// The server.
    server: Option<u64>,
    /// Tools that have ended.
    tools: u64,
}

impl Waited {
    fn of(stay: &Stay<'_>) -> Self {
        Self {
            client: netns_sys::thread::run_delay_ns(),
            server: stay.lab.server.run_delay_ns(),
            tools: netns_sys::process::tools_run_delay_ns(),
        }
    }

    /// The longest wait until `later` of what is timed: where packets are sent of client and server, elsewhere of the
    /// client, which applies updates, and its tools.
    fn longest_until(&self, later: &Self, sends_packets: bool) -> Option<u64> {
        let since = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        let client = since(self.client, later.client)?;
        match sends_packets {
            true => Some(client.max(since(self.server, later.server)?)),
            false => Some(client + later.tools.saturating_sub(self.tools)),
        }
    }
}
