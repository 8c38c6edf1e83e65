//! `listing`: what reading back costs when N services are installed, a cell for each reader that the mode's facts name: the
//! reference tools, and dumps of ours with and without decoding. What was read is counted from its own words, after the
//! clock has stopped, and must be as many rules, chains, sets, elements, servers and addresses as the inventory has, which is taken
//! once the census has proved the population. Then the same while a service is added.

use std::sync::Barrier;

use netns_harness::HarnessError;
use netns_harness::datapath::read_back::{Listed, Reading, refused};
use netns_harness::datapath::{Inventory, facts};
use netns_harness::service::Population;
use netns_sys::clock;
use schema::{Metric, OptionKey, Options, Reader, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{At as _, CellError, Result};
use crate::node::no_room;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario, layout_options};
use crate::spec::{Event, StaySpec};
use crate::stay::{Stay, Used};

/// The scenario.
#[derive(Debug)]
pub(crate) struct ReadBack;

/// How often a cell reads, alone and while a service is added. Where a second reading shows little that is new, once.
const fn repetitions(services: u32, once: bool) -> u32 {
    match services {
        _ if once => 1,
        0..=1_000 => 5,
        _ => 3,
    }
}

impl Scenario for ReadBack {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Listing
    }

    /// However the rules were made.
    fn options(&self, asked: Asked, request: &Request) -> Options {
        let mut options = Options::new();
        layout_options(&mut options, asked, request.large_cluster);
        options
    }

    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let one = self.options(asked, request);
        let readers = facts(asked.mode).readers.iter();
        readers
            .map(|reader| one.clone().with(OptionKey::Reader, reader))
            .collect()
    }

    fn expected_ns(&self, asked: Asked, _options: &Options, request: &Request) -> u64 {
        let times = u64::from(repetitions(
            asked.services,
            request.counted || request.brief,
        ));
        match request.counted {
            // The inventory, too.
            true => (times + 1) * asked.listing_ns(),
            false => (2 * times + 4) * asked.listing_ns() + 2 * times * asked.update_ns(),
        }
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let reader = options.reader();
        let reader = reader.ok_or_else(|| CellError::at(Stage::Measure, "no reader"))?;
        if let Some(why) = refused(reader, stay.datapath.facts()) {
            return Err(CellError::unsupported(why));
        }
        let there = inventory(stay, reader)?;
        let spec = stay.spec;
        if spec.block == 0 && !spec.counted {
            weigh(stay, reader, &there, recorder)?;
        }
        let times = repetitions(spec.services, spec.counted || spec.brief);
        for _ in 0..times {
            alone(stay, reader, &there, recorder)?;
        }
        if !spec.counted {
            updating(stay, (reader, times), options, &there, recorder)?;
        }
        Ok(())
    }
}

/// What a reader has to find, by listings of its own.
fn inventory(stay: &Stay<'_>, reader: Reader) -> Result<Inventory> {
    let beside = stay.beside.filter(|_| reader.row().both_families);
    stay.on_node(Stage::Proof, || {
        let own = stay.datapath.inventory()?;
        match beside {
            Some(beside) => Ok(own.with(&beside.inventory()?)),
            None => Ok(own),
        }
    })
}

fn ready(stay: &Stay<'_>, reader: Reader) -> Result<Reading> {
    let facts = stay.datapath.facts();
    stay.on_node(Stage::Measure, || Reading::ready(reader, facts))
}

/// Reads once untimed, and samples the largest resident set of the tool.
fn weigh(stay: &Stay<'_>, reader: Reader, there: &Inventory, recorder: &mut Recorder) -> Result {
    let mut reading = ready(stay, reader)?;
    let (listed, peak) = stay.on_node(Stage::Measure, || {
        let (listed, peak) = netns_sys::process::weighing(|| reading.read());
        Ok((listed?, peak))
    })?;
    if let Some(bytes) = peak {
        recorder.sample(Metric::ToolRss, bytes);
    }
    check(&reading, &listed, (there, there)).map(drop)
}

/// Reads once, timed, while nothing else happens.
fn alone(stay: &Stay<'_>, reader: Reader, there: &Inventory, recorder: &mut Recorder) -> Result {
    let mut reading = ready(stay, reader)?;
    stay.rest()?;
    (stay.emit)(Event::Act { begins: true });
    let done = stay.on_node(Stage::Measure, || timed(&mut reading));
    (stay.emit)(Event::Act { begins: false });
    let (listed, elapsed_ns, used) = done?;
    recorder.sample(Metric::ListingTime, elapsed_ns);
    stay.processor_sampled(used, recorder);
    recorder.fact("listed", check(&reading, &listed, (there, there))?);
    if let Some(bytes) = listed.bytes() {
        recorder.fact("listed_bytes", bytes);
    }
    Ok(())
}

/// The timed section, and what it used.
fn timed(reading: &mut Reading) -> Result<(Listed, u64, Used), HarnessError> {
    let before = Used::so_far()?;
    let start = clock::now();
    let listed = reading.read();
    let end = clock::now();
    let used = before.between(start, end)?;
    Ok((listed?, start.ns_until(end), used))
}

/// Reads while another thread adds a service, which both begin at once, and takes the service away again. A listing has
/// what was there before, or after, or of what is not listed at one time something between. One that has not, or ends in an error, is no
/// failure of the cell, whose reader has read all when nothing changed: it has no time, and is told of.
fn updating(
    stay: &Stay<'_>,
    (reader, times): (Reader, u32),
    options: &Options,
    there: &Inventory,
    recorder: &mut Recorder,
) -> Result {
    if stay.datapath.programmer().is_some() {
        return Ok(());
    }
    let more = with_one_more(stay.spec, stay.population);
    if let Some(why) = no_room(stay.datapath, &more).filter(|_| !stay.spec.raised) {
        recorder.fact("listing_time_updating", format!("unsupported: {why}"));
        return Ok(());
    }
    let render = stay.render_options(options);
    let add = stay.datapath.render(Some(stay.population), &more, &render);
    let remove = stay.datapath.render(Some(&more), stay.population, &render);
    let (mut after, mut torn) = (None, Vec::new());
    for _ in 0..times {
        let mut reading = ready(stay, reader)?;
        let both = Barrier::new(2);
        (stay.emit)(Event::OtherAct { begins: true });
        let (read, added) = std::thread::scope(|scope| {
            let (datapath, lab, both, add) = (stay.datapath, stay.lab, &both, &add);
            let adding = scope.spawn(move || {
                both.wait();
                lab.on_node(|| datapath.carry_out(add))
            });
            both.wait();
            let read = stay.on_node(Stage::Measure, || timed(&mut reading));
            let added = adding.join();
            (
                read,
                added.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        (stay.emit)(Event::OtherAct { begins: false });
        added.at(Stage::Measure)?;
        let with = match after {
            Some(with) => with,
            None => *after.insert(inventory(stay, reader)?),
        };
        stay.carry_out(&remove).at(Stage::Measure)?;
        let whole = read.and_then(|(listed, elapsed_ns, _)| {
            check(&reading, &listed, (there, &with)).map(|_| elapsed_ns)
        });
        match whole {
            Ok(elapsed_ns) => recorder.sample(Metric::ListingTimeUpdating, elapsed_ns),
            Err(error) => torn.push(error.reason),
        }
    }
    if let Some(why) = torn.first() {
        recorder.fact("torn_listings", format!("{} of {times}: {why}", torn.len()));
    }
    recorder.fact("census_after_listing", stay.census(stay.population)?);
    Ok(())
}

/// The population with the service that service-add adds first.
fn with_one_more(spec: &StaySpec, population: &Population) -> Population {
    let mut more = population.clone();
    let added = spec.recipe().added(spec.services, 0, spec.mix.largest());
    more.services.push(added);
    more
}

/// A listing has as many of each thing as there were, before or after an update or between: what it has, as words.
fn check(
    reading: &Reading,
    listed: &Listed,
    (before, after): (&Inventory, &Inventory),
) -> Result<String> {
    let counted = reading.counted(listed).at(Stage::Proof)?;
    for (thing, count) in &counted {
        let (before, after) = (thing.of(before), thing.of(after));
        if !(before.min(after)..=before.max(after)).contains(count) {
            let there = match before == after {
                true => before.to_string(),
                false => format!("{before} to {after}"),
            };
            let why = format!("{count} {thing} were listed, and there are {there}");
            return Err(CellError::at(Stage::Proof, why));
        }
    }
    let words = counted
        .iter()
        .map(|(thing, count)| format!("{count} {thing}"));
    Ok(words.collect::<Vec<_>>().join(", "))
}
