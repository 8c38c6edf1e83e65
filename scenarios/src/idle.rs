//! `idle`: what kube-proxy does again and again although nothing changes. What it does once a period is done and weighed
//! here, and multiplied by the periods of an hour; a real kube-proxy is watched for two periods of the shorter kind, in
//! which what it does once an hour does not fall.

use std::time::Duration;

use netns_harness::datapath::kube_proxy::Programmer;
use netns_harness::datapath::{
    KubeProxySync, Layout, RenderOptions, SyncKind, Transport, Work, facts,
};
use schema::{Metric, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{CellError, Result};
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario, layout_options};
use crate::stay::Stay;
use crate::sync::Spent;

const HOUR_S: u64 = 3_600;
/// How long a real kube-proxy is watched: two of its `syncPeriod`s.
const WATCHED: Duration = Duration::from_secs(60);
/// How often a period's work is done.
const TIMES: u32 = 3;

/// The scenario.
#[derive(Debug)]
pub(crate) struct Idle;

impl Scenario for Idle {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Idle
    }

    /// However the rules were made: a sync goes the way that kube-proxy goes.
    fn options(&self, asked: Asked, request: &Request) -> Options {
        let mut options = Options::default();
        layout_options(&mut options, asked, request.large_cluster);
        options
    }

    /// None where kube-proxy has no such mode; where versions with the same rules have other hours, one for each.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let facts = facts(asked.mode);
        let one = self.options(asked, request);
        if facts.kube_proxy.is_none() {
            return Vec::new();
        }
        if facts.hours.is_empty() || asked.transport == Transport::KubeProxy {
            return vec![one];
        }
        let named = request.kube_proxy.iter();
        let mut hours: Vec<_> = named
            .filter_map(|v| Layout::in_which(*v, facts.hours))
            .collect();
        hours.sort_unstable();
        hours.dedup();
        hours
            .into_iter()
            .map(|hour| one.clone().with(OptionKey::KubeProxy, hour))
            .collect()
    }

    fn expected_ns(&self, asked: Asked, _options: &Options, _request: &Request) -> u64 {
        match asked.transport {
            Transport::KubeProxy => WATCHED.as_nanos() as u64,
            _ => u64::from(TIMES) * (asked.read_back_ns() + asked.install_ns(false)),
        }
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        if let Some(programmer) = stay.datapath.programmer() {
            watched(programmer, recorder)?;
        } else {
            weighed(stay, options, recorder)?;
        }
        recorder.fact("census_after_idling", stay.census(stay.population)?);
        Ok(())
    }
}

/// Does what a period brings, as often as an hour has them by calculation.
fn weighed(stay: &Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
    let render = stay.render_options(options);
    let layout = options.get(OptionKey::KubeProxy).unwrap_or_default();
    let version = layout.split('-').next().unwrap_or_default().parse();
    let version = version.map_err(|error| CellError::at(Stage::Measure, error))?;
    let periodic = stay.datapath.periodic(version, render.large_cluster);
    for each in &periodic {
        if let Work::Syncs(kind) = each.work {
            let sync = way(stay, kind, &render);
            if let Some(why) = stay.sync_refused(&sync)? {
                return Err(CellError::unsupported(why));
            }
            stay.tell_of(&sync, recorder);
        }
    }
    for _ in 0..TIMES {
        let (mut cpu_ns, mut tools, mut messages) = (0, 0, 0);
        for each in &periodic {
            let spent = once(stay, &each.work, &render)?;
            let times = HOUR_S / u64::from(each.every_s);
            cpu_ns += times * spent.cpu_ns;
            tools += times * spent.tools;
            messages += times * spent.messages;
        }
        recorder.sample(Metric::IdleCpuTime, cpu_ns);
        recorder.sample(Metric::IdleProcesses, tools);
        recorder.sample(Metric::IdleMessages, messages);
    }
    let said = periodic.iter().map(|each| {
        let what = match &each.work {
            Work::Asks(lines) => lines.iter().map(|words| words.join(" ")).collect(),
            Work::Syncs(SyncKind::Full) => vec!["a full sync".to_owned()],
            Work::Syncs(_) => vec!["a partial sync".to_owned()],
        };
        format!("every {} s {}", each.every_s, what.join("; "))
    });
    recorder.fact("periodic", said.collect::<Vec<_>>().join(", "));
    Ok(())
}

/// One period's work.
fn once(stay: &Stay<'_>, work: &Work, render: &RenderOptions) -> Result<Spent> {
    let population = stay.population;
    match work {
        Work::Asks(lines) => stay.asked(lines),
        Work::Syncs(kind) => stay.synced(
            *kind,
            &way(stay, *kind, render),
            (population, population),
            render,
            None,
        ),
    }
}

fn way(stay: &Stay<'_>, kind: SyncKind, render: &RenderOptions) -> KubeProxySync {
    let way = stay.datapath.kube_proxy_sync(kind, render.large_cluster);
    way.expect("whoever syncs again and again has a way to")
}

/// What a real kube-proxy uses in two periods: its own threads, since a minute is too short for the steps of 10 ms in which
/// the processor time of its tools comes.
fn watched(programmer: &Programmer, recorder: &mut Recorder) -> Result {
    let times = HOUR_S / WATCHED.as_secs();
    programmer.rest()?;
    let (before, _ended_before) = (programmer.used()?, programmer.ended_processes());
    std::thread::sleep(WATCHED);
    let used = programmer.used()?.own_ns.saturating_sub(before.own_ns);
    let ended = programmer.ended_processes();
    programmer.still_runs()?;
    recorder.sample(Metric::IdleCpuTime, used * times);
    match ended {
        Ok(names) => {
            recorder.sample(Metric::IdleProcesses, names.len() as u64 * times);
            recorder.fact("kube_proxy_processes", crate::kube_proxy::counted(&names));
        }
        Err(why) => recorder.fact("kube_proxy_processes", format!("unknown: {why}")),
    }
    let watched = WATCHED.as_secs();
    recorder.fact(
        "periodic",
        format!(
            "watched for {watched} s: its own threads, without its tools' processor time and without what it does once an hour"
        ),
    );
    Ok(())
}
