//! What a client asks, read from method, path and query.

use hyper::header::{ACCEPT, HeaderMap};
use hyper::{Method, Uri};

use crate::answer::Status;
use crate::kind::{ROWS, Row};
use crate::selector::Selector;
use crate::store::Which;

/// Kubernetes' verbs, of those there are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object by its name.
    Get,
    /// All objects that are selected.
    List,
    /// Their changes.
    Watch,
    /// A new object.
    Create,
}

/// A request that is understood.
#[derive(Debug)]
pub(crate) enum Asked {
    /// `/version`.
    Version,
    /// `/healthz` and its like.
    Health,
    Objects {
        verb: Verb,
        row: &'static Row,
        which: Which,
        options: Options,
    },
}

/// How a list or a watch is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    watch: bool,
    /// The version that a watch begins behind; `None` and 0 both ask for any.
    pub(crate) version: Option<u64>,
    /// That version and no other.
    pub(crate) exact: bool,
    /// Seconds after which a watch ends.
    pub(crate) timeout_s: Option<u64>,
    pub(crate) bookmarks: bool,
    initial_events: bool,
}

impl Asked {
    pub(crate) fn read(method: &Method, uri: &Uri) -> Result<Self, Status> {
        match uri.path() {
            "/version" | "/version/" => return Ok(Self::Version),
            "/healthz" | "/readyz" | "/livez" => return Ok(Self::Health),
            _ => {}
        }
        let (row, mut which) = place(uri.path()).ok_or_else(Status::no_such_path)?;
        let options = options(uri.query().unwrap_or_default(), row, &mut which)?;
        let get = method == Method::GET;
        let verb = match which.name {
            _ if get && options.watch => Verb::Watch,
            Some(_) if get => Verb::Get,
            None if get => Verb::List,
            None if method == Method::POST && row.writable && which.namespace.is_some() => {
                Verb::Create
            }
            // An event that was dropped is not there to be added to: the client writes a new one.
            Some(name) if method == Method::PATCH && row.writable => {
                return Err(Status::no_such_object(row, &name));
            }
            _ => return Err(Status::no_such_method()),
        };
        if options.initial_events {
            return Err(Status::no_initial_events());
        }
        Ok(Self::Objects {
            verb,
            row,
            which,
            options,
        })
    }
}

/// The kind that a path names, and which of its objects.
fn place(path: &str) -> Option<(&'static Row, Which)> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let group = match parts.next()? {
        "api" => "",
        "apis" => parts.next().filter(|group| !group.is_empty())?,
        _ => return None,
    };
    (parts.next()? == "v1").then_some(())?;
    let rest: Vec<_> = parts.collect();
    let (namespace, plural, name) = match rest[..] {
        ["namespaces", namespace, plural] => (Some(namespace), plural, None),
        ["namespaces", namespace, plural, name] => (Some(namespace), plural, Some(name)),
        [plural] => (None, plural, None),
        [plural, name] => (None, plural, Some(name)),
        _ => return None,
    };
    let row = ROWS
        .iter()
        .find(|row| row.group == group && row.plural == plural)?;
    let complete = if row.namespaced {
        namespace.is_some() || name.is_none()
    } else {
        namespace.is_none()
    };
    let own = |part: &str| part.to_owned();
    let which = Which {
        namespace: namespace.map(own),
        name: name.map(own),
        ..Which::default()
    };
    complete.then_some((row, which))
}

fn options(query: &str, row: &Row, which: &mut Which) -> Result<Options, Status> {
    let mut options = Options::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = || {
            let refused = || Status::bad_request(format!("{key} is not a number: {value:?}"));
            let given = Some(&value).filter(|value| !value.is_empty());
            given
                .map(|value| value.parse::<u64>().map_err(|_| refused()))
                .transpose()
        };
        let yes = !value.eq_ignore_ascii_case("false") && value != "0";
        match &*key {
            "watch" => options.watch = yes,
            "allowWatchBookmarks" => options.bookmarks = yes,
            "sendInitialEvents" => options.initial_events = true,
            "resourceVersion" => options.version = number()?,
            "timeoutSeconds" => options.timeout_s = number()?.filter(|&s| s > 0),
            "resourceVersionMatch" => options.exact = value == "Exact",
            "labelSelector" => which.labels = Selector::of_labels(&value)?,
            "fieldSelector" => which.fields = Selector::of_fields(&value, row.kind)?,
            "continue" if !value.is_empty() => {
                return Err(Status::bad_request(
                    "continue key is not valid: lists are never cut here",
                ));
            }
            // A server may answer with all there is, whatever the limit; the rest is of form only.
            _ => {}
        }
    }
    Ok(options)
}

/// Whether a client takes JSON: the plain objects, not a table of them.
pub(crate) fn takes_json(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(ACCEPT).into_iter().peekable();
    asked.peek().is_none()
        || asked
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|range| {
                let mut parts = range.split(';').map(str::trim);
                let json = matches!(
                    parts.next(),
                    Some("application/json" | "application/*" | "*/*")
                );
                json && !parts.any(|parameter| parameter.starts_with("as=") || parameter == "q=0")
            })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;
    use crate::kind::Kind;

    fn read(method: Method, uri: &str) -> Result<(Verb, Kind, Which), String> {
        match Asked::read(&method, &uri.parse().unwrap()) {
            Ok(Asked::Objects {
                verb, row, which, ..
            }) => Ok((verb, row.kind, which)),
            Ok(other) => panic!("{other:?}"),
            Err(status) => Err(format!("{status:?}")),
        }
    }

    #[test]
    fn a_path_names_kind_namespace_and_object() {
        let (verb, kind, which) =
            read(Method::GET, "/api/v1/services?limit=500&resourceVersion=0").unwrap();
        assert_eq!(
            (verb, kind, which.namespace, which.name),
            (Verb::List, Kind::Service, None, None)
        );
        let (verb, kind, which) = read(Method::GET, "/api/v1/nodes/a").unwrap();
        assert_eq!(
            (verb, kind, which.name.as_deref()),
            (Verb::Get, Kind::Node, Some("a"))
        );
        let slices = "/apis/discovery.k8s.io/v1/namespaces/b/endpointslices?watch=true";
        let (verb, kind, which) = read(Method::GET, slices).unwrap();
        assert_eq!(
            (verb, kind, which.namespace.as_deref()),
            (Verb::Watch, Kind::EndpointSlice, Some("b"))
        );
        let (verb, kind, _) =
            read(Method::POST, "/apis/events.k8s.io/v1/namespaces/b/events").unwrap();
        assert_eq!((verb, kind), (Verb::Create, Kind::Event));
        assert_eq!(
            read(Method::POST, "/api/v1/namespaces/b/events").unwrap().1,
            Kind::CoreEvent
        );
    }

    #[test]
    fn what_is_not_served_is_refused_as_kubernetes_refuses_it() {
        for (method, uri, code) in [
            (Method::GET, "/", "404"),
            (Method::GET, "/apis/apps/v1/deployments", "404"),
            (Method::GET, "/api/v1/services/a", "404"),
            (Method::GET, "/api/v1/namespaces/b/nodes", "404"),
            (Method::PATCH, "/api/v1/namespaces/b/events/a", "404"),
            (Method::POST, "/api/v1/namespaces/b/services", "405"),
            (Method::DELETE, "/api/v1/nodes/a", "405"),
            (
                Method::GET,
                "/api/v1/services?watch=1&sendInitialEvents=true",
                "422",
            ),
            (Method::GET, "/api/v1/services?resourceVersion=a", "400"),
            (
                Method::GET,
                "/api/v1/services?labelSelector=a+in+(b)",
                "400",
            ),
            (
                Method::GET,
                "/api/v1/nodes?fieldSelector=spec.clusterIP%21%3DNone",
                "400",
            ),
        ] {
            let refused = read(method, uri).unwrap_err();
            assert!(
                refused.contains(&format!("code: {code}")),
                "{uri}: {refused}"
            );
        }
    }

    #[test]
    fn only_plain_json_is_given() {
        let takes = |text: Option<&'static str>| {
            let headers = text.map(|text| (ACCEPT, HeaderValue::from_static(text)));
            takes_json(&headers.into_iter().collect())
        };
        assert!(takes(None) && takes(Some("application/json")) && takes(Some("*/*")));
        assert!(takes(Some(
            "application/vnd.kubernetes.protobuf, application/json;q=0.9"
        )));
        assert!(!takes(Some("application/vnd.kubernetes.protobuf")));
        assert!(!takes(Some("application/json;as=Table;v=v1;g=meta.k8s.io")));
    }
}
