//! The first packet of a flow: what expressions can read of it.

use std::net::{IpAddr, SocketAddr};

use super::instruction::{REGISTERS, Register};
use crate::family::TableFamily;
use crate::ops::{Hook, L4Proto};

/// A new flow, as the hooks see its first packet. Both its addresses are of one family; a table of the other does not
/// see it.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    /// Its source address.
    pub source: IpAddr,
    /// Where it goes, which is no address of this node.
    pub destination: SocketAddr,
    /// Its protocol.
    pub protocol: L4Proto,
    /// The interface that it comes in through; `None`: the node itself sends it.
    pub input: Option<&'a str>,
    /// The interface that it leaves through.
    pub output: &'a str,
}

/// What becomes of a part of a flow's first packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Treatment {
    /// The part, of 1.
    pub share: f64,
    /// Where they go; `None`: they are dropped or rejected.
    pub to: Option<SocketAddr>,
    /// Whether they go elsewhere than they were sent.
    pub translated: bool,
    /// Whether their source address is replaced.
    pub masqueraded: bool,
}

/// Offset in the header of TCP and UDP of what a flow determines.
pub(super) const PORT: usize = 2;
/// Bytes of the longest header, that of IPv6.
const LONGEST_HEADER: usize = 40;
/// enum nft_payload_bases.
pub(super) const NETWORK: u32 = 1;
pub(super) const TRANSPORT: u32 = 2;
/// enum nft_meta_keys.
pub(super) const META_PROTOCOL: u32 = 16;
/// linux/if.h.
const IFNAMSIZ: usize = 16;

/// An address in network order.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A part of a flow's first packets on their way, with the registers of the chain that they are in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) registers: [u8; REGISTERS],
    pub(super) share: f64,
    pub(super) destination: SocketAddr,
    pub(super) mark: u32,
    pub(super) tracked: bool,
    pub(super) translated: bool,
    pub(super) masqueraded: bool,
    /// Whether a nat chain of this hook has chosen an address.
    pub(super) bound: bool,
    pub(super) hook: Hook,
    /// The family of its addresses.
    pub(super) family: TableFamily,
    pub(super) flow: &'a Flow<'a>,
}

impl<'a> Packet<'a> {
    pub(super) fn first(family: TableFamily, flow: &'a Flow<'a>) -> Self {
        Self {
            registers: [0; REGISTERS],
            share: 1.0,
            destination: flow.destination,
            mark: 0,
            tracked: true,
            translated: false,
            masqueraded: false,
            bound: false,
            hook: Hook::Prerouting,
            family,
            flow,
        }
    }

    /// What becomes of it: `passed` or refused.
    pub(super) fn treatment(&self, passed: bool) -> Treatment {
        Treatment {
            share: self.share,
            to: passed.then_some(self.destination),
            translated: self.translated,
            masqueraded: self.masqueraded,
        }
    }

    /// Writes a value, filled up with zeros to a multiple of 4 bytes as the kernel does. `None`: there is no room.
    pub(super) fn write(&mut self, to: Register, value: &[u8]) -> Option<()> {
        let end = to + value.len().next_multiple_of(4);
        let register = self.registers.get_mut(to..end)?;
        register.fill(0);
        register[..value.len()].copy_from_slice(value);
        Some(())
    }

    pub(super) fn read(&self, from: Register, len: usize) -> &[u8] {
        self.registers.get(from..from + len).unwrap_or_default()
    }

    /// Bytes of a header; `None` where a flow does not determine them.
    pub(super) fn payload(&self, base: u32, offset: usize, len: usize) -> Option<Vec<u8>> {
        let mut header = [None; LONGEST_HEADER];
        let mut fill = |at: usize, bytes: &[u8]| {
            let known = header[at..].iter_mut().zip(bytes);
            known.for_each(|(place, byte)| *place = Some(*byte));
        };
        match base {
            NETWORK => {
                let fields = self.family.header();
                fill(fields.protocol as usize, &[self.flow.protocol.0]);
                fill(fields.source as usize, &octets(self.flow.source));
                fill(fields.destination as usize, &octets(self.destination.ip()));
            }
            TRANSPORT => fill(PORT, &self.destination.port().to_be_bytes()),
            _ => return None,
        }
        header.get(offset..offset + len)?.iter().copied().collect()
    }

    /// A key of enum nft_meta_keys; `None` where a flow does not determine it.
    pub(super) fn meta(&self, key: u32) -> Option<Vec<u8>> {
        let name = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(IFNAMSIZ, 0);
            bytes
        };
        Some(match key {
            1 => match self.family {
                TableFamily::Ip => 0x0800_u16,  // ETH_P_IP
                TableFamily::Ip6 => 0x86dd_u16, // ETH_P_IPV6
            }
            .to_be_bytes()
            .to_vec(),
            3 => self.mark.to_ne_bytes().to_vec(),
            6 => name(self.flow.input.unwrap_or_default()),
            // Before the routing decision there is no output.
            7 if self.hook == Hook::Prerouting => name(""),
            7 => name(self.flow.output),
            15 => vec![self.family.number()],
            META_PROTOCOL => vec![self.flow.protocol.0],
            _ => return None,
        })
    }

    /// A key of enum nft_ct_keys; `None` where a flow does not determine it.
    pub(super) fn conntrack(&self, key: u32) -> Option<Vec<u8>> {
        // NF_CT_STATE_BIT(IP_CT_NEW), NF_CT_STATE_UNTRACKED_BIT; IPS_DST_NAT with IPS_DST_NAT_DONE.
        const NEW: u32 = 1 << 3;
        const UNTRACKED: u32 = 1 << 6;
        const DST_NAT: u32 = 1 << 5;
        const DST_NAT_DONE: u32 = 1 << 8;
        let first = self.flow.destination;
        Some(match key {
            0 if self.tracked => NEW.to_ne_bytes().to_vec(),
            0 => UNTRACKED.to_ne_bytes().to_vec(),
            _ if !self.tracked => return None,
            1 => vec![0],
            2 => match self.translated {
                true => DST_NAT | DST_NAT_DONE,
                false => 0,
            }
            .to_ne_bytes()
            .to_vec(),
            3 => vec![0; 4],                           // mark
            8 => octets(self.flow.source),             // NFT_CT_SRC
            9 => octets(first.ip()),                   // NFT_CT_DST
            10 => vec![self.flow.protocol.0],          // NFT_CT_PROTOCOL
            12 => first.port().to_be_bytes().to_vec(), // NFT_CT_PROTO_DST
            // NFT_CT_SRC_IP and _DST_IP, NFT_CT_SRC_IP6 and _DST_IP6.
            19 if self.family == TableFamily::Ip => octets(self.flow.source),
            20 if self.family == TableFamily::Ip => octets(first.ip()),
            21 if self.family == TableFamily::Ip6 => octets(self.flow.source),
            22 if self.family == TableFamily::Ip6 => octets(first.ip()),
            _ => return None,
        })
    }

    /// Type of an address, RTN_UNICAST or RTN_LOCAL: only the source of the node's own flow is local.
    pub(super) fn address_type(&self, source: bool) -> u32 {
        1 + u32::from(source && self.flow.input.is_none())
    }
}
