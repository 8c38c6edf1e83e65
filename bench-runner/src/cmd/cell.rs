//! `cell`: one question or stay, from standard input, in a process tree of its own.

use clap::Args;

use crate::exit::Ended;
use crate::isolate::cell;

/// Options of `cell`.
#[derive(Debug, Args)]
pub(crate) struct CellArgs {
    /// Internal: this process is the init of the stay's PID namespace.
    #[arg(long, hide = true)]
    pub(crate) init: bool,
}

pub(crate) fn run(args: &CellArgs) -> anyhow::Result<Ended> {
    if args.init {
        cell::inner()
    } else {
        cell::outer()
    }
}
