//! The few system calls of the harness, each behind a safe function: the clock, namespaces, pinned
//! threads, processes with their accounting.

pub mod child;
pub mod clock;
pub mod isolation;
pub mod netns;
pub mod process;
pub mod stdio;
pub mod thread;
pub mod tools;
pub mod x_tables;
