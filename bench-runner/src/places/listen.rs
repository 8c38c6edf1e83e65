//! Listens to a stay: every cell under its time limit, Ctrl-C at any moment.

use std::collections::HashMap;
use std::time::Duration;

use netns_sys::clock;
use scenarios::spec::Event;
use schema::Stage;

use super::Heard;
use crate::interrupt::Interrupt;
use crate::isolate::child::Next;
use crate::progress::note;
use crate::verdict::End;

/// A stay that can be listened to.
pub(super) trait Talking: Send {
    /// Whether a guest's kernel is below it, and other guests and processes below that.
    const IN_GUEST: bool = false;

    /// What comes next, within `limit`.
    fn next(&mut self, limit: Duration) -> impl Future<Output = Next> + Send;

    /// How long each virtual CPU below it has waited for one of this machine's so far, nanoseconds; none where that is
    /// not known.
    fn run_delays_ns(&self) -> Option<Vec<u64>> {
        None
    }
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

/// Listens until the stay has ended or has to be ended.
pub(super) async fn listen<T: Talking>(
    stay: &mut T,
    limit: Duration,
    interrupt: &mut Interrupt,
) -> Heard {
    let mut ended = Vec::new();
    let mut started = HashMap::new();
    let mut running: Option<u64> = None;
    let mut since = clock::now();
    let mut acting: Option<clock::Reading> = None;
    let mut delays: Option<Vec<u64>> = None;
    let end = loop {
        let left = limit.saturating_sub(Duration::from_nanos(since.elapsed_ns()));
        let Some(next) = interrupt.unless_seen(stay.next(left)).await else {
            break End::Interrupted;
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
            Next::Event(Event::Told { line }) => note(&line),
            Next::Event(Event::OtherAct { .. }) => {}
            Next::Event(Event::Act { begins }) => acting = begins.then(clock::now),
            Next::Event(Event::Started { cell }) => {
                (running, since) = (Some(cell), clock::now());
                started.insert(cell, since);
                delays = stay.run_delays_ns();
            }
            Next::Event(Event::Ended(mut outcome)) => {
                if T::IN_GUEST {
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
        ..Heard::nothing(end)
    }
}
