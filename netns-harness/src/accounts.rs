//! Named counters of nfnetlink_acct, by which kube-proxy counts packets for its metrics in mode iptables where the kernel has
//! them (`NewProxier` and `syncProxyRules` of pkg/proxy/iptables/proxier.go, pkg/proxy/util/nfacct; the same from 1.32 to
//! 1.37).
//!
//! A rule names one (`-m nfacct --nfacct-name NAME`), which must be there before. They end with their network namespace:
//! kube-proxy too leaves them where they are.

use netlink::{Attributes, Error, Socket, flags, text, write};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::HarnessError;

/// Of packets that KUBE-FORWARD drops because connection tracking takes them for invalid.
pub(crate) const INVALID: &str = "ct_state_invalid_dropped_pkts";
/// Of packets to node ports of 127.0.0.0/8.
pub(crate) const LOCALHOST: &str = "localhost_nps_accepted_pkts";
/// Those that kube-proxy makes, for services of either family.
pub(crate) const NAMES: [&str; 2] = [INVALID, LOCALHOST];

/// `struct nfgenmsg`: family, version, resource.
const HEADER: [u8; 4] = [libc::AF_UNSPEC as u8, 0, 0, 0];
/// `NFNL_MSG_ACCT_NEW` and `NFNL_MSG_ACCT_GET` of `NFNL_SUBSYS_ACCT`, and `NFACCT_NAME`
/// (include/uapi/linux/netfilter/nfnetlink_acct.h).
const NEW: u16 = 7 << 8;
const GET: u16 = NEW | 1;
const NAME: u16 = 1;
/// With which kube-proxy makes one.
const CREATING: u16 = flags::CREATE | flags::ACK;

/// A message on the counter of that name, or on all.
fn message(kind: u16, flags: u16, name: Option<&str>, sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, kind, flags, sequence, &HEADER, |out| {
        name.into_iter().for_each(|name| text(out, NAME, name));
    });
    out
}

fn open() -> Result<Socket, Error> {
    Socket::open(SockProtocol::NetlinkNetFilter, HEADER.len())
}

fn ask(kind: u16, flags: u16, name: &str) -> Result<(), Error> {
    let request = |sequence| message(kind, flags, Some(name), sequence);
    open()?.ask("a counter of nfnetlink_acct", request, |_, _| Ok(()))
}

/// Whether the kernel has them: kube-proxy asks for one, which may be there or not (`New` in pkg/proxy/util/nfacct).
#[must_use]
pub fn available() -> bool {
    match ask(GET, 0, INVALID) {
        Ok(()) => true,
        Err(error) => error.errno() == Some(Errno::ENOENT),
    }
}

/// Makes those that are not there yet in the calling thread's network namespace, with a message each, and says how many
/// these were; kube-proxy asks for each before that (`Ensure`).
///
/// # Errors
/// The kernel has none, or refused.
pub fn make() -> Result<u64, HarnessError> {
    for name in NAMES {
        match ask(NEW, CREATING, name) {
            // There already (`nfnl_acct_new` in net/netfilter/nfnetlink_acct.c).
            Err(error) if error.errno() == Some(Errno::EBUSY) => {}
            done => done.map_err(HarnessError::netlink("make a counter of nfnetlink_acct"))?,
        }
    }
    Ok(NAMES.len() as u64)
}

/// Names of all in the calling thread's network namespace, in their order.
///
/// # Errors
/// The kernel has none, or refused.
pub fn listed() -> Result<Vec<String>, HarnessError> {
    const WHAT: &str = "counters of nfnetlink_acct";
    let request = |sequence| message(GET, flags::DUMP, None, sequence);
    let name = |_: &[u8], counter: Attributes<'_>| Ok(counter.text(NAME).map(str::to_owned));
    let listed = open().and_then(|mut socket| socket.list(WHAT, request, name));
    let mut names = listed.map_err(HarnessError::netlink("list counters of nfnetlink_acct"))?;
    names.sort();
    Ok(names)
}
