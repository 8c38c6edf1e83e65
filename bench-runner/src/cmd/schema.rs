//! `schema`: JSON Schemas of what a run writes.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use schema::{Record, comparison::Comparison, summary::Summary};

use crate::exit::Ended;
use crate::stdout::say;

/// Options of `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which file's schema.
    #[arg(default_value = "results")]
    pub(crate) which: SchemaOf,
}

/// A file that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    Results,
    Summary,
    Comparison,
}

pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<Ended> {
    let schema = match args.which {
        SchemaOf::Results => schemars::schema_for!(Record),
        SchemaOf::Summary => schemars::schema_for!(Summary),
        SchemaOf::Comparison => schemars::schema_for!(Comparison),
    };
    say!(
        "{}",
        serde_json::to_string_pretty(&schema).context("encode the schema")?
    );
    Ok(Ended::Done)
}
