//! `set-swap`: many sets, each refilled under another name and swapped for the old one, in an untouched lab: no rule
//! names them. Timed are the swaps alone, all one after the other; what one takes is their time divided by their number. After each round the listing
//! must have the new entries under every old name and the old ones under every new name.

use netns_harness::datapath::{SetSwaps, Sockets, Transport, facts};
use netns_sys::clock;
use schema::{Metric, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{At as _, CellError, Result};
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::{Acted, Stay};

/// Rounds of a cell; where instructions are counted one, and one whose waits are.
const ROUNDS: u32 = 3;
/// What a set takes in a round, expected, nanoseconds: made, filled, swapped, listed, destroyed.
const SET_NS: u64 = 100_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct SetSwap;

impl Scenario for SetSwap {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::SetSwap
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    fn options(&self, asked: Asked, _request: &Request) -> Options {
        Options::from([(OptionKey::Transport, asked.transport.name())])
    }

    /// For each number of sets, in the mode of which sets are the rules that change, once: there are no services in it.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let changes_sets = facts(asked.mode).has(Transport::IpsetRestore);
        if !changes_sets || asked.services != request.largest {
            return Vec::new();
        }
        let one = self.options(asked, request);
        let each = request.chosen.sets.iter();
        each.map(|sets| one.clone().with(OptionKey::Sets, sets))
            .collect()
    }

    fn expected_ns(&self, _asked: Asked, options: &Options, _request: &Request) -> u64 {
        let sets = u64::from(options.sets().unwrap_or_default());
        // Each is found by a walk over all.
        u64::from(ROUNDS) * sets * (SET_NS + 20 * sets)
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let sets = options.sets();
        let swaps = SetSwaps {
            sets: sets.ok_or_else(|| CellError::at(Stage::Measure, "no number of sets"))?,
            family: stay.spec.family,
            transport: stay.spec.transport,
        };
        stay.carry_out(&swaps.make()).at(Stage::Preparation)?;
        let counted = stay.spec.counted;
        let timed = if counted { 1 } else { ROUNDS };
        for generation in 1..=timed + u32::from(counted) {
            let start = clock::now();
            stay.carry_out(&swaps.refill(generation))
                .at(Stage::Measure)?;
            recorder.add_to_fact("refill_us", start.elapsed_ns() / 1_000);
            match generation <= timed {
                true => swap(stay, &swaps, recorder)?,
                false => stay.waits_of(&swaps.swap(), recorder)?,
            }
            stay.on_node(Stage::Proof, || swaps.check(generation))?;
            let start = clock::now();
            stay.carry_out(&swaps.destroy()).at(Stage::Measure)?;
            recorder.add_to_fact("destroy_us", start.elapsed_ns() / 1_000);
        }
        stay.carry_out(&swaps.remove()).at(Stage::Teardown)?;
        match stay.on_node(Stage::Teardown, || stay.datapath.leftovers())? {
            None => Ok(()),
            Some(left) => Err(CellError::at(
                Stage::Teardown,
                format!("after the sets were removed the kernel lists {left}"),
            )),
        }
    }
}

/// One round's swaps, timed.
fn swap(stay: &Stay<'_>, swaps: &SetSwaps, recorder: &mut Recorder) -> Result {
    let batch = swaps.swap();
    let apply = |sockets: &mut Sockets| stay.datapath.apply(&batch, sockets);
    let Acted {
        done,
        elapsed_ns,
        used,
        ..
    } = stay.acted(|| Sockets::of(&batch), apply)?;
    done?;
    let each = |whole: u64| whole / u64::from(swaps.sets);
    recorder.sample(Metric::SwapTime, each(elapsed_ns));
    recorder.sample(Metric::VoluntarySwitches, used.voluntary_switches);
    if !stay.spec.counted {
        recorder.sample(
            Metric::SwapWait,
            each(elapsed_ns.saturating_sub(used.cpu_ns)),
        );
    }
    stay.processor_sampled(used, recorder);
    Ok(())
}
