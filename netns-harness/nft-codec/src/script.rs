//! Operations as a script for `nft -f`: one command a line, in the syntax that knftables writes.

use std::fmt::{self, Write as _};

use crate::family::TableFamily;
use crate::ops::{
    Act, BaseChain, Comparison, Element, Key, L4Proto, Network, Op, Policy, Rule, Statement,
    Verdict,
};

/// The script of `ops`: one line each.
#[must_use]
pub fn script(ops: &[Op]) -> String {
    // A rule of kube-proxy's layout is about 100 bytes.
    let mut text = String::with_capacity(ops.len() * 100);
    for op in ops {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{op}");
    }
    text
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, table) = (self.family, &self.table);
        match &self.act {
            Act::AddTable(None) => write!(f, "add table {family} {table}"),
            Act::AddTable(Some(comment)) => {
                write!(
                    f,
                    "add table {family} {table} {{ comment \"{comment}\" ; }}"
                )
            }
            Act::DeleteTable => write!(f, "delete table {family} {table}"),
            Act::AddChain(chain, base, comment) => {
                write!(f, "add chain {family} {table} {chain}")?;
                if base.is_none() && comment.is_none() {
                    return Ok(());
                }
                f.write_str(" {")?;
                if let Some(base) = base {
                    write!(f, " {base}")?;
                }
                if let Some(comment) = comment {
                    write!(f, " comment \"{comment}\" ;")?;
                }
                f.write_str(" }")
            }
            Act::FlushChain(chain) => write!(f, "flush chain {family} {table} {chain}"),
            Act::DeleteChain(chain) => write!(f, "delete chain {family} {table} {chain}"),
            Act::AddSet(set) => {
                write!(
                    f,
                    "add {} {family} {table} {} {{ type {}",
                    kind(set.verdicts),
                    set.name,
                    set.key.name(family)
                )?;
                if set.verdicts {
                    f.write_str(" : verdict")?;
                }
                f.write_str(" ;")?;
                if let Some(timeout) = set.timeout {
                    let seconds = timeout.as_secs();
                    write!(f, " flags dynamic,timeout ; timeout {seconds}s ;")?;
                }
                if let Some(comment) = &set.comment {
                    write!(f, " comment \"{comment}\" ;")?;
                }
                f.write_str(" }")
            }
            Act::FlushSet(set, verdicts) => {
                write!(f, "flush {} {family} {table} {set}", kind(*verdicts))
            }
            Act::DeleteSet(set, verdicts) => {
                write!(f, "delete {} {family} {table} {set}", kind(*verdicts))
            }
            Act::AddCounter(counter) => write!(f, "add counter {family} {table} {counter}"),
            Act::DeleteCounter(counter) => write!(f, "delete counter {family} {table} {counter}"),
            Act::AddElements(set, elements) => {
                write!(f, "add element {family} {table} {set} {{ ")?;
                separated(f, elements)?;
                f.write_str(" }")
            }
            Act::DeleteElements(set, keys) => {
                write!(f, "delete element {family} {table} {set} {{ ")?;
                separated(f, keys)?;
                f.write_str(" }")
            }
            Act::AddIntervals(set, intervals) => {
                write!(f, "add element {family} {table} {set} {{ ")?;
                separated(f, &ranges(intervals))?;
                f.write_str(" }")
            }
            Act::DeleteIntervals(set, intervals) => {
                write!(f, "delete element {family} {table} {set} {{ ")?;
                separated(f, &ranges(intervals))?;
                f.write_str(" }")
            }
            Act::AddRule(chain, rule) => {
                let rule = rule.text(family);
                write!(f, "add rule {family} {table} {chain} {rule}")
            }
        }
    }
}

/// Intervals as `nft` reads them: field by field.
fn ranges(intervals: &[[Key; 2]]) -> Vec<Range> {
    intervals.iter().copied().map(Range).collect()
}

/// An interval of keys.
struct Range([Key; 2]);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, last] = self.0.map(|key| key.to_string());
        let fields = first.split(" . ").zip(last.split(" . "));
        for (i, (first, last)) in fields.enumerate() {
            if i > 0 {
                f.write_str(" . ")?;
            }
            match first == last {
                true => f.write_str(first)?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

fn kind(verdicts: bool) -> &'static str {
    if verdicts { "map" } else { "set" }
}

fn separated(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(" , ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// What stands in the braces of an anonymous map, and the closing one.
fn numbered<T>(
    f: &mut fmt::Formatter<'_>,
    entries: &[(u32, T)],
    write: fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, (number, entry)) in entries.iter().enumerate() {
        write!(f, "{}{number} : ", if i > 0 { " , " } else { "" })?;
        write(f, entry)?;
    }
    f.write_str(" }")
}

impl fmt::Display for BaseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "type {} hook {} priority {} ;",
            self.kind, self.hook, self.priority
        )?;
        match self.policy {
            Policy::Accept => Ok(()), // the default: left out, as kube-proxy does
            Policy::Drop => f.write_str(" policy drop ;"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::AddressProtoPort(address, proto, port) => {
                write!(f, "{address} . {proto} . {port}")
            }
            Self::AddressesProtoPort([from, to], proto, port) => {
                write!(f, "{from} . {to} . {proto} . {port}")
            }
            Self::ProtoPort(proto, port) => write!(f, "{proto} . {port}"),
        }
    }
}

impl fmt::Display for L4Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(comment) = &self.comment {
            write!(f, " comment \"{comment}\"")?;
        }
        match &self.verdict {
            Some(verdict) => write!(f, " : {verdict}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_host() {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl Rule {
    /// It in the words of a table of that family.
    #[must_use]
    pub fn text(&self, family: TableFamily) -> impl fmt::Display {
        InFamily(family, self)
    }
}

/// What is said in the words of a family's tables.
struct InFamily<'a, T>(TableFamily, &'a T);

impl fmt::Display for InFamily<'_, Rule> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(family, rule) = self;
        for (i, statement) in rule.statements.iter().enumerate() {
            if i > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{}", InFamily(*family, statement))?;
        }
        match &rule.comment {
            Some(comment) => write!(f, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Comparison {
    /// With the space that follows it, and nothing for equality.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "",
            Self::Unequal => "!= ",
        })
    }
}

impl fmt::Display for InFamily<'_, Statement> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ip, statement) = self;
        match statement {
            Statement::SourceAddress(comparison, network) => {
                write!(f, "{ip} saddr {comparison}{network}")
            }
            Statement::DestinationAddress(comparison, network) => {
                write!(f, "{ip} daddr {comparison}{network}")
            }
            Statement::SourceOutside(networks) => {
                write!(f, "{ip} saddr != {{ ")?;
                separated(f, networks)?;
                f.write_str(" }")
            }
            Statement::L4Proto(proto) => write!(f, "meta l4proto {proto}"),
            Statement::TransportPort(port) => write!(f, "th dport {port}"),
            Statement::DestinationPort(proto @ (L4Proto::TCP | L4Proto::UDP), port) => {
                write!(f, "{proto} dport {port}")
            }
            Statement::DestinationPort(proto, port) => {
                write!(f, "meta l4proto {proto} th dport {port}")
            }
            Statement::CtState(state) => write!(f, "ct state {state}"),
            Statement::IsDnatted => f.write_str("ct status dnat"),
            Statement::MarkAnd(mask, comparison, value) => {
                let comparison = if *comparison == Comparison::Equal {
                    "=="
                } else {
                    "!="
                };
                write!(f, "mark and {mask:#x} {comparison} {value:#x}")
            }
            Statement::DestinationIsLocal => f.write_str("fib daddr type local"),
            Statement::SourceIsLocal => f.write_str("fib saddr type local"),
            Statement::SourceInSet(set) => write!(f, "{ip} saddr @{set}"),
            Statement::UpdateWithSource(set) => write!(f, "update @{set} {{ {ip} saddr }}"),
            Statement::DestinationInSet(set) => write!(f, "{ip} daddr @{set}"),
            Statement::ConnectionInSet(set) => {
                write!(
                    f,
                    "{ip} saddr . {ip} daddr . meta l4proto . th dport @{set}"
                )
            }
            Statement::ServiceVmap(map) => {
                write!(f, "{ip} daddr . meta l4proto . th dport vmap @{map}")
            }
            Statement::NodePortVmap(map) => write!(f, "meta l4proto . th dport vmap @{map}"),
            Statement::RandomVmap(modulus, entries) => {
                write!(f, "numgen random mod {modulus} vmap {{ ")?;
                numbered(f, entries, |f, verdict| write!(f, "{verdict}"))
            }
            Statement::RandomDnat(modulus, entries) => {
                write!(
                    f,
                    "dnat {ip} addr . port to numgen random mod {modulus} map {{ "
                )?;
                numbered(f, entries, |f, to| write!(f, "{} . {}", to.ip(), to.port()))
            }
            Statement::MarkOr(bits) => write!(f, "mark set mark or {bits:#x}"),
            Statement::MarkXor(bits) => write!(f, "mark set mark xor {bits:#x}"),
            Statement::Counter(0, 0) => f.write_str("counter"),
            Statement::Counter(packets, bytes) => {
                write!(f, "counter packets {packets} bytes {bytes}")
            }
            Statement::Dnat(to) => write!(f, "dnat to {to}"),
            Statement::MasqueradeFullyRandom => f.write_str("masquerade fully-random"),
            Statement::Reject => f.write_str("reject"),
            Statement::Verdict(verdict) => write!(f, "{verdict}"),
            Statement::Unknown(text) => write!(f, "<{text}>"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}
