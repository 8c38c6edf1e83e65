//! What is measured. One file a scenario, one line in [`SCENARIOS`]; datapaths are known by their trait
//! only.
//!
//! ```
//! use scenarios::population::{CLUSTER_IPS, Recipe};
//! use schema::{Family, Protocol};
//!
//! let recipe = Recipe { family: Family::Ipv4, seed: 1, endpoints: 2, protocols: &[Protocol::Tcp, Protocol::Udp], vip_stride: None, types: CLUSTER_IPS, imported: None };
//! let population = recipe.population(100);
//! // The same in every mode, and adding a service changes no other.
//! assert_eq!(recipe.population(101).services[..100], population.services);
//! ```

mod chosen;
mod cold_install;
mod conduct;
mod connect_rate;
mod conntrack_clean;
pub mod cost;
mod counters;
mod drawn;
mod empty_update;
mod endpoint_churn;
mod error;
mod established;
mod first_packet;
mod idle;
pub mod imported;
mod kube_proxy;
mod list_update;
mod listing;
mod lists;
mod live_set;
mod match_list;
mod memory;
mod miss;
mod node;
mod path;
mod plant;
pub mod population;
mod position;
mod proof;
mod read_back;
mod recorder;
mod resync;
mod rule_count;
mod scale_down;
mod scenario;
mod service_add;
mod service_remove;
mod set_swap;
pub mod spec;
mod stay;
mod sync;
mod teardown;
mod treatments;
mod update;

pub use chosen::{Chosen, within};
pub use conduct::run_stay;
pub use connect_rate::LONGEST_PAUSES;
pub use conntrack_clean::TRACKED_S;
pub use error::{CellError, Result};
pub use first_packet::most_flows_of_node;
pub use listing::listing;
pub use node::{no_room, preparation};
pub use recorder::Recorder;
pub use scenario::{LargeCluster, Needs, Request, Scenario, layout_options};
pub use stay::Stay;

/// Every scenario, in the order of tables.
pub const SCENARIOS: &[&dyn Scenario] = &[
    &cold_install::ColdInstall,
    &resync::Resync,
    &service_add::SERVICE_ADD,
    &service_remove::SERVICE_REMOVE,
    &endpoint_churn::ENDPOINT_CHURN,
    &scale_down::ScaleDown,
    &conntrack_clean::ConntrackClean,
    &idle::Idle,
    &set_swap::SetSwap,
    &read_back::ReadBack,
    &teardown::Teardown,
    &empty_update::EmptyUpdate,
    &first_packet::FirstPacket,
    &established::Established,
    &connect_rate::ConnectRate,
    &miss::Miss,
    &memory::Memory,
    &rule_count::RuleCount,
    &match_list::MatchList,
    &list_update::ListUpdate,
    &live_set::LiveSet,
];

/// The scenario of a kind.
#[must_use]
pub fn scenario(kind: schema::ScenarioKind) -> &'static dyn Scenario {
    SCENARIOS
        .iter()
        .copied()
        .find(|s| s.kind() == kind)
        .expect("every kind is registered, which a test holds")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_of_scenario_is_registered_once() {
        let registered: Vec<_> = super::SCENARIOS.iter().map(|s| s.kind()).collect();
        assert_eq!(registered, schema::ScenarioKind::ALL);
    }
}
