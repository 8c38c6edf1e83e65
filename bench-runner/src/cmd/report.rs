//! `report`: page, plots and summary again, from the results alone.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::cli::{Format, ReportArgs};
use crate::exit::{Ended, Usage};
use crate::stdout::say;

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Ended> {
    let run = reports::load(&args.run)?;
    for warning in &run.warnings {
        eprintln!("warning: {warning}");
    }
    let summary = reports::summarise(&run);
    match args.format {
        Format::Html => write(
            &reports::render_html(&[(&run, &summary)]),
            args.out.as_deref(),
        )?,
        Format::Markdown => write(
            &reports::render_markdown(&[(&run, &summary)]),
            args.out.as_deref(),
        )?,
        Format::Svg | Format::Png => {
            let default = if args.run.is_dir() {
                args.run.join("plots")
            } else {
                Path::new("plots").to_path_buf()
            };
            draw(
                args.format,
                args.out.as_deref().unwrap_or(&default),
                &summary,
            )?;
        }
    }
    let measured = summary.cells.iter().any(|row| row.outcome == "measured");
    Ok(if measured { Ended::Done } else { Ended::Failed })
}

/// Writes every chart into `folder`; says where on standard output.
fn draw(format: Format, folder: &Path, summary: &schema::summary::Summary) -> anyhow::Result<()> {
    let refused =
        |e: std::io::Error| Usage(format!("cannot write --out {}: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refused)?;
    for figure in reports::plots::figures(summary) {
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
