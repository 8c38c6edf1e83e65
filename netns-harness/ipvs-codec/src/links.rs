//! A dummy device and its addresses over route netlink, many addresses a send.
//!
//! Apart from rtnetlink, which makes a system call for each message and hands it to a task: 10,000
//! addresses would measure that instead of the kernel.

use std::fmt;
use std::net::IpAddr;

use netlink::{
    Attributes, Batch, Error, HEADER, Operation, Socket, attribute, flags, nest, text, write,
};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockProtocol};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

/// `struct ifinfomsg` (include/uapi/linux/rtnetlink.h).
const LINK_HEADER: usize = 16;
/// `struct ifaddrmsg` (include/uapi/linux/if_addr.h); the device's number is its last word.
const ADDRESS_HEADER: usize = 8;
const DEVICE_AT: usize = HEADER + 4;

const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// A device's name, at most 15 bytes (`IFNAMSIZ`).
pub type DeviceName = &'static str;

/// One request to route netlink. Shown as a command line of `ip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOp {
    /// Makes a dummy device, which must not be there (EEXIST). It stays down: its addresses are local all the
    /// same (`fib_add_ifaddr` in net/ipv4/fib_frontend.c).
    AddDummy(DeviceName),
    /// Removes a device, with its addresses.
    DeleteDevice(DeviceName),
    /// Adds an address with the longest prefix, which the device must not have (EEXIST).
    AddAddress(DeviceName, IpAddr),
    /// Removes an address that the device has (else EADDRNOTAVAIL).
    DeleteAddress(DeviceName, IpAddr),
}

impl fmt::Display for LinkOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddDummy(name) => write!(f, "link add {name} type dummy"),
            Self::DeleteDevice(name) => write!(f, "link delete {name}"),
            Self::AddAddress(name, address) => {
                let (_, prefix) = family_and_prefix(*address);
                write!(f, "address add {address}/{prefix} dev {name}")
            }
            Self::DeleteAddress(name, address) => {
                let (_, prefix) = family_and_prefix(*address);
                write!(f, "address delete {address}/{prefix} dev {name}")
            }
        }
    }
}

/// The address family of an address, and the length of its longest prefix.
const fn family_and_prefix(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (libc::AF_INET as u8, 32),
        IpAddr::V6(_) => (libc::AF_INET6 as u8, 128),
    }
}

impl Operation for LinkOp {
    fn encode(&self, sequence: u32, out: &mut Vec<u8>) {
        let mut address = |kind, more, address: IpAddr| {
            let (family, prefix) = family_and_prefix(address);
            let header = [family, prefix, 0, 0, 0, 0, 0, 0];
            write(out, kind, flags::ACK | more, sequence, &header, |out| {
                let mut both = |octets: &[u8]| {
                    attribute(out, IFA_LOCAL, octets);
                    attribute(out, IFA_ADDRESS, octets);
                };
                match address {
                    IpAddr::V4(address) => both(&address.octets()),
                    IpAddr::V6(address) => both(&address.octets()),
                }
            });
        };
        let create = flags::CREATE | flags::EXCLUSIVE;
        match self {
            Self::AddAddress(_, new) => address(RTM_NEWADDR, create, *new),
            Self::DeleteAddress(_, old) => address(RTM_DELADDR, 0, *old),
            Self::AddDummy(name) => {
                let made = flags::ACK | create;
                write(out, RTM_NEWLINK, made, sequence, &[0; LINK_HEADER], |out| {
                    text(out, IFLA_IFNAME, name);
                    nest(out, IFLA_LINKINFO, |out| {
                        text(out, IFLA_INFO_KIND, "dummy");
                    });
                });
            }
            Self::DeleteDevice(name) => {
                write(
                    out,
                    RTM_DELLINK,
                    flags::ACK,
                    sequence,
                    &[0; LINK_HEADER],
                    |out| {
                        text(out, IFLA_IFNAME, name);
                    },
                );
            }
        }
    }
}

impl LinkOp {
    /// The device that an address is added to or removed from.
    const fn device(&self) -> Option<DeviceName> {
        match self {
            Self::AddAddress(name, _) | Self::DeleteAddress(name, _) => Some(name),
            Self::AddDummy(_) | Self::DeleteDevice(_) => None,
        }
    }
}

/// A socket to route netlink. It stays in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Links {
    socket: Socket,
}

impl Links {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn open() -> Result<Self, Error> {
        // Devices and addresses have headers of different sizes; answers are read with the device's.
        Ok(Self {
            socket: Socket::open(SockProtocol::NetlinkRoute, 0)?,
        })
    }

    /// Carries out a batch whose addresses are all of one device, and reads the acknowledgement of each of
    /// its messages. That device is looked up once, so it must be there before: its making is a batch of its
    /// own.
    ///
    /// # Errors
    /// No such device; or the first refused operation: others of the same system call were carried out,
    /// later ones were not sent.
    pub fn send(&mut self, batch: &Batch<LinkOp>) -> Result<(), Error> {
        let device = match batch.ops().iter().find_map(LinkOp::device) {
            None => 0,
            Some(name) => self.device(name)?.ok_or_else(|| Error::System {
                act: format!("look up device {name}"),
                errno: Errno::ENODEV,
            })?,
        };
        self.socket.send(batch, |bytes, at| {
            let kind = u16::from_ne_bytes([bytes[at + 4], bytes[at + 5]]);
            if matches!(kind, RTM_NEWADDR | RTM_DELADDR) {
                let number = &mut bytes[at + DEVICE_AT..at + DEVICE_AT + 4];
                number.copy_from_slice(&device.to_ne_bytes());
            }
        })
    }

    /// A device's number; `None` when there is none of that name.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn device(&mut self, name: DeviceName) -> Result<Option<u32>, Error> {
        const WHAT: &str = "a device";
        let mut index = None;
        let request = |sequence| {
            let mut out = Vec::new();
            write(
                &mut out,
                RTM_GETLINK,
                0,
                sequence,
                &[0; LINK_HEADER],
                |out| {
                    text(out, IFLA_IFNAME, name);
                },
            );
            out
        };
        let asked = self.socket.ask(WHAT, request, |_, all| {
            // struct ifinfomsg: family, type, then the number.
            let number = all.0.get(4..8).and_then(|n| n.first_chunk::<4>());
            let number = number.ok_or(Error::Torn { listing: WHAT })?;
            index = Some(u32::from_ne_bytes(*number));
            Ok(())
        });
        match asked {
            Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(None),
            asked => asked.map(|()| index),
        }
    }

    /// A device's addresses of a family, in the kernel's order, each with its prefix length; none when there is no
    /// such device. Addresses of other devices are listed by the kernel too, and left out here.
    ///
    /// # Errors
    /// The listing failed.
    pub fn addresses(
        &mut self,
        name: DeviceName,
        family: AddressFamily,
    ) -> Result<Vec<(IpAddr, u8)>, Error> {
        self.addresses_of(name, family as u8, family)
    }

    /// The same, asking the kernel for the addresses of every family.
    ///
    /// # Errors
    /// As [`Self::addresses`].
    pub fn addresses_among_all(
        &mut self,
        name: DeviceName,
        family: AddressFamily,
    ) -> Result<Vec<(IpAddr, u8)>, Error> {
        self.addresses_of(name, libc::AF_UNSPEC as u8, family)
    }

    fn addresses_of(
        &mut self,
        name: DeviceName,
        asked: u8,
        family: AddressFamily,
    ) -> Result<Vec<(IpAddr, u8)>, Error> {
        let Some(device) = self.device(name)? else {
            return Ok(Vec::new());
        };
        let wanted = family as u8;
        let mut header = [0; ADDRESS_HEADER];
        header[0] = asked;
        let request = |sequence| {
            let mut out = Vec::new();
            write(
                &mut out,
                RTM_GETADDR,
                flags::DUMP,
                sequence,
                &header,
                |_| {},
            );
            out
        };
        const WHAT: &str = "addresses";
        self.socket.list(WHAT, request, |_, all| {
            let torn = || Error::Torn { listing: WHAT };
            let (header, attributes) =
                (all.0.split_first_chunk::<ADDRESS_HEADER>()).ok_or_else(torn)?;
            let [of, prefix, _, _, number @ ..] = *header;
            // A kernel that does not have the family lists all that it has (`rtnetlink_rcv_msg`).
            if u32::from_ne_bytes(number) != device || of != wanted {
                return Ok(None);
            }
            let address = local(of, Attributes(attributes)).ok_or_else(torn)?;
            Ok(Some((address, prefix)))
        })
    }
}

/// The address of a listed one. One of IPv6 is IFA_LOCAL only where it has a peer, which is then IFA_ADDRESS
/// (`inet6_fill_ifaddr` in net/ipv6/addrconf.c).
fn local(family: u8, attributes: Attributes<'_>) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => attributes.exact::<4>(IFA_LOCAL).map(IpAddr::from),
        libc::AF_INET6 => {
            let own = attributes.exact::<16>(IFA_LOCAL);
            own.or_else(|| attributes.exact(IFA_ADDRESS))
                .map(IpAddr::from)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_laid_out_as_the_kernel_reads_it() {
        let mut bytes = Vec::new();
        LinkOp::AddAddress("kube-ipvs0", IpAddr::from([10, 96, 0, 1])).encode(7, &mut bytes);
        let hex: Vec<String> = bytes
            .chunks(4)
            .map(|word| word.iter().map(|b| format!("{b:02x}")).collect())
            .collect();
        assert_eq!(
            hex.join(" "),
            "28000000 14000506 07000000 00000000 02200000 00000000 08000200 0a600001 08000100 0a600001"
        );
    }
    #[test]
    fn a_listed_address_of_ipv6_is_its_own_and_not_its_peer() {
        let own: [u8; 16] = std::array::from_fn(|byte| byte as u8);
        let listed = |kinds: &[(u16, [u8; 16])]| {
            let mut out = Vec::new();
            for (kind, octets) in kinds {
                attribute(&mut out, *kind, octets);
            }
            local(libc::AF_INET6 as u8, Attributes(&out))
        };
        assert_eq!(listed(&[(IFA_ADDRESS, own)]), Some(IpAddr::from(own)));
        let both = [(IFA_ADDRESS, [9; 16]), (IFA_LOCAL, own)];
        assert_eq!(listed(&both), Some(IpAddr::from(own)));
        assert_eq!(listed(&[]), None);
    }
}
