//! Options of a cell: what tells it from others of its mode, scenario and size.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;
use crate::{
    Cache, Engine, Family, Hit, ListChange, ListKind, ListWay, Mix, NodeKind, PacketPath, Position,
    Protocol, Reach, ReachedBy, Reader, Stack, Transport,
};

/// What is known of an option.
#[derive(Debug)]
pub struct OptionRow {
    /// A value as words: "transactions of 500".
    pub words: fn(&str) -> String,
    /// What it is to a question.
    pub role: Role,
    /// Whether it says what rules serve or how they are written: a floor has none, and no such option.
    pub of_rules: bool,
    /// Whether the cells of one stay differ in it.
    pub in_a_stay: bool,
    /// Whether the sides of a comparison may differ in it.
    pub of_variants: bool,
    /// The value that goes without saying: any other one is named wherever the cell is.
    pub usual: Option<&'static str>,
}

/// What an option is to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Part of the question: named even where it is the same everywhere.
    Asks,
    /// Part of the question where it differs: the same work, cut otherwise.
    Cuts,
    /// How a mode is programmed. Never a question of its own: modes have different ways, and an answer names its own.
    Way,
    /// The circumstances: named where they differ.
    Around,
}

const AROUND: OptionRow = OptionRow {
    words: |value| value.to_owned(),
    role: Role::Around,
    of_rules: false,
    in_a_stay: false,
    of_variants: false,
    usual: None,
};
const OF_A_PACKET: OptionRow = OptionRow {
    in_a_stay: true,
    ..AROUND
};
const OF_RULES: OptionRow = OptionRow {
    of_rules: true,
    of_variants: true,
    ..AROUND
};

/// A word of a closed vocabulary as words; another as it is, with its option's name.
fn words_of<T: FromStr>(key: OptionKey, value: &str, words: impl Fn(T) -> String) -> String {
    let unknown = |_| format!("{key} {value}");
    value.parse().map_or_else(unknown, words)
}

// In the order of their names: cells are sorted by them.
vocabulary! {
    /// The name of an option.
    OptionKey, "option", of OptionRow, {
        /// Whether caches are emptied between flows: `warm`, `cold`. Of first packets, since schema 2.
        Cache = "cache" {
            words: |value| format!("{value} caches"),
            usual: Some("warm"),
            ..AROUND
        },
        /// What is done to a list: `load`, `add`, `remove`.
        Change = "change" {
            words: |value| words_of(OptionKey::Change, value, ListChange::words),
            role: Role::Asks,
            ..AROUND
        },
        /// Services a transaction: `all`, or their number.
        Chunk = "chunk" {
            words: |value| match value {
                "all" => "one transaction".to_owned(),
                number => format!("transactions of {number}"),
            },
            role: Role::Cuts,
            ..OF_RULES
        },
        /// Endpoints that are replaced at once: their number.
        Churn = "churn" {
            words: |value| format!("{value} endpoints"),
            role: Role::Asks,
            of_variants: true,
            ..AROUND
        },
        /// Engine below a mode's iptables rules, where either would do: `legacy`, `nft`.
        Engine = "engine" { words: |value| format!("{value} engine"), role: Role::Way, ..OF_RULES },
        /// Entries of a list: their number.
        Entries = "entries" {
            words: |value| format!("{value} entries"),
            role: Role::Asks,
            ..AROUND
        },
        /// Address family of the services that are changed and asked: `ipv4` or `ipv6`. Absent: `ipv4`; first packets always say it.
        Family = "family" { words: |value| format!("family {value}"), ..AROUND },
        /// For which address a list is asked: `first`, `last`, `any`, `miss`.
        Hit = "hit" {
            words: |value| words_of(OptionKey::Hit, value, Hit::words),
            role: Role::Asks,
            ..AROUND
        },
        /// Versions of kube-proxy whose rules and syncs these are: `1.36`, `1.32-1.37`.
        KubeProxy = "kube_proxy" {
            words: |value| format!("kube-proxy {}", value.replacen('-', " to ", 1)),
            role: Role::Way,
            ..OF_RULES
        },
        /// kube-proxy's layout of large clusters, without comments in the iptables rules of endpoints: `on`, `off`.
        LargeCluster = "large_cluster" {
            words: |value| match value {
                "on" => "without endpoint comments".to_owned(),
                "off" => "with endpoint comments".to_owned(),
                other => format!("large_cluster {other}"),
            },
            role: Role::Way,
            ..OF_RULES
        },
        /// What holds a list: `rules`, `hash-ip`, `interval`, …
        ListKind = "list_kind" {
            words: |value| words_of(OptionKey::ListKind, value, ListKind::words),
            role: Role::Asks,
            ..AROUND
        },
        /// How many entries kube-proxy's sets hold: `raised`, more than kube-proxy makes them for; absent: its 65,536.
        Maxelem = "maxelem" {
            words: |value| format!("maxelem {value}"),
            role: Role::Way,
            usual: Some("kept"),
            ..OF_RULES
        },
        /// The least time between two syncs of a real kube-proxy: `10ms`, `1s`.
        MinSyncPeriod = "min_sync_period" {
            words: |value| format!("minSyncPeriod {value}"),
            role: Role::Way,
            ..OF_RULES
        },
        /// Flows that are open while one of them is asked: their number.
        OpenFlows = "open_flows" {
            words: |value| format!("{value} open flows"),
            role: Role::Asks,
            ..OF_A_PACKET
        },
        /// Where packets come from: `client`, a pod; `node`, the node itself.
        Path = "path" {
            words: |value| words_of(OptionKey::Path, value, PacketPath::words),
            ..OF_A_PACKET
        },
        /// Services as those of a cluster that was read: the first 16 hexadecimal digits of the SHA-256 of their shape. Absent: equal ones.
        Population = "population" {
            words: |value| Mix::of_population(value).words(),
            of_rules: true,
            ..AROUND
        },
        /// Which service is asked: `first`, `middle`, `last`, `uniform`.
        Position = "position" {
            words: |value| words_of(OptionKey::Position, value, Position::words),
            role: Role::Asks,
            ..OF_A_PACKET
        },
        /// Possible CPUs of the guest, for each of which a kernel holds what is held for each: their number.
        PossibleCpus = "possible_cpus" {
            words: |value| format!("{value} possible CPUs"),
            role: Role::Asks,
            ..AROUND
        },
        /// Transport protocol: `tcp`, `udp`.
        Protocol = "protocol" {
            words: |value| words_of(OptionKey::Protocol, value, Protocol::words),
            role: Role::Asks,
            ..OF_A_PACKET
        },
        /// New flows a second: their number, each due at its time; `most`: as many as one CPU can make.
        Rate = "rate" {
            words: |value| match value {
                MOST => "as many as can be".to_owned(),
                number => format!("{number} a second"),
            },
            role: Role::Asks,
            ..OF_A_PACKET
        },
        /// Which of the asked service's addresses packets are sent to: `cluster-ip`, `node-port`, `load-balancer`, `external-ip`;
        /// absent: its ClusterIP.
        Reached = "reached" {
            words: |value| words_of(OptionKey::Reached, value, ReachedBy::words),
            of_rules: true,
            ..OF_A_PACKET
        },
        /// What reads back what is installed: see the glossary's readers.
        Reader = "reader" {
            words: |value| words_of(OptionKey::Reader, value, Reader::words),
            role: Role::Asks,
            ..OF_A_PACKET
        },
        /// Services that are scaled down at once: their number.
        Scaled = "scaled" {
            words: |value| format!("{value} services"),
            role: Role::Asks,
            ..AROUND
        },
        /// Endpoints that are left to each of them: their number.
        ScaledTo = "scaled_to" {
            words: |value| format!("to {value} endpoints"),
            role: Role::Asks,
            ..AROUND
        },
        /// What the services of the population are: a type, or a mix of them with shares in per cent (`cluster-ip=60,node-port=40`);
        /// absent: `cluster-ip`.
        ServiceType = "service_type" {
            words: |value| words_of(OptionKey::ServiceType, value, |mix: Mix| mix.words()),
            of_rules: true,
            ..AROUND
        },
        /// Sets that are refilled under another name and swapped: their number.
        Sets = "sets" {
            words: |value| format!("{value} sets"),
            role: Role::Asks,
            ..AROUND
        },
        /// How many families the node serves: `dual`, both; absent: the one of `family`.
        Stack = "stack" {
            words: |value| format!("{value}-stack node"),
            ..AROUND
        },
        /// The suite of the distribution whose tools are used: `trixie`; `host`: those that are installed, as where it is absent.
        Suite = "suite" {
            words: |value| match value {
                INSTALLED => "installed tools".to_owned(),
                suite => format!("tools of {suite}"),
            },
            role: Role::Way,
            ..OF_RULES
        },
        /// UDP flows that are tracked when endpoints are replaced: their number.
        TrackedFlows = "tracked_flows" {
            words: |value| format!("{value} flows"),
            role: Role::Asks,
            ..AROUND
        },
        /// How updates reach the kernel: `restore`, `netlink`, `exec`, `nft`, `ipset-restore`, `ipvsadm`, `kube-proxy`.
        Transport = "transport" {
            words: |value| words_of(OptionKey::Transport, value, Transport::words),
            role: Role::Way,
            ..OF_RULES
        },
        /// VIPs so far apart; absent: drawn by the seed.
        VipStride = "vip_stride" {
            words: |value| format!("vip_stride {value}"),
            of_variants: true,
            ..AROUND
        },
        /// How the entries of a list are replaced: `one-by-one`, `swap`, `flush-add`, `flush-add-at-once`, `transaction`, `restore`.
        Way = "way" {
            words: |value| words_of(OptionKey::Way, value, ListWay::words),
            role: Role::Asks,
            ..AROUND
        },
    }
}

impl OptionKey {
    /// A value as words.
    #[must_use]
    pub fn words(self, value: &str) -> String {
        (self.row().words)(value)
    }

    /// What it is to a question.
    #[must_use]
    pub const fn role(self) -> Role {
        self.row().role
    }

    /// Whether it says how a mode is programmed.
    #[must_use]
    pub fn is_way(self) -> bool {
        self.role() == Role::Way
    }

    /// Whether it asks something: [`Role::Asks`] or [`Role::Cuts`].
    #[must_use]
    pub fn asks(self) -> bool {
        matches!(self.role(), Role::Asks | Role::Cuts)
    }
}

/// Options of a cell, sorted by name, so that equal cells have equal text. On the wire strings to strings; a value that
/// is not in its option's vocabulary is kept as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Options(BTreeMap<OptionKey, String>);

/// By key and value; numbers by their size, and before words.
impl Ord for Options {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |value: &str| value.parse().unwrap_or(u64::MAX);
        let places = |of: &Self| {
            let all = of.0.iter();
            let all = all.map(|(key, value)| (*key, place(value), value.clone()));
            all.collect::<Vec<_>>()
        };
        places(self).cmp(&places(other))
    }
}

impl PartialOrd for Options {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Options {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The value of an option, as it is on the wire.
    #[must_use]
    pub fn get(&self, key: OptionKey) -> Option<&str> {
        self.0.get(&key).map(String::as_str)
    }

    /// Whether the option has that value.
    #[must_use]
    pub fn is(&self, key: OptionKey, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// Gives an option a value.
    pub fn set(&mut self, key: OptionKey, value: impl Display) {
        self.0.insert(key, value.to_string());
    }

    /// The same options with one that has another value.
    #[must_use]
    pub fn with(mut self, key: OptionKey, value: impl Display) -> Self {
        self.set(key, value);
        self
    }

    /// Takes an option away.
    pub fn remove(&mut self, key: OptionKey) {
        self.0.remove(&key);
    }

    /// The options whose names are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(OptionKey) -> bool) -> Self {
        let mut kept = self.clone();
        kept.0.retain(|key, _| wanted(*key));
        kept
    }

    /// Those that are named with every answer: what they ask, and what is not as usual.
    #[must_use]
    pub fn told(&self) -> Self {
        self.only(|key| key.asks() || self.is_unusual(key))
    }

    /// Whether an option is not as usual.
    #[must_use]
    pub fn is_unusual(&self, key: OptionKey) -> bool {
        let own = self.get(key);
        key.row()
            .usual
            .is_some_and(|usual| own.is_some_and(|own| own != usual))
    }

    /// All but these.
    #[must_use]
    pub fn without(&self, keys: &[OptionKey]) -> Self {
        self.only(|key| !keys.contains(&key))
    }

    /// Name and value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (OptionKey, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Every option as words, by name.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.iter().map(|(key, value)| key.words(value)).collect()
    }

    /// The words of one option.
    #[must_use]
    pub fn words_of(&self, key: OptionKey) -> Option<String> {
        self.get(key).map(|value| key.words(value))
    }

    fn word<T: FromStr>(&self, key: OptionKey) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    /// Which service is asked.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.word(OptionKey::Position)
    }

    /// The protocol of the service that is asked.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.word(OptionKey::Protocol)
    }

    /// What the node serves of which these are a cell's.
    #[must_use]
    pub fn node(&self) -> NodeKind {
        NodeKind {
            stack: self.word::<Stack>(OptionKey::Stack).unwrap_or_default(),
            family: self.word::<Family>(OptionKey::Family).unwrap_or_default(),
        }
    }

    /// Says what the node serves. What goes without saying is left as it is: cells of an IPv4 node are those that they
    /// were before there was another.
    pub fn set_node(&mut self, node: NodeKind) {
        if node.is_ordinary() {
            return;
        }
        self.set(OptionKey::Family, node.family);
        if node.stack == Stack::Dual {
            self.set(OptionKey::Stack, node.stack);
        }
    }

    /// What the services are.
    #[must_use]
    pub fn mix(&self) -> Mix {
        match self.get(OptionKey::Population) {
            Some(hash) => Mix::of_population(hash),
            None => self.word(OptionKey::ServiceType).unwrap_or_default(),
        }
    }

    /// Says what the services are; of ClusterIPs alone nothing, so that these cells are those that they were before there
    /// was another type.
    pub fn set_mix(&mut self, mix: &Mix) {
        if let Some(hash) = mix.population() {
            self.set(OptionKey::Population, hash);
        } else if !mix.is_ordinary() {
            self.set(OptionKey::ServiceType, mix);
        }
    }

    /// Which address of the asked service packets are sent to.
    #[must_use]
    pub fn reached(&self) -> ReachedBy {
        self.word(OptionKey::Reached).unwrap_or_default()
    }

    /// Says which address that is; of the ClusterIP nothing.
    pub fn set_reached(&mut self, by: ReachedBy) {
        if by != ReachedBy::default() {
            self.set(OptionKey::Reached, by);
        }
    }

    /// Where packets come from.
    #[must_use]
    pub fn path(&self) -> PacketPath {
        self.word(OptionKey::Path).unwrap_or_default()
    }

    /// What the services are, and how first packets reach them. Of what sends no packets: as they ordinarily do.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach {
            mix: self.mix(),
            by: self.reached(),
            from: self.path(),
        }
    }

    /// Says that. Where packets come from is always said.
    pub fn set_reach(&mut self, reach: &Reach) {
        self.set_mix(&reach.mix);
        self.set_reached(reach.by);
        self.set(OptionKey::Path, reach.from);
    }

    /// Whether caches hold what is walked.
    #[must_use]
    pub fn cache(&self) -> Option<Cache> {
        self.word(OptionKey::Cache)
    }

    /// How updates reach the kernel.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.word(OptionKey::Transport)
    }

    /// The engine below.
    #[must_use]
    pub fn engine(&self) -> Option<Engine> {
        self.word(OptionKey::Engine)
    }

    /// Services a transaction; `None`: all in one, or nothing is said of it.
    #[must_use]
    pub fn chunk(&self) -> Option<u32> {
        self.word(OptionKey::Chunk)
    }

    /// Possible CPUs of the guest.
    #[must_use]
    pub fn possible_cpus(&self) -> Option<u32> {
        self.word(OptionKey::PossibleCpus)
    }

    /// What holds a list.
    #[must_use]
    pub fn list_kind(&self) -> Option<ListKind> {
        self.word(OptionKey::ListKind)
    }

    /// Entries of a list.
    #[must_use]
    pub fn entries(&self) -> Option<u32> {
        self.word(OptionKey::Entries)
    }

    /// For which address a list is asked.
    #[must_use]
    pub fn hit(&self) -> Option<Hit> {
        self.word(OptionKey::Hit)
    }

    /// How its entries are replaced.
    #[must_use]
    pub fn list_way(&self) -> Option<ListWay> {
        self.word(OptionKey::Way)
    }

    /// What is done to a list.
    #[must_use]
    pub fn list_change(&self) -> Option<ListChange> {
        self.word(OptionKey::Change)
    }

    /// Sets that are swapped.
    #[must_use]
    pub fn sets(&self) -> Option<u32> {
        self.word(OptionKey::Sets)
    }

    /// What reads back what is installed.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        self.word(OptionKey::Reader)
    }

    /// Flows that are open while one of them is asked.
    #[must_use]
    pub fn open_flows(&self) -> Option<u32> {
        self.word(OptionKey::OpenFlows)
    }

    /// New flows a second; `None`: as many as one CPU can make, or nothing is said of it.
    #[must_use]
    pub fn rate(&self) -> Option<u32> {
        self.word(OptionKey::Rate)
    }

    /// Where a question with these options stands among others of its scenario and metric: protocols, then positions as
    /// they lie; one transaction before chunks.
    #[must_use]
    pub fn place(&self) -> impl Ord + use<> {
        (
            self.get(OptionKey::Protocol).map(str::to_owned),
            self.position().map_or(u8::MAX, |position| position as u8),
            self.chunk().unwrap_or(0),
            self.get(OptionKey::Churn).map(str::to_owned),
            [OptionKey::Scaled, OptionKey::ScaledTo].map(|key| self.word::<u32>(key)),
            (
                self.word::<u32>(OptionKey::TrackedFlows),
                self.open_flows(),
                self.rate(),
            ),
            self.possible_cpus(),
            self.mix(),
            self.reached(),
            (self.reader(), self.sets()),
        )
    }
}

/// What `suite` says of the tools that are installed.
pub const INSTALLED: &str = "host";

/// What `rate` says of as many as one CPU can make.
pub const MOST: &str = "most";

/// What `maxelem` says of sets that hold more than kube-proxy's.
pub const RAISED: &str = "raised";

/// What `chunk` says of one transaction for all.
pub const ONE_TRANSACTION: &str = "all";

impl<V: Display, const N: usize> From<[(OptionKey, V); N]> for Options {
    fn from(options: [(OptionKey, V); N]) -> Self {
        options.into_iter().collect()
    }
}

impl<V: Display> FromIterator<(OptionKey, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (OptionKey, V)>>(options: I) -> Self {
        let named = options.into_iter();
        Self(named.map(|(key, value)| (key, value.to_string())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_by_their_names_as_text_was() {
        let names: Vec<&str> = OptionKey::ALL.iter().map(|key| key.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn on_the_wire_options_are_strings_and_an_unknown_one_is_refused_by_name() {
        let text = r#"{"chunk":"500","position":"last"}"#;
        let options: Options = serde_json::from_str(text).unwrap();
        assert_eq!(
            (options.chunk(), options.position()),
            (Some(500), Some(Position::Last))
        );
        assert_eq!(serde_json::to_string(&options).unwrap(), text);
        let error = serde_json::from_str::<Options>(r#"{"speed":"9"}"#).unwrap_err();
        assert!(error.to_string().contains("speed"), "{error}");
    }

    #[test]
    fn an_ipv4_node_says_nothing_and_every_other_one_is_told_by_its_options() {
        for node in NodeKind::ALL {
            let mut options = Options::from([(OptionKey::Chunk, "500")]);
            options.set_node(node);
            assert_eq!(options.node(), node);
            let rest = options.without(&[OptionKey::Family, OptionKey::Stack]);
            assert_eq!(rest.words(), ["transactions of 500"]);
            assert_eq!(options == rest, node.is_ordinary());
        }
        let packet = Options::from([(OptionKey::Family, "ipv4")]);
        assert_eq!(packet.node(), NodeKind::default());
    }

    #[test]
    fn services_of_cluster_ips_alone_are_not_named_and_a_type_and_a_mix_are() {
        let mut options = Options::new();
        options.set_mix(&Mix::default());
        assert_eq!(options, Options::new());
        assert!(options.mix().is_ordinary());
        assert_eq!(options.reached(), ReachedBy::ClusterIp);
        for text in ["node-port", "cluster-ip=60,node-port=40"] {
            let mix: Mix = text.parse().unwrap();
            options.set_mix(&mix);
            assert_eq!(options.get(OptionKey::ServiceType), Some(text));
            assert_eq!(options.mix(), mix);
        }
        assert_eq!(
            options.words(),
            ["60 % cluster-ip and 40 % node-port services"]
        );
        options.set(OptionKey::ServiceType, "headless");
        assert_eq!(options.words(), ["service_type headless"]);
    }

    #[test]
    fn how_services_are_reached_is_read_as_it_was_said() {
        for mix in ["cluster-ip", "node-port", "cluster-ip=80,node-port=20"] {
            for (by, from) in [
                (ReachedBy::ClusterIp, PacketPath::Node),
                (ReachedBy::NodePort, PacketPath::Client),
            ] {
                let mix = mix.parse().unwrap();
                let reach = Reach { mix, by, from };
                let mut options = Options::new();
                options.set_reach(&reach);
                assert_eq!(options.reach(), reach);
                assert!(!options.reach().is_ordinary());
            }
        }
        assert!(Options::new().reach().is_ordinary());
    }

    #[test]
    fn a_value_that_no_vocabulary_has_is_kept_and_shown() {
        let options = Options::from([(OptionKey::Position, "behind")]);
        assert_eq!(options.position(), None);
        assert_eq!(options.words(), ["position behind"]);
    }
}
