//! Listens to a stay: every cell under its time limit, Ctrl-C at any moment.

use std::collections::HashMap;
use std::time::Duration;

use netns_sys::clock;
use scenarios::spec::{CellOutcome, Event};
use schema::Stage;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sandbox::{Next, Running};
use crate::verdict::End;

/// What a stay said.
pub(crate) struct Heard {
    /// Cells that ended, in order.
    pub(crate) ended: Vec<CellOutcome>,
    /// When each cell started.
    pub(crate) started: HashMap<u64, clock::Reading>,
    /// How it ended.
    pub(crate) end: End,
}

/// Listens; holds the signals that end a run.
pub(crate) struct Listener {
    interrupt: Signal,
    terminate: Signal,
    /// Time limit of a cell, and of what is before and after the cells.
    limit: Duration,
}

/// The longest wait between two readings of the same threads; none where either is not known.
fn longest(before: Option<Vec<u64>>, after: Option<Vec<u64>>) -> Option<u64> {
    let (before, after) = before.zip(after)?;
    let waits = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.saturating_sub(*before));
    waits.max().filter(|_| after.len() == before.len())
}

impl Listener {
    /// # Errors
    /// The signals cannot be taken.
    pub(crate) fn new(limit: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            limit,
        })
    }

    /// Listens until the stay has ended or has to be ended.
    pub(crate) async fn listen(&mut self, stay: &mut Running<'_>) -> Heard {
        let mut ended = Vec::new();
        let mut started = HashMap::new();
        let mut running: Option<u64> = None;
        let mut since = clock::now();
        let mut acting: Option<clock::Reading> = None;
        let mut delays: Option<Vec<u64>> = None;
        let end = loop {
            let left = self
                .limit
                .saturating_sub(Duration::from_nanos(since.elapsed_ns()));
            let next = tokio::select! {
                next = stay.next(left) => next,
                _ = self.interrupt.recv() => break End::Interrupted,
                _ = self.terminate.recv() => break End::Interrupted,
            };
            match next {
                Next::Late => {
                    break End::Late {
                        cell: running,
                        after: Duration::from_nanos(since.elapsed_ns()),
                        act_ns: acting.map(clock::Reading::elapsed_ns),
                    };
                }
                Next::Ended(said) => break End::Died(Stage::Process, running, said),
                Next::Gone(said) => break End::Died(Stage::Guest, running, said),
                Next::Event(Event::OtherAct { .. }) => {}
                Next::Event(Event::Act { begins }) => acting = begins.then(clock::now),
                Next::Event(Event::Started { cell }) => {
                    (running, since) = (Some(cell), clock::now());
                    started.insert(cell, since);
                    delays = stay.run_delays_ns();
                }
                Next::Event(Event::Ended(mut outcome)) => {
                    if stay.is_in_guest() {
                        // What is seen inside is not all: the host may have taken the whole guest's processors.
                        let outside = longest(delays.take(), stay.run_delays_ns());
                        let both = outcome.run_delay_ns.zip(outside);
                        outcome.run_delay_ns = both.map(|(inside, outside)| inside.max(outside));
                    }
                    (running, since) = (None, clock::now());
                    ended.push(outcome);
                }
                Next::Event(Event::Failed { stage, reason }) => break End::Failed(stage, reason),
                Next::Event(Event::Closed) => break End::Closed,
            }
        };
        Heard {
            ended,
            started,
            end,
        }
    }

    /// Does something that takes a while, unless the user wants to stop first: then `None`.
    pub(crate) async fn unless_interrupted<T>(
        &mut self,
        act: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            done = act => Some(done),
            _ = self.interrupt.recv() => None,
            _ = self.terminate.recv() => None,
        }
    }
}
