//! Which stays are repeated next, once each was made once: where time narrows intervals most. Pure.
//!
//! Time is given out in *rounds*. In a round each lane (a mode as it is programmed) has at most one turn,
//! in an order shuffled by the seed: what a slow phase of the machine touches, it touches in all modes. In its
//! turn a lane repeats
//!
//! 1. its stay at the largest size that answers most questions, while that was made fewer than
//!    [`HEADLINE_STAYS`] times;
//! 2. else the stay that gains most a second: its widest interval, relative, shared by the stays that it
//!    rests on and the one to come, over what the stay costs. An interval from a single stay is not known, and
//!    counts as [`WIDEST`].
//!
//! Beyond that no stay is repeated [`LEAD`] times as often as another that still fits into the budget, so nothing
//! starves: the tenth of a cheap one comes after the third of the dearest. The choice looks at widths and
//! costs, never at which mode is ahead.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Stays that the largest size of each lane has before anything else of it is repeated: as many as an interval needs.
pub(crate) const HEADLINE_STAYS: u32 = 6;
/// No stay has more than so many times the repetitions of another that fits.
pub(crate) const LEAD: u32 = 4;
/// Relative half-width that stands for "not known", and the most that a known one counts: two stays that
/// differ by a tenth have one of about 0.8, two that differ by a third one of 4.
pub(crate) const WIDEST: f64 = 10.0;

/// A stay that can be repeated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// Its place among the stays of the plan.
    pub(crate) place: usize,
    /// What takes turns: stays of one mode, kind of node, variant, transport and engine are one lane.
    pub(crate) lane: usize,
    /// Whether it is the one of its lane that answers most at the largest size.
    pub(crate) headline: bool,
    /// How often it was made.
    pub(crate) done: u32,
    /// How long the next time is expected to take, nanoseconds.
    pub(crate) cost_ns: u64,
    /// Relative half-width of its widest interval; `None` while one of them rests on a single stay.
    pub(crate) width: Option<f64>,
}

impl Candidate {
    /// What one more stay is expected to take off the interval, a second of it.
    fn gain(&self) -> f64 {
        let width = self.width.map_or(WIDEST, |w| w.min(WIDEST));
        width / f64::from(self.done + 1) / (self.cost_ns.max(1) as f64 / 1e9)
    }

    /// Whether it is what is asked first, and too few for an interval.
    const fn is_wanted_first(&self) -> bool {
        self.headline && self.done < HEADLINE_STAYS
    }

    /// Headline stays first while they are few; then the larger gain.
    fn before(&self, other: &Self) -> bool {
        let rank = |candidate: &Self| (candidate.is_wanted_first(), candidate.gain());
        rank(self) > rank(other)
    }
}

/// The places of the next round, in order; empty when nothing fits into what is left.
///
/// The same candidates, time and seed give the same round.
pub(crate) fn round(candidates: &[Candidate], left_ns: u64, seed: u64) -> Vec<usize> {
    let mut fitting: Vec<&Candidate> = candidates.iter().filter(|c| c.cost_ns <= left_ns).collect();
    let least = fitting.iter().map(|c| c.done).min().unwrap_or(0).max(1);
    fitting.retain(|c| c.is_wanted_first() || c.done < least.saturating_mul(LEAD));
    let turns: u64 = candidates.iter().map(|c| u64::from(c.done)).sum();
    let mut rng =
        Xoshiro256PlusPlus::seed_from_u64(seed ^ turns.rotate_left(32) ^ 0x726f_756e_6464);
    // Equals are told apart by this order alone.
    fitting.shuffle(&mut rng);
    let mut nominated: Vec<&Candidate> = Vec::new();
    for candidate in fitting {
        match nominated.iter_mut().find(|n| n.lane == candidate.lane) {
            Some(rival) if candidate.before(rival) => *rival = candidate,
            Some(_) => {}
            None => nominated.push(candidate),
        }
    }
    // The rarest first have their time reserved, of equally rare ones the cheapest: what is left may not do
    // for all, and so it does for most.
    nominated.sort_by_key(|c| (c.done, c.cost_ns));
    let mut left_ns = left_ns;
    nominated.retain(|c| {
        let fits = c.cost_ns <= left_ns;
        left_ns -= if fits { c.cost_ns } else { 0 };
        fits
    });
    nominated.shuffle(&mut rng);
    nominated.iter().map(|c| c.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A stay of a made-up machine.
    #[derive(Clone)]
    struct Made {
        lane: usize,
        headline: bool,
        cost_ns: u64,
        /// Standard deviation between its stays, relative.
        scatter: f64,
        done: u32,
    }

    fn made(lane: usize, headline: bool, seconds: f64, scatter: f64) -> Made {
        let cost_ns = (seconds * 1e9) as u64;
        Made {
            lane,
            headline,
            cost_ns,
            scatter,
            done: 1,
        }
    }

    /// Four modes at five sizes, the last one slow; each with an install of its own at the largest size, which
    /// takes a minute in the last mode.
    fn machine() -> Vec<Made> {
        let mut stays = Vec::new();
        for lane in 0..4 {
            for size in 0..5 {
                let seconds = 0.5 + f64::from(size) * (1.0 + 0.5 * lane as f64);
                stays.push(made(
                    lane,
                    size == 4,
                    seconds,
                    0.05 + 0.02 * f64::from(size),
                ));
            }
            stays.push(made(lane, false, [0.0, 1.0, 20.0, 60.0][lane] + 0.5, 0.1));
        }
        stays
    }

    fn candidates(stays: &[Made], most: u32) -> Vec<Candidate> {
        let all = stays.iter().enumerate().map(|(place, s)| Candidate {
            place,
            lane: s.lane,
            headline: s.headline,
            done: s.done,
            cost_ns: s.cost_ns,
            width: (s.done > 1).then(|| 2.5 * s.scatter / f64::from(s.done).sqrt()),
        });
        all.filter(|c| c.done < most).collect()
    }

    /// A round as it was decided.
    #[derive(Debug, PartialEq)]
    struct Decided {
        /// How often each stay had been made.
        done: Vec<u32>,
        left_ns: u64,
        next: Vec<usize>,
    }

    /// Spends a budget.
    fn spend(stays: &mut [Made], most: u32, budget_ns: u64, seed: u64) -> Vec<Decided> {
        let (mut left_ns, mut rounds) = (budget_ns, Vec::new());
        loop {
            let next = round(&candidates(stays, most), left_ns, seed);
            if next.is_empty() {
                return rounds;
            }
            rounds.push(Decided {
                done: stays.iter().map(|s| s.done).collect(),
                left_ns,
                next: next.clone(),
            });
            for place in next {
                stays[place].done += 1;
                left_ns = left_ns
                    .checked_sub(stays[place].cost_ns)
                    .expect("a round fits");
            }
        }
    }

    #[test]
    fn the_largest_size_of_every_mode_gets_an_interval_in_a_budget_that_just_allows_it() {
        let mut stays = machine();
        let needed: u64 = stays
            .iter()
            .filter(|s| s.headline)
            .map(|s| 5 * s.cost_ns)
            .sum();
        spend(&mut stays, 20, needed, 1);
        assert!(stays.iter().filter(|s| s.headline).all(|s| s.done == 6));
    }

    #[test]
    fn nothing_starves_and_beyond_the_headline_no_tenth_comes_before_every_third() {
        let mut stays = machine();
        for Decided {
            done,
            left_ns,
            next,
        } in spend(&mut stays, 30, 1_200 * SECOND, 1)
        {
            let fitting = stays
                .iter()
                .zip(&done)
                .filter(|(s, _)| s.cost_ns <= left_ns);
            let least = fitting.map(|(_, done)| *done).min().unwrap();
            let others = next
                .iter()
                .filter(|place| !stays[**place].headline || done[**place] >= HEADLINE_STAYS);
            let most = others.map(|place| done[*place] + 1).max().unwrap_or(1);
            assert!(most <= LEAD * least, "{done:?} {next:?}");
            assert!(most < 10 || least >= 3, "{done:?} {next:?}");
        }
        assert!(stays.iter().all(|s| s.done >= 3), "the dearest ones too");
        assert!(stays.iter().any(|s| s.done >= 10), "and cheap ones went on");
    }

    #[test]
    fn what_no_longer_fits_does_not_hold_up_the_others() {
        let mut stays = machine();
        let dearest = stays.len() - 1;
        stays[dearest].cost_ns = 1_000 * SECOND;
        spend(&mut stays, 6, 999 * SECOND, 1);
        assert_eq!(stays.remove(dearest).done, 1);
        let rest: Vec<u32> = stays.iter().map(|s| s.done).collect();
        assert_eq!(rest, vec![6; dearest], "it would hold them up at 4");
    }

    #[test]
    fn a_round_gives_each_lane_one_turn_and_repetitions_lie_apart() {
        let mut stays = machine();
        let lanes: Vec<usize> = stays.iter().map(|s| s.lane).collect();
        for Decided { next, .. } in spend(&mut stays, 10, 600 * SECOND, 7) {
            let mut turns: Vec<usize> = next.iter().map(|p| lanes[*p]).collect();
            turns.sort_unstable();
            let all = turns.len();
            turns.dedup();
            assert_eq!(turns.len(), all, "a lane has one turn: {next:?}");
        }
    }

    #[test]
    fn lanes_stand_in_every_place_of_a_round() {
        let mut stays = machine();
        let rounds = spend(&mut stays, 30, 900 * SECOND, 3);
        for lane in 0..4 {
            let firsts = rounds
                .iter()
                .filter(|r| r.next.len() == 4 && stays[r.next[0]].lane == lane);
            assert!(firsts.count() > 0, "lane {lane} is never first");
        }
    }

    #[test]
    fn the_seed_decides_the_order_and_nothing_else_does() {
        let order = |seed| spend(&mut machine(), 8, 400 * SECOND, seed);
        assert_eq!(order(5), order(5));
        assert_ne!(order(5), order(6));
    }

    #[test]
    fn the_wider_interval_is_narrowed_first_and_of_equal_ones_the_cheaper() {
        let candidate = |place, cost_ns, width| Candidate {
            place,
            lane: 0,
            headline: false,
            done: 3,
            cost_ns,
            width,
        };
        let two = |a, b| {
            round(
                &[candidate(0, SECOND, a), candidate(1, SECOND, b)],
                99 * SECOND,
                1,
            )
        };
        assert_eq!(two(Some(0.1), Some(0.2)), [1]);
        assert_eq!(
            two(None, Some(0.2)),
            [0],
            "an unknown interval is the widest"
        );
        let dear = [
            candidate(0, 9 * SECOND, Some(0.2)),
            candidate(1, SECOND, Some(0.2)),
        ];
        assert_eq!(round(&dear, 99 * SECOND, 1), [1]);
    }

    #[test]
    fn no_candidates_or_no_time_is_the_end() {
        assert!(round(&[], SECOND, 1).is_empty());
        assert!(round(&candidates(&machine(), 9), 0, 1).is_empty());
    }
}
