//! `empty-update`: an update that changes nothing, of mode none, by each transport: what the machine itself takes for one.
//! It holds two runs' updates against each other as `none`'s first packets hold their packets.

use netns_harness::datapath::{Transport, empty_update};
use schema::{Mode, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{CellError, Result};
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario};
use crate::stay::Stay;

/// Times each is made in a stay.
const TIMES: u32 = 9;
/// A tool's start, nanoseconds.
const EXPECTED_NS: u64 = 10_000_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct EmptyUpdate;

impl Scenario for EmptyUpdate {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::EmptyUpdate
    }

    fn cells(&self, asked: Asked, _request: &Request) -> Vec<Options> {
        let has = |transport: &&Transport| empty_update(**transport).is_some();
        let each = Transport::ALL.iter().filter(has);
        let each = each.filter(|_| asked.mode == Mode::BARE);
        each.map(|transport| Options::from([(OptionKey::Transport, transport.name())]))
            .collect()
    }

    fn expected_ns(&self, _asked: Asked, _options: &Options, _request: &Request) -> u64 {
        u64::from(TIMES) * EXPECTED_NS
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let named = options.get(OptionKey::Transport);
        let batch = named.and_then(|name| empty_update(name.parse().ok()?));
        let batch = batch
            .ok_or_else(|| CellError::at(Stage::Measure, "an empty update needs a transport"))?;
        // The first loads what the others find loaded; and tells what cannot be had here.
        stay.carry_out(&batch)
            .map_err(|error| match error.is_missing() {
                true => CellError::unsupported(format!("an empty update cannot be made: {error}")),
                false => error.into(),
            })?;
        for _ in 0..TIMES {
            stay.apply_sampled(&batch, recorder)?;
        }
        recorder.fact("census_services", stay.census(stay.population)?);
        Ok(())
    }
}
