//! `nft -j list ruleset`: an object a set, a map, a chain and a rule.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use super::{Element, Rule, Ruleset, To, Verdict};
use crate::piece::Raw;
use crate::service::Net;

/// One object of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    set: Option<Set>,
    map: Option<Set>,
    chain: Option<Chain>,
    rule: Option<RuleObject>,
    table: Option<IgnoredAny>,
    metainfo: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Set {
    family: String,
    table: String,
    name: String,
    timeout: Option<u32>,
    elem: Elements,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chain {
    family: String,
    table: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuleObject {
    family: String,
    table: String,
    chain: String,
    expr: Vec<Value>,
}

/// Elements, of which no more is kept than what matters: each is read as a value and let go.
#[derive(Debug, Default)]
struct Elements(Vec<Element>);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Elements;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("elements")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Elements, A::Error> {
                let mut found = Vec::new();
                while let Some(value) = elements.next_element::<Value>()? {
                    found.extend(element(&value));
                }
                Ok(Elements(found))
            }
        }
        from.deserialize_seq(Seen)
    }
}

impl Ruleset {
    /// Takes an object in; `false` where it is none of nft's.
    pub(crate) fn json(&mut self, raw: Raw<'_>, line: u64) -> Result<bool, serde_json::Error> {
        let object: Object = raw.read()?;
        let known = object.table.is_some() || object.metainfo.is_some();
        let mut any = false;
        for set in [object.set, object.map].into_iter().flatten() {
            any = true;
            self.set(&set.family, &set.table, &set.name);
            if let Some(seconds) = set.timeout {
                self.timeout(&set.family, &set.table, &set.name, seconds);
            }
            for element in set.elem.0 {
                self.element(&set.family, &set.table, &set.name, element, line);
            }
        }
        if let Some(chain) = object.chain {
            any = true;
            self.chain(&chain.family, &chain.table, &chain.name);
        }
        if let Some(rule) = object.rule {
            any = true;
            let mut read = Rule::default();
            for expression in &rule.expr {
                add(&mut read, expression);
            }
            self.rule(&rule.family, &rule.table, &rule.chain, read);
        }
        Ok(any || known)
    }
}

/// A word or a number as a word.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `key`, `{"concat": […]}`, or either in `{"elem": {"val": …, "comment": …}}`; of maps `[key, verdict]`.
fn element(value: &Value) -> Option<Element> {
    let (key, verdict) = match value {
        Value::Array(pair) => match pair.as_slice() {
            [key, verdict] => (key, Some(verdict)),
            _ => return None,
        },
        key => (key, None),
    };
    let (key, comment) = match key.get("elem") {
        Some(elem) => (
            elem.get("val")?,
            elem.get("comment").and_then(Value::as_str),
        ),
        None => (key, None),
    };
    let key = match key.get("concat").and_then(Value::as_array) {
        Some(fields) => fields.iter().map(word).collect::<Option<_>>()?,
        None => vec![word(key)?],
    };
    Some(Element {
        key,
        verdict: verdict.map(of_verdict),
        comment: comment.unwrap_or_default().to_owned(),
    })
}

fn of_verdict(value: &Value) -> Verdict {
    match (target(value), value.get("drop")) {
        (Some(chain), _) => Verdict::Goto(chain.to_owned()),
        (None, Some(_)) => Verdict::Drop,
        (None, None) => Verdict::Other,
    }
}

/// The chain of `{"goto": {"target": …}}` or a jump.
fn target(value: &Value) -> Option<&str> {
    let leads = value.get("goto").or_else(|| value.get("jump"))?;
    leads.get("target")?.as_str()
}

/// Adds what an expression says to a rule.
fn add(rule: &mut Rule, expression: &Value) {
    if let Some(chain) = target(expression) {
        rule.goto = Some(chain.to_owned());
    }
    rule.drops |= expression.get("drop").is_some();
    if let Some(vmap) = expression.get("vmap") {
        rule.choices = choices(vmap);
    }
    if let Some(dnat) = expression.get("dnat") {
        let addr = dnat.get("addr").unwrap_or(&Value::Null);
        match addr.get("map") {
            Some(map) => rule.choices = choices(map),
            None => {
                let port = dnat.get("port").and_then(Value::as_u64);
                let address = addr.as_str().and_then(|text| text.parse().ok());
                rule.to = address.zip(port.and_then(|port| u16::try_from(port).ok()));
            }
        }
    }
    if let Some(matched) = expression.get("match") {
        let right = matched.get("right").unwrap_or(&Value::Null);
        let left = matched.get("left").unwrap_or(&Value::Null);
        let payload = left.get("payload").and_then(|payload| payload.get("field"));
        let from = payload.and_then(Value::as_str) == Some("saddr");
        let is_not = matched.get("op").and_then(Value::as_str) == Some("!=");
        if from && is_not {
            let nets = match right.get("set").and_then(Value::as_array) {
                Some(nets) => nets.iter().filter_map(net).collect(),
                None => net(right).into_iter().collect(),
            };
            rule.not_from = nets;
        }
        if let Some(set) = right.as_str().and_then(|text| text.strip_prefix('@'))
            && set.starts_with("affinity-")
        {
            rule.affinity = Some(set.to_owned());
        }
        let fib = left.get("fib").and_then(|fib| fib.get("result"));
        let local = fib.and_then(Value::as_str) == Some("type") && right.as_str() == Some("local");
        rule.from_local |= local;
    }
}

fn net(value: &Value) -> Option<Net> {
    match value.get("prefix") {
        Some(prefix) => {
            let address = prefix.get("addr")?.as_str()?.parse().ok()?;
            Net::of(address, u8::try_from(prefix.get("len")?.as_u64()?).ok()?)
        }
        None => value.as_str()?.parse().ok(),
    }
}

/// What the numbers of a map lead to.
fn choices(map: &Value) -> Vec<(u32, To)> {
    let data = map.get("data").unwrap_or(&Value::Null);
    let pairs = data.get("set").unwrap_or(data).as_array();
    let choice = |pair: &Value| {
        let [numbers, to] = pair.as_array()?.as_slice() else {
            return None;
        };
        let numbers = match numbers.get("range").and_then(Value::as_array) {
            Some(range) => {
                let [first, last] = range.as_slice() else {
                    return None;
                };
                let numbers = last.as_u64()?.checked_sub(first.as_u64()?)?;
                u32::try_from(numbers).ok()?.checked_add(1)?
            }
            None => numbers.as_u64().map(|_| 1)?,
        };
        let to = match (target(to), to.get("concat").and_then(Value::as_array)) {
            (Some(chain), _) => To::Chain(chain.to_owned()),
            (None, Some(place)) => {
                let [address, port] = place.as_slice() else {
                    return None;
                };
                let port = word(port).and_then(|port| super::port_of(&port))?;
                To::Endpoint(address.as_str()?.parse().ok()?, port)
            }
            (None, None) => return None,
        };
        Some((numbers, to))
    };
    pairs.into_iter().flatten().filter_map(choice).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_element_is_plain_a_list_of_fields_or_either_with_a_comment() {
        let key = |value: Value| element(&value).map(|element| element.key.join(" "));
        assert_eq!(key(json!("10.0.0.1")).unwrap(), "10.0.0.1");
        assert_eq!(
            key(json!({"concat": ["10.0.0.1", "udp", "domain"]})).unwrap(),
            "10.0.0.1 udp domain"
        );
        let commented = json!([{"elem": {"val": {"concat": ["10.0.0.1", "tcp", 80]}, "comment": "a/b"}}, {"drop": null}]);
        let read = element(&commented).unwrap();
        assert_eq!(
            (read.key.join(" ").as_str(), read.comment.as_str()),
            ("10.0.0.1 tcp 80", "a/b")
        );
        assert_eq!(read.verdict, Some(Verdict::Drop));
        for wrong in [
            json!([1]),
            json!({}),
            json!(null),
            json!({"concat": [[]]}),
            json!({"elem": 1}),
        ] {
            assert!(element(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn rules_are_those_of_the_text() {
        let mut rule = Rule::default();
        for expression in [
            json!({"match": {
                "op": "!=",
                "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                "right": {"set": [{"prefix": {"addr": "198.51.100.0", "len": 25}}, "192.0.2.1"]},
            }}),
            json!({"drop": null}),
        ] {
            add(&mut rule, &expression);
        }
        assert_eq!((rule.not_from.len(), rule.drops), (2, true));
        let first = json!([0, {"concat": ["10.0.0.1", 80]}]);
        let others = json!([{"range": [1, 3]}, {"concat": ["10.0.0.2", "http"]}]);
        let map = json!({"key": {"numgen": {"mod": 4}}, "data": {"set": [first, others]}});
        let mut rule = Rule::default();
        add(
            &mut rule,
            &json!({"dnat": {"family": "ip", "addr": {"map": map}}}),
        );
        let numbers: Vec<u32> = rule.choices.iter().map(|(numbers, _)| *numbers).collect();
        assert_eq!(numbers, [1, 3]);
    }
}
