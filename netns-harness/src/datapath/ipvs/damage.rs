//! Breaking an installed service by hand, with `ipvsadm`.

use ipvs_codec::{Destination, Op, Scheduler};

use super::{Ipvs, layout};
use crate::datapath::{Breakable, Damage};
use crate::service::{Endpoint, Plan, Service};

impl Breakable for Ipvs {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        let id = layout::id(a.frontend);
        let first = layout::destination(a.endpoints[0]);
        let ops = match damage {
            Damage::Delete => vec![Op::DeleteService(id)],
            Damage::Elsewhere => {
                // Nobody's address in the lab, and routed like any endpoint's.
                let elsewhere = Endpoint {
                    address: Plan::of(a.family()).endpoints.host(0x3f_fffe),
                    port: a.endpoints[0].port,
                };
                vec![
                    Op::DeleteDestination(id, first.server),
                    Op::AddDestination(id, layout::destination(elsewhere)),
                ]
            }
            // Round robin does not look at weights.
            Damage::Skew => vec![
                Op::SetService(ipvs_codec::Service {
                    scheduler: Scheduler::WeightedRoundRobin,
                    ..layout::service(a.frontend)
                }),
                Op::SetDestination(id, Destination { weight: 9, ..first }),
            ],
            Damage::Swap => [exchange(a, b), exchange(b, a)].concat(),
        };
        ops.iter().map(line).collect()
    }
}

/// `a` gets the endpoints of `b`.
fn exchange(a: &Service, b: &Service) -> Vec<Op> {
    let id = layout::id(a.frontend);
    let old = a.endpoints.iter();
    let old = old.map(|e| Op::DeleteDestination(id, layout::server(*e)));
    let new = b.endpoints.iter();
    let new = new.map(|e| Op::AddDestination(id, layout::destination(*e)));
    old.chain(new).collect()
}

fn line(op: &Op) -> Vec<String> {
    let words = op.to_string();
    std::iter::once("ipvsadm")
        .chain(words.split_whitespace())
        .map(str::to_owned)
        .collect()
}
