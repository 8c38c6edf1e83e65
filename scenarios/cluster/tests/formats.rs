//! One population, printed by every tool that prints it: whatever it is read from it is the same.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;

use cluster::{Cluster, Format, Origin, Refused, Service, Shape, Vip};

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn read(names: &[&str]) -> Result<Cluster, Refused> {
    let texts: Vec<String> = names.iter().map(|name| text(name)).collect();
    cluster::read(
        names
            .iter()
            .zip(&texts)
            .map(|(name, text)| (*name, text.as_bytes())),
    )
}

fn read_text(text: &str) -> Result<Cluster, Refused> {
    cluster::read([("file", text.as_bytes())])
}

/// Endpoints, in order of their addresses.
fn endpoints(service: &Service) -> String {
    let Some(endpoints) = &service.endpoints else {
        return "unknown".to_owned();
    };
    let place = |e: &cluster::Endpoint| match (e.addr, e.port) {
        (Some(addr), Some(port)) => std::net::SocketAddr::new(addr, port).to_string(),
        _ => "?".to_owned(),
    };
    let mut places: Vec<String> = endpoints.iter().map(place).collect();
    places.sort_unstable();
    places.join(" ")
}

/// Everything that is said of a service but its name.
fn told(service: &Service) -> String {
    let addresses = |of: &[Option<std::net::IpAddr>]| {
        of.iter()
            .map(|ip| ip.unwrap().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let ranges: Vec<String> = service
        .source_ranges
        .iter()
        .map(|net| net.unwrap().to_string())
        .collect();
    format!(
        "{service} {:?} port {:?} external [{}] balanced [{}] ranges [{}] keeps {:?} -> {}",
        service.service_type,
        service.node_port,
        addresses(&service.external_ips),
        addresses(&service.load_balancer_ips),
        ranges.join(" "),
        service.affinity_seconds,
        endpoints(service)
    )
}

fn all_told(cluster: &Cluster) -> Vec<String> {
    let mut all: Vec<String> = cluster.services.iter().map(told).collect();
    all.sort_unstable();
    all
}

const POPULATION: [&str; 4] = [
    "10.140.0.10:53/tcp ClusterIp port None external [] balanced [] ranges [] keeps None -> 10.80.1.3:53",
    "10.140.0.10:53/udp ClusterIp port None external [] balanced [] ranges [] keeps None -> 10.80.1.3:53 10.80.2.3:53",
    "10.140.7.7:443/tcp LoadBalancer port Some(Some(31443)) external [] balanced [203.0.113.20] ranges [198.51.100.0/25] \
        keeps Some(Some(10800)) -> 10.80.1.5:9443 10.80.2.6:9443",
    "10.140.9.1:80/tcp ClusterIp port None external [] balanced [] ranges [] keeps None -> ",
];

#[test]
fn the_population_is_the_same_from_every_format() {
    for (names, mode) in [
        (&["kubectl-list.json"][..], None),
        (&["kubectl-list.yaml"], None),
        (&["services-and-endpoints.json"], None),
        (&["slices-v1beta1.jsonl"], None),
        (&["iptables-save.txt"], Some(Origin::Iptables)),
        (&["nft-list-ruleset.txt"], Some(Origin::Nftables)),
        (&["nft-service-names.txt"], Some(Origin::Nftables)),
        (&["nft-json.json"], Some(Origin::Nftables)),
        (&["ipvsadm-save.txt", "ipset-save.txt"], Some(Origin::Ipvs)),
        (&["ipset-save.txt", "ipvsadm-list.txt"], Some(Origin::Ipvs)),
        // Parts of one cluster.
        (
            &["kubectl-list.json", "iptables-save.txt"],
            Some(Origin::Iptables),
        ),
        (
            &["nft-json.json", "slices-v1beta1.jsonl"],
            Some(Origin::Nftables),
        ),
        (
            &["ipvsadm-save.txt", "ipset-save.txt", "kubectl-list.yaml"],
            Some(Origin::Ipvs),
        ),
    ] {
        let cluster = read(names).unwrap();
        assert_eq!(all_told(&cluster), POPULATION, "{names:?}");
        assert_eq!(cluster.mode, mode, "{names:?}");
        assert_eq!(
            cluster.notes.not_understood, 0,
            "{names:?}: {:?}",
            cluster.notes
        );
    }
}

#[test]
fn a_dump_of_names_has_them() {
    for names in [
        &["kubectl-list.json"][..],
        &["iptables-save.txt"],
        &["nft-list-ruleset.txt"],
        &["nft-json.json"],
    ] {
        let cluster = read(names).unwrap();
        let services = cluster.services.iter();
        let mut named: Vec<String> = services
            .map(|s| s.name.as_ref().unwrap().to_string())
            .collect();
        named.sort_unstable();
        assert_eq!(
            named,
            [
                "bakery/oven:heat",
                "mill/wheel",
                "town/bell:dns",
                "town/bell:dns-tcp"
            ]
        );
    }
}

#[test]
fn the_kernels_own_listing_says_that_clients_are_kept_and_not_for_how_long() {
    let cluster = read(&["proc-net-ip_vs.txt", "ipset-save.txt"]).unwrap();
    let expected = POPULATION.map(|line| line.replace("Some(Some(10800))", "Some(None)"));
    assert_eq!(all_told(&cluster), expected);
    // Whoever knows, says.
    let cluster = read(&["proc-net-ip_vs.txt", "ipset-save.txt", "kubectl-list.json"]).unwrap();
    assert_eq!(all_told(&cluster), POPULATION);
}

#[test]
fn stale_chains_pod_ranges_and_endpoints_of_the_node_are_found() {
    for (names, local) in [
        (&["iptables-save.txt"][..], [None, None]),
        (&["nft-list-ruleset.txt"], [Some(true), Some(false)]),
        (&["nft-json.json"], [Some(true), Some(false)]),
    ] {
        let cluster = read(names).unwrap();
        assert_eq!(cluster.stale_chains, 1, "{names:?}");
        let pods: Vec<String> = cluster.pod_ranges.iter().map(ToString::to_string).collect();
        assert_eq!(pods, ["10.80.0.0/16"], "{names:?}");
        let oven = cluster.services.iter().find(|s| s.port == 443).unwrap();
        let is: Vec<_> = oven.endpoints.iter().flatten().map(|e| e.local).collect();
        assert_eq!(is, local, "{names:?}");
    }
    // What the objects do not say the rules of the node do.
    let cluster = read(&["kubectl-list.json", "nft-json.json"]).unwrap();
    let oven = cluster.services.iter().find(|s| s.port == 443).unwrap();
    let is: Vec<_> = oven.endpoints.iter().flatten().map(|e| e.local).collect();
    assert_eq!(is, [Some(true), Some(false)]);
}

#[test]
fn virtual_servers_without_sets_tell_node_ports_by_their_range_and_load_balancers_not_at_all() {
    let cluster = read(&["ipvsadm-save.txt"]).unwrap();
    assert_eq!((cluster.services.len(), cluster.node_port_vips), (5, 1));
    // Beside the objects the address of the load balancer is known for what it is.
    let cluster = read(&["ipvsadm-save.txt", "kubectl-list.json"]).unwrap();
    assert_eq!(all_told(&cluster), POPULATION);
}

#[test]
fn sets_alone_are_services_whose_endpoints_are_not_known() {
    let cluster = read(&["ipset-save.txt"]).unwrap();
    assert_eq!(cluster.services.len(), 4);
    assert!(
        cluster
            .services
            .iter()
            .all(|service| service.endpoints.is_none())
    );
    let set = cluster
        .sets
        .iter()
        .find(|set| set.name == "KUBE-CLUSTER-IP")
        .unwrap();
    assert_eq!((set.entries, set.maxelem), (4, Some(65_536)));
}

#[test]
fn services_alone_have_endpoints_that_are_not_known() {
    let list = text("kubectl-list.json").replace("EndpointSlice", "Lease");
    let cluster = read_text(&list).unwrap();
    assert_eq!(cluster.services.len(), 4);
    assert!(
        cluster
            .services
            .iter()
            .all(|service| service.endpoints.is_none())
    );
}

#[test]
fn of_a_service_without_ready_endpoints_those_that_leave_and_serve_are_used() {
    let list = text("kubectl-list.json");
    let (before, after) = list.split_once("\"10.80.1.5\"").unwrap();
    let after = after.replacen("\"ready\": true", "\"ready\": false", 2);
    let cluster = read_text(&format!("{before}\"10.80.1.5\"{after}")).unwrap();
    let oven = cluster.services.iter().find(|s| s.port == 443).unwrap();
    assert_eq!(endpoints(oven), "10.80.2.77:9443");
}

#[test]
fn a_service_of_another_api_is_none() {
    let spec = r#"{"clusterIP":"10.140.9.9","ports":[{"port":1}]}"#;
    let knative =
        format!(r#"{{"apiVersion":"serving.knative.dev/v1","kind":"Service","spec":{spec}}}"#);
    let cluster = read_text(&format!("{knative}\n{}", text("kubectl-list.json"))).unwrap();
    assert_eq!(cluster.services.len(), 4);
    assert_eq!(cluster.objects.others, 1);
}

#[test]
fn a_list_of_lists_is_read() {
    let (first, rest) = (text("services-and-endpoints.json"), "==== START logs");
    let lists = first.split_once(rest).unwrap().0.replace("}\n{", "},{");
    for list in [
        format!(r#"{{"apiVersion":"v1","kind":"List","items":[{lists}]}}"#),
        format!("# a comment\n---\nkind: List\nitems: [{lists}]\n"),
    ] {
        assert_eq!(all_told(&read_text(&list).unwrap()), POPULATION);
    }
}

#[test]
fn what_terminals_add_is_passed_over() {
    let rules = text("iptables-save.txt");
    let numbered: String = rules
        .lines()
        .zip(1..)
        .map(|(line, n)| format!("{n}:{line}\n"))
        .collect();
    let coloured = rules.replace("KUBE-SVC", "\u{1b}[01;31m\u{1b}[KKUBE-SVC\u{1b}[m\u{1b}[K");
    let indented: String = rules
        .lines()
        .map(|line| format!("    > {line}\n"))
        .collect();
    let windows = format!("\u{feff}{}", rules.replace('\n', "\r\n"));
    let fragment: String = rules
        .lines()
        .filter(|line| line.starts_with("-A KUBE"))
        .map(|line| format!("{line}\n"))
        .collect();
    for decorated in [numbered, coloured, indented, windows, fragment] {
        assert_eq!(all_told(&read_text(&decorated).unwrap()), POPULATION);
    }
}

#[test]
fn a_file_of_several_dumps_is_read_as_far_as_it_goes() {
    let mixed = format!(
        "root@node-a:~# ipvsadm -Sn\n{}root@node-a:~# ipset save\n{}root@node-a:~# cat services.yaml\n{}root@node-a:~# exit\n",
        text("ipvsadm-save.txt"),
        text("ipset-save.txt"),
        text("kubectl-list.yaml"),
    );
    let cluster = read_text(&mixed).unwrap();
    assert_eq!(all_told(&cluster), POPULATION);
    let lines: Vec<_> = cluster.notes.listed.iter().map(|note| note.line).collect();
    assert_eq!(lines.len(), 4, "{:?}", cluster.notes);
    assert_eq!(lines[..2], [Some(1), Some(17)]);
    assert_eq!(
        cluster.formats,
        [
            Format::Kubernetes,
            Format::VirtualServers,
            Format::IpsetSave
        ]
    );
}

#[test]
fn a_table_that_is_cut_costs_nothing_that_comes_after_it() {
    let table = text("nft-list-ruleset.txt");
    let (part, _) = table.split_once("\tchain reject-chain").unwrap();
    for next in ["iptables-save.txt", "ipvsadm-list.txt"] {
        let both = format!(
            "# nft list ruleset\n{part}[…]\n\nnode-a@town:~$ cat\n{}",
            text(next)
        );
        let cluster = read_text(&both).unwrap();
        assert!(
            cluster.formats.len() == 2,
            "{:?} {:?}",
            cluster.formats,
            cluster.notes
        );
        let said = cluster
            .notes
            .listed
            .iter()
            .any(|note| note.what.contains("not closed"));
        assert!(said, "{:?}", cluster.notes);
    }
    let both = format!("{part}{table}");
    assert_eq!(all_told(&read_text(&both).unwrap()), POPULATION);
}

#[test]
fn a_portal_without_a_port_is_said_to_be_none() {
    let rules =
        text("iptables-save.txt").replace(" -m tcp --dport 443 -j KUBE-SVC", " -j KUBE-SVC");
    let cluster = read_text(&rules).unwrap();
    assert_eq!(cluster.services.len(), 3);
    assert_eq!(cluster.notes.not_understood, 1);
    assert!(
        cluster.notes.listed[0]
            .what
            .starts_with("a service without protocol and port: ")
    );
}

#[test]
fn a_file_that_is_cut_is_read_up_to_there_and_the_place_is_said() {
    for (name, keep, at_least) in [
        ("kubectl-list.json", 0.5, 1),
        ("kubectl-list.yaml", 0.5, 1),
        ("iptables-save.txt", 0.5, 0),
        ("nft-list-ruleset.txt", 0.9, 3),
        ("ipvsadm-save.txt", 0.5, 3),
    ] {
        let whole = text(name);
        let cut = &whole[..(whole.len() as f64 * keep) as usize];
        match read_text(cut) {
            Ok(cluster) => {
                assert!(cluster.services.len() >= at_least, "{name}");
                assert!(
                    cluster.notes.not_understood > 0,
                    "{name}: {:?}",
                    cluster.notes
                );
            }
            Err(refused) => {
                assert!(
                    at_least == 0 && matches!(refused, Refused::Cut { .. }),
                    "{name}: {refused}"
                );
            }
        }
    }
}

#[test]
fn a_last_line_that_does_not_end_is_read_and_said_to_be_perhaps_cut() {
    for name in [
        "ipset-save.txt",
        "ipvsadm-list.txt",
        "kubectl-list.yaml",
        "oldest-iptables.txt",
    ] {
        let whole = text(name);
        let cluster = read_text(whole.trim_end()).unwrap();
        assert_eq!(
            all_told(&cluster),
            all_told(&read_text(&whole).unwrap()),
            "{name}"
        );
        let notes: Vec<_> = cluster
            .notes
            .listed
            .iter()
            .filter(|note| note.what.contains("may be cut"))
            .collect();
        assert_eq!(notes.len(), 1, "{name}");
        assert_eq!(notes[0].line, Some(whole.lines().count() as u64), "{name}");
    }
}

#[test]
fn a_chain_of_which_choices_are_missing_has_as_many_endpoints_as_its_first_choice_says() {
    let rules = text("iptables-save.txt");
    let last = rules
        .lines()
        .find(|line| line.contains("dns -> 10.80.2.3:53"))
        .unwrap();
    let cluster = read_text(&rules.replace(last, "")).unwrap();
    let bell = cluster
        .services
        .iter()
        .find(|s| s.to_string() == "10.140.0.10:53/udp")
        .unwrap();
    assert_eq!(endpoints(bell), "10.80.1.3:53 ?");
    assert_eq!(cluster.notes.not_understood, 1);
}

#[test]
fn shares_that_are_not_even_are_weights() {
    let rules = text("iptables-save.txt")
        .replace("--probability 0.50000000000", "--probability 0.25000000000");
    let weights = |cluster: &Cluster, port| -> Vec<_> {
        let service = cluster.services.iter().find(|s| s.port == port).unwrap();
        service
            .endpoints
            .iter()
            .flatten()
            .map(|e| e.weight)
            .collect()
    };
    assert_eq!(
        weights(&read_text(&rules).unwrap(), 443),
        [Some(2_500), Some(7_500)]
    );
    let servers =
        text("ipvsadm-save.txt").replace("-r 10.80.2.6:9443 -m -w 1", "-r 10.80.2.6:9443 -m -w 3");
    assert_eq!(
        weights(&read_text(&servers).unwrap(), 443),
        [Some(1), Some(3)]
    );
    let numbers = text("nft-list-ruleset.txt").replace(
        "mod 2 map { 0 : 10.80.1.3 . 53, 1 :",
        "mod 4 map { 0-2 : 10.80.1.3 . 53, 3 :",
    );
    let cluster = read_text(&numbers).unwrap();
    let bell = cluster
        .services
        .iter()
        .find(|s| s.to_string() == "10.140.0.10:53/udp")
        .unwrap();
    let numbers: Vec<_> = bell.endpoints.iter().flatten().map(|e| e.weight).collect();
    assert_eq!(numbers, [Some(3), Some(1)]);
}

fn refused(text: &[u8]) -> String {
    let refused = cluster::read([("the-file", text)]).unwrap_err().to_string();
    assert!(
        !refused.contains('\n') && refused.contains("the-file"),
        "{refused}"
    );
    refused
}

#[test]
fn what_is_of_no_use_is_refused_in_one_line_that_says_what_helps() {
    for (file, says) in [
        (&b""[..], "is empty"),
        (b" \n\n", "is empty"),
        (b"\x1f\x8b\x08rest", "compressed by gzip; unpack it"),
        (b"\xff\xfea\0b\0", "UTF-16"),
        (b"\x7fELF", "a program"),
        (b"abc\0def", "binary"),
        (
            b"Once upon a time\nthere was\n",
            "no dump of services (line 1: 'Once upon a time')",
        ),
        (
            b"<html><body>404</body></html>",
            "kubectl get services,endpointslices -A -o json",
        ),
        (b"{\"a\": 1}", "no dump of services"),
        (b"[INFO] x\n", "no dump of services"),
        (
            b"{\"kind\": \"PodList\", \"apiVersion\": \"v1\", \"items\": [{}]}",
            "no service is in the-file",
        ),
        (
            b"{\"kind\": \"ServiceList\", \"items\": [{\"metadata\": {",
            "line 1: cut",
        ),
        (b"---\nkind: [\n", "no dump of services (line"),
        (
            b"*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n",
            "no service is in the-file",
        ),
        (b"*nat\n:KUBE-SERVICES - [0:0]\n", "line 3: cut"),
        (
            b"NAMESPACE   NAME   TYPE   CLUSTER-IP\nshop till ClusterIP 10.0.0.1\n",
            "-o json` prints",
        ),
    ] {
        let refused = refused(file);
        assert!(refused.contains(says), "{refused}");
    }
    for (name, says) in [
        ("iptables-L.txt", "give what `iptables-save` prints"),
        (
            "iptables-as-nft-shows-it.txt",
            "give what `iptables-save` prints",
        ),
        ("ipset-list.txt", "give what `ipset save` prints"),
    ] {
        let refused = refused(text(name).as_bytes());
        assert!(refused.contains(says), "{refused}");
    }
    let none: [(&str, &[u8]); 0] = [];
    assert!(matches!(cluster::read(none), Err(Refused::NoFiles)));
}

#[test]
fn names_in_the_place_of_addresses_are_refused() {
    let listed =
        text("ipvsadm-list.txt").replace("10.140.7.7:443", "oven.bakery.svc.cluster.local:https");
    let refused = refused(listed.as_bytes());
    assert!(
        refused.contains("line 6") && refused.contains("`ipvsadm -Sn`"),
        "{refused}"
    );
}

#[test]
fn parts_that_contradict_each_other_are_refused_and_both_named() {
    for (name, from, to, says) in [
        (
            "kubectl-list.json",
            "\"10.140.9.1\"",
            "\"10.140.9.2\"",
            "Service mill/wheel",
        ),
        (
            "kubectl-list.json",
            "10.80.1.5",
            "10.80.1.6",
            "EndpointSlice bakery/oven-bb111",
        ),
        (
            "iptables-save.txt",
            "10.80.1.5",
            "10.80.1.6",
            "10.140.7.7:443/tcp has 1 endpoints in the first that are not",
        ),
        (
            "iptables-save.txt",
            "bakery/oven",
            "bakery/stove",
            "is of bakery/oven:heat in the first",
        ),
        (
            "nft-list-ruleset.txt",
            "31443",
            "31444",
            "has node port 31443 in the first, 31444",
        ),
        (
            "nft-json.json",
            "10.80.2.3",
            "10.80.2.4",
            "10.140.0.10:53/udp",
        ),
        (
            "ipvsadm-save.txt",
            "-a -u 10.140.0.10:53 -r 10.80.2.3:53 -m -w 1",
            "",
            "has 2 endpoints in the first, 1",
        ),
        (
            "ipset-save.txt",
            "add KUBE-CLUSTER-IP 10.140.9.1,tcp:80\n",
            "",
            "set KUBE-CLUSTER-IP",
        ),
    ] {
        let (one, other) = (text(name), text(name).replace(from, to));
        assert_ne!(one, other, "{name}");
        let both = [("one", one.as_bytes()), ("other", other.as_bytes())];
        let refused = cluster::read(both).unwrap_err();
        assert!(
            matches!(refused, Refused::Contradiction { .. }),
            "{name}: {refused}"
        );
        let refused = refused.to_string();
        assert!(
            refused.starts_with("one and other contradict each other: "),
            "{refused}"
        );
        assert!(refused.contains(says), "{refused}");
        // The same twice is no contradiction.
        let twice = [("one", one.as_bytes()), ("again", one.as_bytes())];
        let (twice, once) = (cluster::read(twice).unwrap(), read_text(&one).unwrap());
        assert_eq!(all_told(&twice), all_told(&once), "{name}");
    }
}

#[test]
fn two_kinds_that_differ_are_one_population_with_a_note() {
    let rules = text("iptables-save.txt").replace("10.80.1.5", "10.80.1.6");
    let objects = text("kubectl-list.json");
    let cluster =
        cluster::read([("rules", rules.as_bytes()), ("objects", objects.as_bytes())]).unwrap();
    assert_eq!(all_told(&cluster), POPULATION);
    let notes: Vec<&str> = cluster
        .notes
        .listed
        .iter()
        .map(|note| note.what.as_str())
        .collect();
    assert_eq!(
        notes,
        [
            "10.140.7.7:443/tcp has 1 endpoints in the first that are not in the second; what objects has is taken"
        ]
    );
}

#[test]
fn a_shape_is_read_back_as_itself() {
    let mut hashes = Vec::new();
    for names in [
        &["kubectl-list.json"][..],
        &["nft-json.json"],
        &["ipset-save.txt"],
        &["ipvsadm-save.txt", "ipset-save.txt"],
    ] {
        let cluster = read(names).unwrap();
        let shape = Shape::of(&cluster);
        let again = read_text(&shape.text()).unwrap();
        assert_eq!(Shape::of(&again), shape, "{names:?}");
        assert_eq!(Shape::of(&again).text(), shape.text());
        assert_eq!(again.services.len(), cluster.services.len());
        assert_eq!(again.mode, cluster.mode);
        assert_eq!(again.formats, [Format::Shape]);
        assert!(
            again
                .services
                .iter()
                .all(|service| matches!(service.vip, Vip::Unknown { .. }))
        );
        hashes.push(shape.hash());
    }
    // From which tool it came is not a part of it; what is not known of endpoints is.
    assert_eq!(
        hashes[0],
        Shape::of(&read(&["kubectl-list.yaml"]).unwrap()).hash()
    );
    assert_eq!(
        hashes[0],
        Shape::of(&read(&["iptables-save.txt"]).unwrap()).hash()
    );
    assert_ne!(hashes[0], hashes[2]);
    let golden = text("kubectl-list.shape");
    assert_eq!(
        Shape::of(&read(&["kubectl-list.json"]).unwrap()).text(),
        golden
    );
}

#[test]
fn a_shape_that_is_newer_cut_or_beyond_all_measure_is_refused() {
    let shape = text("kubectl-list.shape");
    for (from, to, says) in [
        (
            "\"version\":1",
            "\"version\":2",
            "is a shape of version 2, and this program reads version 1",
        ),
        (
            "\"services\":4",
            "\"services\":5",
            "is a shape of 5 services and holds 4",
        ),
        (
            "\"vips\":1",
            "\"vips\":18446744073709551615",
            "more than 300000 services",
        ),
        ("\"n\":2", "\"n\":4000000", "3000000 endpoints"),
        (
            "\"port\":53",
            "\"external_ips\":9999999999,\"port\":53",
            "3000000 endpoints",
        ),
    ] {
        let other = shape.replacen(from, to, 1);
        assert_ne!(other, shape, "{from}");
        let refused = refused(other.as_bytes());
        assert!(refused.contains(says), "{refused}");
    }
}
