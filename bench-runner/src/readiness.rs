//! What can be measured here, found out before a run: each way of programming a mode is tried in a
//! throwaway namespace of its own process, isolated as a stay is.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Duration;

use anyhow::Context as _;
use netns_harness::datapath::{Engine, Transport, registry};
use scenarios::spec::{Setup, StaySpec};
use schema::Mode;
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::exit::Usage;
use crate::sandbox::Sandbox;
use crate::sandbox::local::PARENT_VARIABLE;

/// A trial of a tiny population, or of the facilities, is a matter of milliseconds.
const LIMIT: Duration = Duration::from_secs(30);
/// A trial at a size may take as long as a cell's preparation.
const LIMIT_AT_SIZE: Duration = Duration::from_secs(150);

/// How much longer a trial may take in a guest.
const IN_A_GUEST: u32 = 6;

/// A way of programming a mode: what is tried, and what is unsupported as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Case {
    /// The mode.
    pub(crate) mode: Mode,
    /// How updates reach the kernel.
    pub(crate) transport: Transport,
    /// Engine below its rules, where either would do.
    pub(crate) engine: Option<Engine>,
    /// Sysctls and tools that were named.
    pub(crate) setup: Setup,
}

impl Case {
    /// The case of a stay; `None` when it names something unknown.
    pub(crate) fn of(spec: &StaySpec) -> Option<Self> {
        Some(Self {
            mode: spec.mode,
            transport: Transport::from_name(&spec.transport)?,
            engine: match &spec.engine {
                Some(name) => Some(Engine::from_name(name)?),
                None => None,
            },
            setup: spec.setup.clone(),
        })
    }

    /// Every case of every mode.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for &mode in Mode::ALL {
            let engines: Vec<Option<Engine>> = match mode {
                Mode::Ipset => Engine::ALL.into_iter().map(Some).collect(),
                _ => vec![None],
            };
            for &transport in registry(mode).transports() {
                cases.extend(engines.iter().map(|&engine| Self {
                    mode,
                    transport,
                    engine,
                    setup: Setup::default(),
                }));
            }
        }
        cases
    }

    /// The first tool that it needs and that is not installed, with its Debian package.
    pub(crate) fn missing_tool(&self) -> Option<(&'static str, &'static str)> {
        environment::tools(self).into_iter().find(|(program, _)| {
            !self.setup.tools.contains_key(*program) && !netns_sys::process::installed(program)
        })
    }

    /// The first tool of its own that another file stands in for, as it was named.
    fn replaced_tool(&self) -> Option<String> {
        let own = environment::tools(self).into_iter();
        let named = own.filter_map(|(name, _)| Some((name, self.setup.tools.get(name)?)));
        named
            .map(|(name, file)| format!("--tool {name}={}", file.display()))
            .next()
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.mode, self.transport)?;
        if let Some(engine) = self.engine {
            write!(f, ", engine {}", engine.name())?;
        }
        f.write_str(")")
    }
}

/// What a trial is asked, on the standard input of `cell`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialOf {
    /// The mode.
    pub(crate) trial: Mode,
    /// How it is programmed.
    pub(crate) transport: String,
    /// Engine below its rules.
    #[serde(default)]
    pub(crate) engine: Option<String>,
    /// Sysctls and tools that were named.
    #[serde(default)]
    pub(crate) setup: Setup,
    /// Services and endpoints of each with which to try; a tiny population when there is none.
    #[serde(default)]
    pub(crate) at: Option<(u32, u32)>,
}

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

impl TrialOf {
    /// The trial of a case, with `at` (services, endpoints of each).
    pub(crate) fn of(case: &Case, at: Option<(u32, u32)>) -> Self {
        Self {
            trial: case.mode,
            transport: case.transport.name().to_owned(),
            engine: case.engine.map(|e| e.name().to_owned()),
            setup: case.setup.clone(),
            at,
        }
    }

    /// What is tried; `None` when it names something unknown.
    pub(crate) fn case(&self) -> Option<Case> {
        Some(Case {
            mode: self.trial,
            transport: Transport::from_name(&self.transport)?,
            engine: match &self.engine {
                Some(name) => Some(Engine::from_name(name)?),
                None => None,
            },
            setup: self.setup.clone(),
        })
    }
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

/// What an isolated process answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its standard output.
    Said(String),
    /// It ended badly; its last words.
    Failed(String),
    /// It did not end in time.
    Late,
}

/// Runs `cell` on `input`, isolated as a stay is.
///
/// # Errors
/// It cannot be started; or it could not isolate itself, a [`Usage`].
pub(crate) async fn isolated(input: &str, limit: Duration) -> anyhow::Result<Answer> {
    match tokio::time::timeout(limit, run_cell(input)).await {
        Err(_) => Ok(Answer::Late),
        Ok(output) => {
            let output = output?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            if output.status.success() {
                return Ok(Answer::Said(text(&output.stdout)));
            }
            let said = text(&output.stderr);
            let why = said.trim_start_matches("error: ").to_owned();
            match output.status.code() {
                Some(2) => Err(Usage(why).into()),
                _ if why.is_empty() => {
                    Ok(Answer::Failed(format!("it ended with {}", output.status)))
                }
                _ => Ok(Answer::Failed(why)),
            }
        }
    }
}

async fn run_cell(input: &str) -> anyhow::Result<std::process::Output> {
    use tokio::io::AsyncWriteExt as _;
    let program = std::env::current_exe().context("find this program's file")?;
    let mut child = tokio::process::Command::new(program)
        .arg("cell")
        .env(PARENT_VARIABLE, std::process::id().to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start a trial")?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A child that ends early says why on its standard error.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.context("wait for a trial")
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

/// Why no namespaces can be made, with what would allow it.
pub(crate) fn no_namespaces(error: &io::Error) -> String {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}"))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let lifted = [
        (
            "user/max_user_namespaces",
            "0",
            "user.max_user_namespaces=15000",
        ),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "kernel.unprivileged_userns_clone=1",
        ),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ]
    .into_iter()
    .find(|(name, closed, _)| read(name) == *closed);
    let otherwise = lifted.map_or_else(String::new, |(_, _, setting)| {
        format!(", or allow user namespaces: sudo sysctl -w {setting}")
    });
    if netns_sys::isolation::needs_user_namespace() {
        format!(
            "making network namespaces needs root, and without it a user namespace, which is refused ({error}): run the same command with sudo{otherwise}"
        )
    } else {
        format!("cannot make namespaces: {error}")
    }
}

/// The command in a reason that would make a thing ready, ready to be pasted.
pub(crate) fn remedy(reason: &str) -> Option<String> {
    const COMMANDS: [&str; 4] = ["apt-get install ", "modprobe ", "sysctl -w ", "mount "];
    let start = COMMANDS.iter().filter_map(|c| reason.find(c)).min()?;
    let rest = &reason[start..];
    let end = rest
        .find([',', ';', ')', '('])
        .or_else(|| rest.find(" or "))
        .unwrap_or(rest.len());
    let command = rest[..end].trim().trim_end_matches('.');
    Some(format!(
        "sudo {}",
        command.replace("apt-get install ", "apt-get install -y ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_a_case_and_only_ipset_has_one_for_each_engine() {
        let cases = Case::all();
        for &mode in Mode::ALL {
            assert!(cases.iter().any(|c| c.mode == mode), "{mode}");
        }
        assert!(
            cases
                .iter()
                .all(|c| c.engine.is_some() == (c.mode == Mode::Ipset))
        );
    }

    #[test]
    fn a_remedy_is_the_command_alone() {
        for (reason, command) in [
            (
                "nft is not installed: apt-get install nftables",
                "sudo apt-get install -y nftables",
            ),
            (
                "this kernel lacks xt_set: modprobe -a xt_set; see dmesg",
                "sudo modprobe -a xt_set",
            ),
            (
                "no nf_tables (CONFIG_NF_TABLES_IPV4): modprobe nf_tables, or another kernel",
                "sudo modprobe nf_tables",
            ),
        ] {
            assert_eq!(remedy(reason).as_deref(), Some(command), "{reason}");
        }
        assert_eq!(remedy("mode ipset is not in this version"), None);
    }
}
