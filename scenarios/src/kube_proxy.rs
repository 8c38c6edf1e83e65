//! Changes that a real kube-proxy makes, timed from the moment at which it is told of them at its API.
//!
//! The timed section is [`Stay::told_sampled`]: objects are put at the API (or the process is started), and kube-proxy's
//! own line that its sync has ended closes it, stamped when it comes. When the rules are seen to serve a flow, and when
//! they are seen in a listing, is asked of changes of their own: to look takes processor time.

use std::time::Duration;

use netns_harness::datapath::Implementation;
use netns_harness::datapath::kube_proxy::{Change, Programmer};
use netns_harness::service::Population;
use netns_sys::clock;
use netns_sys::daemon::TICK_NS;
use schema::{Metric, Stack, Stage};

use crate::error::{CellError, Result};
use crate::proof;
use crate::recorder::Recorder;
use crate::spec::Event;
use crate::stay::Stay;

/// How long a change may take to serve a flow, or to be listed, once kube-proxy has said that it is made.
const SEEN: Duration = Duration::from_secs(30);
/// Steps of the processor time of tools that a sample must have: one is then 2 % of it.
const CPU_STEPS: u64 = 50;
/// A share of one processor above which the API server's own work is said to disturb.
const SHARE: f64 = 0.02;

impl Stay<'_> {
    /// Tells kube-proxy of a change and samples what it took until its sync had ended.
    ///
    /// # Errors
    /// kube-proxy failed.
    pub(crate) fn told_sampled(
        &self,
        programmer: &Programmer,
        change: &Change,
        recorder: &mut Recorder,
    ) -> Result {
        let told = self.lab.on_node(|| {
            let mut prepared = programmer.prepare(change)?;
            let _ended_before = programmer.ended_processes();
            // A start begins with nothing used.
            let (before, api_ns) = (programmer.used().unwrap_or_default(), programmer.api_ns());
            (self.emit)(Event::Act { begins: true });
            // The timed section.
            let start = clock::now();
            prepared.make()?;
            let synced = prepared.synced()?;
            (self.emit)(Event::Act { begins: false });
            let told = Told {
                elapsed_ns: start.ns_until(synced.ended),
                cpu_ns: synced.used.total_ns() - before.total_ns().min(synced.used.total_ns()),
                own_ns: synced.used.own_ns.saturating_sub(before.own_ns),
                api_ns: programmer.api_ns().saturating_sub(api_ns),
                peak_bytes: programmer.peak_bytes()?,
                processes: programmer.ended_processes(),
                took_ns: synced.took_ns,
            };
            prepared.finish()?;
            Ok(told)
        });
        told?.note(self.spec.counted, recorder);
        if let Some(version) = self.lab.on_node(|| Ok(programmer.version()))? {
            recorder.fact("kube_proxy_version", version);
        }
        if programmer.programs_beside().is_some() {
            let own = programmer.family().words();
            let why = match self.spec.stack {
                Stack::Single => "this version programs both, whatever it finds",
                Stack::Dual => "a dual-stack node, whose syncs of both run at once",
            };
            recorder.fact(
                "kube_proxy_families",
                format!("IPv4 and IPv6: {why}; sync_time is of {own} alone"),
            );
        }
        let complaints = programmer.complaints();
        if !complaints.is_empty() {
            recorder.fact("kube_proxy_complaints", complaints.join(" | "));
        }
        Ok(())
    }

    /// Tells kube-proxy of a service that is added, and samples how long it is until a flow to it is served.
    ///
    /// # Errors
    /// kube-proxy failed, or no flow is served.
    pub(crate) fn effect_sampled(
        &mut self,
        from: &Population,
        next: &crate::update::Change,
        recorder: &mut Recorder,
    ) -> Result {
        let programmer = driving(self.datapath);
        let added = next
            .witness
            .as_ref()
            .expect("an added service is its own witness");
        let change = programmer.change(Some(from), &next.to, false);
        let mut prepared = self.lab.on_node(|| programmer.prepare(&change))?;
        let start = clock::now();
        self.lab.on_node(|| prepared.make())?;
        let limit = SEEN + Duration::from_nanos(20 * self.spec.asked().update_ns());
        let served = self
            .client
            .first_served(added.frontend, limit, || programmer.still_runs())?;
        let (sent, reached) = served.ok_or_else(|| {
            let why = format!(
                "{} was added and serves no flow in {} s",
                added.frontend,
                limit.as_secs()
            );
            CellError::at(Stage::Proof, why)
        })?;
        recorder.sample(Metric::TimeToEffect, start.ns_until(sent));
        proof::check_reached(self.spec.mode, added, added.frontend, reached)?;
        self.lab
            .on_node(|| prepared.synced().and_then(|_| prepared.finish()))?;
        Ok(())
    }

    /// Tells kube-proxy of a change, and samples how long it is until a listing of the kernel has it.
    ///
    /// # Errors
    /// kube-proxy failed, or no listing has it.
    pub(crate) fn listing_sampled(
        &self,
        from: &Population,
        to: &Population,
        recorder: &mut Recorder,
    ) -> Result {
        let programmer = driving(self.datapath);
        let change = programmer.change(Some(from), to, false);
        let mut prepared = self.lab.on_node(|| programmer.prepare(&change))?;
        let asked = self.spec.asked();
        let limit = SEEN + Duration::from_nanos(20 * (asked.update_ns() + asked.listing_ns()));
        let start = clock::now();
        self.lab.on_node(|| prepared.make())?;
        let mut listings = 0_u32;
        // A listing in the middle of a change may be refused.
        while let Err(error) = self.census(to) {
            programmer.still_runs()?;
            listings += 1;
            if u128::from(start.elapsed_ns()) > limit.as_nanos() {
                return Err(error);
            }
        }
        recorder.sample(Metric::TimeToListing, start.elapsed_ns());
        recorder.fact("listings_without_the_change", listings);
        self.lab
            .on_node(|| prepared.synced().and_then(|_| prepared.finish()))?;
        Ok(())
    }
}

fn driving(datapath: &dyn Implementation) -> &Programmer {
    let programmer = datapath.programmer();
    programmer.expect("only a real kube-proxy is asked this")
}

/// What was seen of a change.
struct Told {
    elapsed_ns: u64,
    took_ns: Vec<u64>,
    cpu_ns: u64,
    /// Of that without its tools.
    own_ns: u64,
    api_ns: u64,
    peak_bytes: u64,
    processes: Result<Vec<String>, String>,
}

impl Told {
    fn note(self, counted_instructions: bool, recorder: &mut Recorder) {
        recorder.sample(Metric::UpdateTime, self.elapsed_ns);
        recorder.sample(Metric::SyncTime, self.took_ns.iter().sum());
        // As of a clock: what comes in steps counts where a step is small beside it. Executed instructions are processor
        // time already, and steps of ticks there.
        match self.cpu_ns >= CPU_STEPS * TICK_NS && !counted_instructions {
            true => recorder.sample(Metric::CpuTime, self.cpu_ns),
            false => recorder.fact("cpu_time", "not sampled: that of tools comes in steps of 10 ms, which must be at most 2 % of it"),
        }
        recorder.add_to_fact("kube_proxy_own_cpu_ns", self.own_ns);
        recorder.sample(Metric::ToolRss, self.peak_bytes);
        recorder.add_to_fact("kube_proxy_syncs", self.took_ns.len());
        match self.processes {
            Ok(names) => {
                recorder.sample(Metric::Processes, names.len() as u64);
                recorder.add_to_fact("kube_proxy_processes", counted(&names));
            }
            Err(why) => recorder.fact("kube_proxy_processes", format!("unknown: {why}")),
        }
        let share = self.api_ns as f64 / self.elapsed_ns as f64;
        let verdict = match share > SHARE {
            true => ", more than 2 %: it disturbs",
            false => "",
        };
        let said = format!("{:.2} % of one processor{verdict}", share * 100.0);
        recorder.add_to_fact("api_server_share", said);
    }
}

/// "2 nft, 1 iptables-save".
pub(crate) fn counted(names: &[String]) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    names
        .iter()
        .for_each(|name| *counts.entry(name).or_default() += 1);
    let each: Vec<String> = counts
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    each.join(", ")
}
