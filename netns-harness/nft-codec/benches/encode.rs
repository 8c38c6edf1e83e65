//! Encoding and printing 1,000 services of two endpoints, as kube-proxy lays them out.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use model::Ruleset;
use nft_codec::{
    Act, Comparison, Element, EncodedBatch, Key, L4Proto, Name, Network, Op, Rule, Statement,
    TableFamily, Verdict, parse_script, script,
};

const SERVICES: u32 = 1_000;
const PREAMBLE: &str = "add table ip t\nadd chain ip t mark\nadd set ip t ips { type ipv4_addr ; }\n\
    add map ip t services { type ipv4_addr . inet_proto . inet_service : verdict ; }\n";

fn operations() -> Vec<Op> {
    let mut ops = parse_script(PREAMBLE).unwrap_or_default();
    let table = Name::new("t");
    let mark = Statement::Verdict(Verdict::Jump(Name::new("mark")));
    for i in 0..SERVICES {
        let mut push = |act| {
            ops.push(Op {
                family: TableFamily::Ip,
                table: table.clone(),
                act,
            })
        };
        let vip = IpAddr::V4(Ipv4Addr::from_bits(0x0a60_0001 + i));
        let service = Name::from(format!("service-ULMVA6XW-bench/svc-{i}/tcp/p80"));
        let endpoints = [0, 1].map(|e| {
            (
                Name::from(format!(
                    "endpoint-5OJB2KTY-bench/svc-{i}/tcp/p80__10.128.{e}.1/8080"
                )),
                IpAddr::V4(Ipv4Addr::from_bits(0x0a80_0001 + 2 * i + e)),
            )
        });
        for chain in endpoints.iter().map(|(chain, _)| chain).chain([&service]) {
            push(Act::AddChain(chain.clone(), None, None));
            push(Act::FlushChain(chain.clone()));
        }
        let verdict = Some(Verdict::Goto(service.clone()));
        push(Act::AddElements(
            Name::new("ips"),
            vec![Element {
                key: Key::Address(vip),
                verdict: None,
                comment: None,
            }],
        ));
        let key = Key::AddressProtoPort(vip, L4Proto::TCP, 80);
        push(Act::AddElements(
            Name::new("services"),
            vec![Element {
                key,
                verdict,
                comment: None,
            }],
        ));
        let mut rule = |chain: &Name, statements: Vec<Statement>| {
            push(Act::AddRule(chain.clone(), Rule::new(statements)))
        };
        rule(
            &service,
            vec![
                Statement::DestinationAddress(Comparison::Equal, Network::host(vip)),
                Statement::DestinationPort(L4Proto::TCP, 80),
                Statement::SourceAddress(
                    Comparison::Unequal,
                    Network::new(IpAddr::from([10, 128, 0, 0]), 9),
                ),
                mark.clone(),
            ],
        );
        let entries = (0..)
            .zip(&endpoints)
            .map(|(n, (chain, _))| (n, Verdict::Goto(chain.clone())))
            .collect();
        rule(&service, vec![Statement::RandomVmap(2, entries)]);
        for (chain, address) in &endpoints {
            rule(
                chain,
                vec![
                    Statement::SourceAddress(Comparison::Equal, Network::host(*address)),
                    mark.clone(),
                ],
            );
            rule(
                chain,
                vec![
                    Statement::L4Proto(L4Proto::TCP),
                    Statement::Dnat(SocketAddr::new(*address, 8080)),
                ],
            );
        }
    }
    ops
}

fn benches(c: &mut Criterion) {
    let ops = operations();
    c.bench_function("encode 1000 services", |b| {
        b.iter_batched(
            || ops.clone(),
            |ops| black_box(EncodedBatch::encode(ops)),
            BatchSize::LargeInput,
        );
    });
    c.bench_function("print a script of 1000 services", |b| {
        b.iter(|| script(black_box(&ops)))
    });
    c.bench_function("interpret 1000 services", |b| {
        b.iter_batched(
            Ruleset::default,
            |mut kernel| black_box(kernel.interpret(&ops)),
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(all, benches);
criterion_main!(all);
