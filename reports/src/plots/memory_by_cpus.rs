//! Kernel memory of a further service over possible CPUs, by mode.

use schema::Unit;

use super::axis::Axis;
use super::chart::Source;
use super::figure::{Figure, Key, Line, Panel, Point, Seen};
use super::style::Style;
use crate::quantity::{interval, value, whole};
use crate::view::{by_cpus, spread_of_fit};

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let ways = by_cpus(source.scope, &source.summary.fits);
    let points = || ways.iter().flat_map(|way| &way.points);
    let mut cpus: Vec<u32> = points().map(|(cpus, _)| *cpus).collect();
    cpus.sort_unstable();
    cpus.dedup();
    let held = points().map(|(_, fit)| fit.estimate);
    let y = Axis::log("bytes a service", held, Unit::Bytes)?;
    let looks = ways.iter().enumerate().map(|(place, way)| {
        let before = ways[..place].iter().filter(|other| other.mode == way.mode);
        (way, Style::of(way.mode, before.count()))
    });
    let lines = looks.clone().map(|(way, style)| Line {
        mode: way.mode,
        name: way.name.clone(),
        style,
        points: way
            .points
            .iter()
            .map(|(cpus, fit)| Point {
                x: f64::from(*cpus),
                at: whole((*cpus).into()),
                text: format!(
                    "{} a service ({})",
                    value(fit.estimate, Unit::Bytes),
                    spread_of_fit(fit, |ends| interval(ends, Unit::Bytes))
                ),
                seen: Seen::Median {
                    y: fit.estimate,
                    ci95: fit.ci95.or(fit.range),
                },
            })
            .collect(),
        curve: Vec::new(),
        labelled: true,
    });
    let legend = looks.map(|(way, style)| {
        let (own, of_a_cpu) = way.line;
        Key {
            mode: way.mode,
            style,
            text: format!(
                "{}: {} and {} for each CPU",
                way.name,
                value(own, Unit::Bytes),
                value(of_a_cpu, Unit::Bytes)
            ),
        }
    });
    let ends = ways.iter().filter_map(|way| {
        let ((few, least), (many, most)) = (way.points.first()?, way.points.last()?);
        let [least, most] = [least, most].map(|fit| value(fit.estimate, Unit::Bytes));
        Some(format!(
            "{}: {least} with {few} to {most} with {many}",
            way.name
        ))
    });
    let ends: Vec<String> = ends.collect();
    Some(Figure {
        notes: vec![
            "Possible CPUs are those that could come, online or not: kernels keep per-CPU counters for each. Points are the slopes of kernel memory over N, bars their intervals, of fewer than six blocks their range; the legend gives the straight line through them.".to_owned(),
        ],
        alt: format!("Bytes of a further service by possible CPUs. {}.", ends.join("; ")),
        legend: legend.collect(),
        ..Figure::of(
            "What does a further service hold, on a machine of how many CPUs?".to_owned(),
            vec![Panel::lines("", Axis::cpus(&cpus), y, lines.collect())],
        )?
    })
}
