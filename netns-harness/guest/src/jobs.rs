//! Jobs that a guest whose instructions are counted has with it, as an item of its firmware configuration: whatever comes
//! later comes at a moment of the host's clock.

use serde::{Deserialize, Serialize};

use crate::firmware;

/// They are filled up to a multiple of this, so that the length of a specification moves nothing of what is counted.
const ROUND: usize = 16 << 10;

/// One job: the runner's binary with these arguments and this standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Arguments.
    pub arguments: Vec<String>,
    /// Standard input.
    pub input: String,
}

/// Jobs as they are handed over. Equal jobs give equal bytes.
pub(crate) fn encode(jobs: &[Job]) -> String {
    let mut text = serde_json::to_string(jobs).expect("jobs are plain data");
    let length = text.len().next_multiple_of(ROUND);
    text.extend(std::iter::repeat_n(' ', length - text.len()));
    text
}

/// The jobs that this guest has with it.
///
/// # Errors
/// They cannot be read.
pub(crate) fn own() -> Result<Vec<Job>, String> {
    let text = firmware::item(firmware::JOBS)?;
    serde_json::from_slice(&text).map_err(|error| format!("read its jobs: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(input: &str) -> Job {
        Job {
            arguments: vec!["cell".to_owned()],
            input: input.to_owned(),
        }
    }

    #[test]
    fn what_is_encoded_is_read_again_and_has_one_length_whatever_its_own() {
        let (short, long) = (vec![job("{}")], vec![job("{}"), job(&"x".repeat(9_000))]);
        for jobs in [&short, &long] {
            let read: Vec<Job> = serde_json::from_str(&encode(jobs)).unwrap();
            assert_eq!(&read, jobs);
        }
        assert_eq!(encode(&short).len(), encode(&long).len());
    }
}
