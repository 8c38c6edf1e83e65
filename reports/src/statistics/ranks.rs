//! Ranks, with the mean rank for what is tied.

/// Twice the rank of each value, 1-based, ascending (tied values have the mean of their ranks, so that twice a rank is
/// a whole number), and the sum over the groups of ties of t³ − t.
pub(super) fn twice_ranks(values: &[f64]) -> (Vec<u64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut ties, mut below) = (vec![0; values.len()], 0.0, 0);
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        // Their ranks are below + 1 to below + t, and half the sum of these two the mean.
        for &place in tied {
            ranks[place] = (2 * below + 1 + tied.len()) as u64;
        }
        below += tied.len();
        let t = tied.len() as f64;
        ties += t.powi(3) - t;
    }
    (ranks, ties)
}
