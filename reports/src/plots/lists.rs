//! What a packet takes that is looked up in a list, over the entries of the list: a panel for hits, one for misses, a line for each kind of list.

use std::collections::BTreeSet;

use schema::summary::{Row, Summary};
use schema::{Hit, ListKind, Metric, Mode};

use super::axis::Axis;
use super::chart::stated;
use super::figure::{Figure, Key, Line, Panel, Point, Seen};
use super::style::Style;
use crate::quantity::whole;
use crate::view::lists::places;
use crate::view::{bar, grouped};

/// A chart for each place that lists were asked in.
pub(super) fn figures(summary: &Summary) -> Vec<Figure> {
    let places = places(summary);
    let several = places.len() > 1;
    let drawn = places.iter().enumerate();
    let drawn = drawn.filter_map(|(at, (place, rows))| {
        let mut figure = figure(rows)?;
        if several {
            figure.title = format!("{} ({})", figure.title, place.words());
        }
        figure.name = match at {
            0 => "match-list".to_owned(),
            at => format!("match-list-{}", at + 1),
        };
        Some(figure)
    });
    drawn.collect()
}

/// A kind of list in a mode.
type Of = (Mode, ListKind);

fn figure(rows: &[&Row]) -> Option<Figure> {
    let of_packets = rows
        .iter()
        .copied()
        .filter(|row| row.metric == Some(Metric::PathTime));
    let rows: Vec<&Row> = of_packets.filter(|row| row.median.is_some()).collect();
    let all = rows
        .iter()
        .filter_map(|row| Some((row.key.mode, row.key.options.list_kind()?)));
    let held: BTreeSet<Of> = all.filter(|(_, kind)| *kind != ListKind::Bare).collect();
    let looks: Vec<(Of, Style)> = held
        .iter()
        .enumerate()
        .map(|(at, of)| {
            let before = held.iter().take(at).filter(|(mode, _)| *mode == of.0);
            (*of, Style::of(of.0, before.count()))
        })
        .collect();
    let panels = [
        (Hit::Any, "Packets to addresses in the list, any entry"),
        (Hit::Miss, "Packets to addresses in none of its entries"),
    ];
    let panels = panels
        .iter()
        .filter_map(|(hit, heading)| panel(&rows, &looks, *hit, heading));
    let key = |((mode, kind), style): &(Of, Style)| Key {
        mode: *mode,
        style: *style,
        text: name((*mode, *kind)),
    };
    Some(Figure {
        notes: vec![
            "Points are medians of stays, bars their 95 % intervals, of fewer than six stays their range. No connection is tracked: every packet is looked up.".to_owned(),
        ],
        alt: "What the node takes for a packet, by the entries of a list and by what holds it.".to_owned(),
        legend: looks.iter().map(key).collect(),
        ..Figure::of(
            "What does it cost to look a packet's address up in a list?".to_owned(),
            panels.collect(),
        )?
    })
}

fn name((mode, kind): Of) -> String {
    format!("{mode}: {}", kind.words())
}

fn panel(rows: &[&Row], looks: &[(Of, Style)], hit: Hit, heading: &str) -> Option<Panel> {
    let of_hit = rows.iter().filter(|row| row.key.options.hit() == Some(hit));
    let mine: Vec<(Of, &Row)> = of_hit
        .filter_map(|row| {
            let kind = row.key.options.list_kind()?;
            (kind != ListKind::Bare).then_some(((row.key.mode, kind), *row))
        })
        .collect();
    let entries: BTreeSet<u32> = mine
        .iter()
        .filter_map(|(_, row)| row.key.options.entries())
        .collect();
    let entries: Vec<u32> = entries.into_iter().collect();
    let unit = mine.first()?.1.unit?;
    let shown = mine.iter().filter_map(|(_, row)| row.median);
    let y = Axis::log("a packet", shown, unit)?;
    let lines = grouped(mine).into_iter().map(|(of, mut rows)| {
        rows.sort_by_key(|row| row.key.options.entries());
        let points = rows.into_iter().filter_map(|row| {
            let entries = row.key.options.entries()?;
            Some(Point {
                x: f64::from(entries),
                at: whole(entries.into()),
                text: stated(row),
                seen: Seen::Median {
                    y: row.median?,
                    ci95: bar(row),
                },
            })
        });
        let style = looks
            .iter()
            .find(|(own, _)| *own == of)
            .map(|(_, style)| *style);
        Line {
            mode: of.0,
            name: name(of),
            style: style.unwrap_or_else(|| Style::of(of.0, 0)),
            points: points.collect(),
            curve: Vec::new(),
            labelled: false,
        }
    });
    Some(Panel::lines(
        heading,
        Axis::entries(&entries),
        y,
        lines.collect(),
    ))
}
