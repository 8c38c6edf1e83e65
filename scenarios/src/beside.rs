//! The other family of a dual-stack node: the same services, each with an address of that family too, whose rules are
//! there before anything is measured and must be there, as they were, when it has been.
//!
//! kube-proxy has a proxier for each family, with rules, changes and a queue of syncs of its own
//! (`NewDualStackProxier` of pkg/proxy/*/proxier.go), so that an update of a service with two addresses is two syncs, each
//! of one family. What is measured here is one of them, beside the rules of the other. The two run at once
//! (`metaProxier.SyncLoop` of pkg/proxy/metaproxier/meta_proxier.go starts one in a goroutine of its own): how they stand
//! in each other's way is no part of it.

use netns_harness::datapath::Implementation;
use netns_harness::lab::Lab;
use netns_harness::relation::Relation;
use netns_harness::service::Population;
use schema::{Family, Stage};

use crate::conduct::{preparation, programmed_as};
use crate::error::{At as _, CellError, Result};
use crate::spec::StaySpec;
use crate::stay::set_node;

/// The services of the other family, and what programs them.
pub(crate) struct Beside {
    family: Family,
    datapath: Box<dyn Implementation>,
    population: Population,
    large_cluster: bool,
}

impl Beside {
    /// That of a stay; `None` where its node serves one family.
    ///
    /// # Errors
    /// A real kube-proxy programs both families, or none: it is not told of one alone.
    pub(crate) fn of(spec: &StaySpec) -> Result<Option<Self>> {
        let Some(family) = spec.node().beside() else {
            return Ok(None);
        };
        let datapath = programmed_as(spec, family)?;
        if datapath.programmer().is_some() {
            return Err(CellError::at(
                Stage::Preparation,
                "a real kube-proxy is not told of services of two families yet",
            ));
        }
        Ok(Some(Self {
            family,
            datapath,
            population: spec.recipe_of(family).population(spec.services),
            large_cluster: spec.large_cluster,
        }))
    }

    /// Installs them in a lab, untimed, and sees that they are what the kernel lists.
    ///
    /// # Errors
    /// The kernel or a tool refused, or something else is listed.
    pub(crate) fn install(&self, lab: &Lab) -> Result {
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
        let listed = lab.on_node(|| self.datapath.census()).at(Stage::Proof)?;
        let wanted = Relation::of(&self.population);
        match listed.differences(&wanted) {
            None => Ok(()),
            Some(differences) => Err(CellError::at(
                Stage::Proof,
                format!(
                    "the services of {}, which nothing was to touch: {differences}",
                    self.family.words()
                ),
            )),
        }
    }
}
