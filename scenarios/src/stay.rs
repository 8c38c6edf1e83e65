//! A stay in progress: what a scenario works with, and what every scenario does in the same way.

use std::process::Command;

use netns_harness::HarnessError;
use netns_harness::datapath::{Batch, Implementation, RenderOptions, Sockets};
use netns_harness::lab::Lab;
use netns_harness::meters;
use netns_harness::service::Population;
use netns_harness::tracking;
use netns_harness::traffic::Client;
use netns_sys::clock;
use rand_xoshiro::Xoshiro256PlusPlus;
use schema::{KubeProxyVersion, Metric, Options, Stage};

use crate::error::{At as _, CellError, Result};
use crate::node::{Beside, made_lab};
use crate::proof;
use crate::recorder::Recorder;
use crate::spec::{Event, StaySpec};
use crate::treatments;

/// More flows of a proof than this are forgotten by connection tracking: they would leave no room for those that are
/// measured.
const MANY_FLOWS: usize = 50_000;
/// Where instructions are counted a timed change starts on a multiple of this, nanoseconds: by then kernel threads and
/// callbacks have done what the change before left them, and ticks fall on the same places of equal changes. Sleep
/// costs no time there (docs/deterministic.md).
const REST_NS: u64 = 100_000_000;

/// A stay in progress: what a scenario works with.
pub struct Stay<'a> {
    /// What was asked.
    pub spec: &'a StaySpec,
    /// The datapath of its mode.
    pub datapath: &'a dyn Implementation,
    /// Its lab.
    pub lab: &'a Lab,
    /// The other family's services, where its node serves both.
    pub(crate) beside: Option<&'a Beside>,
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
    /// Whether the lab has seen flows of every protocol until they showed no slope.
    pub(crate) met: bool,
    /// CPUs to go back to after traffic.
    pub(crate) cpus: Vec<usize>,
}

impl Stay<'_> {
    /// The version of kube-proxy whose rules these are: that of the real one, by its minor, or the one that was named.
    pub(crate) fn version(&self) -> KubeProxyVersion {
        let real = self
            .datapath
            .programmer()
            .and_then(|programmer| programmer.version());
        let minor = real.as_deref().and_then(|version| version.rsplit_once('.'));
        let known = minor.and_then(|(minor, _)| minor.parse().ok());
        known.or(self.spec.kube_proxy).unwrap_or_default()
    }

    /// How a cell's batches are rendered.
    #[must_use]
    pub fn render_options(&self, options: &Options) -> RenderOptions {
        RenderOptions {
            chunk: options.chunk().map(|services| services as usize),
            ..self.spec.rendered()
        }
    }

    /// Does something in the node's namespace.
    ///
    /// # Errors
    /// It failed, which `stage` did.
    pub(crate) fn on_node<T>(
        &self,
        stage: Stage,
        act: impl FnOnce() -> Result<T, HarnessError>,
    ) -> Result<T> {
        let staged = |error: HarnessError| match error {
            HarnessError::KubeProxy(_) => CellError::from(error),
            other => CellError::at(stage, other),
        };
        self.lab.on_node(act).map_err(staged)
    }

    /// A lab like the stay's own, fresh: with nothing of the family that is measured.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn another_lab(&self) -> Result<Lab> {
        made_lab(self.spec, self.lab.pinning, self.datapath, self.beside)
    }

    /// Runs `act` in another lab, with a client that has used no flow there.
    pub(crate) fn in_lab<T>(&mut self, lab: &Lab, act: impl FnOnce(&mut Stay<'_>) -> T) -> T {
        let mut other = Stay {
            lab,
            client: Client::new(lab),
            rng: self.rng.clone(),
            met: false,
            cpus: self.cpus.clone(),
            ..*self
        };
        let done = act(&mut other);
        self.rng = other.rng;
        done
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
    ) -> Result {
        let batch = self.datapath.render(Some(from), to, options);
        let peak = self.lab.on_node(|| {
            let (applied, peak) = netns_sys::process::weighing(|| self.datapath.carry_out(&batch));
            applied.map(|_| peak)
        })?;
        if let Some(bytes) = peak {
            recorder.sample(Metric::ToolRss, bytes);
        }
        Ok(())
    }

    /// Makes a change untimed, and samples how often the kernel waited meanwhile. The probes that count cost it
    /// instructions, so a change is either counted so or timed.
    ///
    /// # Errors
    /// The kernel or the tool refused.
    pub(crate) fn waits_sampled(
        &self,
        from: &Population,
        to: &Population,
        options: &RenderOptions,
        recorder: &mut Recorder,
    ) -> Result {
        self.waits_of(&self.datapath.render(Some(from), to, options), recorder)
    }

    /// The same of a batch.
    ///
    /// # Errors
    /// As [`Self::waits_sampled`].
    pub(crate) fn waits_of(&self, batch: &Batch, recorder: &mut Recorder) -> Result {
        let probes = match meters::WaitProbes::set() {
            Ok(probes) => probes,
            Err(why) => {
                recorder.fact("waits", format!("unknown: {why}"));
                return self.carry_out(batch).at(Stage::Measure);
            }
        };
        self.rest()?;
        let before = probes.counts().at(Stage::Measure)?;
        self.carry_out(batch).at(Stage::Measure)?;
        // A worker behind the change may wait, too.
        self.rest()?;
        let waits = probes.counts().at(Stage::Measure)?.since(&before);
        recorder.sample(Metric::Waits, waits.total());
        recorder.fact("waits", waits);
        Ok(())
    }

    /// Rests before a timed change where instructions are counted.
    ///
    /// # Errors
    /// The kernel refuses to sleep.
    pub(crate) fn rest(&self) -> Result {
        if self.spec.counted {
            clock::sleep_to_multiple_of(REST_NS).at(Stage::Measure)?;
        }
        Ok(())
    }

    /// Applies a batch in the node's namespace and samples what it took: time until the kernel's answer, time to
    /// close the sockets that carried it (of netlink, a sample for each of the former), processor time, and what
    /// was sent.
    ///
    /// # Errors
    /// The kernel or the tool refused.
    pub fn apply_sampled(&self, batch: &Batch, recorder: &mut Recorder) -> Result<(), CellError> {
        let kinds = batch.sockets();
        let done = self.timed(
            || Sockets::of(batch),
            |sockets| self.datapath.apply(batch, sockets),
            !kinds.is_empty(),
            recorder,
        )?;
        done?;
        recorder.sample(Metric::Operations, batch.operations());
        recorder.sample(Metric::Messages, batch.messages());
        recorder.sample(Metric::BytesSent, batch.bytes());
        Ok(())
    }

    /// Carries out `act` in the node's namespace on sockets that are open before and closed after, and samples
    /// what it took; `releases`: how long closing them took as well.
    ///
    /// # Errors
    /// A socket cannot be opened, or the operating system's accounting not be read.
    pub(crate) fn timed<T>(
        &self,
        open: impl FnOnce() -> Result<Sockets, HarnessError>,
        act: impl FnOnce(&mut Sockets) -> T,
        releases: bool,
        recorder: &mut Recorder,
    ) -> Result<T, CellError> {
        let Acted {
            done,
            elapsed_ns,
            release_ns,
            used,
        } = self.acted(open, act)?;
        recorder.sample(Metric::UpdateTime, elapsed_ns);
        if releases {
            recorder.sample(Metric::ReleaseTime, release_ns);
        }
        recorder.sample(Metric::VoluntarySwitches, used.voluntary_switches);
        self.processor_sampled(used, recorder);
        Ok(done)
    }

    /// The same, of which nothing is sampled.
    ///
    /// # Errors
    /// As [`Self::timed`].
    pub(crate) fn acted<T>(
        &self,
        open: impl FnOnce() -> Result<Sockets, HarnessError>,
        act: impl FnOnce(&mut Sockets) -> T,
    ) -> Result<Acted<T>, CellError> {
        let mut sockets = self.lab.on_node(open)?;
        self.rest()?;
        (self.emit)(Event::Act { begins: true });
        let done = self.lab.on_node(|| {
            let before = Used::so_far()?;
            // The timed section: the batch is rendered, encoded and counted, the sockets are open; the answer of
            // the kernel or the tool's end closes it.
            let start = clock::now();
            let done = act(&mut sockets);
            let answered = clock::now();
            let used = before.between(start, answered)?;
            // The second: what waits for the kernel to destroy what was replaced.
            let closing = clock::now();
            drop(sockets);
            Ok(Acted {
                done,
                elapsed_ns: start.ns_until(answered),
                release_ns: closing.elapsed_ns(),
                used,
            })
        });
        (self.emit)(Event::Act { begins: false });
        Ok(done?)
    }

    /// Samples what an act used of a processor; where instructions are counted they are processor time already.
    pub(crate) fn processor_sampled(&self, used: Used, recorder: &mut Recorder) {
        if self.spec.counted {
            return;
        }
        recorder.sample(Metric::CpuTime, used.cpu_ns);
        if let Some((user_ns, system_ns)) = used.by_mode() {
            recorder.sample(Metric::UserTime, user_ns);
            recorder.sample(Metric::SystemTime, system_ns);
        }
    }

    /// Makes a change, timed: a batch of ours is rendered and applied; where a real kube-proxy writes the rules it is
    /// told of it.
    ///
    /// # Errors
    /// The kernel, the tool or kube-proxy refused.
    pub(crate) fn change_sampled(
        &self,
        from: Option<&Population>,
        to: &Population,
        options: &RenderOptions,
        recorder: &mut Recorder,
    ) -> Result {
        if let Some(programmer) = self.datapath.programmer() {
            let change = programmer.change(from, to, options.resync);
            return self.told_sampled(programmer, &change, recorder);
        }
        let batch = self.render_sampled(from, to, options, recorder);
        self.apply_sampled(&batch, recorder)
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
        tell(&batch, "timed");
        batch
    }

    /// Applies a batch in the node's namespace, untimed.
    ///
    /// # Errors
    /// The kernel or the tool refused.
    pub(crate) fn carry_out(&self, batch: &Batch) -> Result<(), HarnessError> {
        tell(batch, "untimed");
        self.lab.on_node(|| self.datapath.carry_out(batch))
    }

    /// The kernel's listing must be `population`, and where it walks a list, in population order: position is a
    /// question of ours, and no update may turn the list round.
    ///
    /// # Errors
    /// The first differences, or the first place where the order differs.
    pub fn census(&self, population: &Population) -> Result<usize> {
        let listing = || self.datapath.census_in_order();
        let (listed, walked) = self.on_node(Stage::Proof, listing)?;
        let services = proof::census(&listed, population, self.spec.mode)?;
        proof::order(walked.as_deref(), population, self.spec.mode)?;
        Ok(services)
    }

    /// Probes the population, and where its services are not the ordinary ones sees how flows are treated; notes what was
    /// seen.
    ///
    /// # Errors
    /// No answer, a wrong answer, an uneven spread, or a treatment that is another.
    pub fn probe(&mut self, recorder: &mut Recorder) -> Result {
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
        if probed.flows > MANY_FLOWS && self.datapath.facts().tracks {
            // Where the kernel does not do that, they stay until their time is over, and whoever needs room says so.
            let family = self.lab.family();
            let forgotten = self.lab.on_node(|| tracking::forget(family));
            let said = forgotten.map_or_else(|e| e.to_string(), |()| "yes".to_owned());
            recorder.fact("proof_flows_forgotten", said);
        }
        if self.spec.mix.is_ordinary() || self.spec.mode.is_floor() {
            return Ok(());
        }
        let _spinning = self.lab.server.spin();
        let treatments =
            treatments::check(self.spec, self.version(), self.population, &mut self.client)?;
        recorder.fact("treatments", treatments);
        Ok(())
    }

    /// Pins the calling thread to the client's CPU until the guard is dropped. Tools started meanwhile
    /// would inherit it, so it is held around traffic only.
    ///
    /// # Errors
    /// `sched_setaffinity(2)`.
    pub fn pin(&self) -> Result<Pinned> {
        netns_sys::thread::pin(self.lab.pinning.client)
            .map_err(|e| format!("pin the client's thread: {e}"))
            .at(Stage::Lab)?;
        Ok(Pinned {
            cpus: self.cpus.clone(),
        })
    }

    /// Breaks the datapath as the user asked, through the reference tools.
    ///
    /// # Errors
    /// A tool refused: the datapath may be whole, so nothing may be concluded.
    pub fn damage(&self) -> Result {
        let Some(damage) = self.spec.damage else {
            return Ok(());
        };
        let failed =
            |why: String| CellError::at(Stage::Preparation, format!("damage {damage}: {why}"));
        let protocol = self.spec.protocols[0];
        let services = self.population.services.iter();
        let mut pair = services.filter(|s| s.frontend.protocol == protocol);
        let (Some(a), Some(b)) = (pair.next(), pair.next()) else {
            return Err(failed("needs two services of one protocol".to_owned()));
        };
        self.break_by(self.datapath.damage(damage, a, b))
            .map_err(failed)
    }

    /// Runs command lines that break what is installed.
    ///
    /// # Errors
    /// A tool cannot be started, or refused: as a sentence.
    pub(crate) fn break_by(&self, lines: Vec<Vec<String>>) -> Result<(), String> {
        for words in lines {
            let done = self.lab.on_node(|| {
                netns_sys::process::run(&mut command(&words), b"")
                    .map_err(|e| HarnessError::system(format!("start {}", words[0]), e))
            });
            let done = done.map_err(|e| e.to_string())?;
            if !done.status.success() {
                let said = String::from_utf8_lossy(&done.stderr);
                return Err(format!("{}: {}", words.join(" "), said.trim()));
            }
        }
        Ok(())
    }

    /// Removes everything and sees that nothing is left.
    ///
    /// # Errors
    /// A removal failed, or the kernel still lists something.
    pub fn teardown(&self) -> Result {
        let errors = self.lab.on_node(|| Ok(self.datapath.remove()))?;
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

/// Tells what is sent: before a clock starts, or after it has stopped.
pub(crate) fn tell(batch: &Batch, how: &str) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for step in &batch.steps {
        let text = step.to_string();
        tracing::debug!(
            operations = step.operations(),
            bytes = step.bytes(),
            "transaction, {how}: {}",
            text.lines().next().unwrap_or_default()
        );
    }
}

/// An act that was timed.
pub(crate) struct Acted<T> {
    /// What it gave.
    pub(crate) done: T,
    /// Until it was answered, nanoseconds.
    pub(crate) elapsed_ns: u64,
    /// Closing the sockets, nanoseconds.
    pub(crate) release_ns: u64,
    /// What it used of a processor.
    pub(crate) used: Used,
}

/// Processor time: of the calling thread, and of the tools that it ran.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// When that was asked.
    at: clock::Reading,
    /// Exact.
    pub(crate) cpu_ns: u64,
    /// Of that the tools'.
    pub(crate) tools_ns: u64,
    /// User and kernel mode, by the clock's ticks.
    modes_ns: (u64, u64),
    /// How often a processor was given up to wait for something.
    pub(crate) voluntary_switches: u64,
}

/// Ten ticks of the slowest clock that distributions have (250 Hz, `CONFIG_HZ`): of what took less, ticks
/// cannot tell user mode from kernel mode.
const TEN_TICKS_NS: u64 = 40_000_000;

/// A reading that took longer than this, nanoseconds, was interrupted.
const READING_NS: u64 = 20_000;

impl Used {
    pub(crate) fn so_far() -> Result<Self, HarnessError> {
        let tools = netns_sys::process::tools_usage();
        let thread = of_thread()?;
        let at = clock::now();
        let (user_ns, system_ns) = thread.modes_ns;
        Ok(Self {
            at,
            cpu_ns: tools.cpu_ns() + clock::thread_cpu_ns(),
            tools_ns: tools.cpu_ns(),
            modes_ns: (tools.user_ns + user_ns, tools.system_ns + system_ns),
            voluntary_switches: tools.voluntary_switches + thread.voluntary_switches,
        })
    }

    /// What was used from `start`, just after `self`, to `end`, just now.
    pub(crate) fn between(
        self,
        start: clock::Reading,
        end: clock::Reading,
    ) -> Result<Self, HarnessError> {
        // First of all: what follows uses processor time too. A reading itself takes up to a microsecond, after an
        // act that has filled the caches with other things several, in all of which the thread ran.
        let read_ns = clock::thread_cpu_ns();
        let at = clock::now();
        let readings_ns = [(self.at, start), (end, at)].map(|(a, b)| a.ns_until(b).min(READING_NS));
        let thread_ns = read_ns - readings_ns.iter().sum::<u64>();
        let thread = of_thread()?;
        let tools = netns_sys::process::tools_usage();
        let (user_ns, system_ns) = thread.modes_ns;
        let (user_before, system_before) = self.modes_ns;
        Ok(Self {
            at,
            cpu_ns: (tools.cpu_ns() + thread_ns).saturating_sub(self.cpu_ns),
            tools_ns: tools.cpu_ns() - self.tools_ns,
            modes_ns: (
                tools.user_ns + user_ns - user_before,
                tools.system_ns + system_ns - system_before,
            ),
            voluntary_switches: tools.voluntary_switches + thread.voluntary_switches
                - self.voluntary_switches,
        })
    }

    /// User and kernel mode apart, nanoseconds, where that can be told.
    fn by_mode(self) -> Option<(u64, u64)> {
        (self.cpu_ns >= TEN_TICKS_NS).then_some(self.modes_ns)
    }
}

fn of_thread() -> Result<netns_sys::thread::Usage, HarnessError> {
    netns_sys::thread::usage()
        .map_err(|e| HarnessError::system("read what this thread has used", e))
}

/// A tool's command line, with the stay's own xtables lock.
pub(crate) fn command(words: &[String]) -> Command {
    let mut command = netns_sys::tools::command(&words[0]);
    command
        .args(&words[1..])
        .env("XTABLES_LOCKFILE", "/run/xtables.lock");
    command
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_uses_no_more_processor_time_than_there_was_and_a_short_one_has_no_modes() {
        for busy_ns in [50_000, 300_000, 2_000_000, 2 * TEN_TICKS_NS] {
            let before = Used::so_far().unwrap();
            let start = clock::now();
            while start.elapsed_ns() < busy_ns {
                std::hint::spin_loop();
            }
            let end = clock::now();
            let (elapsed_ns, used) = (start.ns_until(end), before.between(start, end).unwrap());
            assert!(
                used.cpu_ns > 0 && used.cpu_ns <= elapsed_ns + elapsed_ns / 50,
                "{} of {elapsed_ns} ns",
                used.cpu_ns
            );
            assert!(used.by_mode().is_none() || used.cpu_ns >= TEN_TICKS_NS);
        }
    }

    #[test]
    fn what_tools_used_counts() {
        let before = Used::so_far().unwrap();
        let start = clock::now();
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let tools_before = netns_sys::process::tools_usage().cpu_ns();
        netns_sys::process::run(Command::new("sh").args(["-c", script]), b"").unwrap();
        let used = before.between(start, clock::now()).unwrap();
        assert!(used.cpu_ns > netns_sys::process::tools_usage().cpu_ns() - tools_before);
    }
}
