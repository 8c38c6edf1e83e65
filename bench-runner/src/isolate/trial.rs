//! Trials, in the isolated process: what a mode needs and what the kernel has, found out by doing it.

use std::collections::BTreeMap;

use netns_harness::HarnessError;
use netns_harness::datapath::{
    Engine, Implementation, RenderOptions, Transport, facts, needs_forced_buffers, programmed,
};
use netns_harness::lab::facility::{self, FACILITIES, Facility};
use netns_harness::lab::{self, Lab, Pinning};
use netns_harness::relation::Relation;
use netns_harness::remedy::{Lack, Remedy};
use netns_harness::tools;
use netns_sys::isolation::Mounted;
use netns_sys::{clock, isolation};
use scenarios::SCENARIOS;
use scenarios::population::{CLUSTER_IPS, Recipe};
use schema::{Family, Mode, Protocol};

use super::ask::{At, Facilities, Found, Trial};
use crate::case::{self, Case};

/// minSyncPeriod of a kube-proxy that is tried, milliseconds.
const TRIED_MS: u32 = 10;

/// The kernel's answer by its name, "No such file or directory (ENOENT)": a number says nothing to a reader.
fn answer(error: &std::io::Error) -> String {
    let Some(number) = error.raw_os_error() else {
        return error.to_string();
    };
    let errno = nix::errno::Errno::from_raw(number);
    format!("{} ({errno:?})", errno.desc())
}

/// Tries every facility in this process's own namespaces.
pub(crate) fn facilities(mounted: Mounted) -> Facilities {
    let found = FACILITIES.iter().map(|f| Found {
        name: f.name.to_owned(),
        refused: f.attempt().err().map(|error| answer(&error)),
    });
    Facilities {
        found: found.collect(),
        forced_buffers: isolation::forces_buffers(),
        forced_receive_buffers: isolation::forces_receive_buffers(),
        own_sysfs: mounted.sysfs,
        set_revisions: facility::set_revisions(),
        deaf: case::all_tools()
            .iter()
            .filter_map(|(tool, _)| tools::deaf(tool))
            .collect(),
        largest_batch: largest_batch(),
        conntrack_max: isolation::read_sysctl("net.netfilter.nf_conntrack_max")
            .ok()
            .and_then(|text| text.parse().ok()),
    }
}

/// Bytes of the largest transaction that every mode may send; none when nothing bounds it.
fn largest_batch() -> Option<u64> {
    let ways = Mode::ALL.iter().flat_map(|mode| facts(*mode).transports);
    ways.filter_map(|way| way.largest()).min()
}

/// Tries a mode in this process's own namespaces, which are new and empty.
pub(crate) fn carry_out(asked: &Case, at: At) -> Trial {
    let engine = asked.engine.unwrap_or_default();
    let mut trial = Trial::default();
    if let Err(error) = netns_sys::tools::replace(asked.setup.tools.clone()) {
        return Trial::broken(error.to_string());
    }
    if let Some(why) = lab::refused(asked.node()) {
        return Trial::broken(why);
    }
    let transport = asked.transport;
    let of = |family: Family| {
        let version = asked.kube_proxy.unwrap_or_default();
        programmed(asked.mode, engine, transport, version, family, TRIED_MS)
    };
    let Some(datapath) = of(asked.family) else {
        return Trial::broken(format!("kube-proxy has no mode {}", asked.mode));
    };
    let known = datapath.facts();
    let other = known.rules.filter(|rules| *rules != Engine::default());
    trial.engine = other.filter(|_| known.either);
    // That of the services beside, where the node serves two families.
    let beside = asked.node().beside().and_then(of);
    let forced = isolation::forces_buffers();
    let needs_root = needs_forced_buffers(asked.mode, transport, engine).filter(|_| !forced);
    trial.unsupported = match needs_root {
        Some(why) => Some(Lack::from(why).with(Remedy::Root)),
        None => [Some(&datapath), beside.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|datapath| {
                let why = datapath.probe(transport).err()?;
                // Of rules that go through either engine that which was taken here.
                let engine = datapath.facts().rules.unwrap_or(engine);
                Some(explain(asked, engine, why))
            }),
    };
    let sysctls = &asked.setup.sysctls;
    let built = |sysctls: &BTreeMap<String, String>| {
        let pinning = Pinning::choose()?;
        Lab::of_node(asked.node(), pinning, sysctls)
    };
    let lab = match built(sysctls) {
        Ok(lab) => lab,
        // Where a lab can be built without them, they are to blame.
        Err(error) if !sysctls.is_empty() && built(&BTreeMap::new()).is_ok() => {
            trial.refused_sysctl = Some(error.to_string());
            return trial;
        }
        Err(error) => {
            let why = format!("no lab can be built: {error}");
            trial.unsupported.get_or_insert(why.into());
            return trial;
        }
    };
    trial.sysctls = lab.sysctls();
    if trial.unsupported.is_none() {
        if !forced {
            let refused = SCENARIOS.iter().filter_map(|s| s.needs_root());
            trial.limits.extend(refused.map(str::to_owned));
        }
        if let Some(at) = at {
            let refused = at_size(&lab, &*datapath, transport, at, &mut trial).err();
            trial.unsupported = refused.map(Lack::from);
        }
    }
    trial
}

/// Names what lacks beside what a tool said of it: a tool that reads nothing, what the kernel has not, what iptables has
/// not. Each is asked for, whatever the tool said.
fn explain(asked: &Case, engine: Engine, why: Lack) -> Lack {
    let lacking = || {
        let families = asked.node().families();
        facility::missing(asked.mode, engine, families, Facility::attempt)
    };
    let tools = asked.tools();
    let deaf = tools.iter().find_map(|(tool, _)| tools::deaf(tool));
    let extension = || {
        tools
            .iter()
            .find_map(|(tool, _)| without_extension(asked, engine, tool))
    };
    match deaf.or_else(lacking).or_else(extension) {
        Some(Lack { reason, remedy }) => Lack {
            reason: format!("{reason}; {}", why.reason),
            remedy,
        },
        None => why,
    }
}

/// An extension that the rules need and iptables itself does not have.
fn without_extension(asked: &Case, engine: Engine, tool: &str) -> Option<Lack> {
    let facilities = asked.node().families().iter();
    let facilities = facilities.flat_map(|family| facility::facilities(*family));
    let mut needed = facilities.filter(|facility| facility.serves(asked.mode, engine));
    needed.find_map(|facility| {
        let name = facility.unknown_to(tool)?;
        let why = format!("{tool} lacks its extension {name}");
        Some(Lack::from(why).with(Remedy::Reinstall("iptables".to_owned())))
    })
}

/// Installs a population of that size as a stay prepares it, if the layout has room for it, lists it, and removes it; and sees
/// whether one transaction of all of it could be sent.
fn at_size(
    lab: &Lab,
    datapath: &dyn Implementation,
    transport: Transport,
    (services, endpoints): (u32, u32),
    trial: &mut Trial,
) -> Result<(), String> {
    let recipe = Recipe {
        family: lab.family(),
        seed: 1,
        endpoints,
        protocols: &[Protocol::Tcp, Protocol::Udp],
        vip_stride: None,
        types: CLUSTER_IPS,
        imported: None,
    };
    let population = recipe.population(services);
    if let Some(why) = scenarios::no_room(datapath, &population) {
        return Err(why);
    }
    let said = |act: &'static str| {
        move |error: HarnessError| format!("{services} services cannot be {act}: {error}")
    };
    let start = clock::now();
    let batch = scenarios::preparation(datapath, &population, &RenderOptions::by(transport));
    lab.on_node(|| datapath.carry_out(&batch))
        .map_err(said("installed"))?;
    drop(batch);
    let listed = lab.on_node(|| datapath.census()).map_err(said("listed"))?;
    trial.installed_ms = Some(start.elapsed_ns() / 1_000_000);
    if datapath.facts().mode.is_floor() {
        return Ok(());
    }
    if let Some(differences) = listed.differences(&Relation::of(&population)) {
        return Err(format!(
            "the kernel lists other services than were installed: {differences}"
        ));
    }
    let removed = lab.on_node(|| Ok(datapath.remove()));
    let errors = removed.map_err(said("removed"))?;
    if let Some(error) = errors.into_iter().next() {
        return Err(said("removed")(error));
    }
    let Some(most) = datapath.facts().by(transport).largest() else {
        return Ok(());
    };
    let options = RenderOptions::by(transport);
    let bytes = datapath.render(None, &population, &options).bytes();
    if bytes > most {
        trial.limits.push(format!(
            "one transaction of {services} services has {bytes} bytes and {most} may be sent: run as root, or sudo sysctl -w net.core.wmem_max={}",
            bytes.div_ceil(2) + 64
        ));
    }
    Ok(())
}
