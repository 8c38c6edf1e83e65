//! The environments of a run: opened before the plan is made (what can be measured there, and how fast it
//! is, is only known then), closed when the run ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use guest::machine::QEMU;
use netns_sys::clock;
use schema::{Accelerator, Environment};

use crate::case::Case;
use crate::choice::{Choice, Chosen, On};
use crate::environment;
use crate::exit::{Usage, refused};
use crate::isolate::ask::Trial;
use crate::machine::Machine;
use crate::places::Place;
use crate::places::guest::{self as timed, Guest};
use crate::places::host::Host;
use crate::places::icount::{self, Icount};
use crate::plan::{ENVIRONMENT, PlannedEnvironment, Settings};
use crate::progress::{note, rough};
use crate::readiness;

/// An environment that stays can be carried out in.
#[derive(Debug)]
pub(crate) struct Open {
    /// Its name.
    pub(crate) name: String,
    /// Where its stays are carried out.
    pub(crate) place: Arc<dyn Place>,
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
        machine: &Machine,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut all: Vec<Open> = Vec::new();
        match choice.on {
            On::Host(tried) => {
                let (cases, place) = (settings.cases(), Arc::new(Host::still()?));
                let facts = environment::host(&cases);
                let name = ENVIRONMENT.to_owned();
                all.push(Open::new(name, Vec::new(), place, facts, &cases, tried));
            }
            On::Guests(kernels) => {
                check_memory(settings, machine, kernels.len())?;
                check_programs(settings)?;
                let several = kernels.len() > 1;
                for chosen in kernels {
                    let console = console(folder, several.then_some(chosen.name.as_str()));
                    // Where KVM did not boot one kernel it boots none.
                    let try_kvm = all.iter().all(|open| open.facts.accel == Accelerator::Kvm);
                    let guests = Opening {
                        settings,
                        machine,
                        console,
                        try_kvm,
                    };
                    all.push(guests.open(chosen).await?);
                }
            }
        }
        let down: Vec<&str> = all.iter().filter_map(Open::down).collect();
        if down.len() == all.len() {
            return refused(format!("no guest came up: {}", down.join("; ")));
        }
        Ok(Self { all })
    }

    /// As the plan sees them.
    pub(crate) fn planned(&self) -> Vec<PlannedEnvironment> {
        let planned = self.all.iter().map(|open| PlannedEnvironment {
            name: open.name.clone(),
            accel: open.facts.accel,
            variants: open.variants.clone(),
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

    /// Ends what runs for them.
    pub(crate) async fn close(&self) {
        for open in &self.all {
            open.place.close().await;
        }
    }
}

impl Open {
    /// One that was tried.
    fn new(
        name: String,
        variants: Vec<String>,
        place: Arc<dyn Place>,
        facts: Environment,
        cases: &[Case],
        tried: Vec<Trial>,
    ) -> Self {
        let facts = Environment {
            sysctls: common_sysctls(&tried),
            ..facts
        };
        let tried = cases.iter().cloned().zip(tried);
        Self {
            name,
            place,
            facts,
            unsupported: tried
                .filter_map(|(case, trial)| Some((case, trial.unsupported?)))
                .collect(),
            variants,
        }
    }

    /// Why no stay can be carried out there any more.
    pub(crate) fn down(&self) -> Option<&str> {
        self.place.given_up()
    }
}

/// Where a guest's console is kept: `console.log`, or `console-<environment>.log` where there are several.
fn console(folder: &Path, name: Option<&str>) -> PathBuf {
    folder.join(match name {
        None => "console.log".to_owned(),
        Some(name) => format!("console-{name}.log"),
    })
}

/// Sysctls that every lab had alike: what a variant sets is the variant's, and not its environment's.
fn common_sysctls(tried: &[Trial]) -> BTreeMap<String, String> {
    let mut labs = tried
        .iter()
        .map(|t| &t.sysctls)
        .filter(|found| !found.is_empty());
    let mut common = labs.next().cloned().unwrap_or_default();
    for lab in labs {
        common.retain(|name, value| lab.get(name) == Some(value));
    }
    common
}

/// What stands in for tools must be programs where it is to be started in a guest, which has no interpreter for
/// scripts.
fn check_programs(settings: &Settings) -> Result<(), Usage> {
    let sides = settings.sides().iter();
    let mut named = sides.flat_map(|side| &side.setup.tools);
    match named.find(|(_, file)| !guest::image::is_elf(file)) {
        Some((name, file)) => refused(format!(
            "--tool {name}={}: it is no ELF program, and a guest has no interpreter for scripts: name a program, or measure on the host's kernel with --sandbox netns",
            file.display()
        )),
        None => Ok(()),
    }
}

/// How guests of a kernel are opened.
struct Opening<'a> {
    settings: &'a Settings,
    machine: &'a Machine,
    console: PathBuf,
    try_kvm: bool,
}

impl Opening<'_> {
    /// Guests of a kernel as an environment: one is booted that says what it is and tries the modes.
    async fn open(self, chosen: Chosen) -> anyhow::Result<Open> {
        let since = clock::now();
        let Chosen {
            name,
            kernel,
            variants,
        } = chosen;
        let cases = self.settings.cases_of(variants.clone());
        let outside = environment::of_kernel(&kernel);
        let (place, why_not_kvm) = self
            .place(kernel, &cases)
            .await
            .map_err(|error| Usage(format!("{name}: no initramfs can be built: {error:#}")))?;
        if let Some(why) = why_not_kvm {
            note(&format!("{name}: without KVM ({why})"));
        }
        let mut facts = Environment {
            accel: place.accelerator(),
            ..outside
        };
        let tried = match readiness::look(&*place, &cases).await? {
            Some((inside, tried)) => {
                facts = merged(inside, facts);
                let took = rough(Duration::from_nanos(since.elapsed_ns()));
                note(&format!(
                    "{name}: Linux {} is up{}, and was tried, in {took}",
                    facts.kernel,
                    self.under(&facts)
                ));
                tried
            }
            None => {
                note(&format!("{name}: {}", place.given_up().unwrap_or_default()));
                Vec::new()
            }
        };
        Ok(Open::new(name, variants, place, facts, &cases, tried))
    }

    /// The guests, and why they do without KVM.
    async fn place(
        &self,
        kernel: guest::kernel::Kernel,
        cases: &[Case],
    ) -> anyhow::Result<(Arc<dyn Place>, Option<String>)> {
        let named = cases.iter().flat_map(|case| case.setup.tools.values());
        let tools: BTreeSet<PathBuf> = named.cloned().collect();
        let (args, console) = (&self.settings.args, &self.console);
        if args.deterministic {
            let guests = Icount::new(kernel, console, &tools, args.seed)?;
            return Ok((Arc::new(guests), None));
        }
        let (guest, why_not) = Guest::new(kernel, console, &tools, self.try_kvm).await?;
        Ok((Arc::new(guest), why_not))
    }

    /// What executes them, to a reader.
    fn under(&self, facts: &Environment) -> String {
        let by = match facts.accel {
            Accelerator::TcgIcount => {
                let guests = self.machine.at_a_time();
                return format!(", instructions counted, {guests} guests at a time");
            }
            Accelerator::None => "no accelerator",
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG (translated, many times slower)",
        };
        format!(" under {by}, {} CPUs", facts.cores)
    }
}

/// What a guest says of itself, and what only the host knows of it.
fn merged(inside: Environment, outside: Environment) -> Environment {
    let mut tools = inside.tools;
    // The guest's libraries are this machine's, which alone knows their package.
    tools.extend(environment::libraries());
    if outside.accel == Accelerator::TcgIcount {
        // What QEMU it is decides what is counted, as a tool does.
        let qemu = environment::version(QEMU).unwrap_or_else(|| "unknown".to_owned());
        tools.insert(QEMU.to_owned(), qemu);
    }
    Environment {
        sandbox: outside.sandbox,
        accel: outside.accel,
        config: outside.config,
        tools,
        ..inside
    }
}

/// The guests must fit beside each other into what is free.
fn check_memory(settings: &Settings, machine: &Machine, kernels: usize) -> Result<(), Usage> {
    let (guests, each_mib) = match settings.args.deterministic {
        true => (machine.at_a_time(), icount::MEMORY_MIB),
        false => (kernels, timed::MEMORY_MIB),
    };
    let needed_mib = u64::from(each_mib) * guests as u64;
    match machine.free_bytes.map(|bytes| bytes >> 20) {
        Some(free_mib) if free_mib < needed_mib => refused(format!(
            "{guests} guests of {each_mib} MiB need {needed_mib} MiB and {free_mib} MiB are free: name fewer --kernel at a time, or end other programs",
        )),
        _ => Ok(()),
    }
}
