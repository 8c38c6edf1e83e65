//! Rules of the house that no compiler holds (CONTRIBUTING.md, "Rules of the house"), over the production code of every
//! crate. A rule that is not kept everywhere yet names who still breaks it. Such a list may only shrink: who is on it
//! without need is as wrong as who is missing.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use schema::OptionKey;

/// Folders that hold crates, and those in them that hold development crates.
const FOLDERS: [&str; 4] = ["bench-runner", "scenarios", "netns-harness", "reports"];
const DEVELOPMENT: [&str; 3] = [
    "netns-harness/model/",
    "netns-harness/testing/",
    "reports/synthetic/",
];
/// Where `unsafe` may stand.
const UNSAFE: [&str; 3] = [
    "netns-harness/sys/",
    "netns-harness/nft-codec/",
    "netns-harness/ipset-sys/",
];
/// Where modes are told apart: the registry, their own files, the words.
const KNOW_MODES: [&str; 2] = ["netns-harness/src/datapath/", "reports/schema/"];
/// What is done with an option that is named by a literal.
const BY_LITERAL: [&str; 6] = [
    "get(\"KEY\")",
    "contains_key(\"KEY\")",
    "insert(\"KEY\"",
    "(\"KEY\".to_owned()",
    "== \"KEY\"",
    "\"KEY\" =>",
];
/// A sentence of ours that is taken apart, or compared.
const TAKEN_APART: [&str; 13] = [
    "reason.starts_with(",
    "reason.split_once(",
    "reason.contains(",
    "reason.find(",
    "reason == ",
    "outcome == \"",
    "starts_with(\"not-run",
    "== \"timed-out\"",
    "contains(\"timed-out",
    "split_once(\" Medians",
    "replace(\"series",
    "trim_start_matches(\"error",
    "exit status: ",
];

/// Production code, without comments, by the path of its file from the repository's root.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let (mut found, mut tests) = (BTreeMap::new(), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("/src/") && name.ends_with(".rs") {
                let text = fs::read_to_string(path).unwrap();
                let (code, inner) = text
                    .split_once("#[cfg(test)]\nmod tests")
                    .unwrap_or((&text, ";"));
                let own = name.trim_end_matches(".rs");
                let own = ["/mod", "/lib", "/main"]
                    .iter()
                    .fold(own, |own, end| own.trim_end_matches(end));
                let modules = code
                    .split("#[cfg(test)]\n")
                    .skip(1)
                    .filter_map(|item| item.split_once("mod "));
                let modules =
                    modules.filter_map(|(public, rest)| Some((public, rest.split_once(';')?.0)));
                let modules =
                    modules.filter(|(public, _)| public.is_empty() || public.starts_with("pub"));
                let also = inner.starts_with(';').then_some(("", "tests"));
                tests.extend(
                    modules
                        .chain(also)
                        .map(|(_, module)| format!("{own}/{module}")),
                );
                let code = code.lines().map(|line| line.split("//").next().unwrap());
                found.insert(name, code.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    found.retain(|name, _| {
        let below = |place: &String| {
            name.starts_with(&format!("{place}.")) || name.starts_with(&format!("{place}/"))
        };
        !tests.iter().any(below) && !DEVELOPMENT.iter().any(|place| name.starts_with(place))
    });
    assert!(found.len() > 250, "{} files", found.len());
    found
}

/// Holds a rule: what breaks it is exactly what still may.
#[track_caller]
fn only(still: &[&str], found: impl IntoIterator<Item = String>) {
    let still: BTreeSet<String> = still.iter().map(|&name| name.to_owned()).collect();
    let found: BTreeSet<String> = found.into_iter().collect();
    let new: Vec<_> = found.difference(&still).collect();
    let mended: Vec<_> = still.difference(&found).collect();
    assert!(
        new.is_empty() && mended.is_empty(),
        "new: {new:#?}\nmended, take off: {mended:#?}"
    );
}

/// Files, but those of these places, with such code.
fn files(places: &[&str], with: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
    let found = sources().into_iter().filter(move |(path, code)| {
        !places.iter().any(|place| path.starts_with(place)) && with(code)
    });
    found.map(|(path, _)| path).collect::<Vec<_>>().into_iter()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Modules of its crate that the code of a module names: `crate::a::b`, `super::{a, b}`.
fn named(module: &[&str], code: &str, all: &BTreeSet<Vec<String>>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code
            .match_indices(root)
            .filter(|(at, _)| !code[..*at].ends_with(':'))
        {
            let end = code[at..].find(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
            let (path, rest) = code[at..].split_at(end.unwrap_or(code.len() - at));
            let mut base: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
            for word in words(path) {
                match word {
                    "crate" => base.clear(),
                    "super" => drop(base.pop()),
                    "self" => {}
                    word => base.push(word.to_owned()),
                }
            }
            let group = rest
                .strip_prefix('{')
                .map_or("", |group| group.split(';').next().unwrap());
            found.extend(words(group).map(|word| [base.clone(), vec![word.to_owned()]].concat()));
            found.push(base);
        }
    }
    let known = |path: Vec<String>| {
        (0..=path.len())
            .rev()
            .find_map(|n| all.get(&path[..n]).cloned())
    };
    found.into_iter().filter_map(known).collect()
}

/// Circles of a crate: of files that lie side by side, each with those below it (which are one room with it), those that
/// are left when who names nobody and whom nobody names has gone.
fn circles(of: &str, files: &BTreeMap<Vec<String>, String>) -> Vec<String> {
    let all: BTreeSet<Vec<String>> = files.keys().cloned().collect();
    let mut rooms: BTreeMap<&[String], BTreeMap<&String, BTreeSet<String>>> = BTreeMap::new();
    for (from, code) in files {
        let module: Vec<&str> = from.iter().map(String::as_str).collect();
        for to in named(&module, code, &all) {
            let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if same < from.len() && same < to.len() {
                let room = rooms.entry(&from[..same]).or_default();
                room.entry(&from[same])
                    .or_default()
                    .insert(to[same].clone());
            }
        }
    }
    let mut found = Vec::new();
    for (folder, mut edges) in rooms {
        let mut before = usize::MAX;
        while edges.len() < before {
            before = edges.len();
            let from: BTreeSet<String> = edges.keys().map(|name| (*name).clone()).collect();
            edges
                .values_mut()
                .for_each(|to| to.retain(|name| from.contains(name)));
            let to: BTreeSet<String> = edges.values().flatten().cloned().collect();
            edges.retain(|name, named| !named.is_empty() && to.contains(*name));
        }
        if !edges.is_empty() {
            let names: Vec<&str> = edges.keys().map(|name| name.as_str()).collect();
            found.push(format!(
                "{}: {}",
                [&[of.to_owned()], folder].concat().join("/"),
                names.join(" ")
            ));
        }
    }
    found
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let mut crates: BTreeMap<String, BTreeMap<Vec<String>, String>> = BTreeMap::new();
    for (path, code) in sources() {
        let (of, file) = path.rsplit_once("/src/").unwrap();
        let names = words(file.trim_end_matches(".rs")).map(str::to_owned);
        let module = names
            .filter(|name| !["mod", "lib", "main"].contains(&name.as_str()))
            .collect();
        crates
            .entry(of.to_owned())
            .or_default()
            .insert(module, code);
    }
    only(
        &[],
        crates.iter().flat_map(|(of, files)| circles(of, files)),
    );
}

#[test]
fn modes_are_told_apart_by_the_registry_and_by_their_own_files() {
    // `Mode::Ipvs`, not `Mode::ALL` or `Mode::from_name`.
    let variant = |rest: &str| {
        let mut letters = rest.chars();
        letters.next().is_some_and(char::is_uppercase)
            && letters.next().is_some_and(char::is_lowercase)
    };
    only(
        &[],
        files(&KNOW_MODES, |code| {
            code.match_indices("Mode::")
                .any(|(at, text)| variant(&code[at + text.len()..]))
        }),
    );
}

#[test]
fn options_have_their_names_in_the_words_crate() {
    only(
        &[],
        files(&["reports/schema/"], |code| {
            let named = |key: &OptionKey| {
                let shape = |shape: &&str| shape.replace("KEY", key.name());
                BY_LITERAL.iter().any(|by| code.contains(&shape(by)))
            };
            OptionKey::ALL.iter().any(named)
        }),
    );
}

#[test]
fn no_sentence_of_ours_is_taken_apart() {
    only(
        &[],
        files(&[], |code| {
            TAKEN_APART.iter().any(|shape| code.contains(shape))
        }),
    );
}

#[test]
fn writers_read_the_view_and_not_each_other() {
    let writers = [("html", "markdown::"), ("markdown", "html::")];
    let reads = |path: &str, code: &str| {
        let other = |(own, other): &(&str, &str)| {
            path.starts_with(&format!("reports/src/write/{own}")) && code.contains(other)
        };
        writers.iter().any(other)
    };
    let found = sources()
        .into_iter()
        .filter(|(path, code)| reads(path, code));
    only(&[], found.map(|(path, _)| path));
}

#[test]
fn unsafe_stands_where_contributing_says() {
    let shapes = ["{", "fn", "impl", "extern"].map(|what| format!("unsafe {what}"));
    only(
        &[],
        files(&UNSAFE, |code| {
            shapes.iter().any(|shape| code.contains(shape))
        }),
    );
    let contributing = Path::new(env!("CARGO_MANIFEST_DIR")).join("../CONTRIBUTING.md");
    let text = fs::read_to_string(contributing).unwrap();
    let rule = text
        .lines()
        .find(|line| line.contains("`unsafe` only"))
        .unwrap();
    let missing: Vec<_> = UNSAFE
        .iter()
        .filter(|place| !rule.contains(place.trim_end_matches('/')))
        .collect();
    assert!(missing.is_empty(), "{rule} does not name {missing:?}");
}
