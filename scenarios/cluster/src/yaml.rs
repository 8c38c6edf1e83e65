//! YAML, a document at a time, as values: elements of an outermost list one by one, like those of JSON. Only shapes are
//! told apart here: every scalar is text, and whoever reads it knows whether it is a number (`0o17`, `0x51`) or a name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::BufRead;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use crate::input::{Fault, Input};
use crate::piece::{About, Broken, List, Piece, Raw};

/// How deep values may be nested.
const DEEPEST: usize = 64;
/// How many values the aliases of one document may repeat.
const MOST_REPEATED: usize = 1_000_000;
/// The largest element, values.
const LARGEST: usize = 1_000_000;

/// Small values that had anchors, by their names: YAML forgets them at the end of a document, people do not.
#[derive(Debug, Default)]
pub(crate) struct Anchors(HashMap<String, Value>);

impl Anchors {
    /// How many are kept, and how large each may be.
    const MOST: usize = 1_000;
    const LARGEST: usize = 1_000;
}

/// Reads the document that begins at the next line, and hands over its pieces. It ends before a line `---`, with a line
/// `...`, before a line without indentation that `foreign` says is none of YAML's, or with the file.
pub(crate) fn document<R: BufRead>(
    input: &mut Input<R>,
    anchors: &mut Anchors,
    foreign: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(Piece<'_>),
) -> Result<(), Broken> {
    let begin = input.line_number();
    let text = RefCell::new(Text {
        input,
        foreign,
        line: String::new(),
        at: 0,
        first: true,
        ended: None,
    });
    let parsed = parse(&text, begin, anchors, each);
    // What the parser did not want of a document that it gave up.
    let mut text = text.into_inner();
    text.at = text.line.len();
    while text.ended.is_none() {
        text.advance();
        text.at = text.line.len();
    }
    match text.ended {
        Some(Err(fault)) => Err(Broken::Fault(fault)),
        _ => parsed,
    }
}

/// The characters of one document.
struct Text<'a, R> {
    input: &'a mut Input<R>,
    foreign: &'a dyn Fn(&str) -> bool,
    line: String,
    at: usize,
    first: bool,
    ended: Option<Result<(), Fault>>,
}

impl<R: BufRead> Text<'_, R> {
    /// Goes to the next line, or ends.
    fn advance(&mut self) {
        let line = match self.input.line() {
            Ok(Some(line)) => line,
            Ok(None) => return self.ended = Some(Ok(())),
            Err(fault) => return self.ended = Some(Err(fault)),
        };
        let text = line.text.as_str();
        let marks = text == "---" || text.starts_with("--- ");
        let outermost = !text.starts_with([' ', '\t']) && !text.is_empty();
        if !self.first && (marks || outermost && (self.foreign)(text)) {
            self.input.unread(line);
            return self.ended = Some(Ok(()));
        }
        if text == "..." {
            return self.ended = Some(Ok(()));
        }
        self.first = false;
        self.line = line.text;
        self.line.push('\n');
        self.at = 0;
    }

    fn next(&mut self) -> Option<char> {
        if self.at == self.line.len() && self.ended.is_none() {
            self.advance();
        }
        match self.ended {
            None => {
                let next = self.line[self.at..].chars().next()?;
                self.at += next.len_utf8();
                Some(next)
            }
            Some(_) => None,
        }
    }
}

/// A collection that is being read.
struct Open {
    value: Value,
    /// The key whose value comes next; none where the next scalar is a key, and in lists.
    key: Option<String>,
    anchor: usize,
    line: u64,
}

/// What is read so far of a document.
struct Building<'a> {
    open: Vec<Open>,
    about: About,
    anchors: HashMap<usize, (Value, usize)>,
    names: Vec<(usize, String)>,
    before: &'a mut Anchors,
    /// Values that anchors and aliases have copied, and those of the element that is being read.
    repeated: usize,
    size: usize,
    each: &'a mut dyn FnMut(Piece<'_>),
}

fn parse<R: BufRead>(
    text: &RefCell<Text<'_, R>>,
    begin: u64,
    anchors: &mut Anchors,
    each: &mut dyn FnMut(Piece<'_>),
) -> Result<(), Broken> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let characters = std::iter::from_fn(|| text.borrow_mut().next());
    let mut parser = Parser::new_from_iter_with_options(characters, options);
    let mut building = Building {
        open: Vec::new(),
        about: About::default(),
        anchors: HashMap::new(),
        names: Vec::new(),
        before: anchors,
        repeated: 0,
        size: 0,
        each,
    };
    while let Some(event) = parser.next_event() {
        let (event, line) = match event {
            Ok((event, span)) => (event, begin + span.start.line() as u64 - 1),
            Err(e) => {
                return Err(Broken::Syntax(
                    begin + (e.marker().line() as u64).max(1) - 1,
                ));
            }
        };
        building.take(event, line, begin)?;
    }
    for (id, name) in std::mem::take(&mut building.names) {
        let kept = &mut building.before.0;
        if let Some((value, size)) = building.anchors.remove(&id)
            && size <= Anchors::LARGEST
            && kept.len() < Anchors::MOST
        {
            kept.insert(name, value);
        }
    }
    Ok(())
}

impl Building<'_> {
    fn take(&mut self, event: Event<'_>, line: u64, begin: u64) -> Result<(), Broken> {
        let opened = |value, anchor| Open {
            value,
            key: None,
            anchor,
            line,
        };
        match event {
            Event::MappingStart(_, anchor, _) => {
                self.open.push(opened(Value::Object(Map::new()), anchor));
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(opened(Value::Array(Vec::new()), anchor));
            }
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let none = plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_ref());
                let value = match none {
                    true => Value::Null,
                    false => Value::String(text.into_owned()),
                };
                self.place(value, anchor, line)?;
            }
            Event::Alias(anchor) => {
                let (value, size) = match self.anchors.get(&anchor) {
                    Some((value, size)) => (value.clone(), *size),
                    // An alias of what it stands in.
                    None => return Err(Broken::Syntax(line)),
                };
                self.repeat(size, line)?;
                self.place(value, 0, line)?;
            }
            Event::Anchor(id, name) => self.names.push((id, name.into_owned())),
            Event::UnresolvedAlias(name) => {
                let value = self
                    .before
                    .0
                    .get(name.as_ref())
                    .cloned()
                    .unwrap_or_default();
                self.repeat(size(&value), line)?;
                self.place(value, 0, line)?;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let Some(closed) = self.open.pop() else {
                    return Err(Broken::Syntax(line));
                };
                self.place(closed.value, closed.anchor, closed.line)?;
            }
            _ => {}
        }
        if self.open.len() > DEEPEST {
            return Err(Broken::TooLarge(begin));
        }
        Ok(())
    }

    /// Counts what is copied.
    fn repeat(&mut self, values: usize, line: u64) -> Result<(), Broken> {
        self.repeated += values;
        match self.repeated > MOST_REPEATED {
            true => Err(Broken::TooLarge(line)),
            false => Ok(()),
        }
    }

    /// Puts a value where it belongs: out, if it is an element of an outermost list.
    fn place(&mut self, value: Value, anchor: usize, line: u64) -> Result<(), Broken> {
        if anchor != 0 {
            let size = size(&value);
            self.repeat(size, line)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        self.size += 1;
        if self.size > LARGEST {
            return Err(Broken::TooLarge(line));
        }
        if let Some(list) = self.list()
            && value.is_object()
        {
            (self.each)(Piece {
                raw: Raw::Yaml(&value),
                line,
                within: Some((list, &self.about)),
            });
            self.size = 0;
            return Ok(());
        }
        let outermost = self.open.len() == 1;
        match self.open.last_mut() {
            None => {
                if value.is_object() {
                    (self.each)(Piece {
                        raw: Raw::Yaml(&value),
                        line,
                        within: None,
                    });
                }
            }
            Some(Open {
                value: Value::Array(list),
                ..
            }) => list.push(value),
            Some(Open {
                value: Value::Object(map),
                key,
                ..
            }) => match key.take() {
                None => {
                    *key = Some(match value {
                        Value::String(text) => text,
                        Value::Null => String::new(),
                        value => value.to_string(),
                    });
                }
                Some(merged) if merged == "<<" => merge(map, value),
                Some(name) => {
                    if outermost && let Value::String(text) = &value {
                        match name.as_str() {
                            "kind" => self.about.kind = Some(text.clone()),
                            "apiVersion" => self.about.api_version = Some(text.clone()),
                            _ => {}
                        }
                    }
                    map.insert(name, value);
                }
            },
            Some(_) => return Err(Broken::Syntax(line)),
        }
        Ok(())
    }

    /// The outermost list in which the next value is an element.
    fn list(&self) -> Option<List> {
        match self.open.as_slice() {
            [list] if list.value.is_array() => Some(List::Bare),
            [object, list] if list.value.is_array() => List::named(object.key.as_deref()?),
            _ => None,
        }
    }
}

/// Merge keys: what the mapping has itself counts.
fn merge(map: &mut Map<String, Value>, value: Value) {
    let maps = match value {
        Value::Array(maps) => maps,
        map => vec![map],
    };
    for merged in maps {
        if let Value::Object(merged) = merged {
            for (key, value) in merged {
                map.entry(key).or_insert(value);
            }
        }
    }
}

/// How many values there are in a value, itself counted. No deeper than what is built here.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came, as JSON: elements with `~` before them. Then how it ended, and the line that comes next.
    fn seen(text: &str) -> (Vec<(String, u64)>, String, Option<String>) {
        let mut input = Input::new(text.as_bytes());
        let mut seen = Vec::new();
        let mut anchors = Anchors::default();
        let foreign = |line: &str| line.starts_with("-A ");
        let end = document(&mut input, &mut anchors, &foreign, &mut |piece| {
            let Raw::Yaml(value) = piece.raw else {
                panic!("{piece:?}")
            };
            let mark = if piece.within.is_some() { "~" } else { "" };
            seen.push((format!("{mark}{value}"), piece.line));
        });
        let next = input.line().unwrap().map(|line| line.text);
        (seen, format!("{end:?}"), next)
    }

    fn piece(text: &str, line: u64) -> (String, u64) {
        (text.to_owned(), line)
    }

    #[test]
    fn scalars_are_text_and_nothing_is_null() {
        let text = "a: 0123\nb: yes\nc: ~\nd: \"~\"\ne:\nf: 0x51 # hex\n";
        let (pieces, end, _) = seen(text);
        let expected = r#"{"a":"0123","b":"yes","c":null,"d":"~","e":null,"f":"0x51"}"#;
        assert_eq!((pieces, end.as_str()), (vec![piece(expected, 1)], "Ok(())"));
    }

    #[test]
    fn elements_of_items_come_one_by_one() {
        let text = "---\nkind: List\nitems:\n- a: {b: [1]}\n- c: |\n    kind: Service\n\n- d\n";
        let (pieces, ..) = seen(text);
        let expected = [
            piece(r#"~{"a":{"b":["1"]}}"#, 4),
            piece(r#"~{"c":"kind: Service\n"}"#, 5),
            piece(r#"{"kind":"List","items":["d"]}"#, 2),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_document_ends_where_the_next_begins_or_something_else_does() {
        for (end, next) in [
            ("---\nb: 2\n", Some("---")),
            ("...\nb: 2\n", Some("b: 2")),
            ("-A KUBE\n", Some("-A KUBE")),
            ("", None),
        ] {
            let (pieces, _, after) = seen(&format!("a: 1\n{end}"));
            assert_eq!(pieces, [piece(r#"{"a":"1"}"#, 1)]);
            assert_eq!(after.as_deref(), next);
        }
    }

    #[test]
    fn a_document_that_is_broken_costs_no_other() {
        let (pieces, end, next) = seen("items:\n- a: 1\n- b: [\n  c: }\n  x\n---\nd: 1\n");
        assert_eq!(pieces, [piece(r#"~{"a":"1"}"#, 2)]);
        assert!(end.starts_with("Err(Syntax("), "{end}");
        assert_eq!(next.as_deref(), Some("---"));
    }

    #[test]
    fn aliases_and_merge_keys_are_what_they_stand_for() {
        let text = "a: &x {b: 1, c: 2}\nd: *x\ne:\n  <<: *x\n  c: 3\n";
        let (pieces, ..) = seen(text);
        let expected = r#"{"a":{"b":"1","c":"2"},"d":{"b":"1","c":"2"},"e":{"b":"1","c":"3"}}"#;
        assert_eq!(pieces, [piece(expected, 1)]);
    }

    #[test]
    fn an_alias_of_a_document_before_is_what_it_was_there() {
        let mut input = Input::new(&b"a: &x {b: 1}\n---\na: *x\nc: *y\n"[..]);
        let (mut anchors, mut seen) = (Anchors::default(), Vec::new());
        for _ in 0..2 {
            let mut each = |piece: Piece<'_>| {
                let Raw::Yaml(value) = piece.raw else {
                    panic!("{piece:?}")
                };
                seen.push(value.to_string());
            };
            document(&mut input, &mut anchors, &|_| false, &mut each).unwrap();
        }
        assert_eq!(seen, [r#"{"a":{"b":"1"}}"#, r#"{"a":{"b":"1"},"c":null}"#]);
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for i in 1..30 {
            let many = vec![format!("*a{}", i - 1); 9].join(", ");
            text += &format!("a{i}: &a{i} [{many}]\n");
        }
        let (pieces, end, _) = seen(&text);
        assert!(
            pieces.is_empty() && end.starts_with("Err(TooLarge("),
            "{end}"
        );
        let (_, end, _) = seen("a: &a [*a]\n");
        assert!(end.starts_with("Err(Syntax("), "{end}");
    }

    #[test]
    fn nesting_is_bounded() {
        for text in [
            "[".repeat(10_000),
            "- ".repeat(10_000),
            "{a: ".repeat(10_000),
        ] {
            let (pieces, end, _) = seen(&text);
            assert!(pieces.is_empty() && end.starts_with("Err("), "{end}");
        }
    }
}
