//! Writes results that nobody measured, to show what `compare` does with them.
//!
//! ```text
//! compare-results sides DIR            base, new, worse, better, ab, ab-worse, kernel, one-failed, missing …
//! compare-results samples DIR COUNT    base and new with COUNT samples each
//! compare-results bytes DIR BYTES      one file, base, of at least BYTES
//! ```

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use reports::Run;
use schema::{Mode, Outcome, Record, ScenarioKind, Stage};
use synthetic::Sides;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, dir, rest @ ..] = &words[..] else {
        return Err("say what to write, and where".into());
    };
    let dir = Path::new(dir);
    match (what.as_str(), rest) {
        ("sides", []) => sides(dir),
        ("samples", [count]) => samples(dir, count.parse()?),
        ("bytes", [bytes]) => of_size(dir, bytes.parse()?),
        _ => Err("sides DIR, samples DIR COUNT, or bytes DIR BYTES".into()),
    }
}

fn write(dir: &Path, name: &str, run: &Run) -> Result<()> {
    Ok(std::fs::write(
        dir.join(name).with_extension("jsonl"),
        synthetic::lines(run)?,
    )?)
}

fn lacking(run: &Run, blocks: u32) -> Run {
    let mut run = run.clone();
    let updates = |key: &schema::CellKey| key.scenario == ScenarioKind::ServiceAdd;
    for cell in run
        .cells
        .iter_mut()
        .filter(|cell| updates(&cell.key) && cell.block < blocks)
    {
        cell.outcome = Outcome::Failed {
            stage: Stage::Proof,
            reason: "1 difference: 10.96.3.7:80/tcp is missing <by \"hand\"> & | `kept`".to_owned(),
        };
        cell.series.clear();
    }
    run
}

fn elsewhere(run: &Run) -> Run {
    let mut run = run.clone();
    for facts in run.header.environments.values_mut() {
        "6.19.1".clone_into(&mut facts.kernel);
    }
    run
}

fn sides(dir: &Path) -> Result<()> {
    let like = |effect: f64| Sides {
        modes: vec![Mode::None, Mode::IptablesLegacy, Mode::Nftables],
        blocks: 8,
        samples: 20,
        updates: true,
        effect,
        affects: |key| key.mode == Mode::Nftables,
        ..Sides::default()
    };
    let [base, new] = like(1.0).in_two_runs();
    write(dir, "base", &base)?;
    write(dir, "new", &new)?;
    write(dir, "one-failed", &lacking(&new, 1))?;
    write(dir, "missing", &lacking(&new, u32::MAX))?;
    write(dir, "kernel", &elsewhere(&new))?;
    let [_, worse] = like(2.0).in_two_runs();
    write(dir, "worse", &worse)?;
    write(dir, "worse-and-failed", &lacking(&worse, 1))?;
    write(dir, "worse-elsewhere", &elsewhere(&worse))?;
    let [_, better] = like(0.5).in_two_runs();
    write(dir, "better", &better)?;
    write(dir, "ab", &like(1.0).in_one_run())?;
    write(dir, "ab-worse", &like(2.0).in_one_run())
}

/// 6 modes × 5 sizes × 8 cells × 10 stays a side.
fn samples(dir: &Path, count: usize) -> Result<()> {
    let shape = Sides {
        sizes: vec![100, 300, 1_000, 3_000, 10_000],
        ..Sides::default()
    };
    let cells = shape.modes.len() * shape.sizes.len() * 8 * shape.blocks as usize;
    let [base, new] = Sides {
        samples: count.div_ceil(cells),
        ..shape
    }
    .in_two_runs();
    write(dir, "base", &base)?;
    write(dir, "new", &new)
}

/// A block at a time, so that memory does not grow with the file.
fn of_size(dir: &Path, bytes: u64) -> Result<()> {
    let mut out = BufWriter::new(File::create(dir.join("base.jsonl"))?);
    let (mut written, mut stays) = (0, 0);
    for block in 0.. {
        let [mut run, _] = Sides {
            seed: block.into(),
            blocks: 1,
            samples: 20_000,
            ..Sides::default()
        }
        .in_two_runs();
        if block == 0 {
            let line = serde_json::to_string(&Record::Header(run.header.clone()))?;
            writeln!(out, "{line}")?;
        }
        let next = stays
            + run
                .cells
                .iter()
                .map(|cell| cell.stay + 1)
                .max()
                .unwrap_or(0);
        for cell in &mut run.cells {
            (cell.block, cell.stay) = (block, cell.stay + stays);
            let line = serde_json::to_string(&Record::Cell(cell.clone()))?;
            written += line.len() as u64 + 1;
            writeln!(out, "{line}")?;
        }
        stays = next;
        if written >= bytes {
            break;
        }
    }
    Ok(out.flush()?)
}
