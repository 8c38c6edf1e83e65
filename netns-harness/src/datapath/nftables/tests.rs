use std::net::IpAddr;

use schema::{Family, KubeProxyVersion, Protocol, Stack};
use testing::in_namespace;

use super::layout::{self, FullSync, Layout};
use crate::datapath::meaning::Meaning as _;
use crate::datapath::nftables::Nftables;
use crate::datapath::{
    Batch, Breakable as _, Damage, Datapath as _, Inspect as _, Inventory, KubeProxy as _,
    RenderOptions, Sockets, SyncKind, Transport,
};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend, Plan, Population, Service};

const NETLINK: RenderOptions = RenderOptions::by(Transport::Netlink);
const NFT: RenderOptions = RenderOptions::by(Transport::Nft);
const IPV4: Family = Family::Ipv4;
/// The newest version.
const NEWEST: Nftables = Nftables::of(KubeProxyVersion::V1_37, IPV4);
/// One whose endpoints have chains of their own.
const CHAINS: Nftables = Nftables::of(KubeProxyVersion::V1_35, IPV4);

/// Every version, for services of each family.
fn every_layout() -> impl Iterator<Item = Nftables> {
    let families = Family::ALL.iter().copied();
    families.flat_map(|family| {
        let versions = KubeProxyVersion::ALL.iter();
        versions.map(move |version| Nftables::of(*version, family))
    })
}

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

fn service(family: Family, index: u32, endpoints: u32) -> Service {
    let plan = Plan::of(family);
    Service::cluster_ip(
        index,
        Frontend {
            vip: plan.services.host(1 + index * 7),
            port: 80,
            protocol: [Protocol::Tcp, Protocol::Udp][index as usize % 2],
        },
        (0..endpoints)
            .map(|e| Endpoint {
                address: plan.endpoints.host(1 + index * 40 + e),
                port: 8080,
            })
            .collect(),
    )
}

fn population(family: Family, services: u32, endpoints: u32) -> Population {
    Population {
        services: (0..services)
            .map(|index| service(family, index, endpoints))
            .collect(),
    }
}

fn apply(batch: &Batch) {
    let mut sockets = Sockets::of(batch).unwrap();
    NEWEST.apply(batch, &mut sockets).unwrap();
    // What is opened in between is timed.
    assert_eq!(sockets.kinds(), batch.sockets());
}

fn assert_serves(nftables: Nftables, wanted: &Population) {
    assert_eq!(
        nftables
            .census()
            .unwrap()
            .differences(&Relation::of(wanted)),
        None
    );
}

#[test]
fn chain_names_are_kube_proxy_s() {
    // The two examples in kube-proxy's source.
    let mut svc = service(IPV4, 0, 0);
    assert_eq!(
        layout::hashed("service", "ns1/svc1/tcp/p80").as_str(),
        "service-ULMVA6XW-ns1/svc1/tcp/p80"
    );
    assert_eq!(
        layout::hashed("endpoint", "ns1/svc1/tcp/p80__10.180.0.1/80").as_str(),
        "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    );
    svc.endpoints.push(Endpoint {
        address: IpAddr::from([10, 128, 0, 1]),
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

/// What is sent to add service 2, of so many endpoints.
fn added(version: KubeProxyVersion, family: Family, endpoints: u32) -> String {
    let from = population(family, 1, 1);
    let mut to = from.clone();
    to.services.push(service(family, 2, endpoints));
    Nftables::of(version, family)
        .render(Some(&from), &to, &NFT)
        .to_string()
}

#[test]
fn a_service_is_laid_out_as_kube_proxy_does() {
    for (family, ip, vip, cluster, to, at) in [
        (
            Family::Ipv4,
            "ip",
            "10.96.0.15",
            "10.128.0.0/9",
            ["10.128.0.81", "10.128.0.82"],
            ["10.128.0.81:8080", "10.128.0.82:8080"],
        ),
        (
            Family::Ipv6,
            "ip6",
            "fd00:10:96::f",
            "fd00:10:128::/105",
            ["fd00:10:128::51", "fd00:10:128::52"],
            ["[fd00:10:128::51]:8080", "[fd00:10:128::52]:8080"],
        ),
    ] {
        use KubeProxyVersion::{V1_32, V1_33, V1_34, V1_35, V1_36, V1_37};
        let added = |version, endpoints| added(version, family, endpoints);
        let laid_out = super::tests::service(family, 2, 2);
        let service = layout::service_chain(&laid_out);
        let [e0, e1] = &layout::endpoint_chains(&laid_out)[..] else {
            panic!()
        };
        let own = format!(
            "add chain {ip} kube-proxy {service}\nflush chain {ip} kube-proxy {service}\n\
             add element {ip} kube-proxy cluster-ips {{ {vip} }}\n\
             add element {ip} kube-proxy service-ips {{ {vip} . tcp . 80 : goto {service} }}\n"
        );
        for (version, port) in [
            (V1_32, " tcp dport 80"),
            (V1_33, " tcp dport 80"),
            (V1_34, ""),
            (V1_35, ""),
        ] {
            let expected = format!(
                "add chain {ip} kube-proxy {e0}\nflush chain {ip} kube-proxy {e0}\nadd chain {ip} kube-proxy {e1}\nflush chain {ip} kube-proxy {e1}\n\
                 {own}\
                 add rule {ip} kube-proxy {service} {ip} daddr {vip}{port} {ip} saddr != {cluster} jump mark-for-masquerade\n\
                 add rule {ip} kube-proxy {service} numgen random mod 2 vmap {{ 0 : goto {e0} , 1 : goto {e1} }}\n\
                 add rule {ip} kube-proxy {e0} {ip} saddr {} jump mark-for-masquerade\n\
                 add rule {ip} kube-proxy {e0} meta l4proto tcp dnat to {}\n\
                 add rule {ip} kube-proxy {e1} {ip} saddr {} jump mark-for-masquerade\n\
                 add rule {ip} kube-proxy {e1} meta l4proto tcp dnat to {}\n",
                to[0], at[0], to[1], at[1]
            );
            assert_eq!(added(version, 2), expected, "{version}");
        }
        let rule = format!("{own}add rule {ip} kube-proxy {service} meta l4proto tcp dnat");
        let two = format!(
            " {ip} addr . port to numgen random mod 2 map {{ 0 : {} . 8080 , 1 : {} . 8080 }}",
            to[0], to[1]
        );
        let one = format!(
            " {ip} addr . port to numgen random mod 1 map {{ 0 : {} . 8080 }}",
            to[0]
        );
        let plain = format!(" to {}", at[0]);
        for (version, endpoints, to) in [
            (V1_36, 2, &two),
            (V1_37, 2, &two),
            (V1_36, 1, &one),
            (V1_37, 1, &plain),
        ] {
            assert_eq!(
                added(version, endpoints),
                format!("{rule}{to}\n"),
                "{version}"
            );
        }
    }
}

#[test]
fn the_name_of_an_ipv6_endpoints_chain_holds_no_colon() {
    let mut service = service(Family::Ipv6, 0, 1);
    service.endpoints[0].address = Plan::of(Family::Ipv6).endpoints.host(0x1_0002);
    let chain = layout::endpoint_chains(&service).remove(0);
    let name = chain.as_str();
    assert!(name.ends_with("__fd00.10.128..1.2/8080"), "{name}");
}

#[test]
fn the_bases_are_the_texts_and_name_the_address_plan() {
    for Nftables {
        version, family, ..
    } in every_layout()
    {
        let (plan, table) = (Plan::of(family), layout::table_family(family));
        let base = Layout::of(version, family).base(FullSync::Later);
        let script = nft_codec::script(&base);
        let network = format!("{table} daddr {} drop", plan.services);
        // A cluster of 1.32 tells its kube-proxies of no range.
        assert_eq!(
            script.contains(&network),
            version != KubeProxyVersion::V1_32
        );
        assert!(script.contains(&format!("nodeport-ips {{ {} }}", plan.node())));
        assert_eq!(nft_codec::parse_script(&script).unwrap(), base);
        let mut kernel = model::Ruleset::default();
        kernel.interpret(&base).unwrap();
        assert_eq!(
            kernel.table(table, layout::TABLE),
            Some(&nft_codec::Table::of(&base)),
            "{version}"
        );
    }
}

/// The rules of IPv6 are those of IPv4 in other words: no address of the other family is left, and whatever is counted
/// is the same.
#[test]
fn the_base_of_ipv6_is_that_of_ipv4_line_by_line() {
    for version in KubeProxyVersion::ALL.iter().copied() {
        let [ipv4, ipv6] = [Family::Ipv4, Family::Ipv6].map(|family| {
            let base = Layout::of(version, family).base(FullSync::First);
            assert!(!base.iter().any(nft_codec::Op::names_other_family));
            nft_codec::script(&base)
        });
        let (from, to) = (Plan::of(Family::Ipv4), Plan::of(Family::Ipv6));
        let said = ipv4
            .replace(" ip ", " ip6 ")
            .replace("ipv4_addr", "ipv6_addr")
            .replace(&from.services.to_string(), &to.services.to_string())
            .replace(&from.cluster.to_string(), &to.cluster.to_string())
            .replace(&from.node().to_string(), &to.node().to_string());
        assert_eq!(ipv6, said, "{version}");
    }
}

/// Operations of an installation without services.
const fn base_operations(version: KubeProxyVersion) -> u64 {
    use KubeProxyVersion::{V1_32, V1_33, V1_34, V1_35, V1_36, V1_37};
    match version {
        V1_32 => 87,
        V1_33 | V1_34 | V1_35 => 82,
        V1_36 => 80,
        V1_37 => 94,
    }
}

/// Operations of a service's chains and rules, its elements aside; anonymous maps.
fn of_a_service(version: KubeProxyVersion, e: u64) -> (u64, u64) {
    match version >= KubeProxyVersion::V1_36 {
        true => (3, u64::from(version == KubeProxyVersion::V1_36 || e > 1)),
        false => (4 + 4 * e, 1),
    }
}

#[test]
fn law_of_size_of_installs_and_updates() {
    for nftables in every_layout() {
        let Nftables {
            version, family, ..
        } = nftables;
        for (n, e) in [(0, 1), (1, 1), (10, 1), (10, 3), (100, 2)] {
            let (n64, e64) = (u64::from(n), u64::from(e));
            let (own, maps) = of_a_service(version, e64);
            let (b, add) = (base_operations(version), own + 2);
            let all = population(family, n, e);
            let case = format!("{version} {family} {n} {e}");
            for chunk in [None, Some(7)] {
                let install = nftables.render(None, &all, &RenderOptions { chunk, ..NETLINK });
                assert_eq!(
                    (install.operations(), install.messages()),
                    (b + n64 * add, b + n64 * (add + 2 * maps)),
                    "{case}"
                );
                let script = nftables.render(None, &all, &RenderOptions { chunk, ..NFT });
                assert_eq!(
                    (script.operations(), script.messages()),
                    (install.operations(), 0)
                );
                assert_eq!(script.to_string(), install.to_string());
            }
            // Elements that are read are not written again.
            let again_each = if version == KubeProxyVersion::V1_32 {
                add
            } else {
                own
            };
            for options in [NETLINK, NFT] {
                let resync = RenderOptions {
                    resync: true,
                    ..options
                };
                let again = nftables.render(Some(&all), &all, &resync);
                let messages = match options.transport {
                    Transport::Nft => 0,
                    _ => b - 16 + n64 * (again_each + 2 * maps),
                };
                assert_eq!(
                    (again.steps.len(), again.operations(), again.messages()),
                    (1, b - 16 + n64 * again_each, messages),
                    "{case}"
                );
            }
            let mut more = all.clone();
            more.services.push(service(family, n, e));
            let grown = nftables.render(Some(&all), &more, &NETLINK);
            assert_eq!(
                (grown.steps.len(), grown.operations(), grown.messages()),
                (1, add, add + 2 * maps),
                "{case}"
            );
            let chains = if version >= KubeProxyVersion::V1_36 {
                1
            } else {
                1 + e64
            };
            let remove = nftables.render(Some(&more), &all, &NETLINK);
            let removes = 2 * chains + 2;
            assert_eq!(
                (remove.steps.len(), remove.operations(), remove.messages()),
                (2, removes, removes),
                "{case}"
            );
            assert_eq!(nftables.render(Some(&all), &all, &NETLINK).steps.len(), 0);
        }
    }
}

#[test]
fn an_exchange_of_endpoints_is_one_transaction_where_they_have_no_chains() {
    for nftables in every_layout() {
        let from = population(nftables.family, 3, 2);
        let mut to = from.clone();
        to.services[1].endpoints[1].port = 9090;
        let batch = nftables.render(Some(&from), &to, &NETLINK);
        let shape = (batch.steps.len(), batch.operations());
        let rule = nftables.version >= KubeProxyVersion::V1_36;
        // Two endpoints: 4 + 4·2, and a chain that is flushed and deleted; or a chain, flushed, and its rule.
        assert_eq!(
            shape,
            if rule { (1, 3) } else { (2, 14) },
            "{}",
            nftables.version
        );
    }
}

#[test]
fn a_resync_writes_what_an_install_writes_but_does_not_make_the_base_chains_anew() {
    for nftables in every_layout() {
        let all = population(nftables.family, 5, 2);
        let install = nftables.render(None, &all, &NFT).to_string();
        let resync = RenderOptions {
            resync: true,
            ..NFT
        };
        let again = nftables.render(Some(&all), &all, &resync).to_string();
        let base: Vec<String> = nftables
            .layout()
            .base_chains()
            .map(|c| format!(" {c}"))
            .collect();
        let anew = |line: &&str| {
            base.iter().any(|chain| line.ends_with(chain))
                && (line.starts_with("delete chain ") || line.starts_with("add chain "))
        };
        // Elements of services: the node's own address is in every base.
        let element = |line: &&str| {
            line.starts_with("add element ")
                && !line.contains("nodeport-ips")
                && nftables.layout().reads_sets
        };
        let kept: Vec<&str> = install
            .lines()
            .filter(|l| !anew(l) && !element(l))
            .collect();
        assert_eq!(again.lines().collect::<Vec<_>>(), kept);
        assert_eq!(install.lines().filter(anew).count(), 16);
    }
}

#[test]
fn the_kernel_holds_what_the_law_says() {
    for nftables in every_layout() {
        let Nftables {
            version, family, ..
        } = nftables;
        for (n, e) in [(0_u64, 1_u64), (1, 1), (10, 3), (40, 2)] {
            in_namespace(|| {
                assert_eq!(nftables.inventory().unwrap(), Inventory::default());
                let all = population(family, n as u32, e as u32);
                apply(&nftables.render(None, &all, &NETLINK));
                let (_, maps) = of_a_service(version, e);
                let without_map = n * (1 - maps);
                let chains_each = version < KubeProxyVersion::V1_36;
                let wanted = Inventory {
                    rules: match (chains_each, version) {
                        (true, KubeProxyVersion::V1_32) => 23 + n * (2 + 2 * e),
                        (true, _) => 24 + n * (2 + 2 * e),
                        (false, _) => 23 + n,
                    },
                    chains: if chains_each {
                        16 + n * (1 + e)
                    } else {
                        15 + n
                    },
                    sets: if chains_each { 7 } else { 8 } + n * maps,
                    elements: 1 + n * (2 + e) - without_map * e,
                    anonymous_sets: n * maps,
                    anonymous_elements: n * maps * e,
                    ..Inventory::default()
                };
                let listed = nftables.inventory().unwrap();
                assert_eq!(listed, wanted, "{version} {family} {n} {e}");
            });
        }
    }
}

/// All that `nft` lists.
fn listed() -> String {
    let listed = std::process::Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    assert!(listed.status.success());
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn our_messages_leave_what_the_tool_leaves_of_the_same_rules() {
    for nftables in every_layout() {
        let wanted = Population {
            services: [2, 0, 1, 10]
                .into_iter()
                .zip(0..)
                .map(|(e, i)| service(nftables.family, i, e))
                .collect(),
        };
        let [ours, theirs] = [NETLINK, NFT].map(|way| {
            in_namespace(|| {
                apply(&nftables.render(None, &wanted, &way));
                listed()
            })
        });
        assert_eq!(ours, theirs, "{}", nftables.version);
        assert!(ours.is_none_or(|text| text.contains("svc-3")));
    }
}

#[test]
fn kube_proxy_s_read_back_lists_what_is_there() {
    for nftables in every_layout() {
        let wanted = population(nftables.family, 3, 2);
        in_namespace(|| {
            apply(&nftables.render(None, &wanted, &NETLINK));
            for kind in [SyncKind::Partial, SyncKind::Full] {
                let sync = nftables.kube_proxy_sync(kind, false).unwrap();
                assert_eq!(sync.transport, Transport::Nft);
                let mut sockets = Sockets::open(sync.sockets.iter().copied()).unwrap();
                nftables
                    .ask_as_kube_proxy(&wanted, kind, &NETLINK, &mut sockets)
                    .unwrap();
                assert_eq!(sockets.kinds(), sync.sockets.iter().copied().collect());
                let mut texts = String::new();
                for words in &sync.read_back {
                    let listed = std::process::Command::new(&words[0])
                        .args(&words[1..])
                        .output()
                        .unwrap();
                    assert!(listed.status.success(), "{words:?}");
                    texts.push_str(&String::from_utf8(listed.stdout).unwrap());
                }
                let sets = match nftables.version {
                    KubeProxyVersion::V1_32 => 0,
                    KubeProxyVersion::V1_36 | KubeProxyVersion::V1_37 => 7,
                    _ => 6,
                };
                let Layout {
                    listing, family, ..
                } = nftables.layout();
                let listings = listing.commands(*family).len();
                let wanted = listings + if kind.is_full() { sets } else { 0 };
                assert_eq!(sync.read_back.len(), wanted, "{}", nftables.version);
                assert_eq!(texts.contains("service-"), wanted > 0, "{texts}");
            }
        });
    }
}

#[test]
fn chunks_hold_that_many_services_and_the_base_goes_with_the_first() {
    let batch = CHAINS.render(
        None,
        &population(IPV4, 10, 2),
        &RenderOptions {
            chunk: Some(4),
            ..NETLINK
        },
    );
    let operations: Vec<_> = batch.steps.iter().map(|step| step.operations()).collect();
    assert_eq!(operations, [82 + 4 * 14, 4 * 14, 2 * 14]);
}

/// Populations that differ in every way that an update can: added, removed, moved to another VIP,
/// endpoints added, removed, exchanged, all gone and back; VIPs shared by two ports.
fn generations(family: Family) -> Vec<Population> {
    let plan = Plan::of(family);
    let first = population(family, 6, 2);
    let mut second = first.clone();
    second.services.remove(1);
    second.services[0].endpoints.push(Endpoint {
        address: plan.endpoints.host(0x1_0001),
        port: 9090,
    });
    second.services[1].endpoints.remove(0);
    second.services[2].frontend.vip = plan.services.host(0x909);
    second.services[3].endpoints.reverse();
    let mut shared = service(family, 7, 3);
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
        population(family, 3, 1),
    ]
}

#[test]
fn updates_mean_the_population_they_lead_to_and_leave_no_stale_chain() {
    for (nftables, options) in every_layout().flat_map(|n| WAYS.map(|options| (n, options))) {
        let mut batches = Vec::new();
        let mut from = None;
        for to in generations(nftables.family) {
            batches.push(nftables.render(from.as_ref(), &to, &options));
            let meaning = nftables.meaning(&batches).unwrap();
            assert_eq!(meaning.differences(&Relation::of(&to)), None);
            let mut kernel = model::Ruleset::default();
            let script: String = batches.iter().map(ToString::to_string).collect();
            kernel
                .interpret(&nft_codec::parse_script(&script).unwrap())
                .unwrap();
            let table = kernel.table(nftables.table_family(), layout::TABLE);
            let per_service = table
                .unwrap()
                .chains
                .keys()
                .filter(|name| name.as_str().contains('/'))
                .count();
            let each = to
                .services
                .iter()
                .map(|s| nftables.layout().chains(s).len());
            assert_eq!(per_service, each.sum::<usize>());
            from = Some(to);
        }
    }
}

#[test]
fn every_update_is_taken_by_the_kernel_and_listed_as_what_it_means() {
    for (nftables, options) in every_layout().flat_map(|n| WAYS.map(|options| (n, options))) {
        in_namespace(|| {
            assert_eq!(nftables.census().unwrap(), Relation::default());
            let mut from = None;
            for to in generations(nftables.family) {
                apply(&nftables.render(from.as_ref(), &to, &options));
                assert_serves(nftables, &to);
                from = Some(to);
            }
            assert_eq!(nftables.nat_counters().unwrap(), Some(0));
            assert!(nftables.remove().is_empty());
            assert!(nftables.remove().is_empty(), "nothing is there any more");
            assert_eq!(nftables.census().unwrap(), Relation::default());
            assert_eq!(nftables.nat_counters().unwrap(), None);
        });
    }
}

#[test]
fn the_layout_of_another_version_is_an_error_of_the_census() {
    for installed in every_layout() {
        let wanted = population(installed.family, 3, 2);
        in_namespace(|| {
            apply(&installed.render(None, &wanted, &NETLINK));
            for asked in every_layout().filter(|asked| asked.family == installed.family) {
                // 1.34 and 1.35 differ in how they list alone.
                let same = |v| {
                    if v == KubeProxyVersion::V1_35 {
                        KubeProxyVersion::V1_34
                    } else {
                        v
                    }
                };
                // With two endpoints each, so do 1.36 and 1.37.
                let alike = |v| {
                    if v == KubeProxyVersion::V1_37 {
                        KubeProxyVersion::V1_36
                    } else {
                        same(v)
                    }
                };
                assert_eq!(
                    asked.census().is_ok(),
                    alike(asked.version) == alike(installed.version),
                    "{} as {}",
                    installed.version,
                    asked.version
                );
            }
        });
    }
}

#[test]
fn the_probe_leaves_nothing() {
    for transport in [Transport::Netlink, Transport::Nft] {
        for family in Family::ALL.iter().copied() {
            let newest = Nftables::of(KubeProxyVersion::V1_37, family);
            in_namespace(|| {
                newest.probe(transport).unwrap();
                assert_eq!(newest.census().unwrap(), Relation::default());
                assert_eq!(newest.leftovers().unwrap(), None);
            });
        }
    }
}

#[test]
fn each_family_has_a_table_of_its_own_and_the_other_s_is_not_seen() {
    in_namespace(|| {
        let both = [Family::Ipv4, Family::Ipv6].map(|family| {
            let newest = Nftables::of(KubeProxyVersion::V1_37, family).on(Stack::Dual);
            (newest, population(family, 3, 2))
        });
        for (nftables, wanted) in &both {
            apply(&nftables.render(None, wanted, &NETLINK));
        }
        for (nftables, wanted) in &both {
            assert_serves(*nftables, wanted);
            let traced = nftables.traced(&[]).unwrap().unwrap();
            assert_eq!(traced.differences(&Relation::of(wanted)), None);
        }
        let alone = both[0].0.on(Stack::Single);
        assert!(alone.leftovers().unwrap().is_some());
        assert!(both[0].0.remove().is_empty());
        assert_eq!(both[0].0.leftovers().unwrap(), None);
        assert!(
            alone.leftovers().unwrap().is_some(),
            "the other family's table"
        );
        assert_eq!(both[0].0.census().unwrap(), Relation::default());
        assert_serves(both[1].0, &both[1].1);
    });
}

#[test]
fn traced_rules_mean_the_population() {
    for nftables in every_layout() {
        let wanted = population(nftables.family, 5, 3);
        in_namespace(|| {
            apply(&nftables.render(None, &wanted, &NETLINK));
            let traced = nftables.traced(&[]).unwrap().unwrap();
            assert_eq!(traced.differences(&Relation::of(&wanted)), None);
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
    let damages = Damage::ALL.iter().copied();
    for (nftables, damage) in every_layout().flat_map(|n| damages.clone().map(move |d| (n, d))) {
        let wanted = population(nftables.family, 4, 2);
        in_namespace(|| {
            apply(&nftables.render(None, &wanted, &NETLINK));
            assert_serves(nftables, &wanted);
            for command in nftables.damage(damage, &wanted.services[0], &wanted.services[2]) {
                assert_eq!(command[0], "nft");
                nft(&command[1]);
            }
            match nftables.census() {
                Ok(relation) => assert!(
                    relation.differences(&Relation::of(&wanted)).is_some(),
                    "{damage:?}"
                ),
                Err(error) => eprintln!("{damage:?}: {error}"),
            }
        });
    }
}

/// Installs two services, changes something by hand, and sees that the census takes it for an error.
fn assert_seen(nftables: Nftables, command: &str) {
    let wanted = population(nftables.family, 2, 2);
    in_namespace(|| {
        apply(&nftables.render(None, &wanted, &NETLINK));
        assert_serves(nftables, &wanted);
        nft(command);
        let error = nftables.census().map(|_| ()).unwrap_err();
        eprintln!("{command}: {error}");
    });
}

#[test]
fn whatever_does_not_belong_is_an_error_of_the_census() {
    let services = population(IPV4, 2, 2).services;
    let chain = layout::service_chain(&services[0]);
    let endpoint = layout::endpoint_chains(&services[0])[0].clone();
    for command in [
        "add table inet other".to_owned(),
        "add table ip nat".to_owned(),
        "flush chain ip kube-proxy services".to_owned(),
        "flush chain ip kube-proxy nat-output".to_owned(),
        "insert rule ip kube-proxy nat-prerouting accept".to_owned(),
        "insert rule ip kube-proxy nat-prerouting limit rate 1/second accept".to_owned(),
        "add chain ip kube-proxy early { type nat hook prerouting priority -150 ; }; add rule ip kube-proxy early accept".to_owned(),
        "add set ip kube-proxy mine { type inet_service ; }".to_owned(),
        "add counter ip kube-proxy mine".to_owned(),
        "add element ip kube-proxy cluster-ips { 10.99.0.1 }".to_owned(),
        "delete element ip kube-proxy cluster-ips { 10.96.0.1 }".to_owned(),
        "add element ip kube-proxy service-ips { 10.96.0.1 . sctp . 80 : goto reject-chain }".to_owned(),
        "add element ip kube-proxy no-endpoint-services { 10.96.0.1 . tcp . 80 : goto reject-chain }".to_owned(),
        "add element ip kube-proxy firewall-ips { 10.96.0.1 . tcp . 80 : drop }".to_owned(),
        "add element ip kube-proxy nodeport-ips { 10.96.0.1 }".to_owned(),
        "delete element ip kube-proxy nodeport-ips { 192.168.100.1 }".to_owned(),
        format!("insert rule ip kube-proxy {chain} drop"),
        format!("add rule ip kube-proxy {chain} counter"),
        format!("flush chain ip kube-proxy {chain}"),
        "add chain ip kube-proxy lost; add rule ip kube-proxy lost drop".to_owned(),
    ] {
        assert_seen(NEWEST, &command);
        assert_seen(CHAINS, &command);
    }
    for command in [
        format!("insert rule ip kube-proxy {endpoint} ip saddr 10.0.0.1 drop"),
        format!(
            "flush chain ip kube-proxy {endpoint}; add rule ip kube-proxy {endpoint} meta l4proto udp dnat to 10.128.0.1:8080"
        ),
    ] {
        assert_seen(CHAINS, &command);
    }
    let udp = "meta l4proto udp dnat ip addr . port to numgen random mod 2 map { 0 : 10.128.0.1 . 8080 , 1 : 10.128.0.2 . 8080 }";
    let twice = "meta l4proto tcp dnat ip addr . port to numgen random mod 3 map { 0 : 10.128.0.1 . 8080 , 1 : 10.128.0.2 . 8080 }";
    let hairpin =
        "add element ip kube-proxy hairpin-connections { 10.128.9.9 . 10.128.9.9 . tcp . 8080 }";
    for command in [
        format!("flush chain ip kube-proxy {chain}; add rule ip kube-proxy {chain} {udp}"),
        format!("flush chain ip kube-proxy {chain}; add rule ip kube-proxy {chain} {twice}"),
        hairpin.to_owned(),
    ] {
        assert_seen(NEWEST, &command);
    }
}

#[test]
fn a_refused_transaction_names_its_operation() {
    in_namespace(|| {
        let (from, to) = (population(IPV4, 1, 1), population(IPV4, 2, 1));
        let error = CHAINS
            .carry_out(&CHAINS.render(Some(&from), &to, &NETLINK))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("add chain ip kube-proxy endpoint-") && error.contains("ENOENT"),
            "{error}"
        );
        let error = CHAINS
            .carry_out(&CHAINS.render(Some(&from), &to, &NFT))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nft -f -") && error.contains("No such file"),
            "{error}"
        );
    });
}
