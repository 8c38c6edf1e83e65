//! What a reader has to say beside the services: what it did not understand, what it left out, why it refuses.

use std::io;

/// How many notes are kept; the others are counted.
const LISTED: usize = 20;
/// How much of a line a note shows, characters.
const SHOWN: usize = 60;
/// What to give instead, where a file is of no use.
const REMEDY: &str = "give what one of these prints: `kubectl get services,endpointslices -A -o json`, `iptables-save`, \
    `nft list ruleset`, `ipvsadm -Sn`, `ipset save`";

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// A part of a file that no reader knows, or that is cut.
    NotUnderstood,
    /// Understood, and no part of the population.
    LeftOut,
}

/// Something that was not understood, or left out and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What became of it.
    pub kind: NoteKind,
    /// Which of the files, counted from 0.
    pub file: usize,
    /// Line in it, from 1, where it is of one.
    pub line: Option<u64>,
    /// What and why.
    pub what: String,
}

/// The first notes, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The first 20 of each kind.
    pub listed: Vec<Note>,
    /// How many are of [`NoteKind::NotUnderstood`].
    pub not_understood: u64,
    /// How many are of [`NoteKind::LeftOut`].
    pub left_out: u64,
}

impl Notes {
    fn push(&mut self, note: Note) {
        let count = match note.kind {
            NoteKind::NotUnderstood => &mut self.not_understood,
            NoteKind::LeftOut => &mut self.left_out,
        };
        *count += 1;
        if *count <= LISTED as u64 {
            self.listed.push(note);
        }
    }

    pub(crate) fn not_understood(&mut self, file: usize, line: Option<u64>, what: String) {
        self.push(Note {
            kind: NoteKind::NotUnderstood,
            file,
            line,
            what,
        });
    }

    pub(crate) fn left_out(&mut self, file: usize, line: Option<u64>, what: String) {
        self.push(Note {
            kind: NoteKind::LeftOut,
            file,
            line,
            what,
        });
    }
}

/// The beginning of a line, in quotes.
pub(crate) fn quoted(line: &str) -> String {
    let printable = |c: char| match c.is_control() {
        true => ' ',
        false => c,
    };
    let shown: String = line.trim().chars().take(SHOWN).map(printable).collect();
    let more = if shown.len() < line.trim().len() {
        "…"
    } else {
        ""
    };
    format!("'{shown}{more}'")
}

/// Why files are no population.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The system does not give the file.
    #[error("read {file}: {source}")]
    Read {
        /// Its label.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// It has no bytes, or nothing but blanks.
    #[error("{file} is empty; {REMEDY}")]
    Empty {
        /// Its label.
        file: String,
    },
    /// It is larger than any dump.
    #[error(
        "{file} is larger than {mib} MiB, the most that is read; give services and endpointslices alone: \
        `kubectl get services,endpointslices -A -o json`"
    )]
    TooLarge {
        /// Its label.
        file: String,
        /// The most that is read, MiB.
        mib: u64,
    },
    /// It is of a kind that is known, and of no use.
    #[error("{file} is {what}; {remedy}")]
    OtherKind {
        /// Its label.
        file: String,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// It is of no kind that is known.
    #[error("{file} is no dump of services{}; {REMEDY}", first.as_ref().map_or_else(String::new, |first| format!(" ({first})")))]
    Unknown {
        /// Its label.
        file: String,
        /// What came first of what was not understood.
        first: Option<String>,
    },
    /// It ends in the middle, and nothing before is a service.
    #[error("{file}, line {line}: cut, and no service before it is whole; dump it again")]
    Cut {
        /// Its label.
        file: String,
        /// The line in which it is cut.
        line: u64,
    },
    /// `ipvsadm` without `-n`: names are cut at 30 characters, ports are lost.
    #[error(
        "{file}, line {line}: {text} is a name, which ipvsadm cuts; give what `ipvsadm -Sn` prints"
    )]
    Names {
        /// Its label.
        file: String,
        /// The first line that has a name.
        line: u64,
        /// The name.
        text: String,
    },
    /// Two files cannot be of one cluster at one time.
    #[error(
        "{first} and {second} contradict each other: {what}; give parts of one cluster, of one node, dumped at one time"
    )]
    Contradiction {
        /// Label of the first.
        first: String,
        /// Label of the other.
        second: String,
        /// In what.
        what: String,
    },
    /// Everything was understood, and no service is in it.
    #[error("no service is in {files}{}; {REMEDY}", first.as_ref().map_or_else(String::new, |first| format!(" ({first})")))]
    NoServices {
        /// Labels of all files.
        files: String,
        /// What came first of what was left out.
        first: Option<String>,
    },
    /// No file was given.
    #[error("no file; {REMEDY}")]
    NoFiles,
    /// A shape of a later version of this program.
    #[error(
        "{file} is a shape of version {version}, and this program reads version {known}; take a newer program"
    )]
    NewerShape {
        /// Its label.
        file: String,
        /// Its version.
        version: u64,
        /// The version that is read.
        known: u64,
    },
    /// A shape that says how much it holds and holds something else.
    #[error("{file} is a shape of {said} services and holds {found}; write it again")]
    ShapeCut {
        /// Its label.
        file: String,
        /// What its head says.
        said: u64,
        /// What is there.
        found: u64,
    },
    /// A population beyond anything that can be measured.
    #[error(
        "{file} is a shape of more than {services} services or {endpoints} endpoints, the most that are read"
    )]
    ShapeTooLarge {
        /// Its label.
        file: String,
        /// The most services.
        services: u64,
        /// The most endpoints of all services together.
        endpoints: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_listed_up_to_a_bound_and_counted_beyond() {
        let mut notes = Notes::default();
        for line in 0..1000 {
            notes.not_understood(0, Some(line), String::new());
            notes.left_out(0, Some(line), String::new());
        }
        assert_eq!(notes.listed.len(), 2 * LISTED);
        assert_eq!((notes.not_understood, notes.left_out), (1000, 1000));
    }

    #[test]
    fn a_line_is_shown_in_part_and_without_control_characters() {
        assert_eq!(quoted("  a\tb "), "'a b'");
        let long = quoted(&"é".repeat(100));
        assert_eq!(long.chars().count(), SHOWN + 3);
        assert!(long.ends_with("…'"));
    }
}
