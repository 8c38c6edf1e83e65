//! `service-add`: N → N + 1 services at size N. Each added service was never there before.

use schema::{Mode, Options, ScenarioKind};

use crate::cost::Size;
use crate::error::CellError;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario};
use crate::stay::Stay;
use crate::update::{self, Change};

/// The scenario.
#[derive(Debug)]
pub(crate) struct ServiceAdd;

impl Scenario for ServiceAdd {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ServiceAdd
    }

    fn question(&self) -> &'static str {
        "How long does it take to add one service to N?"
    }

    fn expected_ns(&self, mode: Mode, size: Size, options: &Options, _request: &Request) -> u64 {
        update::expected_ns(mode, size, options, self.kind())
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        update::run(stay, self.kind(), options, recorder, |stay, from, n| {
            let added = stay.recipe().service(stay.spec.services + n);
            let mut to = from.clone();
            to.services.push(added.clone());
            Change {
                to,
                witness: Some(added),
                gone: None,
            }
        })
    }
}
