//! Cells measured behind planted rules (`--plant`): a change of known size for the gate to find.

use netns_harness::plant;
use schema::{ScenarioKind, Stage};

use crate::error::{CellError, Result};
use crate::recorder::Recorder;
use crate::spec::CellSpec;
use crate::stay::Stay;

/// Runs a cell; first packets of a mode that tracks connections behind the stay's planted rules. They stand only
/// meanwhile: a mode's census takes them for a foreign firewall.
///
/// # Errors
/// The cell's own; the rules could not be planted or removed, or were not crossed by every first packet.
pub(crate) fn run(stay: &mut Stay<'_>, cell: &CellSpec, recorder: &mut Recorder) -> Result {
    let scenario = crate::scenario(cell.scenario);
    let crossed = cell.scenario == ScenarioKind::FirstPacket && stay.datapath.facts().tracks;
    let Some(rules) = stay.spec.plant.filter(|_| crossed) else {
        return scenario.run(stay, &cell.options, recorder);
    };
    let family = stay.lab.family();
    stay.lab.on_node(|| plant::add(family, rules))?;
    let opened = stay.client.opened();
    let ran = scenario.run(stay, &cell.options, recorder);
    let packets = stay.on_node(Stage::Measure, || plant::remove(family))?;
    ran?;
    let flows = u64::from(stay.client.opened() - opened);
    if packets < flows {
        return Err(CellError::at(
            Stage::Counters,
            format!("{packets} packets crossed the planted rules, {flows} flows were opened"),
        ));
    }
    recorder.fact("planted_rules", rules);
    recorder.fact("planted_packets", packets);
    Ok(())
}
