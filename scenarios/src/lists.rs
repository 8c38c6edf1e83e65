//! What scenarios of lists have in common: which lists they ask of, and how one is made and proved.
//!
//! The proof: the kernel lists exactly the entries; packets to addresses in the list, and to others, fare as they are to. All entries where
//! there are no more than 1,000, else as many drawn ones as a larger population has probes, the first and the last, and of each the addresses
//! at both of its edges and beside them.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use netns_harness::HarnessError;
use netns_harness::datapath::{Transport, facts};
use netns_harness::lists::{List, Listed, Members};
use netns_harness::service::Frontend;
use netns_harness::traffic::{HandOver, MOST_HANDED};
use rand::RngExt as _;
use schema::{Family, ListKind, Mode, OptionKey, Options, Protocol, Stage};

use crate::cost::Asked;
use crate::error::{At as _, CellError, Result};
use crate::path::{arrived, is_done};
use crate::recorder::Recorder;
use crate::scenario::Request;
use crate::stay::Stay;

/// Lists up to so many entries are proved by all of them; of larger ones as many are drawn.
const PROVED_ALL: u32 = 1_000;
const DRAWN: u32 = 256;
/// How long packets that are to be dropped may take.
const LEFT_OVER: Duration = Duration::from_millis(5);
/// Listings that may leave entries out, and how long a hash may go on growing after each.
const LISTINGS: u32 = 3;
const GROWING: Duration = Duration::from_millis(200);
/// Filling a list, nanoseconds an entry; with its listing and its proof.
const ENTRY_NS: u64 = 6_000;
/// A lab, its tools and its proof, nanoseconds.
const LAB_NS: u64 = 250_000_000;

/// What making a list takes.
pub(crate) fn expected_ns(options: &Options) -> u64 {
    LAB_NS + u64::from(options.entries().unwrap_or(0)) * ENTRY_NS
}

/// The kinds and sizes that are asked of a mode, each as options: kinds that were named, or all; sizes from that on which a kind has all
/// its lengths of prefixes.
pub(crate) fn lists(asked: Asked, request: &Request) -> Vec<Options> {
    let named = &request.chosen.list_kinds;
    let kinds = ListKind::ALL.iter();
    let kinds = kinds.filter(|kind| named.is_empty() || named.contains(kind));
    let held = kinds.filter(|kind| kind.most(asked.mode, Family::Ipv4).is_some());
    let mut all = Vec::new();
    for kind in held {
        let mut entries = match kind {
            ListKind::Bare => vec![0],
            _ => request.chosen.entries.clone(),
        };
        entries.sort_unstable();
        entries.dedup();
        entries.retain(|entries| *entries >= kind.row().prefixes.into());
        all.extend(entries.into_iter().map(|entries| {
            Options::from([(OptionKey::ListKind, kind.name())]).with(OptionKey::Entries, entries)
        }));
    }
    all
}

/// The ordinary way to fill a list of a mode.
pub(crate) fn ordinary(mode: Mode) -> Transport {
    facts(mode).ordinary()
}

/// Makes a list, empty.
///
/// # Errors
/// The mode has no such list, or not so large a one; the kernel or the tools lack what it takes.
pub(crate) fn made(stay: &Stay<'_>, options: &Options, listed: Listed) -> Result<List> {
    let asked = options.list_kind().zip(options.entries());
    let (kind, entries) =
        asked.ok_or_else(|| CellError::at(Stage::Measure, "a list has a kind and entries"))?;
    let (mode, family) = (stay.spec.mode, stay.lab.family());
    match kind.most(mode, family) {
        None => {
            let family = family.words();
            let why = format!("{mode} has no {} of {family}", kind.words());
            return Err(CellError::unsupported(why));
        }
        Some(most) if entries > most => {
            let why = format!(
                "{} is asked of up to {most} entries in {mode}",
                kind.words()
            );
            return Err(CellError::unsupported(why));
        }
        Some(_) => {}
    }
    let members = Members::new(kind, family, entries);
    let engine = stay.spec.engine.or(facts(mode).rules).unwrap_or_default();
    let list = List::new(engine, members, listed);
    let missing = stay.lab.on_node(|| Ok(list.missing()))?;
    if let Some(why) = missing {
        return Err(CellError::unsupported(why));
    }
    stay.on_node(Stage::Preparation, || list.make())?;
    Ok(list)
}

/// Fills it the ordinary way, untimed, and breaks it where that was asked for.
pub(crate) fn filled(stay: &Stay<'_>, list: &List) -> Result {
    if list.members.kind() == ListKind::Bare {
        return Ok(());
    }
    let batch = list.load(ordinary(stay.spec.mode));
    stay.carry_out(&batch).at(Stage::Preparation)?;
    damaged(stay, list)
}

/// Breaks it where that was asked for.
pub(crate) fn damaged(stay: &Stay<'_>, list: &List) -> Result {
    let Some(damage) = stay.spec.damage else {
        return Ok(());
    };
    let lines = list
        .damage(damage)
        .ok_or_else(|| CellError::unsupported(format!("a list cannot be damaged so: {damage}")))?;
    stay.break_by(lines)
        .map_err(|why| CellError::at(Stage::Preparation, format!("damage {damage}: {why}")))
}

/// Hands packets over in the stay's lab.
///
/// # Errors
/// This kernel cannot, or does not let this process, for which nothing is to blame; anything else is a failure.
pub(crate) fn handing<'a>(stay: &Stay<'a>) -> Result<HandOver<'a>> {
    HandOver::dropped(stay.lab).map_err(|error| {
        let lacks = match &error {
            HarnessError::System { source, .. } => matches!(
                source.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ),
            _ => false,
        };
        match lacks {
            true => CellError::unsupported(error),
            false => CellError::at(Stage::Preparation, error),
        }
    })
}

/// Where packets to an address go.
pub(crate) fn to(vip: IpAddr) -> Frontend {
    let [port, _] = Members::ports();
    Frontend {
        vip,
        port,
        protocol: Protocol::Udp,
    }
}

/// Proves a list of so many entries more.
///
/// # Errors
/// The kernel lists another one, or packets fare otherwise than they are to.
pub(crate) fn prove(
    stay: &mut Stay<'_>,
    hand: &mut HandOver<'_>,
    list: &List,
    (listed, more): (Listed, u32),
    recorder: &mut Recorder,
) -> Result {
    listed_whole(stay, list, more, recorder)?;
    let members = list.members;
    let entries = members.entries() + more;
    let chosen: Vec<u32> = match entries {
        0..=PROVED_ALL => (0..entries).collect(),
        _ => {
            let drawn = (0..DRAWN).map(|_| stay.rng.random_range(0..entries));
            [0, entries - 1].into_iter().chain(drawn).collect()
        }
    };
    let inside = chosen.iter().flat_map(|nth| members.inside(*nth));
    let inside: Vec<Frontend> = inside.map(to).collect();
    let outside = chosen
        .iter()
        .flat_map(|nth| members.beside(*nth).chain([members.stranger(*nth)]));
    let mut outside: Vec<Frontend> = outside.map(to).collect();
    if members.kind().has_ports() {
        let [_, last] = Members::ports();
        outside.extend(inside.iter().map(|to| Frontend {
            port: last + 1,
            ..*to
        }));
    }
    let passes = listed == Listed::Pass;
    fare(stay, hand, &inside, passes, "in the list")?;
    fare(stay, hand, &outside, !passes, "in no entry of the list")?;
    recorder.fact("listed_entries", entries);
    recorder.fact("proof_packets", inside.len() + outside.len());
    Ok(())
}

/// The kernel must list the entries. While a hash that was filled a moment ago is still growing (`rht_deferred_worker` of lib/rhashtable.c) a
/// listing can leave some out, so that one that is not whole is made again.
pub(crate) fn listed_whole(
    stay: &Stay<'_>,
    list: &List,
    more: u32,
    recorder: &mut Recorder,
) -> Result {
    let listed = || stay.on_node(Stage::Proof, || list.check(more));
    for nth in 0..LISTINGS {
        if listed().is_ok() {
            if nth > 0 {
                recorder.fact("listings_not_whole", nth);
            }
            return Ok(());
        }
        std::thread::sleep(GROWING);
    }
    listed()
}

/// Packets to these must all pass, or none.
fn fare(
    stay: &mut Stay<'_>,
    hand: &mut HandOver<'_>,
    to: &[Frontend],
    pass: bool,
    which: &str,
) -> Result {
    for to in to.chunks(MOST_HANDED as usize) {
        let before = hand.arrived()?;
        hand.first_packets(&mut stay.client, to)?;
        let wanted = if pass { to.len() as u64 } else { 0 };
        let passed = || arrived(hand, before).map(|[_, passed]| passed);
        match pass {
            true => drop(is_done(|| passed().map(|passed| passed >= wanted))?),
            // One that is left to somebody else is seen all the same.
            false => std::thread::sleep(LEFT_OVER),
        }
        let passed = passed()?;
        if passed != wanted {
            let why = format!(
                "of {} packets to addresses that are {which} {passed} have passed, and {wanted} were to",
                to.len()
            );
            return Err(CellError::at(Stage::Proof, why));
        }
    }
    Ok(())
}
