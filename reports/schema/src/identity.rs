//! What identifies a cell: mode × scenario × services × endpoints × environment × variant × options.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Mode, Options, ScenarioKind};

/// Variant of the second `none` series.
pub const CONTROL: &str = "control";

/// Identity of a cell. Two records with equal keys measure the same thing.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct CellKey {
    /// What answers the packets.
    pub mode: Mode,
    /// What is asked.
    pub scenario: ScenarioKind,
    /// Services in the population, N.
    pub services: u32,
    /// Endpoints of each service, E.
    pub endpoints: u32,
    /// Name of the environment; a key of the header's `environments`.
    pub environment: String,
    /// `""` for the ordinary series of a run without variants, else the variant's name; `"control"` for the
    /// second `none` series whose ratio to the first states the run's noise.
    #[serde(default)]
    pub variant: String,
    /// See [`Options`].
    #[serde(default)]
    pub options: Options,
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} N={} E={}",
            self.mode, self.scenario, self.services, self.endpoints
        )?;
        for (key, value) in self.options.iter() {
            write!(f, " {key}={value}")?;
        }
        if !self.variant.is_empty() {
            write!(f, " variant={}", self.variant)?;
        }
        // A run on the host's kernel has no other.
        if self.environment.starts_with("guest") {
            write!(f, " on {}", self.environment)?;
        }
        Ok(())
    }
}
