//! `summary.md`: what the data say and the numbers at the largest size, short enough for a comment on a
//! pull request.

use std::fmt::Write;

use schema::summary::{Row, Summary};
use schema::{Metric, Mode};

use crate::html::headline::{answers, behind, programmed};
use crate::html::kernels::{heading, why};
use crate::html::trust::{command, coverage_text, variant_text};
use crate::html::updates::{caption, counted};
use crate::load::Run;
use crate::quantity::{digits, span, value, whole};
use crate::scope::{Question, Scope, by_reason, instead, is_lowest, mishap, scopes, way};
use crate::side_by_side::side_by_side;
use crate::summarise::floor_ratios;
use crate::update_table::{Answer, update_tables, without_time};

/// Cells without numbers that are listed one by one; the page has them all.
const LISTED: usize = 12;

/// The text of one or more runs.
#[must_use]
pub fn render_markdown(runs: &[(&Run, &Summary)]) -> String {
    let parts: Vec<String> = runs
        .iter()
        .map(|(run, summary)| section(run, summary))
        .collect();
    parts.join("\n---\n\n")
}

fn section(run: &Run, summary: &Summary) -> String {
    let mut text = String::from("## Linux service datapaths\n\n");
    // Writing to a String cannot fail.
    for (name, environment) in &summary.environments {
        let _ = writeln!(
            text,
            "{}: Linux {}, {}, {} cores. Measured {}.\n",
            safe(name),
            safe(&environment.kernel),
            safe(&environment.cpu),
            environment.cores,
            safe(&run.header.started)
        );
    }
    for variant in &run.header.variants {
        let _ = writeln!(text, "Variant {}.\n", safe(&variant_text(variant)));
    }
    match &summary.noise {
        Some(noise) if noise.noisy => {
            let _ = writeln!(text, "> **Noisy run.** {}\n", safe(&noise.text));
        }
        Some(noise) => {
            let _ = writeln!(text, "Noise: {}\n", safe(&noise.text));
        }
        None => text.push_str("> **Noise unknown.** This run has no A/A pair.\n\n"),
    }
    for finding in &summary.findings {
        match finding.text.split_once(": ") {
            Some((question, rest)) => {
                let _ = writeln!(text, "- **{}:** {}", safe(question), safe(rest));
            }
            None => {
                let _ = writeln!(text, "- {}", safe(&finding.text));
            }
        }
    }
    let scopes = scopes(summary);
    for scope in &scopes {
        updates(&mut text, summary, scope, scopes.len() > 1);
        table(&mut text, summary, scope, scopes.len() > 1);
        floors(&mut text, run, scope, scope.largest(summary));
    }
    kernels(&mut text, summary);
    without_numbers(&mut text, summary);
    let _ = writeln!(
        text,
        "\n{} Medians with 95 % intervals over stays. To take it again: seed {}, `{}`",
        coverage_text(summary),
        run.header.seed,
        safe(&command(&run.header.command_line)).replace('`', "'")
    );
    text
}

/// Scenario × mode: rule updates.
fn updates(text: &mut String, summary: &Summary, scope: &Scope, named: bool) {
    for table in update_tables(summary, scope) {
        let place = if named {
            format!(", {}", safe(&scope.describe()))
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "\n### Rule updates at {} services{place}\n\n{}\n",
            whole(table.services.into()),
            safe(&caption(&table))
        );
        head(text, "update", &table.modes);
        for line in &table.lines {
            let times = line.times();
            let cells: Vec<String> = line
                .cells
                .iter()
                .map(|answers| {
                    let answers: Vec<String> = answers.iter().map(|a| update(a, &times)).collect();
                    if answers.is_empty() {
                        "not planned".to_owned()
                    } else {
                        answers.join("<br>")
                    }
                })
                .collect();
            let _ = writeln!(
                text,
                "| {} ({}) | {} |",
                safe(&line.text()),
                line.scenario,
                cells.join(" | ")
            );
        }
    }
}

/// One way's answer: time, what was counted, kube-proxy's sync.
fn update(answer: &Answer<'_>, times: &[&Row]) -> String {
    let way = answer.way();
    let through = if way.is_empty() {
        String::new()
    } else {
        format!("{}: ", safe(&way))
    };
    if answer.time.median.is_none() {
        return format!("{through}{}", safe(&without_time(answer.time)));
    }
    let sync = answer
        .sync
        .and_then(|sync| sync.median.zip(sync.unit))
        .map_or_else(String::new, |(median, unit)| {
            format!("; sync {}", value(median, unit))
        });
    format!(
        "{through}{}; {}{sync}",
        measured(answer.time, times),
        counted(answer)
    )
}

fn head(text: &mut String, first: &str, modes: &[Mode]) {
    let names: Vec<&str> = modes.iter().map(|mode| mode.name()).collect();
    let _ = writeln!(text, "| {first} | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(modes.len()));
}

fn table(text: &mut String, summary: &Summary, scope: &Scope, named: bool) {
    let largest = scope.largest(summary);
    let modes = scope.modes(summary);
    let place = if named {
        format!(", {}", safe(&scope.describe()))
    } else {
        String::new()
    };
    let questions = scope.questions(summary);
    if questions.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n### Packets, memory and rules at {} services{place}\n",
        whole(largest.into())
    );
    head(text, "question", &modes);
    for question in questions {
        let answers = answers(summary, scope, &question, largest);
        let cells: Vec<String> = modes
            .iter()
            .map(|mode| cell(&answers, *mode, &question))
            .collect();
        let _ = writeln!(
            text,
            "| {} | {} |",
            safe(&question.text(largest)),
            cells.join(" | ")
        );
    }
}

fn cell(answers: &[&Row], mode: Mode, question: &Question) -> String {
    let mine: Vec<String> = answers
        .iter()
        .filter(|row| row.key.mode == mode)
        .map(|row| answer(row, answers))
        .collect();
    if !mine.is_empty() {
        return mine.join("<br>");
    }
    if mode.is_floor() && question.metric != Metric::Latency {
        "–".to_owned()
    } else {
        "not planned".to_owned()
    }
}

fn answer(row: &Row, answers: &[&Row]) -> String {
    let way = way(&row.key.options);
    let through = if way.is_empty() {
        String::new()
    } else {
        format!("{}: ", safe(&way))
    };
    if row.median.is_some() {
        return format!("{through}{}", measured(row, answers));
    }
    format!("{through}{}", safe(instead(row)))
}

/// "**482 µs** (461–503 µs, n = 40 in 10 stays)": bold where it is the lowest.
fn measured(row: &Row, answers: &[&Row]) -> String {
    let Some((median, unit)) = row.median.zip(row.unit) else {
        return "no number".to_owned();
    };
    let median = value(median, unit);
    let median = if is_lowest(row, answers) {
        format!("**{median}**")
    } else {
        median
    };
    let noisy = if row.noisy { ", noisy" } else { "" };
    let but = match mishap(row) {
        Some(why) if why.contains("timed-out: longer than") => {
            " (other stays timed out: the true median is higher)"
        }
        Some(_) => " (some stays have no number)",
        None => "",
    };
    format!("{median} ({}{noisy}){but}", behind(row, unit))
}

fn floors(text: &mut String, run: &Run, scope: &Scope, services: u32) {
    let ratios = floor_ratios(run, services);
    let mine: Vec<String> = ratios
        .iter()
        .filter(|ratio| scope.holds(&ratio.key) && !ratio.key.mode.is_floor())
        .filter(|ratio| {
            ratio
                .key
                .options
                .get("position")
                .is_some_and(|position| position == "last")
        })
        .map(|ratio| {
            let protocol = ratio
                .key
                .options
                .get("protocol")
                .map_or_else(String::new, |p| format!(" {}", p.to_uppercase()));
            let ci95 = ratio
                .ratio
                .ci95
                .map_or_else(|| "no interval".to_owned(), span);
            safe(&format!(
                "{}{protocol} ÷ {} {} ({ci95})",
                programmed(&ratio.key),
                ratio.floor,
                digits(ratio.ratio.ratio)
            ))
        })
        .collect();
    if !mine.is_empty() {
        let _ = writeln!(
            text,
            "\nFirst packet to the last service against both floors: {}.",
            mine.join("; ")
        );
    }
}

/// Mode × kernel, where there are several environments.
fn kernels(text: &mut String, summary: &Summary) {
    for table in side_by_side(summary) {
        let names = table.columns.iter();
        let names: Vec<String> = names.map(|n| safe(&heading(summary, n))).collect();
        let _ = writeln!(
            text,
            "\n### {} side by side at {} services, {} endpoints each\n\n{}\n\n| question | mode | {} |\n|---|---|{}",
            table.of.title(),
            whole(table.services.into()),
            whole(table.endpoints.into()),
            table.of.caption(),
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for line in &table.lines {
            let cells = line.cells.iter().map(|cell| match cell {
                None => "not planned".to_owned(),
                Some(row) => match row.median.zip(row.unit) {
                    Some((median, unit)) => {
                        format!("{} ({})", value(median, unit), behind(row, unit))
                    }
                    None => safe(&why(row, line.metric)),
                },
            });
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                safe(&line.question),
                safe(&line.series()),
                cells.collect::<Vec<_>>().join(" | ")
            );
        }
    }
}

fn without_numbers(text: &mut String, summary: &Summary) {
    let rows: Vec<&Row> = summary
        .cells
        .iter()
        .filter(|row| row.metric.is_none())
        .collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nWithout numbers ({} cells):\n", rows.len());
    let groups = by_reason(&rows);
    for group in groups.iter().take(LISTED) {
        let first = group[0];
        let which = match group.len() {
            1 => first.key.to_string(),
            n => format!("{} ({}), {n} cells", first.key.mode, first.key.environment),
        };
        let why = first.reason.as_deref().unwrap_or(&first.outcome);
        let _ = writeln!(text, "- {}: {}", safe(&which), safe(why));
    }
    if groups.len() > LISTED {
        let rest: usize = groups[LISTED..].iter().map(Vec::len).sum();
        let _ = writeln!(text, "- … and {rest} more cells");
    }
}

/// Text that Markdown shows as it is, on one line.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' => {
                safe.push('\\');
                safe.push(letter);
            }
            '@' => safe.push_str("&#64;"),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}
