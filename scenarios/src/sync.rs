//! kube-proxy's way of a change, done by us: what it reads and asks, and how it writes.

use std::process::Command;

use netns_harness::HarnessError;
use netns_harness::datapath::{
    KubeProxySync, RenderOptions, Socket, Sockets, SyncKind, Transport, needs_forced_buffers,
};
use netns_harness::service::Population;
use netns_harness::tracking::{Cleaned, Serving};
use netns_sys::clock;
use schema::Metric;

use crate::error::{CellError, Result};
use crate::recorder::Recorder;
use crate::spec::Event;
use crate::stay::{Stay, Used, command, tell};

impl Stay<'_> {
    /// Makes a change as kube-proxy would, and samples what its read-back and the apply took together; without
    /// a sample where the mode has no counterpart in kube-proxy.
    ///
    /// # Errors
    /// The kernel or a tool refused.
    pub fn sync_sampled(
        &self,
        from: &Population,
        to: &Population,
        options: &RenderOptions,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let kind = match options.resync {
            true => SyncKind::Full,
            false => SyncKind::Partial,
        };
        let way = self.datapath.kube_proxy_sync(kind, options.large_cluster);
        let Some(sync) = way else {
            self.carry_out(&self.datapath.render(Some(from), to, options))?;
            return Ok(());
        };
        if let Some(why) = self.sync_refused(&sync)? {
            recorder.fact("sync_time", format!("unsupported: {why}"));
            self.carry_out(&self.datapath.render(Some(from), to, options))?;
            return Ok(());
        }
        // At its start kube-proxy has seen no endpoint before: every one is new then.
        let looks = options.resync || Serving::changes(from, to);
        let serving = looks.then(|| Serving::of(self.version(), to));
        let done = self.synced(kind, &sync, (from, to), options, serving)?;
        recorder.sample(Metric::SyncTime, done.elapsed_ns);
        recorder.add_to_fact("sync_tools_cpu_ns", done.tools_ns);
        if let Some(Cleaned {
            tracked, deleted, ..
        }) = done.cleaned
        {
            recorder.add_to_fact(
                "kube_proxy_clean_up",
                format!("{deleted} of {tracked} flows"),
            );
        }
        self.tell_of(&sync, recorder);
        Ok(())
    }

    /// Says whose sync it is, what it reads and how it writes.
    pub(crate) fn tell_of(&self, sync: &KubeProxySync, recorder: &mut Recorder) {
        let read: Vec<String> = sync.read_back.iter().map(|w| w.join(" ")).collect();
        let layout = self.datapath.facts().layout(sync.version);
        let layout = layout.map_or_else(|| sync.version.to_string(), |layout| layout.to_string());
        recorder.fact("kube_proxy_version", layout);
        recorder.fact("kube_proxy_read_back", read.join("; "));
        recorder.fact("kube_proxy_transport", sync.transport);
    }

    /// Makes a change as kube-proxy would: what it reads back, the change, and where it looks for flows of who has left, those.
    ///
    /// # Errors
    /// The kernel or a tool refused.
    pub(crate) fn synced(
        &self,
        kind: SyncKind,
        sync: &KubeProxySync,
        (from, to): (&Population, &Population),
        options: &RenderOptions,
        serving: Option<Serving>,
    ) -> Result<Spent> {
        let options = RenderOptions {
            transport: sync.transport,
            resync: kind.is_full(),
            ..*options
        };
        let batch = self.datapath.render(Some(from), to, &options);
        tell(&batch, "timed, as kube-proxy");
        for words in &sync.read_back {
            tracing::debug!("start, timed: {}", words.join(" "));
        }
        let mut commands: Vec<Command> = sync.read_back.iter().map(|w| command(w)).collect();
        self.rest()?;
        (self.emit)(Event::OtherAct { begins: true });
        let done = self.lab.on_node(|| {
            // kube-proxy opens its sockets when it starts.
            let kinds = batch.sockets().into_iter();
            let kinds = kinds.chain(sync.sockets.iter().copied());
            let mut sockets =
                Sockets::open(kinds.chain(serving.is_some().then_some(Socket::Tracking)))?;
            // The timed section.
            spent(|| {
                let asked = self
                    .datapath
                    .ask_as_kube_proxy(from, kind, &options, &mut sockets)?;
                for command in &mut commands {
                    read_back(command)?;
                }
                self.datapath.apply(&batch, &mut sockets)?;
                let serving = serving.as_ref();
                let cleaned = serving.map(|s| sockets.clean_tracked(s)).transpose()?;
                Ok((asked + batch.messages(), cleaned))
            })
        });
        (self.emit)(Event::OtherAct { begins: false });
        Ok(done?)
    }

    /// Starts tools one after the other, and takes their output.
    ///
    /// # Errors
    /// A tool refused.
    pub(crate) fn asked(&self, lines: &[Vec<String>]) -> Result<Spent> {
        let mut commands: Vec<Command> = lines.iter().map(|w| command(w)).collect();
        let mut ask = || commands.iter_mut().try_for_each(read_back);
        Ok(self.lab.on_node(|| spent(|| ask().map(|()| (0, None))))?)
    }

    /// Why kube-proxy's way of an update cannot be measured here; the update itself may be, another way.
    ///
    /// # Errors
    /// It could not be found out.
    pub(crate) fn sync_refused(&self, sync: &KubeProxySync) -> Result<Option<String>> {
        let needs_root = needs_forced_buffers(
            self.spec.mode,
            sync.transport,
            self.spec.engine.unwrap_or_default(),
        );
        if let Some(why) = needs_root.filter(|_| !netns_sys::isolation::forces_buffers()) {
            return Ok(Some(why.to_owned()));
        }
        let sends = (sync.transport == Transport::Nft).then_some("nft");
        let listed = sync.read_back.iter();
        let listed = listed.filter_map(|words| words.first().map(String::as_str));
        let mut programs = listed.chain(sends);
        let missing = programs.find(|program| !netns_sys::tools::installed(program));
        Ok(missing.map(|program| format!("{program} is not installed")))
    }
}

/// What an act took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Time.
    pub(crate) elapsed_ns: u64,
    /// Processor time, tools included.
    pub(crate) cpu_ns: u64,
    /// Of that the tools'.
    pub(crate) tools_ns: u64,
    /// Tools that were started.
    pub(crate) tools: u64,
    /// Netlink messages of kube-proxy's own; those of tools are not seen.
    pub(crate) messages: u64,
    /// What was done about tracked flows, where it was.
    pub(crate) cleaned: Option<Cleaned>,
}

/// Carries out an act that says how many netlink messages it sent, and what it did about tracked flows beside; says what it
/// took.
fn spent(
    act: impl FnOnce() -> Result<(u64, Option<Cleaned>), HarnessError>,
) -> Result<Spent, HarnessError> {
    let tools = netns_sys::process::tools_usage().tools;
    let before = Used::so_far()?;
    let start = clock::now();
    let sent = act();
    let end = clock::now();
    let (messages, cleaned) = sent?;
    let used = before.between(start, end)?;
    Ok(Spent {
        elapsed_ns: start.ns_until(end),
        cpu_ns: used.cpu_ns,
        tools_ns: used.tools_ns,
        tools: netns_sys::process::tools_usage().tools - tools,
        messages: messages + cleaned.map_or(0, |cleaned| cleaned.messages),
        cleaned,
    })
}

/// Runs a listing of kube-proxy's, and takes its output.
fn read_back(command: &mut Command) -> Result<(), HarnessError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = netns_sys::process::run(command, b"")
        .map_err(|e| HarnessError::system(format!("start {name}"), e))?;
    if done.status.success() {
        return Ok(());
    }
    Err(HarnessError::Tool {
        tool: name,
        status: done.status.to_string(),
        stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}
