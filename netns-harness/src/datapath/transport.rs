//! How batches are made and sent.

use schema::Transport;

/// What an update does about chains of its mode that nothing leads to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stale {
    /// Deletes them.
    #[default]
    Deleted,
    /// Leaves those that kube-proxy leaves to a later sync.
    Left,
    /// Is that later sync, of services that lie there already: deletes what the change to them has left.
    Collected,
}

/// How rules are laid out and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// How the batch reaches the kernel.
    pub transport: Transport,
    /// kube-proxy's large-cluster mode: no comments in the rules of endpoints.
    pub large_cluster: bool,
    /// Services a transaction; `None`: all in one.
    pub chunk: Option<usize>,
    /// Whether this is an install that is not timed: a mode may then take a shorter way to the same
    /// rules, which the census sees.
    pub untimed: bool,
    /// Whether everything is written again, as kube-proxy's periodic full sync does; with `from: Some`.
    pub resync: bool,
    /// What becomes of stale chains; with `from: Some`.
    pub stale: Stale,
    /// Whether sets have room for more entries than kube-proxy makes them for.
    pub raised: bool,
}

impl RenderOptions {
    /// An ordinary timed change by that transport: large-cluster layout, all in one transaction.
    #[must_use]
    pub const fn by(transport: Transport) -> Self {
        Self {
            transport,
            large_cluster: true,
            chunk: None,
            untimed: false,
            resync: false,
            stale: Stale::Deleted,
            raised: false,
        }
    }
}
