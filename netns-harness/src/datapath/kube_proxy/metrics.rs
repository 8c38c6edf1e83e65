//! kube-proxy's own metrics, as it serves them (the text format of Prometheus): whether the changes that it was told of
//! are in what it has synced.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Where they are served, in the node's namespace.
pub(super) const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 10_249);
/// How long an answer may take: a sync holds no lock that it waits for.
const LIMIT: Duration = Duration::from_secs(5);

/// Changes of services and of endpoint slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Received since it was started.
    pub(super) total: [u64; 2],
    /// Of them those that no sync has taken yet.
    pub(super) pending: u64,
}

/// What it says of changes.
///
/// # Errors
/// It does not answer, or has no such metrics; as a sentence.
pub(super) fn changes() -> Result<Changes, String> {
    let text = fetch().map_err(|e| format!("ask its metrics: {e}"))?;
    let of = |kind: &str, what: &str| {
        sum(
            &text,
            &format!("kubeproxy_sync_proxy_rules_{kind}_changes_{what}"),
        )
    };
    Ok(Changes {
        total: [of("service", "total")?, of("endpoint", "total")?],
        pending: of("service", "pending")? + of("endpoint", "pending")?,
    })
}

/// Its version, as "1.37.2"; `None` where it does not say.
pub(super) fn version() -> Option<String> {
    version_in(&fetch().ok()?)
}

fn version_in(text: &str) -> Option<String> {
    let mut lines = text.lines();
    let labels = lines.find_map(|line| line.strip_prefix("kubernetes_build_info{"))?;
    let (_, version) = labels.split_once("git_version=\"")?;
    let version = version.split('"').next()?;
    let version = version.strip_prefix('v').unwrap_or(version);
    (!version.is_empty()).then(|| version.to_owned())
}

fn fetch() -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(ADDRESS), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A metric over all of its labels.
fn sum(text: &str, name: &str) -> Result<u64, String> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.parse::<f64>().ok()
    });
    let values: Vec<f64> = values.collect();
    match values.is_empty() {
        true => Err(format!("it serves no metric {name}")),
        false => Ok(values.iter().sum::<f64>() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_its_build() {
        let text = "# TYPE kubernetes_build_info gauge\nkubernetes_build_info{build_date=\"x\",git_version=\"v1.37.2\",major=\"1\"} 1\n";
        assert_eq!(version_in(text).as_deref(), Some("1.37.2"));
        assert_eq!(version_in("a 1\n"), None);
    }

    #[test]
    fn a_metric_is_summed_over_its_labels_and_one_that_is_missing_is_named() {
        let text = "# HELP a_total x\na_total{f=\"IPv4\"} 3\na_total{f=\"IPv6\"} 4\nb 1e+06\na_total_more 9\n";
        assert_eq!(sum(text, "a_total"), Ok(7));
        assert_eq!(sum(text, "b"), Ok(1_000_000));
        assert!(sum(text, "c").unwrap_err().contains("no metric c"));
    }
}
