//! Numbers as people read them: three significant digits, a unit, and intervals in one unit.

use schema::Unit;

/// Minus sign (U+2212), which is as wide as a digit.
const MINUS: char = '−';

/// A scale of a unit: factor and name.
type Scale = (f64, &'static str);

const TIME: &[Scale] = &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
const INSTRUCTIONS: &[Scale] = &[
    (1.0, "instr"),
    (1e3, "k instr"),
    (1e6, "M instr"),
    (1e9, "G instr"),
];
const BYTES: &[Scale] = &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")];
const COUNT: &[Scale] = &[(1.0, "")];

const fn scales(unit: Unit) -> &'static [Scale] {
    match unit {
        Unit::Nanoseconds => TIME,
        Unit::Instructions => INSTRUCTIONS,
        Unit::Bytes => BYTES,
        Unit::Count => COUNT,
    }
}

/// The scale in which `magnitude` has one to three digits before the point.
fn scale_of(magnitude: f64, unit: Unit) -> Scale {
    let all = scales(unit);
    // 999.6 ns would be written as 1000 ns.
    all.iter()
        .rev()
        .find(|(factor, _)| magnitude.abs() >= 0.9995 * factor)
        .copied()
        .unwrap_or(all[0])
}

/// A value with its unit: "29.1 µs", "1.36 MB", "10,000".
#[must_use]
pub fn value(value: f64, unit: Unit) -> String {
    let (factor, name) = scale_of(value, unit);
    with_unit(&digits(value / factor), name)
}

/// An interval in the unit that its larger end has: "28.5–29.9 µs".
#[must_use]
pub fn interval(ci95: [f64; 2], unit: Unit) -> String {
    let (factor, name) = scale_of(ci95[0].abs().max(ci95[1].abs()), unit);
    with_unit(&span([ci95[0] / factor, ci95[1] / factor]), name)
}

/// An interval without a unit: "0.98–1.03", "−0.1 to 0.2", "about 61.0" where three digits do not tell its ends apart,
/// "exactly 12" where these are one number.
#[must_use]
pub fn span([low, high]: [f64; 2]) -> String {
    let (low_text, high_text) = (digits(low), digits(high));
    if low == high {
        format!("exactly {low_text}")
    } else if low_text == high_text {
        format!("about {low_text}")
    } else if low < 0.0 || high < 0.0 {
        format!("{low_text} to {high_text}")
    } else {
        format!("{low_text}–{high_text}")
    }
}

fn with_unit(digits: &str, name: &str) -> String {
    if name.is_empty() {
        digits.to_owned()
    } else {
        format!("{digits} {name}")
    }
}

/// Three significant digits, never an exponent; a whole number below 1,000 without a fraction; whole numbers from 1,000 on with thousands separated.
#[must_use]
pub fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    let places = (2 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
    // 9.996 rounds to 10.00: one place fewer.
    let rounded: f64 = format!("{magnitude:.places$}").parse().unwrap_or(magnitude);
    let places = if rounded > 0.0 {
        (2 - rounded.log10().floor() as i32).clamp(0, 6) as usize
    } else {
        places
    };
    let mut text = if magnitude >= 999.5 {
        whole(magnitude.round() as u64)
    } else {
        format!("{magnitude:.places$}")
    };
    if rounded.fract() == 0.0 && magnitude.fract() == 0.0 && text.contains('.') {
        text.truncate(text.find('.').unwrap_or(text.len()));
    }
    if value < 0.0 && rounded != 0.0 {
        format!("{MINUS}{text}")
    } else {
        text
    }
}

/// A whole number with thousands separated: "10,000".
#[must_use]
pub fn whole(number: u64) -> String {
    let plain = number.to_string();
    let mut text = String::with_capacity(plain.len() + plain.len() / 3);
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The noun of what is counted: "messages", of exactly one "message".
#[must_use]
pub fn noun(count: f64, plural: &'static str) -> &'static str {
    if count == 1.0 {
        plural.strip_suffix('s').unwrap_or(plural)
    } else {
        plural
    }
}

/// "1 sample", "2 samples", "10,000 services".
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        whole(number),
        if number == 1 { "" } else { "s" }
    )
}

/// A text of at most so many letters: a longer one ends in "…". Names in a file may be of any length.
#[must_use]
pub fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(letters.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_the_unit_that_fits() {
        let ns = |v| value(v, Unit::Nanoseconds);
        assert_eq!(ns(29_130.0), "29.1 µs");
        assert_eq!(ns(999.9), "1.00 µs");
        assert_eq!(ns(66e9), "66 s");
        assert_eq!(ns(5.914), "5.91 ns");
        assert_eq!(ns(0.01), "0.0100 ns");
        assert_eq!(ns(-5.914), "−5.91 ns");
        assert_eq!(value(1_363_000.0, Unit::Bytes), "1.36 MB");
        assert_eq!(value(70_002.0, Unit::Count), "70,002");
        assert_eq!(value(12.0, Unit::Count), "12");
        assert_eq!(value(0.0, Unit::Count), "0");
    }

    #[test]
    fn intervals_share_a_unit_and_say_when_they_have_no_width() {
        assert_eq!(
            interval([950.0, 1_020.0], Unit::Nanoseconds),
            "0.950–1.02 µs"
        );
        assert_eq!(interval([-3.0, 4.5], Unit::Nanoseconds), "−3 to 4.50 ns");
        assert_eq!(interval([12.0, 12.0], Unit::Count), "exactly 12");
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!(whole(0), "0");
        assert_eq!(whole(100), "100");
        assert_eq!(whole(1_000), "1,000");
        assert_eq!(whole(1_234_567), "1,234,567");
    }
}
