//! Frames against those of `nft` 1.0.6 itself, without a kernel.
//!
//! `kube-proxy.nft-1.0.6.hex` holds what `nft -f kube-proxy.nft` sends on a little-endian machine, one
//! message a line: recorded with `strace -e trace=sendmsg -e write=3`. `kube-proxy-ip6.hex` is not recorded: it holds
//! those messages with what is other in a table of family ip6 replaced attribute by attribute, that is the family, addresses
//! with their lengths and offsets, the registers behind them, the numbers of key and data types, and the code of reject.
#![cfg(target_endian = "little")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use nft_codec::{EncodeError, EncodedBatch, TableFamily, parse_script};

const SCRIPT: &str = include_str!("kube-proxy.nft");
const FRAMES: &str = include_str!("kube-proxy.nft-1.0.6.hex");
const SCRIPT_IP6: &str = include_str!("kube-proxy-ip6.nft");
const FRAMES_IP6: &str = include_str!("kube-proxy-ip6.hex");

const NLM_F_ACK: u16 = 4;

/// A message's header and its attributes in ascending order: netlink gives their order no meaning, and
/// `nft` puts a chain's type before its hook.
fn ordered(frame: &str) -> (&str, Vec<&str>) {
    let byte = |at: usize| usize::from_str_radix(&frame[2 * at..2 * at + 2], 16).unwrap();
    let (mut at, mut attributes) = (20, Vec::new());
    while at < frame.len() / 2 {
        let len = (byte(at) | byte(at + 1) << 8).next_multiple_of(4);
        attributes.push(&frame[2 * at..2 * (at + len)]);
        at += len;
    }
    attributes.sort_unstable();
    (&frame[..40], attributes)
}

/// Messages of a batch as hexadecimal text, without the acknowledgement flag.
fn frames(bytes: &[u8]) -> (Vec<String>, Vec<bool>) {
    let mut rest = bytes;
    let (mut frames, mut acknowledged) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let mut message = rest[..len].to_vec();
        let flags = u16::from_le_bytes([message[6], message[7]]);
        acknowledged.push(flags & NLM_F_ACK != 0);
        message[6..8].copy_from_slice(&(flags & !NLM_F_ACK).to_le_bytes());
        frames.push(message.iter().map(|byte| format!("{byte:02x}")).collect());
        rest = &rest[len.next_multiple_of(4)..];
    }
    (frames, acknowledged)
}

#[test]
fn every_frame_has_the_bytes_of_nft_s_own() {
    assert_encoded_as(SCRIPT, FRAMES);
}

#[test]
fn every_frame_of_family_ip6_differs_from_that_of_ip_in_what_the_family_says() {
    assert_encoded_as(SCRIPT_IP6, FRAMES_IP6);
}

fn assert_encoded_as(script: &str, frames_of_nft: &str) {
    let batch = EncodedBatch::encode(parse_script(script).unwrap()).unwrap();
    let (ours, _) = frames(batch.bytes());
    let theirs: Vec<_> = frames_of_nft.lines().collect();
    assert_eq!(ours.len(), theirs.len());
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let op = batch
            .op_of(i as u32)
            .map(ToString::to_string)
            .unwrap_or_default();
        assert_eq!(ordered(ours), ordered(theirs), "message {i}: {op}");
    }
}

/// Not recorded: attributes as linux/netfilter/nf_tables.h numbers them, in messages made of these lines. Where a rule has
/// a set of its own, that set and its elements go before it.
#[test]
fn what_session_affinity_and_source_ranges_need_has_its_attributes() {
    // Lines and, for each message, what it holds.
    let affinity = "add set ip t s { type ipv4_addr ; flags dynamic,timeout ; timeout 10800s ; }";
    // payload: into register 1, network header, offset 12, 4 bytes.
    let source = "2400028008000100000000010800020000000001080003000000000c0800040000000004";
    for (line, messages) in [
        (
            affinity,
            &[&[
                "0800030000000030",         // flags: timeout, eval
                "0800040000000007",         // key type ipv4_addr
                "0800050000000004",         // key length
                "0c000b000000000000a4cb80", // timeout, milliseconds
            ][..]][..],
        ),
        (
            "add rule ip t c update @s { ip saddr }",
            &[&[
                source,
                "0b00010064796e7365740000", // dynset
                "0800040000000001",         // register of the key
                "0800030000000001",         // update
                "0600010073000000",         // set s
            ]],
        ),
        (
            "add rule ip t c ip saddr @s return",
            &[&[source, "0b0001006c6f6f6b757000", "0600010073000000"]],
        ),
        (
            "add rule ip t c fib saddr type local return",
            &[&[
                "0800010066696200", // fib
                "0800020000000003", // result: type of the address
                "0800030000000001", // of the source
            ]],
        ),
        // A single range is compared.
        (
            "add rule ip t c ip saddr != { 203.0.113.0/25 } drop",
            &[&[source, "08000100ffffff80", "08000100cb007100"]],
        ),
        (
            "add rule ip t c ip saddr != { 203.0.113.0/25 , 10.0.0.1 } drop",
            &[
                // __set%d: anonymous, constant, interval.
                &[
                    "0c0002005f5f736574256400",
                    "0800030000000007",
                    "0800040000000007",
                ],
                &[
                    // An end at 0.0.0.0, then where each begins and, behind it, ends.
                    "08000300000000010c0001800800010000000000",
                    "0c000180080001000a000001",
                    "08000300000000010c000180080001000a000002",
                    "0c00018008000100cb007100",
                    "08000300000000010c00018008000100cb007180",
                ],
                &[source, "0800050000000001"], // inverted
            ],
        ),
    ] {
        let batch = EncodedBatch::encode(parse_script(line).unwrap()).unwrap();
        let (found, _) = frames(batch.bytes());
        // The batch's begin and end are around it.
        assert_eq!(found.len(), messages.len() + 2, "{line}");
        for (frame, attributes) in found[1..].iter().zip(messages) {
            for attribute in *attributes {
                assert!(frame.contains(attribute), "{line}: {attribute} in {frame}");
            }
        }
    }
}

#[test]
fn only_the_last_operation_s_last_message_asks_for_an_acknowledgement() {
    let batch = EncodedBatch::encode(parse_script(SCRIPT).unwrap()).unwrap();
    let (_, acknowledged) = frames(batch.bytes());
    let asked: Vec<_> = (0..acknowledged.len())
        .filter(|i| acknowledged[*i])
        .collect();
    assert_eq!(
        asked,
        [acknowledged.len() - 2],
        "the batch's end is behind it"
    );
    assert_eq!(batch.messages() as usize, acknowledged.len() - 2);
}

#[test]
fn a_message_is_traced_to_its_operation() {
    let script = "add table ip t\nadd chain ip t c\nadd chain ip t d\nadd rule ip t c numgen random mod 1 vmap { 0 : goto d }\nflush chain ip t d\n";
    let batch = EncodedBatch::encode(parse_script(script).unwrap()).unwrap();
    let lines: Vec<_> = script.lines().collect();
    let traced: Vec<_> = (0..=batch.messages() as u32 + 1)
        .map(|s| batch.op_of(s).map(ToString::to_string))
        .collect();
    let rule = Some(lines[3].to_owned());
    let expected = [
        None,
        Some(lines[0].to_owned()),
        Some(lines[1].to_owned()),
        Some(lines[2].to_owned()),
        rule.clone(),
        rule.clone(),
        rule,
        Some(lines[4].to_owned()),
        None,
    ];
    assert_eq!(traced, expected);
}

#[test]
fn an_address_of_the_other_family_is_refused_with_its_operation() {
    for line in [
        "add element ip t s { 10.0.0.1 }",
        "delete element ip t m { 10.0.0.1 . tcp . 80 }",
        "add rule ip t c ip saddr != 10.0.0.0/9 drop",
        "add rule ip t c meta l4proto tcp dnat to 10.0.0.1:80",
        "add rule ip t c meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.0.0.1 . 80 }",
    ] {
        let mut ops = parse_script(line).unwrap();
        assert!(EncodedBatch::encode(ops.clone()).is_ok());
        ops[0].family = TableFamily::Ip6;
        let said = ops[0].to_string();
        let error = EncodedBatch::encode(ops).unwrap_err();
        assert_eq!(error, EncodeError::OtherFamily(said));
    }
}
