//! The lines between host and guest on the virtio-serial port, one JSON object a line, except that the
//! lines of a job's standard output travel as they are.

use serde::{Deserialize, Serialize};

/// Name of the port.
pub const PORT: &str = "bench.0";

/// What the host asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// Run the runner's binary with these arguments and this standard input.
    Run {
        /// Arguments.
        arguments: Vec<String>,
        /// Standard input.
        input: String,
    },
    /// Kill what is running.
    Kill,
    /// Power off.
    Off,
}

/// What the guest says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guest", rename_all = "kebab-case")]
pub enum Said {
    /// It is up.
    Ready {
        /// Release of its kernel.
        kernel: String,
        /// CPUs.
        cpus: u32,
        /// Memory, bytes.
        memory: u64,
        /// Modules that were loaded.
        modules: u32,
    },
    /// The job ended.
    Ended {
        /// Whether well: with exit code 0.
        success: bool,
        /// How.
        status: String,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// It cannot go on.
    Broken {
        /// Why.
        reason: String,
    },
}

/// A line from the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Of the guest itself.
    Said(Said),
    /// Of the job's standard output.
    Output(String),
}

impl Line {
    /// Tells the two apart: only the guest's own lines begin with `{"guest":`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.starts_with("{\"guest\":")
            && let Ok(said) = serde_json::from_str(text)
        {
            return Self::Said(said);
        }
        Self::Output(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_own_lines_are_told_from_a_jobs() {
        let said = Said::Ended {
            success: true,
            status: "exit status: 0".to_owned(),
            stderr: String::new(),
        };
        let text = serde_json::to_string(&said).unwrap();
        assert_eq!(Line::parse(&text), Line::Said(said));
        let event = r#"{"event":"closed"}"#;
        assert_eq!(Line::parse(event), Line::Output(event.to_owned()));
    }
}
