//! What can be measured here, found out before a run: each way of programming a mode is tried in a
//! throwaway namespace of its own process, isolated as a stay is.

mod case;
mod remedy;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use scenarios::spec::Setup;
use schema::Mode;
use serde::{Deserialize, Serialize};

use crate::exit::Usage;
use crate::sandbox::{Answer, Sandbox};
pub(crate) use case::{Case, TrialOf};
pub(crate) use remedy::{no_namespaces, remedy};

/// A trial of a tiny population, or of the facilities, is a matter of milliseconds.
const LIMIT: Duration = Duration::from_secs(30);
/// A trial at a size may take as long as a cell's preparation.
const LIMIT_AT_SIZE: Duration = Duration::from_secs(150);

/// How much longer a trial may take in a guest.
const IN_A_GUEST: u32 = 6;

/// What a trial found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// Why the mode does not work here, with the remedy; `None` when it does.
    pub(crate) unsupported: Option<String>,
    /// Which sysctl that was named cannot be pinned here, and why.
    #[serde(default)]
    pub(crate) refused_sysctl: Option<String>,
    /// Cells that do not work although the mode does: which, and why.
    #[serde(default)]
    pub(crate) limits: Vec<String>,
    /// How long the population took to install and to list, milliseconds; with [`TrialOf::at`].
    #[serde(default)]
    pub(crate) installed_ms: Option<u64>,
    /// Sysctls of a lab on this kernel, by `namespace:name`; empty when none can be built.
    #[serde(default)]
    pub(crate) sysctls: BTreeMap<String, String>,
}

impl Trial {
    fn broken(why: impl Into<String>) -> Self {
        Self {
            unsupported: Some(why.into()),
            ..Self::default()
        }
    }
}

/// Tries a case with a tiny population, or with `at` (services, endpoints of each). A missing tool is
/// seen first.
///
/// # Errors
/// No process could be started, or no namespace can be made here at all: a [`Usage`] with the remedy.
pub(crate) async fn attempt(case: &Case, at: Option<(u32, u32)>) -> anyhow::Result<Trial> {
    attempt_in(&mut Sandbox::Host(None), case, at).await
}

/// As [`attempt`], where the sandbox is.
///
/// # Errors
/// As [`attempt`]; also a [`Usage`] for a sysctl that cannot be pinned there, and for a file that does not do
/// where the tool that it stands in for does.
pub(crate) async fn attempt_in(
    sandbox: &mut Sandbox,
    case: &Case,
    at: Option<(u32, u32)>,
) -> anyhow::Result<Trial> {
    let trial = attempt_once(sandbox, case, at).await?;
    if let Some(why) = trial.refused_sysctl {
        return Err(Usage(format!("--sysctl: {why}")).into());
    }
    if let (Some(why), Some(named)) = (&trial.unsupported, case.replaced_tool()) {
        let installed = Case {
            setup: Setup {
                tools: BTreeMap::new(),
                ..case.setup.clone()
            },
            ..case.clone()
        };
        let with_installed = attempt_once(sandbox, &installed, at).await?;
        if with_installed.unsupported.is_none() {
            return Err(Usage(format!(
                "{named}: {case} works with the installed program and not with this one: {why}"
            ))
            .into());
        }
    }
    Ok(trial)
}

async fn attempt_once(
    sandbox: &mut Sandbox,
    case: &Case,
    at: Option<(u32, u32)>,
) -> anyhow::Result<Trial> {
    if let Some(lacking) = lacks_tool(case) {
        return Ok(lacking);
    }
    let asked = TrialOf {
        setup: sandbox.setup(&case.setup),
        ..TrialOf::of(case, at)
    };
    let limit = if at.is_some() { LIMIT_AT_SIZE } else { LIMIT };
    // "Did not end" must not mean "was translated on a busy machine".
    let limit = match sandbox {
        Sandbox::Host(_) => limit,
        Sandbox::Guest(_) | Sandbox::Counted(_) => IN_A_GUEST * limit,
    };
    Ok(
        match sandbox.ask(&serde_json::to_string(&asked)?, limit).await? {
            Answer::Late => Trial::broken(format!(
                "the trial did not end within {} s",
                limit.as_secs()
            )),
            answer => trial(answer),
        },
    )
}

/// What a trial found, from its answer.
pub(crate) fn trial(answer: Answer) -> Trial {
    match answer {
        Answer::Late => Trial::broken("the trial did not end in time"),
        Answer::Said(text) => serde_json::from_str(&text)
            .unwrap_or_else(|_| Trial::broken("the trial ended without an answer")),
        Answer::Failed(why) => Trial::broken(why),
    }
}

/// What a trial would find of a case whose tool is not installed here.
pub(crate) fn lacks_tool(case: &Case) -> Option<Trial> {
    let (program, package) = case.missing_tool()?;
    Some(Trial::broken(format!(
        "{program} is not installed: apt-get install {package}"
    )))
}

/// Tries several cases, each once.
///
/// # Errors
/// As [`attempt`].
pub(crate) async fn attempt_all(cases: &[Case]) -> anyhow::Result<HashMap<Case, Trial>> {
    let mut tried = HashMap::new();
    for case in cases {
        tried.insert(case.clone(), attempt(case, None).await?);
    }
    Ok(tried)
}

/// A mode that the user named must have its tools: they are one command away. A mode that is measured
/// because all are is `unsupported` instead, which [`attempt`] says.
///
/// # Errors
/// The first missing tool, with its package.
pub(crate) fn check_tools(cases: &[Case], named: &[Mode]) -> Result<(), Usage> {
    for case in cases.iter().filter(|case| named.contains(&case.mode)) {
        if let Some((program, package)) = case.missing_tool() {
            return Err(Usage(format!(
                "{program} is not installed and mode {} needs it: apt-get install {package} (scripts/bootstrap does), or name other --modes",
                case.mode
            )));
        }
    }
    Ok(())
}
