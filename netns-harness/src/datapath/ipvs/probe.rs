//! What lacks where the mode cannot be installed.

use netlink::Error;
use nix::errno::Errno;

use schema::Family;

use super::layout;
use crate::HarnessError;
use crate::datapath::Engine;
use crate::datapath::trial;
use crate::remedy::{Lack, Remedy};

/// What was refused.
pub(super) fn explained(engine: Engine, family: Family, error: &HarnessError) -> Lack {
    match error {
        HarnessError::Netlink { source, .. } => missing(source),
        _ => trial::with_sets(engine, family, error),
    }
}

/// The sysctl by which IPVS tracks what it forwards.
pub(super) fn without_conntrack(error: &std::io::Error) -> Lack {
    let why =
        format!("net.ipv4.vs.conntrack: {error}: this kernel's IPVS has no CONFIG_IP_VS_NFCT");
    Lack::from(why).with(Remedy::Kernel)
}

/// Virtual servers or the device.
pub(super) fn missing(error: &Error) -> Lack {
    let scheduler = layout::SCHEDULER.name();
    let module = format!("ip_vs_{scheduler}");
    let (why, remedy) = match (error, error.errno()) {
        (Error::Missing { .. }, _) => (
            "this kernel has no IPVS (CONFIG_IP_VS)".to_owned(),
            Remedy::modules(["ip_vs", &module]),
        ),
        (_, Some(Errno::EPERM | Errno::EACCES)) => (
            format!("IPVS and devices need CAP_NET_ADMIN ({error})"),
            Remedy::Root,
        ),
        // `ip_vs_add_service`: no scheduler of that name, and none that could be loaded.
        (_, Some(Errno::ENOENT)) => (
            format!("this kernel has no IPVS scheduler {scheduler} ({error})"),
            Remedy::modules([module.as_str()]),
        ),
        // `ip_vs_genl_parse_service`: no virtual servers of that address family.
        (_, Some(Errno::EAFNOSUPPORT)) => (
            format!("this kernel's IPVS has no IPv6 (CONFIG_IP_VS_IPV6; {error})"),
            Remedy::Kernel,
        ),
        // rtnl_newlink: no kind of that name.
        (_, Some(Errno::EOPNOTSUPP)) => (
            "this kernel has no dummy devices (CONFIG_DUMMY)".to_owned(),
            Remedy::modules(["dummy"]),
        ),
        _ => (error.to_string(), Remedy::Kernel),
    };
    Lack::from(why).with(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipvs_or_its_scheduler_is_told_apart_from_a_missing_privilege() {
        let lacking = Error::Missing {
            family: "IPVS",
            errno: Errno::ENOENT,
        };
        let said = missing(&lacking);
        assert!(said.reason.contains("CONFIG_IP_VS"), "{said:?}");
        assert_eq!(said.remedy, Some(Remedy::modules(["ip_vs", "ip_vs_rr"])));
        let remedy = |errno| {
            let refused = Error::Refused {
                operation: "-A -t 198.51.100.0:20000 -s rr".to_owned(),
                sequence: 1,
                errno,
                further: 1,
            };
            missing(&refused).remedy
        };
        assert_eq!(remedy(Errno::ENOENT), Some(Remedy::modules(["ip_vs_rr"])));
        assert_eq!(remedy(Errno::EAFNOSUPPORT), Some(Remedy::Kernel));
        assert_eq!(remedy(Errno::EPERM), Some(Remedy::Root));
    }
}
