//! The program and its verbs, one file each, with their own options.

pub(crate) mod cell;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod kernel;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod population;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod tools;
pub(crate) mod trend;

use clap::{ArgAction, Parser, Subcommand};

use crate::cli::RunArgs;
use crate::environment::VERSION;
use crate::exit::Ended;
use crate::verbose;

/// Examples and exit codes.
const AFTER_HELP: &str = include_str!("help.txt").trim_ascii_end();

/// Compares Linux service datapaths (iptables, IPVS, ipset, nftables) on one kernel: rule-update latency, packet
/// latency and kernel memory, of rules that were proved to work.
///
/// Builds network namespaces, installs N services in each mode, drives traffic, and writes data, plots
/// and one HTML page. Nothing outside the namespaces it makes is touched.
#[derive(Debug, Parser)]
#[command(name = "bench-runner", version = VERSION, args_conflicts_with_subcommands = true,
          arg_required_else_help = true, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Tell on standard error what is decided and which processes are started; -vv: also what stays do, to the head of
    /// each transaction. Nothing is told while a clock runs.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure (the default: every option of `run` also works without the word).
    Run(RunArgs),
    /// Print what `run` would do with the same options, and how long it would take.
    Plan(plan::PlanArgs),
    /// Carry out one stay: its specification on standard input, events on standard output.
    Cell {
        /// Internal: this process is the init of the stay's PID namespace.
        #[arg(long, hide = true)]
        init: bool,
    },
    /// List modes, scenarios, metrics, the formulas of their size, or the default gate.
    List {
        /// What to list.
        what: list::Listing,
    },
    /// Say what this machine can measure, by trial, and how to get what is missing.
    Doctor(doctor::DoctorArgs),
    /// Make the page, plots and summary of one or more runs again, from their results.
    Report(report::ReportArgs),
    /// Say what changed between two runs, or between the variants of one, and whether that fails a job.
    Compare(compare::CompareArgs),
    /// Say which series of a history of runs changed when, and whether one became slower since a run.
    Trend(trend::TrendArgs),
    /// Say what dumps of your cluster hold, and what its services weigh in each mode; `run --population` measures them.
    Population(population::PopulationArgs),
    /// List, fetch and remove the kernels that guests boot.
    Kernel(kernel::KernelArgs),
    /// List, fetch and remove the tools of other suites of the distribution, which --tools measures.
    Tools(tools::ToolsArgs),
    /// Print the JSON Schemas of results.jsonl, summary.json and what `compare` and `trend` print with --format json.
    Schema {
        /// Which file's schema.
        #[arg(default_value = "results")]
        which: schema::SchemaOf,
    },
    /// Print a shell's completions: put them where that shell looks for them.
    Completions {
        /// Which shell's.
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program, or of one of its verbs: `bench-runner man | man -l -`.
    Man {
        /// Of which verb [default: of the program].
        #[arg(value_name = "VERB")]
        verb: Option<String>,
    },
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// It could not be done: the exit code of the error says why.
    pub(crate) fn carry_out(self) -> anyhow::Result<Ended> {
        let command = self.command.unwrap_or(Command::Run(self.run));
        verbose::set(self.verbose);
        if !matches!(command, Command::Cell { .. }) {
            verbose::start(std::io::stderr);
        }
        match command {
            Command::Run(args) => run::run(&args),
            Command::Plan(args) => plan::run(&args),
            Command::Cell { init } => cell::run(init),
            Command::List { what } => list::run(what),
            Command::Doctor(args) => doctor::run(&args),
            Command::Report(args) => report::run(&args),
            Command::Compare(args) => compare::run(&args),
            Command::Trend(args) => trend::run(&args),
            Command::Population(args) => population::run(&args),
            Command::Kernel(args) => kernel::run(&args),
            Command::Tools(args) => tools::run(&args),
            Command::Schema { which } => schema::run(which),
            Command::Completions { shell } => completions::run(shell),
            Command::Man { verb } => man::run(verb.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::one_line;

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
}
