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
use netns_sys::daemon::{Ends, Used};

use crate::HarnessError;
use crate::service::Population;

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
    /// Commands that remove what it may leave and we never make; they fail where there is nothing.
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
    /// No two syncs begin within so many milliseconds.
    min_sync_period_ms: u32,
    running: Mutex<Option<Running>>,
}

/// A kube-proxy and what it watches.
#[derive(Debug)]
struct Running {
    // Dropped first: it ends before what it watches does.
    process: Option<Process>,
    api: Api,
    services: usize,
}

/// What a running kube-proxy has used since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time.
    pub time: Used,
    /// The largest resident set, bytes.
    pub peak_bytes: u64,
    /// Processor time of our API server, nanoseconds.
    pub api_ns: u64,
}

impl Programmer {
    /// What must be done at the API to go from serving `from` (`None`: an untouched kernel) to serving `to`; with
    /// `again`, kube-proxy is started anew and syncs everything.
    #[must_use]
    pub fn change(&self, from: Option<&Population>, to: &Population, again: bool) -> Change {
        Change::between(from, to, again)
    }

    /// Does what comes before a change, and is ready to make it. In the node's namespace.
    ///
    /// # Errors
    /// kube-proxy or what it needs fails.
    pub fn prepare<'a>(&'a self, change: &'a Change) -> Result<Prepared<'a>, HarnessError> {
        Prepared::new(self, change)
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// It does not run.
    pub fn usage(&self) -> Result<Usage, HarnessError> {
        self.with(|running| {
            let process = running.process()?;
            Ok(Usage {
                time: process.used()?,
                peak_bytes: process.peak_bytes()?,
                api_ns: running.api.cpu_ns().unwrap_or_default(),
            })
        })
    }

    /// Names of the processes of this PID namespace that have ended since the last time, in their order; none where
    /// the kernel keeps no accounts.
    ///
    /// # Errors
    /// It does not run, or the accounts cannot be read.
    pub fn ended_processes(&self) -> Result<Option<Vec<String>>, HarnessError> {
        self.with(|running| {
            let ends = running.process()?.ends.as_mut();
            let ended = ends.map(Ends::since).transpose();
            ended.map_err(|e| HarnessError::system("read the accounts of processes", e))
        })
    }

    /// What it complained of since it was started, each once.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.with(|running| Ok(running.process()?.complaints()))
            .unwrap_or_default()
    }

    /// Whether it programs IPv6 as well, as versions before 1.34 do in mode nftables whatever they find.
    #[must_use]
    pub fn programs_ipv6(&self) -> bool {
        self.with(|running| Ok(running.process()?.programs_ipv6()))
            .unwrap_or_default()
    }

    /// Ends it and leaves its rules: what they hold of the kernel's memory is theirs alone then.
    pub fn leave(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut Running) -> Result<T, HarnessError>,
    ) -> Result<T, HarnessError> {
        match self.lock().as_mut() {
            Some(running) => act(running),
            None => Err(HarnessError::KubeProxy(
                "kube-proxy does not run".to_owned(),
            )),
        }
    }

    fn start_process(&self, running: &mut Running) -> Result<(), HarnessError> {
        let process = Process::start(self.facts, self.min_sync_period_ms, &running.api)?;
        running.process = Some(process);
        Ok(())
    }
}

impl Running {
    fn process(&mut self) -> Result<&mut Process, HarnessError> {
        self.process
            .as_mut()
            .ok_or_else(|| HarnessError::KubeProxy("kube-proxy does not run".to_owned()))
    }
}
