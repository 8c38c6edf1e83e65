//! A line of `iptables-save` as what of it kube-proxy's rules are made of.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::service::{Net, Protocol, address_and_port};

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// `*nat`.
    Table(&'a str),
    /// `:KUBE-SERVICES - [0:0]`, or `-N KUBE-SERVICES`.
    Chain(&'a str),
    /// `-A CHAIN …`.
    Rule(Box<Rule>),
    /// `COMMIT`.
    Commit,
    /// `-P`, a rule of which nothing matters.
    Nothing,
}

/// A rule.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rule {
    pub(super) chain: String,
    pub(super) source: Option<Net>,
    pub(super) source_is_not: bool,
    pub(super) destination: Option<Net>,
    pub(super) destination_is_not: bool,
    pub(super) protocol: Option<Protocol>,
    pub(super) port: Option<u16>,
    pub(super) comment: String,
    /// After `-j` or `-g`.
    pub(super) target: String,
    /// `--to-destination`.
    pub(super) to: Option<(IpAddr, u16)>,
    pub(super) probability: Option<f64>,
    /// `-m recent --rcheck`, and its `--seconds`.
    pub(super) remembered: bool,
    pub(super) seconds: Option<u32>,
    /// `-m addrtype --src-type LOCAL`, `--dst-type LOCAL`.
    pub(super) from_local: bool,
    pub(super) to_local: bool,
}

/// Reads a line; `None` where it is none of `iptables-save`'s, an error where it is one and is cut.
pub(super) fn read(line: &str) -> Option<Result<Line<'_>, &'static str>> {
    if line == "COMMIT" {
        return Some(Ok(Line::Commit));
    }
    if let Some(table) = line.strip_prefix('*') {
        let plain = !table.is_empty() && table.bytes().all(|b| b.is_ascii_alphanumeric());
        return plain.then_some(Ok(Line::Table(table)));
    }
    if let Some(rest) = line.strip_prefix(':') {
        let mut words = rest.split(' ');
        let chain = words.next().filter(|chain| !chain.is_empty())?;
        // A policy, and counters.
        words
            .next()
            .filter(|policy| matches!(*policy, "-" | "ACCEPT" | "DROP"))?;
        return Some(Ok(Line::Chain(chain)));
    }
    // Counters before a rule, of `iptables-save -c`.
    let line = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    if let Some(chain) = line.strip_prefix("-N ") {
        return Some(Ok(Line::Chain(chain.trim())));
    }
    if line.starts_with("-P ") {
        return Some(Ok(Line::Nothing));
    }
    let rest = line.strip_prefix("-A ")?;
    // ipvsadm's additions begin with an option.
    if rest.starts_with('-') || rest.is_empty() {
        return None;
    }
    // Of all others not a word is looked at.
    if !rest.starts_with("KUBE-") {
        return Some(Ok(Line::Nothing));
    }
    Some(match words(rest) {
        Some(words) => rule(&words).map(|rule| Line::Rule(Box::new(rule))),
        None => Err("a quote does not end"),
    })
}

/// Words, of which quoted ones may hold blanks; `None` where a quote does not end.
fn words(line: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            let mut letters = quoted.char_indices();
            let end = loop {
                match letters.next()? {
                    (end, '"') => break end,
                    (_, '\\') => text.push(letters.next()?.1),
                    (_, letter) => text.push(letter),
                }
            };
            found.push(Cow::Owned(text));
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            found.push(Cow::Borrowed(&rest[..end]));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Some(found)
}

fn rule(words: &[Cow<'_, str>]) -> Result<Rule, &'static str> {
    let mut words = words.iter().map(Cow::as_ref);
    let mut rule = Rule {
        chain: words.next().unwrap_or_default().to_owned(),
        ..Rule::default()
    };
    let mut not = false;
    while let Some(option) = words.next() {
        if option == "!" {
            not = true;
            continue;
        }
        let known = [
            "-s",
            "-d",
            "-p",
            "--dport",
            "--comment",
            "-j",
            "-g",
            "--to-destination",
            "--probability",
            "--seconds",
            "--src-type",
            "--dst-type",
            "-m",
        ];
        let value = match known.contains(&option) {
            true => words.next().ok_or("an option has no value")?,
            false => "",
        };
        match option {
            "-s" => (rule.source, rule.source_is_not) = (value.parse().ok(), not),
            "-d" => (rule.destination, rule.destination_is_not) = (value.parse().ok(), not),
            "-p" if !not => rule.protocol = Protocol::from_word(value),
            "--dport" if !not => rule.port = value.parse().ok(),
            "--comment" => rule.comment = value.to_owned(),
            "-j" | "-g" => rule.target = value.to_owned(),
            "--to-destination" => {
                rule.to =
                    Some(address_and_port(value).ok_or("an endpoint is no address and port")?);
            }
            "--probability" => rule.probability = value.parse().ok(),
            "--rcheck" => rule.remembered = true,
            "--seconds" => rule.seconds = value.parse().ok(),
            "--src-type" => rule.from_local = value == "LOCAL" && !not,
            "--dst-type" => rule.to_local = value == "LOCAL" && !not,
            // Values of options that do not matter are words like any other.
            _ => {}
        }
        not = false;
    }
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(line: &str) -> Rule {
        match read(line) {
            Some(Ok(Line::Rule(rule))) => *rule,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_portal_is_read_whatever_the_order_of_its_words() {
        for line in [
            r#"-A KUBE-SERVICES -d 10.131.0.1/32 -p tcp --comment "shop/till cluster IP" --dport 443 -j KUBE-SVC-B"#,
            r#"[12:744] -A KUBE-SERVICES --comment "shop/till cluster IP" -p tcp -d 10.131.0.1 --dport 443 -j KUBE-SVC-B"#,
        ] {
            let rule = rule_of(line);
            assert_eq!(rule.destination.unwrap().to_string(), "10.131.0.1/32");
            assert_eq!((rule.protocol, rule.port), (Some(Protocol::Tcp), Some(443)));
            assert_eq!(
                (rule.comment.as_str(), rule.target.as_str()),
                ("shop/till cluster IP", "KUBE-SVC-B")
            );
        }
    }

    #[test]
    fn what_is_not_is_told_from_what_is() {
        let rule = rule_of(
            "-A KUBE-SERVICES ! -s 10.72.0.0/16 -d 10.131.0.10/32 -m addrtype ! --src-type LOCAL -j KUBE-MARK-MASQ",
        );
        assert!(rule.source_is_not && !rule.destination_is_not && !rule.from_local);
    }

    #[test]
    fn quoted_words_keep_their_quotes_and_blanks() {
        let rule = rule_of(r#"-A KUBE-SVC-A -m comment --comment "a \"b\" \\ c" -j KUBE-SEP-A"#);
        assert_eq!(rule.comment, r#"a "b" \ c"#);
    }

    #[test]
    fn a_line_that_is_cut_is_an_error_and_one_of_others_nothing() {
        assert!(matches!(
            read(r#"-A KUBE-SERVICES -m comment --comment "shop"#),
            Some(Err(_))
        ));
        assert!(matches!(read("-A KUBE-SERVICES -j"), Some(Err(_))));
        assert!(matches!(
            read("-A KUBE-SEP-A -j DNAT --to-destination 10.72"),
            Some(Err(_))
        ));
        assert!(matches!(
            read("-A FENCE -m set --match-set fence-12 dst -j"),
            Some(Ok(Line::Nothing))
        ));
        for line in [
            "-A -t 10.0.0.1:80 -s rr",
            "root@worker:/# iptables-save",
            "",
            "* a",
            ":",
            "[x",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
