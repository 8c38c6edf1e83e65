//! Writing what a run came to, as page and as Markdown. Writers import the view and quantities, and not each other.
//! Of files: every file under a temporary name first, then renamed, so that a reader
//! never sees half a file and a failed report leaves the last good one.

pub mod gobench;
pub mod html;
pub mod kcidb;
pub mod markdown;
pub mod openmetrics;
pub mod text;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use schema::summary::Summary;

use crate::load::{RESULTS, Run};
use crate::plots::{self, PlotError};
use html::render_html_beside;
use markdown::render_markdown;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A number that JSON cannot hold: it would silently become null.
    #[error("the summary's {place} is not a number: nothing was written")]
    NotFinite {
        /// Where in the summary.
        place: String,
    },
    /// The summary could not be encoded.
    #[error("encode the summary")]
    Encode {
        /// The encoder's answer.
        source: serde_json::Error,
    },
    /// A chart could not be drawn.
    #[error("draw {file}")]
    Draw {
        /// Which file.
        file: String,
        /// Why.
        source: PlotError,
    },
    /// The file system refused.
    #[error("write {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Writes `summary.json`, `summary.md`, `report.html`, `plots/*.svg` and `plots/*.png` into a run
/// directory; returns their paths in that order.
///
/// # Errors
/// [`WriteError`]; files written before the failure stay, whole.
pub fn write_all(dir: &Path, run: &Run, summary: &Summary) -> Result<Vec<PathBuf>, WriteError> {
    if let Some(place) = not_finite(summary) {
        return Err(WriteError::NotFinite { place });
    }
    let mut json =
        serde_json::to_vec_pretty(summary).map_err(|source| WriteError::Encode { source })?;
    json.push(b'\n');
    let mut written = Vec::new();
    let mut write = |name: &str, bytes: &[u8]| {
        written.push(replace(dir.join(name), bytes)?);
        Ok(())
    };
    let page = render_html_beside(&[(run, summary)], &[Some(RESULTS.to_owned())]);
    write("summary.json", &json)?;
    write("summary.md", render_markdown(&[(run, summary)]).as_bytes())?;
    write("report.html", page.as_bytes())?;
    let plots = dir.join("plots");
    fs::create_dir_all(&plots).map_err(|source| WriteError::File {
        path: plots,
        source,
    })?;
    for figure in plots::figures(run, summary) {
        let draw = |source| WriteError::Draw {
            file: figure.name.clone(),
            source,
        };
        let svg = figure.standalone_svg().map_err(draw)?;
        let png = plots::png(&svg).map_err(draw)?;
        write(&format!("plots/{}.svg", figure.name), svg.as_bytes())?;
        write(&format!("plots/{}.png", figure.name), &png)?;
    }
    Ok(written)
}

/// Where the summary holds a number that is none.
fn not_finite(summary: &Summary) -> Option<String> {
    let finite = |value: &f64| value.is_finite();
    // An end that rests on stays that timed out is infinite, and null in the file.
    let ends = |all: &[Option<[f64; 2]>]| {
        let mut ends = all.iter().flatten().flatten();
        ends.all(|end| finite(end) || *end == f64::INFINITY)
    };
    let row = summary.cells.iter().find(|row| {
        let known = row.median.iter().chain(row.quantiles.values()).all(finite);
        !known || !ends(&[row.ci95, row.range])
    });
    let fit = summary.fits.iter().find(|fit| {
        let all = [fit.ci95, fit.intercept_ci95, fit.range];
        let ends = all.iter().flatten().flatten();
        !ends.chain([&fit.intercept, &fit.estimate]).all(finite)
    });
    let noise = summary.noise.iter().find(|noise| {
        let ends = noise.ci95.iter().flatten();
        !ends.chain([&noise.ratio]).all(finite)
    });
    row.map(|row| format!("row {}", row.key))
        .or_else(|| fit.map(|fit| format!("fit of {} {} {}", fit.mode, fit.scenario, fit.metric)))
        .or_else(|| noise.map(|_| "noise".to_owned()))
}

fn replace(path: PathBuf, bytes: &[u8]) -> Result<PathBuf, WriteError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let attempt = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    match attempt() {
        Ok(()) => Ok(path),
        Err(source) => {
            // The first error is the one to report; a part left behind is only clutter.
            let _ = fs::remove_file(&temporary);
            Err(WriteError::File { path, source })
        }
    }
}
