//! The kernel as tests imagine it: interprets what the codecs send, and refuses what the kernel refuses. Each
//! is held against the running kernel (`nft-codec/tests/fake.rs`, `ipvs-codec/tests/kernel.rs`). For tests only:
//! nothing that is shipped depends on this crate.
//!
//! ```
//! use model::Ruleset;
//! use nft_codec::parse_script;
//!
//! let mut kernel = Ruleset::default();
//! let refused = kernel.apply(&parse_script("add table ip t\nadd rule ip t c drop\n")?);
//! assert_eq!(refused, Err("add rule ip t c drop: no chain c (ENOENT)".to_owned()));
//! # Ok::<(), String>(())
//! ```

mod asked;
mod ipvs;
mod nft;

pub use asked::{parse_ipvsadm, requests};
pub use ipvs::Servers;
pub use nft::Ruleset;
