//! A kube-proxy process in the node's namespace: its configuration, the tools that it finds, its log, its end.

use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use kube_api::{Api, Kind};
use netns_sys::clock;
use netns_sys::daemon::{self, Ends, Used};
use schema::{Family, NodeKind, Stack};
use serde_json::json;

use super::log::{Log, Said};
use super::metrics::{self, Changes};
use super::objects;
use super::{KubeProxyFacts, NODE};
use crate::HarnessError;

/// Its files: in the stay's own /run, which goes with it.
const FOLDER: &str = "/run/kube-proxy";
/// Tools of iptables, of which those of the family that it is not told of fail: without them it has none of that to
/// program (before 1.34 it asks nothing else).
const IPTABLES: [&str; 3] = ["iptables", "iptables-restore", "iptables-save"];
/// How long it may take until it has asked the API for what it watches: it starts some processes before.
const READY: Duration = Duration::from_secs(60);
/// How long a sync of one service may take until it is taken for hung; and for each service more.
const SYNC: Duration = Duration::from_secs(120);
const SYNC_SERVICE: Duration = Duration::from_millis(60);
/// How long a transaction in the kernel may keep a killed tool.
const GROUP_ENDS: Duration = Duration::from_secs(120);
/// How long it may take to end once its log has.
const ENDS: Duration = Duration::from_secs(5);
/// Between two looks at whether it runs at all.
const STEP: Duration = Duration::from_millis(200);
/// A sync's first line is written just after it has taken the changes: how long it may be under way.
const UNDER_WAY: Duration = Duration::from_millis(5);

/// What was seen of syncs that took in some changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// How long each took by kube-proxy's own clock, nanoseconds.
    pub took_ns: Vec<u64>,
    /// When the last said that it had ended.
    pub ended: clock::Reading,
    /// What kube-proxy had used by then, less what our own questions made it use meanwhile.
    pub used: Used,
}

/// It runs until it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: Log,
    /// Whether it is told of services with an address of each family.
    dual: bool,
    /// Or why the kernel keeps no accounts.
    pub(super) ends: io::Result<Ends>,
    /// Whether a sync has begun and not ended, by what was read.
    syncing: bool,
    /// What was read and not heeded yet.
    unread: Option<Said>,
    /// So long after a sync no other is queued: twice minSyncPeriod, which before 1.34 was a bucket of two tokens.
    quiet: Duration,
}

impl Process {
    /// Starts it; it does not wait for anything.
    ///
    /// # Errors
    /// A file cannot be written, or it cannot be started.
    pub(super) fn start(
        facts: &KubeProxyFacts,
        node: NodeKind,
        min_sync_period_ms: u32,
        api: &Api,
    ) -> Result<Self, HarnessError> {
        let folder = Path::new(FOLDER);
        let failed = |act: &str| {
            let act = format!("{act} {FOLDER}");
            move |e| HarnessError::system(act, e)
        };
        fs::create_dir_all(folder.join("bin")).map_err(failed("make"))?;
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, api.kubeconfig()).map_err(failed("write a file of"))?;
        let config = folder.join("config.json");
        fs::write(
            &config,
            configuration(facts, node, min_sync_period_ms, &kubeconfig),
        )
        .map_err(failed("write a file of"))?;
        let families = node.families().iter();
        let tools = families.flat_map(|family| {
            let tools = facts.tools.iter();
            tools.map(move |(name, tool)| [name, tool].map(|word| of_family(word, *family)))
        });
        for [name, tool] in tools {
            let link = folder.join("bin").join(&name);
            let _not_there = fs::remove_file(&link);
            let file = netns_sys::tools::file(&tool).ok_or_else(|| {
                HarnessError::KubeProxy(format!(
                    "{tool} is not installed, which kube-proxy starts as {name}"
                ))
            })?;
            symlink(file, link).map_err(failed("link tools in"))?;
        }
        let failing = match node.stack {
            Stack::Single => &IPTABLES[..],
            Stack::Dual => &[],
        };
        for name in failing {
            let file = folder
                .join("bin")
                .join(of_family(name, node.family.other()));
            fs::write(&file, "#!/bin/false\n").map_err(failed("write a file of"))?;
            fs::set_permissions(&file, Permissions::from_mode(0o755))
                .map_err(failed("write a file of"))?;
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = netns_sys::tools::command("kube-proxy");
        command
            .arg("--config")
            .arg(&config)
            .args(facts.arguments)
            .env_clear()
            .env("PATH", format!("{FOLDER}/bin:{path}"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        daemon::on_node(&mut command, node.families().contains(&Family::Ipv6));
        let ends = Ends::record(folder);
        let mut child = command
            .spawn()
            .map_err(|e| HarnessError::system("start kube-proxy", e))?;
        let stderr = child.stderr.take().expect("its standard error is piped");
        Ok(Self {
            child,
            log: Log::read(stderr, node.family),
            dual: node.stack == Stack::Dual,
            ends,
            syncing: false,
            unread: None,
            quiet: Duration::from_millis(2 * u64::from(min_sync_period_ms)) + UNDER_WAY,
        })
    }

    /// Waits until it watches the API.
    ///
    /// # Errors
    /// It ended, or asks nothing.
    pub(super) fn wait_until_watching(&mut self, api: &Api) -> Result<(), HarnessError> {
        let start = clock::now();
        while !api.wait_until_watched(&[Kind::Service, Kind::EndpointSlice], STEP) {
            self.still_runs()?;
            if u128::from(start.elapsed_ns()) > READY.as_nanos() {
                return Err(self.silent("watches no services and endpoint slices", READY));
            }
        }
        Ok(())
    }

    /// Waits until no sync is under way or queued: what is said from now on is of what comes.
    ///
    /// # Errors
    /// It ended, a sync failed, or it never rests.
    pub(super) fn rest(&mut self, services: usize) -> Result<(), HarnessError> {
        let (limit, start) = (longest(services), clock::now());
        loop {
            match self.next(self.quiet)? {
                None if !(self.syncing || self.dual && self.log.another_syncs()) => return Ok(()),
                _ if u128::from(start.elapsed_ns()) > limit.as_nanos() => {
                    return Err(self.silent("does not come to rest", limit));
                }
                _ => {}
            }
        }
    }

    /// Waits for the end of the sync with which it has taken in `changes` more of services and of endpoint slices
    /// than `before`; `services` are installed.
    ///
    /// # Errors
    /// It ended, a sync failed, or it does not say so in time.
    pub(super) fn synced(
        &mut self,
        before: Changes,
        changes: [u64; 2],
        services: usize,
    ) -> Result<Synced, HarnessError> {
        let (limit, start) = (longest(services), clock::now());
        let mut synced: Option<Synced> = None;
        // Processor time of what we ask meanwhile.
        let mut asked_ns = 0;
        loop {
            let left = limit.saturating_sub(Duration::from_nanos(start.elapsed_ns()));
            if left.is_zero() {
                return Err(self.silent("ends no sync that has taken in what changed", limit));
            }
            if let Some(Said::Ended { took_ns, at }) = self.next(left.min(STEP))? {
                let mut used = self.used()?;
                used.own_ns = used.own_ns.saturating_sub(asked_ns);
                let mut took = synced.map_or_else(Vec::new, |earlier| earlier.took_ns);
                took.push(took_ns);
                synced = Some(Synced {
                    took_ns: took,
                    ended: at,
                    used,
                });
            } else {
                self.still_runs()?;
            }
            if self.syncing || synced.is_none() {
                continue;
            }
            let before_ns = self.used()?.own_ns;
            let taken = self.has_taken(before, changes)?;
            asked_ns += self.used()?.own_ns - before_ns;
            // Another may have begun meanwhile, with the rest of them.
            if taken && self.is_quiet()? {
                return synced.ok_or_else(|| self.gone());
            }
        }
    }

    /// Whether no further sync with what was told will come. Where it programs two families one count of what is
    /// pending is of both, and says nothing: then none may be queued either.
    fn is_quiet(&mut self) -> Result<bool, HarnessError> {
        let limit = match self.programs_another() {
            true => self.quiet,
            false => UNDER_WAY,
        };
        if let Some(said) = self.log.peek(limit) {
            self.unread = Some(said);
            return Ok(false);
        }
        Ok(true)
    }

    /// What it says next of a sync, within `limit`.
    fn next(&mut self, limit: Duration) -> Result<Option<Said>, HarnessError> {
        let said = match self.unread.take() {
            Some(said) => Ok(Some(said)),
            None => self.log.next(limit),
        };
        match said {
            Err(_) => return Err(self.gone()),
            Ok(Some(Said::Begun)) => self.syncing = true,
            Ok(Some(Said::Ended { .. })) => self.syncing = false,
            Ok(Some(Said::Failed)) => {
                let why = format!("kube-proxy's sync failed: {}", self.said());
                return Err(HarnessError::KubeProxy(why));
            }
            Ok(None) => return Ok(None),
        }
        said.map_err(|_| self.gone())
    }

    fn has_taken(&self, before: Changes, changes: [u64; 2]) -> Result<bool, HarnessError> {
        let now = self.changes()?;
        let two = self.programs_another();
        // A service is told to both families, a slice to that of its addresses.
        let wanted = [changes[0] * (1 + u64::from(two)), changes[1]];
        let all = (0..2).all(|kind| now.total[kind] >= before.total[kind] + wanted[kind]);
        Ok(all && (two || now.pending == 0))
    }

    /// What its metrics say of changes.
    ///
    /// # Errors
    /// They cannot be had.
    pub(super) fn changes(&self) -> Result<Changes, HarnessError> {
        metrics::changes()
            .map_err(|why| HarnessError::KubeProxy(format!("{why}; {}", self.log.last())))
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn used(&self) -> Result<Used, HarnessError> {
        daemon::used(self.child.id())
            .map_err(|e| HarnessError::system("read what kube-proxy has used", e))
    }

    /// The largest resident set that it has had, bytes.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn peak_bytes(&self) -> Result<u64, HarnessError> {
        daemon::peak_bytes(self.child.id())
            .map_err(|e| HarnessError::system("read kube-proxy's memory", e))
    }

    /// Whether it programs the other family as well.
    pub(super) fn programs_another(&self) -> bool {
        self.dual || self.log.programs_another()
    }

    /// What it complained of, each once.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.log.complaints()
    }

    /// That it has not ended.
    ///
    /// # Errors
    /// It has; with its last lines.
    pub(super) fn still_runs(&mut self) -> Result<(), HarnessError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(self.gone()),
        }
    }

    fn gone(&mut self) -> HarnessError {
        let start = clock::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.to_string(),
                Err(error) => break error.to_string(),
                Ok(None) if u128::from(start.elapsed_ns()) > ENDS.as_nanos() => {
                    break "nothing but a closed log".to_owned();
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        self.log.drain(STEP);
        HarnessError::KubeProxy(format!("kube-proxy ended with {status}: {}", self.said()))
    }

    fn silent(&self, does: &str, limit: Duration) -> HarnessError {
        HarnessError::KubeProxy(format!(
            "kube-proxy {does} within {} s: {}",
            limit.as_secs(),
            self.said()
        ))
    }

    fn said(&self) -> String {
        match self.log.last() {
            said if said.is_empty() => "it has said nothing".to_owned(),
            said => said,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // With the tools that it has started: one that is in the middle of a transaction would else write after
        // everything was removed.
        daemon::end_group(self.child.id(), GROUP_ENDS);
        // It is reaped.
        let _ = self.child.wait();
    }
}

/// A tool of iptables as that of a family is named: "ip6tables-restore". Others have one name for both.
pub(super) fn of_family(tool: &str, family: Family) -> String {
    match family {
        Family::Ipv4 => tool.to_owned(),
        Family::Ipv6 => tool.replacen("iptables", "ip6tables", 1),
    }
}

/// How long syncs of so many services may take until one is taken for hung.
fn longest(services: usize) -> Duration {
    SYNC + SYNC_SERVICE * services as u32
}

/// KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1). Limits of connection tracking belong to the initial
/// network namespace and are left alone; everything that is not said is kube-proxy's own default.
fn configuration(
    facts: &KubeProxyFacts,
    node: NodeKind,
    min_sync_period_ms: u32,
    kubeconfig: &Path,
) -> String {
    let clusters = objects::plans(node).map(|plan| plan.cluster.to_string());
    let clusters: Vec<String> = clusters.collect();
    let periods = json!({
        "minSyncPeriod": format!("{min_sync_period_ms}ms"),
        "syncPeriod": "30s",
    });
    let metrics = format!("{}:{}", metrics::ADDRESS.0, metrics::ADDRESS.1);
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": facts.mode,
        "hostnameOverride": NODE,
        "clusterCIDR": clusters.join(","),
        "detectLocalMode": "ClusterCIDR",
        "clientConnection": {
            "kubeconfig": kubeconfig,
            "contentType": "application/json",
            "acceptContentTypes": "application/json",
        },
        "metricsBindAddress": metrics,
        "healthzBindAddress": "127.0.0.1:10256",
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": periods,
        "nftables": periods,
        "ipvs": periods,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_of_iptables_have_a_name_for_each_family_and_others_have_one() {
        let named = |tool| of_family(tool, Family::Ipv6);
        assert_eq!(named("iptables-restore"), "ip6tables-restore");
        assert_eq!(named("iptables-legacy-save"), "ip6tables-legacy-save");
        assert_eq!(
            (named("ipset"), named("nft")),
            ("ipset".to_owned(), "nft".to_owned())
        );
        for tool in IPTABLES {
            assert_eq!(of_family(tool, Family::Ipv4), tool);
            assert_ne!(named(tool), tool);
        }
    }
}
