//! What a cell shows of a disturbance from outside: somebody else had the CPUs of the threads that measure, or batches
//! of flows that should be alike are not. Pure.
//!
//! A load that nobody reports is worse than noise: client and server spin, so that each round trip may wait for a slice
//! of the scheduler's (milliseconds where microseconds are measured), and UDP waits where TCP does not. `steal` sees
//! none of it: on a host it leaves local processes out, in a translated guest nobody counts it.

use scenarios::LONGEST_PAUSES;
use scenarios::spec::CellOutcome;
use schema::{Disturbance, Metric, Outcome, Series};

/// Share of a cell that a thread may wait for its CPU. On an idle machine of two CPUs, both of which spin, half of the
/// cells wait for 2 % or more (docs/noise.md#what-disturbs-a-cell).
const WAITED: f64 = 0.10;
/// What it may wait in all, nanoseconds: five slices of the scheduler's. Fewer hit as many flows, of hundreds.
const SLICES_NS: u64 = 20_000_000;
/// How far apart medians of batches may lie.
const APART: f64 = 1.5;
/// Share of flows at a rate that may be late.
const LATE: f64 = 0.01;
/// How long the longest pauses between two of them may be, nanoseconds.
const PAUSE_NS: u64 = 2_000_000;
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
        (Disturbance::Generator, generator_was_the_limit(cell)),
    ]
    .into_iter()
    .filter_map(|(what, seen)| seen.then_some(what))
    .collect()
}

fn batches_differ(cell: &CellOutcome) -> bool {
    let Some(latencies) = series(cell, Metric::Latency).filter(|series| !series.as_histogram)
    else {
        return false;
    };
    let medians: Vec<f64> = latencies.values.chunks_exact(BATCH).map(middle).collect();
    let most = medians.iter().copied().fold(f64::MIN, f64::max);
    let least = medians.iter().copied().fold(f64::MAX, f64::min);
    most > APART * least
}

fn series(cell: &CellOutcome, metric: Metric) -> Option<&Series> {
    cell.series.iter().find(|series| series.metric == metric)
}

/// Of flows at a rate: whether they were sent when they were due.
fn generator_was_the_limit(cell: &CellOutcome) -> bool {
    let sum = |metric| series(cell, metric).map(|series| series.values.iter().sum::<f64>());
    let Some(late) = sum(Metric::Late) else {
        return false;
    };
    let answered = series(cell, Metric::Latency).map_or(0, |series| series.values.len());
    let sent = answered as f64 + sum(Metric::Lost).unwrap_or(0.0);
    let pause = cell.facts.get(LONGEST_PAUSES);
    let pause_ns = pause.and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    late > LATE * sent || pause_ns > PAUSE_NS
}

fn middle(batch: &[f64]) -> f64 {
    let mut sorted = batch.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Unit;

    fn cell(run_delay_ns: Option<u64>, latencies: Vec<f64>) -> CellOutcome {
        CellOutcome {
            run_delay_ns,
            elapsed_ns: 300_000_000,
            series: vec![Series {
                metric: Metric::Latency,
                unit: Unit::Nanoseconds,
                values: latencies,
                as_histogram: false,
            }],
            ..crate::verdict::without_numbers(1, Outcome::Measured)
        }
    }

    #[test]
    fn a_generator_that_does_not_keep_up_is_the_limit() {
        let paced = |late: f64, pause_ns: u64| {
            let mut cell = cell(None, vec![20_000.0; 990]);
            for (metric, value) in [(Metric::Lost, 10.0), (Metric::Late, late)] {
                cell.series.push(Series {
                    metric,
                    unit: Unit::Count,
                    values: vec![value],
                    as_histogram: false,
                });
            }
            let pause = (LONGEST_PAUSES.to_owned(), pause_ns.to_string());
            cell.facts.extend([pause]);
            disturbances(&cell)
        };
        assert_eq!(paced(10.0, 2_000_000), []);
        assert_eq!(paced(11.0, 2_000_000), [Disturbance::Generator]);
        assert_eq!(paced(0.0, 2_000_001), [Disturbance::Generator]);
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
