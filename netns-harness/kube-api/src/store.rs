//! What is served, as bytes: each object is written as JSON once, when it changes, as the line of a watch that announces
//! it. Lists and all watches share those bytes. Every change has a version, one more than the last, whatever its kind.
//!
//! The last changes of each kind are kept, so that a watch that broke off resumes behind what it has seen; a watch is
//! therefore a place in this history, and holds nothing. One that asks for what is forgotten is told so (410 Expired).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hyper::body::Bytes;
use serde::Serialize;

use crate::kind::{Change, Kind, Object, ROWS, Row};
use crate::object::Metadata;
use crate::selector::Selector;

/// Changes of a kind that are kept, at least: more than one batch has. A batch that is larger is kept whole.
const KEPT: usize = 32_768;
/// When everything was made. No clock is asked: nobody reads it, and the same changes give the same bytes.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// What stands around an object's own part.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Served<'a, T> {
    kind: &'static str,
    api_version: String,
    metadata: Stamped<'a>,
    #[serde(flatten)]
    own: &'a T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stamped<'a> {
    #[serde(flatten)]
    metadata: &'a Metadata,
    uid: &'a str,
    resource_version: String,
    creation_timestamp: &'static str,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    Added,
    Modified,
    Deleted,
}

impl Became {
    const fn head(self) -> &'static [u8] {
        match self {
            Self::Added => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }

    /// The line of a watch that says it of an object.
    fn line(self, object: &[u8]) -> Bytes {
        [self.head(), object, TAIL].concat().into()
    }
}

const TAIL: &[u8] = b"}\n";

/// Which objects of a kind a client asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Which {
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) labels: Selector,
    pub(crate) fields: Selector,
}

impl Which {
    fn has(&self, key: &Key, by: &By) -> bool {
        let (namespace, name) = key;
        self.namespace
            .as_ref()
            .is_none_or(|asked| asked == namespace)
            && self.name.as_ref().is_none_or(|asked| asked == name)
            && self.labels.selects(|key| by.label(key))
            && self.fields.selects(|key| match key {
                "metadata.name" => Some(name),
                "metadata.namespace" => Some(namespace),
                "spec.clusterIP" => by.cluster_ip.as_deref(),
                _ => None,
            })
    }
}

/// Namespace, empty where there is none, and name.
type Key = (String, String);

/// What an object is selected by, besides its key. A tree of labels would take as much memory as the object.
#[derive(Debug)]
struct By {
    labels: Box<[(String, String)]>,
    cluster_ip: Option<String>,
}

impl By {
    fn label(&self, key: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels.find(|label| label.0 == key).map(|label| &*label.1)
    }

    fn of(object: &Object) -> Self {
        let cluster_ip = match object {
            Object::Service(service) => service.spec.cluster_ip.map(|ip| ip.to_string()),
            _ => None,
        };
        Self {
            labels: object.metadata().labels.clone().into_iter().collect(),
            cluster_ip,
        }
    }
}

#[derive(Debug)]
struct Stored {
    uid: String,
    by: Arc<By>,
    /// Its JSON, a part of the line that announced it.
    json: Bytes,
}

#[derive(Debug)]
struct Event {
    version: u64,
    key: Key,
    became: Became,
    /// What it was selected by before, and is now: a change can bring an object into a selection, or out of it.
    before: Option<Arc<By>>,
    now: Option<Arc<By>>,
    line: Bytes,
}

impl Event {
    /// The line for a watch of these objects; `None` if it is none of them.
    fn line_for(&self, which: &Which) -> Option<Bytes> {
        let has = |by: &Option<Arc<By>>| by.as_ref().is_some_and(|by| which.has(&self.key, by));
        let became = match (has(&self.before), has(&self.now)) {
            (false, false) => return None,
            (false, true) => Became::Added,
            (true, true) => Became::Modified,
            (true, false) => Became::Deleted,
        };
        if became == self.became {
            return Some(self.line.clone());
        }
        let object = self.became.head().len()..self.line.len() - TAIL.len();
        Some(became.line(&self.line[object]))
    }
}

#[derive(Debug, Default)]
struct Shelf {
    objects: BTreeMap<Key, Stored>,
    history: VecDeque<Event>,
    /// The version of the last change that is forgotten.
    forgotten: u64,
}

/// A change of something that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Absent(pub(crate) Kind, pub(crate) Key);

/// What a watch asked for is forgotten: the oldest version that it could have resumed from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired(pub(crate) u64);

/// All that is served.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    shelves: [Shelf; ROWS.len()],
    kept: usize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            // A client takes version 0 for "any", so the first one is 1.
            version: 1,
            shelves: Default::default(),
            kept: KEPT,
        }
    }

    /// The version of the last change.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Makes changes in their order, all or none.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Result<(), Absent> {
        self.all_there(&changes)?;
        let before = self.version;
        for change in changes {
            self.version += 1;
            match change {
                Change::Put(object) => self.put(&object),
                Change::Delete(kind, namespace, name) => {
                    self.delete(kind, (namespace.unwrap_or_default(), name));
                }
            }
        }
        for shelf in &mut self.shelves {
            let older = shelf
                .history
                .partition_point(|event| event.version <= before);
            let surplus = shelf.history.len().saturating_sub(self.kept).min(older);
            if let Some(last) = shelf.history.drain(..surplus).next_back() {
                shelf.forgotten = last.version;
            }
        }
        Ok(())
    }

    /// Whether whatever is to be deleted will be there when its turn comes.
    fn all_there(&self, changes: &[Change]) -> Result<(), Absent> {
        let mut there: BTreeMap<(Kind, Key), bool> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Put(object) => {
                    there.insert((object.kind(), key(object.metadata())), true);
                }
                Change::Delete(kind, namespace, name) => {
                    let key = (namespace.clone().unwrap_or_default(), name.clone());
                    let stored = || self.shelves[*kind as usize].objects.contains_key(&key);
                    if !there
                        .get(&(*kind, key.clone()))
                        .copied()
                        .unwrap_or_else(stored)
                    {
                        return Err(Absent(*kind, key));
                    }
                    there.insert((*kind, key), false);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, object: &Object) {
        let (version, kind, key) = (self.version, object.kind(), key(object.metadata()));
        let objects = &mut self.shelves[kind as usize].objects;
        let before = objects.remove(&key);
        let became = if before.is_some() {
            Became::Modified
        } else {
            Became::Added
        };
        // A UUID by its form (RFC 9562, version 8: of one's own making): the version that made it.
        let made = || format!("00000000-0000-8000-8000-{version:012x}");
        let uid = before
            .as_ref()
            .map_or_else(made, |stored| stored.uid.clone());
        let line = became.line(&json(object, &uid, version));
        let json = line.slice(became.head().len()..line.len() - TAIL.len());
        let by = Arc::new(By::of(object));
        let event = Event {
            version,
            key: key.clone(),
            became,
            before: before.map(|stored| stored.by),
            now: Some(Arc::clone(&by)),
            line,
        };
        objects.insert(key, Stored { uid, by, json });
        self.shelves[kind as usize].history.push_back(event);
    }

    fn delete(&mut self, kind: Kind, key: Key) {
        let shelf = &mut self.shelves[kind as usize];
        let Some(stored) = shelf.objects.remove(&key) else {
            return;
        };
        // As it was last, with the version of its deletion.
        let mut last: serde_json::Value =
            serde_json::from_slice(&stored.json).expect("it was written as JSON");
        last["metadata"]["resourceVersion"] = self.version.to_string().into();
        shelf.history.push_back(Event {
            version: self.version,
            key,
            became: Became::Deleted,
            before: Some(stored.by),
            now: None,
            line: Became::Deleted.line(last.to_string().as_bytes()),
        });
    }

    /// An object by its name, as JSON.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Bytes> {
        let key = (namespace.to_owned(), name.to_owned());
        self.shelves[kind as usize]
            .objects
            .get(&key)
            .map(|stored| stored.json.clone())
    }

    /// The objects that a client asks for, as JSON, by namespace and name.
    pub(crate) fn list(&self, kind: Kind, which: &Which) -> impl Iterator<Item = &Bytes> {
        let objects = self.shelves[kind as usize].objects.iter();
        objects
            .filter(|(key, stored)| which.has(key, &stored.by))
            .map(|(_, stored)| &stored.json)
    }

    /// Lines of a watch that announce all there is, as one begins that names no version.
    pub(crate) fn announced(&self, kind: Kind, which: &Which) -> Vec<Bytes> {
        self.list(kind, which)
            .map(|json| Became::Added.line(json))
            .collect()
    }

    /// Lines of a watch for the changes after a version, no more than about so many bytes, and the version up to which
    /// they go.
    pub(crate) fn after(
        &self,
        kind: Kind,
        which: &Which,
        version: u64,
        bytes: usize,
    ) -> Result<(Vec<Bytes>, u64), Expired> {
        let Shelf {
            history, forgotten, ..
        } = &self.shelves[kind as usize];
        if version < *forgotten {
            return Err(Expired(*forgotten));
        }
        let (mut lines, mut held) = (Vec::new(), 0);
        let from = history.partition_point(|event| event.version <= version);
        for event in history.range(from..) {
            if let Some(line) = event.line_for(which) {
                held += line.len();
                lines.push(line);
            }
            if held >= bytes {
                return Ok((lines, event.version));
            }
        }
        Ok((lines, self.version))
    }
}

fn key(metadata: &Metadata) -> Key {
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone(),
    )
}

/// An object as it is served.
fn json(object: &Object, uid: &str, version: u64) -> Vec<u8> {
    let row = object.kind().row();
    let metadata = object.metadata();
    match object {
        Object::Service(own) => written(row, metadata, own, uid, version),
        Object::EndpointSlice(own) => written(row, metadata, own, uid, version),
        Object::Node(own) => written(row, metadata, own, uid, version),
        Object::ServiceCidr(own) => written(row, metadata, own, uid, version),
    }
}

fn written(
    row: &Row,
    metadata: &Metadata,
    own: &impl Serialize,
    uid: &str,
    version: u64,
) -> Vec<u8> {
    let served = Served {
        kind: row.name,
        api_version: row.api_version(),
        metadata: Stamped {
            metadata,
            uid,
            resource_version: version.to_string(),
            creation_timestamp: CREATED,
        },
        own,
    };
    serde_json::to_vec(&served).expect("texts, numbers and lists of them are JSON")
}

#[cfg(test)]
mod tests;
