//! Writes a run that nobody measured, with its whole report: to look at the page and the charts before
//! there are real numbers, and to time a report.
//!
//! ```text
//! cargo run -p reports --example synthetic-run -- DIR [BLOCKS [SAMPLES [KERNEL…]]]
//! ```

use std::path::PathBuf;

use reports::synthetic::{self, Shape};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().ok_or("name a directory to make")?);
    let mut shape = Shape::default();
    if let Some(blocks) = words.next() {
        shape.blocks = blocks.parse()?;
    }
    if let Some(samples) = words.next() {
        shape.samples = samples.parse()?;
    }
    std::fs::create_dir(&dir)?;
    let kernels: Vec<String> = words.collect();
    let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
    let made = synthetic::run_on(&shape, &kernels);
    std::fs::write(dir.join("results.jsonl"), synthetic::lines(&made)?)?;
    let run = reports::load(&dir)?;
    let summary = reports::summarise(&run);
    for path in reports::write_all(&dir, &run, &summary)? {
        println!("{}", path.display());
    }
    Ok(())
}
