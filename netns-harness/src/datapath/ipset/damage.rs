//! Breaking an installed service by hand, with the reference tools.

use ipset_sys::Command;

use super::Ipset;
use super::layout;
use crate::datapath::iptables::Iptables;
use crate::datapath::{Breakable, Damage};
use crate::service::Service;

/// What an element decides is broken with `ipset`, what a service's own chains decide is broken as in the iptables
/// modes, whose chains they are.
impl Breakable for Ipset {
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        match damage {
            Damage::Delete => {
                let set = layout::set(self.family).to_owned();
                let delete = Command::Delete(set, layout::key(a));
                vec![ipset(&delete, &[])]
            }
            Damage::Swap => vec![lead(a, b), lead(b, a)],
            Damage::Elsewhere | Damage::Skew => {
                let engine = self.engine;
                Iptables::of(engine, self.family).damage(damage, a, b)
            }
        }
    }
}

/// Packets for `a` get the mark of `b`.
fn lead(a: &Service, b: &Service) -> Vec<String> {
    let mut element = layout::key(a);
    element.mark = layout::element(b).mark;
    // Without -exist a second element for the same destination is refused.
    let set = layout::set(a.family()).to_owned();
    ipset(&Command::Add(set, element), &["-exist"])
}

fn ipset(command: &Command, options: &[&str]) -> Vec<String> {
    let line = command.to_string();
    std::iter::once("ipset")
        .chain(line.split_whitespace())
        .chain(options.iter().copied())
        .map(str::to_owned)
        .collect()
}
