//! What is sent to go from one population to another: rendered, printable and counted before any clock starts.

use std::fmt;

use super::ipvs;
use crate::HarnessError;

/// What will be sent, rendered and counted before any clock starts.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Carried out in order; each is atomic in the kernel or its tool.
    pub transactions: Vec<Transaction>,
}

/// One atomic step of a batch.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Rules, chains, sets and elements named.
    pub operations: u64,
    /// Netlink messages of our own (0 for tools).
    pub messages: u64,
    /// What is sent.
    pub payload: Payload,
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Standard input of an `iptables-restore`.
    Restore(String),
    /// Standard input of `nft -f -`.
    NftScript(String),
    /// Netlink messages, with the typed operations they were encoded from.
    Nftables(nft_codec::EncodedBatch),
    /// Commands on sets, through libipset.
    Sets(Vec<ipset_sys::Command>),
    /// Standard input of `ipset restore`.
    SetScript(String),
    /// Command lines, one process each, in order.
    Commands(Vec<Vec<String>>),
    /// Virtual servers and what belongs to them.
    Ipvs(ipvs::Part),
}

impl Payload {
    /// Bytes handed over.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Restore(text) | Self::NftScript(text) | Self::SetScript(text) => {
                text.len() as u64
            }
            Self::Sets(commands) => ipset_sys::bytes(commands),
            Self::Nftables(batch) => batch.bytes().len() as u64,
            Self::Ipvs(part) => part.bytes(),
            // As execve(2) hands them over: every word with its closing NUL.
            Self::Commands(lines) => lines.iter().flatten().map(|w| w.len() as u64 + 1).sum(),
        }
    }
}

impl Batch {
    /// Rules, chains, sets and elements named, over all transactions.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.transactions.iter().map(|t| t.operations).sum()
    }

    /// Netlink messages of our own, over all transactions.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.transactions.iter().map(|t| t.messages).sum()
    }

    /// Bytes handed over, over all transactions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.transactions.iter().map(|t| t.payload.bytes()).sum()
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for transaction in &self.transactions {
            match &transaction.payload {
                Payload::Restore(text) | Payload::NftScript(text) | Payload::SetScript(text) => {
                    f.write_str(text)?;
                }
                Payload::Sets(commands) => f.write_str(&ipset_sys::restore_script(commands))?,
                Payload::Nftables(batch) => f.write_str(&batch.script())?,
                Payload::Ipvs(part) => write!(f, "{part}")?,
                Payload::Commands(lines) => {
                    for words in lines {
                        writeln!(f, "{}", words.join(" "))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The error of a mode that is handed what another one renders.
pub(super) fn foreign_payload(what: &'static str) -> HarnessError {
    HarnessError::Listing {
        what,
        text: "a payload of another mode".to_owned(),
    }
}
