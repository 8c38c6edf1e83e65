//! `summary.md`: what the data say and the numbers at the largest size, short enough for a comment on a
//! pull request.

use std::fmt::Write;

use schema::summary::{Row, Summary};
use schema::{Metric, Mode, OptionKey, OutcomeKind, Position};

use crate::html::headline::{answers, behind, programmed};
use crate::html::kernels::{heading, why};
use crate::html::trust::{Disturbed, again, coverage_text, older, variant_text};
use crate::html::updates::{caption, counted, together};
use crate::load::Run;
use crate::quantity::{digits, shortened, value, whole};
use crate::scope::{Question, Scope, by_reason, instead, is_lowest, scopes, way};
use crate::sentence;
use crate::side_by_side::side_by_side;
use crate::summarise::floor_ratios_in;
use crate::update_table::{Answer, update_tables, without_time};

/// Cells without numbers that are listed one by one; the page has them all.
const LISTED: usize = 12;

/// Characters of a comment on a pull request: GitHub takes 65,536, and a line may follow ours.
pub const LONGEST: usize = 65_000;
/// Characters that the last lines of a run's part are left.
const TAIL: usize = 2_600;
/// Characters of a name, and of a sentence.
const NAME: usize = 120;
const SENTENCE: usize = 2_500;

/// The text of one or more runs, at most [`LONGEST`] characters: tables end early, and say so.
#[must_use]
pub fn render_markdown(runs: &[(&Run, &Summary)]) -> String {
    let between = "\n---\n\n";
    let each = LONGEST / runs.len().max(1) - between.len();
    let parts: Vec<String> = runs
        .iter()
        .map(|(run, summary)| section(run, summary, each))
        .collect();
    let text = parts.join(between);
    if text.chars().count() <= LONGEST {
        return text;
    }
    // So many runs that not even their last lines have room.
    let pointer = "\n\n… cut here: the others are in report.html\n";
    let kept: String = text.chars().take(LONGEST - pointer.len()).collect();
    kept + pointer
}

/// Text that ends early when it reaches its length: at a line, and with a line that says so.
struct Page {
    text: String,
    left: usize,
}

impl Page {
    /// Adds a part whole, or as many of its lines as there is room for.
    fn add(&mut self, part: &str) {
        let length = part.chars().count();
        if length <= self.left {
            self.text.push_str(part);
            self.left -= length;
            return;
        }
        let pointer =
            |lines: usize| format!("\n… cut here: {lines} more lines are in report.html\n");
        let total = part.lines().count();
        let room = self.left.saturating_sub(pointer(total).chars().count());
        let (mut used, mut kept) = (0, 0);
        for line in part.split_inclusive('\n') {
            let length = line.chars().count();
            if used + length > room {
                break;
            }
            self.text.push_str(line);
            used += length;
            kept += 1;
        }
        if room > 0 {
            self.text.push_str(&pointer(total - kept));
        }
        self.left = 0;
    }
}

fn section(run: &Run, summary: &Summary, length: usize) -> String {
    let tail = tail(run, summary);
    let mut page = Page {
        text: String::new(),
        left: length.saturating_sub(tail.chars().count()),
    };
    page.add(&opening(run, summary));
    let scopes = scopes(summary);
    let mut part = |render: &dyn Fn(&mut String)| {
        // What has no room is not rendered: of many environments that would take long.
        if page.left > 0 {
            let mut text = String::new();
            render(&mut text);
            page.add(&text);
        }
    };
    for scope in &scopes {
        let several = scopes.len() > 1;
        part(&|text| updates(text, summary, scope, several));
        part(&|text| table(text, summary, scope, several));
        part(&|text| floors(text, (run, summary), scope, scope.largest(summary)));
    }
    part(&|text| kernels(text, summary));
    part(&|text| without_numbers(text, summary));
    page.text + &tail
}

/// What was measured where, how noisy that was, and what the data say.
fn opening(run: &Run, summary: &Summary) -> String {
    let mut text = String::from("## Linux service datapaths\n\n");
    // Writing to a String cannot fail.
    for (name, environment) in &summary.environments {
        let _ = writeln!(
            text,
            "{}: Linux {}, {}, {} cores. Measured {}.\n",
            name_of(name),
            name_of(&environment.kernel),
            name_of(&environment.cpu),
            environment.cores,
            name_of(&run.header.started)
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
    if let Some(older) = older(run) {
        let _ = writeln!(text, "> **Older results.** {}\n", safe(&older));
    }
    let disturbed = Disturbed::of(run);
    match disturbed.is_much() {
        true => {
            let _ = writeln!(text, "> **Disturbed run.** {disturbed}\n");
        }
        false if disturbed.seen() > 0 => {
            let _ = writeln!(text, "Disturbance: {disturbed}\n");
        }
        false => {}
    }
    if !summary.cells.iter().any(|row| row.metric.is_some()) {
        text.push_str("> **Nothing was measured.** The reasons are below.\n\n");
    }
    let several = scopes(summary).len() > 1;
    for finding in &summary.findings {
        let said = |part: &str| safe(&shortened(part, SENTENCE));
        let (head, rest) = match sentence::place(several, finding) {
            Some(place) => (place, sentence::text(None, finding)),
            None => (finding.question.clone(), sentence::answer(finding)),
        };
        let _ = writeln!(text, "- **{}:** {}", said(&head), said(&rest));
    }
    text
}

/// What became of the plan, and how to take the run again.
fn tail(run: &Run, summary: &Summary) -> String {
    let command = shortened(&again(&run.header), TAIL - 1_200);
    format!(
        "\n{} Values are medians of stays, with 95 % intervals from six stays on. To take it again: `{}`\n",
        coverage_text(summary),
        safe(&command).replace('`', "'")
    )
}

/// A name as a table or a heading shows it.
fn name_of(name: &str) -> String {
    safe(&shortened(name, NAME))
}

/// Scenario × mode: rule updates.
fn updates(text: &mut String, summary: &Summary, scope: &Scope, named: bool) {
    for table in update_tables(summary, scope) {
        let place = if named {
            format!(", {}", name_of(&scope.describe()))
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
                name_of(&line.text()),
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
        format!("{}: ", name_of(&way))
    };
    if answer.time.median.is_none() {
        return format!(
            "{through}{}",
            safe(&shortened(&without_time(answer.time), 2 * NAME))
        );
    }
    let sync = answer
        .sync
        .and_then(|sync| sync.median.zip(sync.unit))
        .map_or_else(String::new, |(median, unit)| {
            format!("; sync {}", value(median, unit))
        });
    let release = answer
        .release
        .and_then(|release| release.median.zip(release.unit))
        .map_or_else(String::new, |(median, unit)| {
            format!(
                "; then released in {}{}",
                value(median, unit),
                together(answer.time)
            )
        });
    format!(
        "{through}{}; {}{sync}{release}",
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
        format!(", {}", name_of(&scope.describe()))
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
            name_of(&question.text(largest)),
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
        format!("{}: ", name_of(&way))
    };
    if row.median.is_some() {
        return format!("{through}{}", measured(row, answers));
    }
    format!("{through}{}", safe(&shortened(instead(row), 2 * NAME)))
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
    // What timed out is among the stays of an update, above all others: that stands with the interval.
    let lost = row
        .without
        .iter()
        .filter(|(outcome, _)| **outcome != OutcomeKind::NotRun);
    let lost: u32 = lost.map(|(_, count)| count).sum();
    let but = match lost > row.censored {
        true => " (some stays have no number)",
        false => "",
    };
    format!("{median} ({}{noisy}){but}", behind(row))
}

fn floors(text: &mut String, (run, summary): (&Run, &Summary), scope: &Scope, services: u32) {
    let ratios = floor_ratios_in(run, scope, services);
    let shown = scope.shown(summary);
    let mine: Vec<String> = ratios
        .iter()
        .filter(|ratio| !ratio.key.mode.is_floor())
        .filter(|ratio| shown.holds(&ratio.key.options))
        .map(|ratio| {
            let protocol = ratio.key.options.words_of(OptionKey::Protocol);
            let protocol = protocol.map_or_else(String::new, |words| format!(" {words}"));
            safe(&format!(
                "{}{protocol} ÷ {} {} ({})",
                programmed(&ratio.key),
                ratio.floor,
                digits(ratio.ratio.known.value),
                ratio.ratio.spread()
            ))
        })
        .collect();
    if !mine.is_empty() {
        let _ = writeln!(
            text,
            "\nFirst packet to {}{} against both floors: {}.",
            scope
                .position(summary)
                .map_or_else(|| "a service".to_owned(), Position::words),
            shown.caches(),
            mine.join("; ")
        );
    }
}

/// Mode × kernel, where there are several environments.
fn kernels(text: &mut String, summary: &Summary) {
    for table in side_by_side(summary) {
        let names = table.columns.iter();
        let names: Vec<String> = names.map(|n| name_of(&heading(summary, n))).collect();
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
                        format!("{} ({})", value(median, unit), behind(row))
                    }
                    None => safe(&shortened(&why(row, line.metric), 2 * NAME)),
                },
            });
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                name_of(&line.question),
                name_of(&line.series()),
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
        let why = first.reason.as_deref().unwrap_or(first.outcome.name());
        let _ = writeln!(
            text,
            "- {}: {}",
            safe(&shortened(&which, 2 * NAME)),
            safe(&shortened(why, 4 * NAME))
        );
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
