//! `cell`: one stay, or one trial of a mode, in a process tree of its own.
//!
//! Two processes. The outer one reads the whole specification, makes the namespaces and starts the inner
//! one, which is the init of the new PID namespace: when it ends, however it ends, the kernel ends
//! everything in it. Each dies with the one that started it, so killing the runner with SIGKILL leaves
//! nothing; the pipe between the two covers the moment before the death signal is set.

use std::io::{BufRead as _, Read as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::Args;
use netns_harness::meters::{self, KernelMemory};
use netns_harness::service::{MAX_ENDPOINTS, MAX_SERVICES};
use netns_sys::isolation;
use scenarios::spec::{Event, StaySpec};
use schema::Outcome;
use serde::{Deserialize, Serialize};

use crate::exit::{Ended, Usage};
use crate::readiness::{Case, TrialOf};
use crate::sandbox::SETTLE;
use crate::sandbox::local::PARENT_VARIABLE;
use crate::{environment, trial};

/// Options of `cell`.
#[derive(Debug, Args)]
pub(crate) struct CellArgs {
    /// Internal: this process is the init of the stay's PID namespace.
    #[arg(long, hide = true)]
    pub(crate) init: bool,
}

/// What standard input holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Input {
    /// Try a mode in a throwaway namespace.
    Trial(TrialOf),
    /// Try every facility of the kernel there.
    Facilities {
        /// Always true.
        facilities: bool,
    },
    /// Say what this environment is, with the tools of these cases.
    Facts {
        /// The cases.
        facts: Vec<TrialOf>,
    },
    /// Wait until the kernel has given back what the last stay held.
    Settle {
        /// Always true.
        settle: bool,
        /// What was held before; none: only say what is held now.
        baseline: Option<Memory>,
    },
    /// Carry out a stay.
    Stay(Box<StaySpec>),
}

/// [`KernelMemory`] as it travels, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of KernelMemory")]
pub(crate) struct Memory {
    slab_unreclaimable: u64,
    vmalloc_used: u64,
    percpu: u64,
}

/// The answer to [`Input::Settle`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rested {
    /// How the waiting ended: a name of [`meters::Settled`].
    pub(crate) settled: String,
    /// What is held now.
    pub(crate) memory: Memory,
}

pub(crate) fn run(args: &CellArgs) -> anyhow::Result<Ended> {
    if args.init { inner() } else { outer() }
}

fn outer() -> anyhow::Result<Ended> {
    let parent = std::env::var(PARENT_VARIABLE)
        .ok()
        .and_then(|p| p.parse().ok());
    isolation::die_with_parent(parent).context("tie this process to the runner")?;
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("read the specification")?;
    let input: Input = serde_json::from_str(&text)
        .map_err(|e| Usage(format!("standard input is not a stay's specification ({e}); `bench-runner plan --json` prints some")))?;
    if let Input::Stay(spec) = &input {
        check(spec)?;
    }
    // What concerns the whole kernel needs no namespaces.
    match &input {
        Input::Facts { facts } => {
            let cases: Vec<Case> = facts.iter().map(TrialOf::case).collect();
            return answer(&environment::host(&cases));
        }
        Input::Settle { baseline, .. } => return answer(&settle(*baseline)?),
        Input::Trial(_) | Input::Facilities { .. } | Input::Stay(_) => {}
    }
    isolation::unshare_all().map_err(|e| Usage(crate::readiness::no_namespaces(&e)))?;
    let program = std::env::current_exe().context("find this program's file")?;
    let mut child = Command::new(program)
        .args(["cell", "--init"])
        .stdin(Stdio::piped())
        .spawn()
        .context("start the init process of the stay")?;
    // Kept open while the stay runs: its end tells the inner process that this one is gone.
    let mut to_inner = child.stdin.take().expect("stdin is piped");
    let mut line = serde_json::to_string(&input).context("encode the specification")?;
    line.push('\n');
    to_inner
        .write_all(line.as_bytes())
        .context("hand over the specification")?;
    let status = child.wait().context("wait for the stay")?;
    drop(to_inner);
    Ok(if status.success() {
        Ended::Done
    } else {
        Ended::Failed
    })
}

fn inner() -> anyhow::Result<Ended> {
    isolation::die_with_parent(None).context("tie the stay to its parent")?;
    if !isolation::is_init() {
        return Err(Usage("--init is for the process that `cell` starts".to_owned()).into());
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("read the specification")?;
    let input: Input = serde_json::from_str(&line).context("read the specification")?;
    watch_parent();
    isolation::mount_private().context("isolate the stay's mounts")?;
    match input {
        Input::Trial(asked) => answer(&trial::carry_out(&asked)),
        Input::Facilities { .. } => answer(&trial::facilities()),
        Input::Facts { .. } | Input::Settle { .. } => {
            Err(Usage("this is answered without namespaces".to_owned()).into())
        }
        Input::Stay(spec) => {
            let failed = std::cell::Cell::new(false);
            scenarios::run_stay(&spec, &|event| {
                failed.set(failed.get() || is_failure(&event));
                say(&event);
            });
            Ok(if failed.get() {
                Ended::Failed
            } else {
                Ended::Done
            })
        }
    }
}

fn settle(baseline: Option<Memory>) -> anyhow::Result<Rested> {
    let settled = match baseline {
        Some(held) => meters::settle(held.into(), SETTLE)?,
        None => meters::Settled::Back,
    };
    Ok(Rested {
        settled: settled.name().to_owned(),
        memory: meters::kernel_memory()?.into(),
    })
}

impl From<KernelMemory> for Memory {
    fn from(memory: KernelMemory) -> Self {
        Self {
            slab_unreclaimable: memory.slab_unreclaimable,
            vmalloc_used: memory.vmalloc_used,
            percpu: memory.percpu,
        }
    }
}

impl From<Memory> for KernelMemory {
    fn from(memory: Memory) -> Self {
        Self {
            slab_unreclaimable: memory.slab_unreclaimable,
            vmalloc_used: memory.vmalloc_used,
            percpu: memory.percpu,
        }
    }
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
        Event::Failed { .. } => true,
        Event::Ended(outcome) => matches!(outcome.outcome, Outcome::Failed { .. }),
        _ => false,
    }
}

/// What a stay cannot be asked.
fn check(spec: &StaySpec) -> Result<(), Usage> {
    let refused = |why: &str| Err(Usage(format!("the stay's specification: {why}")));
    if !(1..=MAX_SERVICES).contains(&spec.services) {
        return refused("services is out of range");
    }
    if !(1..=MAX_ENDPOINTS).contains(&spec.endpoints) {
        return refused("endpoints is out of range");
    }
    if spec.protocols.is_empty() || (spec.services as usize) < spec.protocols.len() {
        return refused("protocols is empty, or longer than services");
    }
    if let Some(name) = spec.setup.tools.keys().find(|name| !is_tool(name)) {
        return refused(&format!("no tool {name} is ever started"));
    }
    Ok(())
}

fn is_tool(name: &str) -> bool {
    environment::all_tools()
        .iter()
        .any(|(known, _)| *known == name)
}

fn say(event: &Event) {
    print_line(&serde_json::to_string(event).expect("events are plain data"));
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    // Without a listener there is nobody to measure for.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn answer(found: &impl Serialize) -> anyhow::Result<Ended> {
    print_line(&serde_json::to_string(found).context("encode what was found")?);
    Ok(Ended::Done)
}
