//! Emptying a CPU's caches of what a flow walks: between two flows of a node with work, other programs' data have
//! passed through them.
//!
//! A buffer of twice the largest cache is written, a word a cache line, by the thread that sends: veth delivers in the
//! sender's softirq, so the rules are walked on its CPU. What a cache shared with other CPUs keeps of the server's
//! is evicted as well.

use std::fs;

/// Where the kernel lists a CPU's caches (`Documentation/ABI/testing/sysfs-devices-system-cpu`).
const CACHES: &str = "/sys/devices/system/cpu";
/// A cache line, bytes.
const LINE: usize = 64;
/// Written at least, bytes; also where the kernel lists no cache.
const LEAST: usize = 32 << 20;
/// Written at most, bytes: a virtual machine may be told of a cache that it shares with a hundred others.
const MOST: usize = 256 << 20;

/// The buffer.
#[derive(Debug)]
pub struct Eviction {
    buffer: Vec<u8>,
    round: u8,
}

impl Eviction {
    /// For the caches of a CPU.
    #[must_use]
    pub fn of(cpu: usize) -> Self {
        let bytes = largest_cache(cpu).map_or(LEAST, |bytes| (2 * bytes).clamp(LEAST, MOST));
        Self {
            buffer: vec![0; bytes],
            round: 0,
        }
    }

    /// Bytes written each time.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes the buffer.
    pub fn evict(&mut self) {
        self.round = self.round.wrapping_add(1);
        for line in self.buffer.chunks_mut(LINE) {
            line[0] = self.round;
        }
        std::hint::black_box(&mut self.buffer);
    }
}

/// The largest cache of a CPU, bytes; none where the kernel lists none.
fn largest_cache(cpu: usize) -> Option<usize> {
    let caches = fs::read_dir(format!("{CACHES}/cpu{cpu}/cache")).ok()?;
    let sizes = caches.filter_map(Result::ok).filter_map(|cache| {
        let text = fs::read_to_string(cache.path().join("size")).ok()?;
        Some(text.trim().strip_suffix('K')?.parse::<usize>().ok()? << 10)
    });
    sizes.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_larger_than_any_cache_is_written_each_time() {
        let mut eviction = Eviction::of(0);
        assert!((LEAST..=MOST).contains(&eviction.bytes()));
        if let Some(bytes) = largest_cache(0) {
            assert!(eviction.bytes() > bytes || eviction.bytes() == MOST);
        }
        for round in 1..=2 {
            eviction.evict();
            assert!(eviction.buffer.iter().step_by(LINE).all(|b| *b == round));
        }
    }
}
