use std::net::Ipv4Addr;

use testing::in_namespace;

use super::layout;
use crate::datapath::meaning::Meaning as _;
use crate::datapath::nftables::Nftables;
use crate::datapath::{
    Batch, Breakable as _, Damage, Datapath as _, Inspect as _, Inventory, KubeProxy as _,
    RenderOptions, Sockets, Transport,
};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend, Population, SERVICE_CIDR, Service};

const NETLINK: RenderOptions = RenderOptions::by(Transport::Netlink);
const NFT: RenderOptions = RenderOptions::by(Transport::Nft);
/// Every way of making a change.
const WAYS: [RenderOptions; 5] = [
    NETLINK,
    NFT,
    RenderOptions {
        chunk: Some(2),
        ..NETLINK
    },
    RenderOptions {
        resync: true,
        ..NETLINK
    },
    RenderOptions {
        resync: true,
        ..NFT
    },
];

fn service(index: u32, endpoints: u32) -> Service {
    Service::of_test(
        index,
        0x0a60_0001 + index * 7,
        0x0a80_0001 + index * 40,
        endpoints,
    )
}

fn population(services: u32, endpoints: u32) -> Population {
    Population {
        services: (0..services)
            .map(|index| service(index, endpoints))
            .collect(),
    }
}

fn apply(batch: &Batch) {
    let mut sockets = Sockets::of(batch).unwrap();
    Nftables.apply(batch, &mut sockets).unwrap();
    // What is opened in between is timed.
    assert_eq!(sockets.kinds(), batch.sockets());
}

fn assert_serves(wanted: &Population) {
    assert_eq!(
        Nftables
            .census()
            .unwrap()
            .differences(&Relation::of(wanted)),
        None
    );
}

#[test]
fn chain_names_are_kube_proxy_s() {
    // The two examples in kube-proxy's source.
    let mut svc = service(0, 0);
    assert_eq!(
        layout::hashed("service", "ns1/svc1/tcp/p80").as_str(),
        "service-ULMVA6XW-ns1/svc1/tcp/p80"
    );
    assert_eq!(
        layout::hashed("endpoint", "ns1/svc1/tcp/p80__10.180.0.1/80").as_str(),
        "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    );
    svc.endpoints.push(Endpoint {
        address: Ipv4Addr::new(10, 128, 0, 1),
        port: 8080,
    });
    assert!(
        layout::service_chain(&svc)
            .as_str()
            .ends_with("-bench/svc-0/tcp/p80")
    );
    assert!(
        layout::endpoint_chains(&svc)[0]
            .as_str()
            .ends_with("-bench/svc-0/tcp/p80__10.128.0.1/8080")
    );
}

#[test]
fn a_service_is_laid_out_as_kube_proxy_does() {
    let from = population(1, 1);
    let batch = Nftables.render(
        Some(&from),
        &Population {
            services: vec![from.services[0].clone(), service(2, 2)],
        },
        &NFT,
    );
    let script = batch.to_string();
    let service = layout::service_chain(&super::tests::service(2, 2));
    let [e0, e1] = &layout::endpoint_chains(&super::tests::service(2, 2))[..] else {
        panic!()
    };
    let expected = format!(
        "add chain ip kube-proxy {e0}\nflush chain ip kube-proxy {e0}\nadd chain ip kube-proxy {e1}\nflush chain ip kube-proxy {e1}\n\
         add chain ip kube-proxy {service}\nflush chain ip kube-proxy {service}\n\
         add element ip kube-proxy cluster-ips {{ 10.96.0.15 }}\n\
         add element ip kube-proxy service-ips {{ 10.96.0.15 . tcp . 80 : goto {service} }}\n\
         add rule ip kube-proxy {service} ip daddr 10.96.0.15 tcp dport 80 ip saddr != 10.128.0.0/9 jump mark-for-masquerade\n\
         add rule ip kube-proxy {service} numgen random mod 2 vmap {{ 0 : goto {e0} , 1 : goto {e1} }}\n\
         add rule ip kube-proxy {e0} ip saddr 10.128.0.81 jump mark-for-masquerade\n\
         add rule ip kube-proxy {e0} meta l4proto tcp dnat to 10.128.0.81:8080\n\
         add rule ip kube-proxy {e1} ip saddr 10.128.0.82 jump mark-for-masquerade\n\
         add rule ip kube-proxy {e1} meta l4proto tcp dnat to 10.128.0.82:8080\n"
    );
    assert_eq!(script, expected);
}

#[test]
fn the_base_is_the_text_and_names_the_address_plan() {
    let base = layout::base(layout::FullSync::Later);
    assert_eq!(nft_codec::script(&base), include_str!("base.nft"));
    let network = format!("ip daddr {SERVICE_CIDR} drop");
    assert!(include_str!("base.nft").contains(&network), "{network}");
    let mut kernel = model::Ruleset::default();
    kernel.interpret(&base).unwrap();
    assert_eq!(kernel.tables[layout::TABLE], nft_codec::Table::of(&base));
}

#[test]
fn law_of_size_of_installs_and_updates() {
    for (n, e) in [(0, 1), (1, 1), (10, 1), (10, 3), (100, 2)] {
        let (n64, e64) = (u64::from(n), u64::from(e));
        let all = population(n, e);
        for chunk in [None, Some(7)] {
            let install = Nftables.render(None, &all, &RenderOptions { chunk, ..NETLINK });
            assert_eq!(
                (install.operations(), install.messages()),
                (87 + n64 * (6 + 4 * e64), 87 + n64 * (8 + 4 * e64)),
                "{n} {e}"
            );
            let script = Nftables.render(None, &all, &RenderOptions { chunk, ..NFT });
            assert_eq!(
                (script.operations(), script.messages()),
                (install.operations(), 0)
            );
            assert_eq!(script.to_string(), install.to_string());
        }
        for options in [NETLINK, NFT] {
            let resync = RenderOptions {
                resync: true,
                ..options
            };
            let again = Nftables.render(Some(&all), &all, &resync);
            let messages = match options.transport {
                Transport::Nft => 0,
                _ => 71 + n64 * (8 + 4 * e64),
            };
            assert_eq!(
                (again.steps.len(), again.operations(), again.messages()),
                (1, 71 + n64 * (6 + 4 * e64), messages)
            );
        }
        let mut more = all.clone();
        more.services.push(service(n, e));
        let add = Nftables.render(Some(&all), &more, &NETLINK);
        assert_eq!(
            (add.steps.len(), add.operations(), add.messages()),
            (1, 6 + 4 * e64, 8 + 4 * e64)
        );
        let remove = Nftables.render(Some(&more), &all, &NETLINK);
        assert_eq!(
            (remove.steps.len(), remove.operations(), remove.messages()),
            (2, 4 + 2 * e64, 4 + 2 * e64)
        );
        assert_eq!(Nftables.render(Some(&all), &all, &NETLINK).steps.len(), 0);
    }
}

#[test]
fn a_resync_writes_what_an_install_writes_but_does_not_make_the_base_chains_anew() {
    let all = population(5, 2);
    let install = Nftables.render(None, &all, &NFT).to_string();
    let resync = RenderOptions {
        resync: true,
        ..NFT
    };
    let again = Nftables.render(Some(&all), &all, &resync).to_string();
    let anew = |line: &&str| {
        let bare_chain = line.starts_with("add chain ip kube-proxy ") && !line.contains('{');
        line.starts_with("delete chain ")
            || bare_chain && layout::base_chains().any(|chain| line.ends_with(&format!(" {chain}")))
    };
    let kept: Vec<&str> = install.lines().filter(|l| !anew(l)).collect();
    assert_eq!(again.lines().collect::<Vec<_>>(), kept);
    assert_eq!(install.lines().filter(anew).count(), 16);
}

#[test]
fn the_kernel_holds_what_the_law_says() {
    for (n, e) in [(0_u64, 1_u64), (1, 1), (10, 3), (40, 2)] {
        in_namespace(|| {
            assert_eq!(Nftables.inventory().unwrap(), Inventory::default());
            apply(&Nftables.render(None, &population(n as u32, e as u32), &NETLINK));
            let wanted = Inventory {
                rules: 24 + n * (2 + 2 * e),
                chains: 16 + n * (1 + e),
                sets: 7 + n,
                elements: n * (2 + e),
            };
            assert_eq!(Nftables.inventory().unwrap(), wanted, "{n} {e}");
        });
    }
}

#[test]
fn kube_proxy_s_read_back_lists_the_table_with_the_installed_nft() {
    let wanted = population(3, 2);
    in_namespace(|| {
        apply(&Nftables.render(None, &wanted, &NETLINK));
        let sync = Nftables.kube_proxy_sync(&wanted).unwrap();
        assert_eq!(sync.transport, Transport::Nft);
        for words in &sync.read_back {
            let listed = std::process::Command::new(&words[0])
                .args(&words[1..])
                .output()
                .unwrap();
            let text = String::from_utf8(listed.stdout).unwrap();
            assert!(
                listed.status.success() && text.contains("service-"),
                "{text}"
            );
        }
    });
}

#[test]
fn chunks_hold_that_many_services_and_the_base_goes_with_the_first() {
    let batch = Nftables.render(
        None,
        &population(10, 2),
        &RenderOptions {
            chunk: Some(4),
            ..NETLINK
        },
    );
    let operations: Vec<_> = batch.steps.iter().map(|step| step.operations()).collect();
    assert_eq!(operations, [87 + 4 * 14, 4 * 14, 2 * 14]);
}

/// Populations that differ in every way that an update can: added, removed, moved to another VIP,
/// endpoints added, removed, exchanged, all gone and back; VIPs shared by two ports.
fn generations() -> Vec<Population> {
    let first = population(6, 2);
    let mut second = first.clone();
    second.services.remove(1);
    second.services[0].endpoints.push(Endpoint {
        address: Ipv4Addr::new(10, 129, 0, 1),
        port: 9090,
    });
    second.services[1].endpoints.remove(0);
    second.services[2].frontend.vip = Ipv4Addr::new(10, 96, 9, 9);
    second.services[3].endpoints.reverse();
    let mut shared = service(7, 3);
    shared.frontend = Frontend {
        port: 443,
        ..second.services[4].frontend
    };
    second.services.push(shared);
    let mut third = second.clone();
    third.services[0].endpoints.clear();
    third.services.remove(4); // the other port of its VIP stays
    let (a, b) = (
        third.services[1].frontend.vip,
        third.services[2].frontend.vip,
    );
    (
        third.services[1].frontend.vip,
        third.services[2].frontend.vip,
    ) = (b, a);
    vec![
        first,
        second,
        third,
        Population::default(),
        population(3, 1),
    ]
}

#[test]
fn updates_mean_the_population_they_lead_to_and_leave_no_stale_chain() {
    for options in WAYS {
        let mut batches = Vec::new();
        let mut from = None;
        for to in generations() {
            batches.push(Nftables.render(from.as_ref(), &to, &options));
            let meaning = Nftables.meaning(&batches).unwrap();
            assert_eq!(meaning.differences(&Relation::of(&to)), None);
            let mut kernel = model::Ruleset::default();
            let script: String = batches.iter().map(ToString::to_string).collect();
            kernel
                .interpret(&nft_codec::parse_script(&script).unwrap())
                .unwrap();
            let per_service = kernel.tables[layout::TABLE]
                .chains
                .keys()
                .filter(|name| name.as_str().contains('/'))
                .count();
            let served = to.services.iter().filter(|s| !s.endpoints.is_empty());
            assert_eq!(
                per_service,
                served.map(|s| 1 + s.endpoints.len()).sum::<usize>()
            );
            from = Some(to);
        }
    }
}

#[test]
fn every_update_is_taken_by_the_kernel_and_listed_as_what_it_means() {
    for options in WAYS {
        in_namespace(|| {
            assert_eq!(Nftables.census().unwrap(), Relation::default());
            let mut from = None;
            for to in generations() {
                apply(&Nftables.render(from.as_ref(), &to, &options));
                assert_serves(&to);
                from = Some(to);
            }
            assert_eq!(Nftables.nat_counters().unwrap(), Some(0));
            assert!(Nftables.remove().is_empty());
            assert!(Nftables.remove().is_empty(), "nothing is there any more");
            assert_eq!(Nftables.census().unwrap(), Relation::default());
            assert_eq!(Nftables.nat_counters().unwrap(), None);
        });
    }
}

#[test]
fn the_probe_leaves_nothing() {
    for transport in [Transport::Netlink, Transport::Nft] {
        in_namespace(|| {
            Nftables.probe(transport).unwrap();
            assert_eq!(Nftables.census().unwrap(), Relation::default());
        });
    }
}

/// Runs `nft` with that command.
fn nft(command: &str) {
    let done = std::process::Command::new("nft")
        .arg(command)
        .output()
        .expect("nft: apt-get install nftables");
    assert!(
        done.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn every_damage_is_seen_by_the_census() {
    let wanted = population(4, 2);
    for damage in Damage::ALL.iter().copied() {
        in_namespace(|| {
            apply(&Nftables.render(None, &wanted, &NETLINK));
            assert_serves(&wanted);
            for command in Nftables.damage(damage, &wanted.services[0], &wanted.services[2]) {
                assert_eq!(command[0], "nft");
                nft(&command[1]);
            }
            match Nftables.census() {
                Ok(relation) => assert!(
                    relation.differences(&Relation::of(&wanted)).is_some(),
                    "{damage:?}"
                ),
                Err(error) => eprintln!("{damage:?}: {error}"),
            }
        });
    }
}

#[test]
fn whatever_does_not_belong_is_an_error_of_the_census() {
    let wanted = population(2, 2);
    let chain = layout::service_chain(&wanted.services[0]);
    let endpoint = layout::endpoint_chains(&wanted.services[0])[0].clone();
    for command in [
        "add table inet other".to_owned(),
        "add table ip nat".to_owned(),
        "flush chain ip kube-proxy services".to_owned(),
        "flush chain ip kube-proxy nat-output".to_owned(),
        "insert rule ip kube-proxy nat-prerouting accept".to_owned(),
        "insert rule ip kube-proxy nat-prerouting limit rate 1/second accept".to_owned(),
        "add chain ip kube-proxy early { type nat hook prerouting priority -150 ; }; add rule ip kube-proxy early accept".to_owned(),
        "add set ip kube-proxy mine { type inet_service ; }".to_owned(),
        "add element ip kube-proxy cluster-ips { 10.99.0.1 }".to_owned(),
        "delete element ip kube-proxy cluster-ips { 10.96.0.1 }".to_owned(),
        "add element ip kube-proxy service-ips { 10.96.0.1 . sctp . 80 : goto reject-chain }".to_owned(),
        "add element ip kube-proxy no-endpoint-services { 10.96.0.1 . tcp . 80 : goto reject-chain }".to_owned(),
        "add element ip kube-proxy firewall-ips { 10.96.0.1 . tcp . 80 : drop }".to_owned(),
        format!("insert rule ip kube-proxy {chain} drop"),
        format!("add rule ip kube-proxy {chain} counter"),
        format!("flush chain ip kube-proxy {chain}"),
        format!("insert rule ip kube-proxy {endpoint} ip saddr 10.0.0.1 drop"),
        format!("flush chain ip kube-proxy {endpoint}; add rule ip kube-proxy {endpoint} meta l4proto udp dnat to 10.128.0.1:8080"),
        "add chain ip kube-proxy lost; add rule ip kube-proxy lost drop".to_owned(),
    ] {
        in_namespace(|| {
            apply(&Nftables.render(None, &wanted, &NETLINK));
            assert_serves(&wanted);
            nft(&command);
            let error = Nftables.census().map(|_| ()).unwrap_err();
            eprintln!("{command}: {error}");
        });
    }
}

#[test]
fn a_refused_transaction_names_its_operation() {
    in_namespace(|| {
        let (from, to) = (population(1, 1), population(2, 1));
        let error = Nftables
            .carry_out(&Nftables.render(Some(&from), &to, &NETLINK))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("add chain ip kube-proxy endpoint-") && error.contains("ENOENT"),
            "{error}"
        );
        let error = Nftables
            .carry_out(&Nftables.render(Some(&from), &to, &NFT))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nft -f -") && error.contains("No such file"),
            "{error}"
        );
    });
}
