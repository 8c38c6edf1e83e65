//! `list-update`: how long it takes to fill a list of addresses, to add one entry to it and to remove one, by what holds it and by what sends
//! the change; and what the kernel holds for it.
//!
//! A list is filled that lies there empty, made with its size where its kind has one, behind its rule; rules of a list are the list.

use std::time::Duration;

use netns_harness::datapath::Transport;
use netns_harness::lists::{List, Listed};
use netns_harness::meters;
use netns_sys::clock;
use schema::{ListChange, ListKind, Metric, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{At as _, CellError, Result};
use crate::lists::{self, lists};
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::Stay;

/// Changes of a cell, and fills of one up to so many entries; of larger ones one.
const TIMES: u32 = 3;
const FEW: u32 = 10_000;
/// How long kernel memory may take to stand still.
const STILL: Duration = Duration::from_secs(2);
/// How long the kernel may take to give back what a lab held.
const SETTLE: Duration = Duration::from_secs(5);
/// The most processes of one fill.
const MOST_PROCESSES: u32 = 1_000;
/// A process, nanoseconds.
const PROCESS_NS: u64 = 2_000_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct ListUpdate;

fn fills(entries: u32) -> u32 {
    if entries <= FEW { TIMES } else { 1 }
}

impl Scenario for ListUpdate {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ListUpdate
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        if asked.mode.is_floor() || asked.transport == Transport::KubeProxy {
            return Vec::new();
        }
        let changes = |options: Options| {
            let options = options.with(OptionKey::Transport, asked.transport);
            let all = ListChange::ALL.iter();
            let asked = all.filter(|change| request.chosen.list_changes.contains(change));
            asked.map(move |change| options.clone().with(OptionKey::Change, change))
        };
        let all = lists(asked, request).into_iter();
        // Merging is the tool's.
        let has = |options: &Options| {
            options.list_kind() != Some(ListKind::Merged) || asked.transport == Transport::Nft
        };
        let few = |options: &Options| {
            asked.transport != Transport::Exec || options.entries() <= Some(MOST_PROCESSES)
        };
        let all = all.filter(|options| has(options) && few(options));
        all.flat_map(changes).collect()
    }

    fn expected_ns(&self, asked: Asked, options: &Options, _request: &Request) -> u64 {
        let entries = options.entries().unwrap_or(0);
        let processes = match asked.transport {
            Transport::Exec => u64::from(entries) * PROCESS_NS,
            _ => 0,
        };
        match options.list_change() {
            Some(ListChange::Load) => {
                u64::from(fills(entries)) * (lists::expected_ns(options) + processes)
            }
            _ => lists::expected_ns(options),
        }
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let change = options.list_change();
        let change =
            change.ok_or_else(|| CellError::at(Stage::Measure, "nothing is to be changed"))?;
        match change {
            ListChange::Load => {
                load(stay, options, recorder)?;
                for _ in 1..fills(options.entries().unwrap_or(0)) {
                    let before = meters::kernel_memory()?;
                    let lab = stay.another_lab()?;
                    stay.in_lab(&lab, |stay| load(stay, options, recorder))?;
                    drop(lab);
                    meters::settle(before, SETTLE)?;
                }
                Ok(())
            }
            change => change_one(stay, options, change, recorder),
        }
    }
}

/// How the stay's transport fills lists.
fn by(stay: &Stay<'_>) -> Transport {
    stay.spec.transport
}

/// Fills an empty list, and proves it. What the kernel holds is told from before the list was made.
fn load(stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
    let listed = Listed::Drop;
    let still = || -> Result<Option<u64>> {
        let still = meters::still(STILL)?;
        Ok(still.stood.then(|| still.memory.total()))
    };
    let counted = stay.spec.counted;
    let before = if counted { None } else { still()? };
    let list = lists::made(stay, options, listed)?;
    // Rendering and encoding, which a tool does within its own time.
    let start = clock::now();
    let batch = list.load(by(stay));
    recorder.sample(Metric::RenderTime, start.elapsed_ns());
    stay.apply_sampled(&batch, recorder)?;
    drop(batch);
    if !counted {
        match (before, still()?) {
            (Some(before), Some(after)) => {
                let held = after.cast_signed() - before.cast_signed();
                recorder.difference(Metric::KernelMemory, held);
            }
            _ => recorder.fact("kernel_memory", "not measured: it did not stand still"),
        }
    }
    lists::damaged(stay, &list)?;
    proved(stay, &list, (listed, 0), recorder)
}

/// Adds entries to a full list, one at a time, or removes such again.
fn change_one(
    stay: &mut Stay<'_>,
    options: &Options,
    change: ListChange,
    recorder: &mut Recorder,
) -> Result {
    let listed = Listed::Drop;
    let list = lists::made(stay, options, listed)?;
    lists::filled(stay, &list)?;
    let by = by(stay);
    let added = (0..TIMES).map(|nth| list.add(nth, by));
    let more = match change {
        ListChange::Remove => {
            let mut added = added;
            added
                .try_for_each(|batch| stay.carry_out(&batch))
                .at(Stage::Preparation)?;
            for nth in 0..TIMES {
                stay.apply_sampled(&list.remove(nth, by), recorder)?;
            }
            0
        }
        _ => {
            for batch in added {
                stay.apply_sampled(&batch, recorder)?;
            }
            TIMES
        }
    };
    proved(stay, &list, (listed, more), recorder)
}

fn proved(stay: &mut Stay<'_>, list: &List, of: (Listed, u32), recorder: &mut Recorder) -> Result {
    match lists::handing(stay) {
        Ok(mut hand) => lists::prove(stay, &mut hand, list, of, recorder),
        // What the kernel lists is proved all the same.
        Err(why) if why.unsupported => {
            recorder.fact("proof_packets", format!("unknown: {}", why.reason));
            lists::listed_whole(stay, list, of.1, recorder)
        }
        Err(why) => Err(why),
    }
}
