//! Watches: each a task that follows the store's history and hands lines to the body of its answer. It holds a version
//! and one chunk of lines; a client that reads slowly makes only its own watch wait.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{interval, sleep};

use crate::answer::{Status, bookmark};
use crate::kind::Row;
use crate::request::Options;
use crate::shared::Shared;
use crate::store::Which;

/// Bytes of lines that are handed on at once, about.
const CHUNK: usize = 64 * 1024;
/// How often a bookmark is sent (as `apiserver/pkg/storage/cacher` does).
const BOOKMARKS: Duration = Duration::from_secs(60);
/// After how many seconds a watch ends that names no time, and at most.
const LONGEST_S: u64 = 3_600;

/// The body of a watch's answer.
#[derive(Debug)]
pub(crate) struct Lines(Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}

/// Begins a watch.
pub(crate) fn begin(
    shared: &Arc<Shared>,
    row: &'static Row,
    which: Which,
    options: Options,
) -> Lines {
    let (to, lines) = mpsc::channel(1);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // The error is that the client is gone.
        let _ = follow(&shared, row, &which, &options, &to).await;
    });
    Lines(lines)
}

/// The client has closed its connection, or there is nothing more for it.
struct Over;

async fn follow(
    shared: &Shared,
    row: &'static Row,
    which: &Which,
    options: &Options,
    to: &Sender<Bytes>,
) -> Result<(), Over> {
    let mut changes = shared.changes();
    let _open = shared.watcher(row.kind);
    let mut told = match options.version {
        Some(version) if version > 0 => version,
        _ => {
            let (lines, version) = {
                let store = shared.store();
                (store.announced(row.kind, which), store.version())
            };
            for lines in lines.chunks(128) {
                send(to, lines.concat()).await?;
            }
            version
        }
    };
    let mut end = pin!(sleep(Duration::from_secs(
        options.timeout_s.unwrap_or(LONGEST_S).min(LONGEST_S)
    )));
    let mut bookmarks = interval(BOOKMARKS);
    loop {
        told = tell(shared, row, which, told, to).await?;
        tokio::select! {
            biased;
            () = to.closed() => return Ok(()),
            () = &mut end => break,
            changed = changes.changed() => changed.map_err(|_| Over)?,
            _ = bookmarks.tick(), if options.bookmarks => send(to, bookmark(row, told)).await?,
        }
    }
    if options.bookmarks {
        send(to, bookmark(row, told)).await?;
    }
    Ok(())
}

/// Sends what has happened since a version; gives the version up to which everything is told.
async fn tell(
    shared: &Shared,
    row: &'static Row,
    which: &Which,
    mut told: u64,
    to: &Sender<Bytes>,
) -> Result<u64, Over> {
    loop {
        // The store is let go before anything waits for the client.
        let next = {
            let store = shared.store();
            let newest = store.version();
            match store.after(row.kind, which, told, CHUNK) {
                _ if told > newest => Err(Status::too_new(told, newest)),
                Ok((lines, until)) => Ok((lines, until, until == newest)),
                Err(expired) => Err(Status::expired(told, expired.0)),
            }
        };
        match next {
            Ok((lines, until, all)) => {
                told = until;
                match &lines[..] {
                    [] => {}
                    // The bytes that the store has.
                    [line] => send(to, line.clone()).await?,
                    lines => send(to, lines.concat()).await?,
                }
                if all {
                    return Ok(told);
                }
            }
            Err(status) => {
                send(to, status.line()).await?;
                return Err(Over);
            }
        }
    }
}

async fn send(to: &Sender<Bytes>, lines: impl Into<Bytes>) -> Result<(), Over> {
    to.send(lines.into()).await.map_err(|_| Over)
}
