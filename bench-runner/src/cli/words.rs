//! The words that options accept, and what is said of one that they do not.

use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use netns_harness::datapath::KUBE_PROXY;
use netns_harness::service::{MAX_ENDPOINTS, MAX_SERVICES};
use schema::{CONTROL, Family, INSTALLED, KubeProxyVersion, NodeKind, ScenarioKind, UnknownName};
use serde::{Serialize, Serializer};

use crate::case;

/// A word of `--sandbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SandboxOption {
    Auto,
    Netns,
    Guest,
}

/// A word of `--maxelem`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Maxelem {
    Kept,
    Raised,
}

/// A word of `--scenarios`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenarios {
    All,
    One(ScenarioKind),
}

pub(crate) fn scenario(text: &str) -> Result<Scenarios, UnknownName> {
    match text {
        "all" => Ok(Scenarios::All),
        _ => text.parse().map(Scenarios::One),
    }
}

/// `--families`: what the nodes serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Families {
    /// One family alone.
    Single(Family),
    /// Both, on one node.
    Dual,
    /// Every kind of node, beside each other.
    Each,
}

impl Families {
    /// Its word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Single(family) => family.name(),
            Self::Dual => "ipv4,ipv6",
            Self::Each => "each",
        }
    }

    /// What is measured of it: each family that a node serves.
    pub(crate) fn nodes(self) -> Vec<NodeKind> {
        match self {
            Self::Single(family) => vec![NodeKind::single(family)],
            Self::Dual => [Family::Ipv4, Family::Ipv6].map(NodeKind::dual).to_vec(),
            Self::Each => NodeKind::ALL.to_vec(),
        }
    }
}

impl Serialize for Families {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// `--families`: a list, in any order.
pub(crate) fn families(text: &str) -> Result<Families, String> {
    if text == Families::Each.name() {
        return Ok(Families::Each);
    }
    let named = text.split(',').map(str::parse);
    let named = named.collect::<Result<Vec<Family>, UnknownName>>();
    let named = named.map_err(|unknown| format!("{unknown}; or each, for every kind of node"))?;
    match named[..] {
        [family] => Ok(Families::Single(family)),
        [a, b] if a != b => Ok(Families::Dual),
        _ => {
            Err("name each family once: ipv4, ipv6, or ipv4,ipv6 for a dual-stack node".to_owned())
        }
    }
}

pub(crate) const SERVICES: (u32, &str) = (MAX_SERVICES, "services");
pub(crate) const ENDPOINTS: (u32, &str) = (MAX_ENDPOINTS, "endpoints");

/// As many as the address plan has room for, of what.
pub(crate) fn up_to(
    (most, what): (u32, &'static str),
) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("give a whole number of {what}, 1 to {most}")),
        Ok(n) if n < 1 => Err(format!("give at least 1 of {what}")),
        Ok(n) if n > i64::from(most) => {
            Err(format!("at most {most} {what} (the address plan's limit)"))
        }
        Ok(n) => Ok(n as u32),
    }
}

pub(crate) const REPETITIONS: RangeInclusive<u32> = 1..=1_000;
pub(crate) const STRIDE: RangeInclusive<u32> = 1..=65_536;
pub(crate) const FLOWS: RangeInclusive<u32> = 100..=20_000;
pub(crate) const PLANTED: RangeInclusive<u32> = 1..=5_000;

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if d.is_zero() => Err("give a time longer than zero, as in 90s or 5m".to_owned()),
        Ok(d) => Ok(d),
        Err(_) => Err(format!("'{text}' is not a time; write 90s, 5m or 1h")),
    }
}

/// A value of `--min-sync-period`: milliseconds.
pub(crate) fn sync_period(text: &str) -> Result<u32, String> {
    let period = humantime::parse_duration(text).ok();
    let ms = period.and_then(|period| u32::try_from(period.as_millis()).ok());
    let ms = ms.filter(|ms| (1..=60_000).contains(ms));
    ms.ok_or_else(|| format!("'{text}' is no time from 1ms to 60s; write 10ms or 1s"))
}

/// A variant as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Its name.
    pub(crate) name: String,
    /// What sets it apart, as given.
    pub(crate) options: String,
}

/// A value of `--variant`.
pub(crate) fn given(text: &str) -> Result<Given, String> {
    let Some((name, options)) = text.split_once(':') else {
        return Err("write NAME:'OPTIONS', as in base:'' or head:'--kernel 6.12'".to_owned());
    };
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(letters) {
        return Err(format!(
            "'{name}' is no name of a variant: use a-z, 0-9 and -"
        ));
    }
    if name == CONTROL {
        return Err(format!(
            "'{CONTROL}' is the name of the second series of mode none: name the variant otherwise"
        ));
    }
    Ok(Given {
        name: name.to_owned(),
        options: options.trim().to_owned(),
    })
}

/// A value of `--sysctl`: name, value.
pub(crate) fn sysctl(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(
            "write NAME=VALUE, as in net.netfilter.nf_conntrack_tcp_be_liberal=1".to_owned(),
        );
    };
    let (name, value) = (name.trim(), value.trim());
    let letters = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !name.starts_with("net.") || !name.chars().all(letters) {
        return Err(format!(
            "'{name}' is no sysctl of a network namespace: those are named net.…, and others would be the host's"
        ));
    }
    if value.is_empty() {
        return Err(format!("give {name} a value"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A word of `--tools`.
pub(crate) fn suite(text: &str) -> Result<String, String> {
    match guest::suite::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "'{text}' is no name of a suite: name one of this distribution, as in trixie, or {INSTALLED}"
        )),
    }
}

/// The same, of those that can be fetched.
pub(crate) fn fetched_suite(text: &str) -> Result<String, String> {
    match text {
        INSTALLED => {
            Err("these are installed, and nothing to fetch: name a suite, as in trixie".to_owned())
        }
        name => suite(name),
    }
}

/// A version of kube-proxy, as in 1.37; of 1.37.2 or v1.37.2 the minor.
pub(crate) fn kube_proxy(text: &str) -> Result<KubeProxyVersion, UnknownName> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let patch = bare.match_indices('.').nth(1);
    patch.map_or(bare, |(at, _)| &bare[..at]).parse()
}

/// Where a stay has mounts of its own, and sees nothing of this machine's.
pub(crate) const HIDDEN: [&str; 3] = ["/run", "/proc", "/sys"];

/// A value of `--tool`: name, file.
pub(crate) fn tool(text: &str) -> Result<(String, PathBuf), String> {
    let Some((name, path)) = text.split_once('=') else {
        return Err("write NAME=PATH, as in nft=/opt/nftables/sbin/nft".to_owned());
    };
    if !case::is_tool(name) {
        let known: Vec<&str> = case::all_tools().into_iter().map(|t| t.0).collect();
        return Err(format!(
            "no tool '{name}' is ever started (known: {}, kube-proxy)",
            known.join(", ")
        ));
    }
    let remedy = match name == KUBE_PROXY.0 {
        true => "; `scripts/kube-proxy VERSION` builds one and prints its path",
        false => "; give the path of a program",
    };
    let file = Path::new(path)
        .canonicalize()
        .map_err(|e| format!("{path}: {e}{remedy}"))?;
    let executable = file
        .metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if !executable {
        return Err(format!("{path} is no executable file"));
    }
    if let Some(folder) = HIDDEN.iter().find(|folder| file.starts_with(folder)) {
        return Err(format!(
            "{} is below {folder}, of which stays have their own: put it elsewhere",
            file.display()
        ));
    }
    Ok((name.to_owned(), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_in_a_list_are_those_of_one_node_and_an_unknown_one_is_told_the_known() {
        for (text, of) in [("ipv4", 1), ("ipv6", 1), ("ipv6,ipv4", 2), ("each", 4)] {
            assert_eq!(families(text).unwrap().nodes().len(), of, "{text}");
        }
        let both = families("ipv6,ipv4").unwrap();
        assert!(both.name() == "ipv4,ipv6" && both.nodes().iter().all(|n| n.families().len() == 2));
        let why = families("ipv5").unwrap_err();
        assert!(why.contains("ipv4, ipv6") && why.contains("each"), "{why}");
        for text in ["ipv6,ipv6", "ipv4,ipv6,ipv4"] {
            assert!(families(text).unwrap_err().contains("once"), "{text}");
        }
        assert!(families("").is_err() && families("ipv4,").is_err());
    }

    #[test]
    fn sysctls_are_those_of_network_namespaces_and_tools_are_known_and_executable() {
        let sysctl_refused = |text: &str| sysctl(text).unwrap_err();
        assert!(sysctl_refused("kernel.panic=1").contains("the host's"));
        assert!(sysctl_refused("net.core.somaxconn").contains("NAME=VALUE"));
        assert!(sysctl_refused("net.core.somaxconn=").contains("a value"));
        let tool_refused = |text: &str| tool(text).unwrap_err();
        assert!(tool_refused("nftt=/bin/true").contains("known: "));
        assert!(tool_refused("nft=/no/such/file").contains("No such file"));
        assert!(tool_refused("nft=/etc/passwd").contains("no executable file"));
        assert!(fetched_suite(INSTALLED).is_err());
        assert_eq!(kube_proxy("v1.36.3").ok(), kube_proxy("1.36").ok());
        assert!(kube_proxy("1.31.4").is_err());
        assert!(suite("../trixie").is_err() && suite("trixie").is_ok() && suite(INSTALLED).is_ok());
    }
}
