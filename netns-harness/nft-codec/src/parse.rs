//! Scripts read back into operations: the vocabulary of [`crate::Op`] in the syntax that
//! [`crate::script`] writes (and knftables, and `nft` itself where it lists the same statement).

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use strum::VariantArray as _;

use crate::family::TableFamily;
use crate::names::{Comment, Name};
use crate::ops::{
    Act, BaseChain, Comparison, Element, Key, KeyType, L4Proto, Network, Op, Policy, Rule, SetSpec,
    Statement, Verdict,
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
    let mut words = Words(line.trim(), TableFamily::default());
    let (verb, object) = (words.next()?, words.next()?);
    let family = words.parsed()?;
    words.1 = family;
    let table = words.name()?;
    let is_map = object == "map";
    let act = match (verb, object) {
        ("add", "table") => Act::AddTable(words.braced(Words::comment_clause)?.flatten()),
        ("delete", "table") => Act::DeleteTable,
        ("add", "chain") => words.chain()?,
        ("flush", "chain") => Act::FlushChain(words.name()?),
        ("delete", "chain") => Act::DeleteChain(words.name()?),
        ("add", "set" | "map") => Act::AddSet(words.set(is_map)?),
        ("flush", "set" | "map") => Act::FlushSet(words.name()?, is_map),
        ("delete", "set" | "map") => Act::DeleteSet(words.name()?, is_map),
        ("add", "counter") => Act::AddCounter(words.name()?),
        ("delete", "counter") => Act::DeleteCounter(words.name()?),
        ("add", "element") => Act::AddElements(words.name()?, words.list(Words::element)?),
        ("delete", "element") => Act::DeleteElements(words.name()?, words.list(Words::key)?),
        ("add", "rule") => Act::AddRule(words.name()?, words.rule()?),
        _ => return Err(format!("unknown command '{verb} {object}'")),
    };
    match words.0 {
        "" => Ok(Op { family, table, act }),
        rest => Err(format!("'{rest}' is too much")),
    }
}

/// Reads what follows the words with which a statement begins.
type Rest = fn(&mut Words<'_>) -> Result<Statement, String>;

/// Statements by the words with which they begin, `ip` for the family's; of two that begin alike the longer is first.
/// All others are verdicts.
const STATEMENTS: &[(&str, Rest)] = &[
    ("ip daddr . meta l4proto . th dport vmap", |words| {
        words.reference().map(Statement::ServiceVmap)
    }),
    ("ip daddr", |words| words.destination()),
    ("ip saddr . ip daddr . meta l4proto . th dport", |words| {
        words.reference().map(Statement::ConnectionInSet)
    }),
    ("ip saddr", |words| words.source()),
    ("meta l4proto . th dport vmap", |words| {
        words.reference().map(Statement::NodePortVmap)
    }),
    ("meta l4proto", |words| words.protocol()),
    ("th dport", |words| {
        words.parsed().map(Statement::TransportPort)
    }),
    ("tcp dport", |words| {
        Ok(Statement::DestinationPort(L4Proto::TCP, words.parsed()?))
    }),
    ("udp dport", |words| {
        Ok(Statement::DestinationPort(L4Proto::UDP, words.parsed()?))
    }),
    ("ct status dnat", |_| Ok(Statement::IsDnatted)),
    ("ct state", |words| words.parsed().map(Statement::CtState)),
    ("mark and", |words| words.mark_and()),
    ("mark set mark or", |words| {
        words.bits().map(Statement::MarkOr)
    }),
    ("mark set mark xor", |words| {
        words.bits().map(Statement::MarkXor)
    }),
    ("fib daddr type local", |_| {
        Ok(Statement::DestinationIsLocal)
    }),
    ("fib saddr type local", |_| Ok(Statement::SourceIsLocal)),
    ("update", |words| words.update()),
    ("numgen random mod", |words| {
        let (modulus, entries) = words.random("vmap", Words::verdict)?;
        Ok(Statement::RandomVmap(modulus, entries))
    }),
    ("dnat ip addr . port to numgen random mod", |words| {
        let (modulus, entries) = words.random("map", Words::address_and_port)?;
        Ok(Statement::RandomDnat(modulus, entries))
    }),
    ("counter", |words| words.counter()),
    ("dnat to", |words| {
        let to: SocketAddr = words.parsed()?;
        words.own(to.ip())?;
        Ok(Statement::Dnat(to))
    }),
    ("masquerade fully-random", |_| {
        Ok(Statement::MasqueradeFullyRandom)
    }),
    ("reject", |_| Ok(Statement::Reject)),
];

/// What is left of a line: words with blanks between them; a quoted text is one word, quotes included. And the family
/// of the table that the line is about.
struct Words<'a>(&'a str, TableFamily);

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        let end = match self.0.strip_prefix('"') {
            Some(quoted) => quoted.find('"').ok_or("a quote is not closed")? + 2,
            None => self.0.find(char::is_whitespace).unwrap_or(self.0.len()),
        };
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.trim_start();
        match word {
            "" => Err("the line ends too early".to_owned()),
            word => Ok(word),
        }
    }

    /// Whether these words are next; then they are taken.
    fn take(&mut self, words: &str) -> bool {
        let rest = self.0.strip_prefix(words);
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if let Some(rest) = rest {
            self.0 = rest.trim_start();
        }
        rest.is_some()
    }

    /// The same of words in which `ip` stands for the family's.
    fn take_in_family(&mut self, words: &str) -> bool {
        let (before, family) = (self.0, self.1);
        let taken = words.split(' ').all(|word| match (word, family) {
            ("ip", TableFamily::Ip6) => self.take("ip6"),
            _ => self.take(word),
        });
        if !taken {
            self.0 = before;
        }
        taken
    }

    fn expect(&mut self, words: &str) -> Result<(), String> {
        match self.take(words) {
            true => Ok(()),
            false => Err(format!("'{}' instead of '{words}'", self.0)),
        }
    }

    fn name(&mut self) -> Result<Name, String> {
        self.next().map(Name::new)
    }

    /// A number, an address, or a word of those that there are.
    fn parsed<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.next()?;
        let unknown = |_| format!("'{word}' is no such number, address or word");
        word.parse().map_err(unknown)
    }

    /// An address of the family.
    fn address(&mut self) -> Result<IpAddr, String> {
        let address = self.parsed()?;
        self.own(address)?;
        Ok(address)
    }

    fn own(&self, address: IpAddr) -> Result<(), String> {
        match self.1.holds(address) {
            true => Ok(()),
            false => Err(format!("'{address}' is no address of family {}", self.1)),
        }
    }

    fn bits(&mut self) -> Result<u32, String> {
        let word = self.next()?;
        let parsed = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => word.parse(),
        };
        parsed.map_err(|_| format!("'{word}' is no 32-bit number"))
    }

    fn quoted(&mut self) -> Result<Comment, String> {
        let word = self.next()?;
        let text = word.strip_prefix('"').and_then(|w| w.strip_suffix('"'));
        let text = text.ok_or_else(|| format!("'{word}' is not quoted"))?;
        Ok(Comment::new(text))
    }

    /// What stands in braces, or nothing.
    fn braced<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        if !self.take("{") {
            return Ok(None);
        }
        let read = inside(self)?;
        self.expect("}")?;
        Ok(Some(read))
    }

    /// `comment "…" ;`, or nothing.
    fn comment_clause(&mut self) -> Result<Option<Comment>, String> {
        if !self.take("comment") {
            return Ok(None);
        }
        let comment = self.quoted()?;
        self.expect(";")?;
        Ok(Some(comment))
    }

    fn chain(&mut self) -> Result<Act, String> {
        let chain = self.name()?;
        let braced = self.braced(|words| {
            let base = words.take("type").then(|| words.base_chain());
            Ok((base.transpose()?, words.comment_clause()?))
        })?;
        let (base, comment) = braced.unwrap_or_default();
        Ok(Act::AddChain(chain, base, comment))
    }

    fn base_chain(&mut self) -> Result<BaseChain, String> {
        let kind = self.parsed()?;
        self.expect("hook")?;
        let hook = self.parsed()?;
        self.expect("priority")?;
        let priority = self.parsed()?;
        self.expect(";")?;
        let policy = match self.take("policy drop ;") {
            true => Policy::Drop,
            false => Policy::Accept,
        };
        Ok(BaseChain {
            kind,
            hook,
            priority,
            policy,
        })
    }

    fn set(&mut self, verdicts: bool) -> Result<SetSpec, String> {
        let name = self.name()?;
        self.expect("{ type")?;
        let end = if verdicts { " : verdict ;" } else { " ;" };
        let mut types = KeyType::VARIANTS.iter();
        let family = self.1;
        let key = types.find(|key| self.take(&format!("{}{end}", key.name(family))));
        let key = *key.ok_or_else(|| format!("unknown key type '{}'", self.0))?;
        let timeout = self.timeout_clause()?;
        let comment = self.comment_clause()?;
        self.expect("}")?;
        Ok(SetSpec {
            name,
            key,
            verdicts,
            timeout,
            comment,
        })
    }

    /// `flags dynamic,timeout ; timeout SECONDSs ;`, or nothing.
    fn timeout_clause(&mut self) -> Result<Option<Duration>, String> {
        if !self.take("flags dynamic,timeout ; timeout") {
            return Ok(None);
        }
        let word = self.next()?;
        let seconds = word
            .strip_suffix('s')
            .and_then(|digits| digits.parse().ok());
        let seconds = seconds.ok_or_else(|| format!("'{word}' is no number of seconds"))?;
        self.expect(";")?;
        Ok(Some(Duration::from_secs(seconds)))
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

    fn proto(&mut self) -> Result<L4Proto, String> {
        let named = [("tcp", L4Proto::TCP), ("udp", L4Proto::UDP)];
        match named.into_iter().find(|(name, _)| self.take(name)) {
            Some((_, proto)) => Ok(proto),
            None => self.parsed().map(L4Proto),
        }
    }

    fn key(&mut self) -> Result<Key, String> {
        let mut addresses = Vec::new();
        let is_address = |words: &str| {
            let first = words.split_whitespace().next().unwrap_or_default();
            first.parse::<IpAddr>().is_ok()
        };
        while is_address(self.0) {
            addresses.push(self.address()?);
            if !self.take(".") {
                return match addresses[..] {
                    [address] => Ok(Key::Address(address)),
                    _ => Err(format!("'{}' instead of a protocol", self.0)),
                };
            }
        }
        let proto = self.proto()?;
        self.expect(".")?;
        let port = self.parsed()?;
        match addresses[..] {
            [] => Ok(Key::ProtoPort(proto, port)),
            [address] => Ok(Key::AddressProtoPort(address, proto, port)),
            [from, to] => Ok(Key::AddressesProtoPort([from, to], proto, port)),
            _ => Err("a key of more than two addresses".to_owned()),
        }
    }

    fn element(&mut self) -> Result<Element, String> {
        Ok(Element {
            key: self.key()?,
            comment: match self.take("comment") {
                true => Some(self.quoted()?),
                false => None,
            },
            verdict: match self.take(":") {
                true => Some(self.verdict()?),
                false => None,
            },
        })
    }

    fn verdict(&mut self) -> Result<Verdict, String> {
        Ok(match self.next()? {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "return" => Verdict::Return,
            "jump" => Verdict::Jump(self.name()?),
            "goto" => Verdict::Goto(self.name()?),
            word => return Err(format!("unknown statement '{word}'")),
        })
    }

    fn rule(&mut self) -> Result<Rule, String> {
        let mut rule = Rule::default();
        while !self.0.is_empty() {
            if self.take("comment") {
                rule.comment = Some(self.quoted()?);
                break;
            }
            rule.statements.push(self.statement()?);
        }
        Ok(rule)
    }

    fn statement(&mut self) -> Result<Statement, String> {
        let mut known = STATEMENTS.iter();
        match known.find(|(words, _)| self.take_in_family(words)) {
            Some((_, rest)) => rest(self),
            None => self.verdict().map(Statement::Verdict),
        }
    }

    /// After `ip saddr`: `@SET`, a network, or networks in none of which it is.
    fn source(&mut self) -> Result<Statement, String> {
        if self.0.starts_with('@') {
            return self.reference().map(Statement::SourceInSet);
        }
        let comparison = self.comparison();
        if comparison == Comparison::Unequal && self.0.starts_with('{') {
            return self.list(Self::network).map(Statement::SourceOutside);
        }
        Ok(Statement::SourceAddress(comparison, self.network()?))
    }

    /// After `update`: `@SET { ip saddr }`.
    fn update(&mut self) -> Result<Statement, String> {
        let set = self.reference()?;
        self.expect("{")?;
        if !self.take_in_family("ip saddr") {
            return Err(format!("'{}' instead of a source address", self.0));
        }
        self.expect("}")?;
        Ok(Statement::UpdateWithSource(set))
    }

    /// After `ip daddr`: `@SET` or a network.
    fn destination(&mut self) -> Result<Statement, String> {
        if self.0.starts_with('@') {
            return self.reference().map(Statement::DestinationInSet);
        }
        Ok(Statement::DestinationAddress(
            self.comparison(),
            self.network()?,
        ))
    }

    /// `@SET`.
    fn reference(&mut self) -> Result<Name, String> {
        let word = self.next()?;
        let name = word.strip_prefix('@').map(Name::new);
        name.ok_or_else(|| format!("'{word}' is no set or map"))
    }

    fn comparison(&mut self) -> Comparison {
        match self.take("!=") {
            true => Comparison::Unequal,
            false => Comparison::Equal,
        }
    }

    fn network(&mut self) -> Result<Network, String> {
        let word = self.next()?;
        let (address, prefix) = match word.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (word, None),
        };
        let unknown = || format!("'{word}' is no network");
        let address: IpAddr = address.parse().map_err(|_| unknown())?;
        self.own(address)?;
        let longest = Network::host(address).prefix;
        let prefix = prefix.map_or(Ok(longest), str::parse::<u8>);
        match prefix {
            Ok(prefix) if prefix <= longest => Ok(Network::new(address, prefix)),
            _ => Err(unknown()),
        }
    }

    /// After `meta l4proto`: PROTO, or PROTO and the port.
    fn protocol(&mut self) -> Result<Statement, String> {
        let proto = self.proto()?;
        Ok(match self.take("th dport") {
            true => Statement::DestinationPort(proto, self.parsed()?),
            false => Statement::L4Proto(proto),
        })
    }

    /// After `mark and`: `M == V`.
    fn mark_and(&mut self) -> Result<Statement, String> {
        let mask = self.bits()?;
        let comparison = self.comparison();
        if comparison == Comparison::Equal {
            self.expect("==")?;
        }
        Ok(Statement::MarkAnd(mask, comparison, self.bits()?))
    }

    /// After `numgen random mod`: N, the word for the map, and its entries.
    fn random<T>(
        &mut self,
        map: &str,
        entry: fn(&mut Self) -> Result<T, String>,
    ) -> Result<(u32, Vec<(u32, T)>), String> {
        let modulus = self.parsed()?;
        self.expect(map)?;
        let entries = self.list(|words| {
            let number = words.parsed()?;
            words.expect(":")?;
            Ok((number, entry(words)?))
        })?;
        Ok((modulus, entries))
    }

    /// `ADDRESS . PORT`.
    fn address_and_port(&mut self) -> Result<SocketAddr, String> {
        let address = self.address()?;
        self.expect(".")?;
        Ok(SocketAddr::new(address, self.parsed()?))
    }

    fn counter(&mut self) -> Result<Statement, String> {
        let (mut packets, mut bytes) = (0, 0);
        if self.take("packets") {
            packets = self.parsed()?;
            self.expect("bytes")?;
            bytes = self.parsed()?;
        }
        Ok(Statement::Counter(packets, bytes))
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
    fn a_script_of_the_other_family_reads_the_same_but_for_addresses() {
        let text = include_str!("../tests/kube-proxy-ip6.nft");
        let ops = parse_script(text).unwrap();
        assert_eq!(ops.len(), text.lines().count());
        assert_eq!(script(&ops), text);
        let ipv4 = parse_script(include_str!("../tests/kube-proxy.nft")).unwrap();
        for (op, ipv4) in ops.iter().zip(&ipv4) {
            assert_eq!(op.family, TableFamily::Ip6);
            let acts = [op, ipv4].map(|op| std::mem::discriminant(&op.act));
            assert_eq!(acts[0], acts[1], "{op}");
        }
    }

    #[test]
    fn what_session_affinity_and_source_ranges_need_is_read_back_in_both_families() {
        let text = "add set ip t affinity { type ipv4_addr ; flags dynamic,timeout ; timeout 10800s ; }\n\
            add rule ip t c update @affinity { ip saddr }\n\
            add rule ip t c ip saddr @affinity goto d\n\
            add rule ip t c ip saddr != { 203.0.113.0/25 } drop\n\
            add rule ip t c ip saddr != { 203.0.113.0/25 , 10.0.0.1 } drop\n\
            add rule ip t c fib saddr type local mark set mark or 0x4000\n";
        let ip6 = text
            .replace(" ip ", " ip6 ")
            .replace("ipv4_addr", "ipv6_addr")
            .replace("203.0.113.0/25", "2001:db8::/33")
            .replace("10.0.0.1", "fd00::1");
        for text in [text, &ip6] {
            let ops = parse_script(text).unwrap();
            assert_eq!(script(&ops), text);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for line in [
            "add rule ip t c tcp sport 80",
            "add rule ip t c ip6 daddr fd00::1 drop",
            "add rule ip t c ip daddr fd00::1 drop",
            "add rule ip t c ip daddr 10.0.0.0/33 drop",
            "add rule ip6 t c ip daddr 10.0.0.1 drop",
            "add rule ip6 t c ip6 daddr 10.0.0.1 drop",
            "add rule ip6 t c ip6 daddr fd00::/129 drop",
            "add rule ip6 t c dnat to 10.0.0.1:80",
            "add rule ip6 t c dnat to fd00::1:80",
            "add set ip6 t s { type ipv4_addr ; }",
            "add set ip t s { type ipv4_addr ; flags timeout ; }",
            "add set ip t s { type ipv4_addr ; flags dynamic,timeout ; timeout 5m ; }",
            "add rule ip t c update @s { ip daddr }",
            "add rule ip t c ip saddr { 10.0.0.0/8 , 11.0.0.0/8 } drop",
            "add rule ip6 t c ip6 saddr != { fd00::/8 , 10.0.0.0/8 } drop",
            "add element ip6 t s { 10.0.0.1 }",
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
