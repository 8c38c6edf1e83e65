//! What an isolated process is asked, on its standard input, and what it answers, on its standard output. A stay
//! answers with [`scenarios::spec::Event`]s, everything else with one line.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use netns_harness::HarnessError;
use netns_harness::lab::facility::Revisions;
use netns_harness::meters::{self, KernelMemory, Settled};
use netns_harness::remedy::Lack;
use scenarios::spec::{Setup, StaySpec};
use schema::Engine;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::exit::why;

/// How long to wait between stays for the kernel to give memory back.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// Services and endpoints of each with which a case is tried; a tiny population when there is none.
pub(crate) type At = Option<(u32, u32)>;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// Try a mode in a throwaway namespace; a [`Trial`].
    Trial {
        /// As it is programmed.
        case: Case,
        /// With how much.
        at: At,
    },
    /// Try every facility of the kernel there; [`Facilities`].
    Facilities,
    /// Say what this environment is, with the tools of these cases; a [`schema::Environment`].
    Facts {
        /// The cases.
        cases: Vec<Case>,
    },
    /// Wait until the kernel has given back what the last stay held; [`Rested`].
    Settle {
        /// What was held before; none: only say what is held now.
        baseline: Option<KernelMemory>,
    },
    /// Install a stay's population and say how the reference tools list it: text by command.
    Listing {
        /// The stay; its cells are not asked.
        stay: Box<StaySpec>,
        /// Endpoints of the services, in turn.
        endpoints: Vec<u32>,
    },
    /// Carry out a stay.
    Stay(Box<StaySpec>),
}

impl Ask {
    /// As it travels, on one line.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(self).expect("a question is plain data")
    }

    /// What is not as it ordinarily is where it is answered.
    pub(crate) fn setup(&self) -> Option<&Setup> {
        match self {
            Self::Trial { case, .. } => Some(&case.setup),
            Self::Listing { stay, .. } | Self::Stay(stay) => Some(&stay.setup),
            Self::Facilities | Self::Facts { .. } | Self::Settle { .. } => None,
        }
    }

    /// The root of the suite whose tools are used.
    pub(crate) fn suite(&self) -> Option<&Path> {
        Some(self.setup()?.suite.as_ref()?.root.as_path())
    }

    /// What standard input holds. A stay's specification may stand alone, as `plan --json` prints it.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Word {
            ask: Option<serde::de::IgnoredAny>,
        }
        match serde_json::from_str::<Word>(text)?.ask {
            Some(_) => serde_json::from_str(text),
            None => serde_json::from_str(text).map(Self::Stay),
        }
    }
}

/// What a trial found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Trial {
    /// Why the mode does not work here; `None` when it does.
    pub(crate) unsupported: Option<Lack>,
    /// Which sysctl that was named cannot be pinned here, and why.
    pub(crate) refused_sysctl: Option<String>,
    /// Cells that do not work although the mode does: which, and why.
    pub(crate) limits: Vec<String>,
    /// How long the population took to install and to list, milliseconds; with [`At`].
    pub(crate) installed_ms: Option<u64>,
    /// Engine that its rules went through, where that is not the ordinary one and no choice.
    pub(crate) engine: Option<Engine>,
    /// Sysctls of a lab on this kernel, by `namespace:name`; empty when none can be built.
    pub(crate) sysctls: BTreeMap<String, String>,
}

impl Trial {
    /// One that found the mode not to work.
    pub(crate) fn broken(why: impl Into<Lack>) -> Self {
        Self {
            unsupported: Some(why.into()),
            ..Self::default()
        }
    }
}

/// What the kernel said of one facility.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Its name.
    pub(crate) name: String,
    /// The kernel's answer when it does not have it.
    pub(crate) refused: Option<String>,
}

/// The facilities, and what a process in these namespaces may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Facilities {
    /// Every facility, in order.
    pub(crate) found: Vec<Found>,
    /// Whether a socket's buffer may exceed `net.core.wmem_max`.
    pub(crate) forced_buffers: bool,
    /// The same of `net.core.rmem_max`.
    pub(crate) forced_receive_buffers: bool,
    /// Whether a stay has a /sys of its own.
    pub(crate) own_sysfs: bool,
    /// Of the set types that are there.
    pub(crate) set_revisions: Vec<Revisions>,
    /// Installed tools that do not read what they are given, or are not heard.
    pub(crate) deaf: Vec<Lack>,
    /// Bytes of the largest nftables transaction; `None` when nothing bounds it or nothing is known.
    pub(crate) largest_batch: Option<u64>,
    /// `net.netfilter.nf_conntrack_max` as a lab sees it.
    pub(crate) conntrack_max: Option<u64>,
}

/// The kernel has come to rest, or has not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rested {
    /// How the waiting ended: a name of [`netns_harness::meters::Settled`].
    pub(crate) settled: String,
    /// What is held now.
    pub(crate) memory: KernelMemory,
}

impl Rested {
    /// Waits for what was held before; for nothing where that is not known.
    ///
    /// # Errors
    /// The kernel's memory figures cannot be read.
    pub(crate) fn from(held: Option<KernelMemory>) -> Result<Self, HarnessError> {
        let settled = match held {
            Some(held) => meters::settle(held, SETTLE)?,
            None => Settled::Back,
        };
        Ok(Self {
            settled: settled.name().to_owned(),
            memory: meters::kernel_memory()?,
        })
    }
}

/// What came of a question that has one answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The line.
    Said(String),
    /// The process ended badly; its last words.
    Failed(String),
    /// It did not end in so much time.
    Late(Duration),
}

impl Answer {
    /// From how a process ended, and what it said.
    pub(crate) fn of(well: bool, status: &str, output: String, stderr: &str) -> Self {
        match why(stderr) {
            _ if well => Self::Said(output),
            "" => Self::Failed(format!("it ended with {status}")),
            why => Self::Failed(why.to_owned()),
        }
    }
}

/// The words of a stay that said something which is no event.
pub(crate) fn no_event(error: &serde_json::Error, said: &str) -> String {
    format!("it said something that is no event ({error}); {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_arrive_as_they_were_asked() {
        let memory = KernelMemory {
            slab_unreclaimable: 1,
            vmalloc_used: 2,
            percpu: Some(3),
        };
        for ask in [
            Ask::Facilities,
            Ask::Facts { cases: Vec::new() },
            Ask::Settle {
                baseline: Some(memory),
            },
        ] {
            let line = ask.line();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(Ask::parse(&line).unwrap().line(), line);
        }
    }

    #[test]
    fn what_is_neither_a_question_nor_a_stay_is_refused() {
        for text in ["", "{}", "[]", r#"{"ask":"nothing"}"#, r#"{"stay":1}"#] {
            assert!(Ask::parse(text).is_err(), "{text}");
        }
    }
}
