//! Links, addresses, routes and neighbours of a lab, through rtnetlink.
//!
//! A netlink socket stays in the namespace where it was made, so each connection is opened on a thread
//! that is inside, and its future then runs on the caller's runtime.

use std::net::IpAddr;

use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteHeader, RouteScope, RouteType};
use netns_sys::bpf::Idle;
use netns_sys::netns::NetNs;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use schema::Family;

use super::OUTER_INTERFACE;
use super::Peers;
use crate::HarnessError;
use crate::service::{BACKENDS_INTERFACE, CLIENT_INTERFACE, Cidr, Plan};

/// The address of the outer end (2) or the node's (1) of the link with that number.
const fn mac(link: u8, end: u8) -> [u8; 6] {
    [2, 0, 0, 0, link, end]
}

/// Of the link between clients and node.
pub(crate) const CLIENT_MAC: [u8; 6] = mac(1, 2);
pub(crate) const NODE_MAC: [u8; 6] = mac(1, 1);

/// One end of a link.
struct End {
    interface: &'static str,
    address: IpAddr,
    mac: [u8; 6],
}

/// A veth pair: the outer namespace's end, then the node's.
struct Link {
    name: &'static str,
    outer: End,
    node: End,
    /// Prefix length of both addresses.
    prefix: u8,
    /// The ranges that the outer namespace owns.
    owns: Vec<Cidr>,
}

/// The link between clients and node, and that between node and backends, with who is behind them.
fn links(plan: &Plan, peers: Peers) -> [Link; 2] {
    let end = |interface, network: Cidr, number, last| End {
        interface,
        address: network.host(last),
        mac: mac(number, last as u8),
    };
    let link = |name, interface, number, network: Cidr, owns: Vec<Cidr>| Link {
        name,
        outer: end(OUTER_INTERFACE, network, number, 2),
        node: end(interface, network, number, 1),
        prefix: network.prefix,
        owns,
    };
    let (client_link, backends_link) = (plan.client_link, plan.backends_link);
    let mut clients = vec![plan.clients];
    clients.extend(peers.outside.then_some(plan.outside));
    let mut endpoints = vec![plan.endpoints];
    endpoints.extend(
        plan.more_endpoints
            .into_iter()
            .filter(|_| peers.many_endpoints),
    );
    endpoints.extend(peers.local_endpoints.then_some(plan.local_endpoints));
    [
        link("client–node", CLIENT_INTERFACE, 1, client_link, clients),
        link(
            "node–backends",
            BACKENDS_INTERFACE,
            2,
            backends_link,
            endpoints,
        ),
    ]
}

/// Joins the three namespaces, with addresses of these families on each link, and with these peers.
///
/// # Errors
/// The first request that the kernel refused.
pub(super) fn connect(
    families: &[Family],
    peers: Peers,
    client: &NetNs,
    node: &NetNs,
    backends: &NetNs,
) -> Result<(), HarnessError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|e| HarnessError::system("start a runtime for netlink", e))?;
    runtime.block_on(async {
        let on_node = open(node)?;
        for (nth, family) in families.iter().enumerate() {
            let plan = Plan::of(*family);
            let [clients, endpoints] = links(plan, peers);
            let everywhere = Cidr::everything(*family);
            for (link, ns) in [(&clients, client), (&endpoints, backends)] {
                let outside = open(ns)?;
                if nth == 0 {
                    join(link, &outside, node).await?;
                    set_up(&outside, "lo").await?;
                }
                let outer = address(&outside, &link.outer, link.prefix).await?;
                let inner = address(&on_node, &link.node, link.prefix).await?;
                neighbour(&outside, outer, &link.node).await?;
                neighbour(&on_node, inner, &link.outer).await?;
                let lo = index_of(&outside, "lo").await?;
                for range in &link.owns {
                    own(&outside, lo, *range).await?;
                }
                route(&outside, everywhere, link.node.address).await?;
                for range in &link.owns {
                    route(&on_node, *range, link.outer.address).await?;
                }
            }
            if nth == 0 {
                set_up(&on_node, "lo").await?;
            }
            route(&on_node, everywhere, endpoints.outer.address).await?;
        }
        Ok(())
    })
}

fn open(ns: &NetNs) -> Result<Handle, HarnessError> {
    let (connection, handle, _) = ns
        .run(rtnetlink::new_connection)
        .and_then(|opened| opened)
        .map_err(|e| HarnessError::system("open a route netlink socket", e))?;
    tokio::spawn(connection);
    Ok(handle)
}

fn refused(act: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> HarnessError {
    let act = act.into();
    move |source| HarnessError::Route {
        act,
        source: Box::new(source),
    }
}

/// A veth pair whose peer is born in the node's namespace: it never appears anywhere else.
/// A veth pair in a namespace of its own, which nothing is sent to.
///
/// # Errors
/// The first request that the kernel refused.
pub(crate) fn idle() -> Result<Idle, HarnessError> {
    let namespace = NetNs::new().map_err(|e| HarnessError::system("make a namespace", e))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|e| HarnessError::system("start a runtime for netlink", e))?;
    let interface = runtime.block_on(async {
        let handle = open(&namespace)?;
        let peer = LinkMessageBuilder::<LinkUnspec>::default()
            .name("idle1".to_owned())
            .build();
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .name("idle0".to_owned())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let added = handle.link().add(message).execute().await;
        added.map_err(refused("add a veth pair that nothing is sent to"))?;
        index_of(&handle, "idle0").await
    })?;
    Ok(Idle {
        namespace,
        interface,
    })
}

async fn join(link: &Link, outside: &Handle, node: &NetNs) -> Result<(), HarnessError> {
    let mut peer: LinkMessage = LinkMessageBuilder::<LinkUnspec>::default()
        .name(link.node.interface.to_owned())
        .build();
    peer.attributes
        .push(LinkAttribute::Address(link.node.mac.to_vec()));
    peer.attributes
        .push(LinkAttribute::NetNsFd(node.as_raw_fd()));
    let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
        .name(link.outer.interface.to_owned())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .append_extra_attribute(LinkAttribute::Address(link.outer.mac.to_vec()))
        .build();
    outside
        .link()
        .add(message)
        .execute()
        .await
        .map_err(refused(format!("add veth {}", link.name)))
}

async fn index_of(handle: &Handle, interface: &str) -> Result<u32, HarnessError> {
    use futures_util::TryStreamExt as _;
    let mut links = handle
        .link()
        .get()
        .match_name(interface.to_owned())
        .execute();
    let act = || format!("look up link {interface}");
    match links.try_next().await.map_err(refused(act()))? {
        Some(link) => Ok(link.header.index),
        None => Err(HarnessError::system(
            act(),
            std::io::Error::from_raw_os_error(libc::ENODEV),
        )),
    }
}

async fn set_up(handle: &Handle, interface: &str) -> Result<u32, HarnessError> {
    let index = index_of(handle, interface).await?;
    let up = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(refused(format!("set link {interface} up")))?;
    Ok(index)
}

async fn address(handle: &Handle, end: &End, prefix: u8) -> Result<u32, HarnessError> {
    let index = set_up(handle, end.interface).await?;
    let add = handle.address().add(index, end.address, prefix).execute();
    add.await.map_err(refused(format!(
        "add address {}/{prefix} to {}",
        end.address, end.interface
    )))?;
    Ok(index)
}

async fn neighbour(handle: &Handle, index: u32, end: &End) -> Result<(), HarnessError> {
    let request = handle
        .neighbours()
        .add(index, end.address)
        .link_layer_address(&end.mac);
    request
        .execute()
        .await
        .map_err(refused(format!("add permanent neighbour {}", end.address)))
}

async fn route(handle: &Handle, to: Cidr, via: IpAddr) -> Result<(), HarnessError> {
    let act = format!("add route {to} via {via}");
    let message = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(to.network, to.prefix)
        .and_then(|route| route.gateway(via))
        .map_err(|e| HarnessError::system(&act, std::io::Error::other(e)))?
        .build();
    handle
        .route()
        .add(message)
        .execute()
        .await
        .map_err(refused(act))
}

/// AnyIP: every address of the range is local (`ip route add local RANGE dev lo`).
async fn own(handle: &Handle, lo: u32, range: Cidr) -> Result<(), HarnessError> {
    let act = format!("own {range}");
    let message = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(range.network, range.prefix)
        .map_err(|e| HarnessError::system(&act, std::io::Error::other(e)))?
        .output_interface(lo)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .table_id(u32::from(RouteHeader::RT_TABLE_MAIN) + 1)
        .build();
    handle
        .route()
        .add(message)
        .execute()
        .await
        .map_err(refused(act))
}
