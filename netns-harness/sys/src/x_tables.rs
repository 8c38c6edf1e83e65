//! What the legacy x_tables engine says of a table (`include/uapi/linux/netfilter_ipv4/ip_tables.h`).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// `IPT_SO_GET_INFO`: `IPT_BASE_CTL`.
const GET_INFO: libc::c_int = 64;
/// `XT_TABLE_MAXNAMELEN`.
const NAME: usize = 32;
/// `NF_INET_NUMHOOKS`.
const HOOKS: usize = 5;

/// `struct ipt_getinfo`.
#[repr(C)]
struct GetInfo {
    name: [u8; NAME],
    valid_hooks: libc::c_uint,
    hook_entry: [libc::c_uint; HOOKS],
    underflow: [libc::c_uint; HOOKS],
    entries: libc::c_uint,
    size: libc::c_uint,
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableInfo {
    /// Entries: rules, a policy for each built-in chain, a head for each other chain, and an end.
    pub entries: u32,
    /// Size of the blob that holds them, bytes: one copy for all CPUs, counters apart
    /// (`net/ipv4/netfilter/ip_tables.c`, `get_info`).
    pub size_bytes: u32,
}

/// Asks for a table of the calling thread's network namespace. Asking makes the table if it is not there.
///
/// # Errors
/// `socket(2)`, `getsockopt(2)`: no such table (`ENOENT`), no CAP_NET_ADMIN (`EPERM`), no such engine
/// (`ENOPROTOOPT`).
pub fn table_info(table: &str) -> io::Result<TableInfo> {
    if table.len() >= NAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        // IPPROTO_RAW, as iptables opens it.
        SockProtocol::Raw,
    )?;
    let mut info = GetInfo {
        name: [0; NAME],
        valid_hooks: 0,
        hook_entry: [0; HOOKS],
        underflow: [0; HOOKS],
        entries: 0,
        size: 0,
    };
    info.name[..table.len()].copy_from_slice(table.as_bytes());
    let mut length = size_of::<GetInfo>() as libc::socklen_t;
    // SAFETY: `info` is a live, writable value of the struct that this option fills, of which every byte
    // pattern is valid, and `length` is its size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            GET_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    Ok(TableInfo {
        entries: info.entries,
        size_bytes: info.size,
    })
}
