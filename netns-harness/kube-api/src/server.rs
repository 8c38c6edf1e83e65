//! The server's thread: connections, and the answer to each request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::answer::{Answer, Status, answer, list};
use crate::kind::Row;
use crate::request::{Asked, Options, Verb, takes_json};
use crate::shared::Shared;
use crate::store::Which;
use crate::watch;

/// Connections at a time; further ones wait to be accepted. A kube-proxy has one or two.
const CONNECTIONS: usize = 64;
/// Bytes of a request's head, and of its body.
const HEAD: usize = 64 * 1024;
const BODY: usize = 1024 * 1024;
/// How long a client may take for a request's head, and stay connected without one.
const IDLE: Duration = Duration::from_secs(300);
/// How long after a refused accept (out of file descriptors) the next is tried.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves until told to stop, or until whoever could is gone.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let accept = async {
        loop {
            let permit = Arc::clone(&room).acquire_owned().await;
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                connection(stream, &shared).await;
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stop => {}
    }
}

/// Serves a connection until its client closes it, speaks something else, or all are dropped.
async fn connection(stream: TcpStream, shared: &Arc<Shared>) {
    let mut drops = shared.drops();
    // An event must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(handle(request, shared).await) });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error is the client's: there is nobody left to tell.
        _ = served => {}
        _ = drops.changed() => {}
    }
}

async fn handle(request: Request<Incoming>, shared: &Arc<Shared>) -> Answer {
    let asked = format!("{} {}", request.method(), request.uri().path());
    match answered(request, shared).await {
        Ok(answer) => answer,
        Err(status) => {
            let answer = status.answer();
            shared.refused(format!("{} {asked}", answer.status().as_u16()));
            answer
        }
    }
}

async fn answered(request: Request<Incoming>, shared: &Arc<Shared>) -> Result<Answer, Status> {
    match Asked::read(request.method(), request.uri())? {
        Asked::Health => {
            let mut answer = answer(StatusCode::OK, Full::from("ok"));
            answer
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            Ok(answer)
        }
        _ if !takes_json(request.headers()) => Err(Status::not_acceptable()),
        Asked::Version => Ok(answer(StatusCode::OK, Full::from(version()))),
        Asked::Objects {
            verb,
            row,
            which,
            options,
        } => {
            let answer = match verb {
                Verb::Create => create(request).await?,
                Verb::Watch => answer(StatusCode::OK, watch::begin(shared, row, which, options)),
                Verb::Get => get(shared, row, &which)?,
                Verb::List => listed(shared, row, &which, &options)?,
            };
            shared.answered(verb, row.kind);
            Ok(answer)
        }
    }
}

fn get(shared: &Shared, row: &Row, which: &Which) -> Result<Answer, Status> {
    let name = which.name.as_deref().unwrap_or_default();
    let found = shared.store().get(
        row.kind,
        which.namespace.as_deref().unwrap_or_default(),
        name,
    );
    let json = found.ok_or_else(|| Status::no_such_object(row, name))?;
    Ok(answer(StatusCode::OK, Full::new(json)))
}

fn listed(shared: &Shared, row: &Row, which: &Which, options: &Options) -> Result<Answer, Status> {
    let store = shared.store();
    let newest = store.version();
    match options.version {
        Some(asked) if asked > newest => return Err(Status::too_new(asked, newest)),
        Some(asked) if options.exact && asked != newest => {
            return Err(Status::expired(asked, newest));
        }
        _ => {}
    }
    let list = list(row, newest, store.list(row.kind, which));
    Ok(answer(StatusCode::OK, Full::new(list)))
}

/// Takes an object that is not kept: its writer gets back what it sent.
async fn create(request: Request<Incoming>) -> Result<Answer, Status> {
    let of = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|of| of.to_str().ok());
    if of.is_some_and(|of| of.split(';').next() != Some("application/json")) {
        return Err(Status::not_json());
    }
    let body = Limited::new(request.into_body(), BODY).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => Status::too_large(BODY),
        false => Status::bad_request(format!("the request's body ended early: {error}")),
    })?;
    let body = body.to_bytes();
    let object: serde_json::Map<_, _> = serde_json::from_slice(&body).map_err(|error| {
        Status::bad_request(format!("the request's body is not an object: {error}"))
    })?;
    drop(object);
    Ok(answer(StatusCode::CREATED, Full::new(body)))
}

/// What a server of the newest minor says of itself, and that it is none.
fn version() -> String {
    let about = json!({
        "major": "1", "minor": "37", "gitVersion": "v1.37.0+kube-api", "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux",
    });
    about.to_string()
}
