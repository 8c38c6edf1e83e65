//! Reads files, each told by what is in it and never by its name: every line, object and document goes to the reader that
//! knows it, and what none knows is noted. A file may hold several kinds after each other, with prompts between them.

use std::collections::BTreeSet;
use std::io::BufRead;

use crate::api::{Store, Taken};
use crate::cluster::{Cluster, Format, Origin};
use crate::found::{Found, Source};
use crate::input::{Fault, Input, LIMIT, Line};
use crate::ipset::Sets;
use crate::iptables::Rules;
use crate::merge::merge;
use crate::nft::Ruleset;
use crate::note::{Notes, Refused, quoted};
use crate::piece::{About, Broken, List, Piece, Raw};
use crate::service::Net;
use crate::{iptables, ipvs, json, nft, shape, yaml};

/// How many parts of a file that nobody knows are read before it is given up, where nothing else has come.
const PATIENCE: u64 = 100_000;
/// How deep lists may stand in lists: a List of ServiceLists.
const DEEPEST_LISTS: usize = 4;

/// Everything of all files.
#[derive(Debug, Default)]
struct All {
    store: Store,
    found: Vec<Found>,
    tables: Vec<(ipvs::Table, usize)>,
    sets: Sets,
    /// The file that the sets came from.
    sets_of: usize,
    stale_chains: u64,
    pod_ranges: Vec<Net>,
    formats: BTreeSet<Format>,
    shape_mode: Option<Origin>,
    unknown: u32,
    notes: Notes,
}

/// What is read of one file.
#[derive(Debug, Default)]
struct File {
    index: usize,
    rules: Rules,
    ruleset: Ruleset,
    text: nft::Text,
    table: ipvs::Table,
    sets: Sets,
    shape: shape::Reader,
    anchors: yaml::Anchors,
    /// Whether there is anything but blanks, and whether any of it was known.
    written: bool,
    known: bool,
    /// How much of it was not.
    strange: u64,
    /// Inside of the logs of a `kubectl cluster-info dump`.
    logs: bool,
    /// The line in which it is cut.
    cut: Option<u64>,
    /// What it is, where that is known and of no use, and what to do about it.
    other: Option<(&'static str, &'static str)>,
    /// What came first of what was not understood.
    first: Option<String>,
}

/// The services of files that are parts of one cluster; each with the label by which it is spoken of.
///
/// # Errors
/// A file is of no use, two contradict each other, or there is no service in any: [`Refused`] says which and what helps.
pub fn read<'a, R: BufRead>(
    files: impl IntoIterator<Item = (&'a str, R)>,
) -> Result<Cluster, Refused> {
    let mut all = All::default();
    let mut labels = Vec::new();
    for (label, reader) in files {
        labels.push(label.to_owned());
        let index = labels.len() - 1;
        let mut input = Input::new(reader);
        let mut file = File {
            index,
            ..File::default()
        };
        let read = begin(&mut input, label).and_then(|()| {
            let read = file.read(&mut input, &mut all);
            read.map_err(|fault| refused(fault, label))
        });
        read?;
        file.finish(&labels, &mut all)?;
    }
    finish(all, &labels)
}

fn refused(fault: Fault, label: &str) -> Refused {
    let file = label.to_owned();
    match fault {
        Fault::Io(source) => Refused::Read { file, source },
        Fault::TooLarge => Refused::TooLarge {
            file,
            mib: LIMIT >> 20,
        },
    }
}

/// Passes over a byte-order mark; refuses what is no text by its first bytes.
fn begin<R: BufRead>(input: &mut Input<R>, label: &str) -> Result<(), Refused> {
    let file = || label.to_owned();
    let head = input.fill().map_err(|fault| refused(fault, label))?;
    if head.is_empty() {
        return Err(Refused::Empty { file: file() });
    }
    let unpack = "unpack it and give what is in it";
    let kinds: [(&[u8], _, _); 8] = [
        (b"\x1f\x8b", "compressed by gzip", unpack),
        (b"PK\x03\x04", "a zip archive", unpack),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd", unpack),
        (b"\xfd7zXZ", "compressed by xz", unpack),
        (b"BZh", "compressed by bzip2", unpack),
        (
            b"\xff\xfe",
            "text in UTF-16, as PowerShell's > writes it",
            "write it as UTF-8",
        ),
        (b"\xfe\xff", "text in UTF-16", "write it as UTF-8"),
        (b"\x7fELF", "a program", "give what it prints"),
    ];
    let kind = kinds
        .into_iter()
        .find(|(magic, ..)| head.starts_with(magic));
    // No text has a zero byte.
    let binary = || {
        head.contains(&0)
            .then_some((&b""[..], "binary", "give the text that a command prints"))
    };
    if let Some((_, what, remedy)) = kind.or_else(binary) {
        return Err(Refused::OtherKind {
            file: file(),
            what,
            remedy,
        });
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        input.advance(3).map_err(|fault| refused(fault, label))?;
    }
    Ok(())
}

/// Whether a line without indentation begins a YAML document.
fn begins_yaml(line: &str) -> bool {
    let keys = [
        "apiVersion:",
        "kind:",
        "items:",
        "metadata:",
        "spec:",
        "status:",
    ];
    let line = line.trim_end();
    let first = line.strip_prefix("- ").unwrap_or(line);
    line == "---"
        || line.starts_with("--- ")
        || line.starts_with("%YAML")
        || keys.iter().any(|key| first.starts_with(key))
}

/// Whether a line without indentation is of another dump than the YAML document or the table before it.
fn begins_another(line: &str) -> bool {
    let words = [
        "create KUBE-",
        "add KUBE-",
        "IP Virtual Server version",
        "==== ",
        "$ ",
        "# Generated by ip",
        "```",
    ];
    let mut letters = line.split_whitespace();
    let first = letters.next().unwrap_or_default();
    let prompt = first.contains('@') && first.ends_with(['$', '#']);
    words.iter().any(|word| line.starts_with(word))
        || prompt
        || nft::begins(line)
        || iptables::is_line(line)
        || ["-A -", "-a -"].iter().any(|word| line.starts_with(word))
}

/// What a line shows that is of no use, and what to give instead.
fn other_kind(line: &str) -> Option<(&'static str, &'static str)> {
    let has = |word: &str| line.contains(word);
    if line.starts_with("Chain ") && (has(" references)") || has("(policy ")) {
        return Some((
            "what `iptables -L` prints",
            "give what `iptables-save` prints",
        ));
    }
    if line.starts_with("NAME") && has("CLUSTER-IP") {
        return Some((
            "the table that kubectl prints",
            "give what `kubectl get services,endpointslices -A -o json` prints",
        ));
    }
    if line == "Members:" {
        return Some(("what `ipset list` prints", "give what `ipset save` prints"));
    }
    None
}

/// A line without what terminals and `grep -n` add: colours, numbers, quote marks.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // To the end of a control sequence.
            letters.find(|c| c.is_ascii_alphabetic());
        } else {
            text.push(letter);
        }
    }
    let line = text.trim_start_matches([' ', '\t', '>']);
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = digits.len() < line.len();
    let numbered = numbered.then(|| digits.strip_prefix([':', '\t'])).flatten();
    numbered.unwrap_or(line).trim().to_owned()
}

impl All {
    fn add(&mut self, found: Vec<Found>, stale: u64, pods: &[Net]) {
        self.found.extend(found);
        self.stale_chains += stale;
        for net in pods {
            if !self.pod_ranges.contains(net) {
                self.pod_ranges.push(*net);
            }
        }
    }
}

impl File {
    fn read<R: BufRead>(&mut self, input: &mut Input<R>, all: &mut All) -> Result<(), Fault> {
        while self.known || self.strange < PATIENCE {
            let open = self.text.is_open() || self.logs;
            if !open && self.begins_json(input)? {
                self.json(input, all)?;
                continue;
            }
            let Some(line) = input.line()? else {
                break;
            };
            if line.text.trim().is_empty() {
                continue;
            }
            self.written = true;
            if !line.whole {
                self.not(
                    all,
                    line.number,
                    format!("a line of more than 16 MiB: {}", quoted(&line.text)),
                );
            } else if !open && line.text.trim_start().starts_with('{') {
                input.unread(line);
                self.json(input, all)?;
            } else if !open && begins_yaml(&line.text) {
                input.unread(line);
                self.yaml(input, all)?;
            } else {
                self.line(&line, all);
            }
        }
        let last = input.line_number();
        if let Some(table) = self.rules.open_table() {
            let what = format!("cut: table {table} does not end with COMMIT");
            self.cut_at(all, self.cut.unwrap_or(last), what);
        }
        if self.text.is_open() {
            self.cut_at(all, last, "cut: a table is not closed".to_owned());
        }
        Ok(())
    }

    /// Notes what was not understood.
    fn not(&mut self, all: &mut All, line: u64, what: String) {
        self.strange += 1;
        if self.first.is_none() {
            self.first = Some(format!("line {line}: {what}"));
        }
        all.notes.not_understood(self.index, Some(line), what);
    }

    fn cut_at(&mut self, all: &mut All, line: u64, what: String) {
        self.cut = self.cut.or(Some(line));
        self.not(all, line, what);
    }

    /// Whether an object or a list of objects begins here.
    fn begins_json<R: BufRead>(&self, input: &mut Input<R>) -> Result<bool, Fault> {
        let next = input.fill()?;
        Ok(match next.first() {
            Some(b'{') => true,
            // `[root@worker ~]#`, `[12:744] -A …` and `[INFO]` begin so too.
            Some(b'[') => {
                let mut behind = next[1..].iter().filter(|byte| !byte.is_ascii_whitespace());
                behind.next().is_none_or(|byte| matches!(byte, b'{' | b']'))
            }
            _ => false,
        })
    }

    fn json<R: BufRead>(&mut self, input: &mut Input<R>, all: &mut All) -> Result<(), Fault> {
        self.written = true;
        let end = json::split(input, &mut |piece| self.piece(piece, 0, all));
        if let Err(broken) = end {
            self.broken(broken, input.line_number(), all)?;
            // The rest of its line is a part of it.
            input.line()?;
        }
        Ok(())
    }

    fn yaml<R: BufRead>(&mut self, input: &mut Input<R>, all: &mut All) -> Result<(), Fault> {
        let mut anchors = std::mem::take(&mut self.anchors);
        let mut each = |piece: Piece<'_>| self.piece(piece, 0, all);
        let end = yaml::document(input, &mut anchors, &begins_another, &mut each);
        self.anchors = anchors;
        match end {
            Err(broken) => self.broken(broken, input.line_number(), all),
            Ok(()) => {
                self.may_be_cut(input.ended(), input.line_number(), all);
                Ok(())
            }
        }
    }

    /// Notes that the last line of the file has no end, which those of tools have.
    fn may_be_cut(&mut self, ended: bool, line: u64, all: &mut All) {
        if !ended {
            self.not(
                all,
                line,
                "the last line does not end: it may be cut".to_owned(),
            );
        }
    }

    fn broken(&mut self, broken: Broken, at: u64, all: &mut All) -> Result<(), Fault> {
        match broken {
            Broken::Cut(line) => {
                self.cut = Some(at);
                self.not(all, line, "cut: what begins here does not end".to_owned());
            }
            Broken::Syntax(line) => self.not(all, line, "neither JSON nor YAML".to_owned()),
            Broken::TooLarge(line) => {
                self.not(
                    all,
                    line,
                    "an object that is too large or too deep".to_owned(),
                );
            }
            Broken::Fault(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Takes in an object.
    fn piece(&mut self, piece: Piece<'_>, depth: usize, all: &mut All) {
        let taken = match piece.within {
            Some((List::Nftables, _)) => Taken::Foreign,
            _ if !self.shape.is_empty() => Taken::Foreign,
            _ => all.store.take(piece, self.index, &mut all.notes),
        };
        match taken {
            Taken::Object => {
                self.known = true;
                all.formats.insert(Format::Kubernetes);
            }
            Taken::List if depth < DEEPEST_LISTS => self.nested(piece, depth, all),
            Taken::List => self.not(
                all,
                piece.line,
                "lists stand too deep in each other".to_owned(),
            ),
            Taken::Foreign => {
                let taken = match self.shape.take(piece.raw) {
                    Ok(false) => self.ruleset.json(piece.raw, piece.line),
                    taken => taken,
                };
                match taken {
                    Ok(true) => self.known = true,
                    // An outermost object of which the elements were of use.
                    Ok(false) if piece.within.is_none() && self.known => {}
                    Ok(false) => self.not(
                        all,
                        piece.line,
                        "an object of no kind that is known".to_owned(),
                    ),
                    Err(e) => self.not(
                        all,
                        piece.line,
                        format!("an object that cannot be read: {e}"),
                    ),
                }
            }
        }
    }

    /// Takes in the elements of a list that is an element itself.
    fn nested(&mut self, list: Piece<'_>, depth: usize, all: &mut All) {
        let line = list.line;
        match list.raw {
            Raw::Json(text) => {
                let mut each = |piece: Piece<'_>| {
                    if piece.within.is_some() {
                        self.piece(Piece { line, ..piece }, depth + 1, all);
                    }
                };
                // It was read as an object before.
                let _ = json::split(&mut Input::new(text), &mut each);
            }
            Raw::Yaml(value) => {
                let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
                let about = About {
                    kind: text("kind"),
                    api_version: text("apiVersion"),
                };
                for item in value
                    .get("items")
                    .and_then(|items| items.as_array())
                    .into_iter()
                    .flatten()
                {
                    let piece = Piece {
                        raw: Raw::Yaml(item),
                        line,
                        within: Some((List::Items, &about)),
                    };
                    self.piece(piece, depth + 1, all);
                }
            }
        }
    }

    /// Takes in a line of text.
    fn line(&mut self, line: &Line, all: &mut All) {
        let text = line.text.trim();
        if self.text.is_open() && begins_another(&line.text) {
            self.text = nft::Text::default();
            self.not(
                all,
                line.number,
                format!("a table that is not closed before {}", quoted(text)),
            );
        }
        if self.logs || text.starts_with("==== START logs for ") {
            self.logs = !text.starts_with("==== END logs for ");
            return;
        }
        // Colours may stand inside of words, everything else before the first one.
        let coloured = text.contains('\u{1b}');
        let taken = (!coloured).then(|| self.taken(text, line)).flatten();
        let taken = taken.or_else(|| {
            let undecorated = plain(text);
            (undecorated != text)
                .then(|| self.taken(&undecorated, line))
                .flatten()
        });
        match taken {
            Some(Ok(())) => {
                self.known = true;
                self.may_be_cut(line.ended, line.number, all);
            }
            Some(Err(what)) => {
                if !line.ended {
                    self.cut = Some(line.number);
                }
                self.known = true;
                self.not(all, line.number, format!("{what}: {}", quoted(text)));
            }
            // What is left between objects, and what tools say of themselves.
            None if text.starts_with('#') || text.bytes().all(|byte| b"{}[],".contains(&byte)) => {}
            None => {
                self.other = self.other.or_else(|| other_kind(text));
                self.not(all, line.number, quoted(text));
            }
        }
    }

    /// Gives a line to whoever knows it; `None` where nobody does, an error where it is cut.
    fn taken(&mut self, text: &str, line: &Line) -> Option<Result<(), &'static str>> {
        let number = line.number;
        if let Some(taken) = self.text.line(&mut self.ruleset, text, number) {
            return Some(taken);
        }
        // In a table whose end is missing the last line may have lost its own.
        if !line.ended
            && self.rules.open_table().is_some()
            && iptables::is_line(text)
            && text != "COMMIT"
        {
            return Some(Err("the file ends in it"));
        }
        self.rules
            .line(text, number)
            .or_else(|| self.table.line(text, number))
            .or_else(|| self.sets.line(text, number))
    }

    /// Brings what was read to the rest, or says why it is of no use.
    fn finish(self, labels: &[String], all: &mut All) -> Result<(), Refused> {
        let Self { index, first, .. } = self;
        let label = labels[index].as_str();
        let file = || label.to_owned();
        if let Some((text, line)) = self.table.names {
            return Err(Refused::Names {
                file: file(),
                line,
                text,
            });
        }
        let other = match self.ruleset.is_of_iptables() {
            true => Some((
                "what nft shows of iptables-nft's rules, without where they lead",
                "give what `iptables-save` prints",
            )),
            false => self.other,
        };
        let mut of_use = all.store.is_from(index);
        if !self.rules.is_empty() {
            all.formats.insert(Format::IptablesSave);
            let traced = self.rules.trace(index, &mut all.notes);
            of_use |= !traced.found.is_empty();
            all.add(traced.found, traced.stale, &traced.pods);
        }
        if !self.ruleset.is_empty() {
            all.formats.insert(Format::NftRuleset);
            let traced = self.ruleset.trace(index, &mut all.notes);
            of_use |= !traced.found.is_empty();
            all.add(traced.found, traced.stale, &traced.pods);
        }
        if self.table.any || !self.table.is_empty() {
            all.formats.insert(Format::VirtualServers);
            of_use |= !self.table.is_empty();
            all.tables.push((self.table, index));
        }
        if !self.sets.is_empty() {
            all.formats.insert(Format::IpsetSave);
            of_use = true;
            if let Err(set) = all.sets.merge(self.sets) {
                return Err(Refused::Contradiction {
                    first: labels[all.sets_of].clone(),
                    second: file(),
                    what: format!("set {set} is not the same"),
                });
            }
            all.sets_of = index;
        }
        if !self.shape.is_empty() {
            all.formats.insert(Format::Shape);
            of_use = true;
            let (found, mode) = self.shape.finish(&mut all.unknown, index, label)?;
            all.found.extend(found);
            all.shape_mode = all.shape_mode.or(mode);
        }
        match (of_use, self.cut, other) {
            (true, ..) => Ok(()),
            (false, Some(line), _) => Err(Refused::Cut { file: file(), line }),
            (false, None, Some((what, remedy))) => Err(Refused::OtherKind {
                file: file(),
                what,
                remedy,
            }),
            _ if !self.written => Err(Refused::Empty { file: file() }),
            _ if !self.known => Err(Refused::Unknown {
                file: file(),
                first,
            }),
            _ => Ok(()),
        }
    }
}

/// Brings everything together.
fn finish(all: All, labels: &[String]) -> Result<Cluster, Refused> {
    if labels.is_empty() {
        return Err(Refused::NoFiles);
    }
    let (mut store, sets, mut notes) = (all.store, all.sets, all.notes);
    if let Some(differ) = store.differ.take() {
        let [first, second] = differ.files.map(|file| labels[file].clone());
        return Err(Refused::Contradiction {
            first,
            second,
            what: differ.what,
        });
    }
    let mut unknown = all.unknown;
    let mut found = store.proxied(&mut unknown, &mut notes);
    found.extend(all.found);
    let mut node_ports = BTreeSet::new();
    for (table, file) in all.tables {
        let traced = ipvs::trace(table, &sets, file, &mut notes);
        found.extend(traced.found);
        node_ports.extend(traced.node_ports);
    }
    found.extend(ipvs::of_sets(&sets, all.sets_of));
    let modes: BTreeSet<Origin> = found
        .iter()
        .filter_map(|found| mode(found.source))
        .collect();
    let services = merge(found, labels, &mut notes)?;
    if services.is_empty() {
        return Err(Refused::NoServices {
            files: labels.join(", "),
            first: notes.listed.first().map(|note| note.what.clone()),
        });
    }
    Ok(Cluster {
        services,
        objects: store.counts,
        node_port_vips: node_ports.len() as u64,
        sets: sets.fills,
        stale_chains: all.stale_chains,
        pod_ranges: all.pod_ranges,
        formats: all.formats.into_iter().collect(),
        mode: match modes.len() {
            1 => modes.into_iter().next(),
            _ => all.shape_mode,
        },
        notes,
    })
}

/// The mode that a kind of dump is of.
const fn mode(source: Source) -> Option<Origin> {
    match source {
        Source::Nftables => Some(Origin::Nftables),
        Source::Iptables => Some(Origin::Iptables),
        Source::Ipvs | Source::Ipset => Some(Origin::Ipvs),
        Source::Api | Source::Shape => None,
    }
}
