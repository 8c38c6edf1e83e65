//! The file side of the benchmark: reads results, computes intervals and fits, writes the summary,
//! the plots and the page.
//!
//! Builds without Linux or root and never sees the harness: everything it knows is in the files.
//!
//! ```text
//! load(path) -> Run -> summarise -> Summary -> write_all (summary.json, summary.md, report.html, plots/)
//! ```
//!
//! The value of a cell, and how it is told:
//!
//! ```
//! use reports::{quantity, statistics::Known};
//! use schema::Unit;
//!
//! let medians_of_stays = [18_100.0, 17_900.0, 18_300.0, 18_000.0, 18_800.0, 18_140.0];
//! let known = Known::of_stays(&medians_of_stays).expect("there are stays");
//! assert_eq!(quantity::value(known.value, Unit::Nanoseconds), "18.1 µs");
//! assert!(known.ci95.is_some(), "six stays are enough for an interval");
//! assert!(Known::of_stays(&medians_of_stays[..5]).is_some_and(|known| known.ci95.is_none()));
//! ```

pub mod compare;
pub mod gate;
mod gobench;
mod load;
pub mod plots;
pub mod quantity;
pub mod statistics;
mod summarise;
pub mod trend;
pub mod view;
pub mod write;
mod xml;

pub use load::{LoadError, Run, load, load_start, results_of};
pub use summarise::{
    Answer, Apart, Asked, Beside, BesideLine, FloorRatios, Ratio, beside, floor_ratios, matrix,
    summarise,
};
pub use view::Standing;
pub use write::gobench::render_gobench;
pub use write::html::{render_html, render_html_beside};
pub use write::kcidb::render_kcidb;
pub use write::markdown::render_markdown;
pub use write::openmetrics::render_openmetrics;
pub use write::text::{TERMINAL, render_tables, render_text};
pub use write::{WriteError, write_all};
