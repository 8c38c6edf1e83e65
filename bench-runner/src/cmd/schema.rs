//! `schema`: JSON Schemas of what a run writes.

use clap::ValueEnum;
use schema::{Record, comparison::Comparison, summary::Summary, trend::Trend};

use crate::exit::Ended;
use crate::stdout;

/// A file that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    Results,
    Summary,
    Comparison,
    Trend,
}

pub(crate) fn run(which: SchemaOf) -> anyhow::Result<Ended> {
    let schema = match which {
        SchemaOf::Results => schemars::schema_for!(Record),
        SchemaOf::Summary => schemars::schema_for!(Summary),
        SchemaOf::Comparison => schemars::schema_for!(Comparison),
        SchemaOf::Trend => schemars::schema_for!(Trend),
    };
    stdout::json(&schema)?;
    Ok(Ended::Done)
}
