//! Metrics and their units. Of every metric less is better.

use crate::vocabulary::vocabulary;

/// What is known of a unit.
#[derive(Debug)]
pub struct UnitRow {
    /// What may follow an amount in a gate, each with its factor.
    pub scales: &'static [(&'static str, f64)],
    /// An amount as it is written there.
    pub example: &'static str,
}

vocabulary! {
    /// Unit of a metric's values.
    Unit, "unit", of UnitRow, {
        /// Nanoseconds.
        Nanoseconds = "ns" {
            scales: &[("ns", 1.0), ("µs", 1e3), ("us", 1e3), ("ms", 1e6), ("s", 1e9)],
            example: "100 µs",
        },
        /// Executed instructions: what times are where `accel` is "tcg-icount".
        Instructions = "instructions" {
            scales: &[("instr", 1.0), ("k instr", 1e3), ("M instr", 1e6)],
            example: "100 instr",
        },
        /// A number of things.
        Count = "count" { scales: &[("", 1.0)], example: "1" },
        /// Bytes.
        Bytes = "bytes" {
            scales: &[
                ("B", 1.0),
                ("kB", 1e3),
                ("MB", 1e6),
                ("GB", 1e9),
                ("KiB", 1024.0),
                ("MiB", 1_048_576.0),
                ("GiB", 1_073_741_824.0),
            ],
            example: "256 kB",
        },
    }
}

impl Unit {
    /// What stands for this unit where time is executed instructions.
    #[must_use]
    pub const fn counted(self) -> Self {
        match self {
            Self::Nanoseconds => Self::Instructions,
            other => other,
        }
    }
}

/// What is known of a metric.
#[derive(Debug)]
pub struct MetricRow {
    /// The unit of its values on a timed environment; see [`Unit::counted`] for others.
    pub unit: Unit,
    /// One line of meaning.
    pub meaning: &'static str,
    /// The curve that it is fitted with over N; `None`: it explains others and has none.
    pub growth: Option<Growth>,
    /// Whether it answers what is asked: then it decides what is repeated. The others explain it, or are exact.
    pub answers: bool,
    /// Whether it is a difference of two readings of the clock, whose step must be small beside it. Processor time
    /// comes from the scheduler's accounting; what is released counts only together with the update before it.
    pub clocked: bool,
    /// Whether the limit at which an update timed out is a lower bound of it.
    pub bounded: bool,
    /// Whether it is counted, not measured.
    pub exact: bool,
    /// Whether other users of the kernel that was measured move it.
    pub of_the_kernel: bool,
    /// Whether the lowest mode is the best: a part that is not the same in every mode is no rank.
    pub ranked: bool,
}

/// How a metric grows with N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// a + b·N, from as many sizes as show a line.
    Line,
    /// a + b·N, where b is the price of a service.
    Price,
    /// a + c·N^k.
    Power,
}

const TIME: MetricRow = MetricRow {
    unit: Unit::Nanoseconds,
    meaning: "",
    growth: None,
    answers: false,
    clocked: false,
    bounded: false,
    exact: false,
    of_the_kernel: false,
    ranked: true,
};
const UPDATE: MetricRow = MetricRow {
    growth: Some(Growth::Power),
    answers: true,
    clocked: true,
    bounded: true,
    ..TIME
};
const SENT: MetricRow = MetricRow {
    unit: Unit::Count,
    growth: Some(Growth::Power),
    exact: true,
    ..TIME
};
const HELD: MetricRow = MetricRow {
    unit: Unit::Bytes,
    growth: Some(Growth::Price),
    of_the_kernel: true,
    ..TIME
};
const LISTED: MetricRow = MetricRow {
    unit: Unit::Count,
    growth: Some(Growth::Price),
    exact: true,
    ..TIME
};

vocabulary! {
    /// What a sample says (METHODOLOGY.md#what-is-timed).
    Metric, "metric", of MetricRow, {
        /// The apply of a rule update: from handing the prepared batch to the tool or the kernel until
        /// it has answered for the last transaction.
        UpdateTime = "update_time" {
            meaning: "the apply of a rule update: batch handed over until the kernel answered for the last transaction",
            ..UPDATE
        },
        /// The same update as a named kube-proxy version makes it: its read-back of the kernel's state, its
        /// processes and the apply.
        SyncTime = "sync_time" {
            meaning: "the same update as kube-proxy makes it: its read-back, its processes and the apply",
            ..UPDATE
        },
        /// From a change at the API of a real kube-proxy until the first new flow that is served by the new rule was sent;
        /// one is sent a millisecond.
        TimeToEffect = "time_to_effect" {
            meaning: "from the change until the first new flow that it serves was sent",
            growth: Some(Growth::Power),
            ..TIME
        },
        /// The same until a listing of the kernel has it; listings follow each other without a pause.
        TimeToListing = "time_to_listing" {
            meaning: "from the change until the kernel's listing has it",
            growth: Some(Growth::Power),
            ..TIME
        },
        /// From the kernel's answer to an update until the sockets that carried it are closed. A tool closes its own
        /// before it exits, inside `update_time`, and has none.
        ReleaseTime = "release_time" {
            meaning: "from the kernel's answer until the sockets are closed; a tool's is inside its update_time",
            growth: Some(Growth::Power),
            ..TIME
        },
        /// Rendering and encoding that batch, which happens before the apply.
        RenderTime = "render_time" {
            meaning: "rendering and encoding the batch, before the apply",
            clocked: true,
            ..TIME
        },
        /// Processor time of the apply or listing, user mode; tool and kernel-entry thread together.
        UserTime = "user_time" {
            meaning: "processor time of the apply or listing in user mode (the tool's part)",
            ..TIME
        },
        /// Processor time of the apply or listing, kernel mode.
        SystemTime = "system_time" {
            meaning: "processor time of the apply or listing in kernel mode",
            ..TIME
        },
        /// Processor time of the apply or listing, user and kernel mode.
        CpuTime = "cpu_time" {
            meaning: "processor time of the apply or listing, user and kernel mode",
            growth: Some(Growth::Power),
            ..TIME
        },
        /// How often the thread that makes the update and the tools that it runs gave their processor up to wait for
        /// something (`ru_nvcsw` of `getrusage(2)`): a wait for an RCU grace period is one, however short it is.
        VoluntarySwitches = "voluntary_switches" {
            unit: Unit::Count,
            meaning: "how often thread and tools gave their processor up to wait for something",
            ..TIME
        },
        /// Calls of the functions in which a kernel waits for what it has put off, on all of the guest until what an update
        /// has set going is done: `synchronize_rcu`, `synchronize_rcu_expedited` (of which `synchronize_net` takes
        /// one), `rcu_barrier` and `flush_work`. Of counted runs, where a wait takes no time.
        Waits = "waits" {
            unit: Unit::Count,
            meaning: "calls of synchronize_rcu, synchronize_rcu_expedited, rcu_barrier and flush_work during the update",
            exact: true,
            ..TIME
        },
        /// From the start of the tool, or the question over netlink, until the whole of what is installed has been read: a
        /// tool's output is there, and the tool has ended; what came over netlink is counted, or decoded.
        ListingTime = "listing_time" {
            meaning: "reading back what is installed: tool started, or kernel asked, until all of it was read",
            growth: Some(Growth::Power),
            answers: true,
            clocked: true,
            ..TIME
        },
        /// The same while a service is added, whose update begins with the listing. A listing that the update falls into
        /// begins again.
        ListingTimeUpdating = "listing_time_updating" {
            meaning: "the same while a service is added, which begins with it",
            growth: Some(Growth::Power),
            clocked: true,
            ..TIME
        },
        /// Of many swaps of two sets' contents, one after the other, what one takes.
        SwapTime = "swap_time" {
            meaning: "what one of many swaps of two sets takes, until the kernel or the tool has answered for all",
            answers: true,
            ..TIME
        },
        /// The part of it in which neither the tool nor the thread that sends had a processor: the kernel waited, or a processor
        /// did other work. Of timed runs: counted ones have `waits`.
        SwapWait = "swap_wait" {
            meaning: "the part of it in which neither tool nor sending thread used a processor: the kernel's waits",
            ..TIME
        },
        /// First packet sent to first reply received.
        Latency = "latency" {
            meaning: "first packet of a new flow to the first reply",
            growth: Some(Growth::Line),
            answers: true,
            clocked: true,
            ..TIME
        },
        /// Message sent on an open flow to its return.
        RoundTrip = "round_trip" {
            meaning: "a message on a flow that is open to its return",
            growth: Some(Growth::Line),
            answers: true,
            clocked: true,
            ..TIME
        },
        /// From handing packets to the node's stack, as if its interface to clients had received them, until the last of them has gone as
        /// far as packets go, a packet: nothing is woken by it, and it is dropped where it arrives.
        PathTime = "path_time" {
            meaning: "what the node takes for a packet that is handed to it, without sockets and threads",
            growth: Some(Growth::Line),
            answers: true,
            ..TIME
        },
        /// Processor time of the thread that hands packets, or connections, over, a packet: with softirqs, which run in its context. Not on kernels that account interrupts apart (`CONFIG_IRQ_TIME_ACCOUNTING`).
        PacketCpuTime = "packet_cpu_time" {
            meaning: "processor time of a packet, or connection, that is handed over",
            growth: Some(Growth::Line),
            ..TIME
        },
        /// As `path_time` of a new connection, a connection: its SYN, the answer of the server's stack and a reset.
        ConnectionTime = "connection_time" {
            meaning: "what a new connection takes when as many are made as one CPU can: SYN, SYN-ACK and reset",
            growth: Some(Growth::Line),
            answers: true,
            ..TIME
        },
        /// Flows of an open loop that no reply came to within a second after the last was sent.
        Lost = "lost" {
            unit: Unit::Count,
            meaning: "flows of an open loop without a reply",
            ..TIME
        },
        /// Flows of an open loop that were sent more than 100 µs after their time: what the generator did not manage.
        Late = "late" {
            unit: Unit::Count,
            meaning: "flows of an open loop that were sent more than 100 µs after their time",
            ..TIME
        },
        /// Packets that fared neither as they were to before a change nor as they were to after it, of all changes of a cell.
        Wrong = "wrong" {
            unit: Unit::Count,
            meaning: "packets that fared neither as before a change nor as after it",
            answers: true,
            ..TIME
        },
        /// The longest time between two packets beyond that which was to be between them, while something is changed: each is sent, and goes
        /// through the node, in one call.
        Stall = "stall" {
            meaning: "the longest time between two packets beyond that which was to be, while something is changed",
            answers: true,
            ..TIME
        },
        /// Processes beside a real kube-proxy that ended while it made the change, by the kernel's accounts (`acct(5)`).
        Processes = "processes" {
            unit: Unit::Count,
            meaning: "processes beside a real kube-proxy that ended while it made the change",
            ..TIME
        },
        /// What an hour in which nothing changes takes of a processor: a period's work times periods an hour. Of a real
        /// kube-proxy a minute of its own threads times 60, without its tools and what it does once an hour.
        IdleCpuTime = "idle_cpu_time" {
            meaning: "processor time that kube-proxy's periodic work takes in an hour in which nothing changes; of a real one that of its own threads, without its tools and what it does once an hour",
            growth: Some(Growth::Power),
            answers: true,
            ..TIME
        },
        /// Processes of the same hour.
        IdleProcesses = "idle_processes" {
            unit: Unit::Count,
            meaning: "processes that kube-proxy's periodic work starts in an hour in which nothing changes; of a real one without what it does once an hour",
            ..TIME
        },
        /// Netlink messages of the same hour.
        IdleMessages = "idle_messages" {
            unit: Unit::Count,
            meaning: "netlink messages that kube-proxy itself, not a tool of its, sends in an hour in which nothing changes",
            ..TIME
        },
        /// Rules, chains, sets and elements named in the batch.
        Operations = "operations" {
            meaning: "rules, chains, sets and elements named in the batch",
            ..SENT
        },
        /// Netlink messages in the batch (0 for transports that send none of their own).
        Messages = "messages" {
            meaning: "netlink messages in the batch",
            ..SENT
        },
        /// Bytes handed to the tool or the kernel.
        BytesSent = "bytes_sent" {
            unit: Unit::Bytes,
            meaning: "bytes handed to the tool or the kernel",
            ..SENT
        },
        /// Largest resident set of a tool that made the update or listing (`VmHWM` at its exit).
        ToolRss = "tool_rss" {
            unit: Unit::Bytes,
            meaning: "largest resident set of a tool that made the update or listing",
            ..TIME
        },
        /// Kernel memory that the rules hold: SUnreclaim + VmallocUsed + Percpu of /proc/meminfo, after
        /// minus before.
        KernelMemory = "kernel_memory" {
            meaning: "kernel memory that the rules hold (slab, vmalloc, per-CPU)",
            answers: true,
            ..HELD
        },
        /// The largest of that sum, less its value before, while the rules were being installed.
        KernelMemoryPeak = "kernel_memory_peak" {
            meaning: "the most of it while the rules were being installed",
            ..HELD
        },
        /// The same memory as a memory cgroup accounts for it: a cross-check, incomplete by design.
        CgroupMemory = "cgroup_memory" {
            meaning: "the part of it that a memory cgroup accounts for: a cross-check",
            ranked: false,
            ..HELD
        },
        /// Rules that the kernel lists.
        Rules = "rules" { meaning: "rules that the kernel lists", ..LISTED },
        /// Chains that the kernel lists, built-in ones aside.
        Chains = "chains" { meaning: "chains that the kernel lists, built-in ones aside", ..LISTED },
        /// Sets and maps that the kernel lists, anonymous ones included.
        Sets = "sets" { meaning: "sets and maps that the kernel lists, anonymous ones included", ..LISTED },
        /// Elements of those sets and maps.
        Elements = "elements" { meaning: "elements of those sets and maps", ..LISTED },
    }
}

impl Metric {
    /// The unit of this metric's values on a timed environment; see [`Unit::counted`] for others.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.row().unit
    }
}
