//! The diagnosis for people: one line a thing, and under what is not ready the line that changes it.

use super::guests::GuestWay;
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
    let names: Vec<String> = diagnosis.modes.iter().map(name_of).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    for (way, name) in diagnosis.modes.iter().zip(&names) {
        lines.push(format!(
            "  {} {name:width$}  {}",
            sign(way.ready),
            state_of(way)
        ));
        lines.extend(way.remedy.iter().map(|r| format!("        {r}")));
    }
    let mut limits: Vec<&String> = diagnosis.modes.iter().flat_map(|way| &way.limits).collect();
    limits.sort_unstable();
    limits.dedup();
    lines.extend(limits.into_iter().map(|text| format!("  !! {text}")));
    lines.extend(in_guests(&diagnosis.guest_modes));
    for (title, checks) in [
        ("guests", &diagnosis.guests),
        ("privileges", &diagnosis.privileges),
        ("machine", &diagnosis.machine),
        ("kernel", &diagnosis.kernel_facilities),
        ("tools", &diagnosis.tools),
    ] {
        lines.push(String::new());
        lines.push(title.to_owned());
        lines.extend(section(checks));
    }
    lines.push(String::new());
    lines.push(diagnosis.run.clone());
    lines.join("\n")
}

/// The modes of each kernel that was booted.
fn in_guests(ways: &[GuestWay]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut kernel = "";
    for way in ways {
        if kernel != way.kernel {
            kernel = &way.kernel;
            lines.push(String::new());
            let accelerator = way.accelerator;
            lines.push(format!(
                "modes in a guest with Linux {kernel} ({accelerator})"
            ));
        }
        let engine = way.engine.map(|e| format!(" ({e})"));
        let name = format!("{}{}", way.transport, engine.unwrap_or_default());
        let state = way.reason.as_deref().unwrap_or("ready");
        let sign = sign(way.ready);
        lines.push(format!("  {sign} {:16} {name:22} {state}", way.mode));
    }
    lines
}

fn section(checks: &[Check]) -> Vec<String> {
    let width = checks
        .iter()
        .map(|c| c.name.chars().count())
        .max()
        .unwrap_or(0);
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

fn name_of(way: &Way) -> String {
    let engine = way.engine.map_or_else(String::new, |e| format!(" ({e})"));
    format!(
        "{:16} {:7} {}{engine}",
        way.mode, way.sandbox, way.transport
    )
}

fn state_of(way: &Way) -> String {
    match (&way.reason, way.installed_ms) {
        (Some(reason), _) => reason.clone(),
        (None, Some(ms)) => format!("ready; installed and listed in {:.1} s", ms as f64 / 1e3),
        (None, None) => "ready".to_owned(),
    }
}
