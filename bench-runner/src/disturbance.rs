//! What a cell shows of a disturbance from outside: somebody else had the CPUs of the threads that measure, or batches
//! of flows that should be alike are not. Pure.
//!
//! A load that nobody reports is worse than noise: client and server spin, so that each round trip may wait for a slice
//! of the scheduler's (milliseconds where microseconds are measured), and UDP waits where TCP does not. `steal` sees
//! none of it: on a host it leaves local processes out, in a translated guest nobody counts it.

use scenarios::spec::CellOutcome;
use schema::{Disturbance, Metric, Outcome};

/// Share of a cell that a thread may wait for its CPU. On an idle machine of two CPUs, both of which spin, half of the
/// cells wait for 2 % or more (docs/noise.md#what-disturbs-a-cell).
const WAITED: f64 = 0.10;
/// What it may wait in all, nanoseconds: five slices of the scheduler's. Fewer hit as many flows, of hundreds.
const SLICES_NS: u64 = 20_000_000;
/// How far apart medians of batches may lie.
const APART: f64 = 1.5;
/// Flows of a batch.
const BATCH: usize = 50;

/// What disturbed a measured cell.
pub(crate) fn disturbances(cell: &CellOutcome) -> Vec<Disturbance> {
    if cell.outcome != Outcome::Measured {
        return Vec::new();
    }
    let waited = cell
        .run_delay_ns
        .is_some_and(|delay| delay > SLICES_NS && delay as f64 > WAITED * cell.elapsed_ns as f64);
    [
        (Disturbance::RunDelay, waited),
        (Disturbance::BatchMedians, batches_differ(cell)),
    ]
    .into_iter()
    .filter_map(|(what, seen)| seen.then_some(what))
    .collect()
}

fn batches_differ(cell: &CellOutcome) -> bool {
    let mut series = cell.series.iter();
    let Some(latencies) = series.find(|series| series.metric == Metric::Latency) else {
        return false;
    };
    let medians: Vec<f64> = latencies.values.chunks_exact(BATCH).map(middle).collect();
    let most = medians.iter().copied().fold(f64::MIN, f64::max);
    let least = medians.iter().copied().fold(f64::MAX, f64::min);
    most > APART * least
}

fn middle(batch: &[f64]) -> f64 {
    let mut sorted = batch.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Series, Unit};

    fn cell(run_delay_ns: Option<u64>, latencies: Vec<f64>) -> CellOutcome {
        CellOutcome {
            run_delay_ns,
            elapsed_ns: 300_000_000,
            series: vec![Series {
                metric: Metric::Latency,
                unit: Unit::Nanoseconds,
                values: latencies,
            }],
            ..crate::verdict::without_numbers(1, Outcome::Measured)
        }
    }

    #[test]
    fn a_thread_that_waited_for_more_than_a_tenth_of_the_cell_was_disturbed() {
        let even = vec![20_000.0; 200];
        assert_eq!(disturbances(&cell(Some(30_000_000), even.clone())), []);
        assert_eq!(
            disturbances(&cell(Some(30_000_001), even.clone())),
            [Disturbance::RunDelay]
        );
        let brief = CellOutcome {
            elapsed_ns: 40_000_000,
            ..cell(Some(20_000_000), even.clone())
        };
        assert_eq!(disturbances(&brief), [], "five slices hit five flows");
        assert_eq!(disturbances(&cell(None, even)), [], "unknown is not seen");
    }

    #[test]
    fn batches_that_lie_apart_show_a_disturbance_and_single_flows_do_not() {
        let mut flows = vec![20_000.0; 200];
        flows[3] = 8e6;
        assert_eq!(disturbances(&cell(Some(0), flows.clone())), []);
        flows[100..150].fill(31_000.0);
        assert_eq!(
            disturbances(&cell(Some(0), flows)),
            [Disturbance::BatchMedians]
        );
    }

    #[test]
    fn what_has_no_numbers_was_not_disturbed() {
        let cell = CellOutcome {
            outcome: Outcome::TimedOut { after_ns: None },
            ..cell(Some(300_000_000), Vec::new())
        };
        assert_eq!(disturbances(&cell), []);
    }
}
