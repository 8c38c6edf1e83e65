//! Files that are broken at random, the same for the same seed, for the test and the example that read them.
#![allow(
    unreachable_pub,
    reason = "the test and the example are crates of their own"
)]

use cluster::{Refused, Shape};

/// The largest file that is made, bytes.
const LARGEST: usize = 48 << 10;

/// Files by the reader that knows them.
pub const READERS: [(&str, &[&[u8]]); 11] = [
    (
        "kubernetes-json",
        &[
            include_bytes!("../data/kubectl-list.json"),
            include_bytes!("../data/services-and-endpoints.json"),
            include_bytes!("../data/slices-v1beta1.jsonl"),
        ],
    ),
    (
        "kubernetes-yaml",
        &[
            include_bytes!("../data/kubectl-list.yaml"),
            include_bytes!("../data/manifests.yaml"),
        ],
    ),
    (
        "iptables-save",
        &[
            include_bytes!("../data/iptables-save.txt"),
            include_bytes!("../data/addresses-iptables.txt"),
            include_bytes!("../data/oldest-iptables.txt"),
        ],
    ),
    (
        "nft-text",
        &[
            include_bytes!("../data/nft-list-ruleset.txt"),
            include_bytes!("../data/nft-service-names.txt"),
            include_bytes!("../data/addresses-nft.txt"),
            include_bytes!("../data/addresses-nft.txt"),
        ],
    ),
    ("nft-json", &[include_bytes!("../data/nft-json.json")]),
    (
        "ipvsadm-save",
        &[include_bytes!("../data/ipvsadm-save.txt")],
    ),
    (
        "ipvsadm-list",
        &[include_bytes!("../data/ipvsadm-list.txt")],
    ),
    (
        "proc-net-ip_vs",
        &[include_bytes!("../data/proc-net-ip_vs.txt")],
    ),
    ("ipset-save", &[include_bytes!("../data/ipset-save.txt")]),
    ("shape", &[include_bytes!("../data/kubectl-list.shape")]),
    (
        "mixed",
        &[
            include_bytes!("../data/kubectl-list.json"),
            include_bytes!("../data/manifests.yaml"),
            include_bytes!("../data/oldest-iptables.txt"),
            include_bytes!("../data/addresses-iptables.txt"),
            include_bytes!("../data/addresses-nft.txt"),
            include_bytes!("../data/nft-json.json"),
            include_bytes!("../data/ipvsadm-save.txt"),
            include_bytes!("../data/proc-net-ip_vs.txt"),
            include_bytes!("../data/ipset-save.txt"),
            include_bytes!("../data/kubectl-list.shape"),
        ],
    ),
];

/// Random numbers: splitmix64.
pub struct Random(pub u64);

impl Random {
    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

/// What readers look for, or trip over.
const WORDS: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"null",
    b"1e999",
    b"COMMIT\n",
    b"---\n",
    b"/",
    b"!",
];

/// A range of a file.
fn part(random: &mut Random, file: &[u8]) -> std::ops::Range<usize> {
    let begin = random.below(file.len() + 1);
    let longest = if random.below(4) == 0 { file.len() } else { 40 };
    begin..file.len().min(begin + random.below(longest + 1))
}

/// The file of a seed: one of the reader's, broken in some places.
pub fn file(seed: u64, files: &[&[u8]]) -> Vec<u8> {
    let mut random = Random(seed);
    let mut file = files[random.below(files.len())].to_vec();
    for _ in 0..=random.below(6) {
        let at = part(&mut random, &file);
        match random.below(7) {
            0 => file.truncate(at.start),
            1 => drop(file.drain(at)),
            2 => {
                let again = file[at.clone()].to_vec();
                drop(file.splice(at.start..at.start, again));
            }
            3 => {
                let other = files[random.below(files.len())];
                let from = part(&mut random, other);
                drop(file.splice(at, other[from].iter().copied()));
            }
            4 => {
                let word = WORDS[random.below(WORDS.len())];
                let many = if random.below(20) == 0 { 300 } else { 1 };
                drop(file.splice(at.start..at.start, word.repeat(many)));
            }
            5 => {
                let mut lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
                let (one, other) = (random.below(lines.len()), random.below(lines.len()));
                if !lines.is_empty() {
                    lines.swap(one, other);
                }
                file = lines.concat();
            }
            _ => {
                if let Some(byte) = file.get_mut(at.start) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        file.truncate(LARGEST);
    }
    file
}

/// Reads a file and holds what must hold of whatever comes of it; whether it was a population.
pub fn holds(file: &[u8]) -> bool {
    let Ok(cluster) = cluster::read([("file", file)]) else {
        return false;
    };
    let places = cluster.services.iter().map(|s| (s.vip, s.port, s.protocol));
    let distinct: std::collections::HashSet<_> = places.collect();
    assert_eq!(distinct.len(), cluster.services.len());
    let shape = Shape::of(&cluster);
    match cluster::read([("shape", shape.text().as_bytes())]) {
        Ok(again) => assert_eq!(Shape::of(&again), shape),
        Err(Refused::ShapeTooLarge { .. }) => {}
        Err(e) => panic!("{e}"),
    }
    true
}
