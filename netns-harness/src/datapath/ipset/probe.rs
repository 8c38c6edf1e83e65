//! Which facility the mode lacks here, by trying one after the other, and what would help.

use ipset_sys::{Command, Create, Facility as Missing, Session, SetType};

use super::Ipset;
use super::layout;
use crate::HarnessError;
use crate::datapath::steps::{IpsetRestore, Sets, Tool as _};
use crate::datapath::{Datapath as _, RenderOptions, Sockets, Transport, trial};
use crate::tools;
use crate::xtables::tool;

/// A set for trials.
const TRIAL: &str = "BENCH-TRIAL";

/// One thing to be tried: what it is, and what to do when it is missing.
struct Facility {
    name: &'static str,
    remedy: &'static str,
}

const IP_SET: Facility = Facility {
    name: "ip_set (CONFIG_IP_SET)",
    remedy: "modprobe ip_set, or another kernel with --kernel",
};
const HASH_IP_PORT: Facility = Facility {
    name: "the set type hash:ip,port (CONFIG_IP_SET_HASH_IPPORT)",
    remedy: "modprobe ip_set_hash_ipport, or another kernel with --kernel",
};
const SKBINFO: Facility = Facility {
    name: "skbinfo of hash:ip,port (its revision 5)",
    remedy: "a newer kernel with --kernel",
};
const XT_SET: Facility = Facility {
    name: "xt_set (CONFIG_NETFILTER_XT_SET)",
    remedy: "modprobe xt_set, or another kernel with --kernel",
};
const MAP_MARK: Facility = Facility {
    name: "xt_set's SET target with --map-mark, in table mangle",
    remedy: "modprobe -a xt_set iptable_mangle; an iptables and a kernel that know revision 3 of target SET",
};

impl Facility {
    /// What is missing, and its remedy.
    fn missing(&self, error: &HarnessError) -> String {
        if denied(error) {
            return format!("ipset needs CAP_NET_ADMIN: run as root ({error})");
        }
        format!("{} is missing: {} ({error})", self.name, self.remedy)
    }
}

/// Whoever lacks the privilege is refused by every facility: the privilege is what is missing.
fn denied(error: &HarnessError) -> bool {
    match error {
        HarnessError::Ipset { source, .. } => source.missing_facility() == Some(Missing::Privilege),
        // A tool says it in text only.
        HarnessError::Tool { stderr, .. } => {
            stderr.contains("not permitted") || stderr.contains("Permission denied")
        }
        _ => false,
    }
}

/// Tries the mode in the calling thread's namespace.
///
/// # Errors
/// What is missing, with its remedy.
pub(super) fn probe(datapath: Ipset, transport: Transport) -> Result<(), String> {
    if transport == Transport::IpsetRestore {
        IpsetRestore.read("").map_err(|e| {
            tools::missing("ipset", "ipset", &e).unwrap_or_else(|| IP_SET.missing(&e))
        })?;
    }
    try_sets()?;
    let tried = try_rules(datapath);
    let removed = datapath.remove();
    tried?;
    match removed.first() {
        Some(error) => Err(format!("what was tried cannot be removed: {error}")),
        None => try_all(datapath, transport),
    }
}

/// A set without and with marks.
fn try_sets() -> Result<(), String> {
    let mut session = Session::open()
        .map_err(|source| IP_SET.missing(&HarnessError::ipset("try ip_set")(source)))?;
    for (skbinfo, facility) in [(false, HASH_IP_PORT), (true, SKBINFO)] {
        let create = Command::Create(Create {
            name: TRIAL.to_owned(),
            set_type: SetType::HashIpPort,
            max_elements: 1,
            hash_size: None,
            skbinfo,
        });
        session
            .send(&[create, Command::Destroy(TRIAL.to_owned())])
            .map_err(|source| facility.missing(&HarnessError::ipset("try hash:ip,port")(source)))?;
    }
    Ok(())
}

/// The tool, then the match and the target of xt_set.
fn try_rules(datapath: Ipset) -> Result<(), String> {
    let restore = |text: &str| tool::restore(datapath.tool(), tool::ADD, text);
    let refused = |facility: &Facility, error: &HarnessError| {
        let program = format!("{}-restore", datapath.tool());
        tools::missing(&program, "iptables", error).unwrap_or_else(|| facility.missing(error))
    };
    Sets::send(&[layout::create(layout::SET)], &mut Sockets::default())
        .map_err(|e| SKBINFO.missing(&e))?;
    const ENGINE: Facility = Facility {
        name: "the table filter of this iptables engine",
        remedy: "modprobe -a iptable_filter nf_tables nft_compat, or another kernel with --kernel",
    };
    let set = layout::SET;
    for (facility, text) in [
        (
            ENGINE,
            "*filter\n:BENCH-TRIAL - [0:0]\n-A BENCH-TRIAL -j RETURN\nCOMMIT\n".to_owned(),
        ),
        (
            XT_SET,
            format!(
                "*filter\n:BENCH-TRIAL - [0:0]\n-A BENCH-TRIAL -m set --match-set {set} dst,dst -j RETURN\nCOMMIT\n"
            ),
        ),
        (
            MAP_MARK,
            format!(
                "*mangle\n:BENCH-TRIAL - [0:0]\n-A BENCH-TRIAL -j SET --map-set {set} dst,dst --map-mark\nCOMMIT\n"
            ),
        ),
    ] {
        restore(&text).map_err(|error| refused(&facility, &error))?;
    }
    Ok(())
}

/// A trial population, all of it: as large as a transaction of an untimed preparation where that has a
/// limit, since iptables-nft sends one as a single netlink message.
fn try_all(datapath: Ipset, transport: Transport) -> Result<(), String> {
    let population =
        trial::larger_population(datapath.facts().preparation_chunk.unwrap_or(2) as u32);
    let options = RenderOptions {
        untimed: true,
        ..RenderOptions::by(transport)
    };
    trial::attempt(&datapath, &population, &options, |error| {
        tool::remedy(datapath.tool(), error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(stderr: &str) -> HarnessError {
        HarnessError::Tool {
            tool: "iptables-legacy-restore".to_owned(),
            status: "exit status: 1".to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn a_missing_facility_is_named_with_its_remedy() {
        let text = MAP_MARK.missing(&tool("Extension SET revision 3 not supported"));
        assert!(
            text.contains("--map-mark") && text.contains("modprobe"),
            "{text}"
        );
        let text = HASH_IP_PORT.missing(&tool("set type not supported"));
        assert!(
            text.contains("hash:ip,port") && text.contains("modprobe ip_set_hash_ipport"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_privilege_is_not_taken_for_a_missing_facility() {
        let text = XT_SET.missing(&tool("Operation not permitted"));
        assert!(
            text.contains("CAP_NET_ADMIN") && !text.contains("modprobe"),
            "{text}"
        );
    }

    #[test]
    fn a_tool_that_is_not_installed_is_named_with_its_package() {
        let error = HarnessError::system(
            "start ipset",
            std::io::Error::from(std::io::ErrorKind::NotFound),
        );
        assert_eq!(
            tools::missing("ipset", "ipset", &error).as_deref(),
            Some("ipset is not installed: apt-get install ipset")
        );
        assert_eq!(tools::missing("ipset", "ipset", &tool("no")), None);
    }
}
