//! Ranks, with the mean rank for what is tied.

/// Twice the rank of each value, 1-based, ascending: tied values have the mean of their ranks, so that
/// twice a rank is a whole number.
pub(super) fn twice_ranks(values: &[f64]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0; values.len()];
    for run in tied(&order, values) {
        // Ranks from+1..=to; their mean is (from + 1 + to) / 2.
        let twice = (run.start + 1 + run.end) as u64;
        for &place in &order[run] {
            ranks[place] = twice;
        }
    }
    ranks
}

/// Sum over the groups of ties of t³ − t.
pub(super) fn tie_term(values: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    tied(&order, values)
        .map(|run| {
            let t = run.len() as f64;
            t.powi(3) - t
        })
        .sum()
}

/// Runs of equal values in ascending order, single ones included.
fn tied<'a>(
    order: &'a [usize],
    values: &'a [f64],
) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = values[*order.get(from)?];
        let length = order[from..]
            .iter()
            .take_while(|&&place| values[place] == first)
            .count();
        let run = from..from + length;
        from += length;
        Some(run)
    })
}
