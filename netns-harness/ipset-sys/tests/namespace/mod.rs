//! A network namespace for a test, and short ways to write commands.

#![allow(dead_code)] // each test uses a part

use ipset_sys::{Command, Create, Entry, SetType};
use nix::sched::{CloneFlags, unshare};

/// Runs `test` in a fresh network namespace. Without the right to make one, says so and skips, unless
/// `BENCH_REQUIRE` names `netns`.
pub(crate) fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let act = move || match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => Some(test()),
            Err(errno) => {
                assert!(
                    !std::env::var("BENCH_REQUIRE").is_ok_and(|r| r.contains("netns")),
                    "no network namespace: {errno}"
                );
                eprintln!("SKIP netns: no network namespace: {errno}");
                None
            }
        };
        scope
            .spawn(act)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(crate) fn create(name: &str, set_type: SetType, max_elements: u32) -> Command {
    Command::Create(Create {
        name: name.to_owned(),
        set_type,
        max_elements,
        skbinfo: true,
    })
}

pub(crate) fn tcp(address: [u8; 4], port: u16) -> Entry {
    Entry {
        address: address.into(),
        protocol: 6,
        port,
        second: None,
        mark: None,
    }
}

pub(crate) fn add(name: &str, entry: Entry) -> Command {
    Command::Add(name.to_owned(), entry)
}
