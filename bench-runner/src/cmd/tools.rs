//! `tools`: the tools of other suites of the distribution: listed, fetched, removed.

use clap::{Args, Subcommand};
use guest::GuestError;
use guest::suite::{InUse, Suite, Suites};
use serde::Serialize;

use crate::cli::words;
use crate::exit::{Ended, Usage};
use crate::progress::{mb, note};
use crate::stdout::{self, say};

/// Version of the JSON that `--json` prints. Fields are only ever added within one version.
const JSON_VERSION: u32 = 1;

const ABOUT: &str = include_str!("tools-about.txt").trim_ascii_end();
const EXAMPLES: &str = include_str!("tools-examples.txt").trim_ascii_end();

/// Options of `tools`.
#[derive(Debug, Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct ToolsArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Print the suites in the cache, with the versions of their tools, size and place.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch the tools of each suite into the cache as they are now, and print their versions.
    Fetch {
        /// Suites of this distribution: of Debian trixie or sid, of Ubuntu noble.
        #[arg(required = true, value_name = "SUITE", value_parser = words::fetched_suite)]
        suites: Vec<String>,
    },
    /// Remove tools from the cache, and print what that freed.
    Clean {
        /// Suites [default: all, with leftovers].
        #[arg(value_name = "SUITE", value_parser = words::suite)]
        suites: Vec<String>,
    },
}

/// What `tools list --json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    /// [`JSON_VERSION`].
    version: u32,
    /// The cache's folder.
    cache: String,
    /// Bytes that it takes on disk.
    bytes: u64,
    /// Suites in it.
    cached: Vec<Here>,
}

/// A suite that is here.
#[derive(Debug, Serialize)]
struct Here {
    /// The name that `--tools` takes.
    name: String,
    /// Its folder.
    root: String,
    /// Bytes on disk.
    bytes: u64,
    /// Packages that were unpacked, and their versions.
    packages: std::collections::BTreeMap<String, String>,
}

/// What the package manager, the disk or the network refused is the user's to change.
fn usage(error: GuestError) -> Usage {
    Usage(error.to_string())
}

pub(crate) fn run(args: &ToolsArgs) -> anyhow::Result<Ended> {
    let cache = Suites::of_user().telling(note);
    match &args.act {
        Act::List { json } => list(&cache, *json)?,
        Act::Fetch { suites } => {
            for name in suites {
                told(&cache.fetch(name).map_err(usage)?);
            }
        }
        Act::Clean { suites } if suites.is_empty() => {
            let freed = cache.clean().map_err(usage)?;
            say!("freed {} in {}", mb(freed), cache.folder().display());
        }
        Act::Clean { suites } => {
            for name in suites {
                let freed = cache.remove(name).map_err(usage)?;
                say!("freed {}: tools of {name}", mb(freed));
            }
        }
    }
    Ok(Ended::Done)
}

/// The tools of these suites, which stay as they are for as long as they are held.
///
/// # Errors
/// They are not here, and cannot be fetched.
pub(crate) fn held<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<Vec<InUse>, Usage> {
    let cache = Suites::of_user().telling(note);
    let names = names.into_iter();
    let hold = |name: &String| {
        let suite = cache.suite(name).map_err(usage)?;
        note(&format!("tools of {name}: {}", suite.versions()));
        suite.hold().map_err(usage)
    };
    names.map(hold).collect()
}

fn list(cache: &Suites, json: bool) -> anyhow::Result<()> {
    let cached = cache.list().map_err(usage)?;
    if json {
        let here = |suite: Suite| Here {
            name: suite.name,
            root: suite.root.display().to_string(),
            bytes: suite.bytes,
            packages: suite.packages,
        };
        return stdout::json(&Listing {
            version: JSON_VERSION,
            cache: cache.folder().display().to_string(),
            bytes: cache.bytes(),
            cached: cached.into_iter().map(here).collect(),
        });
    }
    say!("cache {}, {}", cache.folder().display(), mb(cache.bytes()));
    say!("here (--tools SUITE)");
    cached.iter().for_each(told);
    if cached.is_empty() {
        say!("  none: bench-runner tools fetch SUITE, of this distribution");
    }
    Ok(())
}

fn told(suite: &Suite) {
    let (name, size) = (&suite.name, mb(suite.bytes));
    say!("  {name:8} {size:>9}  {}", suite.versions());
}
