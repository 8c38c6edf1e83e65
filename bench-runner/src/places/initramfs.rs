//! What a guest boots beside its kernel: this program, and the files that stand in for tools, in a place of their own.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use guest::kernel::Kernel;
use guest::unnamed::{self, path_of};
use scenarios::spec::{Setup, Suite};

use crate::isolate::ask::Ask;

/// Where a guest has a file of this machine that is started in place of a tool: not under its own path, over which
/// a guest may have mounted something.
fn place(file: &Path) -> PathBuf {
    let below = file.strip_prefix("/").unwrap_or(file);
    Path::new("/tools").join(below)
}

/// A setup as it is named inside.
fn setup(named: &Setup) -> Setup {
    let tools = named.tools.iter();
    Setup {
        tools: tools
            .map(|(name, file)| (name.clone(), place(file)))
            .collect(),
        suite: named.suite.clone().map(|suite| Suite {
            root: place(&suite.root),
            ..suite
        }),
        ..named.clone()
    }
}

/// A question as it is asked inside.
pub(super) fn inside(ask: Ask) -> Ask {
    match ask {
        Ask::Trial { mut case, at } => {
            case.setup = setup(&case.setup);
            Ask::Trial { case, at }
        }
        Ask::Listing {
            mut stay,
            endpoints,
        } => {
            stay.setup = setup(&stay.setup);
            Ask::Listing { stay, endpoints }
        }
        Ask::Stay(mut spec) => {
            spec.setup = setup(&spec.setup);
            Ask::Stay(spec)
        }
        other => other,
    }
}

/// An initramfs for that kernel with this program, and with `tools` and the folders of suites among them in a place of their
/// own. It has no name, so nothing is left when this process is killed.
///
/// # Errors
/// It cannot be built.
pub(super) fn initramfs(kernel: &Kernel, tools: &BTreeSet<PathBuf>) -> anyhow::Result<File> {
    let runner = std::env::current_exe().context("find this program's file")?;
    let file = unnamed::file()?;
    let tools: Vec<(PathBuf, &PathBuf)> = tools.iter().map(|t| (place(t), t)).collect();
    let further: Vec<(&Path, &Path)> = tools
        .iter()
        .map(|(at, from)| (at.as_path(), from.as_path()))
        .collect();
    guest::image::build_with(&runner, &further, &[], kernel, &path_of(&file))?;
    Ok(file)
}
