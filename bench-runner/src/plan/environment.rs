//! What an environment means for a plan: how slow it is, and what is therefore asked there.

use std::collections::BTreeSet;
use std::time::Duration;

use scenarios::Request;
use schema::{Accelerator, Cache};

use super::Settings;
use crate::case::Case;

/// Name of the environment that is the host's kernel.
pub(crate) const ENVIRONMENT: &str = "netns";
/// What things take in a translated guest over what they are expected to take on the host's kernel.
const TRANSLATED: f64 = 8.0;
/// What an instruction that is counted takes, nanoseconds, where a guest that came up and was tried took QEMU [`OPENED`] and [`TRIED`]:
/// 3.9 on one machine, on another, in proportion to these, 3.5 at 1,000 services and 2.8 at 10,000; on a third 2.9 and 2.5.
const COUNTED: f64 = 2.9;
/// Processor time of QEMU for the guest that others begin from and one that says what it is, and for each mode that is tried
/// there, on the machine whose instructions those are.
pub(crate) const OPENED: Duration = Duration::from_millis(9_900);
pub(crate) const TRIED: Duration = Duration::from_millis(800);
/// New flows in a first-packet cell when nobody said.
pub(super) const FLOWS: u32 = 1_000;
/// The same where a guest is translated or caches are emptied, which takes a hundred times as long as a flow: the median
/// needs no more, and stays say more than flows.
const BRIEF_FLOWS: u32 = 200;
/// The same where instructions are counted: a flow differs from the next by what ticks of the clock fall into it.
const COUNTED_FLOWS: u32 = 100;
/// Budgets when nobody said.
const HOST_BUDGET: Duration = Duration::from_secs(600);
/// The same with instructions counted beside: a first run is to end in a quarter of an hour.
const BESIDE_BUDGET: Duration = Duration::from_secs(480);
const GUEST_BUDGET: Duration = Duration::from_secs(300);
const LARGE_GUEST_BUDGET: Duration = Duration::from_secs(1_200);
/// Where nothing is left to the budget: a day is longer than any plan.
const NO_BUDGET: Duration = Duration::from_secs(86_400);

/// An environment, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedEnvironment {
    /// Its name.
    pub(crate) name: String,
    /// What executes it.
    pub(crate) accel: Accelerator,
    /// Variants that are measured there; empty: all.
    pub(crate) variants: Vec<String>,
    /// How much longer things take than expected, as far as opening it has shown.
    pub(crate) pace: f64,
    /// What cannot be measured there, as opening it has shown: it takes no time.
    pub(crate) lacks: BTreeSet<Case>,
}

impl PlannedEnvironment {
    /// The host's kernel.
    pub(crate) fn host() -> Self {
        Self {
            name: ENVIRONMENT.to_owned(),
            accel: Accelerator::None,
            variants: Vec::new(),
            pace: 1.0,
            lacks: BTreeSet::new(),
        }
    }

    /// Whether a variant is measured there.
    pub(crate) fn measures(&self, variant: &str) -> bool {
        self.variants.is_empty() || self.variants.iter().any(|name| name == variant)
    }

    /// What things take there over what they are expected to take on the host's kernel; where instructions are counted over
    /// their number.
    pub(super) fn slowdown(&self) -> f64 {
        self.pace * self.usual()
    }

    /// The same on the machine of which the expected times are.
    pub(super) const fn usual(&self) -> f64 {
        match self.accel {
            Accelerator::None => 1.0,
            Accelerator::Kvm => 1.5,
            Accelerator::Tcg => TRANSLATED,
            Accelerator::TcgIcount => COUNTED,
        }
    }

    /// What is asked there: of what only adds precision less where everything takes many times longer.
    pub(super) fn request(&self, settings: &Settings) -> Request {
        let (brief, flows) = match self.accel {
            Accelerator::None | Accelerator::Kvm => match settings.request.chosen.cache {
                Cache::Warm => (false, FLOWS),
                Cache::Cold => (false, BRIEF_FLOWS),
            },
            Accelerator::Tcg => (true, BRIEF_FLOWS),
            Accelerator::TcgIcount => (true, COUNTED_FLOWS),
        };
        Request {
            brief,
            counted: self.is_counted(),
            flows: settings.args.flows.unwrap_or(flows),
            ..settings.request.clone()
        }
    }

    /// Whether its time is executed instructions.
    pub(crate) fn is_counted(&self) -> bool {
        self.accel == Accelerator::TcgIcount
    }

    fn is_host(&self) -> bool {
        self.name == ENVIRONMENT
    }
}

/// How long a run goes on when nobody said.
pub(super) fn default_budget(settings: &Settings, environments: &[PlannedEnvironment]) -> Duration {
    // As many blocks as were named are the limit.
    if settings.args.deterministic || settings.args.until_decided {
        return NO_BUDGET;
    }
    let largest = settings.sides().iter().map(|s| s.request.largest).max();
    let mut timed = environments.iter().filter(|there| !there.is_counted());
    let beside = environments.iter().any(PlannedEnvironment::is_counted);
    match timed.all(PlannedEnvironment::is_host) {
        true if beside => BESIDE_BUDGET,
        true => HOST_BUDGET,
        false if largest <= Some(1_000) => GUEST_BUDGET,
        false => LARGE_GUEST_BUDGET,
    }
}
