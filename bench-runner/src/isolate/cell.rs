//! One stay, or one trial of a mode, in a process tree of its own: the inner side of a question.
//!
//! Two processes. The outer one reads the whole specification, makes the namespaces and starts the inner
//! one, which is the init of the new PID namespace: when it ends, however it ends, the kernel ends
//! everything in it. Each dies with the one that started it, so killing the runner with SIGKILL leaves
//! nothing; the pipe between the two covers the moment before the death signal is set.

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use netns_harness::remedy::Lack;
use netns_harness::service::{MAX_ENDPOINTS, MAX_SERVICES, NODE_PORTS};
use netns_sys::isolation;
use netns_sys::tools::SUITE_PATH;
use scenarios::most_flows_of_node;
use scenarios::population::{most_with_endpoints, most_with_node_ports};
use scenarios::spec::{CellSpec, Event, StaySpec};
use schema::Outcome;
use serde::Serialize;

use super::ask::{Ask, Rested};
use super::child::PARENT_VARIABLE;
use super::trial;
use crate::case;
use crate::environment;
use crate::exit::{Ended, Unable, Usage, refused};
use crate::verbose::{self, Telling};

/// What standard input asks, in namespaces of its own.
///
/// # Errors
/// Standard input holds nothing that can be asked, a [`Usage`]; or no namespaces can be made, an [`Unable`].
pub(crate) fn outer() -> anyhow::Result<Ended> {
    let parent = std::env::var(PARENT_VARIABLE).ok();
    let parent = parent.and_then(|p| p.parse().ok());
    isolation::die_with_parent(parent).context("tie this process to the runner")?;
    let text = std::io::read_to_string(std::io::stdin()).context("read the specification")?;
    let ask = Ask::parse(&text)
        .map_err(|e| Usage(format!("standard input is not a stay's specification ({e}); `bench-runner plan --json` prints some")))?;
    match &ask {
        // What concerns the whole kernel needs no namespaces.
        Ask::Facts { cases } => return answer(&environment::host(cases)),
        Ask::Settle { baseline } => return answer(&Rested::from(*baseline)?),
        Ask::Stay(spec) | Ask::Listing { stay: spec, .. } => check(spec)?,
        Ask::Trial { .. } | Ask::Facilities => {}
    }
    isolation::unshare_all().map_err(unable)?;
    let program = std::env::current_exe().context("find this program's file")?;
    let mut command = Command::new(program);
    if ask.suite().is_some() {
        command.env("PATH", SUITE_PATH);
    }
    let mut child = command
        .args(["cell", "--init"])
        .args(verbose::words())
        .stdin(Stdio::piped())
        .spawn()
        .context("start the init process of the stay")?;
    // Kept open while the stay runs: its end tells the inner process that this one is gone.
    let mut to_inner = child.stdin.take().expect("stdin is piped");
    writeln!(to_inner, "{}", ask.line()).context("hand over the specification")?;
    let status = child.wait().context("wait for the stay")?;
    drop(to_inner);
    match status.code() {
        Some(2) => Ok(Ended::Unable),
        _ => Ok(Ended::done_if(status.success())),
    }
}

/// The same, as the init of the PID namespace that [`outer`] has made.
///
/// # Errors
/// This process was not started by [`outer`].
pub(crate) fn inner() -> anyhow::Result<Ended> {
    isolation::die_with_parent(None).context("tie the stay to its parent")?;
    if !isolation::is_init() {
        return refused("--init is for the process that `cell` starts");
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.context("read the specification")?;
    let ask = Ask::parse(&line).context("read the specification")?;
    watch_parent();
    let mounted = isolation::mount_private(&needed(&ask)).map_err(unable)?;
    if let Some(root) = ask.suite() {
        isolation::mount_suite(root).context("use the tools of another suite")?;
    }
    match ask {
        Ask::Trial { case, at } => answer(&trial::carry_out(&case, at)),
        Ask::Facilities => answer(&trial::facilities(mounted)),
        Ask::Listing { stay, endpoints } => answer(&scenarios::listing(&stay, &endpoints)?),
        Ask::Facts { .. } | Ask::Settle { .. } => refused("this is answered without namespaces"),
        Ask::Stay(spec) => {
            verbose::start(|| Telling);
            let failed = std::cell::Cell::new(false);
            scenarios::run_stay(&spec, &|event| {
                failed.set(failed.get() || is_failure(&event));
                print(&event).expect("events are plain data");
            });
            Ok(Ended::done_if(!failed.get()))
        }
    }
}

/// Why this process is not isolated: on its standard output for whoever asked, and as its end.
fn unable(refused: isolation::Refused) -> anyhow::Error {
    let lack = Lack::of_isolation(&refused);
    match print(&lack) {
        Ok(()) => Unable(lack).into(),
        Err(error) => error,
    }
}

/// Files that a stay starts, wherever they lie.
fn needed(ask: &Ask) -> Vec<PathBuf> {
    let named = ask.setup().map(|setup| setup.tools.values().cloned());
    let tools = case::all_tools().into_iter();
    let found = tools.filter_map(|(name, _)| netns_sys::process::found(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let suite = ask.suite().map(Path::to_path_buf);
    let all = named.into_iter().flatten().chain(found);
    all.chain(folders).chain(suite).collect()
}

/// Ends this process, and with it the PID namespace, when the outer process is gone.
fn watch_parent() {
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while matches!(std::io::stdin().read(&mut rest), Ok(n) if n > 0) {}
        std::process::exit(1);
    });
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::Ended(outcome) => matches!(outcome.outcome, Outcome::Failed { .. }),
        event => matches!(event, Event::Failed { .. }),
    }
}

/// What a stay cannot be asked.
fn check(spec: &StaySpec) -> Result<(), Usage> {
    let of_services = |cell: &CellSpec| scenarios::scenario(cell.scenario).is_of_services();
    let beside_none = spec.services == 0 && spec.endpoints == 0;
    let why = if beside_none && !spec.cells.iter().any(of_services) {
        return Ok(());
    } else if !(1..=MAX_SERVICES).contains(&spec.services) {
        "services is out of range".to_owned()
    } else if !(1..=MAX_ENDPOINTS).contains(&spec.endpoints) {
        "endpoints is out of range".to_owned()
    } else if spec.services > most_with_endpoints(spec.endpoints) {
        "services of so many endpoints are more addresses than the plan holds".to_owned()
    } else if spec.protocols.is_empty() || (spec.services as usize) < spec.protocols.len() {
        "protocols is empty, or longer than services".to_owned()
    } else if most_with_node_ports(spec.mix.cycle(), spec.protocols.len())
        .is_some_and(|most| spec.services > most)
    {
        format!(
            "services have more node ports than there are ({} to {} of each protocol)",
            NODE_PORTS.start(),
            NODE_PORTS.end()
        )
    } else if most_flows_of_node(spec).is_some_and(|most| spec.flows > most) {
        "flows of the node's own are more than it has ports for".to_owned()
    } else if let Some(name) = spec.setup.tools.keys().find(|name| !case::is_tool(name)) {
        format!("no tool {name} is ever started")
    } else {
        return Ok(());
    };
    refused(format!("the stay's specification: {why}"))
}

fn print(line: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(line).context("encode what is said")?;
    let mut out = std::io::stdout().lock();
    // Without a listener there is nobody to measure for.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
    Ok(())
}

fn answer(found: &impl Serialize) -> anyhow::Result<Ended> {
    print(found).map(|()| Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::plan::{Plan, PlannedEnvironment, Settings};
    use clap::Parser as _;

    fn stay(words: &str) -> StaySpec {
        let words = format!("bench-runner --services 20 --modes nftables {words}");
        let cli = crate::cmd::Cli::try_parse_from(words.split(' ')).unwrap();
        let settings = Settings::resolve(&cli.run).unwrap();
        let plan = Plan::new(
            &settings,
            &[PlannedEnvironment::host()],
            &Machine::default(),
        );
        plan.stays.into_iter().next().unwrap().spec
    }

    #[test]
    fn a_stay_of_more_than_there_is_room_for_is_refused_before_it_starts() {
        let mix = stay("--mix cluster-ip=50,node-port=50 --scenarios rule-count");
        let packets = stay("--paths node --scenarios first-packet");
        assert!(check(&mix).is_ok() && check(&packets).is_ok());
        // Each protocol has 2,768 node ports, and every second service takes one.
        let more_ports = StaySpec {
            services: 2 * 2 * 2_768,
            ..mix
        };
        let more_flows = StaySpec {
            flows: 20_000,
            ..packets
        };
        for (spec, why) in [
            (more_ports, "node ports"),
            (more_flows, "flows of the node"),
        ] {
            let Usage(said) = check(&spec).unwrap_err();
            assert!(said.contains(why) && !said.contains('\n'), "{said}");
        }
    }
}
