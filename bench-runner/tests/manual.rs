//! What the program says of itself to shells and readers names everything that it can do.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use runner::{output, refused};

fn said(words: &[&str]) -> String {
    let said = output(words);
    assert!(said.status.success(), "{words:?}");
    String::from_utf8(said.stdout).unwrap()
}

/// Verbs as `--help` lists them.
fn verbs() -> Vec<String> {
    let help = said(&["--help"]);
    let (_, list) = help.split_once("Commands:").unwrap();
    let (list, _) = list.split_once("Options:").unwrap();
    let verb = |line: &str| {
        Some(
            line.strip_prefix("  ")?
                .split_whitespace()
                .next()?
                .to_owned(),
        )
    };
    let indented = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let found: Vec<String> = list.lines().filter(indented).filter_map(verb).collect();
    assert!(
        found.len() > 8 && found.contains(&"man".to_owned()),
        "{found:?}"
    );
    found
}

#[test]
fn the_completions_of_every_shell_name_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = said(&["completions", shell]);
        for verb in verbs() {
            assert!(text.contains(&verb), "{shell} does not know {verb}");
        }
        assert!(
            text.contains("cell-timeout"),
            "{shell} does not know options"
        );
    }
}

#[test]
fn the_manual_names_every_verb_and_each_verb_has_a_page() {
    // A hyphen is an escape in roff.
    let plain = |text: String| text.replace("\\-", "-");
    let page = plain(said(&["man"]));
    assert!(page.contains(".TH bench-runner"), "{page}");
    assert!(
        page.contains("--cell-timeout"),
        "options of a run need no word"
    );
    for verb in verbs() {
        assert!(page.contains(&verb), "the page does not name {verb}");
        if verb != "help" {
            let page = plain(said(&["man", &verb]));
            assert!(page.contains(&format!("bench-runner-{verb}")), "{page}");
        }
    }
    let page = plain(said(&["man", "report"]));
    assert!(page.contains("--format"), "{page}");
}

#[test]
fn an_unknown_verb_has_no_page() {
    let why = refused(&output(["man", "reprot"]), 2);
    assert!(why.contains("no verb 'reprot'"), "{why}");
}

#[test]
fn the_same_seed_gives_the_same_plan_and_the_same_rules_byte_for_byte() {
    let say = |what: &str, seed: &str| {
        said(&[
            "plan",
            "--services",
            "40,300",
            "--repetitions",
            "3",
            "--seed",
            seed,
            what,
        ])
    };
    for what in ["--json", "--rules"] {
        let text = say(what, "11");
        assert!(text.len() > 10_000, "{what}");
        assert_eq!(text, say(what, "11"), "{what}");
        assert_ne!(text, say(what, "12"), "{what}");
    }
}

#[test]
fn what_is_named_twice_is_planned_once() {
    let plan = |option: &str, value: &str| {
        let words = ["plan", "--modes", "nftables,ipset", "--json", option, value];
        said(&words)
    };
    for (option, once, twice) in [
        ("--services", "20", "20,20"),
        ("--endpoints", "3", "3,3"),
        ("--transports", "netlink", "netlink,netlink"),
        ("--engines", "nft", "nft,nft"),
        ("--positions", "last", "last,last"),
        ("--protocols", "tcp", "tcp,tcp"),
        ("--scenarios", "cold-install", "cold-install,cold-install"),
    ] {
        assert_eq!(plan(option, once), plan(option, twice), "{option}");
    }
}

#[test]
fn a_number_out_of_its_range_is_told_the_range_and_so_does_the_help() {
    let help = said(&["--help"]);
    for (option, range, wrong) in [
        ("--repetitions", (1, 1_000), ["0", "abc", "-1"]),
        ("--churn", (1, 1_000), ["0", "1001", "-1"]),
        ("--scaled", (1, 100_000), ["0", "100001", "-1"]),
        ("--scaled-to", (0, 999), ["x", "1000", "-1"]),
        ("--vip-stride", (1, 65_536), ["0", "65537", "-1"]),
        ("--flows", (100, 20_000), ["99", "x", "-1"]),
        ("--plant", (1, 5_000), ["0", "5001", ""]),
    ] {
        for value in wrong {
            let why = refused(&output(["run", &format!("{option}={value}")]), 2);
            let remedy = format!("give a whole number, {} to {}", range.0, range.1);
            assert!(why.contains(option) && why.contains(&remedy), "{why}");
        }
        let words = format!("{} to {}", range.0, range.1);
        let (_, about) = help.split_once(&format!("{option} <")).unwrap();
        let about: String = about
            .split("\n      --")
            .next()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(about.contains(&words), "{option}: {about}");
    }
    let why = refused(&output(["run", "--budget", "-1s"]), 2);
    assert!(why.contains("'-1s' is not a time"), "{why}");
}

#[test]
fn cold_caches_are_refused_where_they_can_change_nothing() {
    let counted = refused(&output(["plan", "--cache", "cold", "--deterministic"]), 2);
    assert!(
        counted.contains("--deterministic") && counted.contains("leave --cache cold out"),
        "{counted}"
    );
    let unasked = refused(
        &output(["plan", "--cache", "cold", "--scenarios", "service-add"]),
        2,
    );
    assert!(
        unasked.contains("first-packet is not among --scenarios"),
        "{unasked}"
    );
    said(&["plan", "--cache", "cold", "--services", "20"]);
}

#[test]
fn results_of_another_schema_are_refused_once_and_by_its_number() {
    let results = |schema: u32| {
        let run = synthetic::run(&synthetic::Shape {
            blocks: 1,
            sizes: vec![100],
            samples: 1,
            ..synthetic::Shape::default()
        });
        let mut header = serde_json::to_value(schema::Record::Header(run.header)).unwrap();
        header["schema_version"] = schema.into();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{header}\n")).unwrap();
        file
    };
    let newer = results(999);
    let why = refused(&output(["report", newer.path().to_str().unwrap()]), 2);
    assert_eq!(why.matches("newer than this binary's").count(), 1, "{why}");
    let older = results(1);
    let why = refused(
        &output(["run", "--resume", older.path().to_str().unwrap()]),
        4,
    );
    assert!(
        why.contains("written by schema 1, and this version writes schema 2"),
        "{why}"
    );
    assert!(!why.contains("leave the option out"), "{why}");
}

#[test]
fn the_glossary_on_the_page_is_that_of_the_code() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/figures/words.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&said(&["list", "glossary"])),
        "docs/figures/words.md is not what the code says: scripts/docs-words"
    );
}
