//! A real kube-proxy as the programmer: a binary that the user names runs in the lab's node namespace against an API
//! server of ours on loopback. What it installs is its own; what is seen of it is the kernel's listing, traced, its log
//! and its metrics.
//!
//! [`Driven`] is a datapath as those are whose rules are ours: whoever installs, changes, proves and removes need not
//! know which it is. Whoever times does, since a change is made in one place and seen to have ended in another:
//! [`Change`], [`Programmer::prepare`].

mod change;
mod driven;
mod host;
mod log;
mod metrics;
mod objects;
mod process;

use std::sync::{Mutex, MutexGuard, PoisonError};

use kube_api::Api;
use netns_sys::daemon::Used;
use schema::{Family, NodeKind};

use crate::HarnessError;
use crate::service::{Frontend, Population};

pub use change::{Change, Prepared};
pub(crate) use driven::Driven;
pub use host::found_here;
use process::Process;
pub use process::Synced;

/// The node's name.
const NODE: &str = "node-0";

/// What is particular of kube-proxy in a mode.
#[derive(Debug)]
pub struct KubeProxyFacts {
    /// Its own word for the mode.
    pub mode: &'static str,
    /// Names by which it starts tools, and the tool that each stands for.
    pub tools: &'static [(&'static str, &'static str)],
    /// Commands that remove what it may leave of the other family on a node of IPv4, and we never make; they fail where
    /// there is nothing.
    pub cleanup: &'static [&'static [&'static str]],
    /// Arguments with which it says when a sync has ended.
    pub arguments: &'static [&'static str],
}

/// pkg/proxy/{iptables,nftables}/proxier.go say at 2 that a sync has ended.
pub(crate) const SYNC_AT_2: &[&str] = &["--v=2"];

/// A kube-proxy of one mode, with the API server that it watches; it runs from its first change on.
#[derive(Debug)]
pub struct Programmer {
    facts: &'static KubeProxyFacts,
    /// What its node serves: it is told of services with an address of each family.
    node: NodeKind,
    /// Its minSyncPeriod, milliseconds.
    min_sync_period_ms: u32,
    state: Mutex<State>,
}

/// Whether it runs.
#[derive(Debug)]
enum State {
    Runs(Box<Running>),
    /// It does not; where what it left in the kernel is reached.
    Left(Vec<Frontend>),
}

impl Default for State {
    fn default() -> Self {
        Self::Left(Vec::new())
    }
}

/// A kube-proxy and what it watches.
#[derive(Debug)]
struct Running {
    // Dropped first: it ends before what it watches does.
    process: Option<Process>,
    api: Api,
    /// Where what is at the API is reached.
    frontends: Vec<Frontend>,
}

impl Programmer {
    /// What must be done at the API to go from serving `from` (`None`: an untouched kernel) to serving `to`; with
    /// `again`, kube-proxy is started anew and syncs everything.
    #[must_use]
    pub fn change(&self, from: Option<&Population>, to: &Population, again: bool) -> Change {
        Change::between(self.node, from, to, again)
    }

    /// Does what comes before a change, and is ready to make it. In the node's namespace.
    ///
    /// # Errors
    /// kube-proxy or what it needs fails.
    pub fn prepare<'a>(&'a self, change: &'a Change) -> Result<Prepared<'a>, HarnessError> {
        Prepared::new(self, change)
    }

    /// Processor time that it and its tools have used so far.
    ///
    /// # Errors
    /// It does not run, or the kernel does not say.
    pub fn used(&self) -> Result<Used, HarnessError> {
        self.with(|running| running.process()?.used())
    }

    /// The largest resident set that it has had, bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn peak_bytes(&self) -> Result<u64, HarnessError> {
        self.with(|running| running.process()?.peak_bytes())
    }

    /// Processor time of our API server so far, nanoseconds; 0 before it is started.
    #[must_use]
    pub fn api_ns(&self) -> u64 {
        self.with(|running| Ok(running.api.cpu_ns().unwrap_or_default()))
            .unwrap_or_default()
    }

    /// That it runs.
    ///
    /// # Errors
    /// It does not; with its last lines.
    pub fn still_runs(&self) -> Result<(), HarnessError> {
        self.with(|running| running.process()?.still_runs())
    }

    /// Waits until no sync is under way or queued.
    ///
    /// # Errors
    /// It ended, a sync failed, or it never rests.
    pub fn rest(&self) -> Result<(), HarnessError> {
        self.with(|running| {
            let services = running.frontends.len();
            running.process()?.rest(services)
        })
    }

    /// Names of the processes of this PID namespace that have ended since the last time, in their order, as the kernel
    /// accounts for them.
    ///
    /// # Errors
    /// Why it does not, as a sentence.
    pub fn ended_processes(&self) -> Result<Vec<String>, String> {
        let ended = self.with(|running| {
            Ok(match &mut running.process()?.ends {
                Ok(ends) => ends.since().map_err(|e| e.to_string()),
                Err(why) => Err(why.to_string()),
            })
        });
        ended.map_err(|e| e.to_string())?
    }

    /// What it complained of since it was started, each once.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.with(|running| Ok(running.process()?.complaints()))
            .unwrap_or_default()
    }

    /// Its version, as "1.37.2", by its metrics; `None` where it does not say.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.with(|_| Ok(metrics::version())).ok().flatten()
    }

    /// The other family, if it programs that as well: IPv6 as versions before 1.34 do in mode nftables whatever they find,
    /// IPv4 as every version does in mode nftables (`platformCheckSupported` of cmd/kube-proxy/app/server_linux.go).
    #[must_use]
    pub fn programs_beside(&self) -> Option<Family> {
        self.with(|running| Ok(running.process()?.programs_another()))
            .unwrap_or_default()
            .then(|| self.node.family.other())
    }

    /// The family whose syncs are told.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.node.family
    }

    /// Ends it and leaves its rules: what they hold of the kernel's memory is theirs alone then.
    pub fn leave(&self) {
        let left = self.frontends();
        *self.lock() = State::Left(left);
    }

    /// Where what it serves is reached: a rule need not name both an address and a port.
    fn frontends(&self) -> Vec<Frontend> {
        match &*self.lock() {
            State::Runs(running) => running.frontends.clone(),
            State::Left(frontends) => frontends.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut Running) -> Result<T, HarnessError>,
    ) -> Result<T, HarnessError> {
        match &mut *self.lock() {
            State::Runs(running) => act(running),
            State::Left(_) => Err(not_running()),
        }
    }

    fn start_process(&self, running: &mut Running) -> Result<(), HarnessError> {
        let process = Process::start(self.facts, self.node, self.min_sync_period_ms, &running.api)?;
        running.process = Some(process);
        Ok(())
    }
}

impl Running {
    fn process(&mut self) -> Result<&mut Process, HarnessError> {
        self.process.as_mut().ok_or_else(not_running)
    }
}

fn not_running() -> HarnessError {
    HarnessError::KubeProxy("kube-proxy does not run".to_owned())
}
