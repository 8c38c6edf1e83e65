//! The few system calls of the harness, each behind a safe function: the clock, namespaces, pinned
//! threads, processes with their accounting.
//!
//! ```
//! use netns_sys::clock;
//!
//! let (start, used) = (clock::now(), clock::thread_cpu_ns());
//! let sum: u64 = (1..=1_000).sum();
//! let elapsed_ns = start.elapsed_ns();
//! println!("{sum} in {elapsed_ns} ns, {} ns of them on a processor", clock::thread_cpu_ns() - used);
//! // Never negative, whichever reading came first.
//! assert_eq!(clock::now().ns_until(start), 0);
//! ```

pub mod bpf;
pub mod child;
pub mod clock;
pub mod daemon;
pub mod distribution;
pub mod isolation;
pub mod netns;
pub mod packet;
pub mod ports;
pub mod process;
pub mod random;
pub mod stdio;
pub mod thread;
pub mod tools;
pub mod x_tables;
