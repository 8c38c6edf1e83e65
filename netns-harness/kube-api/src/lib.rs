//! The part of a Kubernetes API server that kube-proxy (1.32 and later) asks: services, endpoint slices, nodes and
//! service CIDRs, listed and watched over HTTP on loopback, from memory. There is no cluster behind it: who starts it
//! says what is there, in batches, and so decides when a real kube-proxy has to do what.
//!
//! It runs on a thread of its own in the network namespace of whoever starts it.
//!
//! ```
//! use kube_api::{Api, Change, Node, Object, Service};
//!
//! let api = Api::start(Node::named("node", &["192.0.2.1".parse()?]))?;
//! let service = Service::cluster_ip("bench", "svc-0", "10.96.0.1".parse()?, vec![]);
//! api.apply(vec![Change::Put(Object::Service(service))])?;
//! println!("{}", api.kubeconfig());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod kind;
pub mod object;
mod request;
mod selector;
mod server;
mod shared;
mod store;
mod watch;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::{Pid, gettid};
use serde_json::json;
use tokio::sync::oneshot;

pub use kind::{Change, Kind, Object};
pub use object::{
    ClientIpConfig, Endpoint, EndpointPort, EndpointSlice, Ingress, LoadBalancerStatus, Node,
    Protocol, Service, ServiceCidr, ServicePort, SessionAffinityConfig,
};
pub use request::Verb;
pub use shared::Requests;

use shared::Shared;

/// What can go wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no loopback, or no port free.
    #[error("listen on 127.0.0.1 for kube-proxy: {0}")]
    Listen(#[source] std::io::Error),
    /// The kernel gives no thread, or the thread no event loop.
    #[error("start the API server's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// What is to be deleted is not there.
    #[error("delete {namespace}/{name} from {of}: there is no such object", of = .kind.plural())]
    Absent {
        /// Its kind.
        kind: Kind,
        /// Its namespace, empty if it has none.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The thread has ended.
    #[error("read the processor time of the API server's thread: {0}")]
    ProcessorTime(#[source] nix::Error),
}

/// A server that runs. Dropping it closes all connections and ends its thread.
#[derive(Debug)]
pub struct Api {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread_id: Pid,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    /// Starts a server in the calling thread's network namespace, on a free port of 127.0.0.1, with this node and
    /// nothing else. It answers when this returns.
    ///
    /// # Errors
    /// [`Error::Listen`] (loopback must be up), [`Error::Thread`].
    pub fn start(node: Node) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new());
        shared
            .apply(vec![Change::Put(Object::Node(node))])
            .map_err(absent)?;
        // Bound here: a thread that is started inherits the namespace, a runtime's threads might be anywhere.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::Listen)?;
        let address = listener.local_addr().map_err(Error::Listen)?;
        listener.set_nonblocking(true).map_err(Error::Listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let listener = {
            let _of = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(Error::Thread)?
        };
        let (stop, stopped) = oneshot::channel();
        let (began, begins) = mpsc::channel();
        let held = Arc::clone(&shared);
        let serve = move || {
            // Whoever waits for it cannot be gone.
            let _ = began.send(gettid());
            runtime.block_on(server::serve(listener, held, stopped));
        };
        let thread = std::thread::Builder::new()
            .name("kube-api".to_owned())
            .spawn(serve)
            .map_err(Error::Thread)?;
        let ended = |_| Error::Thread(std::io::Error::other("it ended at once"));
        Ok(Self {
            shared,
            address,
            thread_id: begins.recv().map_err(ended)?,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig that leads to it, as JSON (which is YAML).
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bench", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "bench", "user": {}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "current-context": "bench",
        });
        config.to_string()
    }

    /// Makes changes in their order, all or none, and gives the version that the last one has. When it returns they are
    /// stored and every watch is woken: each sends what it has not sent yet, in the order of versions. What is put again
    /// counts as modified though it be the same.
    ///
    /// # Errors
    /// [`Error::Absent`] if something to be deleted is not there by then; nothing is changed.
    pub fn apply(&self, changes: Vec<Change>) -> Result<u64, Error> {
        self.shared.apply(changes).map_err(absent)
    }

    /// What it was asked so far, and what is watched now.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.shared.requests().clone()
    }

    /// Waits until each of these kinds is watched; false if it is not so in time.
    #[must_use]
    pub fn wait_until_watched(&self, kinds: &[Kind], limit: Duration) -> bool {
        self.shared.wait_until_watched(kinds, limit)
    }

    /// Processor time of its thread so far, nanoseconds.
    ///
    /// # Errors
    /// [`Error::ProcessorTime`]: the thread has ended.
    pub fn cpu_ns(&self) -> Result<u64, Error> {
        netns_sys::clock::cpu_ns_of(self.thread_id).map_err(Error::ProcessorTime)
    }

    /// Closes all connections, in the middle of whatever they carry.
    pub fn drop_connections(&self) {
        self.shared.drop_connections();
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

fn absent(store::Absent(kind, (namespace, name)): store::Absent) -> Error {
    Error::Absent {
        kind,
        namespace,
        name,
    }
}
