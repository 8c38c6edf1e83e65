//! `summary.md`: what the data say and the numbers at the largest size, short enough for a comment on a
//! pull request.

use std::fmt::Write;

use schema::summary::{Row, Summary};
use schema::{Mode, OptionKey, OutcomeKind, Position};

use crate::load::Run;
use crate::quantity::{digits, shortened, value};
use crate::summarise::{Beside, FloorRatios, beside, floor_ratios};
use crate::view::brief::{self, Brief};
use crate::view::table::{Answer, Table, of_questions, of_updates};
use crate::view::trust::{Disturbed, again, coverage_text, older, variant_text};
use crate::view::words::{behind, by_reason, missing, programmed, way, why};
use crate::view::{
    Scope, are_named, finding, is_timed, lists, scopes, service_types, side_by_side,
};

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
        // What has no room is not rendered: of many scopes that would take long.
        if page.left > 0 {
            let mut text = String::new();
            render(&mut text);
            page.add(&text);
        }
    };
    // What a run of several types or families is for stands first: later parts may have no room.
    part(&|text| {
        for (scope, types) in &service_types(summary) {
            table(text, types, Some(scope), &safe(&types.caption));
        }
    });
    part(&|text| {
        for of in &lists(summary) {
            table(text, of, None, &safe(&of.caption));
        }
    });
    part(&|text| {
        for two in &beside(run, summary) {
            beside_each_other(text, two);
        }
    });
    for scope in &scopes {
        let place = are_named(&scopes).then_some(scope);
        part(&|text| {
            for updates in of_updates(summary, scope) {
                table(text, &updates, place, &safe(&updates.caption));
            }
        });
        part(&|text| {
            if let Some(questions) = of_questions(summary, scope) {
                table(text, &questions, place, "");
            }
        });
        part(&|text| floors(text, (run, summary), scope, scope.largest(summary)));
    }
    part(&|text| {
        for places in side_by_side(summary) {
            table(text, &places, None, &places.caption);
        }
    });
    part(&|text| without_numbers(text, summary));
    page.text + &tail
}

/// What was measured where, how noisy that was, and what the data say.
fn opening(run: &Run, summary: &Summary) -> String {
    let mut parts = vec!["## Linux service datapaths".to_owned()];
    for (name, of) in &summary.environments {
        let [name, kernel, cpu, started] =
            [name, &of.kernel, &of.cpu, &run.header.started].map(|text| name_of(text));
        let cores = of.cores;
        parts.push(format!(
            "{name}: Linux {kernel}, {cpu}, {cores} cores. Measured {started}."
        ));
    }
    let variants = run.header.variants.iter();
    parts.extend(variants.map(|of| format!("Variant {}.", safe(&variant_text(of)))));
    parts.push(safe(&brief::subject(summary)));
    let briefs = brief::briefs(summary).into_iter();
    let briefs = briefs.map(|Brief { question, answers }| {
        let said = |(place, answer): &(Option<String>, String)| match place {
            Some(place) => format!("({}) {}", safe(place), safe(answer)),
            None => safe(answer),
        };
        let said: Vec<String> = answers.iter().map(said).collect();
        format!("- **{}.** {}\n", safe(&question), said.join(" "))
    });
    parts.push(briefs.collect());
    parts.push(match &summary.noise {
        Some(noise) if noise.noisy => format!("> **Noisy run.** {}", safe(&noise.text)),
        Some(noise) => format!("Noise: {}", safe(&noise.text)),
        None if !is_timed(summary) => "Noise: none, since instructions are counted.".to_owned(),
        None => "> **Noise unknown.** This run has no A/A pair.".to_owned(),
    });
    parts.extend(older(run).map(|older| format!("> **Older results.** {}", safe(&older))));
    let disturbed = Disturbed::of(run);
    if disturbed.is_much() {
        parts.push(format!("> **Disturbed run.** {disturbed}"));
    } else if disturbed.seen() > 0 {
        parts.push(format!("Disturbance: {disturbed}"));
    }
    if !summary.cells.iter().any(|row| row.metric.is_some()) {
        parts.push("> **Nothing was measured.** The reasons are below.".to_owned());
    }
    let named = are_named(&scopes(summary));
    let findings = summary.findings.iter().map(|found| {
        let said = |part: &str| safe(&shortened(part, SENTENCE));
        let (head, rest) = match finding::place(named, found) {
            Some(place) => (place, finding::text(None, found)),
            None => (found.question.clone(), finding::answer(found)),
        };
        format!("- **{}:** {}\n", said(&head), said(&rest))
    });
    parts.push(findings.collect());
    parts.join("\n\n")
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

/// A table of answers, below what a reader must know of it.
fn table(text: &mut String, table: &Table<'_>, place: Option<&Scope>, caption: &str) {
    let place = place.map_or_else(String::new, |scope| {
        format!(", {}", name_of(&scope.describe()))
    });
    let _ = writeln!(text, "\n### {}{place}\n", table.title);
    // Of what the first line is, in a column of its own where the figures of a place stand beside those of others.
    let first = if table.places.is_some() {
        "question | mode"
    } else {
        table.first[0]
    };
    let between = if table.places.is_some() {
        "---|---|"
    } else {
        "---|"
    };
    if !caption.is_empty() {
        let _ = writeln!(text, "{caption}\n");
    }
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|(_, heading)| name_of(heading))
        .collect();
    let _ = writeln!(text, "| {} | {} |", first.to_lowercase(), names.join(" | "));
    let _ = writeln!(text, "|{between}{}", "---|".repeat(names.len()));
    for line in &table.lines {
        let of = match line.of.as_str() {
            "" => String::new(),
            of if table.places.is_some() => format!(" | {}", name_of(of)),
            of => format!(" ({of})"),
        };
        let cells: Vec<String> = line
            .cells
            .iter()
            .map(|found| cell(found.as_deref(), table))
            .collect();
        let _ = writeln!(
            text,
            "| {}{of} | {} |",
            name_of(&line.asked),
            cells.join(" | ")
        );
    }
}

fn cell(answers: Option<&[Answer<'_>]>, table: &Table<'_>) -> String {
    match answers {
        None => "–".to_owned(),
        Some([]) => "not planned".to_owned(),
        Some(answers) => {
            let answers = answers.iter().map(|found| match table.places {
                Some(_) => figure(found),
                None => answer(found),
            });
            answers.collect::<Vec<_>>().join("<br>")
        }
    }
}

/// "**482 µs** (461–503 µs, n = 40 in 10 stays)", bold where it is the lowest; else why there is no number.
fn figure(answer: &Answer<'_>) -> String {
    let row = answer.row;
    let Some((median, unit)) = row.median.zip(row.unit) else {
        return safe(&shortened(&missing(row, answer.metric), 2 * NAME));
    };
    let bold = if answer.lowest { "**" } else { "" };
    let noisy = if answer.noisy { ", noisy" } else { "" };
    format!(
        "{bold}{}{bold} ({}{noisy})",
        value(median, unit),
        behind(row)
    )
}

/// The same after how the mode was programmed, and before what else is known.
fn answer(answer: &Answer<'_>) -> String {
    let row = answer.row;
    let mut text = match way(&row.key.options) {
        way if way.is_empty() => figure(answer),
        way => format!("{}: {}", name_of(&way), figure(answer)),
    };
    if row.median.is_some() {
        // What timed out is among the stays of an update, above all others: that stands with the interval.
        let lost = row
            .without
            .iter()
            .filter(|(outcome, _)| **outcome != OutcomeKind::NotRun);
        if lost.map(|(_, count)| count).sum::<u32>() > row.censored {
            text.push_str(" (some stays have no number)");
        }
        text.extend(answer.also.iter().map(|also| format!("; {also}")));
    }
    text
}

fn floors(text: &mut String, (run, summary): (&Run, &Summary), scope: &Scope, services: u32) {
    let shown = scope.shown(summary);
    let mut parts = Vec::new();
    for FloorRatios { key, floors } in floor_ratios(run, scope, services) {
        if key.mode.is_floor() || !shown.holds(&key.options) {
            continue;
        }
        let protocol = key.options.words_of(OptionKey::Protocol);
        let series = [Some(programmed(key.mode, &key.options)), protocol];
        let series = series.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let floors = Mode::FLOORS.iter().zip(floors);
        parts.extend(floors.filter_map(|(floor, ratio)| {
            let (times, spread) = (digits(ratio?.known.value), ratio?.spread());
            Some(safe(&format!("{series} ÷ {floor} {times} ({spread})")))
        }));
    }
    if !parts.is_empty() {
        let position = scope.position(summary);
        let _ = writeln!(
            text,
            "\nFirst packet to {}{} against both floors: {}.",
            position.map_or_else(|| "a service".to_owned(), Position::words),
            shown.caches(),
            parts.join("; ")
        );
    }
}

/// Scopes beside each other.
fn beside_each_other(text: &mut String, beside: &Beside<'_>) {
    let place = name_of(&beside.place);
    let headings = beside.headings().join(" | ");
    let _ = writeln!(
        text,
        "\n### {}, {place}\n\n{}\n\n| question | mode | {headings} |\n|---|---|---|---|---|",
        beside.title(),
        safe(&beside.caption())
    );
    for line in &beside.lines {
        let [first, second] = line
            .figures()
            .map(|figure| safe(&shortened(&figure, 2 * NAME)));
        let _ = writeln!(
            text,
            "| {} | {} | {first} | {second} | {} |",
            name_of(&line.asked),
            name_of(&line.of),
            safe(&line.times())
        );
    }
}

fn without_numbers(text: &mut String, summary: &Summary) {
    let rows = summary.cells.iter().filter(|row| row.metric.is_none());
    let rows: Vec<&Row> = rows.collect();
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
        let which = safe(&shortened(&which, 2 * NAME));
        let _ = writeln!(
            text,
            "- {which}: {}",
            safe(&shortened(&why(first), 4 * NAME))
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
