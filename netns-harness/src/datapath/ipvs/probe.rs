//! What would help where the mode cannot be installed.

use netlink::Error;
use nix::errno::Errno;

use schema::Family;

use super::layout;
use crate::HarnessError;
use crate::datapath::Engine;
use crate::datapath::trial::{self, GUEST};

/// What was refused, and what would help.
pub(super) fn explained(family: Family, error: &HarnessError) -> String {
    match error {
        HarnessError::Netlink { source, .. } => missing(source),
        _ => trial::with_sets(Engine::Legacy, family, error),
    }
}

/// The sysctl by which IPVS tracks what it forwards.
pub(super) fn without_conntrack(error: &std::io::Error) -> String {
    format!("net.ipv4.vs.conntrack: {error}: this kernel's IPVS has no CONFIG_IP_VS_NFCT, {GUEST}")
}

/// Virtual servers or the device.
pub(super) fn missing(error: &Error) -> String {
    let scheduler = layout::SCHEDULER.name();
    match (error, error.errno()) {
        (Error::Missing { .. }, _) => format!(
            "this kernel has no IPVS (CONFIG_IP_VS): modprobe -a ip_vs ip_vs_{scheduler}, {GUEST}"
        ),
        (_, Some(Errno::EPERM | Errno::EACCES)) => {
            format!("IPVS and devices need CAP_NET_ADMIN: run as root ({error})")
        }
        // `ip_vs_add_service`: no scheduler of that name, and none that could be loaded.
        (_, Some(Errno::ENOENT)) => format!(
            "this kernel has no IPVS scheduler {scheduler}: modprobe ip_vs_{scheduler}, {GUEST} ({error})"
        ),
        // `ip_vs_genl_parse_service`: no virtual servers of that address family.
        (_, Some(Errno::EAFNOSUPPORT)) => {
            format!("this kernel's IPVS has no IPv6 (CONFIG_IP_VS_IPV6), {GUEST} ({error})")
        }
        // rtnl_newlink: no kind of that name.
        (_, Some(Errno::EOPNOTSUPP)) => {
            format!("this kernel has no dummy devices (CONFIG_DUMMY): modprobe dummy, {GUEST}")
        }
        _ => format!("{error}; {GUEST}"),
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
        let text = super::missing(&missing);
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
        assert!(super::missing(&refused(Errno::ENOENT)).contains("modprobe ip_vs_rr"));
        let text = super::missing(&refused(Errno::EAFNOSUPPORT));
        assert!(text.contains("CONFIG_IP_VS_IPV6"), "{text}");
        let text = super::missing(&refused(Errno::EPERM));
        assert!(
            text.contains("root") && !text.contains("modprobe"),
            "{text}"
        );
    }
}
