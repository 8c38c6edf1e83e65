//! `completions`: what a shell needs to complete our verbs, options and their values.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::exit::Ended;
use crate::stdout::say;

pub(crate) fn run(shell: Shell) -> anyhow::Result<Ended> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // Generating into memory: a writer that fails would end the process in the middle.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    say!("{}", String::from_utf8_lossy(&text).trim_end());
    Ok(Ended::Done)
}
