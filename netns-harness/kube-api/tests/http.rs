//! The server as a client sees it: plain HTTP/1.1 over a socket, and no code of the server's on this side.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kube_api::{Api, Change, Kind, Node, Object, Service, Verb};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn started() -> Api {
    Api::start(Node::named("node", &["192.0.2.1".parse().unwrap()])).unwrap()
}

fn put(name: &str) -> Change {
    Change::Put(Object::Service(Service::cluster_ip(
        "b",
        name,
        [10, 96, 0, 1].into(),
        vec![],
    )))
}

fn delete(name: &str) -> Change {
    Change::Delete(Kind::Service, Some("b".to_owned()), name.to_owned())
}

fn connected(api: &Api) -> TcpStream {
    let stream = TcpStream::connect(api.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes on a connection of their own; gives the answer's code (0 if there is none) and its body.
fn sent(api: &Api, request: &[u8]) -> (u16, String) {
    let mut stream = connected(api);
    // Whoever is refused in the middle may find the connection closed.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let code = head
        .split(' ')
        .nth(1)
        .map_or(0, |code| code.parse().unwrap());
    (code, body.to_owned())
}

fn asked(api: &Api, method: &str, path: &str, more: &str) -> (u16, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n");
    sent(api, request.as_bytes())
}

#[track_caller]
fn got(api: &Api, path: &str) -> Value {
    let (code, body) = asked(api, "GET", path, "");
    assert_eq!(code, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// A watch: the server's chunks hold whole lines, so what does not begin as an object is the length of a chunk.
struct Watch(BufReader<TcpStream>);

impl Watch {
    fn begun(api: &Api, query: &str) -> Self {
        let mut stream = connected(api);
        write!(
            stream,
            "GET /api/v1/services?watch=true&{query} HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        .unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event; `None` at the end of the answer, or of the connection.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) if line == "0\r\n" => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no line in {PATIENCE:?}: {error}"),
            }
            if line.starts_with('{') {
                let mut event: Value = serde_json::from_str(&line).unwrap();
                let became = event["type"].as_str().unwrap().to_owned();
                return Some((became, event["object"].take()));
            }
        }
    }

    /// The next events, as type, name and version.
    fn events(&mut self, count: usize) -> Vec<(String, String, u64)> {
        let mut read = || {
            let (became, object) = self.next().unwrap();
            (
                became,
                object["metadata"]["name"].as_str().unwrap().to_owned(),
                version(&object),
            )
        };
        (0..count).map(|_| read()).collect()
    }
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn events(expected: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    let own = |&(became, name, version): &(&str, &str, u64)| {
        (became.to_owned(), name.to_owned(), version)
    };
    expected.iter().map(own).collect()
}

#[test]
fn a_watch_resumes_after_a_dropped_connection_without_loss() {
    let api = started();
    api.apply(vec![put("a"), put("c")]).unwrap();
    let list = got(&api, "/api/v1/services?limit=500&resourceVersion=0");
    let names: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (names, version(&list), list["kind"].as_str()),
        (vec!["a", "c"], 4, Some("ServiceList"))
    );

    let mut watch = Watch::begun(&api, "resourceVersion=4");
    assert!(api.wait_until_watched(&[Kind::Service], PATIENCE));
    api.apply(vec![put("d"), put("a")]).unwrap();
    assert_eq!(
        watch.events(2),
        events(&[("ADDED", "d", 5), ("MODIFIED", "a", 6)])
    );
    api.drop_connections();
    assert_eq!(watch.next(), None);
    api.apply(vec![delete("c"), put("c")]).unwrap();
    let mut watch = Watch::begun(&api, "resourceVersion=6");
    assert_eq!(
        watch.events(2),
        events(&[("DELETED", "c", 7), ("ADDED", "c", 8)])
    );
    api.apply(vec![delete("d")]).unwrap();
    assert_eq!(watch.events(1), events(&[("DELETED", "d", 9)]));
}

#[test]
fn all_watches_are_given_a_batch_each_what_it_selects() {
    let api = started();
    let mut all = Watch::begun(&api, "resourceVersion=2");
    let mut one = Watch::begun(
        &api,
        "resourceVersion=2&fieldSelector=metadata.name%3Dsvc-77",
    );
    let batch = (0..1_000).map(|nth| put(&format!("svc-{nth}"))).collect();
    assert_eq!(api.apply(batch).unwrap(), 1_002);
    let expected: Vec<_> = (0..1_000)
        .map(|nth| ("ADDED".to_owned(), format!("svc-{nth}"), nth + 3))
        .collect();
    assert_eq!(all.events(1_000), expected);
    assert_eq!(one.events(1), expected[77..78]);
}

#[test]
fn a_watch_without_a_version_begins_with_what_there_is() {
    let api = started();
    api.apply(vec![put("c"), put("a")]).unwrap();
    let mut watch = Watch::begun(&api, "resourceVersion=0");
    assert_eq!(
        watch.events(2),
        events(&[("ADDED", "a", 4), ("ADDED", "c", 3)])
    );
    api.apply(vec![put("a")]).unwrap();
    assert_eq!(watch.events(1), events(&[("MODIFIED", "a", 5)]));
}

#[test]
fn a_watch_ends_in_time_and_its_bookmarks_say_how_far_it_came() {
    let api = started();
    api.apply(vec![put("a")]).unwrap();
    let mut watch = Watch::begun(
        &api,
        "resourceVersion=2&allowWatchBookmarks=true&timeoutSeconds=1",
    );
    assert_eq!(watch.events(1), events(&[("ADDED", "a", 3)]));
    for _ in ["at the start", "at the end"] {
        let (became, object) = watch.next().unwrap();
        assert_eq!(
            (&*became, version(&object), &object["kind"]),
            ("BOOKMARK", 3, &"Service".into())
        );
    }
    assert_eq!(watch.next(), None);
    let quiet = Watch::begun(&api, "resourceVersion=3&timeoutSeconds=1").next();
    assert_eq!(quiet, None, "who does not ask for bookmarks gets none");
}

#[test]
fn a_watch_from_a_version_that_is_forgotten_or_not_there_yet_is_told_so() {
    let api = started();
    for _ in 0..3 {
        api.apply((0..20_000).map(|_| put("a")).collect()).unwrap();
    }
    for (from, code, reason) in [("2", 410, "Expired"), ("70000", 504, "Timeout")] {
        let mut watch = Watch::begun(&api, &format!("resourceVersion={from}"));
        let (became, status) = watch.next().unwrap();
        assert_eq!(
            (&*became, &status["code"], &status["reason"]),
            ("ERROR", &code.into(), &reason.into())
        );
        assert_eq!(watch.next(), None);
    }
    let (code, status) = asked(&api, "GET", "/api/v1/services?resourceVersion=70000", "");
    assert!(
        code == 504 && status.contains("ResourceVersionTooLarge"),
        "{status}"
    );
}

#[test]
fn what_was_asked_is_counted() {
    let api = started();
    assert!(!api.wait_until_watched(&[Kind::Service], Duration::ZERO));
    let mut watch = Watch::begun(&api, "resourceVersion=2&allowWatchBookmarks=true");
    assert!(api.wait_until_watched(&[Kind::Service], PATIENCE));
    watch.next().unwrap();
    got(&api, "/api/v1/nodes/node");
    asked(&api, "GET", "/apis/apps/v1/deployments", "");
    let requests = api.requests();
    assert_eq!(
        requests.answered.into_iter().collect::<Vec<_>>(),
        [
            ((Verb::Get, Kind::Node), 1),
            ((Verb::Watch, Kind::Service), 1)
        ]
    );
    assert_eq!(
        requests.watchers.into_iter().collect::<Vec<_>>(),
        [(Kind::Service, 1)]
    );
    let refused: Vec<_> = requests.refused.into_iter().collect();
    assert_eq!(
        refused,
        [("404 GET /apis/apps/v1/deployments".to_owned(), 1)]
    );
}

#[test]
fn events_are_taken_and_given_back() {
    let api = started();
    let event = r#"{"kind":"Event","apiVersion":"events.k8s.io/v1","reason":"Starting"}"#;
    let post = |body: &str, of: &str| {
        let more = format!("Content-Type: {of}\r\nContent-Length: {}\r\n", body.len());
        let path = "/apis/events.k8s.io/v1/namespaces/default/events";
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n{body}");
        sent(&api, request.as_bytes())
    };
    assert_eq!(post(event, "application/json"), (201, event.to_owned()));
    assert_eq!(post("[]", "application/json").0, 400);
    assert_eq!(post(event, "application/vnd.kubernetes.protobuf").0, 415);
    assert_eq!(
        post(&" ".repeat(1024 * 1024 + 1), "application/json").0,
        413
    );
    assert_eq!(api.requests().answered[&(Verb::Create, Kind::Event)], 1);
    assert_eq!(
        got(&api, "/apis/events.k8s.io/v1/events")["items"],
        Value::Array(vec![])
    );
}

#[test]
fn what_is_no_http_harms_nobody() {
    let api = started();
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5_000));
    let chunks =
        "POST /api/v1/namespaces/b/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    for request in [
        "\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        &long,
        &many,
        chunks,
    ] {
        let (code, _) = sent(&api, request.as_bytes());
        assert!(code == 0 || (400..500).contains(&code), "{code}");
    }
    assert_eq!(asked(&api, "GET", "/readyz", ""), (200, "ok".to_owned()));
    assert_eq!(asked(&api, "GET", "/version", "").0, 200);
    assert_eq!(
        asked(&api, "GET", "/api/v1/nodes", "Accept: application/yaml\r\n").0,
        406
    );
}

#[test]
fn a_server_that_is_dropped_closes_its_connections() {
    let api = started();
    let address = api.address();
    let mut watch = Watch::begun(&api, "resourceVersion=2");
    assert!(api.wait_until_watched(&[Kind::Service], PATIENCE));
    let config: Value = serde_json::from_str(&api.kubeconfig()).unwrap();
    assert_eq!(
        config["clusters"][0]["cluster"]["server"],
        format!("http://{address}")
    );
    assert!(api.cpu_ns().unwrap() > 0);
    drop(api);
    assert_eq!(watch.next(), None);
    assert!(TcpStream::connect(address).is_err());
}
