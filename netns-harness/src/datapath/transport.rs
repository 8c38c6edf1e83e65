//! How batches are made and sent.

use schema::Transport;

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
        }
    }
}
