//! The first process of a guest whose time is executed instructions: it stops where its state is kept; where it goes on it
//! has jobs with it. These are done one after the other, and only then come the modules that lead to the host, and what
//! was said.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{
    LATER, find_port, killed_for_memory, load_modules, open_port, ready, say, wait_for_random,
};
use crate::firmware;
use crate::jobs::{self, Job};
use crate::protocol::Said;

/// Modules that lead to the host. What they do is not of the guest's own making, so they wait.
const CHANNEL: &[&str] = &["virtio_mmio", "virtio_console"];
/// In memory: what jobs say wakes nobody while another one is timed.
const OUTPUTS: &str = "/run/jobs";

/// What a job said.
struct Outcome {
    output: Vec<u8>,
    said: Said,
}

pub(super) fn serve(program: &Path) -> Result<(), String> {
    let leads_out = |name: &str| CHANNEL.contains(&name);
    let loaded = load_modules(|name| !leads_out(name));
    wait_for_random();
    fs::create_dir_all(OUTPUTS).map_err(|e| format!("make {OUTPUTS}: {e}"))?;
    sleep_steps();
    firmware::stop()?;
    // What is random from here on is of this guest's seed.
    netns_sys::random::reseed().map_err(|e| format!("reseed the source of random numbers: {e}"))?;
    let jobs = jobs::own()?;
    let mut outcomes = Vec::new();
    if loaded.is_ok() {
        for (number, job) in jobs.iter().enumerate() {
            let outcome = carry_out(program, job, number);
            outcomes.push(outcome.map_err(|e| format!("job {number}: {e}"))?);
        }
    }
    load_modules(leads_out)?;
    let mut to_host = open_port(&find_port()?)?;
    match loaded {
        Ok(count) => say(&mut to_host, &ready(count)),
        Err(reason) => {
            let broken = Said::Broken {
                reason: reason.clone(),
            };
            say(&mut to_host, &broken);
            return Err(reason);
        }
    }
    for outcome in outcomes {
        // Without a host there is nobody to tell.
        let _ = to_host.write_all(&outcome.output);
        say(&mut to_host, &outcome.said);
    }
    Ok(())
}

/// Another timer of QEMU's may end between the stop and the end of the CPU's own, always the same one at the same place: then this guest never
/// stops where it is to, and one that stops later does.
fn sleep_steps() {
    const STEP: Duration = Duration::from_millis(7);
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let mut words = cmdline.split_whitespace();
    let steps = words.find_map(|word| word.strip_prefix(LATER)?.parse().ok());
    if let Some(steps) = steps {
        std::thread::sleep(STEP * steps);
    }
}

fn carry_out(program: &Path, job: &Job, number: usize) -> io::Result<Outcome> {
    let place = |what: &str| -> PathBuf { Path::new(OUTPUTS).join(format!("{number}.{what}")) };
    fs::write(place("in"), &job.input)?;
    let killed_before = killed_for_memory();
    let ended = Command::new(program)
        .args(&job.arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(File::open(place("in"))?)
        .stdout(File::create(place("out"))?)
        .stderr(File::create(place("err"))?)
        .status()?;
    let (mut success, mut status) = (ended.success(), ended.to_string());
    if killed_for_memory() > killed_before {
        success = false;
        status.push_str(", out of memory: the kernel killed a process");
    }
    let errors = fs::read(place("err"))?;
    let errors = String::from_utf8_lossy(&errors);
    let lines: Vec<&str> = errors.lines().collect();
    let mut output = fs::read(place("out"))?;
    // The host reads lines.
    if output.last().is_some_and(|&last| last != b'\n') {
        output.push(b'\n');
    }
    Ok(Outcome {
        output,
        said: Said::Ended {
            success,
            status,
            stderr: lines[lines.len().saturating_sub(5)..].join("; "),
        },
    })
}
