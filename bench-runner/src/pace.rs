//! The pace of an environment: what corrects expected times, before a run by what this machine takes for a piece of
//! work, and once stays were made by those.

use std::sync::OnceLock;
use std::time::Duration;

use netns_harness::datapath::{RenderOptions, facts};
use netns_sys::clock;
use scenarios::population::{CLUSTER_IPS, Recipe};
use schema::{Family, KubeProxyVersion, Mode, NodeKind, Protocol};

/// What rendering [`SERVICES`] services in every mode took on the machine, and on the day, of which the expected times are.
const REFERENCE: Duration = Duration::from_millis(24);
const SERVICES: u32 = 1_000;
/// How long that is repeated for its least.
const LONG_ENOUGH_NS: u64 = 500_000_000;

/// How many times as long this machine takes for everything as the one of which the expected times are. Of a program
/// that is not optimised nothing is known.
pub(crate) fn of_this_machine() -> f64 {
    static PACE: OnceLock<f64> = OnceLock::new();
    *PACE.get_or_init(|| match cfg!(debug_assertions) {
        true => 1.0,
        false => tried(),
    })
}

fn tried() -> f64 {
    let recipe = Recipe {
        family: Family::Ipv4,
        seed: 1,
        endpoints: 2,
        protocols: &[Protocol::Tcp, Protocol::Udp],
        vip_stride: None,
        types: CLUSTER_IPS,
        imported: None,
    };
    let population = recipe.population(SERVICES);
    let datapaths = Mode::ALL.iter().map(|mode| {
        let facts = facts(*mode);
        (
            facts.ordinary(),
            (facts.make)(KubeProxyVersion::default(), NodeKind::default()),
        )
    });
    let datapaths: Vec<_> = datapaths.collect();
    let once = |()| {
        let since = clock::now();
        for (transport, datapath) in &datapaths {
            let batch = datapath.render(None, &population, &RenderOptions::by(*transport));
            std::hint::black_box(batch);
        }
        since.elapsed_ns()
    };
    // The first ones may find a processor that wakes up.
    let since = clock::now();
    let times = std::iter::repeat(()).take_while(|()| since.elapsed_ns() < LONG_ENOUGH_NS);
    let least = times.map(once).min().unwrap_or_default();
    Duration::from_nanos(least).div_duration_f64(REFERENCE)
}

/// What stays took, and were expected to take.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    took_ns: u64,
    expected_ns: u64,
}

impl Pace {
    /// One more stay.
    pub(crate) fn add(&mut self, took_ns: u64, expected_ns: u64) {
        self.took_ns += took_ns;
        self.expected_ns += expected_ns;
    }

    /// The one over the other; 1 before the first stay.
    pub(crate) fn factor(&self) -> f64 {
        match self.expected_ns {
            0 => 1.0,
            expected => self.took_ns as f64 / expected as f64,
        }
    }
}
