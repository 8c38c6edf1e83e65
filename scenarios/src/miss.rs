//! `miss`: first packets that are for no service and cross the rules all the same: from a client straight to an endpoint, forwarded
//! by the node. Who walks a list walks all of it.

use schema::{Family, OptionKey, Options, PacketPath, Position, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{CellError, Result};
use crate::first_packet::{FirstPacket, Way, first_packets};
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario, layout_options};
use crate::stay::Stay;

/// The scenario.
#[derive(Debug)]
pub(crate) struct Miss;

impl Scenario for Miss {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Miss
    }

    /// Of each protocol.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let protocols = request.protocols.iter();
        let of = protocols.map(|protocol| {
            let mut options = Options::from([
                (OptionKey::Protocol, protocol.name()),
                (OptionKey::Family, Family::Ipv4.name()),
                (OptionKey::Path, PacketPath::Client.name()),
                (OptionKey::Cache, request.chosen.cache.name()),
            ]);
            layout_options(&mut options, asked, request.large_cluster);
            options
        });
        of.collect()
    }

    /// As first packets to services.
    fn expected_ns(&self, asked: Asked, options: &Options, request: &Request) -> u64 {
        FirstPacket.expected_ns(asked, options, request)
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let protocol = options
            .protocol()
            .ok_or_else(|| CellError::at(Stage::Measure, "a packet needs a protocol"))?;
        let way = Way::past_rules(stay, options);
        first_packets(stay, way, (Position::Uniform, protocol), options, recorder)
    }
}
