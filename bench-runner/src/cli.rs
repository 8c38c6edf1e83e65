//! The options of a run, and the words that they accept. The program and its verbs are in [`crate::cmd`].

pub(crate) mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};
use scenarios::imported::Imported;
use scenarios::{Chosen, LargeCluster, within};
use schema::{
    Damage, Engine, KubeProxyVersion, Mix, Mode, Position, Protocol, ServiceType, Transport,
};

pub(crate) use words::{Families, Given, Maxelem, SandboxOption, Scenarios};

/// Options of a run.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct RunArgs {
    /// Services in the population. One number N sweeps 100, 300, 1000, 3000, … up to N; a list is
    /// measured exactly.
    #[arg(long, short = 'n', value_name = "N[,N…]", default_value = "1000", action = ArgAction::Set, value_delimiter = ',',
          allow_negative_numbers = true, value_parser = words::up_to(words::SERVICES))]
    pub(crate) services: Vec<u32>,

    /// Measure only N, without the smaller sizes.
    #[arg(long)]
    pub(crate) no_sweep: bool,

    /// Endpoints of each service, 1 to 1000; of a list each number is measured by itself, at every size.
    #[arg(long, value_name = "E[,E…]", default_value = "2", action = ArgAction::Set, value_delimiter = ',',
          allow_negative_numbers = true, value_parser = words::up_to(words::ENDPOINTS))]
    pub(crate) endpoints: Vec<u32>,

    /// Services as those of your cluster, in place of equal ones: dumps of it, parts of one cluster: `kubectl get
    /// services,endpointslices -A -o json`, iptables-save, `nft list ruleset`, `ipvsadm -Sn`, a shape; see `population`.
    /// Nothing of them but their shape is kept, without --keep-names.
    #[arg(long, value_name = "FILE…", num_args = 1.., action = ArgAction::Append,
          conflicts_with_all = ["services", "endpoints", "no_sweep", "protocols", "service_types", "mix", "damage"])]
    pub(crate) population: Vec<PathBuf>,

    /// Keep the names and addresses of the dumps: as services.tsv in the run's directory, and their paths in its command line.
    #[arg(long, requires = "population")]
    pub(crate) keep_names: bool,

    /// What was read of it.
    #[arg(skip)]
    pub(crate) imported: Option<Arc<Imported>>,

    /// Modes that you would leave: the page says what each other one takes beside it [default: the one that --population
    /// was dumped from, where the dump tells].
    #[arg(long, value_name = "MODE[,MODE…]", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) leaving: Vec<Mode>,

    /// Modes to compare [default: all; see `list modes`].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) modes: Vec<Mode>,

    /// Questions to ask, or `all` [default: those marked in `list scenarios`].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', value_parser = words::scenario)]
    pub(crate) scenarios: Vec<Scenarios>,

    /// How updates reach the kernel: restore, netlink, exec, nft, ipset-restore, ipvsadm; kube-proxy, a real one, which
    /// --tool names [default: each mode's ordinary one].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) transports: Vec<Transport>,

    /// Version of kube-proxy whose rules and syncs are measured, where they differ: 1.32 to 1.37; modes that kube-proxy
    /// does not have are the same in all, and a real one has those of its own [default: 1.37].
    #[arg(long, value_name = "VERSION[,VERSION…]", action = ArgAction::Set, value_delimiter = ',', value_parser = words::kube_proxy)]
    pub(crate) kube_proxy: Vec<KubeProxyVersion>,

    /// With --transports kube-proxy, its minSyncPeriod: 10ms shows what a sync costs, 1s (its own default) what a node
    /// sees; 1ms to 60s.
    #[arg(long, value_name = "TIME[,TIME]", action = ArgAction::Set, value_delimiter = ',', default_value = "10ms", value_parser = words::sync_period)]
    pub(crate) min_sync_period: Vec<u32>,

    /// Engine below the iptables rules of mode ipset: legacy, nft.
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', default_value = "legacy")]
    pub(crate) engines: Vec<Engine>,

    /// What scenarios alone read.
    #[command(flatten)]
    pub(crate) chosen: Chosen,

    /// Where the asked service stands in the population: first, middle, last, uniform [default: all; first,last with
    /// --deterministic].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) positions: Vec<Position>,

    /// Protocols of the services, taken in turn.
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',', default_value = "tcp,udp")]
    pub(crate) protocols: Vec<Protocol>,

    /// VIPs STRIDE addresses apart instead of drawn by the seed. 256 gives all the same low octet, by which IPVS
    /// before 2026 finds services: they all lie in one of its 256 buckets. 1 to 65536.
    #[arg(long, value_name = "STRIDE", allow_negative_numbers = true, value_parser = within(words::STRIDE))]
    pub(crate) vip_stride: Option<u32>,

    /// Address families of the node: ipv4, ipv6, or ipv4,ipv6, a dual-stack node, where every service has an address of
    /// each, and each family is measured beside the rules of the other. `each`: one of every kind beside the others.
    #[arg(long, value_name = "LIST", default_value = "ipv4", value_parser = words::families)]
    pub(crate) families: Families,

    /// Types of services: cluster-ip, node-port, load-balancer, source-ranges, external-ip, external-local,
    /// external-local-none, internal-local, internal-local-none, affinity, no-endpoints. As with other lists each is measured
    /// by itself, in populations of it alone; floors have no services [default: cluster-ip].
    #[arg(long, value_name = "LIST", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) service_types: Vec<ServiceType>,

    /// One population of several types of services, with their shares in per cent, which come to 100, as in
    /// cluster-ip=60,node-port=40. Types take turns as evenly as their shares allow.
    #[arg(long, value_name = "TYPE=SHARE,…")]
    pub(crate) mix: Option<Mix>,

    /// kube-proxy's large-cluster layout, without comments in the iptables rules of endpoints: `auto` as kube-proxy, with
    /// more than 1,000 endpoints; `on` or `off` at every size.
    #[arg(long, value_name = "auto|on|off", default_value = "auto")]
    pub(crate) large_cluster: LargeCluster,

    /// Entries that kube-proxy's sets hold, in mode ipvs: `kept`, its 65,536, beyond which cells are unsupported, as
    /// kube-proxy refuses them; `raised`, room for all, which no kube-proxy has and every such figure names.
    #[arg(long, value_name = "kept|raised", default_value = "kept")]
    pub(crate) maxelem: Maxelem,

    /// Where labs live: `netns`, in namespaces of the host's kernel; `guest`, in a microVM with a kernel of its
    /// own; `auto` takes the host's kernel when it can run every requested mode, else a guest for all of them where KVM
    /// boots one, else both: what the host's kernel has is timed, and beside it all modes are counted, as with
    /// --deterministic.
    #[arg(long, value_name = "auto|netns|guest", default_value = "auto")]
    pub(crate) sandbox: SandboxOption,

    /// Kernels of guests: `host`, the path of an image, a version (6.1, 6.12), or a package's name. Several are
    /// measured side by side [default: the host's, else the distribution's].
    #[arg(long, value_name = "SPEC[,SPEC…]", action = ArgAction::Set, value_delimiter = ',')]
    pub(crate) kernel: Vec<String>,

    /// Count instructions instead of time: each stay in a guest of its own that QEMU translates, whose clock is what
    /// it has executed. The same on every run, on any loaded machine, for a gate. Repetition R has seed S + R. Sizes
    /// are measured exactly; scenarios: cold-install, service-add, first-packet, unless others are named.
    #[arg(long)]
    pub(crate) deterministic: bool,

    /// One side of a comparison in one run, at least two: the stays of all variants lie side by side in the same
    /// blocks. OPTIONS set it apart from the others: --services, --endpoints, --kernel, --transports, --engines,
    /// --kube-proxy, --large-cluster, --maxelem, --vip-stride, --sysctl, --tool, --tools, --plant. Options outside are for all variants.
    #[arg(long, value_name = "NAME:'OPTIONS'", value_parser = words::given)]
    pub(crate) variant: Vec<Given>,

    /// With two variants: adds blocks until `compare` can decide, looking after 6, 8, 11, 15, 20 … of them, and ends by then,
    /// or at --repetitions (114 by default) or --budget, of which one must be named. Each look has a share of the gate's p, which
    /// `compare` knows of such a run, so that to look often finds no more by chance.
    #[arg(long)]
    pub(crate) until_decided: bool,

    /// One more sysctl, pinned in every namespace of a lab and read back.
    #[arg(long, value_name = "NAME=VALUE", value_parser = words::sysctl)]
    pub(crate) sysctl: Vec<(String, String)>,

    /// Another file to start in place of a tool, as in nft=/opt/nftables/sbin/nft.
    #[arg(long, value_name = "NAME=PATH", value_parser = words::tool)]
    pub(crate) tool: Vec<(String, PathBuf)>,

    /// Tools of a suite of this distribution, as in trixie: nftables, iptables, ipset and ipvsadm with their libraries, fetched
    /// where they are not in the cache (see `tools`); `host`: those that are installed [default: host].
    #[arg(long, value_name = "SUITE[,SUITE…]", action = ArgAction::Set, value_delimiter = ',', value_parser = words::suite)]
    pub(crate) tools: Vec<String>,

    /// Seed of populations, probes and the order of stays.
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: u64,

    /// Repetition blocks: the most that any stay is repeated. Each has a population of its own, of seed S + its number.
    /// An interval needs six; 1 to 1000 [default: 8; 6 with --deterministic].
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = within(words::REPETITIONS))]
    pub(crate) repetitions: Option<u32>,

    /// Time after which nothing is repeated. It goes to the largest size of every mode until an interval can be told,
    /// then where intervals are widest; what would leave these without is not begun, and said before the start; what is
    /// begun is made once, whatever it takes [default: 10m on the host's kernel, 8m with instructions counted beside; in
    /// a guest 5m, or 20m beyond 1,000 services].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = words::duration)]
    pub(crate) budget: Option<Duration>,

    /// Time limit of a cell; what is slower is timed-out with this lower bound. Preparation has the same
    /// limit, counted apart.
    #[arg(long, value_name = "TIME", default_value = "120s", allow_hyphen_values = true, value_parser = words::duration)]
    pub(crate) cell_timeout: Duration,

    /// New flows in a first-packet cell, 100 to 20000 [default: 1000; 200 where a guest is translated or caches are emptied, 100 where its instructions are counted].
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = within(words::FLOWS))]
    pub(crate) flows: Option<u32>,

    /// Leave out the second `none` series, whose ratio to the first states the run's noise.
    #[arg(long)]
    pub(crate) no_control: bool,

    /// Run directory to make; never overwritten [default: runs/<time>].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Carry on a run that was killed, interrupted or ran out of disk: a run directory or its results.jsonl.
    /// Options are the run's own; those given must be the same.
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<PathBuf>,

    /// Break each datapath by hand after it was installed, to see that no number comes out:
    /// delete, elsewhere, skew or swap.
    #[arg(long, value_name = "KIND")]
    pub(crate) damage: Option<Damage>,

    /// Put N rules that match nothing, 1 to 5000, before nat while first packets are measured, to see that the gate
    /// finds them.
    #[arg(long, value_name = "N", value_parser = within(words::PLANTED))]
    pub(crate) plant: Option<u32>,
}

/// The options of a run without a program around them.
pub(crate) fn run_alone(name: &'static str) -> clap::Command {
    let bare = clap::Command::new(name)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true);
    <RunArgs as Args>::augment_args(bare)
}

/// One line of what clap says: the error and its tip, without the usage text.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let is_usage = |l: &&str| l.starts_with("Usage:") || l.starts_with("For more information");
    let said = text.lines().map(str::trim).take_while(|l| !is_usage(l));
    let parts: Vec<&str> = said.filter(|l| !l.is_empty()).collect();
    parts.join("; ")
}
