//! A run in five sentences: which mode by first packets, what an update costs, what starting from nothing does, what a
//! service holds of memory, and what cannot be said. Of a run on a host's kernel with counted guests beside it each is
//! said of both, one after the other: no sentence spans two environments.

use std::collections::BTreeSet;

use schema::ScenarioKind::{ColdInstall, ServiceAdd};
use schema::summary::{Finding, FindingKind, Row, Summary};
use schema::{Accelerator, Mix, Mode, NodeKind, OptionKey, OutcomeKind};

use super::{Scope, are_named, executed_by, grouped, scopes};
use crate::quantity::{shortened, whole};

/// Scopes of which a sentence is said at the top.
const SCOPES: usize = 2;
/// Letters of a reason there.
const REASON: usize = 120;

/// An answer in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// What is asked.
    pub question: String,
    /// A sentence of each environment that tells something, after what it is of where there are several.
    pub answers: Vec<(Option<String>, String)>,
}

/// What is asked, and whether a finding answers it.
type Question = (&'static str, fn(&Finding) -> bool);

/// Which findings answer what is asked first.
const ASKED: [Question; 4] = [
    ("first packets", |found| found.kind == FindingKind::Packets),
    ("adding one service", |found| {
        found.kind == FindingKind::Updates && found.scenario == ServiceAdd
    }),
    ("installing from nothing", |found| {
        found.kind == FindingKind::Updates && found.scenario == ColdInstall
    }),
    ("kernel memory", |found| {
        matches!(found.kind, FindingKind::MemoryByCpus | FindingKind::Memory)
    }),
];

/// The answers of a run, those that tell something, and last what cannot be said.
#[must_use]
pub fn briefs(summary: &Summary) -> Vec<Brief> {
    let (mut all, mut silent): (Vec<Brief>, Vec<Silent>) = (Vec::new(), Vec::new());
    let mut never = Vec::new();
    for (what, asks) in ASKED {
        let mut found: Vec<&Finding> = summary.findings.iter().filter(|f| asks(f)).collect();
        // The first that tells something is the question; of the others those that answer the same.
        let told = found.iter().position(|found| !found.brief.is_empty());
        let Some(question) = found
            .get(told.unwrap_or(0))
            .map(|found| found.question.clone())
        else {
            never.push(what);
            continue;
        };
        found.retain(|found| found.question == question);
        let quiet = found.iter().filter(|found| found.brief.is_empty());
        silent.extend(quiet.map(|found| (Scope::of(found), question.clone())));
        let answers = answers(summary, &found);
        if !answers.is_empty() {
            all.push(Brief { question, answers });
        }
    }
    all.push(Brief {
        question: "What cannot be said here".to_owned(),
        answers: vec![(None, unsaid(summary, silent, &never))],
    });
    all
}

/// More scopes than this that tell nothing are not named one by one.
const SILENT: usize = 4;

/// A scope, and what it tells nothing of.
type Silent = (Scope, String);

/// Sentences of findings that answer one question, those of scopes with most modes before others.
fn answers(summary: &Summary, found: &[&Finding]) -> Vec<(Option<String>, String)> {
    let named = are_named(&scopes(summary));
    let mut told: Vec<&Finding> = found
        .iter()
        .copied()
        .filter(|f| !f.brief.is_empty())
        .collect();
    let modes = |found: &Finding| {
        let scope = Scope::of(found);
        let rows = scope.rows(summary);
        let rows = rows.filter(|row| row.key.scenario == found.scenario && row.median.is_some());
        rows.map(|row| row.key.mode)
            .collect::<BTreeSet<Mode>>()
            .len()
    };
    told.sort_by_key(|found| std::cmp::Reverse(modes(found)));
    let of = |found: &&Finding| {
        let place = named.then(|| place(summary, &Scope::of(found)));
        (place, found.brief.clone())
    };
    told.iter().take(SCOPES).map(of).collect()
}

/// "instructions, Linux 6.1.0" or "time, Linux 6.18", with what else sets a scope apart.
fn place(summary: &Summary, scope: &Scope) -> String {
    let what = of_environment(summary, &scope.environment);
    let alike = |other: &Scope| other.environment == scope.environment;
    match scopes(summary).iter().filter(|s| alike(s)).count() {
        1 if scope.told().next().is_none() => what,
        _ => format!("{what}, {}", scope.describe()),
    }
}

/// "instructions, Linux 6.1.0": what is told of an environment.
fn of_environment(summary: &Summary, name: &str) -> String {
    let counted = executed_by(summary, Accelerator::TcgIcount).contains(&name);
    let what = if counted { "instructions" } else { "time" };
    let kernel = summary.environments.get(name);
    let kernel = kernel.map_or_else(
        || name.to_owned(),
        |facts| format!("Linux {}", facts.kernel),
    );
    format!("{what}, {kernel}")
}

/// What has no answer, and why: modes without a figure, questions that tell nothing apart, cells that the run did not come to.
fn unsaid(summary: &Summary, silent: Vec<Silent>, never: &[&str]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let named = are_named(&scopes(summary));
    let several = summary.environments.len() > 1;
    let mut without = Vec::new();
    for scope in scopes(summary) {
        for mode in scope.modes(summary) {
            let rows: Vec<&Row> = scope
                .rows(summary)
                .filter(|row| row.key.mode == mode)
                .collect();
            if rows.iter().any(|row| row.metric.is_some()) {
                continue;
            }
            let of_environment = match several {
                true => format!(" by {}", of_environment(summary, &scope.environment)),
                false => String::new(),
            };
            let elsewhere = summary.cells.iter().any(|row| {
                let here = row.key.environment == scope.environment && row.key.mode == mode;
                here && row.metric.is_some()
            });
            let told: String = match elsewhere {
                true => scope.told().map(|words| format!(" with {words}")).collect(),
                false => String::new(),
            };
            let place = of_environment + &told;
            let reason = rows.iter().find_map(|row| row.reason.as_deref());
            let outcome = rows.first().map_or(OutcomeKind::NotRun, |row| row.outcome);
            // What would help is said where the cells are listed.
            let why = shortened(reason.unwrap_or(outcome.name()), REASON);
            without.push(((place, why), mode.name()));
        }
    }
    for ((place, why), modes) in grouped(without) {
        let modes: BTreeSet<&str> = modes.into_iter().collect();
        let modes: Vec<&str> = modes.into_iter().collect();
        parts.push(format!("no figure of {}{place}: {why}", modes.join(", ")));
    }
    let mut silent = grouped(silent);
    if silent.len() > SILENT {
        // One part a question instead of one a scope.
        let asked = silent.drain(..).flat_map(|(_, questions)| questions);
        let asked: BTreeSet<String> = asked.map(|question| lowered(&question)).collect();
        let asked: Vec<String> = asked.into_iter().collect();
        parts.push(format!(
            "in several of the tables nothing is told apart of: {}",
            asked.join("; ")
        ));
    }
    for (scope, questions) in silent {
        let place = match named {
            true => format!("by {}, ", place(summary, &scope)),
            false => String::new(),
        };
        let questions: Vec<String> = questions.iter().map(|asked| lowered(asked)).collect();
        let questions = questions.join("; ");
        parts.push(format!("{place}nothing is told apart of: {questions}"));
    }
    parts.extend(unanswered(summary));
    if !never.is_empty() {
        parts.push(format!("not asked: {}", never.join(", ")));
    }
    match parts.is_empty() {
        true => "Whatever was asked has its answer.".to_owned(),
        false => {
            let text = parts.join("; ") + ".";
            let mut letters = text.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect()
            })
        }
    }
}

/// Checks that failed, and questions without any number that something else than an unsupported mode left without one, by what
/// became of them.
fn unanswered(summary: &Summary) -> Vec<String> {
    let rows = || summary.cells.iter();
    let all = rows().map(|row| &row.key).collect::<BTreeSet<_>>().len();
    let of = |kind: OutcomeKind| {
        let without = rows().filter(|row| row.metric.is_none() && row.outcome == kind);
        let names: Vec<(String, &str)> = without
            .map(|row| {
                let words = row.key.options.only(|key| key == OptionKey::Chunk).words();
                let words: String = words.iter().map(|words| format!(", {words}")).collect();
                (format!("{}{words}", row.key.scenario), row.key.mode.name())
            })
            .collect();
        let number = names.len() as u64;
        let named = grouped(names).into_iter().map(|(asked, modes)| {
            let modes: BTreeSet<&str> = modes.into_iter().collect();
            let modes: Vec<&str> = modes.into_iter().collect();
            format!("{asked} in {}", modes.join(" and "))
        });
        let named = shortened(&named.collect::<Vec<_>>().join("; "), REASON);
        let are = if number == 1 { "is" } else { "are" };
        (number > 0).then(|| {
            format!(
                "{} of {} questions {are} {kind} ({named})",
                whole(number),
                whole(all as u64)
            )
        })
    };
    // A check that failed once is told, whatever other stays have measured.
    let coverage = &summary.coverage;
    let failed = coverage.outcomes.get(OutcomeKind::Failed.name());
    let failed = failed.map(|failed| {
        let planned = whole(coverage.planned);
        format!(
            "{} of {planned} planned cells failed their checks",
            whole(*failed)
        )
    });
    let kinds = [OutcomeKind::TimedOut, OutcomeKind::NotRun];
    failed
        .into_iter()
        .chain(kinds.into_iter().filter_map(of))
        .collect()
}

/// A question in the middle of a sentence.
fn lowered(question: &str) -> String {
    let mut letters = question.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(letters).collect()
}

/// What the sentences have in common: the size, whose layouts they are of, what nodes serve where not all serve IPv4 alone,
/// and what services are where not all are ClusterIPs.
#[must_use]
pub fn subject(summary: &Summary) -> String {
    let rows = || summary.cells.iter();
    let largest = rows().map(|row| row.key.services).max().unwrap_or(0);
    // Layouts that are alike are one option, "1.32-1.37".
    let newest = |layouts: &str| layouts.rsplit('-').next().map(str::to_owned);
    let layouts: BTreeSet<String> = rows()
        .filter_map(|row| newest(row.key.options.get(OptionKey::KubeProxy)?))
        .collect();
    let endpoints: BTreeSet<String> = rows().map(|row| whole(row.key.endpoints.into())).collect();
    let endpoints: Vec<String> = endpoints.into_iter().collect();
    let layouts: Vec<String> = layouts.into_iter().collect();
    let of = match layouts.is_empty() {
        true => String::new(),
        false => format!("; rules of kube-proxy {}", layouts.join(" and ")),
    };
    let scopes = scopes(summary);
    let nodes: BTreeSet<NodeKind> = scopes.iter().filter_map(|s| s.node).collect();
    let nodes: Vec<String> = nodes.iter().map(|node| node.words()).collect();
    let reached = scopes.iter().filter_map(|scope| scope.reach.as_ref());
    let mixes: BTreeSet<&Mix> = reached.map(|reach| &reach.mix).collect();
    let mixes: Vec<String> = mixes.into_iter().map(Mix::words).collect();
    let told = [mixes.join("; "), nodes.join(" and ")].into_iter();
    let of = told
        .filter(|words| !words.is_empty())
        .fold(of, |of, words| format!("; {words}{of}"));
    let noun = if endpoints == ["1"] {
        "endpoint"
    } else {
        "endpoints"
    };
    format!(
        "At {} services of {} {noun}{of}.",
        whole(largest.into()),
        endpoints.join(" or ")
    )
}
