//! Go benchmark text of runs: `benchstat BEFORE AFTER`, or `-col kernel`. A line for each stay of each cell.

use schema::Outcome;

use crate::gobench::{Values, heading, name, result, setting};
use crate::load::Run;
use crate::statistics::median;

/// Every measured stay of the runs, under the settings of its environment.
#[must_use]
pub fn render_gobench(runs: &[&Run]) -> String {
    let cells = || runs.iter().flat_map(|run| &run.cells);
    let measured = cells().filter(|cell| cell.outcome == Outcome::Measured);
    let series = measured.flat_map(|cell| &cell.series);
    let mut out = heading(series.map(|series| (series.metric, series.unit)));
    for run in runs {
        out += &setting("revision", &run.header.revision);
        for (environment, facts) in &run.header.environments {
            let of_it = run.cells.iter().filter(|cell| {
                cell.outcome == Outcome::Measured && cell.key.environment == *environment
            });
            let mut of_it = of_it.peekable();
            if of_it.peek().is_none() {
                continue;
            }
            for (name, value) in [("goarch", &facts.machine), ("cpu", &facts.cpu)] {
                out += &setting(name, value);
            }
            out += &setting("kernel", &facts.kernel);
            for cell in of_it {
                let values: Values = cell
                    .series
                    .iter()
                    .filter_map(|one| {
                        let finite = one.values.iter().copied().filter(|v| v.is_finite());
                        Some(((one.metric, one.unit), median(finite)?))
                    })
                    .collect();
                let samples = cell.series.iter().map(|one| one.values.len() as u64).max();
                if !values.is_empty() {
                    out += &result(&name(&cell.key), samples.unwrap_or(1), &values);
                }
            }
        }
    }
    out
}
