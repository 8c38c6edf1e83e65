//! The environments of a run: opened before the plan is made (what can be measured there, and how fast it
//! is, is only known then), closed when the run ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netns_sys::clock;
use schema::{Accelerator, Environment, SandboxKind};

use super::choice::{Choice, Chosen};
use super::counted::{self, at_a_time};
use super::guest::{Guest, MEMORY_MIB};
use super::{Answer, Sandbox};
use crate::cmd::cell::Input;
use crate::environment;
use crate::exit::Usage;
use crate::plan::{ENVIRONMENT, PlannedEnvironment, Settings};
use crate::progress::{note, rough};
use crate::readiness::{self, Case, Trial, TrialOf};

/// Looking at an environment takes a second in a guest.
const FACTS: Duration = Duration::from_secs(60);

/// An environment that stays can be carried out in.
#[derive(Debug)]
pub(crate) struct Open {
    /// Its name.
    pub(crate) name: String,
    /// Where its stays live.
    pub(crate) sandbox: Sandbox,
    /// What is measured on.
    pub(crate) facts: Environment,
    /// Why modes cannot be measured there, by how they are programmed.
    pub(crate) unsupported: HashMap<Case, String>,
    /// Variants that are measured there; empty: all.
    pub(crate) variants: Vec<String>,
}

/// All environments of a run.
#[derive(Debug)]
pub(crate) struct Environments {
    all: Vec<Open>,
}

impl Environments {
    /// Opens what was chosen; consoles of guests are kept in `folder`.
    ///
    /// # Errors
    /// No environment came up: a [`Usage`] with the reason.
    pub(crate) async fn open(
        choice: Choice,
        settings: &Settings,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let all = match choice {
            Choice::Host { tried, .. } => vec![host(&settings.cases(), tried)?],
            Choice::Guests { kernels, .. } => {
                match settings.deterministic {
                    false => check_memory(kernels.len(), MEMORY_MIB)?,
                    true => check_memory(at_a_time(), counted::MEMORY_MIB)?,
                }
                check_programs(settings)?;
                let several = kernels.len() > 1;
                let mut all: Vec<Open> = Vec::new();
                for chosen in kernels {
                    let console = console(folder, several.then_some(chosen.name.as_str()));
                    if settings.deterministic {
                        let cases = settings.cases_of(chosen.variants.clone());
                        all.push(counted::open(chosen, &console, &cases, settings.seed).await?);
                        continue;
                    }
                    // Where KVM did not boot one kernel it boots none.
                    let try_kvm = all.iter().all(|open| open.facts.accel == Accelerator::Kvm);
                    let cases = settings.cases_of(chosen.variants.clone());
                    all.push(guest(chosen, &console, &cases, try_kvm).await?);
                }
                all
            }
        };
        let down: Vec<&str> = all.iter().filter_map(Open::down).collect();
        if down.len() == all.len() {
            return Err(Usage(format!("no guest came up: {}", down.join("; "))).into());
        }
        Ok(Self { all })
    }

    /// As the plan sees them.
    pub(crate) fn planned(&self) -> Vec<PlannedEnvironment> {
        let planned = self.all.iter().map(|open| {
            let environment = match open.facts.sandbox {
                SandboxKind::Netns => PlannedEnvironment::host(),
                SandboxKind::Guest => {
                    PlannedEnvironment::guest(open.name.clone(), open.facts.accel)
                }
            };
            environment.of(open.variants.clone())
        });
        planned.collect()
    }

    /// Every one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.all.iter()
    }

    /// The one of that name.
    pub(crate) fn of(&self, name: &str) -> Option<&Open> {
        self.all.iter().find(|open| open.name == name)
    }

    /// The one of that name, to use it.
    pub(crate) fn of_mut(&mut self, name: &str) -> Option<&mut Open> {
        self.all.iter_mut().find(|open| open.name == name)
    }

    /// Ends what runs for them.
    pub(crate) async fn close(&mut self) {
        for open in &mut self.all {
            open.sandbox.close().await;
        }
    }
}

impl Open {
    /// Why no stay can be carried out there any more.
    pub(crate) fn down(&self) -> Option<&str> {
        match &self.sandbox {
            Sandbox::Host(_) => None,
            Sandbox::Guest(guest) => guest.given_up(),
            Sandbox::Counted(guests) => guests.given_up(),
        }
    }
}

/// Where a guest's console is kept: `console.log`, or `console-<environment>.log` where there are several.
fn console(folder: &Path, name: Option<&str>) -> PathBuf {
    folder.join(match name {
        None => "console.log".to_owned(),
        Some(name) => format!("console-{name}.log"),
    })
}

fn host(cases: &[Case], tried: HashMap<Case, Trial>) -> anyhow::Result<Open> {
    let mut sandbox = Sandbox::Host(None);
    if let Sandbox::Host(baseline) = &mut sandbox {
        *baseline = Some(netns_harness::meters::kernel_memory()?);
    }
    Ok(opened(
        ENVIRONMENT.to_owned(),
        sandbox,
        environment::host(cases),
        tried,
    ))
}

/// An environment that was tried.
pub(super) fn opened(
    name: String,
    sandbox: Sandbox,
    facts: Environment,
    tried: HashMap<Case, Trial>,
) -> Open {
    let facts = Environment {
        sysctls: common_sysctls(tried.values()),
        ..facts
    };
    let refused = |(case, trial): (Case, Trial)| Some((case, trial.unsupported?));
    Open {
        name,
        sandbox,
        facts,
        unsupported: tried.into_iter().filter_map(refused).collect(),
        variants: Vec::new(),
    }
}

/// Sysctls that every lab had alike: what a variant sets is the variant's, and not its environment's.
fn common_sysctls<'a>(tried: impl Iterator<Item = &'a Trial>) -> BTreeMap<String, String> {
    let mut labs = tried.map(|t| &t.sysctls).filter(|found| !found.is_empty());
    let mut common = labs.next().cloned().unwrap_or_default();
    for lab in labs {
        common.retain(|name, value| lab.get(name) == Some(value));
    }
    common
}

/// What stands in for tools must be programs where it is to be started in a guest, which has no interpreter for
/// scripts.
fn check_programs(settings: &Settings) -> Result<(), Usage> {
    let sides = settings.sides();
    let named = sides.iter().flat_map(|side| &side.setup.tools);
    for (name, file) in named {
        if !guest::image::is_elf(file) {
            return Err(Usage(format!(
                "--tool {name}={}: it is no ELF program, and a guest has no interpreter for scripts: name a program, or measure on the host's kernel with --sandbox netns",
                file.display()
            )));
        }
    }
    Ok(())
}

/// Files that stand in for tools, each once.
pub(super) fn tools(cases: &[Case]) -> Vec<PathBuf> {
    let tools = cases.iter().flat_map(|case| case.setup.tools.values());
    let tools: BTreeSet<&PathBuf> = tools.collect();
    tools.into_iter().cloned().collect()
}

async fn guest(
    chosen: Chosen,
    console: &Path,
    cases: &[Case],
    try_kvm: bool,
) -> anyhow::Result<Open> {
    let since = clock::now();
    let Chosen {
        name,
        kernel,
        variants,
    } = chosen;
    let mut facts = environment::of_kernel(&kernel);
    let mut guest = Guest::new(kernel, console, &tools(cases))
        .map_err(|error| Usage(format!("{name}: no initramfs can be built: {error:#}")))?;
    let booted = guest.first_boot(try_kvm).await;
    facts.accel = match guest.accelerator() {
        guest::machine::Accelerator::Kvm => Accelerator::Kvm,
        guest::machine::Accelerator::Tcg => Accelerator::Tcg,
        guest::machine::Accelerator::Icount { .. } => Accelerator::TcgIcount,
    };
    let mut sandbox = Sandbox::Guest(Box::new(guest));
    let mut tried = HashMap::new();
    match booted {
        Ok(why_not_kvm) => {
            if let Some(why) = why_not_kvm {
                note(&format!("{name}: without KVM ({why})"));
            }
            facts = seen_inside(&mut sandbox, cases, facts).await?;
            for case in cases {
                let trial = readiness::attempt_in(&mut sandbox, case, None).await?;
                tried.insert(case.clone(), trial);
            }
            note(&format!(
                "{name}: Linux {} is up under {}, {} CPUs, and was tried, in {}",
                facts.kernel,
                accelerator(facts.accel),
                facts.cores,
                rough(Duration::from_nanos(since.elapsed_ns()))
            ));
        }
        Err(why) => note(&format!("{name}: {why}")),
    }
    Ok(Open {
        variants,
        ..opened(name, sandbox, facts, tried)
    })
}

/// How an accelerator is called to a reader.
pub(crate) fn accelerator(accel: Accelerator) -> &'static str {
    match accel {
        Accelerator::None => "no accelerator",
        Accelerator::Kvm => "KVM",
        Accelerator::Tcg => "TCG (translated, many times slower)",
        Accelerator::TcgIcount => "TCG (instructions counted)",
    }
}

/// The facts as the runner sees them inside; what only the host knows of the guest is kept.
async fn seen_inside(
    sandbox: &mut Sandbox,
    cases: &[Case],
    outside: Environment,
) -> anyhow::Result<Environment> {
    let input = Input::Facts {
        facts: cases.iter().map(|case| TrialOf::of(case, None)).collect(),
    };
    let answer = sandbox.ask(&serde_json::to_string(&input)?, FACTS).await?;
    let Answer::Said(text) = answer else {
        return Err(Usage(format!("the guest does not say what it is: {answer:?}")).into());
    };
    Ok(merged(serde_json::from_str(&text)?, outside))
}

/// What a guest says of itself, and what only the host knows of it.
pub(super) fn merged(inside: Environment, outside: Environment) -> Environment {
    let mut tools = inside.tools;
    // The guest's libraries are this machine's, which alone knows their package.
    tools.extend(environment::libraries());
    Environment {
        sandbox: outside.sandbox,
        accel: outside.accel,
        config: outside.config,
        tools,
        ..inside
    }
}

/// The guests must fit beside each other into what is free.
fn check_memory(guests: usize, each_mib: u32) -> Result<(), Usage> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free_kib: Option<u64> = text
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .and_then(|l| l.split_whitespace().next()?.parse().ok());
    let needed_mib = u64::from(each_mib) * guests as u64;
    match free_kib {
        Some(free) if free / 1024 < needed_mib => Err(Usage(format!(
            "{guests} guests of {each_mib} MiB need {needed_mib} MiB and {} MiB are free: name fewer --kernel at a time, or end other programs",
            free / 1024
        ))),
        _ => Ok(()),
    }
}
