//! What can be measured in a place, found out before a run: each way of programming a mode is tried in a
//! throwaway namespace of its own process, isolated as a stay is.

use std::time::Duration;

use netns_harness::remedy::Lack;
use netns_sys::distribution::install;
use schema::{Environment, Mode};

use crate::case::Case;
use crate::exit::{Usage, refused};
use crate::isolate::ask::{Answer, Ask, At, Trial};
use crate::places::Place;

/// A trial of a tiny population, or of the facilities, is a matter of milliseconds.
const LIMIT: Duration = Duration::from_secs(30);
/// A trial at a size may take as long as a cell's preparation.
const LIMIT_AT_SIZE: Duration = Duration::from_secs(150);
/// Looking at an environment takes a second in a guest, which may have to be booted for it.
const LOOK: Duration = Duration::from_secs(20);

/// Tries cases there, with a tiny population or `at` a size; what was found of each. A missing tool is seen first.
///
/// # Errors
/// No process could be started, or no namespace can be made here at all, with the remedy; a [`Usage`] for a
/// sysctl that cannot be pinned there, and for a file that does not do where the tool that it stands in for does.
pub(crate) async fn attempt(
    place: &dyn Place,
    cases: &[Case],
    at: At,
) -> anyhow::Result<Vec<Trial>> {
    let answers = place.ask(asks(place, cases, at)).await?;
    conclude(place, cases, at, answers).await
}

/// Asks a place what it is, with the tools of these cases, and tries them; none when nothing can be carried out there.
///
/// # Errors
/// As [`attempt`]; also when it does not say what it is.
pub(crate) async fn look(
    place: &dyn Place,
    cases: &[Case],
) -> anyhow::Result<Option<(Environment, Vec<Trial>)>> {
    let facts = Ask::Facts {
        cases: cases.to_vec(),
    };
    let mut asked = asks(place, cases, None);
    asked.insert(0, (facts, place.patience() * LOOK));
    let mut answers = place.ask(asked).await?;
    if place.given_up().is_some() || answers.is_empty() {
        return Ok(None);
    }
    let facts = match answers.remove(0) {
        Answer::Said(text) => serde_json::from_str(&text)?,
        other => return refused(format!("the guest does not say what it is: {other:?}")),
    };
    let trials = conclude(place, cases, None, answers).await?;
    Ok(Some((facts, trials)))
}

/// The trials of cases whose tools are installed, each with its limit.
fn asks(place: &dyn Place, cases: &[Case], at: At) -> Vec<(Ask, Duration)> {
    let limit = if at.is_some() { LIMIT_AT_SIZE } else { LIMIT };
    let limit = place.patience() * limit;
    let tried = cases.iter().filter(|case| case.missing_tool().is_none());
    let ask = |case: &Case| Ask::Trial {
        case: case.clone(),
        at,
    };
    tried.map(|case| (ask(case), limit)).collect()
}

async fn conclude(
    place: &dyn Place,
    cases: &[Case],
    at: At,
    answers: Vec<Answer>,
) -> anyhow::Result<Vec<Trial>> {
    let mut answers = answers.into_iter();
    let mut found = Vec::new();
    for case in cases {
        let trial = match case.missing_tool() {
            Some((program, package)) => Trial::broken(Lack::of_program(program, package)),
            None => trial(answers.next()),
        };
        if let Some(why) = &trial.refused_sysctl {
            return refused(format!("--sysctl: {why}"));
        }
        if let Some(why) = &trial.unsupported {
            blame_replaced_tool(place, case, at, &why.reason).await?;
        }
        found.push(trial);
    }
    Ok(found)
}

/// What a trial found, from its answer.
fn trial(answer: Option<Answer>) -> Trial {
    let found = match answer {
        Some(Answer::Late(limit)) => {
            let seconds = limit.as_secs();
            return Trial::broken(format!("the trial did not end within {seconds} s"));
        }
        Some(Answer::Failed(why)) => return Trial::broken(why),
        Some(Answer::Said(text)) => serde_json::from_str(&text).ok(),
        None => None,
    };
    found.unwrap_or_else(|| Trial::broken("the trial ended without an answer"))
}

/// A file that stands in for a tool, and does not do where the tool does, is the user's mistake.
async fn blame_replaced_tool(
    place: &dyn Place,
    case: &Case,
    at: At,
    why: &str,
) -> anyhow::Result<()> {
    let Some(named) = case.replaced_tool() else {
        return Ok(());
    };
    let mut installed = case.clone();
    installed.setup.tools.clear();
    let asks = asks(place, std::slice::from_ref(&installed), at);
    if asks.is_empty() {
        return Ok(());
    }
    let answer = place.ask(asks).await?.into_iter().next();
    match trial(answer).unsupported {
        Some(_) => Ok(()),
        None => refused(format!(
            "{named}: {case} works with the installed program and not with this one: {why}"
        )),
    }
}

/// A mode that the user named must have its tools: they are one command away. A mode that is measured
/// because all are is `unsupported` instead, which [`attempt`] says.
///
/// # Errors
/// The first missing tool, with its package.
pub(crate) fn check_tools(cases: &[Case], named: &[Mode]) -> Result<(), Usage> {
    let mut named = cases.iter().filter(|case| named.contains(&case.mode));
    let missing = named.find_map(|case| Some((case, case.missing_tool()?)));
    if let Some((case, (program, _))) = missing
        && let Some(suite) = &case.setup.suite
    {
        return refused(format!(
            "{program} is not among the tools of {0}: bench-runner tools fetch {0}",
            suite.name
        ));
    }
    match missing {
        Some((Case { mode, .. }, (program, package))) => refused(format!(
            "{program} is not installed and mode {mode} needs it: {}; or name other --modes",
            install(package)
        )),
        None => Ok(()),
    }
}
