//! Three questions to the kernel that need neither a tool nor a library: one small request each, and the
//! answer's error number or one attribute.

use std::io;

use netlink::{Attributes, Error, Socket, attribute, generic, text, write};
use netns_sys::x_tables::Extension;
use nix::sys::socket::SockProtocol;
use schema::Family;

/// `NFNL_SUBSYS_IPSET`, `IPSET_CMD_TYPE` (include/uapi/linux/netfilter/ipset/ip_set.h).
const IPSET_TYPE: u16 = (6 << 8) | 13;
/// `NFNL_SUBSYS_NFT_COMPAT`, `NFNL_MSG_COMPAT_GET` (include/uapi/linux/netfilter/nf_tables_compat.h).
const COMPAT_GET: u16 = 11 << 8;

/// As netfilter has it: `NFPROTO_IPV4`, `NFPROTO_IPV6` are these.
const fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => libc::AF_INET as u8,
        Family::Ipv6 => libc::AF_INET6 as u8,
    }
}

/// Newest revision that the kernel has of a set type for a family.
///
/// # Errors
/// The kernel's answer: no ip_set, no such type, or not permitted.
pub(super) fn newest_set_revision(family: Family, type_name: &str) -> io::Result<u8> {
    const PROTOCOL: (u16, u8) = (1, 6);
    const TYPE_NAME: u16 = 3;
    const REVISION: u16 = 4;
    const FAMILY: u16 = 5;
    let mut revision = None;
    let attributes = |out: &mut Vec<u8>| {
        attribute(out, PROTOCOL.0, &[PROTOCOL.1]);
        text(out, TYPE_NAME, type_name);
        attribute(out, FAMILY, &[number(family)]);
    };
    netfilter(family, IPSET_TYPE, attributes, |answer| {
        revision = answer.exact::<1>(REVISION);
    })?;
    let [revision] =
        revision.ok_or_else(|| io::Error::other("ip_set answered without a revision"))?;
    Ok(revision)
}

/// Whether nft_compat knows an extension of x_tables for a family in that revision or a newer one.
///
/// # Errors
/// The kernel's answer: no nft_compat, no such extension, or not permitted.
pub(super) fn compat(family: Family, kind: Extension, name: &str, revision: u8) -> io::Result<()> {
    let target = u32::from(kind == Extension::Target);
    let attributes = |out: &mut Vec<u8>| {
        text(out, 1, name);
        attribute(out, 2, &u32::from(revision).to_be_bytes());
        attribute(out, 3, &target.to_be_bytes());
    };
    Ok(netfilter(family, COMPAT_GET, attributes, |_| {})?)
}

/// Whether a family of generic netlink is there.
///
/// # Errors
/// `ENOENT` when it is not.
pub(super) fn generic_family(name: &'static str) -> io::Result<()> {
    let mut socket = Socket::open(SockProtocol::NetlinkGeneric, generic::HEADER)?;
    generic::family(&mut socket, name)?;
    Ok(())
}

/// Asks netfilter; the answer's attributes go to `take`.
fn netfilter(
    family: Family,
    kind: u16,
    attributes: impl FnOnce(&mut Vec<u8>),
    mut take: impl FnMut(Attributes<'_>),
) -> Result<(), Error> {
    // `struct nfgenmsg`: family, version, resource.
    let header = [number(family), 0, 0, 0];
    let request = |sequence| {
        let mut out = Vec::new();
        write(&mut out, kind, 0, sequence, &header, attributes);
        out
    };
    Socket::open(SockProtocol::NetlinkNetFilter, header.len())?.ask(
        "netfilter",
        request,
        |_, answer| {
            take(answer);
            Ok(())
        },
    )
}
