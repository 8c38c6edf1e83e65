//! What is measured. One file a scenario, one line in [`SCENARIOS`]; datapaths are known by their trait
//! only.

mod cold_install;
mod first_packet;
pub mod population;
pub mod position;
mod proof;
mod recorder;
mod scenario;
mod service_add;
pub mod spec;
mod stay;

pub use recorder::Recorder;
pub use scenario::{CellError, Request, Scenario};
pub use stay::{Stay, run_stay};

/// Every scenario, in the order of tables.
pub const SCENARIOS: &[&dyn Scenario] = &[
    &cold_install::ColdInstall,
    &service_add::ServiceAdd,
    &first_packet::FirstPacket,
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
