//! bench-runner: the command line. The only crate that sees both the harness and the reports.

mod budget;
mod case;
mod choice;
mod cli;
mod cmd;
mod disturbance;
mod environment;
mod environments;
mod execute;
mod exit;
mod header;
mod interrupt;
mod isolate;
mod ledger;
mod machine;
mod pace;
mod places;
mod plan;
mod population;
mod progress;
mod readiness;
mod resume;
mod run_dir;
mod stdout;
mod variant;
mod verbose;
mod verdict;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use cmd::Cli;
use exit::Ended;

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
    match cli.carry_out() {
        Ok(Ended::Done) if stdout::failed() => Ended::Failed.into(),
        Ok(ended) => ended.into(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", exit::line(&error));
            exit::code(&error)
        }
    }
}

fn explain(error: &clap::Error) -> ExitCode {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    let _ = match error.kind() {
        DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand => error.print(),
        _ => writeln!(std::io::stderr(), "{}", cli::one_line(error)),
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
