//! `schema`: JSON Schemas of what a run writes.

use anyhow::Context as _;
use schema::{Record, comparison::Comparison, summary::Summary};

use crate::cli::{SchemaArgs, SchemaOf};
use crate::exit::Ended;
use crate::stdout::say;

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
