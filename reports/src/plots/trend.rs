//! A series of a history: its values by run, the level of each stretch, and where it changed.

use schema::comparison::Verdict;
use schema::trend::{Trend, TrendSeries};

use super::axis::Axis;
use super::figure::{Figure, Key, Line, Panel, Point, Seen};
use super::style::{INK, MUTED, Style};
use crate::compare::format::percent;
use crate::quantity::{counted, value};
use crate::statistics::median;

/// Runs that are drawn: the newest.
const DRAWN: usize = 500;
/// Dashes of what changed around it.
const AROUND: (i32, i32) = (3, 4);

/// The chart of a series; `None` without a value among the runs that are drawn.
#[must_use]
pub fn trend_of(trend: &Trend, series: &TrendSeries) -> Option<Figure> {
    let first = trend.runs.len().saturating_sub(DRAWN);
    let days: Vec<&str> = trend.runs[first..]
        .iter()
        .map(|run| day(&run.started))
        .collect();
    let shown = series.values[first..].iter().copied();
    let x = Axis::runs("runs, oldest first", &days);
    let y = Axis::around(series.metric.name(), shown.clone().flatten(), series.unit)?;
    let style = Style::of(series.key.mode, 0);
    let points = shown.enumerate().filter_map(|(place, median)| {
        let y = median?;
        let run = &trend.runs[first + place];
        Some(Point {
            x: place as f64,
            at: format!("run {} ({})", first + place + 1, run.started),
            text: value(y, series.unit),
            seen: Seen::Median { y, ci95: None },
        })
    });
    let line = |style: Style, curve: Vec<(f64, f64)>| Line {
        mode: series.key.mode,
        name: series.metric.to_string(),
        style,
        points: Vec::new(),
        curve,
        labelled: false,
    };
    // A curve that lies nowhere: values of a history are not joined.
    let mut lines = vec![Line {
        points: points.collect(),
        ..line(style, vec![(f64::NAN, f64::NAN)])
    }];
    let place = |at: u32| f64::from(at) - first as f64;
    let level = Style {
        color: INK,
        dash: None,
        ..style
    };
    for (from, to) in levels(series) {
        let values = series.values[from as usize..to as usize].iter().flatten();
        if let Some(y) = median(values.copied()) {
            let (from, to) = ((place(from) - 0.4).max(-0.5), place(to) - 0.6);
            lines.push(line(level, vec![(from, y), (to, y)]));
        }
    }
    let [low, high] = y.ends();
    let upright = |at: u32| vec![(place(at) - 0.5, low), (place(at) - 0.5, high)];
    let mut legend = Vec::new();
    let mut key = |style: Style, text: String| {
        legend.push(Key {
            mode: series.key.mode,
            style,
            text,
        });
    };
    for point in &series.points {
        lines.push(line(level, upright(point.at)));
        key(
            level,
            format!("{}: {}", said(trend, point.at), change(series, point)),
        );
    }
    let around = Style {
        color: MUTED,
        dash: Some(AROUND),
        ..style
    };
    let changes = trend.environments.iter();
    for change in changes.filter(|change| {
        series.stretches.contains(&change.at) && change.environment == series.key.environment
    }) {
        lines.push(line(around, upright(change.at)));
        let facts = change.differences.iter();
        let facts: Vec<String> = facts
            .map(|of| format!("{} {} → {}", of.fact, of.base, of.new))
            .collect();
        key(
            around,
            format!("{}: {}", said(trend, change.at), facts.join(", ")),
        );
    }
    let mut notes = vec![
        "Points are medians of a run; level lines are medians of the runs between changes; \
         a solid upright line is a change, a dashed one is where something around the measurement changed.".to_owned(),
    ];
    notes.extend(
        (first > 0).then(|| format!("The newest {DRAWN} of {} runs are drawn.", trend.runs.len())),
    );
    let changes = counted(series.points.len() as u64, "change");
    let mut figure = Figure::of(
        format!("Did {} {} change?", series.key, series.metric),
        vec![Panel::lines("", x, y, lines)],
    )?;
    figure.alt = format!("{changes} in {}.", counted(trend.runs.len() as u64, "run"));
    (figure.notes, figure.legend) = (notes, legend);
    Some(figure)
}

/// From where to where a series has one level.
fn levels(series: &TrendSeries) -> Vec<(u32, u32)> {
    let mut from: Vec<u32> = series.points.iter().map(|point| point.at).collect();
    from.extend(&series.stretches);
    from.sort_unstable();
    let ends: Vec<u32> = from
        .iter()
        .skip(1)
        .copied()
        .chain([series.values.len() as u32])
        .collect();
    from.into_iter()
        .zip(ends)
        .filter(|(from, to)| from < to)
        .collect()
}

fn said(trend: &Trend, at: u32) -> String {
    let started = trend
        .runs
        .get(at as usize)
        .map_or("", |run| day(&run.started));
    format!("run {} ({started})", at + 1)
}

fn change(series: &TrendSeries, point: &schema::trend::ChangePoint) -> String {
    let (before, after) = (
        value(point.before, series.unit),
        value(point.after, series.unit),
    );
    let by = point
        .relative
        .map_or_else(String::new, |by| format!(" ({})", percent(by)));
    let verdict = match point.verdict {
        Verdict::Unchanged => "below the thresholds",
        other => other.name(),
    };
    let new = if point.new { ", new" } else { "" };
    format!("{before} → {after}{by}, {verdict}{new}")
}

/// "2026-11-22" of a time.
fn day(started: &str) -> &str {
    started.split('T').next().unwrap_or(started)
}
