//! What the machine did between two runs: by how much mode `none`, in which nothing is installed that could have changed,
//! differs.

use std::collections::{BTreeMap, BTreeSet};

use schema::comparison::Drift;
use schema::{CellKey, Metric, Mode, ScenarioKind, Transport};

use super::digest::CellDigest;
use super::found::Unitary;
use super::pair::Pair;
use super::pool::{lanes, transport_of};
use crate::gate::Gate;
use crate::statistics::aligned_shift;

/// Without thresholds for the metric the machine counts as changed from this on.
const DRIFT: f64 = 0.025;

/// What the machine did between two runs.
#[derive(Debug, Default)]
pub(super) struct Drifts {
    /// To packets: by those of mode none, the control series included.
    pub(super) packets: Option<Drift>,
    /// To updates: by those that change nothing, of each transport.
    pub(super) updates: BTreeMap<Transport, Drift>,
}

impl Drifts {
    pub(super) fn of(pairs: &BTreeMap<CellKey, Pair<'_>>, gate: &Gate) -> Self {
        let updates = FLOORS.iter().filter_map(|transport| {
            let found = drift(
                pairs,
                gate,
                ScenarioKind::EmptyUpdate,
                Metric::UpdateTime,
                |key| transport_of(key) == Some(*transport),
            );
            Some((*transport, found?))
        });
        Self {
            packets: drift(
                pairs,
                gate,
                ScenarioKind::FirstPacket,
                Metric::Latency,
                |_| true,
            ),
            updates: updates.collect(),
        }
    }

    /// What it did to a metric of updates through these transports: where updates that change nothing were not measured, no
    /// less than it did to packets.
    pub(super) fn to(&self, metric: Metric, transports: &BTreeSet<Transport>) -> Vec<&Drift> {
        let floors: BTreeSet<Transport> = transports.iter().map(|of| floor_of(*of)).collect();
        let of_updates = floors.iter().filter_map(|floor| self.updates.get(floor));
        let of_updates: Vec<&Drift> = of_updates.collect();
        match metric == Metric::Latency || of_updates.is_empty() {
            true => self.packets.iter().collect(),
            false => of_updates,
        }
    }

    /// Every one, with what differs.
    pub(super) fn told(&self) -> Vec<(&Drift, String)> {
        let packets =
            "first packets of mode none, in which nothing is installed, differ".to_owned();
        let packets = self.packets.iter().map(|drift| (drift, packets.clone()));
        let updates = self.updates.iter().map(|(transport, drift)| {
            let what = format!(
                "an update that changes nothing differs ({})",
                transport.name()
            );
            (drift, what)
        });
        packets.chain(updates).collect()
    }
}

/// Transports whose updates that change nothing are measured.
const FLOORS: [Transport; 3] = [Transport::Restore, Transport::Nft, Transport::Netlink];

/// The one of them that an update through this transport is like: the start of a tool, or a transaction.
fn floor_of(transport: Transport) -> Transport {
    match transport {
        Transport::Netlink | Transport::Nft => transport,
        _ => Transport::Restore,
    }
}

/// By how much a metric of mode none differs.
fn drift(
    pairs: &BTreeMap<CellKey, Pair<'_>>,
    gate: &Gate,
    scenario: ScenarioKind,
    metric: Metric,
    asked: impl Fn(&CellKey) -> bool,
) -> Option<Drift> {
    let unit = |cell: &&CellDigest| {
        // Executed instructions are the same on any machine.
        let cell = Some(cell).filter(|cell| !cell.deterministic)?;
        let median = cell.get(metric)?.median;
        (median > 0.0).then(|| Unitary {
            block: cell.block,
            seed: cell.seed,
            value: median.ln(),
        })
    };
    let units = |side: &[&CellDigest]| side.iter().filter_map(unit).collect::<Vec<_>>();
    let cells: Vec<_> = pairs
        .iter()
        .filter(|(key, _)| key.mode == Mode::BARE && key.scenario == scenario && asked(key))
        .map(|(key, pair)| (key, units(&pair.base), units(&pair.new)))
        .filter(|(_, base, new)| !base.is_empty() && !new.is_empty())
        .collect();
    let lanes = lanes(
        cells
            .iter()
            .map(|(key, base, new)| (*key, &base[..], &new[..])),
    );
    let shift = aligned_shift(&lanes)?;
    let least = gate
        .of(metric, scenario)
        .map_or(DRIFT, |t| t.relative / 2.0);
    let told = shift
        .ci95
        .is_some_and(|[low, high]| low > 0.0 || high < 0.0);
    Some(Drift {
        ratio: shift.estimate.exp(),
        ci95: shift.ci95.map(|ends| ends.map(f64::exp)),
        counts: told && shift.estimate.exp_m1().abs() > least,
    })
}
