//! Rules of x_tables, whoever made them: text for `iptables-restore`, tables read from `iptables-save`, the
//! tools of both engines, a tracer of packets, and what must not stand beside a mode's rules. Knows no mode.

mod allocated;
#[cfg(test)]
mod commands;
pub(crate) mod fixed;
pub(crate) mod foreign;
pub(crate) mod rule;
pub(crate) mod tables;
mod text;
pub(crate) mod tool;
pub(crate) mod trace;

pub(crate) use text::RestoreText;

/// Services a transaction that `iptables-nft-restore` loads fastest, within 200 to 700. For each line the
/// tool walks a sorted list of the chains that the transaction names (`cache_chain_list_insert`, iptables
/// 1.8.9), which grows with the square of the chunk; the kernel walks the whole table once a commit
/// (`nft_table_validate`), which grows with the number of chunks.
pub(crate) const NFT_PREPARATION_CHUNK: usize = 500;

/// Which x_tables engine a mode's iptables rules go through, where both would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Engine {
    /// `iptables-legacy`: one table, replaced as a whole.
    #[default]
    Legacy,
    /// `iptables-nft`: nf_tables rules that call x_tables matches.
    Nft,
}

impl Engine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Nft];

    /// The name in options and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Nft => "nft",
        }
    }

    /// Its tools, each with the Debian package that brings it.
    #[must_use]
    pub const fn tools(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Legacy => &[
                ("iptables-legacy-restore", "iptables"),
                ("iptables-legacy-save", "iptables"),
                ("iptables-legacy", "iptables"),
            ],
            Self::Nft => &[
                ("iptables-nft-restore", "iptables"),
                ("iptables-nft-save", "iptables"),
                ("iptables-nft", "iptables"),
            ],
        }
    }

    /// The engine of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }
}
