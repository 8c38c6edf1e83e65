//! Writes everything that a run directory holds beside its results again, as the end of a run does:
//! summary.json, summary.md, report.html and plots. For runs that were summarised by an older version.
//!
//! ```text
//! cargo run -p reports --example whole-report -- RUN
//! ```

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("name a run directory")?);
    let run = reports::load(&dir)?;
    let summary = reports::summarise(&run);
    for path in reports::write_all(&dir, &run, &summary)? {
        println!("{}", path.display());
    }
    Ok(())
}
