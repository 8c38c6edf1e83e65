//! Which facility the mode lacks here, by trying one after the other, and what would help.

use ipset_sys::{Command, Facility, Session};
use ipvs_codec::{Connection, LinkOp, Links, Op, Protocol, ServiceId};
use netlink::{Batch, Error};
use nix::errno::Errno;

use super::{Ipvs, TOOL, layout};
use crate::HarnessError;
use crate::datapath::{RenderOptions, Transport, trial};
use crate::tools;
use crate::xtables::tool;

/// Where a kernel that has everything comes from.
const GUEST: &str = "or a kernel that has it: --sandbox guest";

/// Tries the mode in the calling thread's namespace.
///
/// # Errors
/// What is missing, with its remedy.
pub(super) fn probe(datapath: &Ipvs, transport: Transport) -> Result<(), String> {
    try_servers()?;
    try_device()?;
    try_sets()?;
    if transport == Transport::Ipvsadm {
        try_tool("ipvsadm", &["-R"])?;
    }
    if matches!(transport, Transport::Ipvsadm | Transport::Exec) {
        try_tool("ipset", &["restore"])?;
    }
    try_all(datapath, transport)
}

/// The family, then the scheduler: a virtual server of the documentation range, as kube-proxy's
/// `CanUseIPVSProxier` tries one.
fn try_servers() -> Result<(), String> {
    let id = ServiceId {
        protocol: Protocol::Tcp,
        address: std::net::Ipv4Addr::new(198, 51, 100, 0),
        port: 20_000,
    };
    let service = layout::service(layout::frontend(id));
    let trial = Batch::encode(vec![Op::AddService(service), Op::DeleteService(id)]);
    Connection::open()
        .and_then(|mut connection| connection.send(&trial))
        .map_err(|error| missing_servers(&error, service.scheduler.name()))
}

fn missing_servers(error: &Error, scheduler: &str) -> String {
    match (error, error.errno()) {
        (Error::Missing { .. }, _) => format!(
            "this kernel has no IPVS (CONFIG_IP_VS): modprobe -a ip_vs ip_vs_{scheduler}, {GUEST}"
        ),
        (_, Some(Errno::EPERM | Errno::EACCES)) => {
            format!("IPVS needs CAP_NET_ADMIN: run as root ({error})")
        }
        // `ip_vs_add_service`: no scheduler of that name, and none that could be loaded.
        (_, Some(Errno::ENOENT)) => format!(
            "this kernel has no IPVS scheduler {scheduler}: modprobe ip_vs_{scheduler}, {GUEST} ({error})"
        ),
        _ => format!("IPVS does not take a virtual server: {error}; {GUEST}"),
    }
}

fn try_device() -> Result<(), String> {
    let trial = vec![
        LinkOp::AddDummy(layout::DEVICE),
        LinkOp::DeleteDevice(layout::DEVICE),
    ];
    Links::open()
        .and_then(|mut links| links.send(&Batch::encode(trial)))
        .map_err(|error| match error.errno() {
            Some(Errno::EPERM) => format!("devices need CAP_NET_ADMIN: run as root ({error})"),
            // rtnl_newlink: no kind of that name.
            Some(Errno::EOPNOTSUPP) => {
                format!("this kernel has no dummy devices (CONFIG_DUMMY): modprobe dummy, {GUEST}")
            }
            _ => format!("no dummy device can be made: {error}"),
        })
}

/// Every set, so that a type that is missing is named.
fn try_sets() -> Result<(), String> {
    let missing = |error: &ipset_sys::Error| match error.missing_facility() {
        Some(Facility::Privilege) => format!("ipset needs CAP_NET_ADMIN: run as root ({error})"),
        Some(facility) => format!(
            "this kernel lacks {facility}: modprobe -a ip_set ip_set_hash_ip ip_set_hash_ipport ip_set_hash_ipportip ip_set_hash_ipportnet ip_set_bitmap_port, {GUEST}"
        ),
        None => error.to_string(),
    };
    let mut session = Session::open().map_err(|error| missing(&error))?;
    for create in layout::creates(1) {
        let Command::Create(set) = &create else {
            continue;
        };
        let destroy = Command::Destroy(set.name.clone());
        session
            .send(&[create.clone(), destroy])
            .map_err(|error| missing(&error))?;
    }
    Ok(())
}

fn try_tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = tools::run(netns_sys::tools::command(program).args(arguments), "");
    done.map(drop).map_err(|error| {
        tools::missing(program, program, &error).unwrap_or_else(|| error.to_string())
    })
}

/// The trial population of every mode.
fn try_all(datapath: &Ipvs, transport: Transport) -> Result<(), String> {
    let options = RenderOptions {
        untimed: true,
        ..RenderOptions::by(transport)
    };
    trial::attempt(datapath, &trial::probe_population(), &options, explained)
}

fn explained(error: &HarnessError) -> String {
    match error {
        HarnessError::Tool { tool, .. } if tool.starts_with("iptables") => {
            format!(
                "{}; mode ipvs needs xt_set too: modprobe xt_set",
                tool::remedy(TOOL, error)
            )
        }
        HarnessError::System { act, .. } if act.starts_with("set net.ipv4.vs.conntrack") => {
            format!("{error}: this kernel's IPVS has no CONFIG_IP_VS_NFCT, {GUEST}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipvs_or_its_scheduler_is_told_apart_from_a_missing_privilege() {
        let missing = Error::Missing {
            family: "IPVS",
            errno: Errno::ENOENT,
        };
        let text = missing_servers(&missing, "rr");
        assert!(
            text.contains("CONFIG_IP_VS") && text.contains("--sandbox guest"),
            "{text}"
        );
        let refused = |errno| Error::Refused {
            operation: "-A -t 198.51.100.0:20000 -s rr".to_owned(),
            sequence: 1,
            errno,
            further: 1,
        };
        assert!(missing_servers(&refused(Errno::ENOENT), "rr").contains("modprobe ip_vs_rr"));
        let text = missing_servers(&refused(Errno::EPERM), "rr");
        assert!(
            text.contains("root") && !text.contains("modprobe"),
            "{text}"
        );
    }
}
