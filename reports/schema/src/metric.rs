//! Metrics and their units: closed vocabularies.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{UnknownName, vocabulary};

vocabulary! {
    /// What a sample says (METHODOLOGY.md#what-is-timed).
    Metric, "metric", {
        /// The apply of a rule update: from handing the prepared batch to the tool or the kernel until
        /// it has answered for the last transaction.
        UpdateTime = "update_time",
        /// The same update as a named kube-proxy version makes it: its read-back of the kernel's state, its
        /// processes and the apply.
        SyncTime = "sync_time",
        /// From the kernel's answer to an update until the sockets that carried it are closed. A tool closes its own
        /// before it exits, inside `update_time`, and has none.
        ReleaseTime = "release_time",
        /// Rendering and encoding that batch, which happens before the apply.
        RenderTime = "render_time",
        /// Processor time of the apply, user mode; tool and kernel-entry thread together.
        UserTime = "user_time",
        /// Processor time of the apply, kernel mode.
        SystemTime = "system_time",
        /// Processor time of the apply, user and kernel mode.
        CpuTime = "cpu_time",
        /// First packet sent to first reply received.
        Latency = "latency",
        /// Rules, chains, sets and elements named in the batch.
        Operations = "operations",
        /// Netlink messages in the batch (0 for transports that send none of their own).
        Messages = "messages",
        /// Bytes handed to the tool or the kernel.
        BytesSent = "bytes_sent",
        /// Largest resident set of a tool that made the update (`VmHWM` at its exit).
        ToolRss = "tool_rss",
        /// Kernel memory that the rules hold: SUnreclaim + VmallocUsed + Percpu of /proc/meminfo, after
        /// minus before.
        KernelMemory = "kernel_memory",
        /// The largest of that sum, less its value before, while the rules were being installed.
        KernelMemoryPeak = "kernel_memory_peak",
        /// The same memory as a memory cgroup accounts for it: a cross-check, incomplete by design.
        CgroupMemory = "cgroup_memory",
        /// Rules that the kernel lists.
        Rules = "rules",
        /// Chains that the kernel lists, built-in ones aside.
        Chains = "chains",
        /// Sets and maps that the kernel lists, anonymous ones included.
        Sets = "sets",
        /// Elements of those sets and maps.
        Elements = "elements",
    }
}

vocabulary! {
    /// Unit of a metric's values.
    Unit, "unit", {
        /// Nanoseconds.
        Nanoseconds = "ns",
        /// Executed instructions: what times are where `accel` is "tcg-icount".
        Instructions = "instructions",
        /// A number of things.
        Count = "count",
        /// Bytes.
        Bytes = "bytes",
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
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

impl Metric {
    /// The unit of this metric's values on a timed environment; see [`Unit::counted`] for others.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::UpdateTime
            | Self::SyncTime
            | Self::ReleaseTime
            | Self::RenderTime
            | Self::UserTime
            | Self::SystemTime
            | Self::CpuTime
            | Self::Latency => Unit::Nanoseconds,
            Self::Operations
            | Self::Messages
            | Self::Rules
            | Self::Chains
            | Self::Sets
            | Self::Elements => Unit::Count,
            Self::BytesSent
            | Self::ToolRss
            | Self::KernelMemory
            | Self::KernelMemoryPeak
            | Self::CgroupMemory => Unit::Bytes,
        }
    }

    /// Which way is better.
    #[must_use]
    pub const fn direction(self) -> Direction {
        Direction::Lower
    }

    /// One line for `list metrics`.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::UpdateTime => {
                "the apply of a rule update: batch handed over until the kernel answered for the last transaction"
            }
            Self::SyncTime => {
                "the same update as kube-proxy makes it: its read-back, its processes and the apply"
            }
            Self::ReleaseTime => {
                "from the kernel's answer until the sockets are closed; a tool's is inside its update_time"
            }
            Self::RenderTime => "rendering and encoding the batch, before the apply",
            Self::UserTime => "processor time of the apply in user mode (the tool's part)",
            Self::SystemTime => "processor time of the apply in kernel mode",
            Self::CpuTime => "processor time of the apply, user and kernel mode",
            Self::Latency => "first packet of a new flow to the first reply",
            Self::Operations => "rules, chains, sets and elements named in the batch",
            Self::Messages => "netlink messages in the batch",
            Self::BytesSent => "bytes handed to the tool or the kernel",
            Self::ToolRss => "largest resident set of a tool that made the update",
            Self::KernelMemory => "kernel memory that the rules hold (slab, vmalloc, per-CPU)",
            Self::KernelMemoryPeak => "the most of it while the rules were being installed",
            Self::CgroupMemory => "the part of it that a memory cgroup accounts for: a cross-check",
            Self::Rules => "rules that the kernel lists",
            Self::Chains => "chains that the kernel lists, built-in ones aside",
            Self::Sets => "sets and maps that the kernel lists, anonymous ones included",
            Self::Elements => "elements of those sets and maps",
        }
    }
}
