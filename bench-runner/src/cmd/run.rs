//! `run`: the pipeline. Resolve, check the machine, plan, measure, report.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use netns_harness::datapath::KUBE_PROXY;
use schema::{EndRecord, Header, KubeProxyVersion, OutcomeKind, Record, ResumedRecord};

use super::tools;
use crate::choice::{self, Choice};
use crate::cli::RunArgs;
use crate::environments::{Environments, Open};
use crate::execute::Executor;
use crate::exit::{Ended, Usage, refused};
use crate::header::header;
use crate::ledger::Ledger;
use crate::machine::{self, Machine};
use crate::plan::{ENVIRONMENT, Plan, Settings};
use crate::population;
use crate::progress::note;
use crate::resume::Earlier;
use crate::run_dir::{self, RunDir};
use crate::stdout::{self, say};

/// Services of the quick run that is offered where everything takes long.
const QUICK: u32 = 300;

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Ended> {
    let runtime = machine::runtime()?;
    match &args.resume {
        None => runtime.block_on(start(args)),
        Some(_) if args.out.is_some() => {
            refused("--out makes a new run, --resume carries one on: give one of them")
        }
        Some(given) => runtime.block_on(carry_on(given)),
    }
}

async fn start(args: &RunArgs) -> anyhow::Result<Ended> {
    let mut args = args.clone();
    let read = population::resolve(&mut args)?;
    let settings = Settings::resolve(&args)?;
    let _suites = tools::held(&settings.named_suites())?;
    let machine = Machine::now();
    // What is on the host's kernel is known before anything is started.
    let foreseen = choice::foreseen(&settings)?;
    if foreseen.iter().all(|there| there.name == ENVIRONMENT)
        && let Some(why) = Plan::new(&settings, &foreseen, &machine).fits_nothing()
    {
        return refused(why);
    }
    let choice = choice::choose(&settings).await?;
    // Consoles are kept from the first boot on.
    let mut run_dir = RunDir::create(args.out.as_deref())?;
    if let Some(read) = read {
        run_dir.keep(population::FILE, &read.shape.text())?;
        if let Some(names) = &read.names {
            run_dir.keep(population::NAMES, names)?;
        }
    }
    let reason = choice.reason.clone();
    note(&format!("measured on {reason}"));
    let found = netns_harness::datapath::kube_proxy::found_here();
    if !found.is_empty() {
        note(&format!(
            "warning: this machine is a node, whose own work disturbs what is measured: {}",
            found.join("; ")
        ));
    }
    let opening = open(choice, &settings, &machine, run_dir.path());
    let opened = tokio::select! {
        opened = opening => opened.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    let environments = match opened {
        Ok(Some(environments)) => environments,
        other => {
            run_dir.abandon();
            return other.map(|_| Ended::Interrupted);
        }
    };
    let plan = Plan::new(&settings, &environments.planned(), &machine);
    if let Some(why) = plan.fits_nothing() {
        environments.close().await;
        run_dir.abandon();
        return refused(why);
    }
    announce(&settings, &plan, &environments);
    let header = header(&settings, &plan, reason, &environments);
    warn_of_other_version(&settings, &header);
    run_dir.append(&Record::Header(header))?;
    let ledger = Ledger::new(&plan);
    measure(&settings, &plan, run_dir, ledger, environments).await
}

/// A real kube-proxy beside the layout of another version: their syncs are not the same work.
fn warn_of_other_version(settings: &Settings, header: &Header) {
    for side in settings.sides() {
        let layouts = side.layouts();
        let mut named = header.variants.iter();
        let of_side = named.find(|variant| variant.name == side.variant());
        let of_side = of_side.and_then(|variant| variant.tools.get(KUBE_PROXY.0));
        let mut of_run = header.environments.values();
        let of_run = of_run.find_map(|facts| facts.tools.get(KUBE_PROXY.0));
        let said = of_side.or(of_run).and_then(|said| said.split_once(" v"));
        let Some((_, version)) = said.filter(|_| !layouts.is_empty()) else {
            continue;
        };
        let is_of = |layout: &KubeProxyVersion| version.starts_with(&format!("{layout}."));
        if !layouts.iter().any(is_of) {
            let version = version.split(',').next().unwrap_or(version);
            let named: Vec<String> = layouts.iter().map(ToString::to_string).collect();
            let named = named.join(" and ");
            note(&format!(
                "warning: the kube-proxy that is measured is {version}, and our layout beside it is that of {named}: name its own with --kube-proxy"
            ));
        }
    }
}

async fn carry_on(given: &Path) -> anyhow::Result<Ended> {
    let mut earlier = Earlier::read(given)?;
    // What was read then is in the run itself.
    if !earlier.args.population.is_empty() {
        earlier.args.population = vec![earlier.run_dir.path().join(population::FILE)];
    }
    population::resolve(&mut earlier.args)?;
    let settings = Settings::resolve(&earlier.args)?;
    let _suites = tools::held(&settings.named_suites())?;
    let machine = Machine::now();
    let mut plan = Plan::new(&settings, &earlier.environments(), &machine);
    earlier.keep_decisions(&mut plan);
    earlier.check_options(&settings, &plan)?;
    let ledger = earlier.ledger(&plan)?;
    if earlier.is_finished(&ledger) {
        note(&format!(
            "{} is finished: nothing is left to do (`bench-runner report` makes its page again)",
            given.display()
        ));
        return Ok(Ended::Done);
    }
    let choice = choice::choose(&settings).await?;
    let reason = choice.reason.clone();
    let environments = open(choice, &settings, &machine, earlier.run_dir.path()).await?;
    // The same stays, with what opening has shown of how long they take.
    let mut plan = Plan::new(&settings, &environments.planned(), &machine);
    earlier.keep_decisions(&mut plan);
    let now = header(&settings, &plan, reason.clone(), &environments);
    earlier.check_machine(&now)?;
    note(&format!("measured on {reason}"));
    let mut run_dir = earlier.run_dir;
    let torn = run_dir.drop_torn_line()?;
    if torn > 0 {
        note(&format!(
            "warning: the last line was cut off: its {torn} bytes are dropped"
        ));
    }
    announce(&settings, &plan, &environments);
    note(&format!(
        "carried on: {} of {} cells have their outcome",
        ledger.closed(),
        ledger.planned()
    ));
    run_dir.append(&Record::Resumed(ResumedRecord {
        resumed: run_dir::now(),
        spent_ns: ledger.spent_ns(),
    }))?;
    measure(&settings, &plan, run_dir, ledger, environments).await
}

/// Opens the environments and sees whether they can be asked for so much.
async fn open(
    choice: Choice,
    settings: &Settings,
    machine: &Machine,
    folder: &Path,
) -> anyhow::Result<Environments> {
    let environments = Environments::open(choice, settings, machine, folder).await?;
    let plan = Plan::new(settings, &environments.planned(), machine);
    for open in environments.iter() {
        check_conntrack(&plan, open)?;
    }
    Ok(environments)
}

async fn measure(
    settings: &Settings,
    plan: &Plan,
    mut run_dir: RunDir,
    ledger: Ledger,
    environments: Environments,
) -> anyhow::Result<Ended> {
    let executed = Executor::new(settings, plan, &mut run_dir, ledger, &environments)?
        .run()
        .await;
    environments.close().await;
    let in_guests = environments
        .iter()
        .any(|open| open.planned.name != ENVIRONMENT);
    let written = executed.and_then(|(ledger, executed)| {
        run_dir.append(&Record::End(EndRecord {
            ended: ledger.ended(executed.interrupted).to_owned(),
            elapsed_ns: executed.elapsed_ns,
            runner_rss_bytes: peak_rss_bytes(in_guests),
        }))?;
        report(&run_dir)?;
        Ok((ledger, executed.interrupted))
    });
    run_dir.give_to_invoker();
    let (ledger, interrupted) = written?;
    Ok(conclude(&ledger, interrupted, &run_dir))
}

/// Tracked connections of the longest stay must fit into half of the kernel's table.
fn check_conntrack(plan: &Plan, open: &Open) -> Result<(), Usage> {
    const MAX: &str = "node:net.netfilter.nf_conntrack_max";
    let max = open.facts.sysctls.get(MAX);
    let Some(max) = max.and_then(|text| text.trim().parse::<u64>().ok()) else {
        return Ok(());
    };
    // Warm-up is at most 500 flows; a proof opens a few thousand.
    let here = plan.stays.iter().map(|stay| &stay.spec);
    let here = here.filter(|spec| spec.environment == open.planned.name);
    let stays = here.map(|spec| (spec.cells.len() as u64, u64::from(spec.flows)));
    let most = stays.max_by_key(|(cells, each)| cells * (each + 500));
    let (cells, each) = most.unwrap_or_default();
    let flows = cells * (each + 500) + 5_000;
    if 2 * flows <= max {
        return Ok(());
    }
    refused(format!(
        "--flows {each} in {cells} cells of a stay needs {flows} tracked connections, more than half of nf_conntrack_max ({max}): lower --flows"
    ))
}

fn announce(settings: &Settings, plan: &Plan, environments: &Environments) {
    for open in environments.iter() {
        let said = open.unsupported.iter();
        // Variants with tools of their own may lack a mode for one reason.
        let said: BTreeSet<String> = said
            .map(|(case, lack)| {
                format!(
                    "{}: unsupported: {case}: {}",
                    open.planned.name,
                    lack.line()
                )
            })
            .collect();
        said.iter().for_each(|line| note(line));
    }
    let on_host = environments.of(ENVIRONMENT).is_some();
    if on_host && netns_sys::isolation::needs_user_namespace() {
        note(
            "without root: labs live in user namespaces of their own; `doctor` says what that leaves out",
        );
    }
    plan.sentences().iter().for_each(|line| note(line));
    if on_host && plan.part(true).next().is_some() {
        note("--sandbox netns leaves out what is counted; --services 1000 makes it short");
    }
    // Variants with sizes of their own are quicker by those.
    let alike = |side: &Settings| side.sizes == settings.sizes;
    let is_timed = plan.part(false).next().is_some();
    if !on_host && is_timed && settings.sides().iter().all(alike) {
        note(&format!(
            "quicker: --services {} --no-sweep --scenarios first-packet,service-add",
            settings.request.largest.min(QUICK)
        ));
    }
}

/// Peak resident memory of this process and of the largest stay, bytes; of a run with guests, whose memory would be
/// QEMU's, of this process alone.
fn peak_rss_bytes(in_guests: bool) -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let peak = |who| getrusage(who).map_or(0, |u| u.max_rss() as u64 * 1024);
    let own = peak(UsageWho::RUSAGE_SELF);
    match in_guests {
        true => own,
        false => own.max(peak(UsageWho::RUSAGE_CHILDREN)),
    }
}

/// Summary, plots and page, from the file that was written.
fn report(run_dir: &RunDir) -> anyhow::Result<()> {
    let run = reports::load(run_dir.path()).context("read the results back")?;
    let summary = reports::summarise(&run);
    reports::write_all(run_dir.path(), &run, &summary).context("write the report")?;
    say!("{}", reports::render_tables(&summary, reports::TERMINAL));
    Ok(())
}

fn conclude(ledger: &Ledger, interrupted: bool, run_dir: &RunDir) -> Ended {
    for failure in ledger.failures().iter().take(5) {
        note(&format!("failed: {failure}"));
    }
    note(&ledger.sentence(interrupted));
    say!("{}", run_dir.path().join("report.html").display());
    if stdout::unheard() {
        note(
            "standard output is closed or full: the table and the report's path were not read; the results are saved",
        );
    }
    if interrupted {
        return Ended::Interrupted;
    }
    Ended::done_if(
        !stdout::unheard()
            && ledger.count(OutcomeKind::Failed) == 0
            && ledger.count(OutcomeKind::Measured) > 0
            && ledger.unaccounted() == 0,
    )
}
