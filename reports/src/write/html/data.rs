//! The data of the page, to take away: the summary inside the page, the results beside it.

use std::io::{self, BufWriter, Write};

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use maud::{Markup, html};
use schema::summary::Summary;

use crate::load::RESULTS;
use crate::quantity::whole;

/// The largest summary that a page holds, compressed, in bytes: a page stays small enough to mail.
const EMBEDDED: usize = 450_000;

/// Links to the data. `results`: where the results lie, seen from the page.
pub(super) fn section(summary: &Summary, results: Option<&str>) -> Markup {
    html! {
        section {
            h3 { "The data" }
            ul {
                li {
                    @match results {
                        Some(path) => a href=(reference(path)) { (RESULTS) },
                        None => (RESULTS),
                    }
                    ": every sample, one line a cell, beside this page in its run directory. Schema “record”, version " (summary.schema_version)
                    "; " code { "bench-runner schema" } " prints it as JSON Schema."
                }
                li {
                    @match embedded(summary) {
                        Some(text) => {
                            a download="summary.json.gz" href={ "data:application/gzip;base64," (text) } { "summary.json.gz" }
                            ": every number of this page, inside it."
                        },
                        None => { "summary.json: every number of this page, beside it; too large to stand inside." },
                    }
                    " Schema “summary”, version " (summary.schema_version) ", " (whole(summary.cells.len() as u64)) " rows."
                }
            }
        }
    }
}

/// The summary, compressed, as base64; `None` when it is too large.
fn embedded(summary: &Summary) -> Option<String> {
    let encoder = GzEncoder::new(Bounded(Vec::new()), Compression::default());
    // The encoder takes long over single letters.
    let mut letters = BufWriter::with_capacity(1 << 16, encoder);
    serde_json::to_writer(&mut letters, summary).ok()?;
    let bytes = letters.into_inner().ok()?.finish().ok()?.0;
    Some(BASE64.encode(&bytes))
}

/// Takes no more bytes than a page holds: a summary of a hundred times as much is not compressed to its end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > EMBEDDED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A relative path as a reference: what has a meaning of its own there is escaped (RFC 3986).
fn reference(path: &str) -> String {
    let mut text = String::new();
    // "a:b" would be a scheme.
    if !path.starts_with('/') && !path.starts_with('.') {
        text.push_str("./");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(byte as char);
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}
