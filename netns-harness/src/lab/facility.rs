//! Kernel facilities, each tried in the calling thread's network namespace, never by a version or a
//! configuration: what is there is there, and what can be loaded is loaded by asking.

use std::io;

use futures_util::TryStreamExt as _;
use netns_sys::process;
use netns_sys::x_tables::{self, Extension};
use rtnetlink::LinkDummy;
use schema::{Family, Mode};
use serde::{Deserialize, Serialize};

use Trial::*;

use super::questions;
use crate::HarnessError;
use crate::datapath::{Engine, facts_of};
use crate::remedy::{Lack, Remedy};
use crate::xtables::of_kernel;
use crate::xtables::tool::prefix_of;

/// A part of the kernel that a mode needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility {
    /// Its name as its documentation has it: "xt_statistic", "ip_set hash:ip,port".
    pub name: &'static str,
    /// What brings it, as `modprobe` names it.
    pub module: &'static str,
    /// What needs it besides modes that name it.
    pub needed_by: User,
    /// Of services of which family; what has none is the same for both.
    family: Family,
    trial: Trial,
}

/// What needs a facility, besides modes that name it ([`crate::datapath::ModeFacts::facilities`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Every lab.
    Lab,
    /// Every lab whose node serves that family.
    LabOf(Family),
    /// Rules through one of these engines, in any mode; modes alone where there is none.
    Rules(&'static [Engine]),
}

/// How it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// A request of nf_tables is answered.
    NfTables,
    /// A table of ip_tables, or ip6_tables, exists once it is named.
    Table(&'static str),
    /// An extension of x_tables, in at least that revision.
    Xt(Extension, &'static str, u8),
    /// nft_compat knows an extension of x_tables.
    Compat,
    /// A set type of ip_set, in at least that revision.
    SetType(&'static str, u8),
    /// A kind of link can be made.
    Link(&'static str),
    /// A file of /proc is there.
    Proc(&'static str),
    /// A socket of IPv6 can be opened.
    Ipv6,
    /// A family of generic netlink.
    Generic(&'static str),
}

const fn facility(
    name: &'static str,
    module: &'static str,
    needed_by: User,
    trial: Trial,
) -> Facility {
    Facility {
        name,
        module,
        needed_by,
        family: Family::Ipv4,
        trial,
    }
}

/// Of rules through one engine, through either, and of modes that name it.
const fn legacy(name: &'static str, module: &'static str, trial: Trial) -> Facility {
    facility(name, module, User::Rules(&[Engine::Legacy]), trial)
}

const fn nft(name: &'static str, module: &'static str, trial: Trial) -> Facility {
    facility(name, module, User::Rules(&[Engine::Nft]), trial)
}

const fn rules(name: &'static str, module: &'static str, trial: Trial) -> Facility {
    facility(name, module, User::Rules(Engine::ALL), trial)
}

const fn named(name: &'static str, module: &'static str, trial: Trial) -> Facility {
    facility(name, module, User::Rules(&[]), trial)
}

/// An extension of x_tables: the file of its module need not have its name.
const fn matching(name: &'static str, module: &'static str, revision: u8) -> Facility {
    rules(name, module, Xt(Extension::Match, name, revision))
}

const fn target(name: &'static str, module: &'static str, revision: u8) -> Facility {
    rules(name, module, Xt(Extension::Target, name, revision))
}

/// A type of set: its name is behind "ip_set ".
const fn set_type(name: &'static str, module: &'static str) -> Facility {
    named(name, module, SetType(name.split_at(7).1, 0))
}

const SKBINFO: Trial = SetType("hash:ip,port", 5);
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// What IPv6 has of its own, by the name for IPv4. `DNAT` 0 is IPv4's alone (`xt_nat_target_reg` in
/// net/netfilter/xt_nat.c).
const OF_IPV6: &[(&str, Facility)] = &[
    (
        "ip_tables filter",
        legacy("ip6_tables filter", "ip6table_filter", Table("filter")),
    ),
    (
        "ip_tables nat",
        legacy("ip6_tables nat", "ip6table_nat", Table("nat")),
    ),
    (
        "ip_tables mangle",
        named("ip6_tables mangle", "ip6table_mangle", Table("mangle")),
    ),
    ("DNAT", target("DNAT", "xt_nat", 1)),
    ("REJECT", target("REJECT", "ip6t_REJECT", 0)),
];

/// Every facility that services of a family need, in the order of a diagnosis.
#[must_use]
pub fn facilities(family: Family) -> Vec<Facility> {
    let all = FACILITIES.iter();
    all.map(|facility| facility.of(family)).collect()
}

/// Every facility that services of IPv4 need, in the order of a diagnosis. Revisions are those that the rules need: `SET` 3 has
/// `--map-mark` (net/netfilter/xt_set.c), `hash:ip,port` 5 has `skbinfo`
/// (net/netfilter/ipset/ip_set_hash_ipport.c).
pub const FACILITIES: &[Facility] = &[
    facility("veth", "veth", User::Lab, Link("veth")),
    facility("ipv6", "ipv6", User::LabOf(Family::Ipv6), Ipv6),
    legacy("ip_tables filter", "iptable_filter", Table("filter")),
    legacy("ip_tables nat", "iptable_nat", Table("nat")),
    named("ip_tables mangle", "iptable_mangle", Table("mangle")),
    nft("nf_tables", "nf_tables", NfTables),
    nft("nft_compat", "nft_compat", Compat),
    rules("nf_conntrack", "nf_conntrack", Proc(CONNTRACK_MAX)),
    matching("addrtype", "xt_addrtype", 1),
    matching("comment", "xt_comment", 0),
    matching("conntrack", "xt_conntrack", 3),
    matching("mark", "xt_mark", 1),
    matching("statistic", "xt_statistic", 0),
    matching("tcp", "xt_tcpudp", 0),
    matching("udp", "xt_tcpudp", 0),
    target("DNAT", "xt_nat", 0),
    target("MARK", "xt_mark", 2),
    target("MASQUERADE", "xt_MASQUERADE", 0),
    target("REJECT", "ipt_REJECT", 0),
    named("SET", "xt_set", Xt(Extension::Target, "SET", 3)),
    set_type("ip_set hash:ip,port", "ip_set_hash_ipport"),
    named("ip_set skbinfo", "ip_set_hash_ipport", SKBINFO),
    named("set", "xt_set", Xt(Extension::Match, "set", 1)),
    set_type("ip_set hash:ip", "ip_set_hash_ip"),
    set_type("ip_set hash:ip,port,ip", "ip_set_hash_ipportip"),
    set_type("ip_set hash:ip,port,net", "ip_set_hash_ipportnet"),
    set_type("ip_set bitmap:port", "ip_set_bitmap_port"),
    set_type("ip_set hash:net", "ip_set_hash_net"),
    set_type("ip_set bitmap:ip", "ip_set_bitmap_ip"),
    set_type("ip_set list:set", "ip_set_list_set"),
    named("ip_vs", "ip_vs", Generic("IPVS")),
    named("dummy", "dummy", Link("dummy")),
];

impl Facility {
    /// The same of a family, from the row of IPv4.
    fn of(self, family: Family) -> Self {
        let own = OF_IPV6.iter().filter(|_| family == Family::Ipv6);
        let mut own = own.filter(|(name, _)| *name == self.name);
        let row = own.next().map_or(self, |(_, row)| *row);
        Self { family, ..row }
    }

    /// What it is called to a reader: extensions of x_tables with their kind.
    #[must_use]
    pub fn title(&self) -> String {
        match self.trial {
            Xt(Extension::Match, name, _) => format!("xt match {name}"),
            Xt(Extension::Target, name, 0) => format!("xt target {name}"),
            Xt(Extension::Target, name, revision) => {
                format!("xt target {name} revision {revision}")
            }
            _ => self.name.to_owned(),
        }
    }

    /// Its name where it is an extension of x_tables that a program of iptables does not have for itself; `None` where it
    /// has it, or is no such program. Help of a match that is missing is refused; that of a target which is missing is help
    /// on a chain of that name, and the same whatever the name.
    #[must_use]
    pub fn unknown_to(&self, program: &str) -> Option<&'static str> {
        let Xt(kind, name, _) = self.trial else {
            return None;
        };
        let is_command = Family::ALL.iter().any(|family| {
            let engines = Engine::ALL.iter();
            let mut prefixes = engines.map(|engine| prefix_of(*engine, *family));
            prefixes.any(|prefix| prefix == program)
        });
        let help = |option: &str, name: &str| {
            let mut command = netns_sys::tools::command(program);
            process::run(command.args([option, name, "--help"]), b"").ok()
        };
        if !is_command {
            return None;
        }
        let unknown = match kind {
            Extension::Match => !help("-m", name)?.status.success(),
            Extension::Target => help("-j", name)?.stdout == help("-j", "NO-SUCH")?.stdout,
        };
        unknown.then_some(name)
    }

    /// Tries it.
    ///
    /// # Errors
    /// The kernel's answer when it does not have it; `EPERM` when it may not be asked.
    pub fn attempt(&self) -> io::Result<()> {
        match self.trial {
            NfTables => nft_codec::Connection::open()
                .and_then(|mut connection| connection.tables())
                .map(drop)
                .map_err(io::Error::from),
            Table(name) => x_tables::table(of_kernel(self.family), name),
            Xt(kind, name, revision) => {
                match x_tables::extension(of_kernel(self.family), kind, name, revision) {
                    // Without ip_tables the nft engine may still have the extension.
                    Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                        questions::compat(self.family, kind, name, revision)
                    }
                    asked => asked,
                }
            }
            Compat => questions::compat(self.family, Extension::Match, "comment", 0),
            SetType(name, revision) => match questions::newest_set_revision(self.family, name)? {
                newest if newest >= revision => Ok(()),
                newest => Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("the kernel has {name} up to revision {newest}, {revision} is needed"),
                )),
            },
            Link(kind) => link(kind),
            Proc(path) => std::fs::metadata(path).map(drop),
            Ipv6 => ipv6(),
            Generic(family) => questions::generic_family(family),
        }
    }

    /// Whether a mode needs it for services of its family, with that engine below its rules.
    #[must_use]
    pub fn serves(&self, mode: Mode, engine: Engine) -> bool {
        let facts = facts_of(mode, engine, self.family);
        let through = |engines: &[Engine]| facts.rules.is_some_and(|e| engines.contains(&e));
        match self.needed_by {
            User::Lab => true,
            User::LabOf(family) => self.family == family,
            User::Rules(engines) if through(engines) => !facts.without.contains(&self.name),
            User::Rules(_) => facts.facilities.contains(&self.name),
        }
    }
}

/// What a mode needs on a node that serves these families and `has` denies; `None` when nothing is missing. `has` is the trial, apart so that a kernel without a facility can be imagined.
#[must_use]
pub fn missing(
    mode: Mode,
    engine: Engine,
    families: &[Family],
    has: impl Fn(&Facility) -> io::Result<()>,
) -> Option<Lack> {
    let all = families.iter().flat_map(|family| facilities(*family));
    let mut lacking: Vec<Facility> = Vec::new();
    for facility in all.filter(|f| f.serves(mode, engine)) {
        let of = |f: &Facility| (f.name, f.module);
        let told = lacking.iter().any(|known| of(known) == of(&facility));
        if !told && has(&facility).is_err() {
            lacking.push(facility);
        }
    }
    if lacking.is_empty() {
        return None;
    }
    let names: Vec<String> = lacking.iter().map(|f| f.title()).collect();
    let modules = Remedy::modules(lacking.iter().map(|f| f.module));
    Some(Lack::from(format!("this kernel lacks {}", names.join(", "))).with(modules))
}

/// Revisions of a set type, which the user space and the kernel must have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revisions {
    /// The type: "hash:ip,port".
    pub of: String,
    /// The newest that libipset knows too, which sets are made of.
    pub common: u8,
    /// The newest that the kernel has.
    pub kernel: u8,
}

/// Those of every type of set that a mode makes and that is there.
#[must_use]
pub fn set_revisions() -> Vec<Revisions> {
    let Ok(session) = ipset_sys::Session::open() else {
        return Vec::new();
    };
    let known = ipset_sys::SetType::ALL.into_iter().filter_map(|of| {
        let (common, of) = (session.revision(of)?, of.to_string());
        let kernel = questions::newest_set_revision(Family::Ipv4, &of).ok()?;
        Some(Revisions { of, common, kernel })
    });
    known.collect()
}

/// Opens a socket of IPv6: what can be loaded is loaded by that, and a kernel that was booted with `ipv6.disable=1`
/// refuses it (`inet6_init` in net/ipv6/af_inet6.c).
fn ipv6() -> io::Result<()> {
    let (domain, kind) = (socket2::Domain::IPV6, socket2::Type::DGRAM);
    socket2::Socket::new(domain, kind, None).map(drop)
}

/// That this kernel has IPv6.
///
/// # Errors
/// It has not.
pub(super) fn has_ipv6() -> Result<(), HarnessError> {
    ipv6().map_err(HarnessError::NoIpv6)
}

/// Makes a link of a kind, and removes it.
fn link(kind: &'static str) -> io::Result<()> {
    const NAME: &str = "trial0";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let message = match kind {
            "veth" => rtnetlink::LinkVeth::new(NAME, "trial1").build(),
            _ => LinkDummy::new(NAME).build(),
        };
        handle.link().add(message).execute().await.map_err(answer)?;
        let mut found = handle.link().get().match_name(NAME.to_owned()).execute();
        if let Some(made) = found.try_next().await.map_err(answer)? {
            let remove = handle.link().del(made.header.index);
            remove.execute().await.map_err(answer)?;
        }
        Ok(())
    })
}

fn answer(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: &[Family] = &[Family::Ipv4];

    /// What lacks, and the modules that would help.
    fn missing(
        mode: Mode,
        engine: Engine,
        families: &[Family],
        has: impl Fn(&Facility) -> io::Result<()>,
    ) -> Option<String> {
        let lack = super::missing(mode, engine, families, has)?;
        let Some(Remedy::Modules(modules)) = lack.remedy else {
            return Some(lack.reason);
        };
        Some(format!("{}: {}", lack.reason, modules.join(" ")))
    }

    #[test]
    fn a_kernel_without_ipv6_is_named_where_a_node_serves_it_and_nowhere_else() {
        let has = without(&["ipv6"]);
        for &mode in Mode::ALL {
            let named = |families: &[Family]| missing(mode, Engine::Legacy, families, &has);
            assert_eq!(named(IPV4), None, "{mode}");
            for families in [&[Family::Ipv6][..], &[Family::Ipv4, Family::Ipv6]] {
                let wanted = "this kernel lacks ipv6: ipv6";
                assert_eq!(named(families).as_deref(), Some(wanted), "{mode}");
            }
        }
    }

    #[test]
    fn what_a_mode_names_is_in_the_table_of_its_family() {
        for family in Family::ALL.iter().copied() {
            let known = facilities(family);
            for facts in Mode::ALL.iter().flat_map(|mode| {
                let over = move |engine: &Engine| facts_of(*mode, *engine, family);
                Engine::ALL.iter().map(over)
            }) {
                for name in facts.facilities.iter().chain(facts.without) {
                    assert!(known.iter().any(|f| f.name == *name), "{name}");
                }
            }
        }
        assert_eq!(facilities(Family::Ipv4), FACILITIES);
    }

    #[test]
    fn of_ipv6_the_tables_and_what_refuses_are_other_modules() {
        let has = without(&["ip6_tables nat", "REJECT", "ip_tables filter"]);
        let ipv6 = &[Family::Ipv6];
        let named = missing(Mode::IptablesLegacy, Engine::Legacy, ipv6, &has);
        assert_eq!(
            named.as_deref(),
            Some("this kernel lacks ip6_tables nat, xt target REJECT: ip6table_nat ip6t_REJECT")
        );
        let has = without(&["ip_set skbinfo", "ip6_tables mangle"]);
        let named = missing(Mode::Ipset, Engine::Legacy, ipv6, &has);
        assert_eq!(
            named.as_deref(),
            Some(
                "this kernel lacks ip6_tables mangle, ip_set skbinfo: ip6table_mangle ip_set_hash_ipport"
            )
        );
        let has = without(&["statistic", "ip_tables nat", "ip6_tables nat"]);
        let both = missing(Mode::IptablesLegacy, Engine::Legacy, Family::ALL, &has);
        assert_eq!(
            both.as_deref(),
            Some(
                "this kernel lacks ip_tables nat, xt match statistic, ip6_tables nat: iptable_nat xt_statistic ip6table_nat"
            )
        );
    }

    fn without(lacking: &'static [&'static str]) -> impl Fn(&Facility) -> io::Result<()> {
        move |f| {
            if lacking.contains(&f.name) {
                Err(io::Error::from_raw_os_error(libc::ENOENT))
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn a_kernel_without_skbinfo_is_named_in_mode_ipset_and_in_no_other() {
        let has = without(&["ip_set skbinfo"]);
        for &mode in Mode::ALL {
            let named = missing(mode, Engine::Legacy, IPV4, &has);
            let wanted = (mode == Mode::Ipset)
                .then(|| "this kernel lacks ip_set skbinfo: ip_set_hash_ipport".to_owned());
            assert_eq!(named, wanted, "{mode}");
        }
    }

    #[test]
    fn a_match_that_is_missing_is_named_in_every_mode_that_has_iptables_rules() {
        let has = without(&["statistic", "SET"]);
        let named = |mode| missing(mode, Engine::Legacy, IPV4, &has).unwrap_or_default();
        assert_eq!(
            named(Mode::Ipset),
            "this kernel lacks xt match statistic, xt target SET revision 3: xt_statistic xt_set"
        );
        for mode in [Mode::Conntrack, Mode::IptablesLegacy, Mode::IptablesNft] {
            assert_eq!(
                named(mode),
                "this kernel lacks xt match statistic: xt_statistic",
                "{mode}"
            );
        }
        for mode in [Mode::None, Mode::Nftables] {
            assert_eq!(named(mode), "", "{mode}");
        }
    }

    #[test]
    fn with_the_nft_engine_mode_ipset_needs_nft_compat_and_no_table_of_ip_tables() {
        let has = without(&[
            "nft_compat",
            "ip_tables nat",
            "ip_tables filter",
            "ip_tables mangle",
        ]);
        assert_eq!(
            missing(Mode::Ipset, Engine::Nft, IPV4, &has).as_deref(),
            Some("this kernel lacks nft_compat: nft_compat")
        );
        assert!(
            missing(Mode::Ipset, Engine::Legacy, IPV4, &has)
                .is_some_and(|text| text.contains("ip_tables mangle") && !text.contains("compat"))
        );
    }
}
