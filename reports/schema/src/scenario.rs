//! Scenarios: what is asked, and where each of its questions stands.

use crate::vocabulary::vocabulary;
use crate::{Metric, Options};

/// What is known of a scenario.
#[derive(Debug)]
pub struct ScenarioRow {
    /// What it asks, for who chooses scenarios.
    pub question: &'static str,
    /// Whether it is asked when no scenario is named.
    pub in_default_run: bool,
    /// What its questions stand beside.
    pub topic: Topic,
    /// What is done, as words; see [`filled`] for the places in them.
    pub words: &'static str,
    /// The question of its chart over N, where it has one of its own.
    pub over_n: &'static str,
    /// What is asked of it. The first metric is asked first: a cell without numbers stands for that.
    pub asks: &'static [Ask],
}

/// Questions that stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Changes of rules.
    Updates,
    /// Packets.
    Packets,
    /// What the kernel holds, and what it costs to keep it.
    Holdings,
    /// Lists of addresses, beside which no services are installed.
    Lists,
}

/// A metric that is asked of a scenario.
#[derive(Debug)]
pub struct Ask {
    /// Which.
    pub metric: Metric,
    /// The question, with places as in [`ScenarioRow::words`].
    pub text: &'static str,
    /// Where it stands.
    pub at: &'static [Place],
    /// What stands above it on the terminal, before the options that ask.
    pub column: &'static str,
    /// Whether it is asked of a cell with these options: a cell without numbers stands for no other question.
    pub of: fn(&Options) -> bool,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Mode × question at the top of the page.
    Matrix,
    /// The table of packets, memory and rules, of the page and of `summary.md`; rule updates have one of their own.
    Table,
    /// The terminal, at the end of a run.
    Terminal,
    /// Environments and variants side by side: what is asked first.
    SideBySide,
}

use Place::{Matrix, SideBySide, Table, Terminal};

const fn ask(metric: Metric, text: &'static str, at: &'static [Place]) -> Ask {
    Ask {
        metric,
        text,
        at,
        column: "",
        of: |_| true,
    }
}

impl Ask {
    const fn under(self, column: &'static str) -> Self {
        Self { column, ..self }
    }

    const fn of(self, of: fn(&Options) -> bool) -> Self {
        Self { of, ..self }
    }

    /// An update by `update_time`.
    const fn update(text: &'static str) -> Self {
        ask(Metric::UpdateTime, text, &[Matrix, Terminal, SideBySide])
    }

    /// The same by `sync_time`, of the updates that a named kube-proxy makes too.
    const fn sync(text: &'static str) -> Self {
        ask(Metric::SyncTime, text, &[Matrix, Terminal]).under("kube-proxy's")
    }
}

vocabulary! {
    /// What is asked.
    ScenarioKind, "scenario", of ScenarioRow, {
        /// 0 → N services on an empty table.
        ColdInstall = "cold-install" {
            question: "How long does it take to install N services on an empty kernel?",
            in_default_run: true,
            topic: Topic::Updates,
            words: "Install all from nothing",
            over_n: "How long does it take to install N services from nothing?",
            asks: &[
                Ask::update("Install all from nothing"),
                ask(
                    Metric::KernelMemory,
                    "Kernel memory, {N} services installed once",
                    &[Matrix, Table, Terminal],
                )
                .under("memory"),
            ],
        },
        /// N → N services, unchanged, everything rewritten.
        Resync = "resync" {
            question: "How long does it take to write N services again, unchanged?",
            in_default_run: false,
            topic: Topic::Updates,
            words: "Write all again, unchanged",
            over_n: "How long does it take to write all N services again, unchanged?",
            asks: &[
                Ask::update("Write all again, unchanged"),
                Ask::sync("Write all again, unchanged: kube-proxy's sync"),
            ],
        },
        /// N → N + 1 services at size N, of the run's first protocol.
        ServiceAdd = "service-add" {
            question: "How long does it take to add one service to N?",
            in_default_run: true,
            topic: Topic::Updates,
            words: "Add one service",
            over_n: "How long does it take to add one service to N?",
            asks: &[
                Ask::update("Add one service").under("time"),
                Ask::sync("Add one service: kube-proxy's sync"),
                ask(Metric::Messages, "Add one service: messages", &[Terminal]).under("messages"),
                ask(Metric::BytesSent, "Add one service: bytes handed over", &[Terminal]).under("bytes"),
            ],
        },
        /// N → N - 1 services at size N, of the run's first protocol.
        ServiceRemove = "service-remove" {
            question: "How long does it take to remove one service of N?",
            in_default_run: true,
            topic: Topic::Updates,
            words: "Remove one service",
            over_n: "How long does it take to remove one service of N?",
            asks: &[
                Ask::update("Remove one service").under("time"),
                Ask::sync("Remove one service: kube-proxy's sync"),
            ],
        },
        /// Endpoints of random services replaced at size N.
        EndpointChurn = "endpoint-churn" {
            question: "How long does it take to replace one endpoint of each of k services?",
            // Costs what service-add does, and says little more: by name.
            in_default_run: false,
            topic: Topic::Updates,
            words: "Replace an endpoint of each of {churn} services",
            over_n: "How long does it take to replace endpoints when there are N services?",
            asks: &[
                Ask::update("Replace an endpoint of each of {churn} services"),
                Ask::sync("Replace an endpoint of each of {churn} services: kube-proxy's sync"),
            ],
        },
        /// Most endpoints of random services, or all, leave at once at size N, until nothing of them is left.
        ScaleDown = "scale-down" {
            question: "How long does it take when k services lose most of their endpoints, or all, until nothing of them is left?",
            in_default_run: false,
            topic: Topic::Updates,
            words: "Scale {scaled} services down to {scaled_to} endpoints each",
            over_n: "How long does it take to scale services down when there are N services?",
            asks: &[
                Ask::update("Scale {scaled} services down to {scaled_to} endpoints each"),
                Ask::sync("Scale {scaled} services down to {scaled_to} endpoints each: kube-proxy's syncs"),
            ],
        },
        /// An endpoint of a UDP service replaced while flows are tracked.
        ConntrackClean = "conntrack-clean" {
            question: "How long does kube-proxy's sync take when an endpoint of a UDP service is replaced, by the number of tracked flows?",
            in_default_run: false,
            topic: Topic::Holdings,
            words: "Replace an endpoint of a UDP service",
            over_n: "How long does kube-proxy's sync take after UDP endpoints when there are N services?",
            asks: &[ask(
                Metric::SyncTime,
                "Replace an endpoint of a UDP service, {tracked_flows} flows tracked: kube-proxy's sync",
                &[Matrix, Table, Terminal, SideBySide],
            )],
        },
        /// N services, and nothing changes.
        Idle = "idle" {
            question: "What does an hour cost in which none of N services changes?",
            in_default_run: false,
            topic: Topic::Holdings,
            words: "An hour in which nothing changes",
            over_n: "What does an hour cost in which none of N services changes?",
            asks: &[
                ask(
                    Metric::IdleCpuTime,
                    "An hour in which nothing changes: processor time",
                    &[Matrix, Table, Terminal, SideBySide],
                )
                .under("cpu"),
                ask(
                    Metric::IdleProcesses,
                    "An hour in which nothing changes: processes",
                    &[Table, Terminal],
                )
                .under("processes"),
                ask(
                    Metric::IdleMessages,
                    "An hour in which nothing changes: netlink messages of kube-proxy's own",
                    &[Table],
                ),
            ],
        },
        /// Many sets, each refilled under another name and swapped.
        SetSwap = "set-swap" {
            question: "What does it take to swap a set for one that was filled beside it, by the number of sets?",
            in_default_run: false,
            topic: Topic::Holdings,
            words: "Swap each of {sets}",
            over_n: "",
            asks: &[
                ask(
                    Metric::SwapTime,
                    "Swap each of {sets}: one swap",
                    &[Table, Terminal, SideBySide],
                )
                .under("a swap"),
                ask(
                    Metric::SwapWait,
                    "Swap each of {sets}: of that, waits",
                    &[Table, Terminal],
                )
                .under("waits"),
            ],
        },
        /// What is installed, read back by tools and over netlink.
        Listing = "listing" {
            question: "How long does it take to read back what is installed for N services, by what reads it?",
            in_default_run: false,
            topic: Topic::Holdings,
            words: "Read back {N} services by {reader}",
            over_n: "",
            asks: &[
                ask(
                    Metric::ListingTime,
                    "Read back {N} services by {reader}",
                    &[Table, Terminal, SideBySide],
                ),
                ask(
                    Metric::ListingTimeUpdating,
                    "Read back {N} services by {reader} while one is added",
                    &[Table],
                ),
                ask(
                    Metric::ToolRss,
                    "Read back {N} services by {reader}: the tool's memory",
                    &[Table],
                ),
            ],
        },
        /// N → 0 services.
        Teardown = "teardown" {
            question: "How long does it take to remove all N services?",
            in_default_run: false,
            topic: Topic::Updates,
            words: "Remove all",
            over_n: "How long does it take to remove all N services?",
            asks: &[Ask::update("Remove all")],
        },
        /// An update that changes nothing, of mode none: the floor of updates.
        EmptyUpdate = "empty-update" {
            question: "How long does an update take that changes nothing: a tool's start, a transaction?",
            in_default_run: true,
            topic: Topic::Updates,
            words: "An update that changes nothing",
            over_n: "",
            asks: &[ask(Metric::UpdateTime, "An update that changes nothing", &[])],
        },
        /// First packet of a new flow to the first reply.
        FirstPacket = "first-packet" {
            question: "How long does the first packet of a new flow take to its first reply, by position of the service?",
            in_default_run: true,
            topic: Topic::Packets,
            words: "First packet",
            over_n: "",
            asks: &[
                ask(
                    Metric::Latency,
                    "First packet of a new {protocol} flow to {position} of {N}",
                    &[Matrix, Table, Terminal, SideBySide],
                ),
                ask(
                    Metric::PathTime,
                    "The node's own part of it: a first {protocol} packet to {position} of {N}, handed to it and dropped where it arrives",
                    &[Table],
                ),
            ],
        },
        /// A round trip on an open flow, beside others that are open.
        Established = "established" {
            question: "How long does a round trip take on a flow that is open, beside 1 to 10,000 others?",
            in_default_run: false,
            topic: Topic::Packets,
            words: "Round trip on an open flow",
            over_n: "",
            asks: &[
                ask(
                    Metric::RoundTrip,
                    "Round trip on one of {open_flows} of {protocol} to any of {N}",
                    &[Matrix, Table, Terminal, SideBySide],
                ),
                ask(
                    Metric::PathTime,
                    "The node's own part of it: a {protocol} packet of one of {open_flows}, handed to it and dropped where it arrives",
                    &[Matrix, Table, Terminal],
                )
                .under("node's part"),
            ],
        },
        /// New TCP connections, as many as one CPU can make, and at a rate: an open loop, in which each is due at its time.
        ConnectRate = "connect-rate" {
            question: "What does a new connection cost when as many are made as one CPU can, and how long does its first packet take at a rate?",
            in_default_run: false,
            topic: Topic::Packets,
            words: "New connections",
            over_n: "",
            asks: &[
                ask(
                    Metric::ConnectionTime,
                    "A new connection to any of {N}, as many as one CPU can make",
                    &[Matrix, Table, Terminal, SideBySide],
                )
                .of(|options| options.rate().is_none()),
                ask(
                    Metric::Latency,
                    "First packet of a new TCP flow to any of {N}, {rate} a second",
                    &[Matrix, Table, Terminal, SideBySide],
                )
                .of(|options| options.rate().is_some()),
            ],
        },
        /// First packets that are for no service and cross the rules.
        Miss = "miss" {
            question: "How long does the first packet of a new flow take that is for none of N services, and crosses their rules?",
            in_default_run: false,
            topic: Topic::Packets,
            words: "First packet for no service",
            over_n: "",
            asks: &[ask(
                Metric::Latency,
                "First packet of a new {protocol} flow for none of {N} services",
                &[Matrix, Table, Terminal, SideBySide],
            )],
        },
        /// What N services hold of the kernel's memory.
        Memory = "memory" {
            question: "How much kernel memory do N services hold?",
            // Its installs and removals take two minutes of a sweep up to 10,000: by name.
            in_default_run: false,
            topic: Topic::Holdings,
            words: "Kernel memory of {N} services",
            over_n: "",
            asks: &[
                ask(
                    Metric::KernelMemory,
                    "Kernel memory of {N} services",
                    &[Matrix, Table, Terminal, SideBySide],
                )
                .under("kernel"),
                ask(
                    Metric::KernelMemoryPeak,
                    "Peak of kernel memory while {N} services are installed",
                    &[Table, Terminal],
                )
                .under("peak"),
                ask(
                    Metric::CgroupMemory,
                    "The part of it that a cgroup sees (incomplete by design)",
                    &[Table],
                ),
            ],
        },
        /// What the kernel lists for N services: rules, chains, sets, elements. The same in every environment.
        RuleCount = "rule-count" {
            question: "How many rules, chains, sets and elements does the kernel hold for N services?",
            in_default_run: true,
            topic: Topic::Holdings,
            words: "Rules listed for {N} services",
            over_n: "",
            asks: &[
                ask(Metric::Rules, "Rules listed for {N} services", &[Table, Terminal]).under("rules"),
                ask(Metric::Chains, "Chains listed for {N} services", &[Table, Terminal]).under("chains"),
                ask(Metric::Sets, "Sets listed for {N} services", &[Table, Terminal]).under("sets"),
                ask(Metric::Elements, "Elements listed for {N} services", &[Table, Terminal]).under("elements"),
            ],
        },
        /// Packets to addresses in a list, and in none.
        MatchList = "match-list" {
            question: "What does it cost to look a packet's address up in a list of 10 to 1,000,000 entries, by what holds it?",
            in_default_run: false,
            topic: Topic::Lists,
            words: "A packet through a list",
            over_n: "",
            asks: &[ask(
                Metric::PathTime,
                "A packet through a list",
                &[],
            )],
        },
        /// A list filled, and one entry added to it and removed.
        ListUpdate = "list-update" {
            question: "How long does it take to fill a list of 10 to 1,000,000 entries, to add one and to remove one, and what does it hold?",
            in_default_run: false,
            topic: Topic::Lists,
            words: "A list's change",
            over_n: "",
            asks: &[
                ask(Metric::UpdateTime, "A list's change", &[]),
                ask(Metric::KernelMemory, "Kernel memory of a list", &[]),
            ],
        },
        /// A list replaced again and again while packets are looked up in it.
        LiveSet = "live-set" {
            question: "How many packets fare wrong, and how long does one wait, while the entries of a list are replaced under them?",
            in_default_run: false,
            topic: Topic::Lists,
            words: "A list replaced while it is in use",
            over_n: "",
            asks: &[
                ask(Metric::Wrong, "A list replaced while it is in use: packets that fare wrong", &[]),
                ask(Metric::Stall, "A list replaced while it is in use: longest stall", &[]),
                ask(Metric::UpdateTime, "A list replaced while it is in use", &[]),
            ],
        },
    }
}

impl ScenarioKind {
    /// Whether it is a change of rules.
    #[must_use]
    pub fn is_update(self) -> bool {
        self.row().topic == Topic::Updates
    }

    /// What is asked of it in a place, in its order.
    pub fn asked_at(self, place: Place) -> impl Iterator<Item = &'static Ask> {
        let asks = self.row().asks.iter();
        asks.filter(move |ask| ask.at.contains(&place))
    }

    /// What is asked of it about a metric.
    #[must_use]
    pub fn ask(self, metric: Metric) -> Option<&'static Ask> {
        self.row().asks.iter().find(|ask| ask.metric == metric)
    }
}

/// Words with their places filled: `{N}` with the number of services as it is written, `{churn}` with the number alone,
/// other names of options with their words. Options that have no place of their own follow.
#[must_use]
pub fn filled(words: &str, services: &str, options: &Options) -> String {
    let mut text = words.replace("{N}", services);
    let mut rest = Vec::new();
    for (key, value) in options.iter() {
        let place = format!("{{{key}}}");
        let said = key.words(value);
        if text.contains(&place) {
            let number = value.bytes().all(|byte| byte.is_ascii_digit());
            text = text.replace(&place, if number { value } else { &said });
        } else {
            rest.push(said);
        }
    }
    for said in rest {
        text.push_str(", ");
        text.push_str(&said);
    }
    text
}
