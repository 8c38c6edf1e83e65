//! `completions`: what a shell needs to complete our verbs, options and their values.

use clap::{Args, CommandFactory as _};

use super::Cli;
use crate::exit::Ended;
use crate::stdout::say;

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell's.
    pub(crate) shell: clap_complete::Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Ended> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // Generating into memory: a writer that fails would end the process in the middle.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    say!("{}", String::from_utf8_lossy(&text).trim_end());
    Ok(Ended::Done)
}
