//! Transport `restore`: batches of `iptables-restore --noflush` input, as kube-proxy's `syncProxyRules`
//! writes it.

use std::collections::HashSet;

use super::Iptables;
use super::layout;
use super::services::chains_of;
use crate::datapath::steps::Restore;
use crate::datapath::{Batch, RenderOptions, Stale};
use crate::service::{Population, Service};

/// Everything from nothing: jumps, shared chains and all services, `chunk` services a transaction.
pub(super) fn install(iptables: Iptables, to: &Population, options: &RenderOptions) -> Batch {
    let chunk = options
        .chunk
        .unwrap_or(usize::MAX)
        .min(to.services.len().max(1));
    let mut chunks: Vec<&[Service]> = to.services.chunks(chunk).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let last = chunks.len() - 1;
    let mut batch = Batch::default();
    for (i, services) in chunks.into_iter().enumerate() {
        let first = (i == 0).then_some(to);
        batch.push(install_part(iptables, services, first, i == last, options));
    }
    batch
}

fn install_part(
    iptables: Iptables,
    services: &[Service],
    first: Option<&Population>,
    last: bool,
    options: &RenderOptions,
) -> Restore {
    let mut text = iptables.text(options.large_cluster);
    match first {
        Some(all) => {
            text.canaries();
            text.filter_section(true, &all.services);
            text.begin_nat();
        }
        None => text.begin("nat"),
    }
    services.iter().for_each(|s| text.declare_service(s));
    text.jumps("nat", first.is_some());
    if first.is_some() {
        text.nat_rules_first();
    }
    for service in services {
        text.portals(service);
        text.service_rules(service);
    }
    if last {
        text.nat_rules_last();
    }
    text.commit();
    Restore::new(iptables.tool(), text)
}

/// One transaction: the shared chains in full, and the chains of changed services (kube-proxy's partial
/// sync, ≥ 1.28) or, in a resync, of all (its full sync; the jumps are there already). In large clusters kube-proxy leaves
/// stale chains where they are until its last look for them is longer ago than its syncPeriod (`lastIPTablesCleanup` in
/// pkg/proxy/iptables/proxier.go:1246–1272 of 1.37.2); the sync that then deletes them writes the shared chains too.
pub(super) fn update(
    iptables: Iptables,
    from: &Population,
    to: &Population,
    options: &RenderOptions,
) -> Restore {
    let (changed, stale) = layout::changes(from, to);
    let written: Vec<&Service> = match options.stale {
        Stale::Collected => Vec::new(),
        _ if options.resync => to.services.iter().collect(),
        _ => changed.clone(),
    };
    let mut text = iptables.text(options.large_cluster);
    text.filter_section(false, &to.services);
    text.begin_nat();
    written.iter().for_each(|s| text.declare_service(s));
    // A stale chain is declared, which empties it, and deleted at the end.
    let staying = match options.stale {
        Stale::Collected => &changed,
        _ => &written,
    };
    let kept: HashSet<String> = staying.iter().flat_map(|s| chains_of(s)).collect();
    let leaves = options.stale == Stale::Left && options.large_cluster;
    let gone: Vec<String> = stale
        .iter()
        .filter(|_| !leaves)
        .flat_map(|s| chains_of(s))
        .filter(|c| !kept.contains(c))
        .collect();
    gone.iter().for_each(|chain| text.declare(chain));
    text.nat_rules_first();
    to.services.iter().for_each(|s| text.portals(s));
    written.iter().for_each(|s| text.service_rules(s));
    text.nat_rules_last();
    gone.iter().for_each(|chain| text.delete_chain(chain));
    text.commit();
    Restore::new(iptables.tool(), text)
}
