//! Which kernel a run is measured on: the host's when it can run every requested mode, else a
//! guest's for all of them. Modes of one comparison never run on different kernels.

use std::collections::HashSet;
use std::path::Path;

use guest::fetch::Cache;
use guest::kernel::Kernel;
use guest::machine::QEMU;
use schema::Accelerator;

use crate::case::Case;
use crate::cli::SandboxOption;
use crate::exit::Usage;
use crate::isolate::ask::Trial;
use crate::places::host::Host;
use crate::plan::{PlannedEnvironment, Settings};
use crate::progress::note;
use crate::readiness;

/// What a kernel needs for every mode there is.
const EVERY_MODE: [&str; 4] = ["ip_vs", "xt_set", "nf_tables", "veth"];

/// What was chosen, and why.
pub(crate) enum Choice {
    /// The host's kernel; what the trials of the modes found there.
    Host {
        /// In the order of the cases.
        tried: Vec<Trial>,
        /// Why, as a sentence.
        reason: String,
    },
    /// Guests, one for each kernel.
    Guests {
        /// The kernels, with the names of their environments.
        kernels: Vec<Chosen>,
        /// Why, as a sentence.
        reason: String,
    },
}

/// A kernel that was chosen.
pub(crate) struct Chosen {
    /// Name of its environment.
    pub(crate) name: String,
    /// The kernel.
    pub(crate) kernel: Kernel,
    /// Variants that are measured on it; empty: all.
    pub(crate) variants: Vec<String>,
}

impl Choice {
    /// Why, as a sentence.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Host { reason, .. } | Self::Guests { reason, .. } => reason,
        }
    }
}

/// Decides, by trial where the user leaves the choice.
///
/// # Errors
/// The machine cannot do what was asked for: a [`Usage`] with the remedy.
pub(crate) async fn choose(settings: &Settings, cases: &[Case]) -> anyhow::Result<Choice> {
    let asked = kernels(settings);
    if settings.deterministic {
        return Ok(guests(&asked, "--deterministic asks for it")?);
    }
    match settings.sandbox {
        SandboxOption::Netns => Ok(Choice::Host {
            tried: readiness::attempt(&Host::default(), cases, None).await?,
            reason: "the host's kernel: --sandbox netns asks for it".to_owned(),
        }),
        SandboxOption::Guest => Ok(guests(&asked, "--sandbox guest asks for it")?),
        SandboxOption::Auto if !asked.is_empty() => Ok(guests(&asked, "--kernel asks for it")?),
        SandboxOption::Auto => {
            let tried = readiness::attempt(&Host::default(), cases, None).await?;
            let Some(why) = lacking(cases, &tried) else {
                return Ok(Choice::Host {
                    tried,
                    reason: "the host's kernel: it can run every requested mode".to_owned(),
                });
            };
            let can: Vec<&str> = modes_without(cases, &tried);
            guests(&[], &why).map_err(|Usage(error)| {
                let instead = match can.as_slice() {
                    [] => String::new(),
                    modes => format!(" --modes {}", modes.join(",")),
                };
                Usage(format!(
                    "{why}, so that every mode needs a guest: {error}; or measure what the host's kernel can: --sandbox netns{instead}"
                )).into()
            })
        }
    }
}

/// Why the host's kernel will not do. A missing tool is no reason: a guest's tools are the host's.
fn lacking(cases: &[Case], tried: &[Trial]) -> Option<String> {
    let refused = cases.iter().zip(tried).find_map(|(case, trial)| {
        let why = trial.unsupported.as_ref()?;
        case.missing_tool().is_none().then_some((case, why))
    });
    refused.map(|(case, why)| format!("the host's kernel cannot run {case} ({why})"))
}

fn modes_without(cases: &[Case], tried: &[Trial]) -> Vec<&'static str> {
    let tried = cases.iter().zip(tried);
    let mut modes: Vec<_> = tried
        .filter(|(_, trial)| trial.unsupported.is_none())
        .map(|(case, _)| case.mode)
        .collect();
    modes.sort_unstable();
    modes.dedup();
    modes.into_iter().map(|mode| mode.name()).collect()
}

/// A word of `--kernel`, and the variants that it is for; none: all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    spec: String,
    variants: Vec<String>,
}

/// Every kernel that is named, each once, in the order named.
fn kernels(settings: &Settings) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    for side in settings.sides() {
        for spec in &side.kernels {
            // The run itself has no name, and is every variant there is.
            let variant = (!side.variant.is_empty()).then(|| side.variant.clone());
            match asked.iter_mut().find(|known| known.spec == *spec) {
                Some(known) if variant.is_some() => known.variants.extend(variant),
                _ => asked.push(Asked {
                    spec: spec.clone(),
                    variants: variant.into_iter().collect(),
                }),
            }
        }
    }
    asked
}

fn guests(asked: &[Asked], why: &str) -> Result<Choice, Usage> {
    if !netns_sys::process::installed(QEMU) {
        return Err(Usage(format!(
            "{QEMU} is not installed and a guest needs it: apt-get install qemu-system-x86 (scripts/bootstrap does)"
        )));
    }
    let (found, which) = if asked.is_empty() {
        let (spec, kernel) = default_kernel()?;
        (vec![kernel], format!(" ({spec} when none is named)"))
    } else {
        let found = asked.iter().map(|asked| kernel(&asked.spec));
        (
            found.collect::<Result<Vec<Kernel>, Usage>>()?,
            String::new(),
        )
    };
    let versions: Vec<&str> = found.iter().map(|k| k.version.as_str()).collect();
    let names = names(&versions)?;
    let reason = format!(
        "a guest with Linux {}{which}: {why}",
        versions.join(" and ")
    );
    let variants = asked.iter().map(|asked| asked.variants.clone());
    let kernels = names
        .into_iter()
        .zip(found)
        .zip(variants.chain(std::iter::repeat(Vec::new())));
    let chosen = kernels.map(|((name, kernel), variants)| Chosen {
        name,
        kernel,
        variants,
    });
    Ok(Choice::Guests {
        kernels: chosen.collect(),
        reason,
    })
}

/// The kernel of a word of `--kernel`.
fn kernel(spec: &str) -> Result<Kernel, Usage> {
    let found = Cache::of_user().telling(note).resolve(spec);
    found.map_err(|error| Usage(format!("--kernel {spec}: {error}")))
}

/// The kernel when none is named: the host's own where its files are there and have every mode, else the
/// distribution's.
fn default_kernel() -> Result<(&'static str, Kernel), Usage> {
    let whole = |kernel: &Kernel| {
        kernel
            .list_modules()
            .is_ok_and(|modules| EVERY_MODE.iter().all(|name| modules.has(name)))
    };
    if let Some(kernel) = Kernel::host().ok().filter(whole) {
        return Ok(("the host's", kernel));
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    Ok(("the distribution's", kernel(distribution_kernel(&release))?))
}

/// Kernel series of distributions, by `ID` and `VERSION_ID` of os-release(5).
const SERIES: [(&str, &str, &str); 5] = [
    ("debian", "12", "6.1"),
    ("debian", "13", "6.12"),
    ("ubuntu", "22.04", "5.15"),
    ("ubuntu", "24.04", "6.8"),
    ("ubuntu", "26.04", "7.0"),
];

fn distribution_kernel(release: &str) -> &'static str {
    let field = |name: &str| {
        let line = release
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let (id, version) = (field("ID"), field("VERSION_ID"));
    let known = SERIES.iter().find(|(i, v, _)| *i == id && *v == version);
    known.map_or("6.1", |(_, _, series)| series)
}

/// Environments as the command line alone tells them: for `plan`, which boots nothing.
///
/// # Errors
/// A kernel is named twice.
pub(crate) fn foreseen(settings: &Settings) -> Result<Vec<PlannedEnvironment>, Usage> {
    let asked = kernels(settings);
    let asks = settings.deterministic || settings.sandbox == SandboxOption::Guest;
    if !asks && asked.is_empty() {
        return Ok(vec![PlannedEnvironment::host()]);
    }
    let versions: Vec<String> = match asked.as_slice() {
        [] => vec![default_version()],
        asked => asked.iter().map(|asked| version(&asked.spec)).collect(),
    };
    let names = names(&versions.iter().map(String::as_str).collect::<Vec<_>>())?;
    let variants = asked.iter().map(|asked| asked.variants.clone());
    let named = names
        .into_iter()
        .zip(variants.chain(std::iter::repeat(Vec::new())));
    // Where KVM boots it is faster.
    let accelerator = if settings.deterministic {
        Accelerator::TcgIcount
    } else {
        Accelerator::Tcg
    };
    let guest = |(name, variants)| PlannedEnvironment::guest(name, accelerator).of(variants);
    Ok(named.map(guest).collect())
}

fn default_version() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    Kernel::host().map_or_else(
        |_| distribution_kernel(&release).to_owned(),
        |kernel| kernel.version,
    )
}

/// The release that a word of `--kernel` stands for, as far as it can be told without fetching it.
fn version(spec: &str) -> String {
    let found = match spec {
        "host" => Kernel::host().ok(),
        path if path.contains('/') => Kernel::from_image(Path::new(path)).ok(),
        _ => None,
    };
    let named = || spec.strip_prefix("linux-image-").unwrap_or(spec).to_owned();
    found.map_or_else(named, |kernel| kernel.version)
}

/// Names of guests' environments: "guest-6.1"; by the whole release where two kernels are of one series.
fn names(versions: &[&str]) -> Result<Vec<String>, Usage> {
    let series = |version: &str| {
        let mut numbers = version.split(['.', '-']);
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) => format!("{major}.{minor}"),
            _ => version.to_owned(),
        }
    };
    let mut seen = HashSet::new();
    if let Some(twice) = versions.iter().find(|version| !seen.insert(**version)) {
        return Err(Usage(format!("--kernel names Linux {twice} twice")));
    }
    let alone = |version: &str| {
        versions
            .iter()
            .filter(|v| series(v) == series(version))
            .count()
            == 1
    };
    Ok(versions
        .iter()
        .map(|version| match alone(version) {
            true => format!("guest-{}", series(version)),
            false => format!("guest-{version}"),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_named_by_series_and_by_release_where_that_is_not_enough() {
        let named = |versions: &[&str]| names(versions).unwrap();
        assert_eq!(
            named(&["6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"]),
            ["guest-6.1", "guest-6.12"]
        );
        assert_eq!(
            named(&["6.1.0-9-amd64", "6.1.0-56-amd64", "7.0"]),
            ["guest-6.1.0-9-amd64", "guest-6.1.0-56-amd64", "guest-7.0"]
        );
        assert!(names(&["6.1", "6.1"]).is_err());
    }

    #[test]
    fn a_distribution_has_a_kernel_of_its_own_and_others_have_the_oldest() {
        let of = distribution_kernel;
        assert_eq!(of("ID=debian\nVERSION_ID=\"13\"\n"), "6.12");
        assert_eq!(of("NAME=x\nVERSION_ID=\"24.04\"\nID=ubuntu\n"), "6.8");
        assert_eq!(of("ID=elsewhere\n"), "6.1");
    }
}
