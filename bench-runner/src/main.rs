//! bench-runner: the command line. The only crate that sees both the harness and the reports.

mod budget;
mod cli;
mod cmd;
mod disturbance;
mod environment;
mod execute;
mod exit;
mod header;
mod ledger;
mod listen;
mod pace;
mod plan;
mod progress;
mod readiness;
mod resume;
mod run_dir;
mod sandbox;
mod stdout;
mod table;
mod trial;
mod variant;
mod verdict;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use exit::Ended;

/// Version and source revision.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BENCH_RUNNER_REVISION"),
    ")"
);

/// The word on a guest kernel's command line that makes the first process ours. The kernel hands over
/// every word that it does not know itself, so it need not be the only one.
const GUEST_INIT: &str = "guest-init";

fn main() -> ExitCode {
    if std::process::id() == 1 && std::env::args().any(|word| word == GUEST_INIT) {
        guest::pid1::run(std::path::Path::new("/init"));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("BENCH_RUNNER_LOG"))
        .with_writer(std::io::stderr)
        .init();
    match carry_out(cli) {
        Ok(Ended::Done) if stdout::failed() => Ended::Failed.into(),
        Ok(ended) => ended.into(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            exit::code(&error)
        }
    }
}

fn explain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "{}", cli::one_line(error));
            ExitCode::from(2)
        }
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<Ended> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => cmd::run::run(&args),
        Command::Plan(args) => cmd::plan::run(&args),
        Command::Cell(args) => cmd::cell::run(&args),
        Command::List(args) => cmd::list::run(&args),
        Command::Doctor(args) => cmd::doctor::run(&args),
        Command::Report(args) => cmd::report::run(&args),
        Command::Compare(args) => cmd::compare::run(&args),
        Command::Kernel(args) => cmd::kernel::run(&args),
        Command::Schema(args) => cmd::schema::run(&args),
        Command::Completions(args) => cmd::completions::run(&args),
        Command::Man(args) => cmd::man::run(&args),
    }
}
