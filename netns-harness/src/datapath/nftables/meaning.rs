//! Batches interpreted: a ruleset as it would be, refusing what nf_tables would refuse.

use model::Ruleset;
use nft_codec::parse_script;

use super::{Nftables, layout, step, trace};
use crate::datapath::Batch;
use crate::datapath::meaning::Meaning;
use crate::relation::Relation;

impl Meaning for Nftables {
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        let mut kernel = Ruleset::default();
        for step in batches.iter().flat_map(|batch| &batch.steps) {
            if let Some(transaction) = step.as_a::<step::Transaction>() {
                kernel.interpret(transaction.batch.ops())?;
            } else if let Some(script) = step.as_a::<step::Script>() {
                kernel.interpret(&parse_script(&script.text)?)?;
            } else {
                return Err("a step of another mode in a batch of nftables".to_owned());
            }
        }
        let layout = self.layout();
        let table = kernel.table(layout.family, layout::TABLE);
        trace::relation(layout, table)
    }
}
