//! Scripts read back into operations: the vocabulary of [`crate::Op`] in the syntax that
//! [`crate::script`] writes (and knftables, and `nft` itself where it lists the same statement).

use std::iter::Peekable;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use crate::names::{Comment, Name};
use crate::ops::{
    Act, BaseChain, ChainKind, Comparison, CtState, Element, Hook, Key, KeyType, L4Proto, Network,
    Op, Policy, Rule, SetSpec, Statement, Verdict,
};

/// Reads a script: one operation a line, empty lines left out.
///
/// # Errors
/// The first line outside the vocabulary, with the word that was not understood.
pub fn parse_script(text: &str) -> Result<Vec<Op>, String> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| parse_line(line).map_err(|why| format!("{line}: {why}")))
        .collect()
}

fn parse_line(line: &str) -> Result<Op, String> {
    let words = split(line)?;
    let mut words = Words {
        rest: words.iter().copied().peekable(),
    };
    let (verb, object) = (words.next()?, words.next()?);
    words.expect("ip")?;
    let table = Name::new(words.next()?);
    let act = match (verb, object) {
        ("add", "table") => Act::AddTable {
            comment: words.braced_comment()?,
        },
        ("delete", "table") => Act::DeleteTable,
        ("add", "chain") => words.chain()?,
        ("flush", "chain") => Act::FlushChain {
            chain: words.name()?,
        },
        ("delete", "chain") => Act::DeleteChain {
            chain: words.name()?,
        },
        ("add", "set" | "map") => Act::AddSet(words.set(object == "map")?),
        ("flush", "set" | "map") => Act::FlushSet {
            set: words.name()?,
            verdicts: object == "map",
        },
        ("delete", "set" | "map") => Act::DeleteSet {
            set: words.name()?,
            verdicts: object == "map",
        },
        ("add", "element") => Act::AddElements {
            set: words.name()?,
            elements: words.list(Words::element)?,
        },
        ("delete", "element") => Act::DeleteElements {
            set: words.name()?,
            keys: words.list(Words::key)?,
        },
        ("add", "rule") => Act::AddRule {
            chain: words.name()?,
            rule: words.rule()?,
        },
        _ => return Err(format!("unknown command '{verb} {object}'")),
    };
    match words.rest.next() {
        None => Ok(Op { table, act }),
        Some(word) => Err(format!("'{word}' is too much")),
    }
}

/// Words between blanks; a quoted text is one word, quotes included.
fn split(line: &str) -> Result<Vec<&str>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"').ok_or("a quote is not closed")? + 2,
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("'{word}' is no such number or address"))
}

fn bits(word: &str) -> Result<u32, String> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_err(|_| format!("'{word}' is no 32-bit number"))
}

fn quoted(word: &str) -> Result<Comment, String> {
    let text = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'));
    text.map(Comment::new)
        .ok_or_else(|| format!("'{word}' is not quoted"))
}

fn proto(word: &str) -> Result<L4Proto, String> {
    match word {
        "tcp" => Ok(L4Proto::TCP),
        "udp" => Ok(L4Proto::UDP),
        _ => number(word).map(L4Proto),
    }
}

fn network(word: &str) -> Result<Network, String> {
    match word.split_once('/') {
        None => Ok(Network::host(number(word)?)),
        Some((address, prefix)) => match number(prefix)? {
            prefix @ 0..=32 => Ok(Network::new(number(address)?, prefix)),
            _ => Err(format!("'{word}' has too long a prefix")),
        },
    }
}

struct Words<'a, I: Iterator<Item = &'a str>> {
    rest: Peekable<I>,
}

impl<'a, I: Iterator<Item = &'a str>> Words<'a, I> {
    fn next(&mut self) -> Result<&'a str, String> {
        self.rest
            .next()
            .ok_or_else(|| "the line ends too early".to_owned())
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next()? {
            found if found == word => Ok(()),
            found => Err(format!("'{found}' instead of '{word}'")),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        self.rest.next_if_eq(&word).is_some()
    }

    fn name(&mut self) -> Result<Name, String> {
        self.next().map(Name::new)
    }

    /// `{ comment "…" ; }`, or nothing.
    fn braced_comment(&mut self) -> Result<Option<Comment>, String> {
        if !self.take("{") {
            return Ok(None);
        }
        let comment = self.comment_clause()?;
        self.expect("}")?;
        Ok(comment)
    }

    /// `comment "…" ;`, or nothing.
    fn comment_clause(&mut self) -> Result<Option<Comment>, String> {
        if !self.take("comment") {
            return Ok(None);
        }
        let comment = quoted(self.next()?)?;
        self.expect(";")?;
        Ok(Some(comment))
    }

    fn chain(&mut self) -> Result<Act, String> {
        let chain = self.name()?;
        let (mut base, mut comment) = (None, None);
        if self.take("{") {
            if self.take("type") {
                base = Some(self.base_chain()?);
            }
            comment = self.comment_clause()?;
            self.expect("}")?;
        }
        Ok(Act::AddChain {
            chain,
            base,
            comment,
        })
    }

    fn base_chain(&mut self) -> Result<BaseChain, String> {
        let kind = match self.next()? {
            "filter" => ChainKind::Filter,
            "nat" => ChainKind::Nat,
            "route" => ChainKind::Route,
            word => return Err(format!("unknown chain type '{word}'")),
        };
        self.expect("hook")?;
        let hook = match self.next()? {
            "prerouting" => Hook::Prerouting,
            "input" => Hook::Input,
            "forward" => Hook::Forward,
            "output" => Hook::Output,
            "postrouting" => Hook::Postrouting,
            word => return Err(format!("unknown hook '{word}'")),
        };
        self.expect("priority")?;
        let priority = number(self.next()?)?;
        self.expect(";")?;
        let mut policy = Policy::Accept;
        if self.take("policy") {
            if self.next()? == "drop" {
                policy = Policy::Drop;
            }
            self.expect(";")?;
        }
        Ok(BaseChain {
            kind,
            hook,
            priority,
            policy,
        })
    }

    fn set(&mut self, verdicts: bool) -> Result<SetSpec, String> {
        let name = self.name()?;
        self.expect("{")?;
        self.expect("type")?;
        let mut fields = vec![self.next()?];
        while self.take(".") {
            fields.push(self.next()?);
        }
        let key = match fields[..] {
            ["ipv4_addr"] => KeyType::Address,
            ["ipv4_addr", "inet_proto", "inet_service"] => KeyType::AddressProtoPort,
            ["inet_proto", "inet_service"] => KeyType::ProtoPort,
            _ => return Err(format!("unknown key type '{}'", fields.join(" . "))),
        };
        if verdicts {
            self.expect(":")?;
            self.expect("verdict")?;
        }
        self.expect(";")?;
        let comment = self.comment_clause()?;
        self.expect("}")?;
        Ok(SetSpec {
            name,
            key,
            verdicts,
            comment,
        })
    }

    /// `{ item , item }`.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        self.expect("{")?;
        let mut items = vec![item(self)?];
        while self.take(",") {
            items.push(item(self)?);
        }
        self.expect("}")?;
        Ok(items)
    }

    fn key(&mut self) -> Result<Key, String> {
        let first = self.next()?;
        if let Ok(address) = first.parse::<Ipv4Addr>() {
            if !self.take(".") {
                return Ok(Key::Address(address));
            }
            let proto = proto(self.next()?)?;
            self.expect(".")?;
            return Ok(Key::AddressProtoPort(address, proto, number(self.next()?)?));
        }
        let proto = proto(first)?;
        self.expect(".")?;
        Ok(Key::ProtoPort(proto, number(self.next()?)?))
    }

    fn element(&mut self) -> Result<Element, String> {
        let key = self.key()?;
        let comment = if self.take("comment") {
            Some(quoted(self.next()?)?)
        } else {
            None
        };
        let verdict = if self.take(":") {
            Some(self.verdict()?)
        } else {
            None
        };
        Ok(Element {
            key,
            verdict,
            comment,
        })
    }

    fn verdict(&mut self) -> Result<Verdict, String> {
        let word = self.next()?;
        self.verdict_word(word)
    }

    fn verdict_word(&mut self, word: &str) -> Result<Verdict, String> {
        Ok(match word {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "return" => Verdict::Return,
            "jump" => Verdict::Jump(self.name()?),
            "goto" => Verdict::Goto(self.name()?),
            _ => return Err(format!("unknown statement '{word}'")),
        })
    }

    fn rule(&mut self) -> Result<Rule, String> {
        let mut rule = Rule::default();
        while let Some(word) = self.rest.next() {
            if word == "comment" {
                rule.comment = Some(quoted(self.next()?)?);
                break;
            }
            rule.statements.push(self.statement(word)?);
        }
        Ok(rule)
    }

    fn statement(&mut self, word: &str) -> Result<Statement, String> {
        Ok(match word {
            "ip" => return self.address(),
            "meta" => return self.meta(),
            "th" => Statement::TransportPort(self.port()?),
            "tcp" | "udp" => Statement::DestinationPort(proto(word)?, self.port()?),
            "ct" => {
                self.expect("state")?;
                Statement::CtState(match self.next()? {
                    "new" => CtState::New,
                    "invalid" => CtState::Invalid,
                    state => return Err(format!("unknown state '{state}'")),
                })
            }
            "mark" => return self.mark(),
            "fib" => {
                ["daddr", "type", "local"]
                    .into_iter()
                    .try_for_each(|word| self.expect(word))?;
                Statement::DestinationIsLocal
            }
            "numgen" => return self.random(),
            "counter" => return self.counter(),
            "dnat" => {
                self.expect("to")?;
                Statement::Dnat(number::<SocketAddrV4>(self.next()?)?)
            }
            "masquerade" => {
                self.expect("fully-random")?;
                Statement::MasqueradeFullyRandom
            }
            "reject" => Statement::Reject,
            _ => Statement::Verdict(self.verdict_word(word)?),
        })
    }

    fn port(&mut self) -> Result<u16, String> {
        self.expect("dport")?;
        number(self.next()?)
    }

    fn address(&mut self) -> Result<Statement, String> {
        let source = match self.next()? {
            "saddr" => true,
            "daddr" => false,
            word => return Err(format!("unknown field '{word}'")),
        };
        if !source && self.take(".") {
            ["meta", "l4proto", ".", "th", "dport", "vmap"]
                .into_iter()
                .try_for_each(|word| self.expect(word))?;
            return Ok(Statement::ServiceVmap(self.reference()?));
        }
        let comparison = if self.take("!=") {
            Comparison::Unequal
        } else {
            Comparison::Equal
        };
        let word = self.next()?;
        if let (false, Comparison::Equal, Some(set)) = (source, comparison, word.strip_prefix('@'))
        {
            return Ok(Statement::DestinationInSet(Name::new(set)));
        }
        let network = network(word)?;
        Ok(if source {
            Statement::SourceAddress(comparison, network)
        } else {
            Statement::DestinationAddress(comparison, network)
        })
    }

    fn reference(&mut self) -> Result<Name, String> {
        let word = self.next()?;
        word.strip_prefix('@')
            .map(Name::new)
            .ok_or_else(|| format!("'{word}' is not a map"))
    }

    fn meta(&mut self) -> Result<Statement, String> {
        self.expect("l4proto")?;
        let word = self.next()?;
        if word != "." {
            let proto = proto(word)?;
            return Ok(if self.take("th") {
                Statement::DestinationPort(proto, self.port()?)
            } else {
                Statement::L4Proto(proto)
            });
        }
        ["th", "dport", "vmap"]
            .into_iter()
            .try_for_each(|word| self.expect(word))?;
        Ok(Statement::NodePortVmap(self.reference()?))
    }

    /// After `mark`: `and M == V`, `set mark or B`, `set mark xor B`.
    fn mark(&mut self) -> Result<Statement, String> {
        if self.take("and") {
            let mask = bits(self.next()?)?;
            let comparison = match self.next()? {
                "==" => Comparison::Equal,
                "!=" => Comparison::Unequal,
                word => return Err(format!("'{word}' is no comparison")),
            };
            return Ok(Statement::MarkAnd {
                mask,
                comparison,
                value: bits(self.next()?)?,
            });
        }
        self.expect("set")?;
        self.expect("mark")?;
        match self.next()? {
            "or" => Ok(Statement::MarkOr(bits(self.next()?)?)),
            "xor" => Ok(Statement::MarkXor(bits(self.next()?)?)),
            word => Err(format!("unknown operator '{word}'")),
        }
    }

    fn random(&mut self) -> Result<Statement, String> {
        self.expect("random")?;
        self.expect("mod")?;
        let modulus = number(self.next()?)?;
        self.expect("vmap")?;
        let entries = self.list(|words| {
            let number = number(words.next()?)?;
            words.expect(":")?;
            Ok((number, words.verdict()?))
        })?;
        Ok(Statement::RandomVmap { modulus, entries })
    }

    fn counter(&mut self) -> Result<Statement, String> {
        if !self.take("packets") {
            return Ok(Statement::Counter {
                packets: 0,
                bytes: 0,
            });
        }
        let packets = number(self.next()?)?;
        self.expect("bytes")?;
        Ok(Statement::Counter {
            packets,
            bytes: number(self.next()?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn a_script_is_read_back_as_the_operations_it_was_written_from() {
        let text = include_str!("../tests/kube-proxy.nft");
        let ops = parse_script(text).unwrap();
        assert_eq!(ops.len(), text.lines().count());
        assert_eq!(script(&ops), text);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for line in [
            "add rule ip t c tcp sport 80",
            "add table inet t",
            "add rule ip t c drop drop extra",
            "add chain ip t",
            "reset rules",
        ] {
            let error = parse_script(line).unwrap_err();
            assert!(error.starts_with(line), "{error}");
        }
    }
}
