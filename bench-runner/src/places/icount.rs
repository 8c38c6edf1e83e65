//! Guests whose time is executed instructions: a new one for each stay, which begins where one stopped that was booted for
//! all, has the stay with it and is told nothing while it runs. Load on this machine makes them slower and changes
//! nothing else, so several run at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use guest::counted::{Done, Kept, Ran, carry_out, keep};
use guest::jobs::Job;
use guest::kernel::Kernel;
use guest::machine::{self, Boot, Hardware};
use guest::unnamed::{self, path_of};
use netns_sys::clock;
use scenarios::spec::{CellSpec, Event, StaySpec};
use schema::{Accelerator, Outcome, Stage};
use tokio::sync::Mutex;
use tracing::info;

use super::initramfs::{initramfs, inside};
use super::listen::{Talking, listen};
use super::{Act, Heard, Place};
use crate::interrupt::Interrupt;
use crate::isolate::ask::{Answer, Ask, no_event};
use crate::isolate::child::Next;
use crate::progress::rough;
use crate::verdict::{End, without_numbers};

/// Memory of a guest, MiB. More than 1 GiB gives the ordinary size of the connection table.
pub(crate) const MEMORY_MIB: u32 = 1_536;
/// How long the one that the others begin from may take: ten seconds of a processor.
const BOOTING: Duration = Duration::from_secs(300);
/// Its seed. What a stay's guest takes for random is of the stay's.
const FIRST_SEED: u64 = 0;

/// What is kept of the guest that others begin from, or why there is none.
type Begun = Result<Arc<Kept>, String>;

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
    /// By how many CPUs are possible.
    begun: Mutex<BTreeMap<Option<u32>, Begun>>,
    given_up: OnceLock<String>,
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
        tools: &BTreeSet<PathBuf>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            initramfs: initramfs(&kernel, tools)?,
            kernel,
            console: console.to_path_buf(),
            seed,
            begun: Mutex::default(),
            given_up: OnceLock::new(),
        })
    }

    /// A guest of that seed and so many possible CPUs.
    fn guest(
        &self,
        seed: u64,
        possible_cpus: Option<u32>,
        console: &File,
        deadline: Duration,
    ) -> Boot {
        Boot {
            kernel: self.kernel.image.clone(),
            initramfs: path_of(&self.initramfs),
            hardware: Hardware {
                accelerator: machine::Accelerator::Icount { seed },
                cpus: 1,
                possible_cpus,
                memory_mib: MEMORY_MIB,
            },
            console: path_of(console),
            deadline,
        }
    }

    /// Where guests begin that hold so many CPUs for possible: booted by who asks first, while the others wait.
    ///
    /// # Errors
    /// This machine refuses a file.
    async fn begun(&self, possible_cpus: Option<u32>) -> anyhow::Result<Begun> {
        let mut begun = self.begun.lock().await;
        if let Some(begun) = begun.get(&possible_cpus) {
            return Ok(begun.clone());
        }
        let console = unnamed::file()?;
        let boot = self.guest(FIRST_SEED, possible_cpus, &console, BOOTING);
        info!(?boot, "boot the guest that others begin from");
        let kept = keep(&boot).await.map(Arc::new);
        let kept = kept.map_err(|error| error.to_string());
        begun.insert(possible_cpus, kept.clone());
        self.log(console, "the guest that others begin from")?;
        Ok(kept)
    }

    /// Begins a guest, with that seed, that answers these questions, and waits for its end; what was seen where it ended
    /// before.
    ///
    /// # Errors
    /// This machine refuses a file.
    async fn boot(
        &self,
        (seed, possible_cpus): (u64, Option<u32>),
        asks: impl IntoIterator<Item = Ask>,
        limit: Duration,
    ) -> anyhow::Result<Result<Ran, String>> {
        let job = |ask| Job {
            arguments: vec!["cell".to_owned()],
            input: inside(ask).line(),
        };
        let jobs: Vec<Job> = asks.into_iter().map(job).collect();
        let kept = match self.begun(possible_cpus).await? {
            Ok(kept) => kept,
            Err(why) => return Ok(Err(why)),
        };
        let console = unnamed::file()?;
        let boot = self.guest(seed, possible_cpus, &console, limit);
        info!(?boot, "begin a guest");
        let ran = carry_out(&boot, &kept, &jobs).await;
        self.log(console, &format!("a guest with seed {seed}"))?;
        Ok(ran.map_err(|error| error.to_string()))
    }

    /// What a console said, behind those before it.
    fn log(&self, mut console: File, of: &str) -> anyhow::Result<()> {
        let mut append = || {
            let mut log = File::options();
            let mut log = log.create(true).append(true).open(&self.console)?;
            writeln!(log, "== {of}")?;
            std::io::copy(&mut console, &mut log).map(drop)
        };
        append().context("keep a guest's console")
    }

    /// Answers of one guest. Where there is none, there is none for stays either.
    async fn answers(&self, asks: Vec<(Ask, Duration)>) -> anyhow::Result<Vec<Answer>> {
        let limit = asks.iter().map(|(_, limit)| *limit).sum();
        let (count, asks) = (asks.len(), asks.into_iter().map(|(ask, _)| ask));
        let why = match self.boot((self.seed, None), asks, limit).await? {
            Ok(Ran::Done(done)) => return Ok(done.into_iter().map(answer).collect()),
            Ok(Ran::Late) => format!("it did not answer within {}", rough(limit)),
            Err(why) => why,
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
            let mut options = stay.cells.iter().map(|cell| &cell.options);
            let possible_cpus = options.find_map(schema::Options::possible_cpus);
            let booted = self.boot((stay.seed, possible_cpus), [alike(&stay)], limit);
            // The guest ends with what waits for it.
            let Some(ran) = interrupt.unless_seen(booted).await else {
                return Ok(Heard::nothing(End::Interrupted));
            };
            let gone = |why| Ok(Heard::nothing(End::Died(Stage::Guest, None, why)));
            let done = match ran? {
                Ok(Ran::Done(done)) => done.into_iter().next(),
                Ok(Ran::Late) => return Ok(late(&stay)),
                Err(why) => return gone(why),
            };
            let Some(done) = done else {
                return gone("it said nothing".to_owned());
            };
            // It has ended: what it measured is not lost to an interrupt that comes now.
            let mut heard =
                listen(&mut Told::of(&stay, done), limit, &mut Interrupt::never()).await;
            heard.started.values_mut().for_each(|at| *at = begun);
            // Where it went on from is another state then, and what is counted may differ by a tick.
            if let Ok(Kept {
                later: later @ 1.., ..
            }) = self.begun(possible_cpus).await?.as_deref()
            {
                let fact = || ("guest_stopped_later".to_owned(), later.to_string());
                for cell in &mut heard.ended {
                    cell.facts.extend([fact()]);
                }
            }
            Ok(heard)
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

/// What is heard of a stay whose guest took too long. Which of its cells is slow is not known: none has a bound.
fn late(spec: &StaySpec) -> Heard {
    let late = |cell: &CellSpec| without_numbers(cell.id, Outcome::TimedOut { after_ns: None });
    Heard {
        ended: spec.cells.iter().map(late).collect(),
        ..Heard::nothing(End::Closed)
    }
}

/// What a stay said in a guest that has ended, with the numbers that its cells have in the run.
struct Told<'a> {
    spec: &'a StaySpec,
    lines: std::vec::IntoIter<String>,
    last_words: String,
}

impl<'a> Told<'a> {
    fn of(spec: &'a StaySpec, done: Done) -> Self {
        Self {
            spec,
            lines: done.output.into_iter(),
            last_words: match done.stderr.as_str() {
                "" => done.status,
                said => format!("{}: {said}", done.status),
            },
        }
    }
}

impl Talking for Told<'_> {
    async fn next(&mut self, _limit: Duration) -> Next {
        loop {
            let Some(line) = self.lines.next() else {
                return Next::Ended(self.last_words.clone());
            };
            let mut event = match serde_json::from_str(&line) {
                Ok(event) => event,
                Err(error) => return Next::Ended(no_event(&error, &line)),
            };
            let cell = match &mut event {
                Event::Started { cell } => cell,
                Event::Ended(outcome) => {
                    for series in &mut outcome.series {
                        series.unit = series.unit.counted();
                    }
                    &mut outcome.cell
                }
                _ => return Next::Event(event),
            };
            // Of a cell that is not the stay's nothing is taken.
            if let Some(own) = self.spec.cells.get(*cell as usize) {
                *cell = own.id;
                return Next::Event(event);
            }
        }
    }
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
            family: schema::Family::Ipv4,
            stack: schema::Stack::Single,
            vip_stride: None,
            mix: schema::Mix::default(),
            imported: None,
            transport: schema::Transport::Netlink,
            min_sync_period_ms: None,
            kube_proxy: None,
            engine: None,
            large_cluster: true,
            raised: false,
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

    fn heard(spec: &StaySpec, done: Done) -> Heard {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let mut interrupt = Interrupt::new().unwrap();
            listen(&mut Told::of(spec, done), Duration::MAX, &mut interrupt).await
        })
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
        let told = heard(&spec, done(&closed));
        assert_eq!((told.ended[0].cell, &told.end), (40, &End::Closed));
        let units: Vec<&str> = told.ended[0].series.iter().map(|s| s.unit.name()).collect();
        assert_eq!(units, ["instructions", "count"]);
        let broken = [ended, r#"{"event":"started","cell":1}"#];
        let told = heard(&spec, done(&broken));
        assert_eq!(told.ended.len(), 1);
        let End::Died(Stage::Process, Some(41), said) = told.end else {
            panic!("{told:?}");
        };
        assert!(said.contains("cut short"), "{said}");
    }
}
