//! `plan`: what a run would do, without doing it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use netns_harness::datapath::{RenderOptions, Transport, facts};
use scenarios::no_room;
use scenarios::population::Recipe;
use scenarios::spec::StaySpec;
use schema::{Mix, OptionKey};

use crate::case::Case;
use crate::choice;
use crate::cli::{RunArgs, SandboxOption};
use crate::exit::{Ended, refused};
use crate::machine::Machine;
use crate::plan::{ENVIRONMENT, Plan, PlannedStay, Settings, mode_of};
use crate::population;
use crate::progress::{note, rough};
use crate::stdout::say;

/// Options of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Print the stays' specifications, one JSON object a line: each can be given to `cell`.
    #[arg(long, conflicts_with = "rules")]
    pub(crate) json: bool,

    /// Print the rules that a cold install at the largest size would send, by mode, transport and engine.
    #[arg(long)]
    pub(crate) rules: bool,
}

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<Ended> {
    if args.run.resume.is_some() {
        return refused("--resume is for `run`; a plan carries nothing on");
    }
    let mut asked = args.run.clone();
    population::resolve(&mut asked)?;
    let settings = Settings::resolve(&asked)?;
    let environments = choice::foreseen(&settings)?;
    let plan = Plan::new(&settings, &environments, &Machine::now());
    if asked.sandbox == SandboxOption::Auto && environments.iter().all(|e| e.name == ENVIRONMENT) {
        note(
            "planned as if this kernel had every mode (`doctor` tries them): where it lacks one, `run` measures in a KVM guest, or times what is here and counts instructions of every mode in guests as well",
        );
    }
    if args.rules {
        for side in settings.sides() {
            if !side.variant().is_empty() {
                say!("# variant {}", side.variant());
            }
            for case in side.cases().iter().filter(|case| !case.mode.is_floor()) {
                for mix in &side.mixes {
                    say!("{}", rules(side, case, mix));
                }
            }
        }
    } else if args.json {
        for stay in plan.block(0) {
            let spec = serde_json::to_string(&stay.spec).context("encode a stay")?;
            say!("{spec}");
        }
    } else {
        print_table(&plan);
    }
    Ok(Ended::Done)
}

fn print_table(plan: &Plan) {
    let titles = [
        "stay",
        "environment",
        "mode",
        "services",
        "endpoints",
        "expected",
        "programmed",
        "cells",
    ];
    let rows: Vec<[String; 8]> = plan.block(0).iter().enumerate().map(row).collect();
    // On this machine's kernel alone there is nothing to say of where.
    let several = rows.iter().any(|row| row[1] != ENVIRONMENT);
    let lines = [titles.map(str::to_owned)].into_iter().chain(rows);
    let lines: Vec<[String; 8]> = lines.collect();
    let widths: [usize; 8] =
        std::array::from_fn(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0));
    for line in &lines {
        let columns = line.iter().zip(widths).enumerate();
        let shown = columns.filter(|(at, _)| *at != 1 || several);
        // Numbers stand to the right.
        let aligned = shown.map(|(at, (text, width))| match at {
            3..=5 => format!("{text:>width$}"),
            7 => text.clone(),
            _ => format!("{text:<width$}"),
        });
        say!("{}", aligned.collect::<Vec<_>>().join("  "));
    }
    plan.sentences().iter().for_each(|line| say!("{line}"));
}

/// The columns of a stay.
fn row((number, stay): (usize, &PlannedStay)) -> [String; 8] {
    let spec = &stay.spec;
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for cell in &spec.cells {
        let word = |key, before: &str| {
            let words = cell.options.words_of(key);
            words.map_or_else(String::new, |words| format!(" {before} {words}"))
        };
        let cut = word(OptionKey::Chunk, "in")
            + &word(OptionKey::TrackedFlows, "with")
            + &word(OptionKey::ScaledTo, "down");
        *asked.entry(format!("{}{cut}", cell.scenario)).or_default() += 1;
    }
    let asked = asked.iter().map(|(name, count)| format!("{count} {name}"));
    [
        number.to_string(),
        spec.environment.clone(),
        mode_of(spec),
        spec.services.to_string(),
        spec.endpoints.to_string(),
        match stay.left_out {
            Some(_) => "not begun".to_owned(),
            None => rough(Duration::from_nanos(stay.expected_ns)),
        },
        programmed(spec),
        asked.collect::<Vec<_>>().join(", "),
    ]
}

/// How a stay's rules are written: "netlink, kube-proxy 1.36, tools of trixie".
fn programmed(spec: &StaySpec) -> String {
    if spec.mode.is_floor() {
        return "-".to_owned();
    }
    let cells = spec.cells.iter().map(|cell| &cell.options);
    let word = |key: OptionKey| cells.clone().find_map(|options| options.words_of(key));
    // Hours of idling are of other versions than the rules.
    let layout = spec.kube_proxy.and_then(|v| facts(spec.mode).layout(v));
    let layout = layout.map(|layout| OptionKey::KubeProxy.words(&layout.to_string()));
    let keys = [
        OptionKey::MinSyncPeriod,
        OptionKey::LargeCluster,
        OptionKey::Maxelem,
        OptionKey::Engine,
        OptionKey::Suite,
    ];
    let words = layout.into_iter().chain(keys.into_iter().filter_map(word));
    let all = [spec.transport.name().to_owned()].into_iter().chain(words);
    all.collect::<Vec<_>>().join(", ")
}

/// The rules of a case for services that are that, after a line that names both; that line alone, with the reason, where there
/// are none.
fn rules(settings: &Settings, case: &Case, mix: &Mix) -> String {
    let services = settings.request.largest;
    let endpoints = *settings.endpoints.last().expect("there is one number");
    let of = match mix.is_ordinary() {
        true => String::new(),
        false => format!(" ({mix})"),
    };
    let name = format!("# {case}, {services} services{of}");
    if case.transport == Transport::KubeProxy {
        return format!("{name}: what a real kube-proxy installs is seen when it has");
    }
    let recipe = Recipe {
        family: case.family,
        seed: settings.args.seed,
        endpoints,
        protocols: &settings.request.protocols,
        vip_stride: settings.args.vip_stride,
        types: mix.cycle(),
        imported: settings.args.imported.as_deref(),
    };
    let population = recipe.population(services);
    let datapath = case.datapath();
    let raised = settings.raises(case.mode, case.transport);
    let no_layout = datapath.no_layout(&population).map(str::to_owned);
    let refused = no_layout.or_else(|| no_room(&*datapath, &population).filter(|_| !raised));
    if let Some(why) = refused {
        return format!("{name}: unsupported: {why}");
    }
    let options = RenderOptions {
        large_cluster: settings.request.large_cluster.at(services, endpoints),
        raised,
        ..RenderOptions::by(case.transport)
    };
    let batch = datapath.render(None, &population, &options);
    format!(
        "{name}: {} operations, {} messages, {} bytes\n{}",
        batch.operations(),
        batch.messages(),
        batch.bytes(),
        batch.to_string().trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    /// What is printed, and of that the lines that name what follows.
    fn printed(words: &str) -> (String, Vec<String>) {
        let words = format!("bench-runner --services 20 --no-sweep {words}");
        let cli = crate::cmd::Cli::try_parse_from(words.split(' ')).unwrap();
        let settings = Settings::resolve(&cli.run).unwrap();
        let cases = settings.cases();
        let of_case = |case| settings.mixes.iter().map(move |mix| (case, mix));
        let each = cases.iter().flat_map(of_case);
        let texts: Vec<String> = each
            .map(|(case, mix)| rules(&settings, case, mix))
            .collect();
        let heads = texts.iter().filter_map(|text| text.lines().next());
        (texts.join("\n"), heads.map(str::to_owned).collect())
    }

    #[test]
    fn rules_are_of_each_kind_of_services_and_where_a_mode_has_no_layout_that_is_said() {
        let (_, heads) = printed(
            "--modes ipset,nftables --service-types cluster-ip,node-port --mix affinity=60,no-endpoints=40",
        );
        let of = ["20 services: ", "20 services (node-port): "];
        let of = [of[0], of[1], "20 services (affinity=60,no-endpoints=40): "];
        for (nth, head) in heads.iter().enumerate() {
            assert!(head.contains(of[nth % 3]), "{head}");
            let is_missing = head.starts_with("# ipset") && nth % 3 > 0;
            assert_eq!(
                head.contains(": unsupported: mode ipset "),
                is_missing,
                "{head}"
            );
            assert_eq!(head.contains(" operations, "), !is_missing, "{head}");
        }
        assert_eq!(heads.len(), 6);
    }

    #[test]
    fn larger_sets_are_larger_in_the_rules_too() {
        let maxelem = |words: &str| {
            let (text, _) = printed(words);
            [" maxelem 65536", " maxelem 1048576"].map(|size| text.contains(size))
        };
        assert_eq!(maxelem("--modes ipvs"), [true, false]);
        assert_eq!(maxelem("--modes ipvs --maxelem raised"), [false, true]);
    }
}
