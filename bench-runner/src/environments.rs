//! The environments of a run: opened before the plan is made (what can be measured there, and how fast it
//! is, is only known then), closed when the run ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use guest::kernel::Kernel;
use guest::machine::QEMU;
use netns_harness::remedy::Lack;
use netns_sys::clock;
use schema::{Accelerator, Environment};

use crate::case::Case;
use crate::choice::{Choice, Guests, On};
use crate::environment;
use crate::exit::{Usage, refused};
use crate::isolate::ask::Trial;
use crate::machine::Machine;
use crate::pace;
use crate::places::Place;
use crate::places::guest::{self as timed, Guest};
use crate::places::host::Host;
use crate::places::icount::{self, Icount};
use crate::plan::{OPENED, PlannedEnvironment, Settings, TRIED};
use crate::progress::{note, rough};
use crate::readiness;

/// An environment that stays can be carried out in.
#[derive(Debug)]
pub(crate) struct Open {
    /// As the plan sees it.
    pub(crate) planned: PlannedEnvironment,
    /// Where its stays are carried out.
    pub(crate) place: Arc<dyn Place>,
    /// What is measured on.
    pub(crate) facts: Environment,
    /// Why modes cannot be measured there, by how they are programmed.
    pub(crate) unsupported: HashMap<Case, Lack>,
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
        let all = match choice.on {
            On::Host(tried) => vec![host(settings, tried)?],
            On::Guests(kernels) => guests(settings, machine, kernels, folder).await?,
            On::Both(tried, kernels) => {
                let mut all = guests(settings, machine, kernels, folder).await?;
                all.push(host(settings, tried)?);
                all
            }
        };
        let down: Vec<&str> = all
            .iter()
            .filter_map(|open| open.place.given_up())
            .collect();
        if down.len() == all.len() {
            return refused(format!("no guest came up: {}", down.join("; ")));
        }
        Ok(Self { all })
    }

    /// As the plan sees them.
    pub(crate) fn planned(&self) -> Vec<PlannedEnvironment> {
        self.all.iter().map(|open| open.planned.clone()).collect()
    }

    /// Every one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.all.iter()
    }

    /// The one of that name.
    pub(crate) fn of(&self, name: &str) -> Option<&Open> {
        self.all.iter().find(|open| open.planned.name == name)
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
        planned: PlannedEnvironment,
        place: Arc<dyn Place>,
        facts: Environment,
        cases: &[Case],
        tried: Vec<Trial>,
    ) -> Self {
        let accel = place.accelerator();
        let sysctls = common_sysctls(&tried);
        let tried = cases.iter().cloned().zip(tried);
        let broken = tried.filter_map(|(case, trial)| Some((case, trial.unsupported?)));
        let unsupported: HashMap<Case, Lack> = broken.collect();
        let lacks = match place.given_up() {
            Some(_) => cases.iter().cloned().collect(),
            None => unsupported.keys().cloned().collect(),
        };
        Self {
            planned: PlannedEnvironment {
                accel,
                lacks,
                ..planned
            },
            place,
            unsupported,
            facts: Environment { sysctls, ..facts },
        }
    }
}

/// Sysctls that every lab had alike: what a variant sets is the variant's, and not its environment's.
fn common_sysctls(tried: &[Trial]) -> BTreeMap<String, String> {
    let labs = tried.iter().map(|t| &t.sysctls);
    let mut labs = labs.filter(|found| !found.is_empty());
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

/// The host's kernel as an environment.
fn host(settings: &Settings, tried: Vec<Trial>) -> anyhow::Result<Open> {
    let (cases, place) = (settings.cases(), Arc::new(Host::still()?));
    let facts = environment::host(&cases);
    let planned = PlannedEnvironment {
        pace: pace::of_this_machine(),
        ..PlannedEnvironment::host()
    };
    Ok(Open::new(planned, place, facts, &cases, tried))
}

/// Guests of each kernel, whose consoles are kept in `folder`.
async fn guests(
    settings: &Settings,
    machine: &Machine,
    kernels: Guests,
    folder: &Path,
) -> anyhow::Result<Vec<Open>> {
    check_memory(machine, &kernels)?;
    check_programs(settings)?;
    let (several, mut try_kvm, mut all) = (kernels.len() > 1, true, Vec::new());
    for (planned, kernel) in kernels {
        let console = match several {
            true => format!("console-{}.log", planned.name),
            false => "console.log".to_owned(),
        };
        let console = folder.join(console);
        let open = guests_of(settings, machine, planned, kernel, &console, try_kvm).await?;
        // Where KVM did not boot one kernel it boots none.
        try_kvm &= open.facts.accel == Accelerator::Kvm;
        all.push(open);
    }
    Ok(all)
}

/// Guests of a kernel as an environment: one is booted that says what it is and tries the modes.
async fn guests_of(
    settings: &Settings,
    machine: &Machine,
    mut planned: PlannedEnvironment,
    kernel: Kernel,
    console: &Path,
    try_kvm: bool,
) -> anyhow::Result<Open> {
    let (since, name) = (clock::now(), planned.name.clone());
    let cases = settings.cases_in(&planned);
    let outside = environment::of_kernel(&kernel);
    let (place, why_not_kvm) = place(settings, &planned, kernel, &cases, console, try_kvm)
        .await
        .map_err(|error| Usage(format!("{name}: no initramfs can be built: {error:#}")))?;
    if let Some(why) = why_not_kvm {
        note(&format!("{name}: without KVM ({why})"));
    }
    let mut facts = Environment {
        accel: place.accelerator(),
        ..outside
    };
    let (mut trials, before_ns) = (Vec::new(), children_cpu_ns());
    if let Some((inside, tried)) = readiness::look(&*place, &cases).await? {
        facts = merged(inside, facts);
        trials = tried;
        if planned.is_counted() {
            // QEMU's processor time: what it waited for says nothing of the next.
            let used = Duration::from_nanos(children_cpu_ns() - before_ns);
            planned.pace = used.div_duration_f64(OPENED + TRIED * cases.len() as u32);
        }
        let took = rough(Duration::from_nanos(since.elapsed_ns()));
        let (release, under) = (&facts.kernel, under(&facts, machine));
        note(&format!(
            "{name}: Linux {release} is up{under}, and was tried, in {took}"
        ));
    } else {
        note(&format!("{name}: {}", place.given_up().unwrap_or_default()));
    }
    Ok(Open::new(planned, place, facts, &cases, trials))
}

/// Guests of a kernel, and why they do without KVM.
async fn place(
    settings: &Settings,
    planned: &PlannedEnvironment,
    kernel: Kernel,
    cases: &[Case],
    console: &Path,
    try_kvm: bool,
) -> anyhow::Result<(Arc<dyn Place>, Option<String>)> {
    let named = cases.iter().flat_map(|case| {
        let suite = case.setup.suite.iter().map(|suite| &suite.root);
        case.setup.tools.values().chain(suite)
    });
    let tools: BTreeSet<PathBuf> = named.cloned().collect();
    if planned.is_counted() {
        let guests = Icount::new(kernel, console, &tools, settings.args.seed)?;
        return Ok((Arc::new(guests), None));
    }
    let (guest, why_not) = Guest::new(kernel, console, &tools, try_kvm).await?;
    Ok((Arc::new(guest), why_not))
}

/// Processor time of processes that were started here and have ended, nanoseconds.
fn children_cpu_ns() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    let used = |of: nix::sys::resource::Usage| of.user_time() + of.system_time();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |of| used(of).num_nanoseconds());
    used.max(0) as u64
}

/// What executes a guest, to a reader.
fn under(facts: &Environment, machine: &Machine) -> String {
    let by = match facts.accel {
        Accelerator::TcgIcount => {
            let guests = machine.at_a_time();
            return format!(", instructions counted, {guests} guests at a time");
        }
        Accelerator::None => "no accelerator",
        Accelerator::Kvm => "KVM",
        Accelerator::Tcg => "TCG (translated, many times slower)",
    };
    format!(" under {by}, {} CPUs", facts.cores)
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
fn check_memory(machine: &Machine, kernels: &Guests) -> Result<(), Usage> {
    let counted = kernels.iter().any(|(planned, _)| planned.is_counted());
    let (guests, each_mib) = match counted {
        true => (machine.at_a_time(), icount::MEMORY_MIB),
        false => (kernels.len(), timed::MEMORY_MIB),
    };
    let needed_mib = u64::from(each_mib) * guests as u64;
    match machine.free_bytes.map(|bytes| bytes >> 20) {
        Some(free_mib) if free_mib < needed_mib => refused(format!(
            "{guests} guests of {each_mib} MiB need {needed_mib} MiB and {free_mib} MiB are free: name fewer --kernel at a time, or end other programs",
        )),
        _ => Ok(()),
    }
}
