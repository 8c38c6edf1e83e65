//! The command line: the program, its verbs, and the options of a run; those of another verb
//! stand with that verb. What is not built is not here, so it is a usage error and never ignored.

pub(crate) mod words;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use schema::{Cache, Damage, Engine, Family, Mode, Position, Protocol, Transport};

use crate::cmd;
use crate::variant::{self, Given};
pub(crate) use words::{OnOff, SandboxOption, Scenarios};

const AFTER_HELP: &str = "\
Examples:
  bench-runner --services 10000                     every mode at 100, 300, 1000, 3000 and 10000 services
  bench-runner run --services 1000 --no-sweep --modes iptables-legacy,nftables --budget 1m
  bench-runner --services 1000 --kernel 6.1,6.12    every mode in guests with these kernels, side by side
  bench-runner run --deterministic                  executed instructions instead of time: the same on every run
  bench-runner --services 1000 --variant base:'' --variant head:'--tool nft=/opt/nftables/sbin/nft'
                                                    two variants side by side, in the same blocks
  bench-runner plan --services 10000                what that would run, and how long it takes
  bench-runner doctor                               what this machine can measure, and what is missing
  bench-runner --resume runs/2026-11-22T20-00-00    carry on a run that was killed or interrupted
  bench-runner report runs/2026-11-22T20-00-00      the page again, from the results
  bench-runner compare runs/before runs/after       what changed, and exit 3 if that is a regression

Exit codes:
  0    done (unsupported, timed-out and not-run cells are listed, they are not failures)
  1    a cell failed, nothing was measured, or results could not be written
  2    usage; unreadable, foreign or newer results; missing privilege or tool
  3    compare: a regression, or a cell of BASE that NEW lacks
  4    compare: nothing comparable, or other environments without --across;
       --resume of a run with other arguments, another kernel or another binary
  130  interrupted; what was measured is saved";

/// Compares Linux service datapaths (iptables, IPVS, ipset, nftables) on one kernel: rule-update latency, packet
/// latency and kernel memory, of rules that were proved to work.
///
/// Builds network namespaces, installs N services in each mode, drives traffic, and writes data, plots
/// and one HTML page. Nothing outside the namespaces it makes is touched.
#[derive(Debug, Parser)]
#[command(name = "bench-runner", version = crate::VERSION, args_conflicts_with_subcommands = true,
          arg_required_else_help = true, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure (the default: every option of `run` also works without the word).
    Run(RunArgs),
    /// Print what `run` would do with the same options, and how long it would take.
    Plan(cmd::plan::PlanArgs),
    /// Carry out one stay: its specification on standard input, events on standard output.
    Cell(cmd::cell::CellArgs),
    /// List modes, scenarios, metrics, the formulas of their size, or the default gate.
    List(cmd::list::ListArgs),
    /// Say what this machine can measure, by trial, and how to get what is missing.
    Doctor(cmd::doctor::DoctorArgs),
    /// Make the page, plots and summary of one or more runs again, from their results.
    Report(cmd::report::ReportArgs),
    /// Say what changed between two runs, or between the variants of one, and whether that fails a job.
    Compare(cmd::compare::CompareArgs),
    /// List, fetch and remove the kernels that guests boot.
    Kernel(cmd::kernel::KernelArgs),
    /// Print the JSON Schemas of results.jsonl, summary.json and what `compare --format json` prints.
    Schema(cmd::schema::SchemaArgs),
    /// Print a shell's completions: put them where that shell looks for them.
    Completions(cmd::completions::CompletionsArgs),
    /// Print the manual page of the program, or of one of its verbs: `bench-runner man | man -l -`.
    Man(cmd::man::ManArgs),
}

/// Options of a run.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct RunArgs {
    /// Services in the population. One number N sweeps 100, 300, 1000, 3000, … up to N; a list is
    /// measured exactly.
    #[arg(long, short = 'n', value_name = "N[,N…]", default_value = "1000", action = ArgAction::Set, value_delimiter = ',',
          allow_negative_numbers = true, value_parser = words::services)]
    pub(crate) services: Vec<u32>,

    /// Measure only N, without the smaller sizes.
    #[arg(long)]
    pub(crate) no_sweep: bool,

    /// Endpoints of each service.
    #[arg(long, value_name = "E", default_value = "2", allow_negative_numbers = true, value_parser = words::endpoints)]
    pub(crate) endpoints: u32,

    /// Modes to compare [default: all; see `list modes`].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', value_parser = words::mode)]
    pub(crate) modes: Vec<Mode>,

    /// Questions to ask, or `all` [default: those marked in `list scenarios`].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', value_parser = words::scenario)]
    pub(crate) scenarios: Vec<Scenarios>,

    /// How updates reach the kernel: restore, netlink, exec, nft, ipset-restore, ipvsadm [default: each mode's ordinary one].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', value_parser = words::transport)]
    pub(crate) transports: Vec<Transport>,

    /// Engine below the iptables rules of mode ipset: legacy, nft.
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', default_value = "legacy", value_parser = words::engine)]
    pub(crate) engines: Vec<Engine>,

    /// Endpoints that an endpoint-churn replaces at once, each of another service.
    #[arg(long, value_name = "K", default_value = "10", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) churn: u32,

    /// Where the asked service stands in the population: first, middle, last, uniform [default: all; first,last with
    /// --deterministic].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', value_parser = words::position)]
    pub(crate) positions: Vec<Position>,

    /// Protocols of the services, taken in turn.
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', default_value = "tcp,udp", value_parser = words::protocol)]
    pub(crate) protocols: Vec<Protocol>,

    /// Caches between two new flows: `warm`, as the flow before left them; `cold`, emptied before each flow, untimed, as
    /// on a node whose processors do other work (200 flows a cell then, unless --flows says otherwise).
    #[arg(long, value_name = "warm|cold", default_value = "warm", value_parser = words::cache)]
    pub(crate) cache: Cache,

    /// VIPs STRIDE addresses apart instead of drawn by the seed. 256 gives all the same low octet, by which IPVS
    /// before 2026 finds services: they all lie in one of its 256 buckets.
    #[arg(long, value_name = "STRIDE", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) vip_stride: Option<u32>,

    /// Address families.
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', default_value = "ipv4", value_parser = words::family)]
    pub(crate) families: Vec<Family>,

    /// kube-proxy's large-cluster layout: no comments in the rules of endpoints.
    #[arg(long, value_name = "on|off", default_value = "on")]
    pub(crate) large_cluster: OnOff,

    /// Where labs live: `netns`, in namespaces of the host's kernel; `guest`, in a microVM with a kernel of its
    /// own; `auto` takes the host's kernel when it can run every requested mode, else a guest for all of them.
    #[arg(long, value_name = "auto|netns|guest", default_value = "auto", value_parser = words::sandbox)]
    pub(crate) sandbox: SandboxOption,

    /// Kernels of guests: `host`, the path of an image, a version (6.1, 6.12), or a package's name. Several are
    /// measured side by side [default: the host's, else the distribution's].
    #[arg(long, value_name = "SPEC[,SPEC…]", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) kernel: Vec<String>,

    /// Count instructions instead of time: each stay in a guest of its own that QEMU translates, whose clock is what
    /// it has executed. The same on every run, on any loaded machine, for a gate. Repetition R has seed S + R. Sizes
    /// are measured exactly; scenarios: cold-install, service-add, first-packet, unless others are named.
    #[arg(long)]
    pub(crate) deterministic: bool,

    /// One side of a comparison in one run, at least two: the stays of all variants lie side by side in the same
    /// blocks. OPTIONS set it apart from the others: --services, --endpoints, --kernel, --transports, --engines,
    /// --large-cluster, --vip-stride, --sysctl, --tool. Options outside are for all variants.
    #[arg(long, value_name = "NAME:'OPTIONS'", value_parser = variant::given)]
    pub(crate) variant: Vec<Given>,

    /// One more sysctl, pinned in every namespace of a lab and read back.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variant::sysctl)]
    pub(crate) sysctl: Vec<(String, String)>,

    /// Another file to start in place of a tool, as in nft=/opt/nftables/sbin/nft.
    #[arg(long, value_name = "NAME=PATH", value_parser = variant::tool)]
    pub(crate) tool: Vec<(String, PathBuf)>,

    /// Seed of populations, probes and the order of stays.
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: u64,

    /// Repetition blocks: the most that any stay is repeated. Each has a population of its own, of seed S + its number.
    /// An interval needs six [default: 8; 6 with --deterministic].
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repetitions: Option<u32>,

    /// Time after which no further stay is started; the first block is always complete, what remains goes to the
    /// largest size of every mode until an interval can be told, then where intervals are widest [default: 10m on the
    /// host's kernel; a guest's first block and what is short of five minutes].
    #[arg(long, value_name = "TIME", value_parser = words::duration)]
    pub(crate) budget: Option<Duration>,

    /// Time limit of a cell; what is slower is timed-out with this lower bound. Preparation has the same
    /// limit, counted apart.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = words::duration)]
    pub(crate) cell_timeout: Duration,

    /// New flows in a first-packet cell [default: 1000; 200 where a guest is translated or caches are emptied, 100 where its instructions are counted].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(100..=20_000))]
    pub(crate) flows: Option<u32>,

    /// Leave out the second `none` series, whose ratio to the first states the run's noise.
    #[arg(long)]
    pub(crate) no_control: bool,

    /// Run directory to make; never overwritten [default: runs/<time>].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Carry on a run that was killed, interrupted or ran out of disk: a run directory or its results.jsonl.
    /// Options are the run's own; those given must be the same.
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<PathBuf>,

    /// Break each datapath by hand after it was installed, to see that no number comes out:
    /// delete, elsewhere, skew or swap.
    #[arg(long, value_name = "KIND", value_parser = words::damage)]
    pub(crate) damage: Option<Damage>,

    /// Put N rules that match nothing before nat while first packets are measured, to see that the gate finds
    /// them.
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) plant: Option<u32>,
}

/// One line of what clap says: the error and its tip, without the usage text.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"))
        .filter(|l| !l.is_empty())
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_options_work_with_and_without_the_word() {
        let without = Cli::try_parse_from(["bench-runner", "--services", "10"]).unwrap();
        assert_eq!(without.run.services, [10]);
        let Some(Command::Run(with)) =
            Cli::try_parse_from(["bench-runner", "run", "--services", "10"])
                .unwrap()
                .command
        else {
            panic!("run is a command")
        };
        assert_eq!(with.services, [10]);
    }

    #[test]
    fn a_wrong_name_gives_the_nearest_one_on_one_line() {
        let error = Cli::try_parse_from(["bench-runner", "--modes", "nftable"]).unwrap_err();
        let line = one_line(&error);
        assert!(
            line.starts_with("error: ")
                && line.contains("did you mean 'nftables'")
                && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn what_is_not_built_is_said_to_be_missing() {
        let error = Cli::try_parse_from(["bench-runner", "--scenarios", "spread"]).unwrap_err();
        assert!(
            one_line(&error).contains("not in this version"),
            "{}",
            one_line(&error)
        );
    }
}
