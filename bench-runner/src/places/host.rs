//! This machine's own kernel: a stay is a process in namespaces of its own.

use std::sync::Mutex;
use std::time::Duration;

use netns_harness::HarnessError;
use netns_harness::meters::{self, KernelMemory};
use scenarios::spec::StaySpec;
use schema::Accelerator;

use super::listen::{Talking, listen};
use super::{Act, Heard, Place};
use crate::interrupt::Interrupt;
use crate::isolate::ask::{Answer, Ask, Rested};
use crate::isolate::child::{self, Next, StayProcess};
use crate::verdict::End;

/// This machine's kernel.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// What it held when it last stood still; none before that was asked.
    held: Mutex<Option<KernelMemory>>,
}

impl Host {
    /// The kernel as it is now, which stands still.
    ///
    /// # Errors
    /// The kernel's memory figures cannot be read.
    pub(crate) fn still() -> Result<Self, HarnessError> {
        Ok(Self {
            held: Mutex::new(Some(meters::kernel_memory()?)),
        })
    }

    fn rest(&self) -> Result<String, HarnessError> {
        // A panic in here would have changed nothing.
        let mut held = self.held.lock().unwrap_or_else(|e| e.into_inner());
        let rested = Rested::from(*held)?;
        // Other processes move these figures over the minutes of a run.
        *held = Some(rested.memory);
        Ok(rested.settled)
    }
}

/// It knows of its own threads.
impl Talking for StayProcess {
    fn next(&mut self, limit: Duration) -> impl Future<Output = Next> + Send {
        Self::next(self, limit)
    }
}

impl Place for Host {
    fn accelerator(&self) -> Accelerator {
        Accelerator::None
    }

    fn ask(&self, asks: Vec<(Ask, Duration)>) -> Act<'_, anyhow::Result<Vec<Answer>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for (ask, limit) in asks {
                answers.push(child::ask(&ask, limit).await?);
            }
            Ok(answers)
        })
    }

    fn settle(&self, _fresh: bool) -> Act<'_, anyhow::Result<Option<String>>> {
        Box::pin(async { Ok(Some(self.rest()?)) })
    }

    fn carry_out(
        &self,
        stay: StaySpec,
        limit: Duration,
        mut interrupt: Interrupt,
    ) -> Act<'_, anyhow::Result<Heard>> {
        Box::pin(async move {
            let ask = Ask::Stay(Box::new(stay));
            let starting = StayProcess::start(&ask);
            let Some(started) = interrupt.unless_seen(starting).await else {
                return Ok(Heard::nothing(End::Interrupted));
            };
            let mut process = started?;
            let heard = listen(&mut process, limit, &mut interrupt).await;
            // A stay that has said its last word ends by itself at once.
            let stuck = !process.kill().await;
            let note = stuck.then(|| {
                "warning: a killed stay is still inside the kernel; what follows may be slowed by it"
                    .to_owned()
            });
            Ok(Heard { note, ..heard })
        })
    }
}
