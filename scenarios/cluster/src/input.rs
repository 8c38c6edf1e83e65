//! A file as bytes and as lines, read once from front to back, whatever its size. Nothing is kept of what was read.

use std::io::{self, BufRead};

/// The largest file that is read, bytes.
pub(crate) const LIMIT: u64 = 512 << 20;
/// The longest line that is kept, bytes; of a longer one the rest is left out.
const LONGEST_LINE: usize = 16 << 20;

/// Why reading ends before the file does.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The system's word.
    Io(io::Error),
    /// More than [`LIMIT`].
    TooLarge,
}

/// A line without its end.
#[derive(Debug)]
pub(crate) struct Line {
    /// What is in it; bytes that are no UTF-8 are replaced.
    pub(crate) text: String,
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Whether it ends with a line feed.
    pub(crate) ended: bool,
    /// Whether all of it is in `text`.
    pub(crate) whole: bool,
}

/// A file that is being read.
pub(crate) struct Input<R> {
    reader: R,
    /// The most that is taken from it, bytes.
    limit: u64,
    /// What was given back, and how much of it was read again.
    front: Vec<u8>,
    at: usize,
    /// Bytes taken from the reader.
    taken: u64,
    /// Lines that ended before this place.
    lines: u64,
    /// Whether the line that was read last ended.
    ended: bool,
}

impl<R: BufRead> Input<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self {
            reader,
            limit: LIMIT,
            front: Vec::new(),
            at: 0,
            taken: 0,
            lines: 0,
            ended: true,
        }
    }

    /// Number of the line at this place, from 1.
    pub(crate) const fn line_number(&self) -> u64 {
        self.lines + 1
    }

    /// Whether the line that was read last ends with a line feed: the last one of a file that is cut does not.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// What comes next: empty at the end of the file only.
    pub(crate) fn fill(&mut self) -> Result<&[u8], Fault> {
        if self.at < self.front.len() {
            return Ok(&self.front[self.at..]);
        }
        if self.taken > self.limit {
            return Err(Fault::TooLarge);
        }
        // Twice, since what the first call borrows cannot be given back from the loop.
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Fault::Io(e)),
            }
        }
        self.reader.fill_buf().map_err(Fault::Io)
    }

    /// Goes on by so many bytes of what [`Input::fill`] gave.
    pub(crate) fn advance(&mut self, bytes: usize) -> Result<(), Fault> {
        let passed = &self.fill()?[..bytes];
        let ended = passed.iter().filter(|byte| **byte == b'\n').count();
        self.lines += ended as u64;
        if self.at < self.front.len() {
            self.at += bytes;
            if self.at == self.front.len() {
                self.front.clear();
                self.at = 0;
            }
        } else {
            self.reader.consume(bytes);
            self.taken += bytes as u64;
        }
        Ok(())
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Fault> {
        Ok(self.fill()?.first().copied())
    }

    /// The next line; `None` at the end.
    pub(crate) fn line(&mut self) -> Result<Option<Line>, Fault> {
        let number = self.line_number();
        let mut bytes = Vec::new();
        let (mut ended, mut whole, mut some) = (false, true, false);
        while !ended {
            let next = self.fill()?;
            if next.is_empty() {
                break;
            }
            some = true;
            let end = next.iter().position(|byte| *byte == b'\n');
            ended = end.is_some();
            let (text, passed) = match end {
                Some(end) => (&next[..end], end + 1),
                None => (next, next.len()),
            };
            let room = LONGEST_LINE - bytes.len();
            whole &= text.len() <= room;
            bytes.extend_from_slice(&text[..text.len().min(room)]);
            self.advance(passed)?;
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if some {
            self.ended = ended;
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        };
        Ok(some.then_some(Line {
            text,
            number,
            ended,
            whole,
        }))
    }

    /// Gives the line back that was read last: it comes again.
    pub(crate) fn unread(&mut self, line: Line) {
        let mut front = line.text.into_bytes();
        if line.ended {
            front.push(b'\n');
            self.lines -= 1;
        }
        front.extend_from_slice(&self.front[self.at..]);
        self.front = front;
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    #[test]
    fn lines_have_their_numbers_whatever_ends_them() {
        let mut input = Input::new(&b"a\r\n\nb\xff"[..]);
        let mut seen = Vec::new();
        while let Some(line) = input.line().unwrap() {
            seen.push((line.text, line.number, line.ended));
        }
        let is = |text: &str, number, ended| (text.to_owned(), number, ended);
        assert_eq!(
            seen,
            [is("a", 1, true), is("", 2, true), is("b\u{fffd}", 3, false)]
        );
    }

    #[test]
    fn a_line_that_was_given_back_comes_again_with_its_number() {
        let mut input = Input::new(BufReader::with_capacity(2, &b"first\nsecond"[..]));
        for _ in 0..3 {
            let line = input.line().unwrap().unwrap();
            assert_eq!((line.text.as_str(), line.number), ("first", 1));
            input.unread(line);
            assert_eq!(input.peek().unwrap(), Some(b'f'));
        }
        input.line().unwrap();
        let last = input.line().unwrap().unwrap();
        assert_eq!((last.number, last.ended), (2, false));
        input.unread(last);
        assert_eq!(input.line().unwrap().unwrap().text, "second");
        assert!(input.line().unwrap().is_none());
    }

    #[test]
    fn a_line_without_end_is_kept_in_part() {
        let long = io::repeat(b'x').take(LONGEST_LINE as u64 + 9);
        let mut input = Input::new(BufReader::new(long));
        let line = input.line().unwrap().unwrap();
        assert_eq!((line.text.len(), line.whole), (LONGEST_LINE, false));
    }

    #[test]
    fn a_file_beyond_the_limit_is_too_large() {
        let mut input = Input::new(BufReader::new(io::repeat(b'\0')));
        input.limit = 1 << 20;
        assert!(matches!(input.line(), Err(Fault::TooLarge)));
    }
}
