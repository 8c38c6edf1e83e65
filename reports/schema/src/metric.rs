//! Metrics and their units: closed vocabularies.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{UnknownName, vocabulary};

vocabulary! {
    /// What a sample says (DESIGN §7, §9).
    Metric, "metric", {
        /// The apply of a rule update: from handing the prepared batch to the tool or the kernel until
        /// it has answered for the last transaction.
        UpdateTime = "update_time",
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
    }
}

vocabulary! {
    /// Unit of a metric's values.
    Unit, "unit", {
        /// Nanoseconds.
        Nanoseconds = "ns",
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

impl Metric {
    /// The unit of this metric's values on a timed environment.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::UpdateTime
            | Self::RenderTime
            | Self::UserTime
            | Self::SystemTime
            | Self::CpuTime
            | Self::Latency => Unit::Nanoseconds,
            Self::Operations | Self::Messages => Unit::Count,
            Self::BytesSent => Unit::Bytes,
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
            Self::RenderTime => "rendering and encoding the batch, before the apply",
            Self::UserTime => "processor time of the apply in user mode (the tool's part)",
            Self::SystemTime => "processor time of the apply in kernel mode",
            Self::CpuTime => "processor time of the apply, user and kernel mode",
            Self::Latency => "first packet of a new flow to the first reply",
            Self::Operations => "rules, chains, sets and elements named in the batch",
            Self::Messages => "netlink messages in the batch",
            Self::BytesSent => "bytes handed to the tool or the kernel",
        }
    }
}
