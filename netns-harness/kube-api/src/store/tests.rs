use serde_json::Value;

use super::*;
use crate::kind::Change;

fn put(name: &str, labels: &[(&str, &str)]) -> Change {
    let mut service = crate::Service::cluster_ip("b", name, [10, 96, 0, 1].into(), vec![]);
    let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    service.metadata.labels = labels.iter().map(own).collect();
    Change::Put(Object::Service(service))
}

fn delete(name: &str) -> Change {
    Change::Delete(Kind::Service, Some("b".to_owned()), name.to_owned())
}

/// Type, name and version of each line of a watch of services.
#[track_caller]
fn watched(store: &Store, which: &Which, after: u64) -> Vec<(String, String, String)> {
    let (lines, until) = store
        .after(Kind::Service, which, after, usize::MAX)
        .unwrap();
    assert_eq!(until, store.version());
    let read = |line: &Bytes| {
        assert!(line.ends_with(b"}\n"));
        let event: Value = serde_json::from_slice(line).unwrap();
        let own = |value: &Value| value.as_str().unwrap().to_owned();
        let metadata = &event["object"]["metadata"];
        (
            own(&event["type"]),
            own(&metadata["name"]),
            own(&metadata["resourceVersion"]),
        )
    };
    lines.iter().map(read).collect()
}

fn lines(expected: &[(&str, &str, u64)]) -> Vec<(String, String, String)> {
    let own = |(became, name, version): &(&str, &str, u64)| {
        (
            (*became).to_owned(),
            (*name).to_owned(),
            version.to_string(),
        )
    };
    expected.iter().map(own).collect()
}

fn json(store: &Store, name: &str) -> Value {
    serde_json::from_slice(&store.get(Kind::Service, "b", name).unwrap()).unwrap()
}

#[test]
fn a_batch_has_consecutive_versions_and_is_seen_in_order() {
    let mut store = Store::new();
    store.apply(vec![put("a", &[]), put("c", &[])]).unwrap();
    store
        .apply(vec![put("a", &[]), delete("c"), put("c", &[])])
        .unwrap();
    let all = [
        ("ADDED", "a", 2),
        ("ADDED", "c", 3),
        ("MODIFIED", "a", 4),
        ("DELETED", "c", 5),
        ("ADDED", "c", 6),
    ];
    assert_eq!(watched(&store, &Which::default(), 1), lines(&all));
    assert_eq!(watched(&store, &Which::default(), 4), lines(&all[3..]));
    assert_eq!(watched(&store, &Which::default(), 6), []);
}

#[test]
fn an_object_keeps_its_uid_while_it_is_there() {
    let mut store = Store::new();
    store.apply(vec![put("a", &[])]).unwrap();
    let first = json(&store, "a");
    store.apply(vec![put("a", &[])]).unwrap();
    let second = json(&store, "a");
    assert_eq!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(second["metadata"]["resourceVersion"], "3");
    store.apply(vec![delete("a"), put("a", &[])]).unwrap();
    assert_ne!(
        first["metadata"]["uid"],
        json(&store, "a")["metadata"]["uid"]
    );
}

#[test]
fn a_batch_with_a_deletion_of_nothing_changes_nothing() {
    let mut store = Store::new();
    let absent = Absent(Kind::Service, ("b".to_owned(), "a".to_owned()));
    assert_eq!(
        store.apply(vec![put("a", &[]), delete("a"), delete("a")]),
        Err(absent)
    );
    assert_eq!(
        (store.version(), store.get(Kind::Service, "b", "a")),
        (1, None)
    );
}

#[test]
fn a_change_brings_an_object_into_a_selection_and_out_of_it() {
    let mut store = Store::new();
    let which = Which {
        labels: Selector::of_labels("!headless").unwrap(),
        ..Which::default()
    };
    let headless: &[_] = &[("headless", "")];
    store
        .apply(vec![
            put("a", headless),
            put("a", &[]),
            put("a", &[]),
            put("a", headless),
            delete("a"),
        ])
        .unwrap();
    let seen = [("ADDED", "a", 3), ("MODIFIED", "a", 4), ("DELETED", "a", 5)];
    assert_eq!(watched(&store, &which, 1), lines(&seen));
}

#[test]
fn a_watch_from_what_is_forgotten_is_told_so_and_a_large_batch_is_kept_whole() {
    let mut store = Store::new();
    store.kept = 2;
    store
        .apply(vec![put("a", &[]), put("c", &[]), put("d", &[])])
        .unwrap();
    assert_eq!(watched(&store, &Which::default(), 1).len(), 3);
    store.apply(vec![delete("a")]).unwrap();
    let after = |version| store.after(Kind::Service, &Which::default(), version, usize::MAX);
    assert_eq!(after(2), Err(Expired(3)));
    assert_eq!(watched(&store, &Which::default(), 3).len(), 2);
    // Another kind's history is its own.
    assert_eq!(
        store.after(Kind::Node, &Which::default(), 1, usize::MAX),
        Ok((vec![], 5))
    );
}

#[test]
fn a_watch_is_given_chunks_that_together_are_everything() {
    let mut store = Store::new();
    store
        .apply((0..50).map(|nth| put(&format!("svc-{nth}"), &[])).collect())
        .unwrap();
    let (mut version, mut seen, mut chunks) = (1, 0, 0);
    while version < store.version() {
        let (lines, until) = store
            .after(Kind::Service, &Which::default(), version, 2_000)
            .unwrap();
        (version, seen, chunks) = (until, seen + lines.len(), chunks + 1);
    }
    assert_eq!(seen, 50);
    assert!(chunks > 5);
}

#[test]
fn a_list_and_the_line_that_announced_an_object_share_its_bytes() {
    let mut store = Store::new();
    store.apply(vec![put("a", &[])]).unwrap();
    let (lines, _) = store
        .after(Kind::Service, &Which::default(), 1, usize::MAX)
        .unwrap();
    let stored = store.get(Kind::Service, "b", "a").unwrap();
    assert!(lines[0].as_ptr_range().contains(&stored.as_ptr()));
}

#[test]
fn an_object_is_served_with_what_kubernetes_puts_around_it() {
    let mut store = Store::new();
    store.apply(vec![put("a", &[("x", "y")])]).unwrap();
    let text = concat!(
        r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"a","namespace":"b","labels":{"x":"y"},"#,
        r#""uid":"00000000-0000-8000-8000-000000000002","resourceVersion":"2","#,
        r#""creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"type":"ClusterIP","#,
        r#""clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1"],"ipFamilies":["IPv4"],"#,
        r#""ipFamilyPolicy":"SingleStack","ports":[],"sessionAffinity":"None","#,
        r#""internalTrafficPolicy":"Cluster"},"status":{"loadBalancer":{}}}"#,
    );
    assert_eq!(store.get(Kind::Service, "b", "a").unwrap(), text);
}
