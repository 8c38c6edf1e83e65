//! `--resume`: carrying on a run whose process was killed, interrupted, or could not write any more.
//!
//! The file decides. Its first line must describe what would be measured now: the same arguments, seed,
//! program and environment, else the two halves were two runs. A last line that was cut off is dropped;
//! what the other lines say is what the run knows. Cells without an outcome, and those that only the
//! interrupt kept from being run, are what is left to do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, FromArgMatches as _};
use reports::Run;
use schema::{CellKey, Environment, Header, NotRun, Outcome, SCHEMA_VERSION};
use serde_json::{Value, json};

use crate::cli::{RunArgs, one_line, run_alone};
use crate::exit::{Differs, Usage};
use crate::header::arguments;
use crate::ledger::Ledger;
use crate::plan::{Plan, PlannedEnvironment, Settings, key};
use crate::run_dir::RunDir;

/// A run that is to be carried on.
pub(crate) struct Earlier {
    given: PathBuf,
    /// Its file, open for more lines.
    pub(crate) run_dir: RunDir,
    /// What it holds.
    pub(crate) run: Run,
    /// Its options.
    pub(crate) args: RunArgs,
}

impl Earlier {
    /// Reads what is there; changes nothing.
    ///
    /// # Errors
    /// No results, damaged or foreign ones, or ones that are being written: exit 2. Options that are not the
    /// run's: exit 4.
    pub(crate) fn read(given: &Path) -> anyhow::Result<Self> {
        // What is wrong with the file is said by the one who reads it.
        let file = reports::results_of(given);
        if !file.exists() {
            reports::load(given)?;
        }
        let run_dir = RunDir::open(&file)?;
        let run = reports::load_start(&file, run_dir.length())?;
        let (version, named) = (run.header.schema_version, given.display());
        if version != SCHEMA_VERSION {
            let why = format!(
                "--resume {named}: it was written by schema {version}, and this version writes schema {SCHEMA_VERSION}: report and compare read it; to measure the rest, run it again"
            );
            return Err(Differs(why).into());
        }
        let args = options(&run.header).map_err(|why| {
            Differs(format!(
                "--resume {named}: its options are not of this version ({why}); run it again"
            ))
        })?;
        Ok(Self {
            given: given.to_path_buf(),
            run_dir,
            run,
            args,
        })
    }

    /// The environments that it was started in, as a plan needs them.
    pub(crate) fn environments(&self) -> Vec<PlannedEnvironment> {
        let header = &self.run.header;
        let environment = |(name, facts): (&String, &Environment)| {
            let here = header.variants.iter().filter(|variant| {
                variant.environments.is_empty() || variant.environments.contains(name)
            });
            PlannedEnvironment {
                name: name.clone(),
                accel: facts.accel,
                variants: here.map(|variant| variant.name.clone()).collect(),
                pace: 1.0,
                lacks: BTreeSet::new(),
            }
        };
        header.environments.iter().map(environment).collect()
    }

    /// What was begun goes on, and what was not stays so, whatever the pace of now would say.
    pub(crate) fn keep_decisions(&self, plan: &mut Plan) {
        let first = self.run.cells.iter().filter(|record| record.block == 0);
        let decided: HashMap<&CellKey, &Outcome> =
            first.map(|record| (&record.key, &record.outcome)).collect();
        for stay in &mut plan.stays {
            let keys = stay.spec.cells.iter().map(|cell| key(&stay.spec, cell));
            let mut recorded = keys.filter_map(|key| decided.get(&key).copied());
            match recorded.next() {
                None
                | Some(Outcome::NotRun {
                    why: NotRun::Interrupted,
                }) => {}
                Some(Outcome::NotRun {
                    why: why @ (NotRun::Budget | NotRun::LeftOut(_)),
                }) => {
                    stay.left_out = Some(why.clone());
                }
                Some(_) => stay.left_out = None,
            }
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_finished(&self, ledger: &Ledger) -> bool {
        self.run.end.is_some() && ledger.closed() == ledger.planned()
    }

    /// The options must be those that the run was started with.
    ///
    /// # Errors
    /// They are not: exit 4.
    pub(crate) fn check_options(&self, settings: &Settings, plan: &Plan) -> Result<(), Differs> {
        let options = |arguments: &BTreeMap<String, Value>| {
            let named = arguments.iter();
            let named = named.map(|(name, value)| (format!("--{name}"), value.clone()));
            Value::Object(named.collect())
        };
        let mut found = Vec::new();
        let then = options(&self.run.header.arguments);
        let now = options(&arguments(settings, plan));
        compare(&mut found, "", Some(&then), Some(&now));
        let [then, now] = [self.run.header.seed, settings.args.seed].map(Value::from);
        compare(&mut found, "--seed", Some(&then), Some(&now));
        self.refuse_if(found, "leave the option out, or start a new run")
    }

    /// Program and environment must be those that the run was started with.
    ///
    /// # Errors
    /// They are not: exit 4.
    pub(crate) fn check_machine(&self, now: &Header) -> anyhow::Result<()> {
        let mut found = Vec::new();
        let facts = facts(&self.run.header)?.into_iter().zip(facts(now)?);
        for ((name, then), (_, now)) in facts {
            compare(&mut found, name, Some(&then), Some(&now));
        }
        Ok(self.refuse_if(found, "start a new run")?)
    }

    fn refuse_if(&self, found: Vec<String>, remedy: &str) -> Result<(), Differs> {
        if found.is_empty() {
            return Ok(());
        }
        let given = self.given.display();
        Err(Differs(format!(
            "--resume {given}: {}; {remedy}",
            found.join("; ")
        )))
    }

    /// What the lines say.
    ///
    /// # Errors
    /// A line is not of this plan: the file is damaged.
    pub(crate) fn ledger(&self, plan: &Plan) -> Result<Ledger, Usage> {
        let mut ledger = Ledger::new(plan);
        let given = self.given.display();
        for cell in &self.run.cells {
            let noted = ledger.note_earlier(cell);
            noted.map_err(|why| Usage(format!("--resume {given}: the file is damaged: {why}")))?;
        }
        Ok(ledger)
    }
}

/// What must be the same when a run is carried on.
fn facts(header: &Header) -> anyhow::Result<[(&'static str, Value); 5]> {
    let tools = header.variants.iter();
    let tools = tools.map(|v| (v.name.clone(), json!(v.tools)));
    let environments = serde_json::to_value(&header.environments);
    Ok([
        ("version", json!(header.tool_version)),
        ("revision", json!(header.revision)),
        ("binary", json!(header.binary)),
        ("", environments.context("encode an environment")?),
        ("tools of variant", Value::Object(tools.collect())),
    ])
}

/// Readings that differ at each look at the same machine.
const READINGS: [&str; 2] = ["clock_step_ns", "memory_bytes"];

/// Says where two values differ, by name down to the single fact.
fn compare(found: &mut Vec<String>, name: &str, then: Option<&Value>, now: Option<&Value>) {
    if let (Some(Value::Object(then)), Some(Value::Object(now))) = (then, now) {
        for key in then
            .keys()
            .chain(now.keys().filter(|k| !then.contains_key(*k)))
        {
            if !READINGS.contains(&key.as_str()) {
                let name = format!("{name} {key}");
                compare(found, name.trim_start(), then.get(key), now.get(key));
            }
        }
    } else if then != now {
        let text =
            |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
        found.push(format!("{name} was {}, is {}", text(then), text(now)));
    }
}

/// The run's own options, and on top of them those given now: the last one of each counts.
fn options(header: &Header) -> Result<RunArgs, String> {
    let given = std::env::args().skip(1);
    merged(&header.command_line, given.collect())
}

fn merged(then: &[String], now: Vec<String>) -> Result<RunArgs, String> {
    let then = options_of(then.get(1..).unwrap_or_default());
    let before = parsed(then)?;
    let mut both = parsed(&[then, options_of(&now)].concat())?;
    // Options that may be given several times are added up: of these, too, the last ones count.
    both.variant = last_given(before.variant, both.variant);
    both.sysctl = last_given(before.sysctl, both.sysctl);
    both.tool = last_given(before.tool, both.tool);
    Ok(both)
}

/// The options of a run, which need no verb.
fn options_of(words: &[String]) -> &[String] {
    match words {
        [verb, options @ ..] if verb == "run" => options,
        options => options,
    }
}

/// What was given now, if anything was.
fn last_given<T>(before: Vec<T>, mut both: Vec<T>) -> Vec<T> {
    let now = both.split_off(before.len().min(both.len()));
    if now.is_empty() { before } else { now }
}

fn parsed(options: &[String]) -> Result<RunArgs, String> {
    // It decides nothing of a run.
    let verbose = Arg::new("verbose").short('v').long("verbose");
    let command = run_alone("run").args_override_self(true);
    let command = command.arg(verbose.action(ArgAction::Count));
    let matches = command.try_get_matches_from(options);
    matches
        .and_then(|matches| RunArgs::from_arg_matches(&matches))
        .map_err(|error| one_line(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_not_given_is_taken_from_the_run_and_what_is_given_counts() {
        let then = words("bench-runner --services 10,20 --seed 7 --no-control --out a");
        let same = merged(&then, words("--resume a")).unwrap();
        assert_eq!(
            (same.services, same.seed, same.no_control),
            (vec![10, 20], 7, true)
        );
        let other = merged(&then, words("run --seed 8 --resume=a --services 10")).unwrap();
        assert_eq!((other.services, other.seed), (vec![10], 8));
        let then = words("bench-runner run --services 10 --modes none");
        let with_word = merged(&then, words("--resume a --modes nftables")).unwrap();
        assert_eq!(with_word.modes, [schema::Mode::Nftables]);
    }

    #[test]
    fn variants_that_are_given_again_replace_those_of_the_run() {
        let then: Vec<String> = [
            "bench-runner",
            "--variant",
            "a:",
            "--variant",
            "b:--plant 3",
        ]
        .map(str::to_owned)
        .into();
        let names = |now: &str| -> Vec<String> {
            let args = merged(&then, words(now)).unwrap();
            args.variant.into_iter().map(|given| given.name).collect()
        };
        assert_eq!(names("--resume x"), ["a", "b"]);
        assert_eq!(names("--resume x --variant c: --variant d:"), ["c", "d"]);
    }

    #[test]
    fn a_header_of_another_verb_is_refused() {
        assert!(merged(&words("bench-runner doctor"), Vec::new()).is_err());
        assert!(merged(&words("bench-runner --frobnicate"), Vec::new()).is_err());
    }

    #[test]
    fn differences_are_named_down_to_the_fact_and_readings_are_none() {
        let then = json!({"netns": {"kernel": "6.1", "clock_step_ns": 20, "tools": {"nft": "1", "gone": "2"}}});
        let now = json!({"netns": {"kernel": "6.18", "clock_step_ns": 21, "tools": {"nft": "1"}}});
        let mut found = Vec::new();
        compare(&mut found, "", Some(&then), Some(&now));
        assert_eq!(
            found,
            [
                "netns kernel was \"6.1\", is \"6.18\"",
                "netns tools gone was \"2\", is nothing"
            ]
        );
    }
}
