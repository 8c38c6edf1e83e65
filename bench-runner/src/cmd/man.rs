//! `man`: the manual page, in roff.

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::Cli;
use crate::exit::{Ended, Usage};
use crate::stdout::say;

pub(crate) fn run(verb: Option<&str>) -> anyhow::Result<Ended> {
    let program = Cli::command();
    let command = match verb {
        None => program,
        Some(verb) => page_of(program, verb)?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .context("write the manual page")?;
    say!("{}", String::from_utf8_lossy(&text).trim_end());
    Ok(Ended::Done)
}

fn page_of(mut program: clap::Command, verb: &str) -> Result<clap::Command, Usage> {
    // Fills in what a verb's page says of the program: its name and version.
    program.build();
    let name = format!("{}-{verb}", program.get_name());
    match program.find_subcommand(verb) {
        Some(command) => Ok(command.clone().name(name)),
        None => {
            let verbs = program.get_subcommands().map(clap::Command::get_name);
            let verbs: Vec<&str> = verbs.collect();
            Err(Usage(format!(
                "no verb '{verb}' (known: {})",
                verbs.join(", ")
            )))
        }
    }
}
