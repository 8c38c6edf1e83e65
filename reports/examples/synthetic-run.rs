//! Writes a run that nobody measured, with its whole report: to look at the page and the charts before
//! there are real numbers, to check sentences over random results, and to time a report.
//!
//! ```text
//! cargo run -p reports --example synthetic-run -- DIR [KEY=VALUE…]
//! ```
//! Keys: `blocks`, `samples`, `seed`, `noise` (standard deviation between stays, as a share), `sizes`,
//! `endpoints` and `kernels` (with commas), `mishaps` (yes or no), `turned` (seed of orders of the two times of updates), `accel`
//! (tcg, tcg-icount), `leaving` (modes), `only` (a scenario), `many` (so many runs in directories of their own, each with another seed and other orders), `cells` (copies of the run in further environments until there
//! are so many lines), `report` (all, summary, none).

use std::path::{Path, PathBuf};

use schema::{Accelerator, ScenarioKind};

use synthetic::{Shape, Turned};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().ok_or("name a directory to make")?);
    let mut shape = Shape::default();
    let (mut kernels, mut cells, mut report) = (Vec::new(), 0, "all".to_owned());
    let mut endpoints: Vec<u32> = Vec::new();
    let mut leaving: Vec<String> = Vec::new();
    let (mut only, mut many, mut accel) = (None, None, None);
    for word in words {
        let (key, value) = word.split_once('=').ok_or("options are KEY=VALUE")?;
        match key {
            "blocks" => shape.blocks = value.parse()?,
            "samples" => shape.samples = value.parse()?,
            "seed" => shape.seed = value.parse()?,
            "noise" => shape.stay_noise = value.parse()?,
            "sizes" => shape.sizes = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "endpoints" => {
                endpoints = value.split(',').map(str::parse).collect::<Result<_, _>>()?
            }
            "leaving" => leaving = value.split(',').map(str::to_owned).collect(),
            "kernels" => kernels = value.split(',').map(str::to_owned).collect(),
            "turned" => shape.turned = Turned::by(value.parse()?),
            "mishaps" => shape.mishaps = value == "yes",
            "accel" => accel = Some(serde_json::from_value::<Accelerator>(value.into())?),
            "only" => only = Some(value.parse::<ScenarioKind>()?),
            "many" => many = Some(value.parse::<u64>()?),
            "cells" => cells = value.parse()?,
            "report" => value.clone_into(&mut report),
            _ => return Err(format!("unknown key '{key}'").into()),
        }
    }
    std::fs::create_dir(&dir)?;
    let names: Vec<&str> = kernels.iter().map(String::as_str).collect();
    let one = |dir: &Path, shape: &Shape| {
        let mut made = match endpoints.as_slice() {
            [] => synthetic::run_on(shape, &names),
            numbers => synthetic::run_over_endpoints(shape, &names, numbers),
        };
        made.cells
            .retain(|cell| only.is_none_or(|only| cell.key.scenario == only));
        if let Some(accel) = accel {
            synthetic::translate(&mut made, accel);
        }
        if !leaving.is_empty() {
            let arguments = &mut made.header.arguments;
            arguments.insert(schema::LEAVING.to_owned(), leaving.clone().into());
        }
        multiply(&mut made, cells);
        std::fs::write(dir.join("results.jsonl"), synthetic::lines(&made)?)?;
        finish(dir, &report)
    };
    let Some(many) = many else {
        return one(&dir, &shape);
    };
    for seed in shape.seed..shape.seed + many {
        let dir = dir.join(seed.to_string());
        std::fs::create_dir(&dir)?;
        let turned = Turned::by(seed);
        one(
            &dir,
            &Shape {
                seed,
                turned,
                ..shape.clone()
            },
        )?;
    }
    Ok(())
}

fn finish(dir: &Path, report: &str) -> Result<(), Box<dyn std::error::Error>> {
    match report {
        "all" => write(dir)?,
        "summary" => {
            let summary = reports::summarise(&reports::load(dir)?);
            std::fs::write(dir.join("summary.json"), serde_json::to_vec(&summary)?)?;
        }
        _ => {}
    }
    Ok(())
}

/// Copies the cells into further environments until there are so many.
fn multiply(run: &mut reports::Run, cells: usize) {
    let (ours, stays) = (run.cells.clone(), run.cells.len() as u32);
    let environments = run.header.environments.clone();
    let mut copy = 0;
    while run.cells.len() < cells {
        copy += 1;
        for (name, facts) in &environments {
            let name = format!("{name}-{copy}");
            run.header.environments.insert(name, facts.clone());
        }
        let room = cells - run.cells.len();
        run.cells
            .extend(ours.iter().take(room).cloned().map(|mut cell| {
                cell.key.environment = format!("{}-{copy}", cell.key.environment);
                cell.stay += stays * copy;
                cell
            }));
    }
    run.header.planned_cells = run.header.planned_cells.max(run.cells.len() as u64);
}

fn write(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let run = reports::load(dir)?;
    let summary = reports::summarise(&run);
    for path in reports::write_all(dir, &run, &summary)? {
        println!("{}", path.display());
    }
    Ok(())
}
