//! The kernel's interpreter (`nft_do_chain` in net/netfilter/nf_tables_core.c), with shares.

use std::net::SocketAddr;

use super::instruction::{Comparison, Data, Instruction, Register};
use super::packet::{Flow, Packet, Treatment};
use super::set::Datum;
use super::{Code, Program};
use crate::names::Name;
use crate::ops::{ChainKind, Hook, Policy, Verdict};

/// NFT_JUMP_STACK_SIZE.
const MOST_JUMPS: usize = 16;
/// More numbers than this are not followed one by one.
const MOST_NUMBERS: u32 = 65_536;

/// A rule that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chain {chain}: {why}")]
pub struct Stuck {
    /// The chain that it stands in.
    pub chain: Name,
    /// What is not known or not there.
    pub why: String,
}

/// Where a packet is among the rules: chain, rule, expression.
#[derive(Debug, Clone, Copy)]
struct Place<'p> {
    name: &'p Name,
    code: &'p Code,
    rule: usize,
    at: usize,
}

/// A packet in the rules of one hook's chain.
#[derive(Debug, Clone)]
struct Walk<'p, 'f> {
    packet: Packet<'f>,
    place: Place<'p>,
    /// Where jumps return to.
    stack: Vec<Place<'p>>,
}

/// What an expression leads to.
enum Step {
    Next,
    /// The rule does not match.
    Break,
    Verdict(Verdict),
    /// The number goes into the register: as many packets as there are values.
    Split(u32, u32, Register),
}

impl Program {
    /// What becomes of a new flow's first packets, in parts that sum up to 1: through PREROUTING and FORWARD, or
    /// through OUTPUT, then POSTROUTING.
    ///
    /// # Errors
    /// The first rule on the way that cannot be followed.
    pub fn run(&self, flow: &Flow<'_>) -> Result<Vec<Treatment>, Stuck> {
        let hooks: &[Hook] = match flow.input {
            Some(_) => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
            None => &[Hook::Output, Hook::Postrouting],
        };
        let first = Packet::first(self.family, flow);
        let ips = [flow.source, flow.destination.ip()];
        if ips.into_iter().any(|ip| !self.family.holds(ip)) {
            return Ok(vec![first.treatment(true)]);
        }
        let (mut packets, mut ended) = (vec![first], Vec::new());
        for hook in hooks {
            for packet in &mut packets {
                (packet.hook, packet.bound) = (*hook, false);
            }
            for (name, code, kind) in self.hooked(*hook) {
                for packet in std::mem::take(&mut packets) {
                    // Once an address is chosen, no further nat chain of the hook is asked (`nf_nat_inet_fn`).
                    if kind == ChainKind::Nat && (packet.bound || !packet.tracked) {
                        packets.push(packet);
                        continue;
                    }
                    for (after, passed) in self.chain(name, code, packet)? {
                        match passed {
                            true => packets.push(after),
                            false => ended.push(after.treatment(false)),
                        }
                    }
                }
            }
        }
        ended.extend(packets.iter().map(|packet| packet.treatment(true)));
        Ok(ended)
    }

    /// The base chains of a hook in the order in which it calls them.
    fn hooked(&self, hook: Hook) -> Vec<(&Name, &Code, ChainKind)> {
        let mut chains: Vec<_> = self
            .hooked
            .iter()
            .filter_map(|name| self.chains.get_key_value(name))
            .filter_map(|(name, code)| Some((code.base.filter(|b| b.hook == hook)?, name, code)))
            .collect();
        // nat chains are called from connection tracking's own hooks: NF_IP_PRI_NAT_DST and _SRC.
        let priority = |kind, own| match (kind, hook) {
            (ChainKind::Nat, Hook::Postrouting | Hook::Input) => (100, own),
            (ChainKind::Nat, _) => (-100, own),
            _ => (own, own),
        };
        chains.sort_by_key(|(base, name, _)| (priority(base.kind, base.priority), *name));
        let called = chains.into_iter();
        called
            .map(|(base, name, code)| (name, code, base.kind))
            .collect()
    }

    /// Runs a base chain; returns the packets that leave it, and whether they go on.
    fn chain<'f>(
        &self,
        name: &Name,
        code: &Code,
        packet: Packet<'f>,
    ) -> Result<Vec<(Packet<'f>, bool)>, Stuck> {
        let policy = code.base.is_none_or(|base| base.policy == Policy::Accept);
        let place = Place {
            name,
            code,
            rule: 0,
            at: 0,
        };
        let mut walks = vec![Walk {
            packet,
            place,
            stack: Vec::new(),
        }];
        let mut left = Vec::new();
        while let Some(walk) = walks.pop() {
            if let Some((packet, passed)) = self.walk(walk, &mut walks)? {
                left.push((packet, passed.unwrap_or(policy)));
            }
        }
        Ok(left)
    }

    /// Walks on until the base chain is left: passed or not, or as its policy says; or until the packet becomes
    /// several, which are added to `walks`.
    fn walk<'p, 'f>(
        &'p self,
        mut walk: Walk<'p, 'f>,
        walks: &mut Vec<Walk<'p, 'f>>,
    ) -> Result<Option<(Packet<'f>, Option<bool>)>, Stuck> {
        loop {
            let place = &mut walk.place;
            let Some(rule) = place.code.rules.get(place.rule) else {
                match walk.stack.pop() {
                    Some(back) => walk.place = back,
                    None => return Ok(Some((walk.packet, None))),
                }
                continue;
            };
            let Some(instruction) = rule.get(place.at) else {
                (place.rule, place.at) = (place.rule + 1, 0);
                continue;
            };
            place.at += 1;
            let name = place.name;
            let stuck = |why| Stuck {
                chain: name.clone(),
                why,
            };
            match self.step(instruction, &mut walk.packet).map_err(stuck)? {
                Step::Next => {}
                Step::Break => (place.rule, place.at) = (place.rule + 1, 0),
                Step::Verdict(verdict) => {
                    if let Some(passed) = self.goes(&mut walk, &verdict).map_err(stuck)? {
                        return Ok(Some((walk.packet, passed)));
                    }
                }
                Step::Split(modulus, offset, to) => {
                    walk.packet.share /= f64::from(modulus);
                    walks.extend((0..modulus).rev().map(|number| {
                        let mut part = walk.clone();
                        let value = number.wrapping_add(offset).to_ne_bytes();
                        part.packet.write(to, &value);
                        part
                    }));
                    return Ok(None);
                }
            }
        }
    }

    /// Obeys a verdict. `Some` when the base chain is left: passed or not, or as its policy says.
    fn goes<'p>(
        &'p self,
        walk: &mut Walk<'p, '_>,
        verdict: &Verdict,
    ) -> Result<Option<Option<bool>>, String> {
        (walk.place.rule, walk.place.at) = (walk.place.rule + 1, 0);
        match verdict {
            Verdict::Accept => return Ok(Some(Some(true))),
            Verdict::Drop => return Ok(Some(Some(false))),
            Verdict::Return => match walk.stack.pop() {
                Some(back) => walk.place = back,
                None => return Ok(Some(None)),
            },
            Verdict::Jump(to) | Verdict::Goto(to) => {
                if matches!(verdict, Verdict::Jump(_)) {
                    walk.stack.push(walk.place);
                }
                if walk.stack.len() > MOST_JUMPS {
                    return Err(format!("more than {MOST_JUMPS} jumps"));
                }
                let chain = self.chains.get_key_value(to);
                let (name, code) = chain.ok_or_else(|| format!("no chain {to} to go to"))?;
                walk.place = Place {
                    name,
                    code,
                    rule: 0,
                    at: 0,
                };
            }
        }
        Ok(None)
    }

    /// Carries out one expression.
    fn step(&self, instruction: &Instruction, packet: &mut Packet<'_>) -> Result<Step, String> {
        let matches = |does| if does { Step::Next } else { Step::Break };
        Ok(match instruction {
            Instruction::Payload(..) | Instruction::Meta(..) | Instruction::Conntrack(..) => {
                load(instruction, packet)?
            }
            Instruction::Number {
                modulus,
                offset,
                to,
            } => match *modulus <= MOST_NUMBERS {
                true => Step::Split(*modulus, *offset, *to),
                false => return Err(unknown(&format!("numgen mod {modulus}"))),
            },
            Instruction::Compare(from, comparison, value) => {
                let there = packet.read(*from, value.len());
                matches(compares(there, *comparison, value))
            }
            Instruction::Range(from, outside, low, high) => {
                let there = packet.read(*from, low.len());
                let within = &**low <= there && there <= &**high;
                matches(within != *outside)
            }
            Instruction::Lookup {
                set,
                key,
                data,
                negated,
            } => self.lookup(set, *key, *data, *negated, packet)?,
            Instruction::Verdict(verdict) => Step::Verdict(verdict.clone()),
            Instruction::Break => Step::Break,
            Instruction::Unknown(what) => return Err(unknown(what)),
            done => acts(done, packet),
        })
    }

    fn lookup(
        &self,
        name: &str,
        key: Register,
        data: Data,
        negated: bool,
        packet: &mut Packet<'_>,
    ) -> Result<Step, String> {
        let set = self.sets.get(name);
        let set = set.ok_or_else(|| format!("no set {name} to look into"))?;
        if let Some(unknown) = &set.unknown {
            return Err(format!("{unknown} of {name} is not understood"));
        }
        let found = set.get(packet.read(key, set.key_len));
        Ok(match (found, data) {
            (found, Data::None) if found.is_some() != negated => Step::Next,
            (Some(Datum::Verdict(verdict)), Data::Verdict) => Step::Verdict(verdict.clone()),
            (Some(Datum::Value(value)), Data::To(to)) => {
                packet.write(to, value);
                Step::Next
            }
            (None, _) | (Some(_), Data::None) => Step::Break,
            (Some(_), _) => return Err(format!("{name} has other data than is asked for")),
        })
    }
}

fn unknown(what: &str) -> String {
    format!("'{what}' is not understood")
}

/// What a register is loaded with.
fn load(instruction: &Instruction, packet: &mut Packet<'_>) -> Result<Step, String> {
    let (value, to) = match instruction {
        Instruction::Payload(base, offset, len, to) => (packet.payload(*base, *offset, *len), to),
        Instruction::Meta(key, to) => (packet.meta(*key), to),
        Instruction::Conntrack(key, to) => (packet.conntrack(*key), to),
        _ => return Ok(Step::Next),
    };
    let undetermined = || match instruction {
        Instruction::Meta(key, _) => unknown(&format!("meta {key}")),
        Instruction::Conntrack(key, _) => unknown(&format!("ct {key}")),
        payload => unknown(&format!("{payload:?}")),
    };
    packet.write(*to, &value.ok_or_else(undetermined)?);
    Ok(Step::Next)
}

/// What changes registers or the packet and needs no set.
fn acts(instruction: &Instruction, packet: &mut Packet<'_>) -> Step {
    match instruction {
        Instruction::Bitwise {
            from,
            to,
            mask,
            xor,
        } => {
            let there = packet
                .read(*from, mask.len())
                .iter()
                .zip(mask.iter().zip(xor));
            let value: Vec<u8> = there
                .map(|(byte, (mask, xor))| (byte & mask) ^ xor)
                .collect();
            packet.write(*to, &value);
        }
        Instruction::Swap {
            from,
            to,
            len,
            size,
        } => {
            let mut value = packet.read(*from, *len).to_vec();
            if cfg!(target_endian = "little") {
                value.chunks_mut(*size).for_each(<[u8]>::reverse);
            }
            packet.write(*to, &value);
        }
        Instruction::AddressType { source, to } => {
            let value = packet.address_type(*source).to_ne_bytes();
            packet.write(*to, &value);
        }
        Instruction::Immediate(to, value) => drop(packet.write(*to, value)),
        Instruction::SetMark(from) => {
            let value = packet.read(*from, 4).first_chunk();
            packet.mark = value.map_or(packet.mark, |value| u32::from_ne_bytes(*value));
        }
        Instruction::Dnat(address, port) => {
            let (mut ip, mut to) = (packet.destination.ip(), packet.destination.port());
            let family = packet.family;
            if let Some(from) = *address
                && let Some(chosen) = family.address(packet.read(from, family.address_len()))
            {
                ip = chosen;
            }
            if let Some([high, low]) = port.map(|from| packet.read(from, 2)) {
                to = u16::from_be_bytes([*high, *low]);
            }
            packet.destination = SocketAddr::new(ip, to);
            (packet.translated, packet.bound) = (true, true);
            return Step::Verdict(Verdict::Accept);
        }
        Instruction::Masquerade => {
            (packet.masqueraded, packet.bound) = (true, true);
            return Step::Verdict(Verdict::Accept);
        }
        Instruction::Refuse => return Step::Verdict(Verdict::Drop),
        Instruction::Untrack => packet.tracked = false,
        _ => {}
    }
    Step::Next
}

fn compares(there: &[u8], comparison: Comparison, value: &[u8]) -> bool {
    match comparison {
        Comparison::Equal => there == value,
        Comparison::Unequal => there != value,
        Comparison::Less => there < value,
        Comparison::LessOrEqual => there <= value,
        Comparison::Greater => there > value,
        Comparison::GreaterOrEqual => there >= value,
    }
}
