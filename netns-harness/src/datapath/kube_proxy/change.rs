//! A change as kube-proxy learns of it: objects at the API, in three parts. What comes before and after is of no
//! consequence to rules (the endpoints of a service that is not there yet, or no more), so that the part between is one
//! change and, if kube-proxy is at rest, one sync.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kube_api::{Api, Change as ApiChange};
use schema::NodeKind;

use super::metrics::Changes;
use super::process::Synced;
use super::{Programmer, Running, State, not_running, objects};
use crate::HarnessError;
use crate::datapath::Step;
use crate::service::{Frontend, Population, Service};
use crate::sockets::Sockets;

/// A change, as a value.
#[derive(Debug)]
pub struct Change {
    before: Vec<ApiChange>,
    act: Act,
    after: Vec<ApiChange>,
    /// Where what is served then is reached.
    frontends: Vec<Frontend>,
}

/// What is timed.
#[derive(Debug)]
enum Act {
    /// kube-proxy is started, with everything at the API already.
    Start,
    /// It was ended, and is started again.
    Restart,
    /// Objects change: services, then endpoint slices.
    Put([Vec<ApiChange>; 2]),
}

impl Change {
    pub(super) fn between(
        node: NodeKind,
        from: Option<&Population>,
        to: &Population,
        again: bool,
    ) -> Self {
        let mut change = Self {
            before: Vec::new(),
            act: Act::Restart,
            after: Vec::new(),
            frontends: to.services.iter().map(|s| s.frontend).collect(),
        };
        let Some(from) = from else {
            let all = to.services.iter();
            change.before = all
                .flat_map(|s| {
                    let service = [objects::service(s, node)].into_iter();
                    service.chain(objects::slices(s, node))
                })
                .collect();
            change.act = Act::Start;
            return change;
        };
        if !again {
            change.act = Act::Put(change.differences(node, from, to));
        }
        change
    }

    /// Services and slices that change; what goes before and after is put there.
    fn differences(
        &mut self,
        node: NodeKind,
        from: &Population,
        to: &Population,
    ) -> [Vec<ApiChange>; 2] {
        let [mut services, mut slices] = [Vec::new(), Vec::new()];
        let mut old: HashMap<u32, &Service> = from.services.iter().map(|s| (s.index, s)).collect();
        for service in &to.services {
            match old.remove(&service.index) {
                Some(there) if there == service => {}
                Some(there) => {
                    if there.frontend != service.frontend {
                        services.push(objects::service(service, node));
                    }
                    slices.extend(objects::slices(service, node));
                }
                None => {
                    self.before.extend(objects::slices(service, node));
                    services.push(objects::service(service, node));
                }
            }
        }
        for gone in from.services.iter().filter(|s| old.contains_key(&s.index)) {
            services.push(objects::without_service(gone));
            self.after.extend(objects::without_slices(gone, node));
        }
        [services, slices]
    }

    fn objects(&self) -> usize {
        let put = match &self.act {
            Act::Put(both) => both.iter().map(Vec::len).sum(),
            Act::Start | Act::Restart => 0,
        };
        self.before.len() + put + self.after.len()
    }
}

/// A change that is ready to be made.
#[derive(Debug)]
pub struct Prepared<'a> {
    programmer: &'a Programmer,
    change: &'a Change,
    /// What is put at the API when it is made.
    act: [Vec<ApiChange>; 2],
    counted: Changes,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        programmer: &'a Programmer,
        change: &'a Change,
    ) -> Result<Self, HarnessError> {
        let (mut act, mut counted) = (Default::default(), Changes::default());
        match &change.act {
            Act::Start => {
                // What ran before is of another lab.
                programmer.leave();
                let api = Api::start(objects::node(programmer.node))
                    .map_err(|e| HarnessError::KubeProxy(format!("start the API server: {e}")))?;
                put(&api, vec![objects::service_range(programmer.node)])?;
                put(&api, change.before.clone())?;
                *programmer.lock() = State::Runs(Box::new(Running {
                    process: None,
                    api,
                    frontends: change.frontends.clone(),
                }));
            }
            Act::Restart => programmer.with(|running| {
                running.process = None;
                running.frontends.clone_from(&change.frontends);
                Ok(())
            })?,
            Act::Put(both) => programmer.with(|running| {
                act = both.clone();
                follow(running, &change.before, [0, change.before.len() as u64])?;
                let services = running.frontends.len();
                running.frontends.clone_from(&change.frontends);
                running.process()?.rest(services)?;
                counted = running.process()?.changes()?;
                Ok(())
            })?,
        }
        Ok(Self {
            programmer,
            change,
            act,
            counted,
        })
    }

    /// Makes it: what is timed begins.
    ///
    /// # Errors
    /// kube-proxy cannot be started, or the API server has ended.
    pub fn make(&mut self) -> Result<(), HarnessError> {
        let (change, act) = (self.change, &mut self.act);
        self.programmer.with(|running| match change.act {
            Act::Start | Act::Restart => self.programmer.start_process(running),
            Act::Put(_) => act
                .iter_mut()
                .try_for_each(|changes| put(&running.api, std::mem::take(changes))),
        })
    }

    /// Waits until it is in the rules: what is timed has ended when [`Synced::ended`] says.
    ///
    /// # Errors
    /// kube-proxy ends, or does not end its sync in time.
    pub fn synced(&self) -> Result<Synced, HarnessError> {
        self.programmer.with(|running| {
            let services = running.frontends.len() as u64;
            let families = self.programmer.node.families().len() as u64;
            let changes = match &self.change.act {
                Act::Put([services, slices]) => [services.len() as u64, slices.len() as u64],
                Act::Start | Act::Restart => [services, families * services],
            };
            let Running {
                process: Some(process),
                api,
                frontends,
            } = running
            else {
                return Err(not_running());
            };
            if !matches!(self.change.act, Act::Put(_)) {
                process.wait_until_watching(api)?;
            }
            process.synced(self.counted, changes, frontends.len())
        })
    }

    /// Does what comes after it.
    ///
    /// # Errors
    /// As [`Prepared::synced`].
    pub fn finish(self) -> Result<(), HarnessError> {
        let after = &self.change.after;
        self.programmer
            .with(|running| follow(running, after, [0, after.len() as u64]))
    }
}

fn put(api: &Api, changes: Vec<ApiChange>) -> Result<(), HarnessError> {
    api.apply(changes)
        .map(drop)
        .map_err(|e| HarnessError::KubeProxy(format!("change objects at the API: {e}")))
}

/// Makes changes of services and of slices, so many of each, and waits for their sync.
fn follow(
    running: &mut Running,
    changes: &[ApiChange],
    counts: [u64; 2],
) -> Result<(), HarnessError> {
    if changes.is_empty() {
        return Ok(());
    }
    let process = running.process.as_mut().ok_or_else(not_running)?;
    let services = running.frontends.len();
    process.rest(services)?;
    let counted = process.changes()?;
    put(&running.api, changes.to_vec())?;
    process.synced(counted, counts, services).map(drop)
}

/// A change as a step of a batch: all of its parts, one after the other.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) programmer: Arc<Programmer>,
    pub(super) change: Change,
}

impl Step for Made {
    fn operations(&self) -> u64 {
        self.change.objects() as u64
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn carry_out(&self, _: &mut Sockets) -> Result<(), HarnessError> {
        let mut prepared = self.programmer.prepare(&self.change)?;
        prepared.make()?;
        prepared.synced()?;
        prepared.finish()
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "kube-proxy: {} objects at the API",
            self.change.objects()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(indices: &[u32], endpoints: u32) -> Population {
        let service =
            |i: &u32| Service::of_test(*i, 0x0a60_0001 + i, 0x0a80_0001 + i * 40, endpoints);
        Population {
            services: indices.iter().map(service).collect(),
        }
    }

    /// Objects before, services and slices of the act, objects after.
    fn shape(from: &[u32], to: &[u32], endpoints: u32) -> (usize, [usize; 2], usize) {
        let (from, to) = (population(from, 2), population(to, endpoints));
        let change = Change::between(NodeKind::default(), Some(&from), &to, false);
        let Act::Put(act) = &change.act else {
            panic!("{change:?}")
        };
        let act = act.each_ref().map(Vec::len);
        (change.before.len(), act, change.after.len())
    }

    #[test]
    fn an_added_service_is_one_object_whose_endpoints_are_there_before() {
        assert_eq!(shape(&[0, 1], &[0, 1, 2], 2), (1, [1, 0], 0));
    }

    #[test]
    fn a_removed_service_is_one_object_whose_endpoints_go_after_it() {
        assert_eq!(shape(&[0, 1, 2], &[0, 2], 2), (0, [1, 0], 1));
    }

    #[test]
    fn changed_endpoints_are_slices_alone_and_what_is_equal_is_not_sent() {
        assert_eq!(shape(&[0, 1], &[0, 1], 3), (0, [0, 2], 0));
        assert_eq!(shape(&[0, 1], &[0, 1], 2), (0, [0, 0], 0));
    }

    #[test]
    fn a_start_has_everything_at_the_api_already() {
        let change = Change::between(NodeKind::default(), None, &population(&[0, 1], 2), false);
        assert!(matches!(change.act, Act::Start) && change.before.len() == 4);
    }
}
