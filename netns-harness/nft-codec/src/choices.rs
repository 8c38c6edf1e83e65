//! The anonymous maps behind random choices, asked by number.
//!
//! There is one such map a service, and the kernel finds a set by walking the table's list of sets: a
//! dump walks it three times, so that 10,000 dumps take seconds (`nft list` pays that). The numbers
//! that can be drawn are known from the rule, so each map is asked for just those, many maps in one
//! system call, one walk each.

use netlink::{Answer, Attributes, Error, add_flags, attribute, flags, nest, text};

use crate::connection::{Connection, HEADER};
use crate::decode::Choice;
use crate::dump::{self, Failure, GET_SET_ELEMENTS, Of};

/// Elements asked in one system call: their answers, about 800 bytes each with their overhead, fit
/// into the receive buffer of a process without privileges (212,992 bytes) and far more into ours.
const WINDOW: usize = 200;
/// More numbers than one message has room for: such a map is dumped.
const MOST_NUMBERS: u32 = 4_000;
const LISTING: &str = "elements of anonymous maps";

/// Number and what the map has for it, ascending; `None` when an element is not that.
pub(crate) type Entries<T> = Option<Vec<(u32, T)>>;
/// Reads an element as that.
pub(crate) type Decode<T> = fn(Attributes<'_>) -> Option<(u32, T)>;

impl Connection {
    /// The entries of each map whose number can be drawn, in the order of `choices`.
    pub(crate) fn choices<T>(
        &mut self,
        table: Of<'_>,
        choices: &[&Choice],
        decode: Decode<T>,
    ) -> Result<Vec<Entries<T>>, Failure> {
        let mut found: Vec<Entries<T>> = choices
            .iter()
            .map(|choice| Some(Vec::with_capacity(choice.modulus.min(64) as usize)))
            .collect();
        let few = |&index: &usize| choices[index].modulus <= MOST_NUMBERS;
        let (asked, mut dumped): (Vec<usize>, Vec<usize>) = (0..choices.len()).partition(few);
        let mut asked = &asked[..];
        while !asked.is_empty() {
            let mut elements = 0;
            let fits = asked.iter().take_while(|&&index| {
                elements += choices[index].modulus as usize;
                elements <= WINDOW
            });
            let (window, later) = asked.split_at(fits.count().max(1));
            self.ask((table, choices, decode), window, &mut found, &mut dumped)?;
            asked = later;
        }
        for index in dumped {
            found[index] = self.dump_choice(table, choices[index], decode)?;
        }
        for entries in found.iter_mut().flatten() {
            entries.sort_by_key(|(number, _)| *number);
        }
        Ok(found)
    }

    /// Asks for the numbers of `window` at once. A map that lacks one answers with ENOENT and is added
    /// to `dumped`.
    fn ask<T>(
        &mut self,
        (table, choices, decode): (Of<'_>, &[&Choice], Decode<T>),
        window: &[usize],
        found: &mut [Entries<T>],
        dumped: &mut Vec<usize>,
    ) -> Result<(), Failure> {
        let mut requests = Vec::with_capacity(window.len() * 160);
        let (mut first, mut last, mut last_start) = (None, 0, 0);
        for &index in window {
            last = self.socket.next_sequence();
            first.get_or_insert(last);
            last_start = requests.len();
            element_request(&mut requests, last, table, choices[index]);
        }
        add_flags(&mut requests[last_start..], flags::ACK);
        self.socket.transmit(&requests, LISTING)?;
        let index = |sequence: u32| window.get(sequence.checked_sub(first?)? as usize);
        let torn = |_| Error::Torn { listing: LISTING };
        self.socket.answers(LISTING, |message| {
            let Some(&index) = index(message.sequence) else {
                return Ok(None);
            };
            let mut ended = false;
            match message.answer(HEADER).map_err(torn)? {
                Answer::Object(_, attributes) => {
                    for element in attributes.nested(3).into_iter().flatten().flatten() {
                        match (&mut found[index], decode(element.nested())) {
                            (Some(entries), Some(entry)) => entries.push(entry),
                            (unknown, _) => *unknown = None,
                        }
                    }
                }
                Answer::Done(_) => {}
                Answer::Verdict(0) => ended = true,
                Answer::Verdict(_) => {
                    dumped.push(index);
                    ended = true;
                }
            }
            // Requests are answered in order, so the last one's end is the end.
            Ok((ended && message.sequence == last).then_some(()))
        })
    }

    /// All entries of a map; numbers that are never drawn are left out.
    fn dump_choice<T>(
        &mut self,
        table: Of<'_>,
        choice: &Choice,
        decode: Decode<T>,
    ) -> Result<Entries<T>, Failure> {
        let mut entries = Some(Vec::new());
        self.elements(table, &choice.set, |element| {
            match (&mut entries, decode(element)) {
                (Some(_), Some((number, _))) if number >= choice.modulus => {}
                (Some(entries), Some(entry)) => entries.push(entry),
                (unknown, _) => *unknown = None,
            }
        })?;
        Ok(entries)
    }
}

/// Appends a request for the elements of a map that can be drawn, by their keys.
fn element_request(out: &mut Vec<u8>, sequence: u32, (family, table): Of<'_>, choice: &Choice) {
    dump::write_request(out, GET_SET_ELEMENTS, family.number(), 0, sequence, |out| {
        text(out, 1, table);
        text(out, 2, &choice.set);
        nest(out, 3, |out| {
            for number in 0..choice.modulus {
                // Element, key, value.
                nest(out, 1, |out| {
                    nest(out, 1, |out| attribute(out, 1, &number.to_ne_bytes()));
                });
            }
        });
    });
}
