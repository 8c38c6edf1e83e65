//! Which stays of different variants are compared with each other: they lie side by side in every block, so that
//! a slow phase of the machine hits both.

use std::collections::{BTreeMap, HashMap};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use scenarios::Needs;
use schema::{Mix, Mode, NodeKind, OptionKey, ScenarioKind};

use super::{CONTROL, PlannedStay};

/// What stays that are compared have in common. What variants may differ in is not here: the size counts by its
/// rank, and ways of programming a mode, like environments, by their order (`nth`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    mode: Mode,
    node: NodeKind,
    mix: Mix,
    size: Option<usize>,
    control: bool,
    /// Of a stay of one cell: scenario, and services a transaction.
    alone: Option<(ScenarioKind, Option<String>)>,
    nth: usize,
}

/// Numbers pairs from 0 in the order in which they are first met.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    known: HashMap<Kind, usize>,
}

impl Pairs {
    /// Gives each stay of a variant its pair; `sizes` are the variant's, ascending.
    pub(super) fn assign(&mut self, stays: &mut [PlannedStay], sizes: &[u32]) {
        let mut met: HashMap<Kind, usize> = HashMap::new();
        for stay in stays {
            let mut kind = kind(stay, sizes);
            let count = met.entry(kind.clone()).or_default();
            kind.nth = *count;
            *count += 1;
            let next = self.known.len();
            stay.pair = *self.known.entry(kind).or_insert(next);
        }
    }
}

fn kind(stay: &PlannedStay, sizes: &[u32]) -> Kind {
    let spec = &stay.spec;
    let alone = match spec.cells.as_slice() {
        [cell] if scenarios::scenario(cell.scenario).needs() != Needs::Served => Some((
            cell.scenario,
            cell.options.get(OptionKey::Chunk).map(str::to_owned),
        )),
        _ => None,
    };
    Kind {
        mode: spec.mode,
        node: spec.node(),
        mix: spec.mix.clone(),
        size: sizes.iter().position(|size| *size == spec.services),
        control: spec.variant == CONTROL,
        alone,
        nth: 0,
    }
}

/// The stays as pairs, in the order of their numbers.
pub(super) fn grouped(stays: &[PlannedStay]) -> Vec<Vec<PlannedStay>> {
    let mut pairs: BTreeMap<usize, Vec<PlannedStay>> = BTreeMap::new();
    for stay in stays {
        pairs.entry(stay.pair).or_default().push(stay.clone());
    }
    pairs.into_values().collect()
}

/// Puts the stays of a pair into the order of a block: drawn by the seed, and turned round in the next block, so
/// that each is as often first as last.
pub(super) fn order(pair: &mut [PlannedStay], seed: u64, block: u32) {
    let Some(number) = pair.first().map(|stay| stay.pair as u64) else {
        return;
    };
    let drawn = seed ^ (number << 32) ^ u64::from(block / 2) ^ 0x7061_6972;
    pair.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(drawn));
    if block % 2 == 1 {
        pair.reverse();
    }
}
