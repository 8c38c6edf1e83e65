//! Batches interpreted: tables as they would be, refusing what tools and kernel would refuse.

use super::{Conntrack, Iptables, layout_check};
use crate::datapath::Batch;
use crate::datapath::meaning::Meaning;
use crate::datapath::steps::{Accounts, Commands, Restore};
use crate::relation::Relation;
use crate::xtables::tables::Tables;
use crate::xtables::way;

impl Meaning for Iptables {
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        let tables = interpreted(batches)?;
        way::relation_beside(&tables, &[], &layout_check::external(&tables))
    }
}

impl Meaning for Conntrack {
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        Iptables::legacy().meaning(batches)
    }
}

/// The tables that batches leave.
///
/// # Errors
/// The line or command that a tool or the kernel would refuse.
pub(super) fn interpreted(batches: &[Batch]) -> Result<Tables, String> {
    let (mut tables, mut accounts) = (Tables::default(), false);
    for step in batches.iter().flat_map(|batch| &batch.steps) {
        // What a rule names must be there (`nfacct_mt_checkentry` in net/netfilter/xt_nfacct.c).
        if !accounts && step.to_string().contains("--nfacct-name") {
            return Err("no such counter of nfnetlink_acct".to_owned());
        }
        if step.as_a::<Accounts>().is_some() {
            accounts = true;
        } else if let Some(restore) = step.as_a::<Restore>() {
            tables.restore(&restore.text)?;
        } else if let Some(Commands(lines)) = step.as_a() {
            lines.iter().try_for_each(|words| tables.command(words))?;
        } else {
            return Err("neither counters nor restore input nor command lines".to_owned());
        }
    }
    Ok(tables)
}
