//! What the server's thread and its owner's share: the store, and what was asked so far.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::kind::{Change, Kind};
use crate::request::Verb;
use crate::store::{Absent, Store};

/// Different refusals that are told apart; a client that is refused in more ways than this is not kube-proxy.
const REFUSALS: usize = 64;

/// What was asked of a server so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests that were answered, by verb and kind.
    pub answered: BTreeMap<(Verb, Kind), u64>,
    /// Watches that are open now.
    pub watchers: BTreeMap<Kind, usize>,
    /// Requests that were refused, as `404 GET /apis/apps/v1/deployments`.
    pub refused: BTreeMap<String, u64>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    requests: Mutex<Requests>,
    watched: Condvar,
    /// The store's version, for watches to wait on.
    changed: watch::Sender<u64>,
    /// How often all connections were dropped.
    dropped: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            store: Mutex::new(Store::new()),
            requests: Mutex::default(),
            watched: Condvar::new(),
            changed: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
        }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores changes, then wakes all watches.
    pub(crate) fn apply(&self, changes: Vec<Change>) -> Result<u64, Absent> {
        let mut store = self.store();
        store.apply(changes)?;
        let version = store.version();
        drop(store);
        self.changed.send_replace(version);
        Ok(version)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn drop_connections(&self) {
        self.dropped.send_modify(|times| *times += 1);
    }

    pub(crate) fn drops(&self) -> watch::Receiver<u64> {
        self.dropped.subscribe()
    }

    pub(crate) fn answered(&self, verb: Verb, kind: Kind) {
        *self.requests().answered.entry((verb, kind)).or_default() += 1;
    }

    pub(crate) fn refused(&self, what: String) {
        let refused = &mut self.requests().refused;
        if refused.len() < REFUSALS || refused.contains_key(&what) {
            *refused.entry(what).or_default() += 1;
        }
    }

    /// Counts a watch as open until what is returned is dropped.
    pub(crate) fn watcher(&self, kind: Kind) -> Watcher<'_> {
        *self.requests().watchers.entry(kind).or_default() += 1;
        self.watched.notify_all();
        Watcher(self, kind)
    }

    /// Waits until each of these kinds is watched; false if it is not so in time.
    pub(crate) fn wait_until_watched(&self, kinds: &[Kind], limit: Duration) -> bool {
        let unwatched = |requests: &mut Requests| {
            let open = |kind| requests.watchers.get(kind).is_some_and(|&open| open > 0);
            !kinds.iter().all(open)
        };
        let waited = self
            .watched
            .wait_timeout_while(self.requests(), limit, unwatched);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// A watch that is open.
#[derive(Debug)]
pub(crate) struct Watcher<'a>(&'a Shared, Kind);

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        if let Some(open) = requests.watchers.get_mut(&self.1) {
            *open -= 1;
        }
        requests.watchers.retain(|_, open| *open > 0);
    }
}
