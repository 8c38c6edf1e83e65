//! What the rules and connection tracking have counted around traffic: as many first packets as flows were opened, and nothing lost.

use std::time::Duration;

use netns_harness::meters;
use netns_harness::treatment::Source;
use schema::Stage;

use crate::error::{CellError, Result};
use crate::recorder::Recorder;
use crate::stay::Stay;

/// Counters of the rules and of connection tracking.
pub(crate) struct Seen {
    nat: Option<u64>,
    /// Of what the node sends, where it is asked to.
    pub(crate) sent: Option<u64>,
    conntrack: meters::Conntrack,
}

pub(crate) fn watch(stay: &Stay<'_>, from: Source) -> Result<Seen> {
    stay.on_node(Stage::Counters, || {
        Ok(Seen {
            nat: stay.datapath.nat_counters()?,
            sent: match from {
                Source::Node => stay.datapath.output_counters()?,
                _ => None,
            },
            conntrack: meters::conntrack()?,
        })
    })
}

/// For how many more flows connection tracking has room below half its limit; `None` where nothing is tracked or nobody says.
pub(crate) fn room(stay: &Stay<'_>, before: &Seen) -> Option<u32> {
    let (count, max) = before.conntrack.count.zip(before.conntrack.max)?;
    let room = (max / 2).saturating_sub(count);
    let tracks = stay.datapath.facts().tracks;
    tracks.then(|| u32::try_from(room).unwrap_or(u32::MAX))
}

/// Connection tracking must stay below half its limit.
pub(crate) fn check_room(stay: &Stay<'_>, before: &Seen, flows: u64) -> Result {
    if !stay.datapath.facts().tracks {
        return Ok(());
    }
    let why = match (before.conntrack.count, before.conntrack.max) {
        (Some(count), Some(max)) if 2 * (count + flows) <= max => return Ok(()),
        (Some(count), Some(max)) => format!(
            "{flows} more flows beside {count} tracked ones would pass half of nf_conntrack_max ({max})"
        ),
        _ => "nf_conntrack_count or nf_conntrack_max cannot be read: whether the table has room is unknown".to_owned(),
    };
    Err(CellError::at(Stage::Counters, why))
}

/// NAT's rules at prerouting must have counted so many first packets, and connection tracking lost none.
pub(crate) fn check_counters(
    stay: &Stay<'_>,
    [before, after]: [&Seen; 2],
    flows: u64,
    recorder: &mut Recorder,
) -> Result {
    let entries = after.conntrack.count;
    let said = entries.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    recorder.fact("conntrack_entries", said);
    let failed = |why: String| Err(CellError::at(Stage::Counters, why));
    match (before.conntrack.lost, after.conntrack.lost) {
        // Connection tracking may come with the first rules, and its statistics with it.
        (from, Some(to)) if from.unwrap_or(0) != to => {
            return failed(format!(
                "connection tracking has lost {to} entries in all, {} before (insert_failed, drop, early_drop)",
                from.unwrap_or(0)
            ));
        }
        (Some(_), None) => {
            return failed("the statistics of connection tracking are gone".to_owned());
        }
        (None, None) if after.conntrack.max.is_some() => recorder.fact(
            "conntrack_losses",
            "unknown: this kernel does not say insert_failed, drop and early_drop of nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)",
        ),
        _ => {}
    }
    let counted = before.nat.or(after.nat);
    match (crossed([before.nat, after.nat], flows)?, counted) {
        (Some(crossed), _) => recorder.fact("nat_packets", crossed),
        (None, None) if stay.datapath.programmer().is_some() => {
            recorder.fact(
                "nat_packets",
                "unknown: this kube-proxy's rules count no packets",
            );
        }
        _ if entries.is_some_and(|n| n > 0) => {
            return failed(format!(
                "{} tracked connections in a floor that tracks none",
                entries.unwrap_or_default()
            ));
        }
        _ => {}
    }
    Ok(())
}

/// How many first packets NAT's rules have counted meanwhile, one for each flow; `None` where they count none.
///
/// # Errors
/// More or fewer.
pub(crate) fn crossed(counts: [Option<u64>; 2], flows: u64) -> Result<Option<u64>> {
    let [Some(from), Some(to)] = counts else {
        return Ok(None);
    };
    let why = match to.checked_sub(from) {
        Some(crossed) if crossed == flows => return Ok(Some(crossed)),
        Some(crossed) => {
            format!("{crossed} packets crossed the nat rules, {flows} flows were opened")
        }
        None => format!(
            "the count of packets that crossed the nat rules fell from {from} to {to}: they were written anew meanwhile"
        ),
    };
    Err(CellError::at(Stage::Counters, why))
}

/// How long the client idles before each batch of flows whose instructions are counted: a few ticks of any kernel.
const IDLE: Duration = Duration::from_millis(20);

/// Idles where that costs nothing: what the kernel has put off is done before flows are counted. Without it a guest can go on for
/// hundreds of flows whose packets are not handled in the sender's own context (docs/deterministic.md).
pub(crate) fn let_softirqs_end(stay: &Stay<'_>) {
    if stay.spec.counted {
        std::thread::sleep(IDLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_first_packets_are_counted_as_flows_were_opened_where_any_are() {
        let counted = |from, to| crossed([from, to], 100).map_err(|e| e.to_string());
        assert_eq!(counted(Some(7), Some(107)), Ok(Some(100)));
        assert_eq!(counted(None, None), Ok(None));
        for (to, said) in [
            (106, "99 packets crossed the nat rules, 100 flows"),
            (108, "101 packets"),
            (6, "fell from 7 to 6"),
        ] {
            let why = counted(Some(7), Some(to)).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
    }
}
