//! What any kube-proxy's table means at the VIPs: its rules are run, not compared with a layout. What leads to services
//! from outside is masqueraded, or depends on who sends it, and is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use nft_codec::{Connection, Flow, L4Proto, Program};
use schema::{Family, Protocol};

use super::layout;
use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{BACKENDS_INTERFACE, CLIENT_INTERFACE, Endpoint, Frontend, Plan};

/// The relation of every VIP of a family that a rule names, and of those `wanted`.
pub(super) fn relation(family: Family, wanted: &[Frontend]) -> Result<Relation, HarnessError> {
    let failed = HarnessError::netlink("list table kube-proxy");
    let mut connection = Connection::open().map_err(failed)?;
    let table_family = layout::table_family(family);
    super::check_no_other(table_family, &mut connection)?;
    let program = connection.program(table_family, layout::TABLE);
    let program = program.map_err(failed)?;
    of(&program, wanted).map_err(HarnessError::listing("nftables rules"))
}

fn of(program: &Program, wanted: &[Frontend]) -> Result<Relation, String> {
    let named = program.destinations().into_iter().filter_map(frontend);
    // Before there was such a set every destination was a VIP to us.
    let vips = program.addresses(layout::CLUSTER_IPS);
    let is_vip = |to: &Frontend| vips.as_ref().is_none_or(|vips| vips.contains(&to.vip));
    let named = named.filter(is_vip);
    let all: BTreeSet<Frontend> = wanted.iter().copied().chain(named).collect();
    let mut relation = Relation::default();
    for to in all {
        let forwarded = treated(program, to, Some(CLIENT_INTERFACE))?;
        if forwarded != treated(program, to, None)? {
            return Err(format!(
                "{to} is treated differently when it is forwarded and when the node sends it"
            ));
        }
        relation.0.extend(forwarded.map(|shares| (to, shares)));
    }
    Ok(relation)
}

fn frontend((protocol, to): (L4Proto, SocketAddr)) -> Option<Frontend> {
    let protocol = match protocol {
        L4Proto::TCP => Protocol::Tcp,
        L4Proto::UDP => Protocol::Udp,
        _ => return None,
    };
    Some(Frontend {
        vip: to.ip(),
        port: to.port(),
        protocol,
    })
}

/// Shares of new flows from inside of the cluster; `None` where the rules leave all of them alone.
fn treated(
    program: &Program,
    to: Frontend,
    input: Option<&str>,
) -> Result<Option<BTreeMap<Endpoint, f64>>, String> {
    let client = Plan::of(to.family()).client();
    let flow = Flow {
        source: client,
        destination: to.socket(),
        protocol: match to.protocol {
            Protocol::Tcp => L4Proto::TCP,
            Protocol::Udp => L4Proto::UDP,
        },
        input,
        output: BACKENDS_INTERFACE,
    };
    let parts = program
        .run(&flow)
        .map_err(|stuck| format!("{to}: {stuck}"))?;
    let mut shares = BTreeMap::new();
    for part in parts.iter().filter(|part| part.translated) {
        let Some(there) = part.to else {
            continue;
        };
        let endpoint = Endpoint::from(there);
        if part.masqueraded {
            return Err(format!(
                "{to}: flows of {client} to {endpoint} would be masqueraded"
            ));
        }
        *shares.entry(endpoint).or_insert(0.0) += part.share;
    }
    let alone = parts
        .iter()
        .all(|part| part.to.is_some() && !part.translated);
    Ok((!alone).then_some(shares))
}
