//! Selectors of lists and watches: of labels (`key`, `!key`, `key=value`, `key!=value`) and of the fields that
//! kube-proxy selects by; terms with commas between them hold together. What is meant otherwise, such as `key in (a,b)`,
//! is refused: a term that is passed over would show a client what it did not ask for.

use crate::kind::Kind;

/// A selector that this server does not have: the term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {of} selector {term:?} is not served here")]
pub(crate) struct NotServed {
    of: &'static str,
    term: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    Exists(String),
    Absent(String),
    Is(String, String),
    IsNot(String, String),
}

/// Terms that all hold of what is selected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Term>);

impl Selector {
    /// Reads a `labelSelector`.
    pub(crate) fn of_labels(text: &str) -> Result<Self, NotServed> {
        Self::read(text, |_| true).map_err(|term| NotServed { of: "label", term })
    }

    /// Reads a `fieldSelector` of a kind.
    pub(crate) fn of_fields(text: &str, kind: Kind) -> Result<Self, NotServed> {
        let fields = |term: &Term| match term {
            Term::Is(key, _) | Term::IsNot(key, _) => field_names(kind).contains(&key.as_str()),
            Term::Exists(_) | Term::Absent(_) => false,
        };
        Self::read(text, fields).map_err(|term| NotServed { of: "field", term })
    }

    fn read(text: &str, good: impl Fn(&Term) -> bool) -> Result<Self, String> {
        let terms = text.split(',').filter(|_| !text.is_empty()).map(|text| {
            let term = Term::read(text.trim());
            term.filter(&good).ok_or_else(|| text.to_owned())
        });
        Ok(Self(terms.collect::<Result<_, _>>()?))
    }

    /// Whether something is selected that has these values of labels, or fields.
    pub(crate) fn selects<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Exists(key) => value_of(key).is_some(),
            Term::Absent(key) => value_of(key).is_none(),
            Term::Is(key, value) => value_of(key) == Some(value),
            // Also of what does not have the key (apimachinery's labels.Requirement).
            Term::IsNot(key, value) => value_of(key) != Some(value),
        })
    }
}

impl Term {
    fn read(text: &str) -> Option<Self> {
        let plain = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
            text.chars().all(allowed).then(|| text.to_owned())
        };
        let key = |text: &str| plain(text).filter(|key| !key.is_empty());
        if let Some((name, value)) = text.split_once("!=") {
            return Some(Self::IsNot(key(name.trim())?, plain(value.trim())?));
        }
        if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return Some(Self::Is(key(name.trim())?, plain(value.trim())?));
        }
        match text.strip_prefix('!') {
            Some(name) => Some(Self::Absent(key(name.trim())?)),
            None => Some(Self::Exists(key(text)?)),
        }
    }
}

/// What objects of a kind can be selected by, besides labels.
const fn field_names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Service => &["metadata.name", "metadata.namespace", "spec.clusterIP"],
        _ => &["metadata.name", "metadata.namespace"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn selects(selector: &str, pairs: &[(&str, &str)]) -> bool {
        let value = |key: &str| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1);
        Selector::of_labels(selector).unwrap().selects(value)
    }

    #[test]
    fn terms_hold_together() {
        assert!(selects("", &[]));
        assert!(selects("a", &[("a", "")]) && !selects("a", &[("b", "")]));
        assert!(selects("!a", &[("b", "")]) && !selects("!a", &[("a", "1")]));
        assert!(selects("a=1", &[("a", "1")]) && !selects("a=1", &[("a", "2")]));
        assert!(selects("a==1", &[("a", "1")]) && selects("a=", &[("a", "")]));
        assert!(selects("a!=1", &[("a", "2")]) && selects("a!=1", &[]));
        let proxied = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
        assert!(selects(proxied, &[("kubernetes.io/service-name", "a")]));
        assert!(!selects(proxied, &[("service.kubernetes.io/headless", "")]));
    }

    #[test]
    fn a_selector_of_another_form_is_refused_by_its_term() {
        for text in ["a in (b)", "a notin (b,c)", "a>1", "a,,b", "!", "=1", "(a)"] {
            let refused = Selector::of_labels(text).unwrap_err().to_string();
            assert!(refused.starts_with("the label selector "), "{refused}");
        }
        let refused = Selector::of_fields("spec.type=ClusterIP", Kind::Service).unwrap_err();
        assert!(
            refused.to_string().contains("spec.type=ClusterIP"),
            "{refused}"
        );
        assert!(Selector::of_fields("metadata.name", Kind::Node).is_err());
    }

    #[test]
    fn fields_are_compared_as_labels_are() {
        let selects = |text| {
            let selector = Selector::of_fields(text, Kind::Service).unwrap();
            selector.selects(|key| match key {
                "metadata.name" => Some("a"),
                "spec.clusterIP" => Some("10.96.0.1"),
                _ => None,
            })
        };
        assert!(selects("metadata.name=a") && !selects("metadata.name=b"));
        assert!(selects("spec.clusterIP!=None,metadata.name=a"));
    }
}
