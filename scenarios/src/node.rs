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
    Batch, Implementation, RenderOptions, Transport, laid_out, programmed_on,
};
use netns_harness::lab::{Lab, Pinning};
use netns_harness::relation::Relation;
use netns_harness::service::Population;
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

/// The fastest proven way to install a population, untimed: the mode's own chunk, halved until every
/// transaction fits what this process may send.
#[must_use]
pub fn preparation(
    datapath: &dyn Implementation,
    population: &Population,
    large_cluster: bool,
) -> Batch {
    if datapath.programmer().is_some() {
        let options = RenderOptions::by(Transport::KubeProxy);
        return datapath.render(None, population, &options);
    }
    let facts = datapath.facts();
    let transport = facts.ordinary();
    let largest = facts.by(transport).largest();
    let mut chunk = facts.preparation_chunk;
    loop {
        let options = RenderOptions {
            transport,
            large_cluster,
            chunk,
            untimed: true,
            resync: false,
        };
        let batch = datapath.render(None, population, &options);
        let services = chunk.unwrap_or(usize::MAX).min(population.len());
        if services <= 1 || largest.is_none_or(|most| batch.largest_step() <= most) {
            return batch;
        }
        chunk = Some(services / 2);
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
    let lab = Lab::of_node(spec.node(), pinning, &spec.setup.sysctls).at(Stage::Lab)?;
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
    large_cluster: bool,
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
            large_cluster: spec.large_cluster,
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
        let batch = preparation(&*self.datapath, &self.population, self.large_cluster);
        lab.on_node(|| self.datapath.carry_out(&batch))
            .at(Stage::Preparation)?;
        self.check(lab)
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
