//! What a stay's node is before anything is measured: a lab, what programs its mode, and on a dual-stack node the other
//! family: the same services, each with an address of that family too, whose rules are there before anything is measured
//! and must be there, as they were, when it has been.
//!
//! kube-proxy has a proxier for each family, with rules, changes and a queue of syncs of its own
//! (`NewDualStackProxier` of pkg/proxy/*/proxier.go), so that an update of a service with two addresses is two syncs, each
//! of one family. What is measured here is one of them, beside the rules of the other. The two run at once
//! (`metaProxier.SyncLoop` of pkg/proxy/metaproxier/meta_proxier.go starts one in a goroutine of its own): how they stand
//! in each other's way is no part of it.

use netns_harness::HarnessError;
use netns_harness::datapath::{
    Batch, Implementation, Inventory, RenderOptions, Transport, laid_out, programmed_on,
};
use netns_harness::lab::{Lab, Pinning};
use netns_harness::relation::Relation;
use netns_harness::service::{Population, Service};
use schema::{Family, NodeKind, Stage};

use crate::error::{At as _, CellError, Result};
use crate::spec::StaySpec;

/// The datapath of a stay, for services of a family that its node serves.
///
/// # Errors
/// kube-proxy has no such mode.
pub(crate) fn programmed_as(spec: &StaySpec, family: Family) -> Result<Box<dyn Implementation>> {
    let node = NodeKind {
        family,
        ..spec.node()
    };
    let datapath = programmed_on(
        node,
        spec.mode,
        spec.engine.unwrap_or_default(),
        spec.transport,
        spec.kube_proxy.unwrap_or_default(),
        spec.min_sync_period_ms.unwrap_or_default(),
    );
    datapath
        .ok_or_else(|| format!("kube-proxy has no mode {}", spec.mode))
        .at(Stage::Preparation)
}

/// Why a layout has no room for a population in sets as kube-proxy makes them, with the remedy; `None` where it has.
#[must_use]
pub fn no_room(datapath: &dyn Implementation, population: &Population) -> Option<String> {
    let why = datapath.no_room(population)?;
    let remedy = match datapath.programmer() {
        Some(_) => "a real kube-proxy makes no larger ones; ask for fewer --services",
        None => "--maxelem raised makes larger ones, which kube-proxy has not",
    };
    Some(format!("{why}: {remedy}"))
}

/// Operations of a transaction of an untimed preparation beyond which it has fewer services than the mode's own number:
/// what grows with the square of a transaction are its rules and chains. Services of two endpoints stay below.
const PREPARED_OPERATIONS: u64 = 7_500;
/// Services by which operations are counted: every type of a mix is among so many.
const SAMPLE: usize = 100;

/// Services a transaction of an untimed preparation: the mode's own number, fewer where each takes many operations;
/// `None`: all in one, or a real kube-proxy divides nothing.
pub(crate) fn prepared_chunk(
    datapath: &dyn Implementation,
    population: &Population,
    options: &RenderOptions,
) -> Option<usize> {
    let most = datapath.facts().preparation_chunk?;
    if datapath.programmer().is_some() {
        return None;
    }
    let sample = &population.services[..population.len().min(SAMPLE)];
    let operations = |services: &[Service]| {
        let population = Population {
            services: services.to_vec(),
        };
        datapath.render(None, &population, options).operations()
    };
    let own = operations(sample).saturating_sub(operations(&[]));
    let each = own.div_ceil(sample.len().max(1) as u64).max(1);
    Some(most.min((PREPARED_OPERATIONS / each).max(1) as usize))
}

/// The fastest proven way to install a population that lies there as `laid_out` says, untimed: in chunks, halved until every
/// transaction fits what this process may send.
#[must_use]
pub fn preparation(
    datapath: &dyn Implementation,
    population: &Population,
    laid_out: &RenderOptions,
) -> Batch {
    if datapath.programmer().is_some() {
        let options = RenderOptions::by(Transport::KubeProxy);
        return datapath.render(None, population, &options);
    }
    let facts = datapath.facts();
    let transport = facts.ordinary();
    let largest = facts.by(transport).largest();
    let mut options = RenderOptions {
        transport,
        chunk: None,
        untimed: true,
        ..*laid_out
    };
    options.chunk = prepared_chunk(datapath, population, &options);
    loop {
        let batch = datapath.render(None, population, &options);
        let services = options.chunk.unwrap_or(usize::MAX).min(population.len());
        if services <= 1 || largest.is_none_or(|most| batch.largest_step() <= most) {
            return batch;
        }
        options.chunk = Some(services / 2);
    }
}

/// A lab of a stay, in which nothing is installed but the services beside those that are measured, where its node serves
/// two families.
///
/// # Errors
/// It cannot be built, or they cannot be installed.
pub(crate) fn made_lab(
    spec: &StaySpec,
    pinning: Pinning,
    datapath: &dyn Implementation,
    beside: Option<&Beside>,
) -> Result<Lab> {
    let (sysctls, peers) = (&spec.setup.sysctls, spec.recipe().peers());
    let lab = Lab::peopled(spec.node(), pinning, sysctls, peers).at(Stage::Lab)?;
    set_node(&lab, datapath).at(Stage::Lab)?;
    if let Some(beside) = beside {
        beside.install(&lab)?;
    }
    Ok(lab)
}

/// Sets of a lab's node what kube-proxy sets at its start; a real one does that itself.
///
/// # Errors
/// A value was refused.
pub(crate) fn set_node(lab: &Lab, datapath: &dyn Implementation) -> Result<(), HarnessError> {
    match datapath.programmer() {
        Some(_) => Ok(()),
        None => lab.set_on_node(datapath.facts().node_sysctls),
    }
}

/// The services of the other family, and what programs them.
pub(crate) struct Beside {
    family: Family,
    datapath: Box<dyn Implementation>,
    population: Population,
    laid_out: RenderOptions,
    /// Whether a real kube-proxy programs both families: then they come and go with those that are measured.
    driven: bool,
}

impl Beside {
    /// That of a stay; `None` where its node serves one family.
    ///
    /// # Errors
    /// kube-proxy has no such mode.
    pub(crate) fn of(spec: &StaySpec) -> Result<Option<Self>> {
        let Some(family) = spec.node().beside() else {
            return Ok(None);
        };
        let driven = spec.transport == Transport::KubeProxy;
        let datapath = match driven {
            // For its listing alone.
            true => laid_out(
                spec.mode,
                spec.engine.unwrap_or_default(),
                spec.kube_proxy.unwrap_or_default(),
                NodeKind::dual(family),
            ),
            false => programmed_as(spec, family)?,
        };
        Ok(Some(Self {
            family,
            datapath,
            population: spec.recipe_of(family).population(spec.services),
            laid_out: spec.rendered(),
            driven,
        }))
    }

    /// Whether they are there only while those that are measured are.
    pub(crate) const fn is_driven(&self) -> bool {
        self.driven
    }

    /// Installs them in a lab, untimed, and sees that they are what the kernel lists. A real kube-proxy does that when it
    /// is started.
    ///
    /// # Errors
    /// The kernel or a tool refused, or something else is listed.
    pub(crate) fn install(&self, lab: &Lab) -> Result {
        if self.driven {
            return Ok(());
        }
        set_node(lab, &*self.datapath).at(Stage::Lab)?;
        let batch = preparation(&*self.datapath, &self.population, &self.laid_out);
        lab.on_node(|| self.datapath.carry_out(&batch))
            .at(Stage::Preparation)?;
        self.check(lab)
    }

    /// What the kernel lists of them, counted.
    ///
    /// # Errors
    /// The listing failed.
    pub(crate) fn inventory(&self) -> Result<Inventory, HarnessError> {
        self.datapath.inventory()
    }

    /// What lies there, as words.
    pub(crate) fn words(&self) -> String {
        format!(
            "{} services of {}",
            self.population.services.len(),
            self.family.words()
        )
    }

    /// Sees that they are there as they were installed.
    ///
    /// # Errors
    /// Something else is listed.
    pub(crate) fn check(&self, lab: &Lab) -> Result {
        let facts = self.datapath.facts();
        if facts.mode.is_floor() {
            return Ok(());
        }
        let frontends = self.population.services.iter().map(|s| s.frontend);
        let frontends: Vec<_> = frontends.collect();
        let traced = || match self.datapath.traced(&frontends) {
            Some(traced) => traced,
            None => self.datapath.census(),
        };
        let listed = lab.on_node(|| match self.driven {
            true => traced(),
            false => self.datapath.census(),
        });
        let listed = listed.at(Stage::Proof)?;
        let wanted = Relation::of(&self.population);
        match listed.differences(&wanted) {
            None => Ok(()),
            Some(differences) => Err(CellError::at(
                Stage::Proof,
                format!(
                    "the services of {}, which are to be as they were: {differences}",
                    self.family.words()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{CLUSTER_IPS, Recipe};
    use schema::{Engine, KubeProxyVersion, Mode, Protocol, ServiceType};

    #[test]
    fn a_full_set_has_no_room_for_one_service_more_and_a_real_kube_proxy_s_is_not_to_be_raised() {
        let recipe = Recipe {
            family: Family::Ipv4,
            seed: 1,
            endpoints: 1,
            protocols: &[Protocol::Tcp],
            vip_stride: None,
            types: CLUSTER_IPS,
            imported: None,
        };
        let mut population = recipe.population(65_536);
        let by = |transport| {
            let (node, engine) = (NodeKind::default(), Engine::default());
            let version = KubeProxyVersion::default();
            programmed_on(node, Mode::Ipvs, engine, transport, version, 10).unwrap()
        };
        let [ours, real] = [Transport::Netlink, Transport::KubeProxy].map(by);
        assert_eq!(no_room(&*ours, &population), None);
        population
            .services
            .push(recipe.added(65_536, 0, ServiceType::ClusterIp));
        let [ours, real] = [ours, real].map(|datapath| no_room(&*datapath, &population).unwrap());
        let said = "kube-proxy's sets hold 65,536 entries, and ";
        assert!(
            ours.starts_with(said) && ours.contains("65537: --maxelem raised"),
            "{ours}"
        );
        assert!(
            real.starts_with(said) && !real.contains("--maxelem"),
            "{real}"
        );
    }

    fn chunks(mode: Mode, version: KubeProxyVersion) -> Vec<Option<usize>> {
        let datapath = laid_out(mode, Engine::default(), version, NodeKind::default());
        let options = RenderOptions {
            untimed: true,
            ..RenderOptions::by(datapath.facts().ordinary())
        };
        let chunk = |endpoints: &u32| {
            let recipe = Recipe {
                family: Family::Ipv4,
                seed: 1,
                endpoints: *endpoints,
                protocols: &[Protocol::Tcp],
                vip_stride: None,
                types: CLUSTER_IPS,
                imported: None,
            };
            prepared_chunk(&*datapath, &recipe.population(20), &options)
        };
        [1, 2, 50, 1_000].iter().map(chunk).collect()
    }

    #[test]
    fn a_transaction_of_an_untimed_preparation_has_fewer_services_the_more_operations_each_takes() {
        // 3 + 4 · E operations a service.
        let iptables = [Some(500), Some(500), Some(36), Some(1)];
        assert_eq!(chunks(Mode::IptablesNft, KubeProxyVersion::V1_37), iptables);
        // 6 + 4 · E.
        let chains = [Some(500), Some(500), Some(36), Some(1)];
        assert_eq!(chunks(Mode::Nftables, KubeProxyVersion::V1_35), chains);
        // 5 whatever E, for the whole choice is one rule.
        assert_eq!(
            chunks(Mode::Nftables, KubeProxyVersion::V1_37),
            [Some(500); 4]
        );
        assert_eq!(
            chunks(Mode::IptablesLegacy, KubeProxyVersion::V1_37),
            [None; 4]
        );
    }
}
