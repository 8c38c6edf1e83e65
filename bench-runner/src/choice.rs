//! Which kernel a run is measured on: the host's when it can run every requested mode, else a guest's with KVM for all
//! of them; where there is none, the host's, timed, for the modes that it has, and beside it guests that are counted, for
//! all. Modes of one comparison never run on different kernels.

use std::collections::{BTreeSet, HashSet};
use std::env::consts::ARCH;
use std::path::Path;

use guest::fetch::Cache;
use guest::kernel::Kernel;
use guest::machine::QEMU;
use netns_sys::distribution::install;
use schema::{Accelerator, Mode};

use crate::case::Case;
use crate::cli::SandboxOption;
use crate::exit::{Usage, refused};
use crate::isolate::ask::Trial;
use crate::pace;
use crate::places::guest::Guest;
use crate::places::host::Host;
use crate::plan::{PlannedEnvironment, Settings};
use crate::progress::note;
use crate::readiness;

/// What a kernel needs for every mode there is.
const EVERY_MODE: [&str; 4] = ["ip_vs", "xt_set", "nf_tables", "veth"];

/// What was chosen, and why.
pub(crate) struct Choice {
    /// Why, as a sentence.
    pub(crate) reason: String,
    /// What it is measured on.
    pub(crate) on: On,
}

/// What a run is measured on.
pub(crate) enum On {
    /// The host's kernel; what the trials of the modes found there, in the order of the cases.
    Host(Vec<Trial>),
    /// Guests, one for each kernel.
    Guests(Guests),
    /// The host's kernel, and beside it guests that are counted.
    Both(Vec<Trial>, Guests),
}

/// Environments of guests, with their kernels.
pub(crate) type Guests = Vec<(PlannedEnvironment, Kernel)>;

/// What `auto` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auto {
    Host,
    Guests,
    Both,
}

/// What `auto` takes, and why, where the host's kernel lacks something, and KVM boots here or not for a reason.
fn auto(lacking: Option<&str>, kvm: Result<(), String>) -> (Auto, String) {
    match (lacking, kvm) {
        (None, _) => (Auto::Host, "it can run every requested mode".to_owned()),
        (Some(why), Ok(())) => (Auto::Guests, why.to_owned()),
        (Some(why), Err(no_kvm)) => (
            Auto::Both,
            format!(
                "{why}; a guest with KVM, which could be timed, there is none ({no_kvm}); so what the host's kernel has is timed, and instructions of all modes are counted"
            ),
        ),
    }
}

/// Decides, by trial where the user leaves the choice.
///
/// # Errors
/// The machine cannot do what was asked for: a [`Usage`] with the remedy.
pub(crate) async fn choose(settings: &Settings) -> anyhow::Result<Choice> {
    let cases = &settings.cases();
    readiness::check_tools(cases, &settings.args.modes)?;
    let asked = kernels(settings);
    let is_named = asked.iter().any(|asked| asked.spec.is_some());
    let in_guests = |accel, why: &str| {
        let (which, guests) = guests(asked.clone(), accel)?;
        Ok::<_, Usage>(Choice {
            reason: format!("{which}: {why}"),
            on: On::Guests(guests),
        })
    };
    match settings.args.sandbox {
        _ if settings.args.deterministic => {
            return Ok(in_guests(
                Accelerator::TcgIcount,
                "--deterministic asks for it",
            )?);
        }
        SandboxOption::Guest => {
            return Ok(in_guests(Accelerator::Tcg, "--sandbox guest asks for it")?);
        }
        SandboxOption::Auto if is_named => {
            return Ok(in_guests(Accelerator::Tcg, "--kernel asks for it")?);
        }
        SandboxOption::Netns | SandboxOption::Auto => {}
    }
    let tried = readiness::attempt(&Host::default(), cases, None).await?;
    let on_host = |why: &str, tried| Choice {
        reason: format!("the host's kernel: {why}"),
        on: On::Host(tried),
    };
    if settings.args.sandbox == SandboxOption::Netns {
        return Ok(on_host("--sandbox netns asks for it", tried));
    }
    let lacking = lacking(cases, &tried);
    let kvm = match &lacking {
        Some(_) => kvm().await?,
        None => Ok(()),
    };
    let (chosen, why) = auto(lacking.as_deref(), kvm);
    let or_instead = |error| instead(&why, error, cases, &tried);
    match chosen {
        Auto::Host => Ok(on_host(&why, tried)),
        Auto::Guests => Ok(in_guests(Accelerator::Tcg, &why).map_err(or_instead)?),
        Auto::Both if settings.args.until_decided => {
            let timed = "--until-decided adds blocks of what is timed alone";
            Err(or_instead(Usage(timed.to_owned())).into())
        }
        Auto::Both if settings.counted().is_nothing() => {
            Ok(on_host("nothing of what is asked can be counted", tried))
        }
        Auto::Both => {
            let (which, guests) = guests(asked, Accelerator::TcgIcount).map_err(or_instead)?;
            Ok(Choice {
                reason: format!("the host's kernel and {which}: {why}"),
                on: On::Both(tried, guests),
            })
        }
    }
}

/// Whether a guest boots here with KVM; if not, why.
async fn kvm() -> anyhow::Result<Result<(), String>> {
    if let Some(why) = guest::none_on(ARCH) {
        return Ok(Err(why));
    }
    if !netns_sys::process::installed(QEMU) {
        return Ok(Err(format!("{QEMU} is not installed")));
    }
    match default_kernel() {
        Ok((_, kernel)) => Guest::try_kvm(&kernel).await,
        Err(Usage(why)) => Ok(Err(why)),
    }
}

/// Why the host's kernel does not do, no guest does, and what can be measured without one.
fn instead(why: &str, Usage(error): Usage, cases: &[Case], tried: &[Trial]) -> Usage {
    let modes = match modes_without(cases, tried).as_slice() {
        [] => String::new(),
        modes => format!(" --modes {}", modes.join(",")),
    };
    Usage(format!(
        "{why}, so that every mode needs a guest: {error}; or measure what the host's kernel can: --sandbox netns{modes}"
    ))
}

/// Why the host's kernel will not do. A missing tool is no reason: a guest's tools are the host's.
fn lacking(cases: &[Case], tried: &[Trial]) -> Option<String> {
    let refused = cases.iter().zip(tried).find_map(|(case, trial)| {
        let why = trial.unsupported.as_ref()?;
        case.missing_tool().is_none().then_some((case, &why.reason))
    });
    refused.map(|(case, why)| format!("the host's kernel cannot run {case} ({why})"))
}

fn modes_without(cases: &[Case], tried: &[Trial]) -> Vec<&'static str> {
    let ready = cases.iter().zip(tried);
    let ready = ready.filter(|(_, trial)| trial.unsupported.is_none());
    let modes: BTreeSet<Mode> = ready.map(|(case, _)| case.mode).collect();
    modes.into_iter().map(Mode::name).collect()
}

/// A kernel that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    /// A word of `--kernel`; none: whichever there is.
    spec: Option<String>,
    /// The variants that it is for; none: all.
    variants: Vec<String>,
}

/// Every kernel that is named, each once, in the order named; where none is, whichever there is.
fn kernels(settings: &Settings) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    for side in settings.sides() {
        for spec in &side.args.kernel {
            // The run itself has no name, and is every variant there is.
            let variant = Some(side.variant().to_owned()).filter(|name| !name.is_empty());
            match asked.iter_mut().find(|a| a.spec.as_ref() == Some(spec)) {
                Some(known) if variant.is_some() => known.variants.extend(variant),
                _ => asked.push(Asked {
                    spec: Some(spec.clone()),
                    variants: variant.into_iter().collect(),
                }),
            }
        }
    }
    if asked.is_empty() {
        asked.push(Asked {
            spec: None,
            variants: Vec::new(),
        });
    }
    asked
}

/// Guests of the kernels that are asked for, and what they are called in a sentence.
fn guests(asked: Vec<Asked>, accel: Accelerator) -> Result<(String, Guests), Usage> {
    if let Some(why) = guest::none_on(ARCH) {
        return refused(format!("{why}: measure on its own kernel, --sandbox netns"));
    }
    if !netns_sys::process::installed(QEMU) {
        return refused(format!(
            "{QEMU} is not installed and a guest needs it: {}",
            install(guest::machine::PACKAGE)
        ));
    }
    let (mut kernels, mut which) = (Vec::new(), String::new());
    for asked in &asked {
        kernels.push(match &asked.spec {
            Some(spec) => kernel(spec)?,
            None => {
                let (whose, kernel) = default_kernel()?;
                which = format!(" ({whose} when none is named)");
                kernel
            }
        });
    }
    let versions: Vec<String> = kernels.iter().map(|k| k.version.clone()).collect();
    let guests = planned(asked, accel, &versions)?;
    let which = format!("a guest with Linux {}{which}", versions.join(" and "));
    Ok((which, guests.into_iter().zip(kernels).collect()))
}

/// Guests of the kernels that are asked for, which are of these versions; where KVM boots, those that are translated are
/// faster.
fn planned(
    asked: Vec<Asked>,
    accel: Accelerator,
    versions: &[String],
) -> Result<Vec<PlannedEnvironment>, Usage> {
    let named = names(versions)?.into_iter().zip(asked);
    let guests = named.map(|(name, asked)| PlannedEnvironment {
        name,
        accel,
        variants: asked.variants,
        pace: match accel {
            // Its first boot tells.
            Accelerator::TcgIcount => 1.0,
            _ => pace::of_this_machine(),
        },
        lacks: BTreeSet::new(),
    });
    Ok(guests.collect())
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
    Ok(("the distribution's", kernel(&distribution_kernel())?))
}

/// Kernel series of distributions, by `ID` and `VERSION_ID` of os-release(5).
const SERIES: [(&str, &str, &str); 5] = [
    ("debian", "12", "6.1"),
    ("debian", "13", "6.12"),
    ("ubuntu", "22.04", "5.15"),
    ("ubuntu", "24.04", "6.8"),
    ("ubuntu", "26.04", "7.0"),
];

/// The kernel series of this distribution.
fn distribution_kernel() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    series_of(&release).to_owned()
}

/// The kernel series of a distribution, by its os-release; of an unknown one the oldest.
fn series_of(release: &str) -> &'static str {
    let field = |name: &str| {
        let mut lines = release.lines().filter_map(|line| line.split_once('='));
        let found = lines.find(|(field, _)| *field == name);
        found.map_or("", |(_, value)| value.trim_matches('"'))
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
    let asks = settings.args.deterministic || settings.args.sandbox == SandboxOption::Guest;
    if !asks && asked.iter().all(|asked| asked.spec.is_none()) {
        return Ok(vec![PlannedEnvironment {
            pace: pace::of_this_machine(),
            ..PlannedEnvironment::host()
        }]);
    }
    let versions: Vec<String> = asked.iter().map(Asked::version).collect();
    let accel = match settings.args.deterministic {
        true => Accelerator::TcgIcount,
        false => Accelerator::Tcg,
    };
    planned(asked, accel, &versions)
}

impl Asked {
    /// The release that it stands for, as far as that can be told without fetching it.
    fn version(&self) -> String {
        let (found, otherwise) = match self.spec.as_deref() {
            None => (Kernel::host().ok(), distribution_kernel()),
            Some(spec) => {
                let found = match spec {
                    "host" => Kernel::host().ok(),
                    path if path.contains('/') => Kernel::from_image(Path::new(path)).ok(),
                    _ => None,
                };
                let series = spec.strip_prefix("linux-image-").unwrap_or(spec);
                (found, series.to_owned())
            }
        };
        found.map_or(otherwise, |kernel| kernel.version)
    }
}

/// Names of guests' environments: "guest-6.1"; by the whole release where two kernels are of one series.
fn names(versions: &[String]) -> Result<Vec<String>, Usage> {
    let mut seen = HashSet::new();
    if let Some(twice) = versions.iter().find(|version| !seen.insert(*version)) {
        return refused(format!("--kernel names Linux {twice} twice"));
    }
    let series = |version: &str| {
        let numbers: Vec<&str> = version.split(['.', '-']).take(2).collect();
        numbers.join(".")
    };
    let name = |version: &String| {
        let of_series = series(version);
        let alike = versions.iter().filter(|v| series(v) == of_series);
        match alike.count() {
            1 => format!("guest-{of_series}"),
            _ => format!("guest-{version}"),
        }
    };
    Ok(versions.iter().map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_the_host_then_kvm_then_both() {
        let no = || Err("/dev/kvm: No such file or directory".to_owned());
        let hangs = || Err("a guest with KVM does not boot: it was not up after 10 s".to_owned());
        let lacks = "the host's kernel cannot run ipvs (no ip_vs)";
        assert_eq!(auto(None, no()).0, Auto::Host);
        assert_eq!(auto(None, Ok(())).0, Auto::Host);
        let (chosen, why) = auto(Some(lacks), Ok(()));
        assert_eq!((chosen, why.as_str()), (Auto::Guests, lacks));
        for (kvm, word) in [(no(), "No such file"), (hangs(), "after 10 s")] {
            let (chosen, why) = auto(Some(lacks), kvm);
            assert_eq!(chosen, Auto::Both);
            assert!(why.contains(word) && why.starts_with(lacks), "{why}");
        }
    }

    #[test]
    fn environments_are_named_by_series_and_by_release_where_that_is_not_enough() {
        let names = |versions: &[&str]| {
            let versions: Vec<String> = versions.iter().map(|v| (*v).to_owned()).collect();
            names(&versions)
        };
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
        let of = series_of;
        assert_eq!(of("ID=debian\nVERSION_ID=\"13\"\n"), "6.12");
        assert_eq!(of("NAME=x\nVERSION_ID=\"24.04\"\nID=ubuntu\n"), "6.8");
        assert_eq!(of("ID=elsewhere\n"), "6.1");
    }
}
