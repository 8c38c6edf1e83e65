//! Three questions to the kernel that need neither a tool nor a library: one small request each, and the
//! answer's error number or one attribute.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use netns_sys::x_tables::Extension;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::TimeVal;

/// `NFNL_SUBSYS_IPSET`, `IPSET_CMD_TYPE` (include/uapi/linux/netfilter/ipset/ip_set.h).
const IPSET_TYPE: u16 = (6 << 8) | 13;
/// `NFNL_SUBSYS_NFT_COMPAT`, `NFNL_MSG_COMPAT_GET` (include/uapi/linux/netfilter/nf_tables_compat.h).
const COMPAT_GET: u16 = 11 << 8;
/// `GENL_ID_CTRL` (include/uapi/linux/genetlink.h).
const CONTROLLER: u16 = 0x10;

const HEADER: usize = 16;
/// `struct nfgenmsg`, and `struct genlmsghdr`.
const FAMILY_HEADER: usize = 4;

/// Newest revision that the kernel has of a set type for IPv4.
///
/// # Errors
/// The kernel's answer: no ip_set, no such type, or not permitted.
pub(super) fn newest_set_revision(type_name: &str) -> io::Result<u8> {
    const PROTOCOL: (u16, u8) = (1, 6);
    const TYPE_NAME: u16 = 3;
    const REVISION: u16 = 4;
    const FAMILY: u16 = 5;
    let mut request = Request::new(IPSET_TYPE, [libc::AF_INET as u8, 0, 0, 0]);
    request.attribute(PROTOCOL.0, &[PROTOCOL.1]);
    request.attribute(TYPE_NAME, &named(type_name));
    request.attribute(FAMILY, &[libc::AF_INET as u8]);
    let answer = request.ask(SockProtocol::NetlinkNetFilter)?;
    let revision = attribute(&answer, REVISION).and_then(|value| value.first().copied());
    revision.ok_or_else(|| io::Error::other("ip_set answered without a revision"))
}

/// Whether nft_compat knows an extension of x_tables for IPv4 in that revision or a newer one.
///
/// # Errors
/// The kernel's answer: no nft_compat, no such extension, or not permitted.
pub(super) fn compat(kind: Extension, name: &str, revision: u8) -> io::Result<()> {
    let target = u32::from(kind == Extension::Target);
    let mut request = Request::new(COMPAT_GET, [libc::AF_INET as u8, 0, 0, 0]);
    request.attribute(1, &named(name));
    request.attribute(2, &u32::from(revision).to_be_bytes());
    request.attribute(3, &target.to_be_bytes());
    request.ask(SockProtocol::NetlinkNetFilter).map(drop)
}

/// Whether a family of generic netlink is there.
///
/// # Errors
/// `ENOENT` when it is not.
pub(super) fn generic_family(name: &str) -> io::Result<()> {
    const GET_FAMILY: u8 = 3;
    const FAMILY_NAME: u16 = 2;
    let mut request = Request::new(CONTROLLER, [GET_FAMILY, 1, 0, 0]);
    request.attribute(FAMILY_NAME, &named(name));
    request.ask(SockProtocol::NetlinkGeneric).map(drop)
}

fn named(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// One netlink message.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, family_header: [u8; FAMILY_HEADER]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend(family_header);
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Sends it and returns the attributes of the one answer.
    fn ask(mut self, protocol: SockProtocol) -> io::Result<Vec<u8>> {
        const SECONDS: i64 = 5;
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        let socket: OwnedFd = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )?;
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(SECONDS, 0))?;
        let kernel = NetlinkAddr::new(0, 0);
        socket::sendto(socket.as_raw_fd(), &self.0, &kernel, MsgFlags::empty())?;
        let mut buffer = vec![0; 8 << 10];
        let received = socket::recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        buffer.truncate(received);
        attributes_of(buffer)
    }
}

/// The attributes of an answer, or the error that it is.
fn attributes_of(mut answer: Vec<u8>) -> io::Result<Vec<u8>> {
    let word = |at: usize| -> Option<[u8; 4]> { answer.get(at..at + 4)?.try_into().ok() };
    let torn = || io::Error::other("a torn netlink answer");
    let kind = word(4).ok_or_else(torn)?;
    if u16::from_ne_bytes([kind[0], kind[1]]) == libc::NLMSG_ERROR as u16 {
        let number = i32::from_ne_bytes(word(HEADER).ok_or_else(torn)?);
        return Err(io::Error::from_raw_os_error(-number));
    }
    if answer.len() < HEADER + FAMILY_HEADER {
        return Err(torn());
    }
    Ok(answer.split_off(HEADER + FAMILY_HEADER))
}

/// The value of an attribute.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const FLAGS: u16 = 0xc000;
    while let [l0, l1, k0, k1, ..] = *attributes {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]) & !FLAGS;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_of_a_request_are_found_again_and_an_error_is_an_error() {
        let mut request = Request::new(IPSET_TYPE, [0; 4]);
        request.attribute(1, &[6]);
        request.attribute(3, b"hash:ip,port\0");
        let attributes = attributes_of(request.0).unwrap();
        assert_eq!(
            attribute(&attributes, 3),
            Some(b"hash:ip,port\0".as_slice())
        );
        assert_eq!(attribute(&attributes, 4), None);
        let mut refusal = Request::new(libc::NLMSG_ERROR as u16, [0; 4]).0;
        refusal[HEADER..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        assert_eq!(
            attributes_of(refusal).unwrap_err().raw_os_error(),
            Some(libc::ENOENT)
        );
    }
}
