//! A mode whose rules a real kube-proxy writes, as a datapath.

use std::sync::{Arc, Mutex};

use schema::{Damage, NodeKind};

use super::Programmer;
use super::change::{Change, Made};
use crate::HarnessError;
use crate::datapath::{
    Batch, Breakable, Datapath, Filled, Implementation, Inspect, Inventory, KubeProxy, ModeFacts,
    RenderOptions, Sockets, Transport,
};
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::{Population, Service};
use crate::xtables::foreign;

/// A mode whose rules a real kube-proxy writes.
pub(crate) struct Driven {
    inner: Box<dyn Implementation>,
    /// On a dual-stack node the mode of the other family, which the same process programs.
    beside: Option<Box<dyn Implementation>>,
    programmer: Arc<Programmer>,
}

impl Driven {
    /// A mode that kube-proxy has, on a node that serves that, with that minSyncPeriod; none where it has no such mode.
    pub(crate) fn of(
        inner: Box<dyn Implementation>,
        beside: Option<Box<dyn Implementation>>,
        node: NodeKind,
        min_sync_period_ms: u32,
    ) -> Option<Self> {
        let facts = inner.facts().kube_proxy?;
        let programmer = Arc::new(Programmer {
            facts,
            node,
            min_sync_period_ms,
            state: Mutex::default(),
        });
        Some(Self {
            inner,
            beside,
            programmer,
        })
    }
}

impl Datapath for Driven {
    fn facts(&self) -> &'static ModeFacts {
        self.inner.facts()
    }

    /// Whether the kernel and the tools will do. What the binary does is seen in a stay.
    fn probe(&self, _: Transport) -> Result<(), Lack> {
        self.inner.probe(self.inner.facts().ordinary())
    }

    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        Batch::of(Some(Made {
            programmer: Arc::clone(&self.programmer),
            change: Change::between(self.programmer.node, from, to, options.resync),
        }))
    }

    fn fullest(&self, population: &Population) -> Option<Filled> {
        self.inner.fullest(population)
    }

    /// No layout is compared: any version's, or a branch's, is what it does.
    fn census(&self) -> Result<Relation, HarnessError> {
        let mode = self.inner.facts().mode;
        let none = || HarnessError::KubeProxy(format!("kube-proxy has no mode {mode}"));
        self.inner
            .traced(&self.programmer.frontends())
            .ok_or_else(none)?
    }

    /// kube-proxy is ended, and what it left in the kernel removed.
    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        self.programmer.leave();
        let rules = self.inner.facts().rules;
        // Its canary chains are in table mangle, where no rules of ours are.
        let mut errors = Vec::new();
        for (engine, family) in rules.into_iter().flat_map(|engine| {
            let families = self.programmer.node.families().iter();
            families.map(move |family| (engine, *family))
        }) {
            let tables = &["mangle", "filter", "nat"];
            errors.append(&mut foreign::remove(engine, family, tables, sockets));
        }
        for words in self.programmer.facts.cleanup {
            let mut command = netns_sys::tools::command(words[0]);
            let _nothing_there = crate::tools::run(command.args(&words[1..]), "");
        }
        for mode in [Some(&self.inner), self.beside.as_ref()]
            .into_iter()
            .flatten()
        {
            errors.append(&mut mode.teardown(sockets));
        }
        errors
    }
}

impl KubeProxy for Driven {
    fn programmer(&self) -> Option<&Programmer> {
        Some(&self.programmer)
    }
}

impl Inspect for Driven {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        self.inner.leftovers()
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        self.inner.inventory()
    }

    // What the node sends is kube-proxy's own, too: nothing is said of output.
    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        self.inner.nat_counters()
    }

    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        self.inner.stated_memory()
    }
}

impl Breakable for Driven {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        self.inner.damage(damage, a, b)
    }
}

#[cfg(test)]
impl crate::datapath::meaning::Meaning for Driven {
    fn meaning(&self, _: &[Batch]) -> Result<Relation, String> {
        Err("what a kube-proxy will do is known when it has done it".to_owned())
    }
}
