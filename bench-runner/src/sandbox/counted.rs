//! Guests whose time is executed instructions: a new one for each stay, which has the stay with it and is told
//! nothing while it runs. Load on this machine makes them slower and changes nothing else, so several run at a time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use guest::counted::{Done, Ran, carry_out};
use guest::jobs::{Job, with_jobs};
use guest::kernel::Kernel;
use guest::machine::{Accelerator, Boot, Hardware, QEMU};
use netns_sys::clock;
use scenarios::spec::{CellOutcome, CellSpec, Event, Setup, StaySpec};
use schema::{Environment, Stage};

use super::choice::Chosen;
use super::environments::{Open, merged, opened, tools};
use super::guest::{initramfs, inside as place, path_of};
use super::{Answer, Sandbox, no_event};
use crate::cmd::cell::Input;
use crate::environment;
use crate::exit::Usage;
use crate::progress::{note, rough};
use crate::readiness::{self, Case, Trial, TrialOf};
use crate::verdict::End;

/// Memory of a guest, MiB. More than 1 GiB gives the ordinary size of the connection table.
pub(crate) const MEMORY_MIB: u32 = 1_536;
/// How long a guest may take to boot and to say what it is, and each trial of a mode; many times what is usual.
const LOOK: Duration = Duration::from_secs(120);
const TRY: Duration = Duration::from_secs(60);
/// How the status of a job that ended well reads (`std::process::ExitStatus`).
const SUCCESS: &str = "exit status: 0";

/// What guests of a kernel have in common.
#[derive(Debug)]
pub(crate) struct Counted {
    kernel: Kernel,
    /// Without a name, so nothing is left when this process is killed.
    initramfs: File,
    /// Where consoles are kept, one after the other.
    console: PathBuf,
    /// The seed of guests that are only asked something.
    seed: u64,
    /// Why there will be no guest.
    given_up: Option<String>,
}

/// What became of the jobs of a guest.
#[derive(Debug)]
pub(crate) enum Heard {
    /// All ended.
    Done(Vec<Done>),
    /// They took too long.
    Late,
    /// The guest ended before; what was seen.
    Gone(String),
}

impl Counted {
    /// Guests of that kernel, whose consoles are kept in the file `console`, with `tools` in a place of their own; none
    /// is booted yet.
    ///
    /// # Errors
    /// Their initramfs cannot be built.
    pub(crate) fn new(
        kernel: Kernel,
        console: &Path,
        tools: &[PathBuf],
        seed: u64,
    ) -> anyhow::Result<Self> {
        let initramfs = initramfs(&kernel, tools)?;
        Ok(Self {
            kernel,
            initramfs,
            console: console.to_path_buf(),
            seed,
            given_up: None,
        })
    }

    /// Why no stay can be carried out.
    pub(crate) fn given_up(&self) -> Option<&str> {
        self.given_up.as_deref()
    }

    /// Boots a guest, with that seed, that answers these inputs of `cell`, and waits for its end. Call on the
    /// runtime's main thread: the guest dies with the thread that started it.
    ///
    /// # Errors
    /// This machine refuses a file.
    pub(crate) async fn carry_out(
        &self,
        seed: u64,
        inputs: Vec<String>,
        limit: Duration,
    ) -> anyhow::Result<Heard> {
        let job = |input| Job {
            arguments: vec!["cell".to_owned()],
            input,
        };
        let jobs: Vec<Job> = inputs.into_iter().map(job).collect();
        let (initramfs, console) = (nameless()?, nameless()?);
        with_jobs(&path_of(&self.initramfs), &jobs, &path_of(&initramfs))?;
        let boot = Boot {
            kernel: self.kernel.image.clone(),
            initramfs: path_of(&initramfs),
            hardware: Hardware {
                accelerator: Accelerator::Icount { seed },
                cpus: 1,
                memory_mib: MEMORY_MIB,
            },
            console: path_of(&console),
            deadline: limit,
        };
        let heard = match carry_out(&boot, jobs.len()).await {
            Ok(Ran::Done(done)) => Heard::Done(done),
            Ok(Ran::Late) => Heard::Late,
            Err(error) => Heard::Gone(error.to_string()),
        };
        self.keep(console, seed).context("keep a guest's console")?;
        Ok(heard)
    }

    /// What a console said, behind those before it.
    fn keep(&self, mut console: File, seed: u64) -> std::io::Result<()> {
        let mut said = Vec::new();
        console.read_to_end(&mut said)?;
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(&self.console)?;
        writeln!(log, "== a guest with seed {seed}")?;
        log.write_all(&said)
    }

    /// Boots a guest that answers one input of `cell`.
    pub(crate) async fn ask(&self, input: &str, limit: Duration) -> Answer {
        match self
            .carry_out(self.seed, vec![input.to_owned()], limit)
            .await
        {
            Err(error) => Answer::Failed(error.to_string()),
            Ok(Heard::Gone(why)) => Answer::Failed(why),
            Ok(Heard::Late) => Answer::Late,
            Ok(Heard::Done(done)) => match done.into_iter().next() {
                Some(done) => answer(done),
                None => Answer::Failed("it said nothing".to_owned()),
            },
        }
    }
}

/// Guests of a kernel as an environment: one is booted that says what it is and tries the modes. What QEMU it is decides
/// what is counted, as a tool does.
///
/// # Errors
/// The initramfs cannot be built: a [`Usage`]; or this machine refuses a file.
pub(super) async fn open(
    chosen: Chosen,
    console: &Path,
    cases: &[Case],
    seed: u64,
) -> anyhow::Result<Open> {
    let since = clock::now();
    let Chosen {
        name,
        kernel,
        variants,
    } = chosen;
    let mut facts = Environment {
        accel: schema::Accelerator::TcgIcount,
        ..environment::of_kernel(&kernel)
    };
    let mut guests = Counted::new(kernel, console, &tools(cases), seed)
        .map_err(|error| Usage(format!("{name}: no initramfs can be built: {error:#}")))?;
    let asked = Asked::of(cases)?;
    let limit = LOOK + TRY * asked.tried.len() as u32;
    let mut tried: HashMap<Case, Trial> = asked.lacking;
    let done = match guests.carry_out(seed, asked.inputs, limit).await? {
        Heard::Done(done) => done,
        Heard::Late => {
            guests.given_up = Some(format!("it did not answer within {}", rough(limit)));
            Vec::new()
        }
        Heard::Gone(why) => {
            guests.given_up = Some(why);
            Vec::new()
        }
    };
    let mut answers = done.into_iter().map(answer);
    if let Some(first) = answers.next() {
        let Answer::Said(text) = first else {
            return Err(Usage(format!(
                "{name}: the guest does not say what it is: {first:?}"
            ))
            .into());
        };
        facts = merged(serde_json::from_str(&text)?, facts);
        let qemu = environment::version(QEMU).unwrap_or_else(|| "unknown".to_owned());
        facts.tools.insert(QEMU.to_owned(), qemu);
        for (case, answer) in asked.tried.into_iter().zip(answers) {
            let trial = readiness::trial(answer);
            if let Some(why) = &trial.refused_sysctl {
                return Err(Usage(format!("--sysctl: {why}")).into());
            }
            tried.insert(case, trial);
        }
        note(&format!(
            "{name}: Linux {} is up, instructions counted, {} guests at a time, and was tried, in {}",
            facts.kernel,
            at_a_time(),
            rough(Duration::from_nanos(since.elapsed_ns()))
        ));
    } else if let Some(why) = guests.given_up() {
        note(&format!("{name}: {why}"));
    }
    let sandbox = Sandbox::Counted(Arc::new(guests));
    Ok(Open {
        variants,
        ..opened(name, sandbox, facts, tried)
    })
}

/// What the first guest is asked.
struct Asked {
    /// For the facts, then for each case that is tried.
    inputs: Vec<String>,
    /// Cases that are tried.
    tried: Vec<Case>,
    /// Cases whose tools are missing, which no guest need say.
    lacking: HashMap<Case, Trial>,
}

impl Asked {
    fn of(cases: &[Case]) -> anyhow::Result<Self> {
        let facts = Input::Facts {
            facts: cases.iter().map(|case| TrialOf::of(case, None)).collect(),
        };
        let mut asked = Self {
            inputs: vec![serde_json::to_string(&facts)?],
            tried: Vec::new(),
            lacking: HashMap::new(),
        };
        for case in cases {
            if let Some(trial) = readiness::lacks_tool(case) {
                asked.lacking.insert(case.clone(), trial);
                continue;
            }
            let trial = Input::Trial(TrialOf {
                setup: setup(&case.setup),
                ..TrialOf::of(case, None)
            });
            asked.inputs.push(serde_json::to_string(&trial)?);
            asked.tried.push(case.clone());
        }
        Ok(asked)
    }
}

/// Guests at a time: one for each processor that this process may use.
pub(crate) fn at_a_time() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The answer of a job that was asked for one.
pub(crate) fn answer(done: Done) -> Answer {
    if done.status == SUCCESS {
        return Answer::Said(done.output.concat());
    }
    match done.stderr.trim_start_matches("error: ") {
        "" => Answer::Failed(format!("it ended with {}", done.status)),
        why => Answer::Failed(why.to_owned()),
    }
}

/// A stay as it goes into its guest. What only the run knows it by is left out: the same stay of another run is to be
/// the same to the last bit.
pub(crate) fn inside(spec: &StaySpec) -> Input {
    let cells = spec.cells.iter().zip(0..);
    let cells = cells.map(|(cell, id)| CellSpec { id, ..cell.clone() });
    Input::Stay(Box::new(StaySpec {
        stay: 0,
        block: 0,
        environment: String::new(),
        variant: String::new(),
        setup: setup(&spec.setup),
        cells: cells.collect(),
        ..spec.clone()
    }))
}

/// A setup as it is named inside.
fn setup(named: &Setup) -> Setup {
    let tools = named.tools.iter();
    Setup {
        tools: tools
            .map(|(name, file)| (name.clone(), place(file)))
            .collect(),
        ..named.clone()
    }
}

/// What a stay said in its guest, with the numbers that its cells have in the run, and how it ended.
pub(crate) fn heard(spec: &StaySpec, done: Done) -> (Vec<CellOutcome>, End) {
    let known = |id: u64| spec.cells.get(id as usize).map(|cell| cell.id);
    let (mut ended, mut running) = (Vec::new(), None);
    for line in &done.output {
        match serde_json::from_str(line) {
            Ok(Event::Act { .. } | Event::OtherAct { .. }) => {}
            Ok(Event::Started { cell }) => running = known(cell),
            Ok(Event::Ended(mut outcome)) => {
                running = None;
                if let Some(id) = known(outcome.cell) {
                    outcome.cell = id;
                    for series in &mut outcome.series {
                        series.unit = series.unit.counted();
                    }
                    ended.push(outcome);
                }
            }
            Ok(Event::Failed { stage, reason }) => return (ended, End::Failed(stage, reason)),
            Ok(Event::Closed) => return (ended, End::Closed),
            Err(error) => {
                let said = no_event(&error, line);
                return (ended, End::Died(Stage::Process, running, said));
            }
        }
    }
    let said = match done.stderr.as_str() {
        "" => done.status,
        said => format!("{}: {said}", done.status),
    };
    (ended, End::Died(Stage::Process, running, said))
}

fn nameless() -> anyhow::Result<File> {
    tempfile::tempfile().context("make a file for a guest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Mode, Options, Protocol, ScenarioKind};

    fn spec(stay: u32, variant: &str, ids: &[u64]) -> StaySpec {
        let cell = |id: &u64| CellSpec {
            id: *id,
            scenario: ScenarioKind::FirstPacket,
            options: Options::new(),
        };
        StaySpec {
            stay,
            block: stay / 7,
            environment: "guest-6.1".to_owned(),
            mode: Mode::Nftables,
            services: 10,
            endpoints: 2,
            variant: variant.to_owned(),
            seed: 4,
            protocols: vec![Protocol::Tcp],
            vip_stride: None,
            transport: schema::Transport::Netlink,
            engine: None,
            large_cluster: true,
            flows: 100,
            brief: true,
            counted: true,
            damage: None,
            plant: None,
            setup: Setup::default(),
            cells: ids.iter().map(cell).collect(),
        }
    }

    fn done(output: &[&str]) -> Done {
        Done {
            output: output.iter().map(|line| (*line).to_owned()).collect(),
            status: "exit status: 1".to_owned(),
            stderr: "cut short".to_owned(),
        }
    }

    #[test]
    fn the_same_stay_of_two_runs_goes_into_its_guest_as_the_same_bytes() {
        let bytes = |spec: &StaySpec| serde_json::to_string(&inside(spec)).unwrap();
        let (one, other) = (spec(3, "base", &[40, 41]), spec(9, "head", &[7, 12]));
        assert_eq!(bytes(&one), bytes(&other));
        let elsewhere = StaySpec {
            seed: 5,
            ..one.clone()
        };
        assert_ne!(bytes(&one), bytes(&elsewhere));
    }

    #[test]
    fn cells_get_their_numbers_and_unit_back_and_a_stay_that_broke_off_says_where() {
        let ended = r#"{"event":"ended","cell":0,"outcome":"measured","series":[{"metric":"latency","unit":"ns","values":[1]},{"metric":"messages","unit":"count","values":[2]}],"facts":{},"elapsed_ns":1,"steal_ns":0}"#;
        let spec = spec(1, "", &[40, 41]);
        let closed = [ended, r#"{"event":"closed"}"#];
        let (outcomes, end) = heard(&spec, done(&closed));
        assert_eq!((outcomes[0].cell, &end), (40, &End::Closed));
        let units: Vec<&str> = outcomes[0].series.iter().map(|s| s.unit.name()).collect();
        assert_eq!(units, ["instructions", "count"]);
        let broken = [ended, r#"{"event":"started","cell":1}"#];
        let (outcomes, end) = heard(&spec, done(&broken));
        assert_eq!(outcomes.len(), 1);
        let End::Died(Stage::Process, Some(41), said) = end else {
            panic!("{end:?}");
        };
        assert!(said.contains("cut short"), "{said}");
    }
}
