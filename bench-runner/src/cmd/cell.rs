//! `cell`: one question or stay, from standard input, in a process tree of its own.

use crate::exit::Ended;
use crate::isolate::cell;

pub(crate) fn run(init: bool) -> anyhow::Result<Ended> {
    match init {
        true => cell::inner(),
        false => cell::outer(),
    }
}
