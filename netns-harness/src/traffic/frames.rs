//! First packets of flows that no socket has: as a client's interface would send them to the node.

use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep};
use schema::{Family, Protocol};

use crate::lab::{CLIENT_MAC, NODE_MAC};
use crate::service::Frontend;

/// The longest of a family's frames, a SYN: Ethernet, IP, TCP; no shorter than Ethernet's shortest (`ETH_ZLEN`).
pub(super) const fn most_bytes(family: Family) -> usize {
    match family {
        Family::Ipv4 => 60,
        Family::Ipv6 => 74,
    }
}

/// What a datagram carries, as a probe's does.
const PAYLOAD: [u8; 8] = [0; 8];
const TTL: u8 = 64;
const WINDOW: u16 = 64_240;

/// The first packet of a flow: a SYN whose sequence number is `number`, or a datagram of eight bytes.
pub(super) fn first(from: SocketAddr, to: Frontend, number: u32) -> Vec<u8> {
    let mut frame = Vec::with_capacity(most_bytes(Family::Ipv6));
    let of_ip = between(from.ip(), to.vip);
    let (from, port) = (from.port(), to.port);
    let written = match to.protocol {
        Protocol::Tcp => of_ip
            .tcp(from, port, number, WINDOW)
            .syn()
            .write(&mut frame, &[]),
        Protocol::Udp => of_ip.udp(from, port).write(&mut frame, &PAYLOAD),
    };
    written.expect("a vector takes what is written, and its length fits into a packet");
    frame
}

/// The reset that ends a TCP flow whose SYN had that number, once it was answered.
pub(super) fn reset(from: SocketAddr, to: Frontend, number: u32) -> Vec<u8> {
    let mut frame = Vec::with_capacity(most_bytes(Family::Ipv6));
    let of_ip = between(from.ip(), to.vip);
    let of_tcp = of_ip.tcp(from.port(), to.port, number.wrapping_add(1), 0);
    let written = of_tcp.rst().write(&mut frame, &[]);
    written.expect("a vector takes what is written, and its length fits into a packet");
    frame
}

fn between(from: IpAddr, to: IpAddr) -> PacketBuilderStep<etherparse::IpHeaders> {
    let link = PacketBuilder::ethernet2(CLIENT_MAC, NODE_MAC);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from.octets(), to.octets(), TTL),
        (from, to) => link.ipv6(v6(from), v6(to), TTL),
    }
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// To which SYN a frame is the SYN-ACK: that one's sequence number; `None` of any other frame.
pub(super) fn answered(frame: &[u8]) -> Option<u32> {
    use etherparse::{SlicedPacket, TransportSlice};
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    match packet.transport? {
        TransportSlice::Tcp(tcp) if tcp.syn() && tcp.ack() => {
            Some(tcp.acknowledgment_number().wrapping_sub(1))
        }
        _ => None,
    }
}

/// What a packet socket of that family receives.
pub(super) const fn ethertype(family: Family) -> u16 {
    match family {
        Family::Ipv4 => libc::ETH_P_IP as u16,
        Family::Ipv6 => libc::ETH_P_IPV6 as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::family;

    fn to(protocol: Protocol, vip: &str) -> Frontend {
        Frontend {
            vip: vip.parse().unwrap(),
            port: 80,
            protocol,
        }
    }

    #[test]
    fn a_first_packet_has_right_sums_and_its_answer_says_which_it_was() {
        use etherparse::{NetSlice, SlicedPacket, TransportSlice};
        for (from, vip) in [
            ("10.192.255.192:1024", "10.96.0.1"),
            ("[fd00::1]:1024", "[fd00::2]"),
        ] {
            let vip = vip.trim_matches(['[', ']']);
            for protocol in Protocol::ALL {
                let frame = first(from.parse().unwrap(), to(*protocol, vip), 7);
                let most = most_bytes(family(vip.parse().unwrap()));
                assert!(frame.len() <= most, "{}", frame.len());
                let packet = SlicedPacket::from_ethernet(&frame).unwrap();
                let sums = match (packet.net.unwrap(), packet.transport.unwrap()) {
                    (NetSlice::Ipv4(ip), of) => {
                        let ip = ip.header().to_header();
                        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                        let ends = (ip.source, ip.destination);
                        match of {
                            TransportSlice::Tcp(tcp) => [
                                tcp.checksum(),
                                tcp.calc_checksum_ipv4(ends.0, ends.1).unwrap(),
                            ],
                            TransportSlice::Udp(udp) => {
                                let sum = udp
                                    .to_header()
                                    .calc_checksum_ipv4_raw(ends.0, ends.1, &PAYLOAD);
                                [udp.checksum(), sum.unwrap()]
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                    (NetSlice::Ipv6(ip), of) => {
                        let ip = ip.header().to_header();
                        let ends = (ip.source, ip.destination);
                        match of {
                            TransportSlice::Tcp(tcp) => [
                                tcp.checksum(),
                                tcp.calc_checksum_ipv6(ends.0, ends.1).unwrap(),
                            ],
                            TransportSlice::Udp(udp) => {
                                let sum = udp
                                    .to_header()
                                    .calc_checksum_ipv6_raw(ends.0, ends.1, &PAYLOAD);
                                [udp.checksum(), sum.unwrap()]
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                    (other, _) => panic!("{other:?}"),
                };
                assert_eq!(sums[0], sums[1]);
            }
        }
        let mut answer = Vec::new();
        let of_ip = between([10, 96, 0, 1].into(), [10, 192, 0, 2].into());
        let of_tcp = of_ip.tcp(80, 1024, 99, 1).syn().ack(8);
        of_tcp.write(&mut answer, &[]).unwrap();
        assert_eq!(answered(&answer), Some(7));
        let syn = first(
            "10.192.0.2:1".parse().unwrap(),
            to(Protocol::Tcp, "10.96.0.1"),
            7,
        );
        assert_eq!(answered(&syn), None);
        assert_eq!(answered(&[0; 20]), None);
    }
}
