//! A table as the kernel executes it: expressions on registers, whatever layout they make.
//!
//! [`crate::Table`] knows the statements of one layout and compares; a [`Program`] knows the kernel's
//! expressions and runs them on the first packet of a flow, so that rules of any origin can be proved by
//! what they do. Registers hold the bytes that the kernel's would, except that a drawn number makes as
//! many packets as it has values, each with its share. What is not known ends the run with its name and
//! chain.

mod destinations;
mod instruction;
mod listing;
mod packet;
mod run;
mod set;

use std::collections::HashMap;

pub use packet::{Flow, Treatment};
pub use run::Stuck;

use crate::family::TableFamily;
use crate::names::Name;
use crate::ops::BaseChain;
use instruction::Instruction;
use set::Set;

/// A table's chains and sets, ready to be run.
#[derive(Debug, Default)]
pub struct Program {
    /// Which packets it sees.
    family: TableFamily,
    chains: HashMap<Name, Code>,
    /// Names of the base chains: few among many.
    hooked: Vec<Name>,
    sets: HashMap<String, Set>,
}

/// A chain's rules.
#[derive(Debug, Default)]
struct Code {
    base: Option<BaseChain>,
    rules: Vec<Vec<Instruction>>,
}
