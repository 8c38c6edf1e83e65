//! Objects of the Kubernetes API as they are written: of each only what kube-proxy reads, everything else passed over.
//! Whatever may be left out or null is an `Option`; numbers may be text and text a number, since YAML does not tell.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Visitor};

/// A name, an address, a word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_bool<E: Error>(self, is: bool) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(is.to_string())))
            }
        }
        from.deserialize_any(Seen)
    }
}

/// A number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seen;
        impl Visitor<'_> for Seen {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number that is not negative")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                number(text)
                    .map(Number)
                    .ok_or_else(|| E::custom(format!("{text} is no number")))
            }
        }
        from.deserialize_any(Seen)
    }
}

/// A number as YAML writes it: `0x51`, `0o121`, `0121`, `0b1010001`, `1_000`.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim().replace('_', "");
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.as_str() {
        "0" => ("0", 10),
        lower => [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
            .into_iter()
            .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)))
            .unwrap_or((lower, 10)),
    };
    u64::from_str_radix(digits, radix).ok()
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seen;
        impl Visitor<'_> for Seen {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E: Error>(self, is: bool) -> Result<Flag, E> {
                Ok(Flag(is))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
                match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" => Ok(Flag(true)),
                    "false" | "no" | "off" | "n" => Ok(Flag(false)),
                    _ => Err(E::custom(format!("{text} is neither true nor false"))),
                }
            }
        }
        from.deserialize_any(Seen)
    }
}

/// What tells which object it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct Head<'a> {
    pub(super) kind: Option<Text<'a>>,
    pub(super) api_version: Option<Text<'a>>,
}

/// What tells it of an object that does not say its kind.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Traits {
    pub(super) address_type: Option<IgnoredAny>,
    pub(super) subsets: Option<IgnoredAny>,
    pub(super) spec: Option<SpecTraits>,
}

/// What tells a Service's `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SpecTraits {
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<IgnoredAny>,
    #[serde(rename = "externalName")]
    pub(super) external_name: Option<IgnoredAny>,
}

/// `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct Metadata<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) namespace: Option<Text<'a>>,
    pub(super) labels: Option<Labels<'a>>,
    // What an API server adds, and no manifest has.
    pub(super) uid: Option<IgnoredAny>,
    pub(super) creation_timestamp: Option<IgnoredAny>,
    pub(super) resource_version: Option<IgnoredAny>,
}

/// The labels that kube-proxy looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct Labels<'a> {
    #[serde(rename = "kubernetes.io/service-name")]
    pub(super) service: Option<Text<'a>>,
    #[serde(rename = "service.kubernetes.io/service-proxy-name")]
    pub(super) proxy: Option<Text<'a>>,
}

/// A Service.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct Service<'a> {
    pub(super) metadata: Option<Metadata<'a>>,
    pub(super) spec: Option<ServiceSpec<'a>>,
    pub(super) status: Option<ServiceStatus<'a>>,
}

/// Its `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct ServiceSpec<'a> {
    #[serde(rename = "type")]
    pub(super) service_type: Option<Text<'a>>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Option<Text<'a>>,
    #[serde(rename = "clusterIPs")]
    pub(super) cluster_ips: Option<Vec<Text<'a>>>,
    #[serde(rename = "externalIPs")]
    pub(super) external_ips: Option<Vec<Text<'a>>>,
    pub(super) ip_families: Option<Vec<Text<'a>>>,
    pub(super) external_traffic_policy: Option<Text<'a>>,
    pub(super) internal_traffic_policy: Option<Text<'a>>,
    pub(super) load_balancer_source_ranges: Option<Vec<Text<'a>>>,
    pub(super) ports: Option<Vec<ServicePort<'a>>>,
    pub(super) selector: Option<BTreeMap<String, Text<'a>>>,
    pub(super) session_affinity: Option<Text<'a>>,
    pub(super) session_affinity_config: Option<AffinityConfig>,
}

/// A port of a Service.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct ServicePort<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) protocol: Option<Text<'a>>,
    pub(super) port: Option<Number>,
    pub(super) node_port: Option<Number>,
    pub(super) target_port: Option<Text<'a>>,
}

/// `spec.sessionAffinityConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AffinityConfig {
    #[serde(rename = "clientIP")]
    pub(super) client_ip: Option<ClientIp>,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientIp {
    pub(super) timeout_seconds: Option<Number>,
}

/// `status` of a Service.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct ServiceStatus<'a> {
    pub(super) load_balancer: Option<LoadBalancer<'a>>,
}

/// `status.loadBalancer`.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct LoadBalancer<'a> {
    pub(super) ingress: Option<Vec<Ingress<'a>>>,
}

/// An address of a load balancer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct Ingress<'a> {
    pub(super) ip: Option<Text<'a>>,
    pub(super) ip_mode: Option<Text<'a>>,
}

/// An EndpointSlice, of any version.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"), default)]
pub(super) struct EndpointSlice<'a> {
    pub(super) metadata: Option<Metadata<'a>>,
    pub(super) address_type: Option<Text<'a>>,
    pub(super) endpoints: Option<Vec<SliceEndpoint<'a>>>,
    pub(super) ports: Option<Vec<EndpointPort<'a>>>,
}

/// An endpoint of a slice.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct SliceEndpoint<'a> {
    pub(super) addresses: Option<Vec<Text<'a>>>,
    pub(super) conditions: Option<Conditions>,
}

/// Its conditions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Option<Flag>,
    pub(super) serving: Option<Flag>,
    pub(super) terminating: Option<Flag>,
}

/// A port of a slice, or of a subset.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct EndpointPort<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) protocol: Option<Text<'a>>,
    pub(super) port: Option<Number>,
}

/// An Endpoints object.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct Endpoints<'a> {
    pub(super) metadata: Option<Metadata<'a>>,
    pub(super) subsets: Option<Vec<Subset<'a>>>,
}

/// Endpoints that have the same ports.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct Subset<'a> {
    pub(super) addresses: Option<Vec<SubsetAddress<'a>>>,
    pub(super) ports: Option<Vec<EndpointPort<'a>>>,
}

/// The address of one.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct SubsetAddress<'a> {
    pub(super) ip: Option<Text<'a>>,
}

/// A Deployment or a StatefulSet: how many pods it wants.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct Workload<'a> {
    pub(super) metadata: Option<Metadata<'a>>,
    pub(super) spec: Option<WorkloadSpec<'a>>,
}

/// Its `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct WorkloadSpec<'a> {
    pub(super) replicas: Option<Number>,
    pub(super) template: Option<Template<'a>>,
}

/// Its pods.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct Template<'a> {
    pub(super) metadata: Option<TemplateMetadata<'a>>,
}

/// Their labels.
#[derive(Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), default)]
pub(super) struct TemplateMetadata<'a> {
    pub(super) labels: Option<BTreeMap<String, Text<'a>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_yaml_writes_them() {
        for (text, value) in [
            ("80", Some(80)),
            ("0", Some(0)),
            ("0x51", Some(0x51)),
            ("0o74177", Some(0o74177)),
            ("0121", Some(0o121)),
            ("0b11", Some(3)),
            ("1_000", Some(1000)),
            ("08", None),
            ("-1", None),
            ("http", None),
            ("", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }

    #[test]
    fn what_is_null_or_of_another_type_is_read_where_kubernetes_reads_it() {
        let text = r#"{"name": null, "protocol": "UDP", "port": "80", "targetPort": 8080, "more": {"x": []}}"#;
        let port: ServicePort<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(port.name, None);
        assert_eq!(port.port, Some(Number(80)));
        assert_eq!(port.target_port.unwrap().0, "8080");
        assert!(serde_json::from_str::<ServicePort<'_>>(r#"{"port": -1}"#).is_err());
        let ready = |text: &str| serde_json::from_str::<Conditions>(text).map(|c| c.ready);
        assert_eq!(ready(r#"{"ready": "yes"}"#).unwrap(), Some(Flag(true)));
        assert!(ready(r#"{"ready": "maybe"}"#).is_err());
    }
}
