//! Reads files that are broken at random for so many seconds a reader, and prints how many it were. A panic, or a file that
//! takes more than ten seconds, ends it with the seed of the file.
//!
//! `fuzz SECONDS [READER [SEED]]`: of one reader alone; with SEED only that file, again. `fuzz --list`: the readers. LEAST=N in the
//! environment: until it is so many, too.
#![allow(clippy::unwrap_used, reason = "an example that panics has failed")]

#[path = "../tests/mutate/mod.rs"]
mod mutate;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

static SEED: AtomicU64 = AtomicU64::new(0);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--list") {
        for (reader, _) in mutate::READERS {
            println!("{reader}");
        }
        return;
    }
    let seconds = arguments
        .first()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10);
    let least = std::env::var("LEAST")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let only = arguments.get(1);
    let again: Option<u64> = arguments.get(2).and_then(|text| text.parse().ok());
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("seed {}", SEED.load(Relaxed));
        say(panic);
    }));
    for (reader, files) in mutate::READERS {
        if only.is_some_and(|only| only != reader) {
            continue;
        }
        if let Some(seed) = again {
            let file = mutate::file(seed, files);
            std::fs::write("/dev/stdout", &file).unwrap();
            println!("\n{reader}: {}", mutate::holds(&file));
            continue;
        }
        let (read, many, seconds) = run(reader, files, seconds, least);
        println!("{reader}: {many} files read in {seconds} s, {read} of them populations");
    }
}

/// Until so many seconds have passed and so many files are read: of how many the population was read, how many, and the seconds.
fn run(reader: &str, files: &[&[u8]], seconds: u64, least: u64) -> (u64, u64, u64) {
    let (passed, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut before = u64::MAX;
            while !over.load(Relaxed) {
                std::thread::sleep(Duration::from_secs(1));
                if passed.fetch_add(1, Relaxed) % 10 == 9 {
                    let now = SEED.load(Relaxed);
                    assert!(
                        now != before,
                        "{reader}: seed {now} takes more than ten seconds"
                    );
                    before = now;
                }
            }
        });
        // Others than those of the test.
        let first = 1 << 32;
        let (mut read, mut seed) = (0, first);
        while passed.load(Relaxed) < seconds || seed - first < least {
            SEED.store(seed, Relaxed);
            read += u64::from(mutate::holds(&mutate::file(seed, files)));
            seed += 1;
        }
        over.store(true, Relaxed);
        (read, seed - first, passed.load(Relaxed))
    })
}
