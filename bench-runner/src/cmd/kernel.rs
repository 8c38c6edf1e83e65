//! `kernel`: the kernels that guests can boot: listed, fetched, removed.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use guest::fetch::{Available, Cache, Cached};
use guest::kernel::Kernel;
use guest::{GuestError, series_of};
use serde::Serialize;

use crate::exit::{Ended, Usage};
use crate::stdout::say;

/// Version of the JSON that `--json` prints. Fields are only ever added within one version.
const JSON_VERSION: u32 = 1;

const ABOUT: &str = "\
A guest (--sandbox guest) boots a kernel of its own: a distribution's package, fetched with the system's
package manager (apt, without root), verified by it, and unpacked into a cache of this user.

A kernel is named, here and in --kernel, by
  6.1                                 the newest of a series
  6.1.0-56-cloud-amd64                a release
  linux-image-6.1.0-56-cloud-amd64    a package
and in --kernel also by
  host                                the running kernel's own image and modules
  /boot/vmlinuz-6.1.0                 the path of an image, with its modules in ../lib/modules or /lib/modules

The cache is $XDG_CACHE_HOME/bench-runner/kernels, by default below ~/.cache; `kernel list` says where.";

const EXAMPLES: &str = "\
Examples:
  bench-runner kernel list                 what is here, what can be had, and how large
  bench-runner kernel fetch 6.1 6.12       fetch what is not here yet
  bench-runner kernel clean 6.12           remove one series; without a name everything
  bench-runner doctor --guest              boot what is here, and try every mode in it";

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
    available: Vec<There>,
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

/// A kernel that can be fetched.
#[derive(Debug, Serialize)]
struct There {
    /// The shortest name for `--kernel`.
    name: String,
    /// Its package.
    package: String,
    /// Version of the package.
    package_version: String,
    /// Bytes to download.
    download_bytes: u64,
    /// Bytes unpacked, about.
    installed_bytes: u64,
}

/// What the package manager, the disk or the network refused is the user's to change.
fn usage(error: GuestError) -> Usage {
    Usage(error.to_string())
}

/// The cache of this user, which says on standard error what it is doing.
pub(crate) fn cache() -> Cache {
    Cache::of_user().telling(|line| eprintln!("{line}"))
}

pub(crate) fn run(args: &KernelArgs) -> anyhow::Result<Ended> {
    let cache = cache();
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
        Ok(kernel) => (Some(host(&kernel)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let listing = Listing {
        version: JSON_VERSION,
        cache: cache.folder().display().to_string(),
        bytes: cache.bytes(),
        cached: cached.iter().map(here).collect(),
        available: available.into_iter().map(there).collect(),
        available_error,
        host,
        host_error,
    };
    if json {
        let text = serde_json::to_string_pretty(&listing).context("encode the list")?;
        say!("{text}");
    } else {
        show(&listing);
    }
    Ok(())
}

fn here(cached: &Cached) -> Here {
    Here {
        name: series_of(&cached.package).unwrap_or_else(|| cached.package.clone()),
        release: cached.kernel.version.clone(),
        package: Some(cached.package.clone()),
        package_version: Some(cached.package_version.clone()),
        bytes: Some(cached.bytes),
        image: cached.kernel.image.display().to_string(),
    }
}

fn host(kernel: &Kernel) -> Here {
    Here {
        name: "host".to_owned(),
        release: kernel.version.clone(),
        package: None,
        package_version: None,
        bytes: None,
        image: kernel.image.display().to_string(),
    }
}

fn there(available: Available) -> There {
    There {
        name: available.series,
        package: available.package,
        package_version: available.package_version,
        download_bytes: available.download_bytes,
        installed_bytes: available.installed_bytes,
    }
}

/// Megabytes, for people.
fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn show(listing: &Listing) {
    say!("cache {}, {}", listing.cache, mb(listing.bytes));
    say!("here (--kernel NAME)");
    for kernel in listing.cached.iter().chain(&listing.host) {
        let size = kernel.bytes.map_or_else(String::new, mb);
        let version = kernel.package_version.as_deref().unwrap_or_default();
        say!(
            "  {:8} {:32} {size:>9}  {version}",
            kernel.name,
            kernel.release
        );
    }
    if listing.cached.is_empty() && listing.host.is_none() {
        say!("  none");
    }
    if let Some(why) = &listing.host_error {
        say!("  -- host: {why}");
    }
    say!("to fetch (bench-runner kernel fetch NAME)");
    for kernel in &listing.available {
        let mark = match listing.cached.iter().any(|c| {
            c.package.as_deref() == Some(&kernel.package)
                && c.package_version.as_deref() == Some(&kernel.package_version)
        }) {
            true => "here",
            false => "",
        };
        say!(
            "  {:8} {} {}, {} to download, {} unpacked {mark}",
            kernel.name,
            kernel.package,
            kernel.package_version,
            mb(kernel.download_bytes),
            mb(kernel.installed_bytes)
        );
    }
    if listing.available.is_empty() {
        let why = listing.available_error.as_deref();
        say!(
            "  -- {}",
            why.unwrap_or("none is known: sudo apt-get update")
        );
    }
}

fn fetch(cache: &Cache, spec: &str) -> anyhow::Result<()> {
    if spec == "host" || spec.contains('/') {
        return Err(Usage(format!(
            "'{spec}' is not fetched: name a series, a release or a package (see bench-runner kernel list)"
        ))
        .into());
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
