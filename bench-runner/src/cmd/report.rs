//! `report`: page, plots and summary again, from the results alone; of several runs on one page.

use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use schema::OutcomeKind;
use schema::summary::{Row, Summary};

use crate::exit::{Ended, Usage};
use crate::stdout::say;

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run directories or results.jsonl files: several are put beside each other on one page.
    #[arg(value_name = "RUN", required = true, num_args = 1..)]
    pub(crate) runs: Vec<PathBuf>,

    /// What to make.
    #[arg(long, default_value = "html")]
    pub(crate) format: Format,

    /// Where to write: a file, or a directory for svg and png (of several runs one a run inside it) [default: standard
    /// output; each run's plots directory for svg and png].
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
}

/// What `report` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The page.
    Html,
    /// The page's tables and sentences, for a pull request.
    Markdown,
    /// A mail: five sentences and the tables, at most 75 columns and 100 kB.
    Text,
    /// Each run's summary.json.
    Json,
    /// The charts.
    Svg,
    /// The charts, as pictures.
    Png,
    /// What KernelCI's database takes (KCIDB 5.3): a test a cell and metric, with its number.
    Kcidb,
    /// OpenMetrics text: medians and their intervals, for a text file that a node exporter reads.
    Openmetrics,
    /// Go benchmark text: a line a stay, for `benchstat BEFORE AFTER`.
    Gobench,
}

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Ended> {
    let mut runs = Vec::new();
    for path in &args.runs {
        let run = reports::load(path)?;
        for warning in &run.warnings {
            match args.runs.len() {
                1 => eprintln!("warning: {warning}"),
                _ => eprintln!("warning: {}: {warning}", path.display()),
            }
        }
        let summary = reports::summarise(&run);
        runs.push((run, summary));
    }
    let parts: Vec<_> = runs.iter().map(|(run, summary)| (run, summary)).collect();
    let out = args.out.as_deref();
    let of_each = |text: fn(&Summary) -> anyhow::Result<String>| {
        let texts: anyhow::Result<Vec<String>> = parts.iter().map(|(_, s)| text(s)).collect();
        write(&(texts?.join("\n") + "\n"), out)
    };
    match args.format {
        Format::Html => {
            let results = args.runs.iter().map(|run| reports::results_of(run));
            let results: Vec<_> = results.map(|file| beside(out?, &file)).collect();
            write(&reports::render_html_beside(&parts, &results), out)?;
        }
        Format::Markdown => write(&reports::render_markdown(&parts), out)?,
        Format::Text => {
            let texts: Vec<String> = parts
                .iter()
                .map(|(run, s)| reports::render_text(run, s))
                .collect();
            write(&texts.join("\n"), out)?;
        }
        Format::Kcidb => {
            let kcidb = serde_json::to_string_pretty(&reports::render_kcidb(&parts))?;
            write(&(kcidb + "\n"), out)?;
        }
        Format::Openmetrics => write(&reports::render_openmetrics(&parts), out)?,
        Format::Gobench => {
            let runs: Vec<_> = runs.iter().map(|(run, _)| run).collect();
            write(&reports::render_gobench(&runs), out)?;
        }
        Format::Json => of_each(|summary| Ok(serde_json::to_string_pretty(summary)?))?,
        Format::Svg | Format::Png => {
            for (index, (path, part)) in args.runs.iter().zip(&parts).enumerate() {
                draw(args.format, &folder(args, path, index), *part)?;
            }
        }
    }
    let is_measured = |row: &Row| row.outcome == OutcomeKind::Measured;
    let mut summaries = parts.iter().map(|(_, summary)| summary);
    let all = summaries.all(|summary| summary.cells.iter().any(is_measured));
    Ok(Ended::done_if(all))
}

/// Where the charts of a run go.
fn folder(args: &ReportArgs, run: &Path, index: usize) -> PathBuf {
    match &args.out {
        Some(out) if args.runs.len() > 1 => out.join(format!("run-{}", index + 1)),
        Some(out) => out.clone(),
        None if run.is_dir() => run.join("plots"),
        None => PathBuf::from("plots"),
    }
}

/// The path of the results as seen from the page, where both lie under the page's directory.
fn beside(page: &Path, results: &Path) -> Option<String> {
    let here = page.parent().filter(|p| !p.as_os_str().is_empty());
    let here = here.unwrap_or(Path::new(".")).canonicalize().ok()?;
    let results = results.canonicalize().ok()?;
    let path = results.strip_prefix(&here).ok()?;
    let names = path.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("/"))
}

/// Writes every chart into `folder`; says where on standard output.
fn draw(
    format: Format,
    folder: &Path,
    (run, summary): (&reports::Run, &Summary),
) -> anyhow::Result<()> {
    let refused =
        |e: std::io::Error| Usage(format!("cannot write --out {}: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refused)?;
    for figure in reports::plots::figures(run, summary) {
        let svg = figure.standalone_svg()?;
        let (extension, bytes) = match format {
            Format::Png => ("png", reports::plots::png(&svg)?),
            _ => ("svg", svg.into_bytes()),
        };
        let path = folder.join(format!("{}.{extension}", figure.name));
        std::fs::write(&path, bytes).map_err(refused)?;
        say!("{}", path.display());
    }
    Ok(())
}

fn write(text: &str, out: Option<&Path>) -> anyhow::Result<()> {
    match out {
        Some(path) => std::fs::write(path, text)
            .map_err(|e| Usage(format!("cannot write --out {}: {e}", path.display())).into()),
        None => std::io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .context("write to standard output"),
    }
}
