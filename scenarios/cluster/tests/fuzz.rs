//! Files that are cut, doubled, spliced and flipped at random: no reader panics or hangs, and what is read is a population.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod mutate;

/// Files a reader; `cargo run --release -p cluster --example fuzz` reads more.
const FILES: u64 = 1_000;

#[test]
fn no_broken_file_breaks_a_reader() {
    for (reader, files) in mutate::READERS {
        let seeds = 0..FILES;
        let read = seeds
            .filter(|seed| mutate::holds(&mutate::file(*seed, files)))
            .count();
        // That both come shows that files are broken, and not all of them beyond use.
        assert!(read > 0 && read < FILES as usize, "{reader}: {read}");
    }
}
