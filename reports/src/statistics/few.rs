//! Student's interval of two stays or more, for the runner's estimate of what another repetition would narrow.
//! Nothing that is shown rests on it.

/// 97.5 % points of Student's distribution with 1 to 9 degrees of freedom; with more it counts as normal.
const STUDENT: [f64; 9] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
];

/// Of the logarithms when all are positive. `None` with fewer than two.
#[must_use]
pub fn interval_of_few(medians: &[f64]) -> Option<[f64; 2]> {
    let first = *medians.first().filter(|_| medians.len() > 1)?;
    if medians.iter().all(|median| *median == first) {
        return Some([first; 2]);
    }
    let logs = medians.iter().all(|median| *median > 0.0);
    let scaled = |median: &f64| if logs { median.ln() } else { *median };
    let n = medians.len() as f64;
    let mean = medians.iter().map(scaled).sum::<f64>() / n;
    let squares: f64 = medians.iter().map(|m| (scaled(m) - mean).powi(2)).sum();
    let point = STUDENT.get(medians.len() - 2).copied().unwrap_or(1.96);
    let half = point * (squares / (n - 1.0) / n).sqrt();
    let ends = [mean - half, mean + half];
    Some(if logs { ends.map(f64::exp) } else { ends })
}
