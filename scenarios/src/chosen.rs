//! What the command line asks of cells and scenarios alone read: a field is an option, its help, its key among a run's
//! arguments, and its value in [`crate::Request`].

use std::ops::RangeInclusive;

use clap::Args;
use schema::{Cache, Hit, ListChange, ListKind, PacketPath, ScenarioKind};
use serde::Serialize;

const CHURN: &str = "10";
const SCALED: &str = "100";
const SCALED_TO: &str = "1";
const SETS: &str = "1,100,1000,10000";
const TRACKED_FLOWS: &str = "0,1000,10000,100000";
const OPEN_FLOWS: &str = "1,100,10000";
const RATES: &str = "5000";
const ENTRIES: &str = "10,100,1000,10000,100000";
const POSSIBLE_CPUS: &str = "2,8,64";

/// Options of cells, as they were given.
#[derive(Debug, Clone, Args, Serialize)]
#[cfg_attr(test, derive(Default))]
#[serde(rename_all = "kebab-case")]
pub struct Chosen {
    /// Endpoints that an endpoint-churn replaces at once, each of another service; 1 to 1000.
    #[arg(long, value_name = "K", default_value = CHURN, allow_negative_numbers = true, value_parser = within(1..=1_000))]
    pub churn: u32,

    /// Services that a scale-down takes endpoints of at once, all where there are fewer; 1 to 100000.
    #[arg(long, value_name = "K", default_value = SCALED, allow_negative_numbers = true, value_parser = within(1..=100_000))]
    pub scaled: u32,

    /// Endpoints that a scale-down leaves each of them; each number is asked for by itself, where services have more; 0 to 999.
    #[arg(long, value_name = "E[,E…]", value_delimiter = ',', default_value = SCALED_TO, allow_negative_numbers = true, value_parser = within(0..=999))]
    pub scaled_to: Vec<u32>,

    /// Sets that set-swap refills under other names and swaps; each number is asked for by itself; 1 to 32000, for half of
    /// what a namespace can hold are the new ones.
    #[arg(long, value_name = "SETS", value_delimiter = ',', default_value = SETS, allow_negative_numbers = true, value_parser = within(1..=32_000))]
    pub sets: Vec<u32>,

    /// UDP flows that are tracked when conntrack-clean replaces an endpoint; each 0 to 1000000, and no more than half of
    /// net.netfilter.nf_conntrack_max.
    #[arg(long, value_name = "FLOWS", value_delimiter = ',', default_value = TRACKED_FLOWS, allow_negative_numbers = true, value_parser = within(0..=1_000_000))]
    pub tracked_flows: Vec<u32>,

    /// Caches between two new flows: `warm`, as the flow before left them; `cold`, emptied before each flow, untimed, as
    /// on a node whose processors do other work (200 flows a cell then, unless --flows says otherwise).
    #[arg(long, value_name = "warm|cold", default_value = "warm")]
    pub cache: Cache,

    /// Where first packets come from: `client`, a pod, whose flows cross the node; `node`, the node itself.
    #[arg(
        long,
        value_name = "client,node",
        value_delimiter = ',',
        default_value = "client"
    )]
    pub paths: Vec<PacketPath>,

    /// Flows that are open while scenario established asks on one of them; each number is asked for by itself; 1 to 100000, and no
    /// more than half of net.netfilter.nf_conntrack_max.
    #[arg(long, value_name = "FLOWS", value_delimiter = ',', default_value = OPEN_FLOWS, allow_negative_numbers = true, value_parser = within(1..=100_000))]
    pub open_flows: Vec<u32>,

    /// New flows a second of scenario connect-rate, each due at its time; each number is asked for by itself, beside as many as one CPU can
    /// make; 1 to 1000000.
    #[arg(long, value_name = "RATE[,RATE…]", value_delimiter = ',', default_value = RATES, allow_negative_numbers = true, value_parser = within(1..=1_000_000))]
    pub rates: Vec<u32>,

    /// What holds lists of scenarios match-list, list-update and live-set, in the modes that have such a one: `rules`, a rule for each entry; sets of ipset (`hash-ip`, …),
    /// of nftables (`set`, `interval`, …). Where none is named: all.
    #[arg(
        long,
        value_name = "KIND[,KIND…]",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub list_kinds: Vec<ListKind>,

    /// Entries of those lists; each number is asked for by itself; 1 to 1000000.
    #[arg(long, value_name = "ENTRIES[,ENTRIES…]", value_delimiter = ',', default_value = ENTRIES, allow_negative_numbers = true, value_parser = within(1..=1_000_000))]
    pub entries: Vec<u32>,

    /// What scenario list-update times: filling an empty list (`load`), adding an entry to a full one (`add`), removing one (`remove`).
    #[arg(
        long,
        value_name = "CHANGE[,CHANGE…]",
        value_delimiter = ',',
        default_value = "load,add,remove"
    )]
    pub list_changes: Vec<ListChange>,

    /// For which addresses scenario match-list asks: that of the entry that was put in `first`, or `last`, of `any` entry, or of none, a `miss`.
    #[arg(
        long,
        value_name = "HIT[,HIT…]",
        value_delimiter = ',',
        default_value = "first,last,any,miss"
    )]
    pub hits: Vec<Hit>,

    /// Possible CPUs of a guest in which scenario memory is asked with --deterministic: what a kernel holds for each CPU is held
    /// for each that is possible, online or not; each 2 to 512, three or more for a price per service and CPU.
    #[arg(long, value_name = "CPUS", value_delimiter = ',', default_value = POSSIBLE_CPUS, requires = "deterministic", allow_negative_numbers = true, value_parser = within(2..=512))]
    pub possible_cpus: Vec<u32>,
}

impl Chosen {
    /// Options that were given, each with the one scenario that reads it.
    pub fn read_by_one(&self) -> impl Iterator<Item = (&'static str, ScenarioKind)> {
        let listed = |numbers: &[u32]| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            numbers.join(",")
        };
        [
            (
                "--churn",
                listed(&[self.churn]) != CHURN,
                ScenarioKind::EndpointChurn,
            ),
            (
                "--scaled",
                listed(&[self.scaled]) != SCALED,
                ScenarioKind::ScaleDown,
            ),
            (
                "--scaled-to",
                listed(&self.scaled_to) != SCALED_TO,
                ScenarioKind::ScaleDown,
            ),
            ("--sets", listed(&self.sets) != SETS, ScenarioKind::SetSwap),
            (
                "--tracked-flows",
                listed(&self.tracked_flows) != TRACKED_FLOWS,
                ScenarioKind::ConntrackClean,
            ),
            (
                "--open-flows",
                listed(&self.open_flows) != OPEN_FLOWS,
                ScenarioKind::Established,
            ),
            (
                "--rates",
                listed(&self.rates) != RATES,
                ScenarioKind::ConnectRate,
            ),
            (
                "--list-changes",
                self.list_changes != ListChange::ALL,
                ScenarioKind::ListUpdate,
            ),
            ("--hits", self.hits != Hit::ALL, ScenarioKind::MatchList),
            (
                "--paths",
                self.paths != [PacketPath::default()],
                ScenarioKind::FirstPacket,
            ),
            (
                "--possible-cpus",
                listed(&self.possible_cpus) != POSSIBLE_CPUS,
                ScenarioKind::Memory,
            ),
        ]
        .into_iter()
        .filter_map(|(name, given, scenario)| given.then_some((name, scenario)))
    }
}

/// Reads a whole number in a range.
pub fn within(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text: &str| {
        let given = text.parse().ok().filter(|number| range.contains(number));
        given.ok_or_else(|| format!("give a whole number, {} to {}", range.start(), range.end()))
    }
}
