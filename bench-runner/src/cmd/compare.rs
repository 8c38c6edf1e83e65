//! `compare`: what changed between two runs, or between the two sides of one, and whether it fails a job.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use reports::compare::{CompareError, Digest, Question, compare, format};
use reports::gate::Gate;
use schema::comparison::{Comparison, Conclusion};

use crate::cli::{CompareArgs, CompareFormat};
use crate::exit::{Differs, Ended, Usage};

/// Where GitHub Actions wants a step's summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<Ended> {
    // Everything that is a mistake of the user's is found before anything else is said.
    let gate = match &args.gate {
        Some(path) => Gate::load(path).map_err(|error| Usage(error.to_string()))?,
        None => Gate::shipped(),
    };
    let base = Digest::load(&args.base)?;
    let new = args.new.as_deref().map(Digest::load).transpose()?;
    let question = Question {
        gate,
        across: args.across.clone(),
    };
    let comparison = compare(&base, new.as_ref(), &question).map_err(|error| match error {
        CompareError::Usage(text) => anyhow::Error::from(Usage(text)),
        other => Differs(other.to_string()).into(),
    })?;
    for warning in base
        .warnings
        .iter()
        .chain(new.iter().flat_map(|run| &run.warnings))
    {
        eprintln!("warning: {warning}");
    }
    let text = format::render(&comparison, args.format.into())?;
    // What a job goes by is its exit code: a regression stays one when nobody could read of it.
    let written = std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("write to standard output")
        .and_then(|()| summary(args.format, &comparison));
    match comparison.conclusion {
        Conclusion::Regressed => {
            if let Err(error) = written {
                eprintln!("warning: {error:#}");
            }
            Ok(Ended::Regressed)
        }
        Conclusion::Failed => written.map(|()| Ended::Failed),
        Conclusion::Passed => written.map(|()| Ended::Done),
    }
}

/// Appends the Markdown to the step's summary, where there is one.
fn summary(format: CompareFormat, comparison: &Comparison) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    if format != CompareFormat::Github {
        return Ok(());
    }
    let text = format::render(comparison, format::Format::Markdown)?;
    let path = Path::new(&path);
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {STEP_SUMMARY} {}", path.display()))
}
