//! `nft list ruleset` as text, a line at a time: blocks by their braces, statements by their lines, elements by commas.

use std::net::IpAddr;

use super::{Element, Rule, Ruleset, To, Verdict, port_of};
use crate::service::{Net, address_and_port};

/// How deep blocks may stand in each other: a table, a chain or set, elements.
const DEEPEST: usize = 8;

/// A block that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    Table {
        family: String,
        name: String,
    },
    Chain(String),
    /// A set or a map.
    Set(String),
    Elements(String),
    Other,
}

/// Where reading stands.
#[derive(Debug, Default)]
pub(crate) struct Text {
    blocks: Vec<Block>,
    /// Words of the statement or element so far, and how many braces are open in it.
    words: Vec<String>,
    braces: usize,
}

/// What a line is made of.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Open,
    Close,
    Comma,
    End,
}

/// The next token and what is left; `None` at the end of the line, or before a comment.
fn token(line: &str) -> Option<(Token<'_>, &str)> {
    let line = line.trim_start();
    let first = line.chars().next()?;
    let single = match first {
        '#' => return None,
        '{' => Some(Token::Open),
        '}' => Some(Token::Close),
        ',' => Some(Token::Comma),
        ';' => Some(Token::End),
        _ => None,
    };
    if let Some(token) = single {
        return Some((token, &line[1..]));
    }
    if let Some(quoted) = line.strip_prefix('"') {
        let end = quoted.find('"').unwrap_or(quoted.len());
        let rest = quoted.get(end + 1..).unwrap_or("");
        return Some((Token::Word(&quoted[..end]), rest));
    }
    let end = line.find(|c: char| c.is_whitespace() || "{},;\"".contains(c));
    let (word, rest) = line.split_at(end.unwrap_or(line.len()));
    Some((Token::Word(word), rest))
}

/// Whether a table begins in a line: `table ip kube-proxy {`.
pub(crate) fn begins(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let families = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
    words.next() == Some("table")
        && words.next().is_some_and(|word| families.contains(&word))
        && words.next().is_some()
        && words.next().is_some_and(|word| word.starts_with('{'))
}

impl Text {
    /// Whether a table is open.
    pub(crate) const fn is_open(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Takes a line in; `None` where no table is open and none begins, an error where the table cannot go on.
    pub(crate) fn line(
        &mut self,
        rules: &mut Ruleset,
        line: &str,
        number: u64,
    ) -> Option<Result<(), &'static str>> {
        if !self.is_open() && !begins(line) {
            return None;
        }
        let mut rest = line;
        while let Some((token, after)) = token(rest) {
            rest = after;
            if let Err(e) = self.take(rules, token, number) {
                *self = Self::default();
                return Some(Err(e));
            }
        }
        let elements = matches!(self.blocks.last(), Some(Block::Elements(_)));
        if self.braces == 0 && !elements {
            self.statement(rules);
        }
        Some(Ok(()))
    }

    fn take(
        &mut self,
        rules: &mut Ruleset,
        token: Token<'_>,
        number: u64,
    ) -> Result<(), &'static str> {
        let elements = match self.blocks.last() {
            Some(Block::Elements(set)) => Some(set.clone()),
            _ => None,
        };
        match token {
            Token::Word(word) => self.words.push(word.to_owned()),
            Token::Open if elements.is_some() => self.inner(1, "{")?,
            Token::Open => match self.opened(rules) {
                Some(block) if self.braces == 0 => {
                    self.blocks.push(block);
                    self.words.clear();
                    if self.blocks.len() > DEEPEST {
                        return Err("blocks stand too deep in each other");
                    }
                }
                _ => self.inner(1, "{")?,
            },
            Token::Close if self.braces > 0 => {
                self.braces -= 1;
                self.words.push("}".to_owned());
            }
            Token::Close => {
                match &elements {
                    Some(set) => self.element(rules, set, number),
                    None => self.statement(rules),
                }
                self.blocks.pop().ok_or("a brace closes nothing")?;
            }
            Token::Comma => match &elements {
                Some(set) if self.braces == 0 => self.element(rules, set, number),
                _ => self.words.push(",".to_owned()),
            },
            Token::End if self.braces == 0 && elements.is_none() => self.statement(rules),
            Token::End => {}
        }
        Ok(())
    }

    fn inner(&mut self, braces: usize, word: &str) -> Result<(), &'static str> {
        self.braces += braces;
        self.words.push(word.to_owned());
        match self.braces > DEEPEST {
            true => Err("braces stand too deep in each other"),
            false => Ok(()),
        }
    }

    /// The block that the words before a brace open; `None` where the brace is a part of a statement.
    fn opened(&self, rules: &mut Ruleset) -> Option<Block> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match (self.blocks.last(), words.as_slice()) {
            (None, ["table", family, name]) => Some(Block::Table {
                family: (*family).to_owned(),
                name: (*name).to_owned(),
            }),
            (Some(Block::Table { family, name }), ["chain", chain]) => {
                rules.chain(family, name, chain);
                Some(Block::Chain((*chain).to_owned()))
            }
            (Some(Block::Table { family, name }), ["set" | "map", set]) => {
                rules.set(family, name, set);
                Some(Block::Set((*set).to_owned()))
            }
            (Some(Block::Set(set)), ["elements", "="]) => Some(Block::Elements(set.clone())),
            (Some(Block::Chain(_)), _) => None,
            _ => Some(Block::Other),
        }
    }

    /// The table that is open.
    fn table(&self) -> Option<(&str, &str)> {
        match self.blocks.first() {
            Some(Block::Table { family, name }) => Some((family, name)),
            _ => None,
        }
    }

    fn element(&mut self, rules: &mut Ruleset, set: &str, number: u64) {
        let words = std::mem::take(&mut self.words);
        if let Some((family, table)) = self.table()
            && !words.is_empty()
        {
            rules.element(family, table, set, element(&words), number);
        }
    }

    fn statement(&mut self, rules: &mut Ruleset) {
        let words = std::mem::take(&mut self.words);
        let Some((family, table)) = self.table() else {
            return;
        };
        match self.blocks.last() {
            Some(Block::Chain(chain)) => {
                // A base chain says its hook and its policy; both are no rules, nor is a comment.
                let first = words.first().map_or("", String::as_str);
                if !matches!(first, "" | "type" | "policy" | "comment") {
                    rules.rule(family, table, chain, rule(&words));
                }
            }
            Some(Block::Set(set)) => {
                if let [word, timeout] = words.as_slice()
                    && word == "timeout"
                    && let Some(seconds) = seconds(timeout)
                {
                    rules.timeout(family, table, set, seconds);
                }
            }
            _ => {}
        }
    }
}

/// `10.0.0.1 . tcp . 80 comment "shop/till" : goto service-…`.
fn element(words: &[String]) -> Element {
    let mut element = Element::default();
    let mut words = words.iter().map(String::as_str);
    let mut in_key = true;
    while let Some(word) = words.next() {
        match word {
            "." => {}
            ":" => in_key = false,
            "comment" => element.comment = words.next().unwrap_or_default().to_owned(),
            "goto" | "jump" if !in_key => {
                element.verdict = Some(Verdict::Goto(words.next().unwrap_or_default().to_owned()));
            }
            "drop" if !in_key => element.verdict = Some(Verdict::Drop),
            // What comes behind a key: counters, timeouts.
            "timeout" | "expires" | "counter" => {
                words.find(|word| *word == ":");
                in_key = false;
            }
            field if in_key => element.key.push(field.to_owned()),
            _ if element.verdict.is_none() => element.verdict = Some(Verdict::Other),
            _ => {}
        }
    }
    element
}

fn rule(words: &[String]) -> Rule {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut rule = Rule::default();
    let mut at = 0;
    while at < words.len() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        match words[at] {
            "vmap" | "map" if next == "{" => {
                let end = closing(&words, at + 1);
                let inside = words[at + 2..end].split(|word| *word == ",");
                rule.choices = inside.filter_map(choice).collect();
                at = end;
            }
            "goto" | "jump" => {
                rule.goto = Some(next.to_owned());
                at += 1;
            }
            "to" => rule.to = place(next, words.get(at + 2).copied().unwrap_or_default()),
            "drop" => rule.drops = true,
            "saddr" if next == "type" => rule.from_local |= words.get(at + 2) == Some(&"local"),
            "saddr" if next == "!=" => {
                let end = match words.get(at + 2) {
                    Some(&"{") => closing(&words, at + 2),
                    _ => at + 3,
                };
                let nets = words.get(at + 2..end).unwrap_or_default().iter();
                rule.not_from = nets.filter_map(|word| word.parse::<Net>().ok()).collect();
                at = end.saturating_sub(1).max(at);
            }
            // What is said of a rule is no part of it.
            "comment" => at += 1,
            word if word.starts_with("@affinity-") => rule.affinity = Some(word[1..].to_owned()),
            _ => {}
        }
        at += 1;
    }
    rule
}

/// `10.0.0.1:80`, `[fd00::1]:80`; with `-S` the port is a word of its own, in quotes.
fn place(text: &str, next: &str) -> Option<(IpAddr, u16)> {
    match text.strip_suffix(':') {
        Some(_) => address_and_port(&format!("{text}{}", port_of(next)?)),
        None => address_and_port(text),
    }
}

/// Where the brace that opens at a word closes, or where the words end.
fn closing(words: &[&str], open: usize) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(open) {
        match *word {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    words.len()
}

/// `0 : goto endpoint-…`, `0-6 : 10.0.0.1 . 80`.
fn choice(words: &[&str]) -> Option<(u32, To)> {
    let [numbers, ":", to @ ..] = words else {
        return None;
    };
    let numbers = match numbers.split_once('-') {
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)?
        }
        None => numbers.parse::<u32>().ok().map(|_| 1)?,
    };
    let to = match to {
        ["goto" | "jump", chain, ..] => To::Chain((*chain).to_owned()),
        [address, ".", port, ..] => To::Endpoint(address.parse().ok()?, port_of(port)?),
        _ => return None,
    };
    Some((numbers, to))
}

/// `3h`, `2h59m58s`, `10800s`: seconds.
fn seconds(text: &str) -> Option<u32> {
    let mut sum: u32 = 0;
    let mut number = String::new();
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let count: u32 = std::mem::take(&mut number).parse().ok()?;
        sum = sum.checked_add(count.checked_mul(unit)?)?;
    }
    number.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let (mut found, mut rest) = (Vec::new(), line);
        while let Some((token, after)) = token(rest) {
            rest = after;
            found.push(match token {
                Token::Word(word) => word.to_owned(),
                Token::Open => "{".to_owned(),
                Token::Close => "}".to_owned(),
                Token::Comma => ",".to_owned(),
                Token::End => ";".to_owned(),
            });
        }
        found
    }

    #[test]
    fn durations_are_seconds() {
        assert_eq!(seconds("3h"), Some(10_800));
        assert_eq!(seconds("1d2h59m58s"), Some(86_400 + 10_798));
        for wrong in ["3", "h", "3x", "99999999999s", "4294967295d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_element_may_have_a_comment_between_key_and_verdict() {
        let read = element(&words(
            r#"10.131.40.7 . tcp . 7001 comment "yard/quarry:dig" : goto reject-chain"#,
        ));
        assert_eq!(read.key, ["10.131.40.7", "tcp", "7001"]);
        assert_eq!(read.comment, "yard/quarry:dig");
        assert_eq!(read.verdict, Some(Verdict::Goto("reject-chain".to_owned())));
        let timed = element(&words("10.72.9.5 timeout 3h expires 11m2s"));
        assert_eq!(
            (timed.key, timed.verdict),
            (vec!["10.72.9.5".to_owned()], None)
        );
    }

    #[test]
    fn a_choice_is_of_chains_or_of_endpoints_each_with_its_numbers() {
        let of = |line: &str| rule(&words(line)).choices;
        let chain = |name: &str| To::Chain(name.to_owned());
        assert_eq!(
            of("numgen random mod 2 vmap { 0 : goto endpoint-A, 1 : goto endpoint-B }"),
            [(1, chain("endpoint-A")), (1, chain("endpoint-B"))]
        );
        assert_eq!(
            of(
                "meta l4proto tcp dnat ip6 addr . port to numgen random mod 10 map { 0-6 : fd00::1 . 80, 7-9 : fd00::2 . 80 }"
            ),
            [
                (7, To::Endpoint("fd00::1".parse().unwrap(), 80)),
                (3, To::Endpoint("fd00::2".parse().unwrap(), 80))
            ]
        );
        assert_eq!(
            of("vmap { 9-0 : goto x, 0-4294967295 : goto y, z : goto w, 1 }"),
            []
        );
    }

    #[test]
    fn a_rule_says_from_where_to_where_and_whether_it_drops() {
        let read = rule(&words("ip saddr != { 198.51.100.0/25, 192.0.2.0/24 } drop"));
        assert_eq!((read.not_from.len(), read.drops), (2, true));
        let read = rule(&words(
            "ip daddr 10.0.0.1 tcp dport 80 ip saddr != 10.72.0.0/16 jump mark-for-masquerade",
        ));
        assert_eq!((read.not_from.len(), read.drops), (1, false));
        assert_eq!(read.goto.as_deref(), Some("mark-for-masquerade"));
        let read = rule(&words(
            "meta l4proto tcp dnat to [2001:db8::1]:8443 comment \"goto x\"",
        ));
        assert_eq!(read.to, address_and_port("[2001:db8::1]:8443"));
        assert_eq!(read.goto, None);
        assert!(rule(&words("fib saddr type local goto service-A")).from_local);
    }

    #[test]
    fn a_table_is_open_until_its_braces_are_closed() {
        let (mut text, mut rules) = (Text::default(), Ruleset::default());
        let mut line = |line: &str| text.line(&mut rules, line, 1);
        assert!(line("table nonsense").is_none());
        assert!(line("table ip kube-proxy {").unwrap().is_ok());
        for inner in [
            "chain a {",
            "vmap { 0 : goto b,",
            "1 : goto c }",
            "}",
            "# comment }",
            "}",
        ] {
            assert!(line(inner).unwrap().is_ok(), "{inner}");
        }
        assert!(line("}").is_none());
        let rule = &rules.tables["ip"].chains["a"][0];
        assert_eq!(rule.choices.len(), 2);
    }

    #[test]
    fn nesting_is_bounded() {
        let (mut text, mut rules) = (Text::default(), Ruleset::default());
        text.line(&mut rules, "table ip kube-proxy {", 1);
        let deep = "x { ".repeat(100);
        assert!(text.line(&mut rules, &deep, 2).unwrap().is_err());
        assert!(!text.is_open());
    }
}
