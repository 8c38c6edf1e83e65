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
pub(crate) mod way;

pub(crate) use text::RestoreText;

pub(crate) use schema::Engine;

/// Services a transaction that `iptables-nft-restore` loads fastest, within 200 to 700. For each line the
/// tool walks a sorted list of the chains that the transaction names (`cache_chain_list_insert`, iptables
/// 1.8.9), which grows with the square of the chunk; the kernel walks the whole table once a commit
/// (`nft_table_validate`), which grows with the number of chunks.
pub(crate) const NFT_PREPARATION_CHUNK: usize = 500;

/// The program that lists an engine's rules.
#[must_use]
pub(crate) const fn save(engine: Engine) -> &'static str {
    tools(engine)[1].0
}

/// Tools of an engine, each with the Debian package that brings it.
#[must_use]
pub(crate) const fn tools(engine: Engine) -> &'static [(&'static str, &'static str)] {
    match engine {
        Engine::Legacy => &[
            ("iptables-legacy-restore", "iptables"),
            ("iptables-legacy-save", "iptables"),
            ("iptables-legacy", "iptables"),
        ],
        Engine::Nft => &[
            ("iptables-nft-restore", "iptables"),
            ("iptables-nft-save", "iptables"),
            ("iptables-nft", "iptables"),
        ],
    }
}
