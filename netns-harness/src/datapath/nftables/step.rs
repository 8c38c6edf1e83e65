//! A transaction of nf_tables: netlink messages of our own, or input of `nft -f`.

use std::fmt;

use nft_codec::{Act, EncodedBatch, Name, Op, TableFamily, script};

use super::ENCODABLE;
use crate::datapath::step::Step;
use crate::datapath::steps::{Input, Tool};
use crate::sockets::{Socket, Sockets};
use crate::{HarnessError, tools};

/// Netlink messages, with the typed operations they were encoded from.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Its place in the batch, from 1.
    number: usize,
    pub(super) batch: EncodedBatch,
}

impl Transaction {
    /// Encoded; `untimed`: with anonymous maps numbered by us.
    pub(crate) fn new(number: usize, ops: Vec<Op>, untimed: bool) -> Self {
        let encoded = match untimed {
            // 16 bits for the numbers of one transaction's sets.
            true => EncodedBatch::encode_numbered(ops, (number as u32 - 1) << 16),
            false => EncodedBatch::encode(ops),
        };
        Self {
            number,
            batch: encoded.expect(ENCODABLE),
        }
    }
}

/// A table that is made and deleted in one transaction: afterwards nothing is there that was not.
pub(in crate::datapath) fn made_and_deleted() -> impl Step {
    let table = Name::new("bench-empty-update");
    let op = |act| Op {
        family: TableFamily::Ip,
        table: table.clone(),
        act,
    };
    let ops = vec![op(Act::AddTable(None)), op(Act::DeleteTable)];
    Transaction::new(1, ops, false)
}

impl Step for Transaction {
    fn operations(&self) -> u64 {
        self.batch.ops().len() as u64
    }

    fn messages(&self) -> u64 {
        self.batch.messages()
    }

    fn bytes(&self) -> u64 {
        self.batch.bytes().len() as u64
    }

    fn sockets(&self) -> &'static [Socket] {
        &[Socket::NfTables]
    }

    fn carry_out(&self, sockets: &mut Sockets) -> Result<(), HarnessError> {
        let failed = |source| HarnessError::Netlink {
            act: format!("nftables transaction {}", self.number),
            source,
        };
        sockets.nf_tables()?.send(&self.batch).map_err(failed)
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.batch.script())
    }
}

/// `nft -f -`.
#[derive(Debug)]
pub(crate) struct Nft;

impl Tool for Nft {
    fn read(&self, text: &str) -> Result<(), HarnessError> {
        let mut command = netns_sys::tools::command("nft");
        tools::run(command.args(["-f", "-"]), text).map(drop)
    }
}

pub(crate) type Script = Input<Nft>;

impl Script {
    pub(crate) fn new(ops: &[Op]) -> Self {
        Self::of(Nft, (script(ops), ops.len() as u64))
    }
}
