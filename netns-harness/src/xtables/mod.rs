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

use netns_sys::x_tables;

pub(crate) use netns_sys::x_tables::Hook;
pub(crate) use text::RestoreText;

pub(crate) use schema::{Engine, Family};

/// Services a transaction that `iptables-nft-restore` loads fastest, within 200 to 700. For each line the
/// tool walks a sorted list of the chains that the transaction names (`cache_chain_list_insert`, iptables
/// 1.8.9), which grows with the square of the chunk; the kernel walks the whole table once a commit
/// (`nft_table_validate`), which grows with the number of chunks.
pub(crate) const NFT_PREPARATION_CHUNK: usize = 500;

/// The program that lists a family's rules through an engine.
#[must_use]
pub(crate) const fn save(engine: Engine, family: Family) -> &'static str {
    tools(engine, family)[1].0
}

/// Tools of an engine for a family, each with the Debian package that brings it.
#[must_use]
pub(crate) const fn tools(
    engine: Engine,
    family: Family,
) -> &'static [(&'static str, &'static str)] {
    match (engine, family) {
        (Engine::Legacy, Family::Ipv4) => &[
            ("iptables-legacy-restore", "iptables"),
            ("iptables-legacy-save", "iptables"),
            ("iptables-legacy", "iptables"),
        ],
        (Engine::Nft, Family::Ipv4) => &[
            ("iptables-nft-restore", "iptables"),
            ("iptables-nft-save", "iptables"),
            ("iptables-nft", "iptables"),
        ],
        (Engine::Legacy, Family::Ipv6) => &[
            ("ip6tables-legacy-restore", "iptables"),
            ("ip6tables-legacy-save", "iptables"),
            ("ip6tables-legacy", "iptables"),
        ],
        (Engine::Nft, Family::Ipv6) => &[
            ("ip6tables-nft-restore", "iptables"),
            ("ip6tables-nft-save", "iptables"),
            ("ip6tables-nft", "iptables"),
        ],
    }
}

/// A family as the kernel's interface to its tables has it.
pub(crate) const fn of_kernel(family: Family) -> x_tables::Family {
    match family {
        Family::Ipv4 => x_tables::Family::Ipv4,
        Family::Ipv6 => x_tables::Family::Ipv6,
    }
}

/// What the kernel calls its tables for a family.
const fn ip_tables(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip_tables",
        Family::Ipv6 => "ip6_tables",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_of_an_engine_and_a_family_begin_with_their_prefix() {
        for engine in Engine::ALL.iter().copied() {
            for family in Family::ALL.iter().copied() {
                let prefix = tool::prefix_of(engine, family);
                let names = tools(engine, family).iter().map(|(name, _)| *name);
                let wanted = ["-restore", "-save", ""].map(|end| format!("{prefix}{end}"));
                assert!(names.eq(wanted));
                assert_eq!(save(engine, family), format!("{prefix}-save"));
            }
        }
    }
}
