//! Axes with ticks of our own choice: the sizes that were measured, and round quantities.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use schema::Unit;

use crate::quantity::{self, whole};

/// Scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// A value with its label.
type Tick = (f64, String);

/// An axis: range, scale, title and labelled ticks.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) ticks: Vec<Tick>,
    scale: Scale,
    /// Unit of a quantity; `None` for sizes and places.
    unit: Option<Unit>,
    from: f64,
    to: f64,
}

/// What a title says of its scale.
const LOG: &str = " (log scale)";

/// The sizes that have room beside those before them, with their labels. From the largest down: it is the one that is
/// asked about.
fn thinned(sizes: impl Iterator<Item = f64>, apart: impl Fn(f64, f64) -> bool) -> Vec<Tick> {
    let mut ticks: Vec<Tick> = Vec::new();
    for size in sizes {
        if ticks.last().is_none_or(|(last, _)| apart(*last, size)) {
            ticks.push((size, whole(size as u64)));
        }
    }
    ticks
}

impl Axis {
    /// N, logarithmic, with a tick at every size that has room.
    pub(super) fn sizes(sizes: &[u32]) -> Self {
        Self::numbers("services N", sizes)
    }

    /// E, the same.
    pub(super) fn endpoints(numbers: &[u32]) -> Self {
        Self::numbers("endpoints of each service E", numbers)
    }

    /// Entries of a list, the same.
    pub(super) fn entries(numbers: &[u32]) -> Self {
        Self::numbers("entries of the list", numbers)
    }

    /// Possible CPUs, the same.
    pub(super) fn cpus(cpus: &[u32]) -> Self {
        Self::numbers("possible CPUs", cpus)
    }

    fn numbers(title: &str, sizes: &[u32]) -> Self {
        let values = || sizes.iter().map(|&size| f64::from(size));
        let (low, high) = extent(values()).unwrap_or((1.0, 10.0));
        let (from, to) = (low / 1.35, high * 1.35);
        let apart = |last: f64, size: f64| (last / size).ln() / (to / from).ln() > 0.11;
        Self {
            title: format!("{title}{LOG}"),
            ticks: thinned(values().rev(), apart),
            scale: Scale::Log,
            unit: None,
            from,
            to,
        }
    }

    /// Places in a row, without a scale.
    pub(super) fn places(title: &str, names: &[&str]) -> Self {
        let names = names.iter().enumerate();
        let ticks: Vec<Tick> = names
            .map(|(place, name)| (place as f64, (*name).to_owned()))
            .collect();
        Self {
            title: title.to_owned(),
            to: ticks.len() as f64 - 0.5,
            ticks,
            scale: Scale::Linear,
            unit: None,
            from: -0.5,
        }
    }

    /// Runs in their order, of which some are labelled.
    pub(super) fn runs(title: &str, labels: &[&str]) -> Self {
        const LABELS: usize = 4;
        let apart = labels.len().div_ceil(LABELS).max(1);
        let labelled = labels.iter().enumerate().step_by(apart);
        Self {
            title: title.to_owned(),
            ticks: labelled
                .map(|(place, label)| (place as f64, (*label).to_owned()))
                .collect(),
            scale: Scale::Linear,
            unit: None,
            from: -0.5,
            to: labels.len() as f64 - 0.5,
        }
    }

    /// A quantity, linear, around what is shown: not from zero on, which its title says.
    pub(super) fn around(
        title: &str,
        values: impl Iterator<Item = f64>,
        unit: Unit,
    ) -> Option<Self> {
        let (low, high) = extent(values)?;
        // No less than a tenth, so that noise is not blown up to fill the panel.
        let room = (0.15 * (high - low))
            .max(0.05 * (high + low).abs() / 2.0)
            .max(0.5);
        let (from, to) = (low - room, high + room);
        let step = step((to - from) / 6.0);
        let first = (from / step).ceil() as i64;
        let ticks = (first..).map(|index| index as f64 * step);
        let ticks = ticks.take_while(|tick| *tick <= to);
        Some(Self {
            title: format!("{title} (not from zero)"),
            ticks: ticks.map(|tick| (tick, round(tick, unit))).collect(),
            scale: Scale::Linear,
            unit: Some(unit),
            from,
            to,
        })
    }

    /// Both its ends.
    pub(super) fn ends(&self) -> [f64; 2] {
        [self.from, self.to]
    }

    /// A quantity, logarithmic, around what is shown.
    pub(super) fn log(title: &str, values: impl Iterator<Item = f64>, unit: Unit) -> Option<Self> {
        let (low, high) = extent(values.filter(|value| *value > 0.0))?;
        let middle = (low * high).sqrt();
        // At least a factor of three, so that noise is not blown up to fill the panel.
        let from = (low / 1.25).min(middle / 1.8);
        let to = (high * 1.25).max(middle * 1.8);
        let digits: &[f64] = match (to / from).log10() {
            d if d > 4.5 => &[1.0],
            d if d > 1.4 => &[1.0, 3.0],
            d if d > 0.9 => &[1.0, 2.0, 5.0],
            _ => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        };
        let exponents = from.log10().floor() as i32..=to.log10().ceil() as i32;
        let ticks = exponents
            .flat_map(|exponent| digits.iter().map(move |digit| digit * 10f64.powi(exponent)))
            .filter(|tick| (from..=to).contains(tick))
            .map(|tick| (tick, round(tick, unit)));
        Some(Self {
            title: format!("{title}{LOG}"),
            ticks: ticks.collect(),
            scale: Scale::Log,
            unit: Some(unit),
            from,
            to,
        })
    }

    /// A quantity from zero on, linear; `None` where nothing is above zero, as processor time that is counted in
    /// ticks may be.
    pub(super) fn linear(
        title: &str,
        values: impl Iterator<Item = f64>,
        unit: Unit,
    ) -> Option<Self> {
        let (_, high) = extent(values).filter(|(_, high)| *high > 0.0)?;
        let to = high * 1.08;
        let step = step(to / 7.0);
        let ticks = (1..).map(|index| f64::from(index) * step);
        let ticks = ticks.take_while(|tick| *tick <= to);
        let ticks = ticks.map(|tick| (tick, round(tick, unit)));
        Some(Self {
            title: title.to_owned(),
            ticks: std::iter::once((0.0, "0".to_owned()))
                .chain(ticks)
                .collect(),
            scale: Scale::Linear,
            unit: Some(unit),
            from: 0.0,
            to,
        })
    }

    /// The same range from zero on, on a linear scale; `None` when it is linear already.
    pub(super) fn as_linear(&self) -> Option<Self> {
        if self.scale == Scale::Linear {
            return None;
        }
        let title = self.title.trim_end_matches(LOG);
        if let Some(unit) = self.unit {
            return Self::linear(title, [self.to].into_iter(), unit);
        }
        let to = self.to / 1.25;
        let ticks = self.ticks.iter().map(|(tick, _)| *tick);
        Some(Self {
            title: title.to_owned(),
            ticks: thinned(ticks, |last, tick| (last - tick) / to > 0.09),
            scale: Scale::Linear,
            unit: None,
            from: 0.0,
            to,
        })
    }

    /// Whether a value lies on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }
}

/// The next round step.
fn step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough);
    step.unwrap_or(rough)
}

/// A round quantity without its zeros: "30 µs", not "30.0 µs".
fn round(tick: f64, unit: Unit) -> String {
    let text = quantity::value(tick, unit);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.filter(|value| value.is_finite());
    let ends = values.map(|value| (value, value));
    ends.reduce(|(low, high), (value, _)| (low.min(value), high.max(value)))
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let mut ticks = self.ticks.iter();
        let tick = ticks.find(|(tick, _)| tick == value);
        tick.map(|(_, text)| text.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_all_zero_has_no_axis_and_what_is_not_has_few_ticks() {
        let axis = |values: &[f64]| Axis::linear("x", values.iter().copied(), Unit::Nanoseconds);
        assert!(axis(&[0.0, 0.0]).is_none());
        assert!(axis(&[]).is_none());
        let ticks = axis(&[0.0, 4.0e6]).unwrap().ticks.len();
        assert!((3..12).contains(&ticks), "{ticks}");
    }
}
