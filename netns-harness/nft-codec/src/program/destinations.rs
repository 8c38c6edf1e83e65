//! Every destination that some rule names: by comparison, or by a set that it looks into.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::Program;
use super::instruction::{Comparison, Instruction, REGISTERS, Register};
use super::packet::{META_PROTOCOL, NETWORK, PORT, TRANSPORT};
use crate::family::TableFamily;
use crate::ops::L4Proto;

/// What of a destination a register of 4 bytes holds.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Which four bytes of it, from 0.
    Address(usize),
    Protocol,
    Port,
}

/// As much of a destination as a rule has named so far.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    /// Four bytes each; one of IPv4 has only the first.
    address: [Option<[u8; 4]>; 4],
    protocol: Option<u8>,
    port: Option<u16>,
}

impl Program {
    /// Destinations of which a rule names address and port; where it names no protocol, TCP's and UDP's.
    #[must_use]
    pub fn destinations(&self) -> BTreeSet<(L4Proto, SocketAddr)> {
        let mut found = BTreeSet::new();
        for rule in self.chains.values().flat_map(|code| &code.rules) {
            for named in self.named(rule) {
                let (Some(octets), Some(port)) = (named.octets(self.family), named.port) else {
                    continue;
                };
                let Some(address) = self.family.address(&octets) else {
                    continue;
                };
                let protocols = match named.protocol {
                    Some(protocol) => vec![L4Proto(protocol)],
                    None => vec![L4Proto::TCP, L4Proto::UDP],
                };
                let to = SocketAddr::new(address, port);
                found.extend(protocols.into_iter().map(|protocol| (protocol, to)));
            }
        }
        found
    }

    /// The addresses that a set has one by one; `None` when there is no such set.
    #[must_use]
    pub fn addresses(&self, set: &str) -> Option<BTreeSet<IpAddr>> {
        let keys = self.sets.get(set)?.keys();
        Some(keys.filter_map(|key| self.family.address(key)).collect())
    }

    fn named(&self, rule: &[Instruction]) -> Vec<Named> {
        let mut parts = [None; REGISTERS / 4];
        let mut named = vec![Named::default()];
        for instruction in rule {
            match instruction {
                Instruction::Payload(base, offset, len, to) => {
                    for place in 0..len.div_ceil(4) {
                        let at = (*base, offset + 4 * place, len - 4 * place);
                        let part = part(self.family, at);
                        set(&mut parts, to + 4 * place, part);
                    }
                }
                Instruction::Meta(META_PROTOCOL, to) => set(&mut parts, *to, Some(Part::Protocol)),
                Instruction::Compare(from, Comparison::Equal, value) => {
                    named.iter_mut().for_each(|n| n.learn(&parts, *from, value));
                }
                Instruction::Lookup {
                    set,
                    key,
                    negated: false,
                    ..
                } => {
                    let of_destination = |set: &super::Set| {
                        let places = key / 4..(key + set.key_len).div_ceil(4);
                        parts[places].iter().any(Option::is_some)
                    };
                    let Some(set) = self.sets.get(set).filter(|set| of_destination(set)) else {
                        continue;
                    };
                    let learned = |before: &Named, value| {
                        let mut named = *before;
                        named.learn(&parts, *key, value);
                        named
                    };
                    named = named
                        .iter()
                        .flat_map(|before| set.keys().map(move |value| learned(before, value)))
                        .collect();
                }
                other => {
                    let (to, len) = other.writes().unwrap_or_default();
                    for place in 0..len.div_ceil(4) {
                        set(&mut parts, to + 4 * place, None);
                    }
                }
            }
        }
        named
    }
}

/// What 4 bytes of a header, or fewer at the end of what is loaded, are of a destination.
fn part(family: TableFamily, (base, offset, len): (u32, usize, usize)) -> Option<Part> {
    match (base, offset, len) {
        (NETWORK, _, 4..) => {
            let within = offset.checked_sub(family.header().destination as usize)?;
            let whole = within % 4 == 0 && within < family.address_len();
            whole.then_some(Part::Address(within / 4))
        }
        (TRANSPORT, PORT, 2..) => Some(Part::Port),
        _ => None,
    }
}

fn set(parts: &mut [Option<Part>], to: Register, part: Option<Part>) {
    if let Some(place) = parts.get_mut(to / 4) {
        *place = part;
    }
}

impl Named {
    /// The address, once all of it is named.
    fn octets(&self, family: TableFamily) -> Option<Vec<u8>> {
        let words = self.address.iter().take(family.address_len() / 4);
        let words: Option<Vec<[u8; 4]>> = words.copied().collect();
        Some(words?.concat())
    }

    /// Takes in a value that the registers from `from` on have.
    fn learn(&mut self, parts: &[Option<Part>], from: Register, value: &[u8]) {
        for (part, bytes) in parts[from / 4..].iter().zip(value.chunks(4)) {
            match (part, bytes) {
                (Some(Part::Address(place)), [a, b, c, d]) => {
                    self.address[*place] = Some([*a, *b, *c, *d]);
                }
                (Some(Part::Protocol), [protocol, ..]) => self.protocol = Some(*protocol),
                (Some(Part::Port), [high, low, ..]) => {
                    self.port = Some(u16::from_be_bytes([*high, *low]));
                }
                _ => {}
            }
        }
    }
}
