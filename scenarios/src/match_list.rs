//! `match-list`: what a packet takes that is looked up in a list of addresses, by what holds the list, how many entries it has, and
//! whether the packet's address is in it.
//!
//! Hits are asked of a list whose entries pass, misses of one whose entries are dropped: every packet that is measured passes, and goes as far as
//! one without a list, that of mode none. No connection is tracked, so that the first packet of a flow is as any other; where
//! established flows are let through before, none of theirs is looked up. Packets to the first and to the last entry all go to one address, which
//! the stack takes together: beside them stand packets to one address without a list, beside hits of any entry and misses such to as many.

use netns_harness::lists::Listed;
use rand::{Rng, RngExt as _};
use schema::{Hit, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{CellError, Result};
use crate::lists::{self, lists};
use crate::path::{self, TOGETHER, sample_path};
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::Stay;

/// Addresses in no entry that are asked, where there are no more entries.
const STRANGERS: u32 = 1_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct MatchList;

impl Scenario for MatchList {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::MatchList
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    /// However a list is filled.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        if asked.transport != lists::ordinary(asked.mode) {
            return Vec::new();
        }
        let hits = |options: Options| {
            let all = Hit::ALL.iter();
            let bare = options.is(OptionKey::Entries, "0");
            // Without a list packets to one address are beside the first and the last entry, to many beside any and a miss.
            let asked = all.filter(move |hit| match bare {
                true => matches!(hit, Hit::First | Hit::Miss),
                false => request.chosen.hits.contains(hit),
            });
            asked.map(move |hit| options.clone().with(OptionKey::Hit, hit))
        };
        lists(asked, request).into_iter().flat_map(hits).collect()
    }

    fn expected_ns(&self, asked: Asked, options: &Options, _request: &Request) -> u64 {
        lists::expected_ns(options) + path::expected_ns(asked)
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let hit = options.hit();
        let hit = hit.ok_or_else(|| CellError::at(Stage::Measure, "a list is hit or missed"))?;
        let listed = match hit {
            Hit::Miss => Listed::Drop,
            Hit::First | Hit::Last | Hit::Any => Listed::Pass,
        };
        let mut hand = lists::handing(stay)?;
        let list = lists::made(stay, options, listed)?;
        lists::filled(stay, &list)?;
        lists::prove(stay, &mut hand, &list, (listed, 0), recorder)?;
        let members = list.members;
        // The shorter networks are proved, and no packet that is measured goes to them: they lie elsewhere.
        let first = members.shorter();
        let entries = members.entries().saturating_sub(first);
        sample_path(stay, &mut hand, recorder, |stay, hand| {
            let mut draw = Draw(0);
            let mut one = || match hit {
                Hit::First => members.nth(first).first,
                Hit::Last => members.nth(first + entries.saturating_sub(1)).first,
                Hit::Any => {
                    members
                        .nth(first + draw.another(&mut stay.rng, entries))
                        .first
                }
                Hit::Miss => members.stranger(draw.another(&mut stay.rng, entries.max(STRANGERS))),
            };
            let to: Vec<_> = (0..TOGETHER).map(|_| lists::to(one())).collect();
            Ok(hand.first_packets(&mut stay.client, &to)?)
        })
    }
}

/// Draws numbers of which none is the one before it: packets to one address that follow each other go through the stack together.
struct Draw(u32);

impl Draw {
    fn another(&mut self, rng: &mut impl Rng, of: u32) -> u32 {
        let beyond = rng.random_range(1..of.max(2));
        self.0 = (self.0 + beyond) % of.max(1);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netns_harness::datapath::Transport;
    use rand::SeedableRng as _;
    use schema::{ListKind, Mode};

    #[test]
    fn no_address_follows_itself_but_where_there_is_one() {
        let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
        for of in [2, 10, 1_000] {
            let mut draw = Draw(0);
            let drawn: Vec<u32> = (0..100).map(|_| draw.another(&mut rng, of)).collect();
            assert!(drawn.windows(2).all(|pair| pair[0] != pair[1]));
            assert!(drawn.iter().all(|nth| *nth < of));
        }
        assert_eq!(Draw(0).another(&mut rng, 1), 0);
    }

    #[test]
    fn a_list_is_asked_once_however_it_is_filled_and_none_beside_no_list() {
        let mut request = Request::of_tests();
        request.chosen.entries = vec![10, 1_000];
        request.chosen.hits = Hit::ALL.to_vec();
        let cells = |mode, transport| {
            let asked = Asked {
                mode,
                transport,
                services: 0,
                endpoints: 0,
                counted: false,
            };
            MatchList.cells(asked, &request)
        };
        let legacy = cells(Mode::IptablesLegacy, Transport::Restore);
        assert_eq!(legacy.len(), 8);
        assert!(cells(Mode::IptablesLegacy, Transport::Exec).is_empty());
        assert!(cells(Mode::Ipvs, Transport::Netlink).is_empty());
        let bare = cells(Mode::None, lists::ordinary(Mode::None));
        assert_eq!(bare.len(), 2);
        assert_eq!(bare[0].list_kind(), Some(ListKind::Bare));
        let few = cells(Mode::Ipset, Transport::Netlink).into_iter();
        let mut of_32 = few.filter(|options| options.list_kind() == Some(ListKind::HashNet32));
        assert!(of_32.all(|options| options.entries() >= Some(32)));
    }
}
