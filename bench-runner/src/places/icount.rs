//! Guests whose time is executed instructions: a new one for each stay, which has the stay with it and is told
//! nothing while it runs. Load on this machine makes them slower and changes nothing else, so several run at a time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use guest::counted::{Done, Ran, carry_out};
use guest::jobs::{Job, with_jobs};
use guest::kernel::Kernel;
use guest::machine::{self, Boot, Hardware};
use netns_sys::clock;
use scenarios::spec::{CellOutcome, CellSpec, Event, StaySpec};
use schema::{Accelerator, Outcome, Stage};
use tracing::info;

use super::initramfs::{initramfs, inside, path_of};
use super::{Act, Heard, Place};
use crate::interrupt::Interrupt;
use crate::isolate::ask::{Answer, Ask, no_event};
use crate::progress::rough;
use crate::verdict::{End, without_numbers};

/// Memory of a guest, MiB. More than 1 GiB gives the ordinary size of the connection table.
pub(crate) const MEMORY_MIB: u32 = 1_536;

/// What guests of a kernel have in common.
#[derive(Debug)]
pub(crate) struct Icount {
    kernel: Kernel,
    /// Without a name, so nothing is left when this process is killed.
    initramfs: File,
    /// Where consoles are kept, one after the other.
    console: PathBuf,
    /// The seed of guests that are only asked something.
    seed: u64,
    given_up: OnceLock<String>,
}

/// What became of the jobs of a guest.
enum Jobs {
    /// All ended.
    Done(Vec<Done>),
    /// They took too long.
    Late,
    /// The guest ended before; what was seen.
    Gone(String),
}

impl Icount {
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
        Ok(Self {
            initramfs: initramfs(&kernel, tools)?,
            kernel,
            console: console.to_path_buf(),
            seed,
            given_up: OnceLock::new(),
        })
    }

    /// Boots a guest, with that seed, that answers these questions, and waits for its end.
    ///
    /// # Errors
    /// This machine refuses a file.
    async fn boot(&self, seed: u64, asks: Vec<Ask>, limit: Duration) -> anyhow::Result<Jobs> {
        let job = |ask| Job {
            arguments: vec!["cell".to_owned()],
            input: inside(ask).line(),
        };
        let jobs: Vec<Job> = asks.into_iter().map(job).collect();
        let (initramfs, console) = (nameless()?, nameless()?);
        with_jobs(&path_of(&self.initramfs), &jobs, &path_of(&initramfs))?;
        let boot = Boot {
            kernel: self.kernel.image.clone(),
            initramfs: path_of(&initramfs),
            hardware: Hardware {
                accelerator: machine::Accelerator::Icount { seed },
                cpus: 1,
                memory_mib: MEMORY_MIB,
            },
            console: path_of(&console),
            deadline: limit,
        };
        info!(?boot, "boot a guest");
        let heard = match carry_out(&boot, jobs.len()).await {
            Ok(Ran::Done(done)) => Jobs::Done(done),
            Ok(Ran::Late) => Jobs::Late,
            Err(error) => Jobs::Gone(error.to_string()),
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

    /// Answers of one guest. Where there is none, there is none for stays either.
    async fn answers(&self, asks: Vec<(Ask, Duration)>) -> anyhow::Result<Vec<Answer>> {
        let limit = asks.iter().map(|(_, limit)| *limit).sum();
        let asks: Vec<Ask> = asks.into_iter().map(|(ask, _)| ask).collect();
        let count = asks.len();
        let why = match self.boot(self.seed, asks, limit).await? {
            Jobs::Done(done) => return Ok(done.into_iter().map(answer).collect()),
            Jobs::Late => format!("it did not answer within {}", rough(limit)),
            Jobs::Gone(why) => why,
        };
        let why = self.given_up.get_or_init(|| why);
        Ok((0..count).map(|_| Answer::Failed(why.clone())).collect())
    }
}

impl Place for Icount {
    fn accelerator(&self) -> Accelerator {
        Accelerator::TcgIcount
    }

    fn given_up(&self) -> Option<&str> {
        self.given_up.get().map(String::as_str)
    }

    fn ask(&self, asks: Vec<(Ask, Duration)>) -> Act<'_, anyhow::Result<Vec<Answer>>> {
        Box::pin(self.answers(asks))
    }

    fn carry_out(
        &self,
        stay: StaySpec,
        limit: Duration,
        mut interrupt: Interrupt,
    ) -> Act<'_, anyhow::Result<Heard>> {
        Box::pin(async move {
            let begun = clock::now();
            // A guest says nothing before its end, so the limit is that of its cells, and of what is before and after
            // them, together.
            let limit = limit * (stay.cells.len() as u32 + 1);
            let booted = self.boot(stay.seed, vec![alike(&stay)], limit);
            // The guest ends with what waits for it.
            let Some(jobs) = interrupt.unless_seen(booted).await else {
                return Ok(Heard::nothing(End::Interrupted));
            };
            Ok(heard(&stay, begun, jobs?))
        })
    }
}

/// The answer of a job that was asked for one.
fn answer(done: Done) -> Answer {
    let said = done.output.concat();
    Answer::of(done.success, &done.status, said, &done.stderr)
}

/// A stay as it goes into its guest. What only the run knows it by is left out: the same stay of another run is to be
/// the same to the last bit.
fn alike(spec: &StaySpec) -> Ask {
    let cells = spec.cells.iter().zip(0..);
    let cells = cells.map(|(cell, id)| CellSpec { id, ..cell.clone() });
    Ask::Stay(Box::new(StaySpec {
        stay: 0,
        block: 0,
        environment: String::new(),
        variant: String::new(),
        cells: cells.collect(),
        ..spec.clone()
    }))
}

/// What was heard of a stay when its guest has ended.
fn heard(spec: &StaySpec, begun: clock::Reading, jobs: Jobs) -> Heard {
    let gone = |why| Heard::nothing(End::Died(Stage::Guest, None, why));
    match jobs {
        Jobs::Done(done) => match done.into_iter().next() {
            Some(done) => said(spec, begun, done),
            None => gone("it said nothing".to_owned()),
        },
        Jobs::Gone(why) => gone(why),
        Jobs::Late => {
            // Which of its cells is slow is not known: none has a bound.
            let late = Outcome::TimedOut { after_ns: None };
            let cells = spec.cells.iter();
            Heard {
                ended: cells
                    .map(|cell| without_numbers(cell.id, late.clone()))
                    .collect(),
                ..Heard::nothing(End::Closed)
            }
        }
    }
}

/// What a stay said in its guest, with the numbers that its cells have in the run.
fn said(spec: &StaySpec, begun: clock::Reading, done: Done) -> Heard {
    let known = |id: u64| spec.cells.get(id as usize).map(|cell| cell.id);
    let mut ended: Vec<CellOutcome> = Vec::new();
    let (mut started, mut running) = (HashMap::new(), None);
    let mut end = None;
    for line in &done.output {
        match serde_json::from_str(line) {
            Ok(Event::Told { .. } | Event::Act { .. } | Event::OtherAct { .. }) => {}
            Ok(Event::Started { cell }) => {
                running = known(cell);
                started.extend(running.map(|cell| (cell, begun)));
            }
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
            Ok(Event::Failed { stage, reason }) => end = Some(End::Failed(stage, reason)),
            Ok(Event::Closed) => end = Some(End::Closed),
            Err(error) => {
                let words = no_event(&error, line);
                end = Some(End::Died(Stage::Process, running, words));
            }
        }
        if end.is_some() {
            break;
        }
    }
    let words = match done.stderr.as_str() {
        "" => done.status,
        said => format!("{}: {said}", done.status),
    };
    let end = end.unwrap_or(End::Died(Stage::Process, running, words));
    Heard {
        ended,
        started,
        ..Heard::nothing(end)
    }
}

fn nameless() -> anyhow::Result<File> {
    tempfile::tempfile().context("make a file for a guest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::spec::Setup;
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
            success: false,
            status: "exit status: 1".to_owned(),
            stderr: "cut short".to_owned(),
        }
    }

    #[test]
    fn the_same_stay_of_two_runs_goes_into_its_guest_as_the_same_bytes() {
        let bytes = |spec: &StaySpec| alike(spec).line();
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
        let heard = said(&spec, clock::now(), done(&closed));
        assert_eq!((heard.ended[0].cell, &heard.end), (40, &End::Closed));
        let units: Vec<&str> = heard.ended[0]
            .series
            .iter()
            .map(|s| s.unit.name())
            .collect();
        assert_eq!(units, ["instructions", "count"]);
        let broken = [ended, r#"{"event":"started","cell":1}"#];
        let heard = said(&spec, clock::now(), done(&broken));
        assert_eq!(heard.ended.len(), 1);
        let End::Died(Stage::Process, Some(41), said) = heard.end else {
            panic!("{heard:?}");
        };
        assert!(said.contains("cut short"), "{said}");
    }
}
