//! Breaking installed rules by hand, with one `iptables` process a rule.

use super::services::{endpoint_chain, service_chain};
use super::{Conntrack, Iptables};
use crate::datapath::{Breakable, Damage, Engine};
use crate::service::{Cidr, Endpoint, Plan, Service};
use crate::xtables::{rule, tool};

impl Breakable for Iptables {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        let iptables = |action, chain: &str, rest: &str| nat(self.tool(), action, chain, rest);
        let portal = |s: &Service, to: &Service| {
            format!(
                "-m comment --comment \"{} cluster IP\" -d {} -p {} -m {} --dport {} -j {}",
                s.port_name(),
                Cidr::one(s.frontend.vip),
                s.frontend.protocol,
                s.frontend.protocol,
                s.frontend.port,
                service_chain(to)
            )
        };
        let first = endpoint_chain(a, a.endpoints[0]);
        let protocol = a.frontend.protocol;
        match damage {
            Damage::Delete => vec![iptables("-D", "KUBE-SERVICES", &portal(a, a))],
            Damage::Elsewhere => {
                // Nobody's address in the lab, and routed like any endpoint's.
                let elsewhere = Endpoint {
                    address: Plan::of(a.family()).endpoints.host(0x3f_fffe),
                    port: a.endpoints[0].port,
                };
                let to =
                    format!("-p {protocol} -m {protocol} -j DNAT --to-destination {elsewhere}");
                vec![iptables("-R", &first, &format!("2 {to}"))]
            }
            Damage::Skew => {
                let rule = format!("2 -m statistic --mode random --probability 0.9 -j {first}");
                vec![iptables("-R", &service_chain(a), &rule)]
            }
            Damage::Swap => vec![
                iptables("-D", "KUBE-SERVICES", &portal(a, a)),
                iptables("-D", "KUBE-SERVICES", &portal(b, b)),
                iptables("-I", "KUBE-SERVICES", &format!("1 {}", portal(a, b))),
                iptables("-I", "KUBE-SERVICES", &format!("1 {}", portal(b, a))),
            ],
        }
    }
}

impl Breakable for Conntrack {
    fn damage(&self, _damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        stray_rule(self.engine, a, b)
    }
}

/// Breaks a floor: a rule that answers for a service.
pub(in crate::datapath) fn stray_rule(
    engine: Engine,
    a: &Service,
    b: &Service,
) -> Vec<Vec<String>> {
    let rule = format!(
        "-d {} -p {} --dport {} -j DNAT --to-destination {}",
        a.frontend.vip, a.frontend.protocol, a.frontend.port, b.endpoints[0]
    );
    let tool = tool::prefix_of(engine, a.family());
    vec![nat(tool, "-A", "PREROUTING", &rule)]
}

fn nat(tool: &str, action: &str, chain: &str, rest: &str) -> Vec<String> {
    [tool, "-w", "5", "-t", "nat", action, chain]
        .map(str::to_owned)
        .into_iter()
        .chain(rule::words(rest))
        .collect()
}
