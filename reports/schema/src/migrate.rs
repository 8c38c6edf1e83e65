//! Reading older layouts. A step a version; newer versions are refused with advice.

use serde_json::Value;

use crate::SCHEMA_VERSION;

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
    // Version 1 is the first: there is nothing to bring forward yet.
    debug_assert!((1..=SCHEMA_VERSION).contains(&from));
    line
}
