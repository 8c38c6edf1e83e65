//! The words of results: what `results.jsonl` and `summary.json` hold.
//!
//! A leaf crate on purpose: the harness writes these types, the reports read them, and neither sees
//! the other. Field names are a public contract (docs/results-format.md); a change of
//! meaning raises [`SCHEMA_VERSION`] and adds a step to [`migrate`].
//!
//! ```
//! use schema::{Metric, Mode};
//!
//! // A closed vocabulary: one name in options, JSON and charts.
//! let mode: Mode = "ipvs".parse()?;
//! assert_eq!(serde_json::to_string(&mode)?, r#""ipvs""#);
//! assert!("ipsv".parse::<Mode>().is_err());
//! assert_eq!(Metric::Latency.unit().name(), "ns");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod comparison;
mod identity;
mod metric;
pub mod migrate;
mod outcome;
mod record;
pub mod summary;

pub use identity::{CONTROL, CellKey, Mode, Options, Protocol, ScenarioKind, UnknownName};
pub use metric::{Direction, Metric, Unit};
pub use outcome::{Disturbance, Outcome, Stage};
pub use record::{
    Accelerator, CellRecord, EndRecord, Environment, Header, Record, ResumedRecord, Samples,
    SandboxKind, Series, Variant,
};

/// Version of the layout of `results.jsonl` and `summary.json`. Newer files are refused, older ones
/// are migrated.
pub const SCHEMA_VERSION: u32 = 2;
