//! The files that operators' ones are imitated by, beside this repository: each is exactly what their index says of it.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};

use cluster::{
    Cluster, Family, Origin, Protocol, Refused, Service, ServiceType, Summary, Vip, summary,
};

/// The folder, where it is there.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cluster-files");
    let there = folder.is_dir();
    if !there {
        testing::skip(
            "cluster-files",
            format_args!("{} is not there", folder.display()),
        );
    }
    there.then_some(folder)
}

fn read(folder: &Path, name: &str) -> Result<Cluster, Refused> {
    let text = std::fs::read(folder.join(name)).unwrap();
    cluster::read([(name, text.as_slice())])
}

/// In numbers, as long as neither IPv6 nor SCTP is of use.
fn counted(cluster: &Cluster) -> Summary {
    summary(cluster, |service| {
        service.vip.family() == Family::Ipv4 && service.protocol != Protocol::Sctp
    })
}

fn endpoints(service: &Service) -> Vec<String> {
    let endpoints = service.endpoints.as_ref().unwrap().iter();
    let place = |e: &cluster::Endpoint| std::net::SocketAddr::new(e.addr.unwrap(), e.port.unwrap());
    endpoints
        .map(|endpoint| place(endpoint).to_string())
        .collect()
}

fn one<'a>(cluster: &'a Cluster, service: &str) -> &'a Service {
    let mut found = cluster.services.iter().filter(|s| s.to_string() == service);
    let only = found.next().unwrap();
    assert!(found.next().is_none(), "{service}");
    only
}

#[test]
fn f01_an_old_layout_in_four_tables() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "01-save-old-layout-four-tables.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.understood, is.usable, is.without_endpoints), (4, 4, 1));
    assert_eq!((is.endpoints, is.outside_pod_ranges), (5, Some(1)));
    assert_eq!(
        (is.not_understood, is.left_out, is.mode),
        (0, 0, Some(Origin::Iptables))
    );
    assert_eq!(
        endpoints(one(&cluster, "10.131.0.1:443/tcp")),
        ["192.0.2.200:443"]
    );
    assert_eq!(endpoints(one(&cluster, "10.131.40.7:7001/tcp")), [""; 0]);
}

#[test]
fn f03_a_fragment_from_a_terminal() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "03-save-fragment-from-a-terminal.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!(
        (is.understood, is.endpoints, is.addresses_unknown),
        (1, 3, 3)
    );
    let lantern = &cluster.services[0];
    assert_eq!(lantern.to_string(), "10.131.9.9:80/tcp");
    assert_eq!(lantern.node_port, Some(Some(30_111)));
    assert_eq!(
        lantern.load_balancer_ips,
        [Some("203.0.113.9".parse().unwrap())]
    );
    assert!(lantern.external_local);
    let lines: Vec<_> = cluster.notes.listed.iter().map(|note| note.line).collect();
    assert_eq!(lines, [Some(1), Some(11)]);
}

#[test]
fn f05_ip6tables() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "05-ip6tables-save.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.understood, is.usable, is.kinds.ipv6), (1, 0, 1));
    let service = one(&cluster, "[2001:db8:131::505]:8443/tcp");
    assert_eq!(endpoints(service), ["[2001:db8:72::15]:8443"]);
    assert_eq!(service.node_port, Some(Some(30_443)));
}

#[test]
fn f06_nftables_as_text() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "06-nft-list-ruleset.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!(
        (is.understood - is.without_endpoints, is.without_endpoints),
        (4, 1)
    );
    assert_eq!((is.endpoints, is.stale_chains), (5, 1));
    assert_eq!(
        (is.not_understood, is.left_out, is.mode),
        (0, 0, Some(Origin::Nftables))
    );
    let till = one(&cluster, "10.131.5.5:8443/tcp");
    assert_eq!(till.affinity_seconds, Some(Some(10_800)));
    assert_eq!(
        till.source_ranges,
        [Some("198.51.100.0/25".parse().unwrap())]
    );
    assert_eq!(
        one(&cluster, "10.131.12.1:80/tcp")
            .name
            .as_ref()
            .unwrap()
            .to_string(),
        "yard/crate"
    );
}

#[test]
fn f09_nftables_as_json() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "09-nft-json.json").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.understood + is.external_pairs, is.endpoints), (3, 2));
    assert_eq!((is.endpoints_unknown, is.not_understood), (1, 0));
    assert_eq!(
        endpoints(one(&cluster, "10.131.5.5:8443/tcp")),
        ["10.72.3.21:8443", "10.72.4.22:8443"]
    );
    assert_eq!(one(&cluster, "10.131.0.10:53/udp").endpoints, None);
}

#[test]
fn f10_virtual_servers() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "10-ipvsadm-Sn.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.understood, is.usable, is.node_port_vips), (6, 4, 2));
    let left_out: Vec<_> = cluster
        .notes
        .listed
        .iter()
        .map(|note| (note.line.unwrap(), &note.what))
        .collect();
    assert_eq!(
        left_out.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [17, 19, 21]
    );
    assert!(
        left_out
            .iter()
            .all(|(_, what)| what.contains("not a kube-proxy service")),
        "{left_out:?}"
    );
    let weights = |service: &str| -> Vec<_> {
        one(&cluster, service)
            .endpoints
            .iter()
            .flatten()
            .map(|e| e.weight.unwrap())
            .collect()
    };
    assert_eq!(weights("10.131.0.1:443/tcp"), [1, 0]);
    assert_eq!(weights("10.131.5.5:8443/tcp"), [1, 100]);
    assert_eq!(
        one(&cluster, "[2001:db8:131::505]:8443/tcp").affinity_seconds,
        Some(Some(360))
    );
}

#[test]
fn f12_names_are_refused_and_what_is_wanted_is_said() {
    let Some(folder) = folder() else { return };
    let refused = read(&folder, "12-ipvsadm-L-names-stats.txt").unwrap_err();
    assert!(
        matches!(refused, Refused::Names { line: 5, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("ipvsadm -Sn"), "{refused}");
}

#[test]
fn f13_sets() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "13-ipset-save.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!(
        (is.kinds.ipv4, is.kinds.ipv6, is.endpoints_unknown),
        (3, 1, 4)
    );
    assert_eq!(is.not_understood, 0);
    let cluster_ip = is
        .sets
        .iter()
        .find(|set| set.name == "KUBE-CLUSTER-IP")
        .unwrap();
    assert_eq!((cluster_ip.entries, cluster_ip.maxelem), (3, Some(65_536)));
    assert_eq!(is.sets.len(), 11);
}

#[test]
fn f14_a_list_of_services_alone() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "14-servicelist-cluster-info-dump.json").unwrap();
    let is = counted(&cluster);
    assert_eq!(
        (is.objects.services, is.understood, is.endpoints_unknown),
        (3, 5, 5)
    );
    let vips = cluster
        .services
        .iter()
        .map(|service| service.vip.address().unwrap().to_string());
    assert!(vips.into_iter().all(|vip| vip != "10.131.0.99"));
}

#[test]
fn f15_a_list_of_everything() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "15-kubectl-list-mixed.json").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.objects.services, is.understood, is.usable), (8, 6, 2));
    assert_eq!((is.objects.headless, is.objects.external_name), (2, 1));
    assert_eq!(
        (is.objects.without_cluster_ip, is.objects.of_other_proxy),
        (1, 1)
    );
    let till = one(&cluster, "10.131.5.5:8443/tcp");
    assert_eq!(
        endpoints(till),
        [
            "10.72.3.21:8443",
            "10.72.4.24:8443",
            "10.72.4.25:8443",
            "10.72.3.21:9443"
        ]
    );
    assert_eq!(
        till.load_balancer_ips,
        [Some("203.0.113.10".parse().unwrap())]
    );
    assert_eq!(till.external_ips, [Some("198.51.100.77".parse().unwrap())]);
    assert_eq!(till.source_ranges.len(), 2);
    assert_eq!(
        (till.affinity_seconds, till.external_local),
        (Some(Some(10_800)), true)
    );
    let quic = one(&cluster, "10.131.5.5:8443/udp");
    assert_eq!(
        (till.node_port, quic.node_port),
        (Some(Some(30_443)), Some(Some(30_443)))
    );
    assert_eq!(
        endpoints(one(&cluster, "[2001:db8:131::505]:8443/tcp")),
        ["[2001:db8:72::15]:8443"]
    );
    let crate_ = one(&cluster, "10.131.6.6:38412/sctp");
    assert_eq!(endpoints(crate_), ["192.0.2.90:38412"]);
    assert!(crate_.internal_local);
    assert_eq!(
        endpoints(one(&cluster, "[2001:db8:131::9]:80/tcp")),
        [""; 0]
    );
}

#[test]
fn f16_manifests() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "16-manifests.yaml").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.objects.services, is.not_understood), (2, 0));
    let till = cluster
        .services
        .iter()
        .find(|service| service.port == 8443)
        .unwrap();
    assert!(matches!(till.vip, Vip::Unknown { .. }));
    // As many as the Deployment of its name has replicas.
    assert_eq!(
        (till.endpoints.as_ref().unwrap().len(), is.addresses_unknown),
        (3, 3)
    );
    let web = one(&cluster, "10.131.12.1:80/tcp");
    assert_eq!(
        (web.node_port, web.service_type),
        (Some(Some(0o74177)), ServiceType::NodePort)
    );
    assert_eq!(web.name.as_ref().unwrap().to_string(), "yard/0123:web");
    let yes = one(&cluster, "10.131.12.1:81/udp");
    assert_eq!(
        (yes.name.as_ref().unwrap().port.as_str(), &yes.endpoints),
        ("yes", &None)
    );
}

#[test]
fn f24_a_rule_that_is_cut_is_refused_and_its_line_is_said() {
    let Some(folder) = folder() else { return };
    let refused = read(&folder, "24-bom-crlf-cut-in-a-rule.txt").unwrap_err();
    assert!(matches!(refused, Refused::Cut { line: 6, .. }), "{refused}");
}

#[test]
fn f26_the_kernels_own_listing() {
    let Some(folder) = folder() else { return };
    let cluster = read(&folder, "26-procfs-ip_vs.txt").unwrap();
    let is = counted(&cluster);
    assert_eq!((is.understood, is.usable, is.left_out), (2, 1, 1));
    let plain = one(&cluster, "10.131.0.1:443/tcp");
    assert_eq!(endpoints(plain), ["192.0.2.200:6443"]);
    let kept = one(&cluster, "[2001:db8:131::505]:8443/tcp");
    assert_eq!(endpoints(kept), ["[2001:db8:72::15]:8443"]);
    assert_eq!(kept.affinity_seconds, Some(None));
    assert!(
        cluster.notes.listed[0]
            .what
            .contains("not a kube-proxy service")
    );
}

#[test]
fn every_file_is_asked_for_here_and_only_two_are_refused() {
    let Some(folder) = folder() else { return };
    let mut refused = Vec::new();
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".md"))
        .collect();
    files.sort_unstable();
    assert_eq!(files.len(), 13, "{files:?}");
    for name in files {
        if let Err(e) = read(&folder, &name) {
            assert!(!e.to_string().contains('\n'));
            refused.push(name[..2].to_owned());
        }
    }
    assert_eq!(refused, ["12", "24"]);
}
