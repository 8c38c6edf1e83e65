//! What batches would mean if the kernel took them in order, by interpretation: for tests, and only in them.
//! Refuses what the kernel would refuse.

use super::Batch;
use crate::relation::Relation;

/// A mode whose batches can be interpreted: every mode, in tests.
pub trait Meaning {
    /// What the batches mean, carried out in order on an untouched kernel.
    ///
    /// # Errors
    /// The refused line or operation.
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String>;
}

impl Meaning for super::none::NoDatapath {
    fn meaning(&self, _batches: &[Batch]) -> Result<Relation, String> {
        Ok(Relation::default())
    }
}
