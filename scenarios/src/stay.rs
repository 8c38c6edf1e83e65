//! A stay: one process, one lab, one population, prepared and proved once, then its cells.
//!
//! What a stay says is in [`crate::spec::Event`]s; it never decides about other stays.

use std::process::Command;

use netns_harness::datapath::{
    Batch, Damage, Datapath, Engine, KubeProxySync, RenderOptions, Transport, needs_forced_buffers,
    with_engine,
};
use netns_harness::lab::{Lab, Pinning};
use netns_harness::meters;
use netns_harness::service::Population;
use netns_harness::traffic::Client;
use netns_sys::clock;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use schema::{Metric, Options, Outcome, Stage};

use crate::population::Recipe;
use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::{CellError, Needs};
use crate::spec::{CellOutcome, CellSpec, Event, StaySpec};

/// A stay in progress: what a scenario works with.
pub struct Stay<'a> {
    /// What was asked.
    pub spec: &'a StaySpec,
    /// The datapath of its mode.
    pub datapath: &'a dyn Datapath,
    /// Its lab.
    pub lab: &'a Lab,
    /// Its client.
    pub client: Client<'a>,
    /// The population that is (or, in a stay of its own, will be) installed.
    pub population: &'a Population,
    /// Randomness of this stay.
    pub rng: Xoshiro256PlusPlus,
    /// Where events go.
    pub emit: &'a dyn Fn(Event),
    /// Step of the clock, nanoseconds.
    pub clock_step_ns: u64,
    /// CPUs to go back to after traffic.
    pub(crate) cpus: Vec<usize>,
}

impl Stay<'_> {
    /// How services beyond the population are made.
    #[must_use]
    pub fn recipe(&self) -> Recipe<'_> {
        recipe(self.spec)
    }

    /// The transport of the stay.
    ///
    /// # Errors
    /// It has no such transport.
    pub fn transport(&self) -> Result<Transport, CellError> {
        transport(self.spec)
    }

    /// How a cell's batches are rendered.
    ///
    /// # Errors
    /// The stay has no such transport.
    pub fn render_options(&self, options: &Options) -> Result<RenderOptions, CellError> {
        Ok(RenderOptions {
            transport: self.transport()?,
            large_cluster: options.get("large_cluster").is_none_or(|v| v == "on"),
            chunk: options.get("chunk").and_then(|c| c.parse().ok()),
            untimed: false,
            resync: false,
        })
    }

    /// Makes a change untimed, and samples the largest resident set of the tools that made it. Following
    /// a tool to its exit costs it time, so a change is either weighed or timed.
    ///
    /// # Errors
    /// The kernel or the tool refused.
    pub fn weigh(
        &self,
        from: &Population,
        to: &Population,
        options: &RenderOptions,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let batch = self.datapath.render(Some(from), to, options);
        let peak = self.lab.on_node(|| {
            let (applied, peak) = netns_sys::process::weighing(|| self.datapath.apply(&batch));
            applied.map(|_| peak)
        })?;
        if let Some(bytes) = peak {
            recorder.sample(Metric::ToolRss, bytes);
        }
        Ok(())
    }

    /// Makes a change as kube-proxy would, and samples what its read-back and the apply took together; without
    /// a sample where the mode has no counterpart in kube-proxy.
    ///
    /// # Errors
    /// The kernel or a tool refused.
    pub fn sync_sampled(
        &self,
        from: &Population,
        to: &Population,
        options: &RenderOptions,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let Some(sync) = self.datapath.kube_proxy_sync(to) else {
            let batch = self.datapath.render(Some(from), to, options);
            self.lab.on_node(|| self.datapath.apply(&batch))?;
            return Ok(());
        };
        if let Some(why) = self.sync_refused(&sync)? {
            recorder.fact("sync_time", format!("unsupported: {why}"));
            let batch = self.datapath.render(Some(from), to, options);
            self.lab.on_node(|| self.datapath.apply(&batch))?;
            return Ok(());
        }
        let options = RenderOptions {
            transport: sync.transport,
            ..*options
        };
        let batch = self.datapath.render(Some(from), to, &options);
        let mut commands: Vec<Command> = sync.read_back.iter().map(|w| command(w)).collect();
        (self.emit)(Event::Act { begins: true });
        let done = self.lab.on_node(|| {
            // The timed section: what kube-proxy reads back, then the change.
            let start = clock::now();
            self.datapath.ask_as_kube_proxy(from)?;
            for command in &mut commands {
                read_back(command)?;
            }
            let applied = self.datapath.apply(&batch);
            let elapsed_ns = start.elapsed_ns();
            applied.map(|_applied| elapsed_ns)
        });
        (self.emit)(Event::Act { begins: false });
        recorder.sample(Metric::SyncTime, done?);
        let read: Vec<String> = sync.read_back.iter().map(|w| w.join(" ")).collect();
        recorder.fact("kube_proxy_version", sync.version);
        recorder.fact("kube_proxy_read_back", read.join("; "));
        recorder.fact("kube_proxy_transport", sync.transport);
        Ok(())
    }

    /// Why kube-proxy's way of an update cannot be measured here; the update itself may be, another way.
    fn sync_refused(&self, sync: &KubeProxySync) -> Result<Option<String>, CellError> {
        let needs_root = needs_forced_buffers(self.spec.mode, sync.transport, engine(self.spec)?);
        if let Some(why) = needs_root.filter(|_| !netns_sys::isolation::forces_buffers()) {
            return Ok(Some(why.to_owned()));
        }
        let sends = (sync.transport == Transport::Nft).then_some("nft");
        let missing = sync
            .read_back
            .iter()
            .filter_map(|words| words.first().map(String::as_str))
            .chain(sends)
            .find(|program| !netns_sys::process::installed(program));
        Ok(missing.map(|program| format!("{program} is not installed")))
    }

    /// Applies a batch in the node's namespace and samples what it took: time, processor time
    /// and what was sent.
    ///
    /// # Errors
    /// The kernel or the tool refused.
    pub fn apply_sampled(&self, batch: &Batch, recorder: &mut Recorder) -> Result<(), CellError> {
        (self.emit)(Event::Act { begins: true });
        let done = self.lab.on_node(|| {
            // The timed section: the batch is rendered, encoded and counted; the kernel's answer ends it.
            let start = clock::now();
            let applied = self.datapath.apply(batch);
            let elapsed_ns = start.elapsed_ns();
            applied.map(|applied| (elapsed_ns, applied.user_ns, applied.system_ns))
        });
        (self.emit)(Event::Act { begins: false });
        let (elapsed_ns, user_ns, system_ns) = done?;
        recorder.sample(Metric::UpdateTime, elapsed_ns);
        // The scheduler accounts in ticks of the clock, which are millions of instructions.
        if !self.spec.counted {
            recorder.sample(Metric::UserTime, user_ns);
            recorder.sample(Metric::SystemTime, system_ns);
            recorder.sample(Metric::CpuTime, user_ns + system_ns);
        }
        recorder.sample(Metric::Operations, batch.operations());
        recorder.sample(Metric::Messages, batch.messages());
        recorder.sample(Metric::BytesSent, batch.bytes());
        Ok(())
    }

    /// Renders a batch and samples how long that took.
    pub fn render_sampled(
        &self,
        from: Option<&Population>,
        to: &Population,
        options: &RenderOptions,
        recorder: &mut Recorder,
    ) -> Batch {
        let start = clock::now();
        let batch = self.datapath.render(from, to, options);
        recorder.sample(Metric::RenderTime, start.elapsed_ns());
        batch
    }

    /// The kernel's listing must be `population`.
    ///
    /// # Errors
    /// The first differences.
    pub fn census(&self, population: &Population) -> Result<usize, CellError> {
        let listed = self
            .lab
            .on_node(|| self.datapath.census())
            .map_err(|e| CellError::at(Stage::Proof, e))?;
        proof::census(&listed, population, self.spec.mode)
    }

    /// Where the kernel walks a list, it must walk the services in population order: position is a
    /// question of ours.
    ///
    /// # Errors
    /// The first place where the order differs.
    pub fn check_order(&self) -> Result<(), CellError> {
        let listed = self
            .lab
            .on_node(|| self.datapath.order())
            .map_err(|e| CellError::at(Stage::Proof, e))?;
        let Some(listed) = listed else { return Ok(()) };
        let wanted = self.population.services.iter().map(|s| s.frontend);
        match wanted
            .zip(&listed)
            .position(|(wanted, listed)| wanted != *listed)
        {
            None if listed.len() == self.population.len() => Ok(()),
            at => Err(CellError::at(
                Stage::Proof,
                format!(
                    "the kernel walks {} services, not in population order from place {}",
                    listed.len(),
                    at.unwrap_or(listed.len().min(self.population.len()))
                ),
            )),
        }
    }

    /// Probes the population; notes what was seen.
    ///
    /// # Errors
    /// No answer, a wrong answer, or an uneven spread.
    pub fn probe(&mut self, recorder: &mut Recorder) -> Result<(), CellError> {
        let _pinned = self.pin()?;
        let probed = proof::probe(
            self.spec.mode,
            self.population,
            &self.spec.protocols,
            &mut self.client,
            &mut self.rng,
        )?;
        recorder.fact("proof_services", probed.services);
        recorder.fact("proof_flows", probed.flows);
        recorder.fact("spread_p", format!("{:.3e}", probed.spread_p));
        Ok(())
    }

    /// Pins the calling thread to the client's CPU until the guard is dropped. Tools started meanwhile
    /// would inherit it, so it is held around traffic only.
    ///
    /// # Errors
    /// `sched_setaffinity(2)`.
    pub fn pin(&self) -> Result<Pinned, CellError> {
        netns_sys::thread::pin(self.lab.pinning.client)
            .map_err(|e| CellError::at(Stage::Lab, format!("pin the client's thread: {e}")))?;
        Ok(Pinned {
            cpus: self.cpus.clone(),
        })
    }

    /// Breaks the datapath as the user asked, through the reference tools.
    ///
    /// # Errors
    /// A tool refused: the datapath may be whole, so nothing may be concluded.
    pub fn damage(&self) -> Result<(), CellError> {
        let Some(name) = &self.spec.damage else {
            return Ok(());
        };
        let failed =
            |why: String| CellError::at(Stage::Preparation, format!("damage {name}: {why}"));
        let damage = Damage::ALL
            .into_iter()
            .find(|d| d.name() == name)
            .ok_or_else(|| failed("no such damage".to_owned()))?;
        let protocol = self.spec.protocols[0];
        let mut pair = self
            .population
            .services
            .iter()
            .filter(|s| s.frontend.protocol == protocol);
        let (Some(a), Some(b)) = (pair.next(), pair.next()) else {
            return Err(failed("needs two services of one protocol".to_owned()));
        };
        for words in self.datapath.damage(damage, a, b) {
            let mut command = command(&words);
            let done = self
                .lab
                .on_node(|| {
                    netns_sys::process::run(&mut command, b"").map_err(|e| {
                        netns_harness::HarnessError::system(format!("start {}", words[0]), e)
                    })
                })
                .map_err(|e| failed(e.to_string()))?;
            if !done.status.success() {
                return Err(failed(format!(
                    "{}: {}",
                    words.join(" "),
                    String::from_utf8_lossy(&done.stderr).trim()
                )));
            }
        }
        Ok(())
    }

    /// Removes everything and sees that nothing is left.
    ///
    /// # Errors
    /// A removal failed, or the kernel still lists something.
    pub fn teardown(&self) -> Result<(), CellError> {
        let errors = self.lab.on_node(|| Ok(self.datapath.teardown()))?;
        if !errors.is_empty() {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(CellError::at(Stage::Teardown, all.join("; ")));
        }
        let left = self.lab.on_node(|| self.datapath.leftovers())?;
        match left {
            None => Ok(()),
            Some(left) => Err(CellError::at(
                Stage::Teardown,
                format!("after the teardown the kernel lists {left}"),
            )),
        }
    }
}

/// A tool's command line, with the stay's own xtables lock.
fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env("XTABLES_LOCKFILE", "/run/xtables.lock");
    command
}

/// Runs a listing of kube-proxy's, and takes its output.
fn read_back(command: &mut Command) -> Result<(), netns_harness::HarnessError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = netns_sys::process::run(command, b"")
        .map_err(|e| netns_harness::HarnessError::system(format!("start {name}"), e))?;
    if done.status.success() {
        return Ok(());
    }
    Err(netns_harness::HarnessError::Tool {
        tool: name,
        status: done.status.to_string(),
        stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}

/// While it lives, the thread that made it is pinned.
#[derive(Debug)]
#[must_use = "the thread is let go when this is dropped"]
pub struct Pinned {
    cpus: Vec<usize>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // These CPUs were allowed a moment ago; if they no longer are, the kernel has moved the thread.
        let _ = netns_sys::thread::unpin(&self.cpus);
    }
}

fn recipe(spec: &StaySpec) -> Recipe<'_> {
    Recipe {
        seed: spec.seed,
        endpoints: spec.endpoints,
        protocols: &spec.protocols,
        vip_stride: spec.vip_stride,
    }
}

fn transport(spec: &StaySpec) -> Result<Transport, CellError> {
    Transport::from_name(&spec.transport).ok_or_else(|| {
        CellError::at(
            Stage::Preparation,
            format!("unknown transport '{}'", spec.transport),
        )
    })
}

fn engine(spec: &StaySpec) -> Result<Engine, CellError> {
    spec.engine
        .as_deref()
        .map_or(Some(Engine::default()), Engine::from_name)
        .ok_or_else(|| {
            let name = spec.engine.as_deref().unwrap_or_default();
            CellError::at(Stage::Preparation, format!("unknown engine '{name}'"))
        })
}

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

fn phase(emit: &dyn Fn(Event), name: &str) {
    emit(Event::Phase {
        phase: name.to_owned(),
    });
}

fn carry_out(spec: &StaySpec, emit: &dyn Fn(Event)) -> Result<(), CellError> {
    let forced = netns_sys::isolation::forces_buffers();
    let refused = needs_forced_buffers(spec.mode, transport(spec)?, engine(spec)?);
    if let Some(reason) = refused.filter(|_| !forced) {
        for cell in &spec.cells {
            emit(Event::Ended(unsupported(cell, reason)));
        }
        emit(Event::Closed);
        return Ok(());
    }
    let datapath = with_engine(spec.mode, engine(spec)?);
    let population = recipe(spec).population(spec.services);
    let clock_step_ns = clock::step_ns();
    let empty = spec
        .cells
        .iter()
        .any(|c| crate::scenario(c.scenario).needs() == Needs::Empty);
    phase(emit, "lab");
    let at_lab = |e: netns_harness::HarnessError| CellError::at(Stage::Lab, e);
    let lab = Lab::build(Pinning::choose().map_err(at_lab)?).map_err(at_lab)?;
    let cpus = netns_sys::thread::allowed_cpus().map_err(|e| CellError::at(Stage::Lab, e))?;
    let mut stay = Stay {
        spec,
        datapath: &*datapath,
        lab: &lab,
        client: Client::new(&lab),
        population: &population,
        // The shuffle of cells and blocks is the planner's; this is for probes and uniform positions.
        rng: Xoshiro256PlusPlus::seed_from_u64(
            spec.seed ^ (u64::from(spec.stay) << 32) ^ 0x7374_6179,
        ),
        emit,
        clock_step_ns,
        cpus,
    };
    let mut proved = Recorder::default();
    if !empty {
        prepare(&mut stay, &mut proved, emit)?;
    }
    let mut common = proved.into_facts();
    for cell in &spec.cells {
        emit(Event::Started { cell: cell.id });
        let refused = crate::scenario(cell.scenario)
            .needs_root()
            .filter(|_| !forced);
        let ended = match refused {
            Some(reason) => unsupported(cell, reason),
            None => measure(&mut stay, cell, &common),
        };
        if spec.is_joined() && cell.id == spec.cells[0].id {
            // What the install was proved by is what the cells after it rest on.
            common.clone_from(&ended.facts);
            if let Some(reason) = ended.outcome.reason() {
                emit(Event::Ended(ended));
                let reason = format!("the install before it: {reason}");
                return Err(CellError::at(Stage::Preparation, reason));
            }
        }
        emit(Event::Ended(ended));
    }
    phase(emit, "teardown");
    if !empty || spec.is_joined() {
        stay.teardown()?;
    }
    emit(Event::Closed);
    Ok(())
}

/// The fastest proven way to install a population, untimed: the mode's own chunk, halved until every
/// transaction fits what this process may send.
#[must_use]
pub fn preparation(datapath: &dyn Datapath, population: &Population, large_cluster: bool) -> Batch {
    let transport = datapath.transports()[0];
    let largest = datapath.largest_transaction(transport);
    let mut chunk = datapath.preparation_chunk();
    loop {
        let options = RenderOptions {
            transport,
            large_cluster,
            chunk,
            untimed: true,
            resync: false,
        };
        let batch = datapath.render(None, population, &options);
        let longest = batch.transactions.iter().map(|t| t.payload.bytes()).max();
        let services = chunk.unwrap_or(usize::MAX).min(population.len());
        if services <= 1 || largest.is_none_or(|most| longest.unwrap_or(0) <= most) {
            return batch;
        }
        chunk = Some(services / 2);
    }
}

/// Installs the population, untimed, the fastest proven way, and proves it.
fn prepare(
    stay: &mut Stay<'_>,
    recorder: &mut Recorder,
    emit: &dyn Fn(Event),
) -> Result<(), CellError> {
    phase(emit, "preparation");
    let start = clock::now();
    let batch = preparation(stay.datapath, stay.population, stay.spec.large_cluster);
    stay.lab
        .on_node(|| stay.datapath.apply(&batch))
        .map_err(|e| CellError::at(Stage::Preparation, e))?;
    recorder.fact("preparation_ms", start.elapsed_ns() / 1_000_000);
    drop(batch);
    stay.damage()?;
    phase(emit, "proof");
    let services = stay.census(stay.population)?;
    recorder.fact("census_services", services);
    stay.check_order()?;
    stay.probe(recorder)
}

fn unsupported(cell: &CellSpec, reason: &str) -> CellOutcome {
    CellOutcome {
        cell: cell.id,
        outcome: CellError::unsupported(reason).into_outcome(),
        series: Vec::new(),
        facts: std::collections::BTreeMap::new(),
        elapsed_ns: 0,
        steal_ns: 0,
    }
}

fn measure(
    stay: &mut Stay<'_>,
    cell: &CellSpec,
    common: &std::collections::BTreeMap<String, String>,
) -> CellOutcome {
    let (start, steal_before) = (clock::now(), meters::steal_ns());
    let mut recorder = Recorder::default();
    let measured = crate::scenario(cell.scenario)
        .run(stay, &cell.options, &mut recorder)
        .and_then(|()| recorder.finish(stay.clock_step_ns));
    let (outcome, series, mut facts) = match measured {
        Ok((series, facts)) => (Outcome::Measured, series, facts),
        Err(error) => (
            error.into_outcome(),
            Vec::new(),
            std::collections::BTreeMap::new(),
        ),
    };
    facts.extend(common.clone());
    CellOutcome {
        cell: cell.id,
        outcome,
        series,
        facts,
        elapsed_ns: start.elapsed_ns(),
        steal_ns: meters::steal_ns().saturating_sub(steal_before),
    }
}
