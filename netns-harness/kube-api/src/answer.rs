//! Answers: lists, single objects, and refusals in the form that clients of Kubernetes read (`meta/v1` Status,
//! `apimachinery/pkg/api/errors`).

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::kind::Row;
use crate::selector::NotServed;

/// What a request is answered with.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, std::convert::Infallible>>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Status {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(crate) fn no_such_object(row: &Row, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(row));
        Self {
            details: json!({"name": name, "group": row.group, "kind": row.plural}),
            ..Self::new(StatusCode::NOT_FOUND, "NotFound", message)
        }
    }

    pub(crate) fn no_such_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn not_json() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json";
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(code, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request's body is longer than {limit} bytes");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(code, "RequestEntityTooLarge", message)
    }

    /// A watch from a version that is forgotten.
    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {asked} ({oldest})");
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// A version that is not there yet; clients read the cause and list anew (client-go's reflector).
    pub(crate) fn too_new(asked: u64, newest: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {newest}");
        Self {
            details: json!({"retryAfterSeconds": 1, "causes":
                [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}),
            ..Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
        }
    }

    /// What a server says whose feature WatchList is off (`apimachinery/pkg/apis/meta/internalversion/validation`):
    /// client-go of all minors then lists and watches.
    pub(crate) fn no_initial_events() -> Self {
        let cause = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        let message =
            format!("ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: {cause}");
        Self {
            details: json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes":
                [{"reason": "FieldValueForbidden", "message": cause, "field": "sendInitialEvents"}]}),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
        }
    }

    fn json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status["code"] = self.code.as_u16().into();
        status
    }

    /// It as the last line of a watch.
    pub(crate) fn line(&self) -> Bytes {
        format!("{}\n", json!({"type": "ERROR", "object": self.json()})).into()
    }

    /// It as an answer.
    pub(crate) fn answer(&self) -> Answer {
        answer(self.code, Full::from(self.json().to_string()))
    }
}

impl From<NotServed> for Status {
    fn from(refused: NotServed) -> Self {
        Self::bad_request(refused.to_string())
    }
}

/// `services`, `endpointslices.discovery.k8s.io`.
fn qualified(row: &Row) -> String {
    match row.group {
        "" => row.plural.to_owned(),
        group => format!("{}.{group}", row.plural),
    }
}

/// JSON as an answer.
pub(crate) fn answer(
    code: StatusCode,
    body: impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = code;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A list of a kind's objects, at a version.
pub(crate) fn list<'a>(row: &Row, version: u64, items: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut text = format!(
        r#"{{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{version}"}},"items":["#,
        row.name,
        row.api_version(),
    )
    .into_bytes();
    for (nth, item) in items.enumerate() {
        if nth > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item);
    }
    text.extend_from_slice(b"]}");
    text.into()
}

/// The line of a watch that says up to which version it has told everything.
pub(crate) fn bookmark(row: &Row, version: u64) -> Bytes {
    let object = json!({"kind": row.name, "apiVersion": row.api_version(),
        "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}});
    format!("{}\n", json!({"type": "BOOKMARK", "object": object})).into()
}
