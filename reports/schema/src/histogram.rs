//! Many samples as an HdrHistogram: to three digits, in a form that its readers in other languages decode and merge.

use std::io::Cursor;

use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Digits that are kept: a value moves by less than a thousandth of it.
const DIGITS: u8 = 3;
/// Samples of a cell, at the most: they are all in memory when it is read.
const MOST: u64 = 100_000_000;

/// Samples that are not negative, each as a whole number, to three digits: HdrHistogram's compressed encoding, version 2, in Base64
/// (`HISTFAAAA…`), as its readers in Java, C, Go and Python take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Histogram {
    text: String,
}

impl Histogram {
    /// Of samples in any order; what is negative or not finite counts as 0.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut counts = Hdr::<u64>::new(DIGITS).expect("three digits are allowed");
        for value in values {
            counts
                .record(*value as u64)
                .expect("it grows with what it is given");
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&counts, &mut bytes)
            .expect("a vector takes what is written");
        Self {
            text: data_encoding::BASE64.encode(&bytes),
        }
    }

    /// Every sample, ascending: the middle of the values that it stands for.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        let counts = read(&self.text).expect("what was read or made here can be read");
        let mut values = Vec::with_capacity(counts.len() as usize);
        for step in counts.iter_recorded() {
            let value = counts.median_equivalent(step.value_iterated_to()) as f64;
            values.extend(std::iter::repeat_n(
                value,
                step.count_since_last_iteration() as usize,
            ));
        }
        values
    }
}

/// # Errors
/// It is no such histogram.
impl TryFrom<String> for Histogram {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match read(&text)?.len() {
            ..=MOST => Ok(Self { text }),
            all => Err(format!(
                "a histogram of {all} samples: no cell takes as many"
            )),
        }
    }
}

impl From<Histogram> for String {
    fn from(histogram: Histogram) -> Self {
        histogram.text
    }
}

fn read(text: &str) -> Result<Hdr<u64>, String> {
    let no = |why: String| format!("no HdrHistogram (compressed, version 2, Base64): {why}");
    let bytes = data_encoding::BASE64.decode(text.as_bytes());
    let bytes = bytes.map_err(|e| no(e.to_string()))?;
    Deserializer::new()
        .deserialize(&mut Cursor::new(bytes))
        .map_err(|e| no(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_is_as_many_samples_each_within_a_thousandth() {
        let mut values: Vec<f64> = (0..5_000).map(|n| f64::from(n * n) + 17.0).collect();
        let back = Histogram::of(&values).values();
        values.sort_by(f64::total_cmp);
        assert_eq!(back.len(), values.len());
        for (back, value) in back.iter().zip(&values) {
            assert!((back - value).abs() <= value / 1000.0, "{back} of {value}");
        }
        assert_eq!(Histogram::of(&[]).values(), Vec::<f64>::new());
    }

    #[test]
    fn it_is_text_that_says_what_it_is_and_other_text_is_none() {
        let text = String::from(Histogram::of(&[1.0, 2.0]));
        assert!(text.starts_with("HISTFAAAA"), "{text}");
        for other in ["", "HISTFAAAA", "not Base64!"] {
            let why = Histogram::try_from(other.to_owned()).unwrap_err();
            assert!(why.starts_with("no HdrHistogram"), "{why}");
        }
    }
}
