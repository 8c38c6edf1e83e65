//! `compare`: what changed between two runs, or between the two sides of one, and whether it fails a job.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};
use reports::compare::format::{FORMATS, Format};
use reports::compare::{Across, CompareError, Digest, Question, compare};
use reports::gate::Gate;
use reports::trend::History;
use schema::comparison::{Comparison, Conclusion};

use super::trend::refused;
use crate::exit::{Differs, Ended, Usage};

/// Where GitHub Actions wants a step's summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// What is held against: a run directory or a results.jsonl.
    #[arg(value_name = "BASE")]
    pub(crate) base: PathBuf,

    /// What is judged [default: the variants of BASE, or what --across names, side by side].
    #[arg(value_name = "NEW")]
    pub(crate) new: Option<PathBuf>,

    /// Hold BASE against the last runs of a history instead: each of these counts as a stay. A history is a file that
    /// `trend --append` wrote, or a folder of runs.
    #[arg(long, value_name = "FILE", conflicts_with = "new")]
    pub(crate) history: Option<PathBuf>,

    /// How many runs of the history that are, at most: those after the last change of environment.
    #[arg(long, value_name = "K", default_value = "10", requires = "history", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) last: u32,

    /// How to write it.
    #[arg(long, default_value = "text", value_parser = formats())]
    pub(crate) format: Format,

    /// When a change counts: a gate.toml instead of the default gate (`list gate` prints that).
    #[arg(long, value_name = "FILE")]
    pub(crate) gate: Option<PathBuf>,

    /// What may differ because it is the question: kernel, tools, sysctls, machine, sandbox, runner, variant, mode,
    /// services, endpoints, or an option of the cells such as transport.
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

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<Ended> {
    // Everything that is a mistake of the user's is found before anything else is said.
    let gate = match &args.gate {
        Some(path) => Gate::load(path).map_err(|error| Usage(error.to_string()))?,
        None => Gate::shipped(),
    };
    let base = Digest::load(&args.base)?;
    let (base, new) = match (&args.history, &args.new) {
        (Some(history), _) => (last_runs(history, &base, args)?, Some(base)),
        (None, new) => (base, new.as_deref().map(Digest::load).transpose()?),
    };
    let question = Question {
        gate,
        across: args.across.clone(),
    };
    let comparison = compare(&base, new.as_ref(), &question).map_err(|error| match error {
        CompareError::Usage(text) => anyhow::Error::from(Usage(text)),
        other => Differs(other.to_string()).into(),
    })?;
    for warning in [&base]
        .into_iter()
        .chain(&new)
        .flat_map(|run| &run.warnings)
    {
        eprintln!("warning: {warning}");
    }
    let text = args.format.render(&comparison)?;
    // What a job goes by is its exit code: a regression stays one when nobody could read of it.
    let written = std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("write to standard output")
        .and_then(|()| summary(args.format, &comparison));
    if comparison.conclusion == Conclusion::Regressed {
        if let Err(error) = written {
            eprintln!("warning: {error:#}");
        }
        return Ok(Ended::Regressed);
    }
    written.map(|()| Ended::done_if(comparison.conclusion == Conclusion::Passed))
}

/// The last runs of a history before the one that is judged.
fn last_runs(path: &Path, new: &Digest, args: &CompareArgs) -> anyhow::Result<Digest> {
    let mut history = History::default();
    history.add(path).map_err(refused)?;
    for warning in &history.warnings {
        eprintln!("warning: {warning}");
    }
    let side = history.side_for(new, args.last as usize, &args.across);
    side.ok_or_else(|| {
        let path = path.display();
        Usage(format!(
            "--history {path} has no run but {}: add one (trend --append)",
            args.base.display()
        ))
        .into()
    })
}

/// Appends the Markdown to the step's summary, where there is one.
fn summary(format: Format, comparison: &Comparison) -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    if format.name != "github" {
        return Ok(());
    }
    let markdown = Format::named("markdown").expect("a row of the table");
    let text = markdown.render(comparison)?;
    let path = Path::new(&path);
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {STEP_SUMMARY} {}", path.display()))
}
