//! What batches would mean if the kernel took them in order, by interpretation: for tests, and only in them.
//! Refuses what the kernel would refuse.

use schema::Mode;

use super::Batch;
use super::ipset::Ipset;
use super::iptables::Iptables;
use super::ipvs::Ipvs;
use super::nftables::Nftables;
use crate::relation::Relation;

/// A mode whose batches can be interpreted.
pub(super) trait Meaning {
    /// What the batches mean, carried out in order on an untouched kernel.
    ///
    /// # Errors
    /// The refused line or operation.
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String>;
}

/// The same of any mode.
pub(super) fn meaning(mode: Mode, batches: &[Batch]) -> Result<Relation, String> {
    match mode {
        Mode::None => Ok(Relation::default()),
        Mode::Conntrack | Mode::IptablesLegacy | Mode::IptablesNft => {
            Iptables::legacy().meaning(batches)
        }
        Mode::Ipset => Ipset::new(Default::default()).meaning(batches),
        Mode::Ipvs => Ipvs::default().meaning(batches),
        Mode::Nftables => Nftables.meaning(batches),
    }
}
