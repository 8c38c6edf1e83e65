//! The pace of an environment: what corrects expected times once stays were made there.

/// What stays took, and were expected to take.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    took_ns: u64,
    expected_ns: u64,
}

impl Pace {
    /// One more stay.
    pub(crate) fn add(&mut self, took_ns: u64, expected_ns: u64) {
        self.took_ns += took_ns;
        self.expected_ns += expected_ns;
    }

    /// The one over the other; 1 before the first stay.
    pub(crate) fn factor(&self) -> f64 {
        match self.expected_ns {
            0 => 1.0,
            expected => self.took_ns as f64 / expected as f64,
        }
    }
}
