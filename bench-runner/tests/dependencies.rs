//! The directions of CONTRIBUTING.md's map as a table: who may depend on whom, and what may not be reached at all.
//!
//! The graph is cargo's own (`cargo metadata`), development and build dependencies included: a test
//! that pulls the harness into the reports would make the reports need Linux and root as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Every crate of ours, and the crates of ours that it may name. One way, from left to right.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "bench-runner",
        &[
            "cluster",
            "scenarios",
            "netns-harness",
            "netns-sys",
            "guest",
            "reports",
            "schema",
            // For its tests.
            "synthetic",
            "testing",
        ],
    ),
    ("scenarios", &["netns-harness", "netns-sys", "schema"]),
    // Reads files of any cluster on any machine; its tests skip as others do.
    ("cluster", &["testing"]),
    (
        "netns-harness",
        &[
            "ipset-sys",
            "ipvs-codec",
            "kube-api",
            "netlink",
            "nft-codec",
            "netns-sys",
            "schema",
            // For its tests.
            "model",
            "testing",
        ],
    ),
    ("guest", &["netns-sys"]),
    ("ipset-sys", &["netlink", "netns-sys", "testing"]),
    // Only its example names these: it runs where there is IPVS, in a guest.
    (
        "ipvs-codec",
        &["netlink", "guest", "model", "netns-sys", "testing"],
    ),
    ("kube-api", &["netns-sys"]),
    ("nft-codec", &["netlink", "model", "testing"]),
    ("netlink", &[]),
    ("model", &["ipvs-codec", "netlink", "nft-codec"]),
    ("netns-sys", &["testing"]),
    ("testing", &[]),
    // Invented results, for tests alone, are made of what they are read into.
    ("reports", &["schema", "synthetic"]),
    ("synthetic", &["reports", "schema"]),
    ("schema", &[]),
];

/// What the file side must not reach by any path, so that it builds and tests without Linux or root.
const BARRED_FROM_FILES: &[&str] = &[
    "bench-runner",
    "scenarios",
    "netns-harness",
    "netns-sys",
    "guest",
    "ipset-sys",
    "ipvs-codec",
    "netlink",
    "nft-codec",
    "nix",
    "nftnl",
    "nftnl-sys",
    "rtnetlink",
    "tokio",
];

/// The folders that crates live in; others are nested inside them.
const FOLDERS: &[&str] = &["bench-runner", "scenarios", "netns-harness", "reports"];

/// A licence that lets a crate into the binary, which links libnftnl and is GPL-2.0-or-later:
/// Apache-2.0 alone cannot be combined with it. deny.toml says the same to cargo-deny.
const LICENCES: &[&str] = &[
    "0BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-2.0-or-later",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(vec![
            "--locked".into(),
            // Packages of other platforms are not needed and perhaps not downloaded.
            "--filter-platform".into(),
            format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        ])
        .exec()
        .expect("cargo metadata describes this workspace")
}

/// Which kinds of dependencies are followed besides the ordinary ones. Development dependencies are so
/// for the first step only, as in cargo.
const ALL_KINDS: &[DependencyKind] = &[DependencyKind::Build, DependencyKind::Development];
const LINKED: &[DependencyKind] = &[];

/// Names of all packages that `from` reaches, itself included.
fn reached<'m>(
    metadata: &'m Metadata,
    from: &str,
    also: &[DependencyKind],
) -> BTreeMap<&'m str, &'m PackageId> {
    let nodes: BTreeMap<&PackageId, _> = metadata
        .resolve
        .as_ref()
        .expect("a resolved graph")
        .nodes
        .iter()
        .map(|n| (&n.id, n))
        .collect();
    let start = &metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == from)
        .expect("a crate of ours")
        .id;
    let mut seen = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for dependency in &nodes[id].deps {
            let followed = dependency.dep_kinds.iter().any(|k| match k.kind {
                DependencyKind::Normal => true,
                DependencyKind::Development => id == start && also.contains(&k.kind),
                kind => also.contains(&kind),
            });
            if followed && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter()
        .map(|id| (metadata[id].name.as_str(), id))
        .collect()
}

#[test]
fn every_dependency_between_our_crates_points_the_allowed_way() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    let listed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, listed, "the table names every crate of the workspace");

    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let allowed = ALLOWED
            .iter()
            .find(|(name, _)| *name == package.name.as_str())
            .map_or(&[][..], |(_, to)| to);
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            // A crate's tests may name the crate itself, to turn on a feature.
            let itself = name == package.name.as_str();
            if ours.contains(name) && !itself && !allowed.contains(&name) {
                wrong.push(format!("{} -> {name}", package.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that the table does not have: {wrong:?}"
    );
}

#[test]
fn what_reads_files_reaches_nothing_that_needs_linux_or_root() {
    let metadata = metadata();
    for (crate_name, also) in [
        ("reports", ALL_KINDS),
        ("schema", ALL_KINDS),
        ("cluster", LINKED),
    ] {
        let reached = reached(&metadata, crate_name, also);
        let barred: Vec<_> = BARRED_FROM_FILES
            .iter()
            .filter(|name| reached.contains_key(**name))
            .collect();
        assert!(barred.is_empty(), "{crate_name} reaches {barred:?}");
    }
}

#[test]
fn the_harness_never_sees_the_reports() {
    let metadata = metadata();
    for crate_name in ["netns-harness", "scenarios"] {
        assert!(
            !reached(&metadata, crate_name, ALL_KINDS).contains_key("reports"),
            "{crate_name} reaches reports"
        );
    }
}

#[test]
fn nothing_that_is_shipped_reaches_what_is_for_tests() {
    let metadata = metadata();
    let reached = reached(&metadata, "bench-runner", LINKED);
    for crate_name in ["model", "testing"] {
        assert!(!reached.contains_key(crate_name), "{crate_name} is shipped");
    }
}

#[test]
fn every_crate_lives_in_one_of_the_named_folders() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let folder = package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .ok()
            .and_then(|path| path.components().next())
            .map(|first| first.as_str().to_owned());
        assert!(
            folder.as_deref().is_some_and(|f| FOLDERS.contains(&f)),
            "{} lives in {folder:?}, outside {FOLDERS:?}",
            package.name
        );
    }
}

/// Whether a licence expression (SPDX, or the older `A/B`) can be met from [`LICENCES`] alone:
/// conjunctions of parenthesised alternatives are all that the graph holds.
fn acceptable(expression: &str) -> bool {
    expression
        .replace(['(', ')'], "")
        .replace('/', " OR ")
        .split(" AND ")
        .all(|part| {
            part.split(" OR ")
                .any(|licence| LICENCES.contains(&licence.trim()))
        })
}

#[test]
fn licence_expressions_are_read_as_alternatives() {
    assert!(acceptable("MIT OR Apache-2.0"));
    assert!(acceptable("MIT/Apache-2.0"));
    assert!(acceptable("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!acceptable("Apache-2.0"));
    assert!(!acceptable("MIT AND Apache-2.0"));
    assert!(!acceptable("Apache-2.0 WITH LLVM-exception"));
}

#[test]
fn the_shipped_binary_holds_no_crate_under_apache_2_0_alone() {
    // What a build script uses is not linked: bindgen's clang-sys, under Apache-2.0 alone, stays outside.
    let metadata = metadata();
    let wrong: Vec<_> = reached(&metadata, "bench-runner", LINKED)
        .into_values()
        .map(|id| &metadata[id])
        .filter(|package| !package.license.as_deref().is_some_and(acceptable))
        .map(|package| {
            format!(
                "{} {} ({:?})",
                package.name, package.version, package.license
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "licences to look at, here and in deny.toml: {wrong:?}"
    );
}
