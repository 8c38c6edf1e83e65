//! JSON taken apart as it is read: the elements of a long list one by one, each as the text of an object, so that a file of
//! any size takes the memory of its largest object, and one object that is not what it should be costs no other.

use std::io::BufRead;

use crate::input::Input;
use crate::piece::{About, Broken, List, Piece, Raw};

/// The largest object, bytes without blanks.
const LARGEST: usize = 64 << 20;
/// The longest key of an outermost object.
const LONGEST_KEY: usize = 4 << 10;
/// How deep values may be nested; serde_json reads no deeper ones.
const DEEPEST: usize = 120;

/// Reads one outermost value, which must be an object or a list of objects, and hands over its pieces.
pub(crate) fn split<R: BufRead>(
    input: &mut Input<R>,
    each: &mut dyn FnMut(Piece<'_>),
) -> Result<(), Broken> {
    let begin = input.line_number();
    match significant(input, begin)? {
        b'{' => outermost(input, begin, each),
        b'[' => elements(input, List::Bare, &About::default(), begin, each),
        _ => Err(Broken::Syntax(input.line_number())),
    }
}

/// Takes the next byte that is no blank.
fn significant<R: BufRead>(input: &mut Input<R>, begin: u64) -> Result<u8, Broken> {
    let byte = ahead(input, begin)?;
    input.advance(1)?;
    Ok(byte)
}

/// The next byte that is no blank, which stays.
fn ahead<R: BufRead>(input: &mut Input<R>, begin: u64) -> Result<u8, Broken> {
    loop {
        match input.peek()? {
            Some(b' ' | b'\t' | b'\r' | b'\n') => input.advance(1)?,
            Some(byte) => return Ok(byte),
            None => return Err(Broken::Cut(begin)),
        }
    }
}

/// The rest of an object whose brace was taken.
fn outermost<R: BufRead>(
    input: &mut Input<R>,
    begin: u64,
    each: &mut dyn FnMut(Piece<'_>),
) -> Result<(), Broken> {
    let (mut object, mut about) = (vec![b'{'], About::default());
    loop {
        match ahead(input, begin)? {
            b'}' => {
                input.advance(1)?;
                break;
            }
            b',' => input.advance(1)?,
            b'"' => {
                if object.len() > 1 {
                    object.push(b',');
                }
                let key_at = object.len();
                value(input, &mut object, begin)?;
                let key: String = match object.len() - key_at {
                    0..LONGEST_KEY => serde_json::from_slice(&object[key_at..])
                        .map_err(|_| Broken::Syntax(input.line_number()))?,
                    _ => return Err(Broken::TooLarge(begin)),
                };
                if significant(input, begin)? != b':' {
                    return Err(Broken::Syntax(input.line_number()));
                }
                object.push(b':');
                let first = ahead(input, begin)?;
                match List::named(&key) {
                    Some(list) if first == b'[' => {
                        input.advance(1)?;
                        elements(input, list, &about, begin, each)?;
                        object.extend_from_slice(b"[]");
                    }
                    _ => {
                        let at = object.len();
                        value(input, &mut object, begin)?;
                        let text = || serde_json::from_slice(&object[at..]).ok();
                        match key.as_str() {
                            "kind" => about.kind = text(),
                            "apiVersion" => about.api_version = text(),
                            _ => {}
                        }
                    }
                }
            }
            _ => return Err(Broken::Syntax(input.line_number())),
        }
    }
    object.push(b'}');
    each(Piece {
        raw: Raw::Json(&object),
        line: begin,
        within: None,
    });
    Ok(())
}

/// The rest of a list whose bracket was taken.
fn elements<R: BufRead>(
    input: &mut Input<R>,
    list: List,
    about: &About,
    begin: u64,
    each: &mut dyn FnMut(Piece<'_>),
) -> Result<(), Broken> {
    let mut element = Vec::new();
    loop {
        let first = ahead(input, begin)?;
        let line = input.line_number();
        match first {
            b']' => {
                input.advance(1)?;
                return Ok(());
            }
            b',' => input.advance(1)?,
            b'{' => {
                element.clear();
                value(input, &mut element, line)?;
                each(Piece {
                    raw: Raw::Json(&element),
                    line,
                    within: Some((list, about)),
                });
            }
            // A list of anything else is nobody's.
            _ if list == List::Bare => return Err(Broken::Syntax(line)),
            _ => {
                element.clear();
                value(input, &mut element, line)?;
            }
        }
    }
}

/// Takes one value as text without blanks. Only strings and brackets are looked at: whether it is JSON is seen by whoever
/// reads it.
fn value<R: BufRead>(input: &mut Input<R>, text: &mut Vec<u8>, begin: u64) -> Result<(), Broken> {
    let first = ahead(input, begin)?;
    if !matches!(
        first,
        b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
    ) {
        return Err(Broken::Syntax(input.line_number()));
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    loop {
        let bytes = input.fill()?;
        if bytes.is_empty() {
            return Err(Broken::Cut(begin));
        }
        let (mut passed, mut done) = (0, false);
        for &byte in bytes {
            if quoted {
                passed += 1;
                text.push(byte);
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        quoted = false;
                        done = depth == 0;
                    }
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => quoted = true,
                    b'{' | b'[' => depth += 1,
                    // The end of what this value is in, behind a number or a word.
                    b'}' | b']' | b',' | b':' if depth == 0 => done = true,
                    b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => done = true,
                    b' ' | b'\t' | b'\r' | b'\n' => {
                        passed += 1;
                        continue;
                    }
                    b'}' | b']' => {
                        depth -= 1;
                        done = depth == 0;
                        if done {
                            passed += 1;
                            text.push(byte);
                        }
                    }
                    _ => {}
                }
                if !done {
                    passed += 1;
                    text.push(byte);
                }
            }
            if done || depth > DEEPEST {
                break;
            }
        }
        input.advance(passed)?;
        if depth > DEEPEST || text.len() > LARGEST {
            return Err(Broken::TooLarge(begin));
        }
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// What came: elements with `~` before them, outermost objects; and how it ended. Whatever the reader gives at once.
    fn seen(text: &str) -> (Vec<(String, u64)>, String) {
        let read = |capacity| {
            let mut input = Input::new(BufReader::with_capacity(capacity, text.as_bytes()));
            let mut seen = Vec::new();
            let end = split(&mut input, &mut |piece| {
                let Raw::Json(text) = piece.raw else {
                    panic!("{piece:?}")
                };
                let mark = if piece.within.is_some() { "~" } else { "" };
                seen.push((
                    format!("{mark}{}", str::from_utf8(text).unwrap()),
                    piece.line,
                ));
            });
            (seen, format!("{end:?}"))
        };
        let (whole, single) = (read(4096), read(1));
        assert_eq!(whole, single);
        whole
    }

    fn pieces(text: &str) -> Vec<(String, u64)> {
        let (pieces, end) = seen(text);
        assert_eq!(end, "Ok(())", "{text}");
        pieces
    }

    fn piece(text: &str, line: u64) -> (String, u64) {
        (text.to_owned(), line)
    }

    #[test]
    fn elements_come_one_by_one_with_the_lines_in_which_they_begin() {
        let text = "{\n \"items\": [\n  {\"a\": \"x y\"},\n  {\n \"b\": [1, {}]}],\n \"kind\": \"List\"\n}";
        let expected = [
            piece(r#"~{"a":"x y"}"#, 3),
            piece(r#"~{"b":[1,{}]}"#, 4),
            piece(r#"{"items":[],"kind":"List"}"#, 1),
        ];
        assert_eq!(pieces(text), expected);
    }

    #[test]
    fn brackets_and_quotes_in_strings_are_text() {
        let text = r#"{"a": "}]\"{", "items": "[", "b": {"items": [{}]}, "c": "\\"}"#;
        assert_eq!(
            pieces(text),
            [piece(
                r#"{"a":"}]\"{","items":"[","b":{"items":[{}]},"c":"\\"}"#,
                1
            )]
        );
    }

    #[test]
    fn numbers_and_words_end_where_they_end() {
        let text = "{\"a\": -1.5e3, \"b\":true\n,\"c\":null}";
        assert_eq!(
            pieces(text),
            [piece(r#"{"a":-1.5e3,"b":true,"c":null}"#, 1)]
        );
        assert_eq!(pieces("{}"), [piece("{}", 1)]);
        assert_eq!(pieces("{\"items\":[1, null, {}, []]}").len(), 2);
    }

    #[test]
    fn a_bare_list_holds_objects_alone() {
        assert_eq!(
            pieces("[{\"a\":1},\n{}]"),
            [piece("~{\"a\":1}", 1), piece("~{}", 2)]
        );
        assert_eq!(seen("[INFO] text").1, "Err(Syntax(1))");
        assert_eq!(seen("[1]").1, "Err(Syntax(1))");
    }

    #[test]
    fn what_comes_before_a_cut_is_kept_and_the_cut_is_placed() {
        let (pieces, end) = seen("{\"items\":[\n{\"a\":1},\n{\"b\":");
        assert_eq!(pieces, [piece("~{\"a\":1}", 2)]);
        assert_eq!(end, "Err(Cut(3))");
        assert_eq!(seen("{\"items\":[\n").1, "Err(Cut(1))");
        assert_eq!(seen("{\"a\"").1, "Err(Cut(1))");
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for text in ["{a}", "{\"a\" 1}", "{\n]", "{\"a\":}", "{\"a\":x}"] {
            let (pieces, end) = seen(text);
            assert!(
                pieces.is_empty() && end.starts_with("Err(Syntax("),
                "{text}: {end}"
            );
        }
    }

    #[test]
    fn values_that_are_nested_too_deep_are_left() {
        let text = format!("{{\"a\":{}", "[".repeat(DEEPEST + 1));
        assert_eq!(seen(&text).1, "Err(TooLarge(1))");
    }
}
