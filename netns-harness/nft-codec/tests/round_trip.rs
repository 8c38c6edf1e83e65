//! Operations of both families, printed, read back and encoded, without a kernel.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nft_codec::{
    Act, Comparison, Element, EncodedBatch, Key, KeyType, L4Proto, Name, Network, Op, Rule,
    SetSpec, Statement, TableFamily, Verdict, parse_script, script,
};
use proptest::prelude::*;

/// An address of a family.
fn address(family: TableFamily, bits: u128) -> IpAddr {
    match family {
        TableFamily::Ip => Ipv4Addr::from_bits(bits as u32).into(),
        TableFamily::Ip6 => Ipv6Addr::from_bits(bits).into(),
    }
}

/// Operations that name addresses, in each place where one can stand.
fn acts(from: IpAddr, to: IpAddr, prefix: u8, port: u16) -> Vec<Act> {
    let (set, chain) = (Name::new("set"), Name::new("chain"));
    let spec = |key, verdicts| SetSpec {
        name: set.clone(),
        key,
        verdicts,
        timeout: None,
        comment: None,
    };
    let drop = || Some(Verdict::Drop);
    let keys = [
        Key::Address(to),
        Key::AddressProtoPort(to, L4Proto::UDP, port),
        Key::AddressesProtoPort([from, to], L4Proto::TCP, port),
        Key::ProtoPort(L4Proto(132), port),
    ];
    let at = SocketAddr::new(to, port);
    let rule = |statements: Vec<Statement>| Act::AddRule(chain.clone(), Rule::new(statements));
    let network = Network::new(from, prefix);
    let mut acts: Vec<Act> = keys
        .iter()
        .flat_map(|key| {
            [
                Act::AddSet(spec(key.key_type(), true)),
                Act::AddElements(set.clone(), vec![Element::new(*key, drop())]),
                Act::DeleteElements(set.clone(), vec![*key]),
            ]
        })
        .collect();
    acts.push(Act::AddSet(spec(KeyType::Address, false)));
    acts.push(Act::AddSet(SetSpec {
        timeout: Some(Duration::from_secs(10_800)),
        ..spec(KeyType::Address, false)
    }));
    acts.extend([
        rule(vec![
            Statement::SourceAddress(Comparison::Unequal, network),
            Statement::DestinationAddress(Comparison::Equal, Network::host(to)),
            Statement::Reject,
        ]),
        rule(vec![
            Statement::SourceIsLocal,
            Statement::SourceInSet(set.clone()),
            Statement::UpdateWithSource(set.clone()),
            Statement::SourceOutside(vec![network]),
        ]),
        rule(vec![
            Statement::SourceOutside(vec![network, Network::host(to)]),
            Statement::Verdict(Verdict::Drop),
        ]),
        rule(vec![
            Statement::IsDnatted,
            Statement::ConnectionInSet(set.clone()),
            Statement::MasqueradeFullyRandom,
        ]),
        rule(vec![
            Statement::DestinationInSet(set.clone()),
            Statement::ServiceVmap(set.clone()),
        ]),
        rule(vec![Statement::L4Proto(L4Proto::TCP), Statement::Dnat(at)]),
        rule(vec![Statement::RandomDnat(3, vec![(0, at), (2, at)])]),
    ]);
    acts
}

proptest! {
    #[test]
    fn whatever_is_printed_is_read_back_and_can_be_sent(
        family in prop::sample::select(TableFamily::ALL.to_vec()),
        bits in any::<[u128; 2]>(),
        prefix in 0_u8..=128,
        port in any::<u16>(),
    ) {
        let [from, to] = bits.map(|bits| address(family, bits));
        let acts = acts(from, to, prefix, port);
        let table = Name::new("t");
        let ops: Vec<Op> = acts
            .into_iter()
            .map(|act| Op { family, table: table.clone(), act })
            .collect();
        let read = parse_script(&script(&ops)).unwrap();
        prop_assert_eq!(&read, &ops);
        let count = ops.len() as u64;
        // The anonymous map of the random choice takes two messages more, and so does the set of networks.
        prop_assert_eq!(EncodedBatch::encode(ops).unwrap().messages(), count + 4);
    }
}
