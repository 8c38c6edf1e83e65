//! The words of results: what `results.jsonl` and `summary.json` hold, and what is known of each word.
//!
//! A leaf crate on purpose: the harness writes these types, the reports read them, and neither sees
//! the other. Every closed set (modes, scenarios, metrics, units, options and their values, stages, outcomes) is a
//! vocabulary, with one row a value: whoever needs a property reads the row. Field names are a public contract
//! (docs/results-format.md); a change of meaning raises [`SCHEMA_VERSION`] and adds a step to [`migrate`].
//!
//! ```
//! use schema::{Metric, Mode, OptionKey, Options, Position};
//!
//! assert_eq!("nftables".parse(), Ok(Mode::Nftables));
//! assert!(Mode::Conntrack.is_floor());
//! assert_eq!(Metric::Latency.row().meaning, "first packet of a new flow to the first reply");
//! let options = Options::from([(OptionKey::Position, Position::Last)]);
//! assert_eq!(options.words(), ["the last service"]);
//! ```

pub mod comparison;
mod histogram;
mod identity;
mod list;
mod metric;
pub mod migrate;
mod mode;
mod options;
mod outcome;
mod record;
mod scenario;
mod service_type;
pub mod summary;
pub mod trend;
mod vocabulary;
mod words;

pub use histogram::Histogram;
pub use identity::{CONTROL, CellKey};
pub use list::{Hit, Holder, ListChange, ListKind, ListKindRow, ListWay};
pub use metric::{Growth, Metric, MetricRow, Unit, UnitRow};
pub use mode::{Marker, Mode, ModeRow, Proxier};
pub use options::{INSTALLED, MOST, ONE_TRANSACTION, OptionKey, OptionRow, Options, RAISED, Role};
pub use outcome::{Disturbance, NotRun, Outcome, OutcomeKind, OutcomeRow, Stage};
pub use record::{
    Accelerator, CellRecord, EndRecord, Environment, Header, LEAVING, Record, ResumedRecord,
    SandboxKind, Series, Variant,
};
pub use scenario::{Ask, Place, ScenarioKind, ScenarioRow, Topic, filled};
pub use service_type::{Mix, MixError, Reach, ReachedBy, ServiceType, ServiceTypeRow};
pub use vocabulary::UnknownName;
pub use words::{
    Cache, Damage, Engine, Family, KubeProxyVersion, NodeKind, PacketPath, Position, PositionRow,
    Protocol, Reader, ReaderRow, Stack, Transport, TransportRow,
};

/// Lines of the glossary of every vocabulary that a reader of results meets: what kind of word, the word, what it means.
#[must_use]
pub fn glossary() -> Vec<[&'static str; 3]> {
    [
        Mode::glossary(),
        ScenarioKind::glossary(),
        Metric::glossary(),
        Unit::glossary(),
        OptionKey::glossary(),
        Position::glossary(),
        Protocol::glossary(),
        Family::glossary(),
        Stack::glossary(),
        ServiceType::glossary(),
        ReachedBy::glossary(),
        Reader::glossary(),
        PacketPath::glossary(),
        Transport::glossary(),
        Engine::glossary(),
        Cache::glossary(),
        ListKind::glossary(),
        Hit::glossary(),
        ListChange::glossary(),
        ListWay::glossary(),
        SandboxKind::glossary(),
        Accelerator::glossary(),
        Stage::glossary(),
        Disturbance::glossary(),
        Damage::glossary(),
        comparison::Verdict::glossary(),
    ]
    .concat()
}

/// Version of the layout of `results.jsonl` and `summary.json`. Newer files are refused, older ones
/// are migrated.
pub const SCHEMA_VERSION: u32 = 2;
