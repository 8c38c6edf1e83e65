//! Reading older layouts. A step a version; newer versions are refused with advice.

use serde_json::Value;

use crate::{CellKey, Metric, Mode, SCHEMA_VERSION, ScenarioKind, Transport, Unit};

/// Why a header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// Not one of our files.
    #[error(
        "line 1 is not a bench-runner header (no \"record\": \"header\" with a \"schema_version\")"
    )]
    Foreign,
    /// Written by a newer version.
    #[error(
        "schema version {found} is newer than this binary's {SCHEMA_VERSION}: use the bench-runner that wrote it, or a newer one"
    )]
    Newer {
        /// Version in the file.
        found: u64,
    },
    /// Version 0 or not a number.
    #[error("schema version {found} was never written")]
    Unknown {
        /// Version in the file.
        found: String,
    },
}

/// Reads the version of a header line.
///
/// # Errors
/// [`MigrateError::Foreign`] when there is none, [`MigrateError::Newer`] when it is beyond this binary.
pub fn version_of(header: &Value) -> Result<u32, MigrateError> {
    if header.get("record").and_then(Value::as_str) != Some("header") {
        return Err(MigrateError::Foreign);
    }
    let field = header.get("schema_version").ok_or(MigrateError::Foreign)?;
    match field.as_u64() {
        Some(found) if found > u64::from(SCHEMA_VERSION) => Err(MigrateError::Newer { found }),
        Some(found) if found >= 1 => Ok(found as u32),
        _ => Err(MigrateError::Unknown {
            found: field.to_string(),
        }),
    }
}

/// Brings one line of a file of version `from` to the current layout.
#[must_use]
pub fn migrate(line: Value, from: u32) -> Value {
    debug_assert!((1..=SCHEMA_VERSION).contains(&from));
    match from {
        1 => two(line),
        _ => line,
    }
}

/// What version 2 says otherwise: steal that a guest could not know is null, and first packets name their cache. The
/// header keeps the version that wrote it: some figures of version 1 are not comparable with later ones.
fn two(mut line: Value) -> Value {
    let word = |line: &Value, name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    if word(&line, "record").as_deref() != Some("cell") {
        return line;
    }
    if word(&line, "environment").is_some_and(|name| name.starts_with("guest")) {
        line["steal_ns"] = Value::Null;
    }
    if word(&line, "scenario").as_deref() == Some("first-packet")
        && let Some(options) = line.get_mut("options").and_then(Value::as_object_mut)
    {
        options.entry("cache").or_insert_with(|| "warm".into());
    }
    line
}

/// Why a figure of version 1 is no measure of what later versions measure; `None` of what is.
#[must_use]
pub fn measured_otherwise(metric: Metric, key: &CellKey, unit: Unit) -> Option<&'static str> {
    let netlink = key.options.transport() == Some(Transport::Netlink);
    match metric {
        Metric::KernelMemory if key.scenario == ScenarioKind::Memory => Some(
            "schema 1 installed and removed in one lab, where what a mode keeps after a removal was left out",
        ),
        Metric::CpuTime | Metric::UserTime | Metric::SystemTime if netlink => {
            Some("schema 1 read the processor time of netlink from ticks")
        }
        Metric::SyncTime if key.mode == Mode::Ipvs => {
            Some("schema 1 opened kube-proxy's sockets inside sync_time")
        }
        Metric::Latency if unit == Unit::Instructions => {
            Some("schema 1 warmed up otherwise, and its servers did not say who asked")
        }
        Metric::Latency => Some(
            "schema 1 warmed up for less, and not for every protocol before a stay's first cell",
        ),
        Metric::UpdateTime if key.scenario == ScenarioKind::Teardown => {
            Some("schema 1 closed the sockets of a teardown inside its update_time")
        }
        Metric::UpdateTime if netlink => Some("schema 1 opened sockets inside update_time"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_of_version_one_names_its_cache_and_knows_no_steal_of_a_guest() {
        let cell = |environment: &str| json!({"record": "cell", "scenario": "first-packet", "environment": environment, "options": {"position": "last"}, "steal_ns": 7});
        let guest = migrate(cell("guest-6.1"), 1);
        assert_eq!(guest["steal_ns"], Value::Null);
        assert_eq!(
            guest["options"],
            json!({"position": "last", "cache": "warm"})
        );
        assert_eq!(migrate(cell("host"), 1)["steal_ns"], 7);
        assert_eq!(migrate(cell("guest-6.1"), 2), cell("guest-6.1"));
    }
}
