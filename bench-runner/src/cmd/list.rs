//! `list`: the vocabularies.

use clap::{Args, ValueEnum};
use netns_harness::datapath::registry;
use scenarios::SCENARIOS;
use schema::{Metric, Mode};

use crate::exit::Ended;
use crate::stdout::say;

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What to list.
    pub(crate) what: Listing,
}

/// A vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Modes,
    Scenarios,
    Metrics,
    /// How many rules, chains, elements and messages each mode needs.
    Formulas,
    /// The thresholds of `compare`, as a gate.toml.
    Gate,
}

#[allow(clippy::unnecessary_wraps, reason = "every verb has this signature")]
pub(crate) fn run(args: &ListArgs) -> anyhow::Result<Ended> {
    match args.what {
        Listing::Modes => {
            for mode in Mode::ALL {
                let transports: Vec<&str> = if mode.is_floor() {
                    Vec::new()
                } else {
                    registry(*mode)
                        .transports()
                        .iter()
                        .map(|t| t.name())
                        .collect()
                };
                say!("{:<16} {:<14} {}", mode, transports.join(","), about(*mode));
            }
        }
        Listing::Scenarios => SCENARIOS.iter().for_each(|s| {
            let mark = if s.in_default_run() { "*" } else { " " };
            say!("{:<16}{mark} {}", s.kind(), s.question());
        }),
        Listing::Formulas => {
            say!("law of size: N services with E endpoints each, large-cluster layout");
            for mode in Mode::ALL {
                for (what, formula) in registry(*mode).law_of_size() {
                    say!("{mode:<16} {what}: {formula}");
                }
            }
        }
        Listing::Gate => say!("{}", reports::gate::DEFAULT_GATE.trim_end()),
        Listing::Metrics => {
            for metric in Metric::ALL {
                say!("{:<16} {:<6} {}", metric, metric.unit(), metric.describe());
            }
        }
    }
    Ok(Ended::Done)
}

fn about(mode: Mode) -> &'static str {
    match mode {
        Mode::None => "floor: client straight to the endpoint, no connection tracking",
        Mode::Conntrack => "floor: nat hooks and connection tracking, no service",
        Mode::IptablesLegacy => "kube-proxy's iptables rules, legacy engine",
        Mode::IptablesNft => "the same rules, nf_tables engine",
        Mode::Ipset => {
            "constructed: one hash lookup gives a mark that leads to the service's chain"
        }
        Mode::Ipvs => "kube-proxy's virtual servers, with sets and a constant number of rules",
        Mode::Nftables => "kube-proxy's nftables rules",
    }
}
