//! The diagnosis for people: one line a thing, and under what is not ready the line that changes it.

use std::collections::BTreeSet;

use schema::Accelerator;

use super::{Check, Diagnosis, State, Way};
use crate::stdout::say;

pub(super) fn print(diagnosis: &Diagnosis) {
    say!("{}", render(diagnosis));
}

fn render(diagnosis: &Diagnosis) -> String {
    let mut lines = vec![format!("kernel {}", diagnosis.kernel), String::new()];
    lines.push(match diagnosis.services {
        Some(n) => format!("modes, each tried with {n} services"),
        None => "modes, each tried with two services (--services N tries with N)".to_owned(),
    });
    lines.extend(listed(&diagnosis.modes));
    lines.extend([
        String::new(),
        "modes on a node of IPv6 (--families ipv6), each in its ordinary way".to_owned(),
    ]);
    lines.extend(listed(&diagnosis.ipv6_modes));
    let ways = diagnosis.modes.iter().chain(&diagnosis.ipv6_modes);
    let limits: BTreeSet<&String> = ways.flat_map(|way| &way.limits).collect();
    lines.extend(limits.into_iter().map(|text| format!("  !! {text}")));
    lines.extend(in_guests(&diagnosis.guest_modes));
    for (title, checks) in [
        ("guests", &diagnosis.guests),
        ("privileges", &diagnosis.privileges),
        ("machine", &diagnosis.machine),
        ("kernel", &diagnosis.kernel_facilities),
        ("tools", &diagnosis.tools),
    ] {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(section(checks));
    }
    lines.extend([String::new(), diagnosis.run.clone()]);
    lines.join("\n")
}

/// Ways of programming modes, with what would make those ready that are not.
fn listed(ways: &[Way]) -> Vec<String> {
    let mut lines = Vec::new();
    let rows = together(ways);
    let names: Vec<String> = rows.iter().map(|ways| name_of(ways)).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    for (ways, name) in rows.iter().zip(&names) {
        let (sign, state) = (sign(ways[0].ready), state_of(ways[0]));
        lines.push(format!("  {sign} {name:width$}  {state}"));
        lines.extend(ways[0].remedy.iter().map(|r| format!("        {r}")));
    }
    lines
}

/// The modes of each kernel that was booted.
fn in_guests(ways: &[Way]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = &None;
    for way in ways {
        if *last != way.kernel {
            last = &way.kernel;
            let kernel = way.kernel.as_deref().unwrap_or_default();
            let accelerator = way.accelerator.map_or("", Accelerator::name);
            let title = format!("modes in a guest with Linux {kernel} ({accelerator})");
            lines.extend([String::new(), title]);
        }
        let state = way.reason.as_deref().unwrap_or("ready");
        let engine = way.engine.map(|e| format!(" ({e})")).unwrap_or_default();
        let through = format!("{}{engine}", way.transport);
        lines.push(format!(
            "  {} {:16} {through:22} {state}",
            sign(way.ready),
            way.mode
        ));
    }
    lines
}

fn section(checks: &[Check]) -> Vec<String> {
    let width = checks.iter().map(|c| c.name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let sign = match check.state {
            State::Ok => "ok",
            State::Missing => "--",
            State::Limited => "!!",
            State::Unknown => "??",
        };
        lines.push(format!("  {sign} {:width$}  {}", check.name, check.found));
        lines.extend(check.remedy.iter().map(|r| format!("        {r}")));
    }
    lines
}

const fn sign(ready: bool) -> &'static str {
    if ready { "ok" } else { "--" }
}

/// Ways of a mode that are unsupported for one reason are one row.
fn together(ways: &[Way]) -> Vec<Vec<&Way>> {
    let mut rows: Vec<Vec<&Way>> = Vec::new();
    for way in ways {
        let same = |row: &&mut Vec<&Way>| {
            way.reason.is_some() && (&row[0].mode, &row[0].reason) == (&way.mode, &way.reason)
        };
        match rows.last_mut().filter(same) {
            Some(row) => row.push(way),
            None => rows.push(vec![way]),
        }
    }
    rows
}

fn name_of(ways: &[&Way]) -> String {
    let through = ways.iter().map(|way| match way.engine {
        Some(engine) => format!("{} ({engine})", way.transport),
        None => way.transport.to_owned(),
    });
    let (way, through) = (ways[0], through.collect::<Vec<_>>().join(", "));
    format!("{:16} {:7} {through}", way.mode, way.sandbox)
}

fn state_of(way: &Way) -> String {
    match (&way.reason, way.installed_ms) {
        (Some(reason), _) => reason.clone(),
        (None, Some(ms)) => format!("ready; installed and listed in {:.1} s", ms as f64 / 1e3),
        (None, None) => "ready".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_that_lack_the_same_are_one_row_and_ready_ones_a_row_each() {
        let way = |mode: &str, transport: &'static str, reason: Option<&str>| Way {
            mode: mode.parse().unwrap(),
            sandbox: schema::SandboxKind::Netns,
            kernel: None,
            accelerator: None,
            transport,
            engine: None,
            ready: reason.is_none(),
            reason: reason.map(str::to_owned),
            remedy: None,
            limits: Vec::new(),
            installed_ms: None,
        };
        let lacks = Some("this kernel lacks ip_vs");
        let ways = [
            way("nftables", "netlink", None),
            way("nftables", "nft", None),
            way("ipvs", "netlink", lacks),
            way("ipvs", "ipvsadm", lacks),
            way("ipvs", "exec", Some("ipset is not installed")),
        ];
        let rows = together(&ways);
        let names: Vec<String> = rows.iter().map(|row| name_of(row)).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names[2].ends_with("netlink, ipvsadm"), "{names:?}");
    }
}
