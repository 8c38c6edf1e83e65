//! Netlink sockets that a change needs, opened before the clock starts and closed after it has stopped:
//! kube-proxy keeps its own open from one sync to the next, and closing one can wait for the kernel
//! (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c waits for what was replaced to be destroyed).

use std::collections::BTreeSet;

use ipset_sys::Session;
use ipvs_codec::{Connection as Servers, Links};
use nft_codec::Connection as NfTables;

use crate::HarnessError;
use crate::tracking::{Cleaned, Serving, Tracking};

/// A kind of socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Socket {
    /// To nf_tables.
    NfTables,
    /// libipset's, with what it knows of the kernel's set types.
    Sets,
    /// To IPVS.
    Servers,
    /// To route netlink.
    Links,
    /// To connection tracking.
    Tracking,
}

/// Open sockets of one network namespace, that of the thread that opened them. What is asked for and not open
/// yet is opened then.
#[derive(Debug, Default)]
pub struct Sockets {
    nf_tables: Option<NfTables>,
    sets: Option<Session>,
    servers: Option<Servers>,
    links: Option<Links>,
    tracking: Option<Tracking>,
}

impl Sockets {
    /// Those of these kinds, with room for a transaction of nf_tables of so many bytes.
    ///
    /// # Errors
    /// The kernel has no such protocol, or does not let this process speak it.
    pub(crate) fn with_room(
        kinds: impl IntoIterator<Item = Socket>,
        bytes: usize,
    ) -> Result<Self, HarnessError> {
        let mut sockets = Self::open(kinds)?;
        if let Some(connection) = &mut sockets.nf_tables {
            connection.make_room(bytes);
        }
        Ok(sockets)
    }

    /// Those of these kinds.
    ///
    /// # Errors
    /// The kernel has no such protocol, or does not let this process speak it.
    pub fn open(kinds: impl IntoIterator<Item = Socket>) -> Result<Self, HarnessError> {
        let mut sockets = Self::default();
        for kind in kinds {
            sockets.open_one(kind)?;
        }
        Ok(sockets)
    }

    /// Those of these kinds that this kernel has: for a removal, which says itself what it cannot do.
    #[must_use]
    pub fn available(kinds: &[Socket]) -> Self {
        let mut sockets = Self::default();
        for kind in kinds {
            let _told_later = sockets.open_one(*kind);
        }
        sockets
    }

    fn open_one(&mut self, kind: Socket) -> Result<(), HarnessError> {
        match kind {
            Socket::NfTables => self.nf_tables().map(drop),
            Socket::Sets => self.sets().map(drop),
            Socket::Servers => self.servers().map(drop),
            Socket::Links => self.links().map(drop),
            Socket::Tracking => self.tracking().map(drop),
        }
    }

    /// Which are open.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Socket> {
        [
            (Socket::NfTables, self.nf_tables.is_some()),
            (Socket::Sets, self.sets.is_some()),
            (Socket::Servers, self.servers.is_some()),
            (Socket::Links, self.links.is_some()),
            (Socket::Tracking, self.tracking.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, open)| open.then_some(kind))
        .collect()
    }

    pub(crate) fn nf_tables(&mut self) -> Result<&mut NfTables, HarnessError> {
        kept(&mut self.nf_tables, || {
            NfTables::open().map_err(HarnessError::netlink("reach nf_tables"))
        })
    }

    pub(crate) fn sets(&mut self) -> Result<&mut Session, HarnessError> {
        kept(&mut self.sets, || {
            Session::open().map_err(HarnessError::ipset("reach ip_set"))
        })
    }

    pub(crate) fn servers(&mut self) -> Result<&mut Servers, HarnessError> {
        kept(&mut self.servers, || {
            Servers::open().map_err(HarnessError::netlink("reach IPVS"))
        })
    }

    pub(crate) fn links(&mut self) -> Result<&mut Links, HarnessError> {
        kept(&mut self.links, || {
            Links::open().map_err(HarnessError::netlink("reach route netlink"))
        })
    }

    /// Deletes flows to services whose endpoint has left, as kube-proxy does after a sync.
    ///
    /// # Errors
    /// The kernel tracks no connections, or refused.
    pub fn clean_tracked(&mut self, serving: &Serving) -> Result<Cleaned, HarnessError> {
        self.tracking()?.clean(serving)
    }

    fn tracking(&mut self) -> Result<&mut Tracking, HarnessError> {
        kept(&mut self.tracking, Tracking::open)
    }
}

fn kept<T>(
    place: &mut Option<T>,
    open: impl FnOnce() -> Result<T, HarnessError>,
) -> Result<&mut T, HarnessError> {
    match place {
        Some(socket) => Ok(socket),
        none => Ok(none.insert(open()?)),
    }
}
