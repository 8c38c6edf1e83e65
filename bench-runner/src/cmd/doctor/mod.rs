//! `doctor`: what this machine can measure, by trial, and the command that would make the rest ready.

mod guests;
mod host;
mod print;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use netns_harness::datapath::facts;
use netns_harness::remedy::{Lack, Machine};
use netns_sys::distribution::install;
use scenarios::population::most_with_endpoints;
use schema::{Accelerator, Engine, Family, Mode, SandboxKind};
use serde::Serialize;

use crate::case::Case;
use crate::cli::words;
use crate::environment;
use crate::exit::{Ended, Unable, refused};
use crate::isolate::ask::{Answer, Ask, Facilities, Trial};
use crate::isolate::child;
use crate::places::host::Host;
use crate::readiness;
use crate::{machine, stdout};

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,

    /// Install, list and remove N services in each mode, instead of two.
    #[arg(long, short = 'n', value_name = "N", allow_negative_numbers = true, value_parser = words::up_to(words::SERVICES))]
    pub(crate) services: Option<u32>,

    /// Also boot every kernel of the cache in a guest, with KVM where a boot proves it, and try each mode
    /// there: without KVM each kernel takes many times as long as all the rest.
    #[arg(long)]
    pub(crate) guest: bool,

    /// Endpoints of each of those services.
    #[arg(long, value_name = "E", default_value = "2", requires = "services", allow_negative_numbers = true, value_parser = words::up_to(words::ENDPOINTS))]
    pub(crate) endpoints: u32,
}

/// Version of the JSON that `--json` prints. Fields are only ever added within one version.
const JSON_VERSION: u32 = 1;

/// The whole diagnosis: what `doctor --json` prints.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Diagnosis {
    /// [`JSON_VERSION`].
    pub(crate) version: u32,
    /// Whether `run` can measure anything here.
    pub(crate) ready: bool,
    /// What `run` would do, in a sentence.
    pub(crate) run: String,
    /// Services that each mode was tried with; `null`: two.
    pub(crate) services: Option<u32>,
    /// `uname -r`, CPU model, clock source, as in the header of a run.
    pub(crate) kernel: String,
    /// Each mode as it is programmed.
    pub(crate) modes: Vec<Way>,
    /// The same on a node of IPv6, each mode in its ordinary way.
    pub(crate) ipv6_modes: Vec<Way>,
    /// The same of IPv4 in each kernel of the cache, booted in a guest; empty without `--guest`.
    pub(crate) guest_modes: Vec<Way>,
    /// QEMU, KVM, and kernels for guests.
    pub(crate) guests: Vec<Check>,
    /// What this user may do.
    pub(crate) privileges: Vec<Check>,
    /// CPUs, limits, connection tracking.
    pub(crate) machine: Vec<Check>,
    /// Parts of the kernel, each tried.
    pub(crate) kernel_facilities: Vec<Check>,
    /// Programs and libraries, with versions.
    pub(crate) tools: Vec<Check>,
}

/// One way of programming a mode, and whether it works somewhere.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Way {
    /// The mode.
    pub(crate) mode: Mode,
    /// Where.
    pub(crate) sandbox: SandboxKind,
    /// Release of a guest's kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kernel: Option<String>,
    /// What executed a guest: "kvm" or "tcg".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accelerator: Option<Accelerator>,
    /// How it is programmed; "-" for the floors.
    pub(crate) transport: &'static str,
    /// Engine below its rules, where either would do.
    pub(crate) engine: Option<Engine>,
    /// Whether it works.
    pub(crate) ready: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// The command that would make it ready here, where one would.
    pub(crate) remedy: Option<String>,
    /// Cells that would be `unsupported` although the mode is ready: which, and why.
    pub(crate) limits: Vec<String>,
    /// How long the population took to install and to list, milliseconds; with `--services`.
    pub(crate) installed_ms: Option<u64>,
}

/// State of a thing that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Not there; something needs it.
    Missing,
    /// There, and less than it could be.
    Limited,
    /// It could not be asked.
    Unknown,
}

impl State {
    const fn ok_if(well: bool) -> Self {
        if well { Self::Ok } else { Self::Limited }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    /// What.
    pub(crate) name: String,
    /// Its state.
    pub(crate) state: State,
    /// What was seen.
    pub(crate) found: String,
    /// The command that would change it, where one would.
    pub(crate) remedy: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            found: found.into(),
            remedy: None,
        }
    }

    /// As it should be, or less than that, with what would change it.
    fn ok_or(name: &str, well: bool, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            remedy: (!well).then(|| remedy.into()),
            ..Self::new(name, State::ok_if(well), found)
        }
    }

    /// A program, by its version; without it `lacking`.
    fn program(program: &str, package: &str, lacking: &str) -> Self {
        if !netns_sys::process::installed(program) {
            return Self::new(program, State::Missing, lacking).with_remedy(install(package));
        }
        match environment::version(program) {
            Some(version) => Self::new(program, State::Ok, version),
            None => Self::new(program, State::Unknown, "it does not say its version"),
        }
    }

    fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Ended> {
    let most = most_with_endpoints(args.endpoints);
    if let Some(services) = args.services.filter(|services| *services > most) {
        return refused(format!(
            "--services {services} --endpoints {}: more addresses than the plan holds, which has room for {most} services of so many endpoints: lower one of the two",
            args.endpoints
        ));
    }
    let diagnosis = machine::runtime()?.block_on(diagnose(args))?;
    match args.json {
        true => stdout::json(&diagnosis)?,
        false => print::print(&diagnosis),
    }
    Ok(Ended::done_if(diagnosis.ready))
}

async fn diagnose(args: &DoctorArgs) -> anyhow::Result<Diagnosis> {
    let facilities = try_facilities().await?;
    let modes = try_modes(args, Case::all(), facilities.as_ref().err()).await?;
    let ipv6 = ordinary_on(Family::Ipv6);
    let ipv6_modes = try_modes(args, ipv6, facilities.as_ref().err()).await?;
    let ready = modes.iter().any(|way| way.ready);
    let facts = environment::host(&[]);
    let asked = facilities.as_ref().ok();
    let (guests, guest_modes) = guests::guests(args.guest).await;
    Ok(Diagnosis {
        version: JSON_VERSION,
        ready,
        run: what_run_would_do(&modes, args.services),
        services: args.services,
        kernel: format!("{} on {} ({})", facts.kernel, facts.cpu, facts.machine),
        modes,
        ipv6_modes,
        guest_modes,
        guests,
        privileges: host::privileges(&facilities),
        machine: host::machine(&facts, asked),
        kernel_facilities: host::kernel_facilities(asked),
        tools: host::tools(asked),
    })
}

/// The facilities, or why no namespace can be made.
async fn try_facilities() -> anyhow::Result<Result<Facilities, Lack>> {
    match child::ask(&Ask::Facilities, Duration::from_secs(30)).await {
        Ok(Answer::Said(text)) => {
            let found = serde_json::from_str(&text);
            found.context("read what the kernel's trial says").map(Ok)
        }
        Ok(Answer::Failed(why)) => Ok(Err(why.into())),
        Ok(Answer::Late(limit)) => {
            let seconds = limit.as_secs();
            let why = format!("the trial of the kernel did not end within {seconds} s");
            Ok(Err(why.into()))
        }
        Err(error) => error.downcast().map(|Unable(lack)| Err(lack)),
    }
}

/// Every mode in its ordinary way, with each engine where either would do, on a node of a family.
fn ordinary_on(family: Family) -> Vec<Case> {
    let mut cases = Case::all_of(family);
    cases.retain(|case| case.transport == facts(case.mode).ordinary());
    cases
}

async fn try_modes(
    args: &DoctorArgs,
    cases: Vec<Case>,
    no_namespace: Option<&Lack>,
) -> anyhow::Result<Vec<Way>> {
    let at = args.services.map(|services| (services, args.endpoints));
    let trials = match no_namespace {
        Some(why) => vec![Trial::broken(why.clone()); cases.len()],
        None => readiness::attempt(&Host::default(), &cases, at).await?,
    };
    Ok(cases.iter().zip(trials).map(way).collect())
}

/// A case on this machine's kernel, as it was tried.
fn way((case, trial): (&Case, Trial)) -> Way {
    let lack = trial.unsupported.clone();
    let (reason, remedy) = lack.map_or((None, None), |lack| (Some(lack.reason), lack.remedy));
    Way {
        mode: case.mode,
        sandbox: SandboxKind::Netns,
        kernel: None,
        accelerator: None,
        transport: match case.mode.is_floor() {
            true => "-",
            false => case.transport.name(),
        },
        engine: case.engine.or(trial.engine),
        ready: trial.unsupported.is_none(),
        remedy: remedy.map(|remedy| remedy.line(&Machine::here())),
        reason,
        limits: trial.limits,
        installed_ms: trial.installed_ms,
    }
}

/// What `run` would do here with its defaults.
fn what_run_would_do(modes: &[Way], services: Option<u32>) -> String {
    let ordinary = |mode: &Mode| modes.iter().find(|way| way.mode == *mode);
    let is_ready = |mode: &&Mode| ordinary(mode).is_some_and(|way| way.ready);
    let (ready, not): (Vec<&Mode>, Vec<&Mode>) = Mode::ALL.iter().partition(is_ready);
    let names = |modes: &[&Mode]| {
        let names: Vec<&str> = modes.iter().map(|m| m.name()).collect();
        names.join(", ")
    };
    let size = services.map_or_else(String::new, |n| format!(" at {n} services"));
    match (ready.is_empty(), not.is_empty()) {
        (true, _) => format!("nothing can be measured{size}: `run` would end with exit 1 or 2"),
        (_, true) => format!("`run` measures every mode{size}"),
        _ => format!(
            "`run` times {}{size} on this kernel; for {} it boots guests, which time every mode with KVM and count its instructions without",
            names(&ready),
            names(&not)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mode: Mode, ready: bool) -> Way {
        let case = Case::all().into_iter().find(|c| c.mode == mode).unwrap();
        let trial = Trial {
            unsupported: (!ready).then(|| Lack::of_program("nft", "nftables")),
            ..Trial::default()
        };
        way((&case, trial))
    }

    #[test]
    fn on_ipv6_every_mode_is_tried_in_its_ordinary_way() {
        let cases = ordinary_on(Family::Ipv6);
        for mode in Mode::ALL {
            let mine: Vec<&Case> = cases.iter().filter(|case| case.mode == *mode).collect();
            let engines = facts(*mode).engines.len().max(1);
            assert_eq!(mine.len(), engines, "{mode}");
            assert!(mine.iter().all(|case| case.family == Family::Ipv6));
        }
    }

    #[test]
    fn what_run_would_do_names_what_it_measures_and_what_it_leaves_out() {
        let all: Vec<Way> = Mode::ALL.iter().map(|m| found(*m, true)).collect();
        assert_eq!(what_run_would_do(&all, None), "`run` measures every mode");
        let some: Vec<Way> = Mode::ALL
            .iter()
            .map(|m| found(*m, *m != Mode::IptablesNft))
            .collect();
        let text = what_run_would_do(&some, Some(30));
        assert!(
            text.contains("at 30 services on this kernel; for iptables-nft it boots guests"),
            "{text}"
        );
        let none: Vec<Way> = Mode::ALL.iter().map(|m| found(*m, false)).collect();
        assert!(what_run_would_do(&none, None).starts_with("nothing can be measured"));
    }
}
