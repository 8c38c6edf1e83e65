//! `trend`: which series of a history changed when, and whether that fails a job.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};
use reports::compare::Across;
use reports::gate::Gate;
use reports::trend::format::{FORMATS, Format};
use reports::trend::{History, HistoryError, TrendQuestion, trend};

use crate::exit::{Ended, Usage};

/// Options of `trend`.
#[derive(Debug, Args)]
pub(crate) struct TrendArgs {
    /// Runs, folders of runs, or histories that --append wrote; in any order.
    #[arg(value_name = "RUN", required_unless_present = "append")]
    pub(crate) runs: Vec<PathBuf>,

    /// A run of the history, or a time such as 2026-11-22: a regression after it is new, and ends with exit code 3.
    #[arg(long, value_name = "RUN")]
    pub(crate) since: Option<String>,

    /// Add the runs to this history, made where it is not there: one file for a CI cache, of at most 500 runs and 8 MiB, from
    /// which the oldest go.
    #[arg(long, value_name = "FILE")]
    pub(crate) append: Option<PathBuf>,

    /// How to write it.
    #[arg(long, default_value = "text", value_parser = formats())]
    pub(crate) format: Format,

    /// Where to write [default: standard output].
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,

    /// When a change counts: a gate.toml instead of the default gate (`list gate` prints that).
    #[arg(long, value_name = "FILE")]
    pub(crate) gate: Option<PathBuf>,

    /// What may change because it is the question: kernel, tools, sysctls, machine, runner, kube_proxy. Anything else that
    /// changes around the measurements is shown as such, and nothing is held against what was before.
    #[arg(long, value_name = "KEY[,KEY…]", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) across: Vec<Across>,
}

/// The words of `--format`.
fn formats() -> impl TypedValueParser<Value = Format> {
    let words = FORMATS
        .iter()
        .map(|format| PossibleValue::new(format.name).help(format.about));
    PossibleValuesParser::new(words).map(|name| Format::named(&name).expect("one of the words"))
}

pub(crate) fn run(args: &TrendArgs) -> anyhow::Result<Ended> {
    let gate = match &args.gate {
        Some(path) => Gate::load(path).map_err(|error| Usage(error.to_string()))?,
        None => Gate::shipped(),
    };
    let mut history = History::default();
    let kept = args.append.iter().filter(|file| file.exists());
    for path in kept.chain(&args.runs) {
        history.add(path).map_err(refused)?;
    }
    for warning in &history.warnings {
        eprintln!("warning: {warning}");
    }
    if history.is_empty() {
        return Err(
            Usage("there is no run: name one, a folder of runs or a history".to_owned()).into(),
        );
    }
    // Before anything is written: a mistake leaves the history as it was.
    let place = |since: &String| history.place(since);
    let since = args.since.as_ref().map(place).transpose();
    let since = since.map_err(|error| Usage(format!("--since {error}")))?;
    if let Some(file) = &args.append {
        let kept = history
            .write(file)
            .map_err(|error| Usage(format!("--append: {error}")))?;
        if kept < history.len() {
            eprintln!(
                "warning: {}: {} of {} runs kept, the newest",
                file.display(),
                kept,
                history.len()
            );
        }
    }
    let question = TrendQuestion {
        gate,
        across: args.across.clone(),
        since,
    };
    let trend = trend(&history, &question);
    let text = args.format.render(&trend)?;
    let written = match &args.out {
        Some(path) => std::fs::write(path, text)
            .map_err(|e| Usage(format!("cannot write --out {}: {e}", path.display())).into()),
        None => std::io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .context("write to standard output"),
    };
    if trend.regressions > 0 {
        // What a job goes by is its exit code: a regression stays one when nobody could read of it.
        if let Err(error) = written {
            eprintln!("warning: {error:#}");
        }
        return Ok(Ended::Regressed);
    }
    written.map(|()| Ended::Done)
}

/// A history that cannot be read is a mistake of the user's, as a run is.
pub(crate) fn refused(error: HistoryError) -> anyhow::Error {
    match error {
        HistoryError::Run(error) => error.into(),
        error => Usage(error.to_string()).into(),
    }
}
