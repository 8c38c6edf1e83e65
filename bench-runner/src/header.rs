//! Line 1 of a run: what was asked, of what, by which program, on what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use guest::suite::{Suite, Suites};
use scenarios::spec::Setup;
use schema::{Environment, Header, LEAVING, Mode, OptionKey, SCHEMA_VERSION, Variant};
use serde_json::{Value, json};

use crate::cli::{Maxelem, RunArgs};
use crate::environment;
use crate::environments::{Environments, Open};
use crate::plan::{Plan, Settings};
use crate::population;
use crate::run_dir;

/// The header of a run that starts now.
pub(crate) fn header(
    settings: &Settings,
    plan: &Plan,
    choice: String,
    environments: &Environments,
) -> Header {
    let all = environments
        .iter()
        .map(|open| (open.planned.name.clone(), facts(open, settings)));
    Header {
        schema_version: SCHEMA_VERSION,
        started: run_dir::now(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("BENCH_RUNNER_REVISION").to_owned(),
        // The one that runs, even when another has taken its name since.
        binary: environment::checksum(Path::new("/proc/self/exe")).unwrap_or_default(),
        command_line: match settings.args.keep_names {
            true => std::env::args().collect(),
            false => anonymous(std::env::args()),
        },
        arguments: arguments(settings, plan),
        seed: settings.args.seed,
        planned_cells: plan.cells(),
        planned_blocks: plan.blocks,
        planned_time_ns: (plan.counted_time() + plan.timed_time()).as_nanos() as u64,
        choice,
        variants: variants(settings, environments),
        environments: all.collect(),
    }
}

/// The files that stand in for tools, by the tools' names.
fn replaced(setup: &Setup) -> impl Iterator<Item = (String, String)> {
    let tools = setup.tools.iter();
    tools.map(|(tool, file)| (tool.clone(), environment::replaced(tool, file)))
}

/// An environment's facts, with the tools that were named for all variants.
fn facts(open: &Open, settings: &Settings) -> Environment {
    let mut facts = open.facts.clone();
    facts.tools.extend(replaced(&settings.setup));
    facts
}

/// The packages of the suites whose tools are used, by the suite's name; `null` of those that are installed.
fn suites(settings: &Settings) -> BTreeMap<&str, Option<String>> {
    let there = Suites::of_user().list().unwrap_or_default();
    let versions = |name: &str| there.iter().find(|s| s.name == name).map(Suite::versions);
    let named = settings.sides().iter().flat_map(|side| &side.args.tools);
    named.map(|name| (name.as_str(), versions(name))).collect()
}

/// The sides of the comparison, where each is measured, and with which tools in place of others.
fn variants(settings: &Settings, environments: &Environments) -> Vec<Variant> {
    let of_side = |side: &Settings| {
        let there = environments.planned().into_iter();
        let there = there.filter(|e| e.measures(side.variant()));
        Variant {
            name: side.given.name.clone(),
            options: side.given.options.clone(),
            environments: there.map(|e| e.name).collect(),
            tools: replaced(&side.setup).collect(),
        }
    };
    settings.variants.iter().map(of_side).collect()
}

/// The variants' options as given, by name; the order counts, too.
fn options_of(settings: &Settings) -> Value {
    let given = settings.variants.iter().map(|side| &side.given);
    let named = given.map(|given| (given.name.clone(), json!(given.options)));
    Value::Object(named.collect())
}

/// A command line without the files of `--population`: nothing of them is kept but their shape, which is in the run.
fn anonymous(words: impl Iterator<Item = String>) -> Vec<String> {
    const OPTION: &str = "--population";
    let (mut kept, mut is_file) = (Vec::new(), false);
    for word in words {
        match word
            .strip_prefix(OPTION)
            .map(|rest| rest.strip_prefix('=').is_some())
        {
            _ if is_file && !word.starts_with('-') => continue,
            Some(is_joined) if is_joined || word == OPTION => {
                if !kept.iter().any(|word| word == OPTION) {
                    kept.extend([OPTION.to_owned(), population::FILE.to_owned()]);
                }
                is_file = true;
                continue;
            }
            _ => is_file = false,
        }
        kept.push(word);
    }
    kept
}

/// What services were asked to be, as far as anything was said of it.
fn types_of_services(args: &RunArgs) -> impl Iterator<Item = (String, Value)> + use<> {
    let types = (!args.service_types.is_empty()).then(|| json!(args.service_types));
    let mix = args.mix.as_ref().map(|mix| json!(mix));
    let types = types.map(|types| ("service-types".to_owned(), types));
    let imported = args.imported.as_ref();
    let imported = imported.map(|all| (OptionKey::Population.name().to_owned(), json!(all.hash())));
    types
        .into_iter()
        .chain(imported)
        .chain(mix.map(|mix| ("mix".to_owned(), mix)))
}

/// The modes that would be left, where anything was said of it.
fn leaving(args: &RunArgs) -> Option<(String, Value)> {
    let each: BTreeSet<Mode> = args.leaving.iter().copied().collect();
    (!each.is_empty()).then(|| (LEAVING.to_owned(), json!(each)))
}

/// What sets hold, where they hold more than kube-proxy's.
fn raised(args: &RunArgs) -> Option<(String, Value)> {
    let raised = args.maxelem == Maxelem::Raised;
    raised.then(|| (OptionKey::Maxelem.name().to_owned(), json!(args.maxelem)))
}

/// A number as it is where it stands alone, as before there could be several.
fn one_or_all(numbers: &[u32]) -> Value {
    match numbers {
        [one] => json!(one),
        several => json!(several),
    }
}

/// Resolved arguments by option name: everything that decides the plan or what a stay does.
pub(crate) fn arguments(settings: &Settings, plan: &Plan) -> BTreeMap<String, Value> {
    let (args, request) = (&settings.args, &settings.request);
    let chosen = json!(args.chosen);
    let time = |time: Duration| json!(humantime::format_duration(time).to_string());
    [
        ("services", json!(settings.sizes)),
        ("endpoints", one_or_all(&settings.endpoints)),
        ("modes", json!(settings.modes)),
        ("scenarios", json!(settings.scenarios)),
        ("transports", json!(request.transports)),
        ("engines", json!(request.engines)),
        ("kube-proxy", json!(settings.layouts())),
        ("positions", json!(request.positions)),
        ("protocols", json!(request.protocols)),
        (
            "families",
            json!(args.families.name().split(',').collect::<Vec<_>>()),
        ),
        ("large-cluster", json!(args.large_cluster)),
        ("sandbox", json!(args.sandbox)),
        ("kernel", json!(args.kernel)),
        ("deterministic", json!(args.deterministic)),
        ("repetitions", json!(settings.repetitions)),
        ("until-decided", json!(args.until_decided)),
        ("budget", time(plan.budget)),
        ("cell-timeout", time(args.cell_timeout)),
        ("flows", json!(args.flows)),
        ("vip-stride", json!(args.vip_stride)),
        ("control", json!(settings.control)),
        ("damage", json!(args.damage)),
        ("plant", json!(args.plant)),
        ("sysctl", json!(settings.setup.sysctls)),
        ("tool", json!(settings.setup.tools)),
        ("tools", json!(suites(settings))),
        ("variant", options_of(settings)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .chain(types_of_services(args))
    .chain(raised(args))
    .chain(leaving(args))
    .chain(chosen.as_object().cloned().unwrap_or_default())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_a_population_is_kept_however_it_is_given() {
        let kept = |line: &str| {
            let words = line.split(' ').map(str::to_owned);
            anonymous(words).join(" ")
        };
        for given in [
            "bench-runner run --population /home/me/a.json b.yaml --seed 7",
            "bench-runner run --population=/home/me/a.json --population b.yaml --seed 7",
            "bench-runner run --population /home/me/a.json --population=b.yaml --seed 7",
        ] {
            let line = "bench-runner run --population population.json --seed 7";
            assert_eq!(kept(given), line, "{given}");
        }
        let without = "bench-runner --services 10 --out x";
        assert_eq!(kept(without), without);
    }
}
