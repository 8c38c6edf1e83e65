//! Over random results: no sentence and no mark claims an order whose intervals overlap.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use reports::{Run, Standing, matrix, summarise, view};
use schema::summary::{Row, Summary};
use schema::{CellKey, Metric, Mode, OptionKey, ScenarioKind};
use synthetic::Shape;

/// A run of a few modes whose cells are moved at random: by a factor a cell, so that modes cross and tie, and
/// by another a stay, so that intervals are wide.
fn random_run(seed: u64, blocks: u32, noise: f64, factors: &[f64]) -> Run {
    let mut run = synthetic::run(&Shape {
        seed,
        blocks,
        sizes: vec![100, 1_000, 10_000],
        samples: 5,
        stay_noise: noise,
        mishaps: seed.is_multiple_of(2),
        ..Shape::default()
    });
    run.cells.retain(|cell| {
        let key = &cell.key;
        let asked = matches!(
            key.scenario,
            ScenarioKind::FirstPacket | ScenarioKind::ServiceAdd | ScenarioKind::ColdInstall
        );
        let tcp = key
            .options
            .get(OptionKey::Protocol)
            .is_none_or(|p| p == "tcp");
        asked
            && tcp
            && key
                .options
                .get(OptionKey::Position)
                .is_none_or(|p| p == "uniform")
    });
    let mut places: BTreeMap<CellKey, usize> = BTreeMap::new();
    for cell in &mut run.cells {
        let next = places.len();
        let place = *places.entry(cell.key.clone()).or_insert(next);
        let factor = factors[place % factors.len()];
        for series in &mut cell.series {
            series.values.iter_mut().for_each(|value| *value *= factor);
        }
        // Updates are ranked with what is released after them: here nothing is, so that rows say what was ranked.
        cell.series
            .retain(|series| series.metric != Metric::ReleaseTime);
    }
    run
}

/// The row that a name in a sentence means.
fn named<'a>(
    summary: &'a Summary,
    name: &str,
    (scenario, metric): (ScenarioKind, Metric),
    services: u32,
) -> &'a Row {
    let (mode, words) = name.split_once(" (").unwrap_or((name, ""));
    let mode: Mode = mode.parse().unwrap();
    let words = words.trim_end_matches(')');
    let rows = summary.cells.iter().filter(|row| {
        (row.key.mode, row.key.scenario, row.key.services, row.metric)
            == (mode, scenario, services, Some(metric))
    });
    let mut found: Vec<&Row> = rows
        .filter(|row| {
            let of = row.key.options.words();
            words.is_empty() || words.split(", ").all(|word| of.iter().any(|o| o == word))
        })
        .collect();
    if found.len() > 1 {
        // A name without its way is the ordinary way.
        found.retain(|row| {
            row.key
                .options
                .get(OptionKey::Transport)
                .is_none_or(|t| t != "nft")
        });
    }
    assert_eq!(found.len(), 1, "'{name}' in {scenario} at {services}");
    found.remove(0)
}

fn before(low: &Row, high: &Row, text: &str) {
    let ([_, top], [bottom, _]) = (low.ci95.unwrap(), high.ci95.unwrap());
    assert!(
        top < bottom,
        "{} [..{top}] and {} [{bottom}..] overlap: {text}",
        low.key,
        high.key
    );
}

/// Every order that a sentence claims.
fn claims(summary: &Summary, text: &str) -> usize {
    let scenario = match text {
        t if t.starts_with("First packet (") => ScenarioKind::FirstPacket,
        t if t.starts_with("Adding one") => ScenarioKind::ServiceAdd,
        t if t.starts_with("Installing") => ScenarioKind::ColdInstall,
        _ => return 0,
    };
    let verdict = text.split(" Values").next().unwrap();
    let verdict = verdict.split(" Fastest by size: ").next().unwrap();
    if scenario == ScenarioKind::FirstPacket {
        return claims_by(summary, verdict, (scenario, Metric::Latency), text);
    }
    let (opening, by_update) = verdict
        .split_once(" By update_time")
        .unwrap_or((verdict, ""));
    let (by_update, by_sync) = by_update
        .split_once(" By sync_time (")
        .unwrap_or((by_update, ""));
    if let Some((best, _)) = opening.split_once(" is the fastest, by update_time and by sync_time")
    {
        let best = best.rsplit(": ").next().unwrap();
        for metric in [Metric::UpdateTime, Metric::SyncTime] {
            let rows = summary.cells.iter().filter(|row| {
                (row.key.scenario, row.key.services, row.metric) == (scenario, 10_000, Some(metric))
            });
            let lowest = named(summary, best, (scenario, metric), 10_000);
            rows.filter(|row| row.key != lowest.key)
                .for_each(|row| before(lowest, row, text));
        }
    }
    claims_by(summary, by_update, (scenario, Metric::UpdateTime), text)
        + claims_by(summary, by_sync, (scenario, Metric::SyncTime), text)
}

/// Those of one metric.
fn claims_by(summary: &Summary, verdict: &str, asked: (ScenarioKind, Metric), text: &str) -> usize {
    let base = match verdict.split_once(" is the fastest; ") {
        Some((name, _)) => name.rsplit(": ").next().unwrap(),
        None => match verdict.split_once("gainst ") {
            Some((_, rest)) => {
                &rest[..rest
                    .find(", ipt")
                    .into_iter()
                    .chain(rest.find(", ips"))
                    .chain(rest.find(", nft"))
                    .min()
                    .unwrap()]
            }
            None => return 0,
        },
    };
    let lowest = named(summary, base, asked, 10_000);
    let mut seen = 0;
    for part in verdict
        .split(" times as long")
        .filter(|part| part.contains(" takes "))
    {
        let (name, times) = part.rsplit_once(" takes ").unwrap();
        if times.starts_with("more than") {
            continue;
        }
        let start = Mode::ALL
            .iter()
            .filter_map(|mode| Some((name.rfind(mode.name())?, mode)));
        // "iptables-nft" holds no other mode's name, but "none" may stand before it.
        let (at, _) = start
            .max_by_key(|(at, mode)| (*at, mode.name().len()))
            .unwrap();
        before(lowest, named(summary, &name[at..], asked, 10_000), text);
        seen += 1;
    }
    seen
}

/// Every crossing: the two are in opposite orders, told apart, at the sizes around it.
fn crossings(summary: &Summary, text: &str) -> usize {
    let Some((question, parts)) = text
        .split_once("as N grows, for ")
        .and_then(|(_, rest)| rest.split_once(": "))
    else {
        return 0;
    };
    let scenario = match question {
        "adding one service" => ScenarioKind::ServiceAdd,
        "installing from nothing" => ScenarioKind::ColdInstall,
        _ => ScenarioKind::FirstPacket,
    };
    let mut seen = 0;
    let mut metric = Metric::Latency;
    for part in parts
        .split(['.', ';'])
        .filter(|part| part.contains(" overtakes "))
    {
        let part = match part.trim().trim_start_matches("And ").split_once(": ") {
            Some((by, rest)) => {
                let by = by.trim_start_matches("by ").split(' ').next();
                metric = by.unwrap().parse().unwrap();
                rest
            }
            None => part.trim(),
        };
        let (over, rest) = part.split_once(" overtakes ").unwrap();
        let (under, rest) = rest.split_once(" at ").unwrap();
        let numbers: Vec<f64> = rest
            .replace(',', "")
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse().unwrap())
            .collect();
        // "at 522 services (339–978)"
        let [at, from, to] = numbers[..] else {
            panic!("{part}")
        };
        assert!(from <= at && at <= to, "{part}");
        let sizes = [100, 1_000, 10_000];
        let apart = |low: &str, high: &str, size: u32| {
            let of = |name: &str| named(summary, name, (scenario, metric), size);
            before(of(low), of(high), text);
        };
        let below = sizes.iter().rev().find(|size| f64::from(**size) <= from);
        let above = sizes.iter().find(|size| f64::from(**size) >= to);
        apart(under, over, *below.unwrap());
        apart(over, under, *above.unwrap());
        seen += 1;
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn no_sentence_and_no_mark_claims_an_order_whose_intervals_overlap(
        seed in 0..1_000_u64,
        blocks in 1..10_u32,
        noise in 0.005..0.4_f64,
        factors in prop::collection::vec(0.3..3.0_f64, 40),
    ) {
        let run = random_run(seed, blocks, noise, &factors);
        let summary = summarise(&run);
        for finding in &summary.findings {
            claims(&summary, &finding.text);
            crossings(&summary, &finding.text);
        }
        for scope in view::scopes(&summary) {
            for asked in matrix(&run, &summary, &scope) {
                let serving = asked.answers.values().map(|answer| answer.row);
                let serving = serving.filter(|row| !row.key.mode.is_floor() && row.median.is_some());
                let lowest = serving.min_by(|a, b| view::ranked(a).partial_cmp(&view::ranked(b)).unwrap());
                for answer in asked.answers.values() {
                    match (answer.standing, lowest) {
                        (Some(Standing::Higher), Some(lowest)) => before(lowest, answer.row, "the matrix"),
                        (Some(Standing::Lowest), Some(lowest)) => {
                            assert_eq!(&lowest.key, &answer.row.key);
                            let others = asked.answers.values().filter(|o| o.row.key.mode != lowest.key.mode);
                            for other in others.filter(|o| o.standing.is_some()) {
                                before(lowest, other.row, "the matrix");
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

#[test]
fn orders_are_claimed_where_intervals_are_apart() {
    // The property above must not hold of silence.
    let run = random_run(1, 7, 0.01, &[1.0]);
    let summary = summarise(&run);
    let orders: usize = summary
        .findings
        .iter()
        .map(|f| claims(&summary, &f.text))
        .sum();
    let crossed: usize = summary
        .findings
        .iter()
        .map(|f| crossings(&summary, &f.text))
        .sum();
    assert!(orders >= 6, "{orders} of {:?}", summary.findings);
    assert!(crossed >= 1, "{crossed}");
}

#[test]
fn modes_that_change_places_inside_their_intervals_cross_nowhere_that_is_known() {
    let run = random_run(3, 6, 0.4, &[1.0]);
    let mut run = run;
    run.cells.retain(|c| {
        c.key.scenario == ScenarioKind::FirstPacket
            && matches!(c.key.mode, Mode::Ipset | Mode::Nftables)
    });
    for cell in &mut run.cells {
        let factor = match (cell.key.mode, cell.key.services) {
            (Mode::Ipset, 100) | (Mode::Nftables, 10_000) => 1.02,
            _ => 1.0,
        };
        for series in &mut cell.series {
            // The same noise in both, so that medians turn by what is added alone.
            let n = series.values.len();
            series.values = (0..n)
                .map(|i| factor * (40_000.0 + 9_000.0 * f64::from(cell.block) + i as f64))
                .collect();
        }
    }
    let summary = summarise(&run);
    let text = summary
        .findings
        .iter()
        .find(|f| f.text.starts_with("Which mode overtakes"))
        .unwrap();
    assert!(
        text.text.contains("no crossing is known; inconclusive"),
        "{}",
        text.text
    );
}

#[test]
fn no_headline_is_contradicted_by_the_other_time_of_the_same_cells_without_saying_so() {
    let (mut agreed, mut differed) = (0, 0);
    for seed in 0..150 {
        let mut run = synthetic::run(&Shape {
            seed,
            blocks: 8,
            sizes: vec![1_000],
            samples: 1,
            stay_noise: 0.05,
            mishaps: false,
            turned: synthetic::Turned::by(seed),
            ..Shape::default()
        });
        run.cells.retain(|cell| {
            cell.key.scenario == ScenarioKind::ServiceAdd
                && cell
                    .key
                    .options
                    .get(OptionKey::Transport)
                    .is_none_or(|t| t != "nft")
        });
        let summary = summarise(&run);
        let row = |mode: Mode, metric: Metric| {
            summary
                .cells
                .iter()
                .find(|row| row.key.mode == mode && row.metric == Some(metric))
        };
        let headline = summary
            .findings
            .iter()
            .find(|f| f.text.starts_with("Adding one"));
        let text = &headline.unwrap().text;
        // Releases are all alike and small beside what is drawn: the order is that of update_time.
        let apart = |a: Mode, b: Mode, metric: Metric| {
            Some(view::order(row(a, metric)?, row(b, metric)?)).map(|order| (order, metric))
        };
        let contradicted = Mode::ALL.iter().any(|a| {
            Mode::ALL.iter().any(|b| {
                let both = [Metric::UpdateTime, Metric::SyncTime].map(|m| apart(*a, *b, m));
                matches!(both, [Some((Some(x), _)), Some((Some(y), _))] if x != y)
            })
        });
        let said = text.contains("update_time and sync_time rank the modes differently");
        assert!(said || !contradicted, "{text}");
        assert!(!(said && text.contains("fastest")), "{text}");
        if said { differed += 1 } else { agreed += 1 }
    }
    assert!(differed > 100 && agreed > 0, "{differed} {agreed}");
}
