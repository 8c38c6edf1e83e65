//! `kernel`: the kernels that guests can boot: listed, fetched, removed.

use clap::{Args, Subcommand};
use guest::fetch::{Available, Cache, Cached};
use guest::kernel::Kernel;
use guest::{GuestError, series_of};
use serde::Serialize;

use crate::exit::{Ended, Usage, refused};
use crate::progress::{mb, note};
use crate::stdout::{self, say};

/// Version of the JSON that `--json` prints. Fields are only ever added within one version.
const JSON_VERSION: u32 = 1;

const ABOUT: &str = include_str!("kernel-about.txt").trim_ascii_end();
const EXAMPLES: &str = include_str!("kernel-examples.txt").trim_ascii_end();

/// Options of `kernel`.
#[derive(Debug, Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct KernelArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Print the kernels in the cache and those that can be fetched, with release, size and place.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch the newest kernel of each name into the cache, and print its release and image.
    Fetch {
        /// Series, releases or packages: 6.1, 6.12.
        #[arg(required = true, value_name = "SPEC")]
        specs: Vec<String>,
    },
    /// Remove kernels from the cache, and print what that freed.
    Clean {
        /// Series, releases or packages [default: all, with package lists and leftovers].
        #[arg(value_name = "SPEC")]
        specs: Vec<String>,
    },
}

/// What `kernel list --json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    /// [`JSON_VERSION`].
    version: u32,
    /// The cache's folder.
    cache: String,
    /// Bytes that it takes on disk.
    bytes: u64,
    /// Kernels in it.
    cached: Vec<Here>,
    /// The newest of each series that can be fetched.
    available: Vec<Available>,
    /// Why nothing can be fetched.
    available_error: Option<String>,
    /// The running kernel, when its image is installed.
    host: Option<Here>,
    /// Why it cannot be booted in a guest.
    host_error: Option<String>,
}

/// A kernel that is here.
#[derive(Debug, Serialize)]
struct Here {
    /// The shortest name for `--kernel`.
    name: String,
    /// As `uname -r` says it.
    release: String,
    /// Its package; `null`: not of the cache.
    package: Option<String>,
    /// Version of the package.
    package_version: Option<String>,
    /// Bytes on disk.
    bytes: Option<u64>,
    /// The image.
    image: String,
}

/// What the package manager, the disk or the network refused is the user's to change.
fn usage(error: GuestError) -> Usage {
    Usage(error.to_string())
}

pub(crate) fn run(args: &KernelArgs) -> anyhow::Result<Ended> {
    let cache = Cache::of_user().telling(note);
    match &args.act {
        Act::List { json } => list(&cache, *json)?,
        Act::Fetch { specs } => {
            for spec in specs {
                fetch(&cache, spec)?;
            }
        }
        Act::Clean { specs } => clean(&cache, specs)?,
    }
    Ok(Ended::Done)
}

fn list(cache: &Cache, json: bool) -> anyhow::Result<()> {
    let cached = cache.list().map_err(usage)?;
    let (available, available_error) = match cache.available() {
        Ok(all) => (all, None),
        Err(GuestError::NoPackageManager { program, .. }) => {
            let why =
                format!("{program} is not installed: kernels are fetched on Debian and Ubuntu");
            (Vec::new(), Some(why))
        }
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let (host, host_error) = match Kernel::host() {
        Ok(kernel) => (Some(Here::of("host".to_owned(), &kernel)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let here = |cached: &Cached| Here {
        package: Some(cached.package.clone()),
        package_version: Some(cached.package_version.clone()),
        bytes: Some(cached.bytes),
        ..Here::of(
            series_of(&cached.package).unwrap_or_else(|| cached.package.clone()),
            &cached.kernel,
        )
    };
    let listing = Listing {
        version: JSON_VERSION,
        cache: cache.folder().display().to_string(),
        bytes: cache.bytes(),
        cached: cached.iter().map(here).collect(),
        available,
        available_error,
        host,
        host_error,
    };
    match json {
        true => stdout::json(&listing)?,
        false => show(&listing),
    }
    Ok(())
}

impl Here {
    /// A kernel that is not of the cache.
    fn of(name: String, kernel: &Kernel) -> Self {
        Self {
            name,
            release: kernel.version.clone(),
            package: None,
            package_version: None,
            bytes: None,
            image: kernel.image.display().to_string(),
        }
    }
}

fn show(listing: &Listing) {
    say!("cache {}, {}", listing.cache, mb(listing.bytes));
    say!("here (--kernel NAME)");
    for kernel in listing.cached.iter().chain(&listing.host) {
        let size = kernel.bytes.map_or_else(String::new, mb);
        let version = kernel.package_version.as_deref().unwrap_or_default();
        let (name, release) = (&kernel.name, &kernel.release);
        say!("  {name:8} {release:32} {size:>9}  {version}");
    }
    if listing.cached.is_empty() && listing.host.is_none() {
        say!("  none");
    }
    if let Some(why) = &listing.host_error {
        say!("  -- host: {why}");
    }
    say!("to fetch (bench-runner kernel fetch NAME)");
    for kernel in &listing.available {
        let (package, version) = (&kernel.package, &kernel.package_version);
        let is_it = |here: &Here| {
            here.package.as_ref() == Some(package) && here.package_version.as_ref() == Some(version)
        };
        let here = listing.cached.iter().any(is_it);
        say!(
            "  {:8} {package} {version}, {} to download, {} unpacked {}",
            kernel.series,
            mb(kernel.download_bytes),
            mb(kernel.installed_bytes),
            if here { "here" } else { "" }
        );
    }
    if listing.available.is_empty() {
        let why = listing.available_error.as_deref();
        let why = why.unwrap_or("none is known: sudo apt-get update");
        say!("  -- {why}");
    }
}

fn fetch(cache: &Cache, spec: &str) -> anyhow::Result<()> {
    if spec == "host" || spec.contains('/') {
        return refused(format!(
            "'{spec}' is not fetched: name a series, a release or a package (see bench-runner kernel list)"
        ));
    }
    let cached = cache.fetch(spec).map_err(usage)?;
    say!(
        "{spec} {} {}",
        cached.kernel.version,
        cached.kernel.image.display()
    );
    Ok(())
}

fn clean(cache: &Cache, specs: &[String]) -> anyhow::Result<()> {
    if specs.is_empty() {
        let freed = cache.clean().map_err(usage)?;
        say!("freed {} in {}", mb(freed), cache.folder().display());
        return Ok(());
    }
    for spec in specs {
        for (package, bytes) in cache.remove(spec).map_err(usage)? {
            say!("freed {}: {package}", mb(bytes));
        }
    }
    Ok(())
}
