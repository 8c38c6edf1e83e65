//! How long operations are expected to take, nanoseconds: for the plan that is printed before a run and
//! for the time left. Sizes from trials on a 2-CPU machine; a result never depends on them.

use netns_harness::datapath::Transport;
use schema::Mode;

/// N services of E endpoints each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Services, N.
    pub services: u32,
    /// Endpoints of each, E.
    pub endpoints: u32,
}

impl Size {
    /// Rules of kube-proxy's iptables layout.
    fn rules(self) -> u64 {
        u64::from(self.services) * (2 + 3 * u64::from(self.endpoints))
    }

    /// Services of two endpoints that weigh the same.
    fn weight(self) -> u64 {
        u64::from(1 + self.endpoints) * u64::from(self.services) / 3
    }
}

/// A process that is started and does nothing.
const PROCESS: u64 = 4_000_000;

/// Installing and proving a population the fastest way.
#[must_use]
pub fn preparation_ns(mode: Mode, size: Size) -> u64 {
    const PROOF: u64 = 150_000_000;
    let weight = size.weight();
    PROOF
        + match mode {
            Mode::None | Mode::Conntrack => 0,
            Mode::IptablesLegacy => 150_000 * weight,
            Mode::Ipset | Mode::Ipvs => 200_000 * weight,
            Mode::IptablesNft => 500_000 * weight,
            Mode::Nftables => 1_000_000 * weight,
        }
}

/// One install from nothing. One large transaction is quadratic where the kernel or the tool walks a
/// list of what the transaction holds.
#[must_use]
pub fn install_ns(mode: Mode, transport: Transport, one_transaction: bool, size: Size) -> u64 {
    let weight = size.weight();
    match (mode, transport) {
        (Mode::None | Mode::Conntrack, _) => 0,
        // Two set entries a service, a process each.
        (Mode::Ipvs, Transport::Exec) => (2 * u64::from(size.services) + 20) * PROCESS,
        (Mode::Ipvs, Transport::Ipvsadm) => 60_000_000 + 60_000 * weight,
        (Mode::Ipvs, _) => 40_000_000 + 30_000 * weight,
        (_, Transport::Exec) => size.rules() * (PROCESS + 4_000 * size.rules() / 2),
        (Mode::IptablesLegacy, _) => 40_000_000 + 70_000 * weight,
        (Mode::Ipset, _) => 50_000_000 + 80_000 * weight,
        (Mode::IptablesNft, _) if one_transaction => {
            20_000_000 + 150_000 * weight + 1_600 * weight * weight
        }
        (Mode::IptablesNft, _) => 20_000_000 + 300_000 * weight,
        (Mode::Nftables, _) if one_transaction => {
            10_000_000 + 160_000 * weight + 700 * weight * weight
        }
        (Mode::Nftables, _) => 10_000_000 + 900_000 * weight,
    }
}

/// One update of a few services at size N.
#[must_use]
pub fn update_ns(mode: Mode, transport: Transport, size: Size) -> u64 {
    let n = u64::from(size.services);
    let rules = size.rules();
    match (mode, transport) {
        (Mode::None | Mode::Conntrack, _) => 0,
        (Mode::IptablesLegacy | Mode::Ipset, Transport::Exec) => 10 * (PROCESS + 4_000 * rules),
        (Mode::IptablesNft, Transport::Exec) => 10 * (PROCESS + 8_000 * rules),
        (Mode::IptablesLegacy | Mode::Ipset, _) => 10_000_000 + 7_000 * rules,
        (Mode::IptablesNft, _) => 20_000_000 + 21_000 * rules,
        (Mode::Ipvs, Transport::Exec | Transport::Ipvsadm) => 4 * PROCESS,
        (Mode::Ipvs, _) => 1_000_000,
        (Mode::Nftables, Transport::Nft) => 20_000_000 + 17_000 * n,
        (Mode::Nftables, _) => 2_000_000 + 6_000 * n,
    }
}

/// What kube-proxy reads back before an update.
#[must_use]
pub fn read_back_ns(mode: Mode, size: Size) -> u64 {
    match mode {
        Mode::Nftables => PROCESS + 600_000 * size.weight(),
        // A process for each set, chain and jump; a set is listed and three questions asked a service.
        Mode::Ipvs => 54 * PROCESS + 60_000 * u64::from(size.services),
        _ => PROCESS,
    }
}

/// One listing of everything, parsed.
#[must_use]
pub fn listing_ns(mode: Mode, size: Size) -> u64 {
    match mode {
        Mode::None | Mode::Conntrack => PROCESS,
        Mode::Ipvs => PROCESS + 30_000 * u64::from(size.services),
        Mode::IptablesNft => PROCESS + 12_000 * size.rules(),
        _ => PROCESS + 8_000 * size.rules(),
    }
}
