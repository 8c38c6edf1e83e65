//! `doctor`: what this machine can measure, by trial, and the command that would make the rest ready.

use anyhow::Context as _;
use netns_harness::datapath::{Transport, registry};
use schema::Mode;
use serde::Serialize;

use super::cell::{Input, Trial};
use crate::cli::DoctorArgs;
use crate::environment;
use crate::exit::Ended;
use crate::stdout::say;

/// One line of the diagnosis.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Diagnosis {
    /// The mode.
    pub(crate) mode: String,
    /// Where.
    pub(crate) sandbox: &'static str,
    /// How it is programmed.
    pub(crate) transport: String,
    /// Whether it works.
    pub(crate) ready: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
}

pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let mut found = Vec::new();
    for mode in Mode::ALL {
        for transport in registry(*mode).transports() {
            let reason = runtime.block_on(try_mode(*mode, *transport))?.unsupported;
            found.push(Diagnosis {
                mode: mode.name().to_owned(),
                sandbox: "netns",
                transport: if mode.is_floor() {
                    "-".to_owned()
                } else {
                    transport.name().to_owned()
                },
                ready: reason.is_none(),
                reason,
            });
        }
    }
    found.push(ipvs());
    if args.json {
        say!(
            "{}",
            serde_json::to_string_pretty(&found).context("encode the diagnosis")?
        );
    } else {
        print(&found);
    }
    Ok(Ended::Done)
}

fn print(found: &[Diagnosis]) {
    let host = environment::host();
    say!(
        "kernel {} on {} CPUs ({}), clock {} with a step of {} ns",
        host.kernel,
        host.cores,
        host.cpu,
        host.clocksource,
        host.clock_step_ns
    );
    for (name, version) in &host.tools {
        say!("{name}: {version}");
    }
    say!("{:<16} {:<8} {:<10} state", "mode", "sandbox", "transport");
    for line in found {
        let state = line.reason.as_deref().unwrap_or("ready");
        say!(
            "{:<16} {:<8} {:<10} {state}",
            line.mode,
            line.sandbox,
            line.transport
        );
    }
}

/// Why a mode cannot be measured in the `netns` sandbox; `None` when it can. A missing tool is seen
/// first, then a tiny population is installed and listed in a throwaway namespace.
pub(crate) async fn try_mode(mode: Mode, transport: Transport) -> anyhow::Result<Trial> {
    let broken = |why: String| Trial {
        unsupported: Some(why),
        ..Trial::default()
    };
    for (program, package) in environment::tools(mode, transport) {
        if !environment::installed(program) {
            return Ok(broken(format!(
                "{program} is not installed: apt-get install {package}"
            )));
        }
    }
    let input = Input::Trial {
        trial: mode,
        transport: transport.name().to_owned(),
    };
    let program = std::env::current_exe().context("find this program's file")?;
    let text = serde_json::to_string(&input).context("encode the trial")?;
    let output =
        tokio::time::timeout(std::time::Duration::from_secs(30), trial(&program, &text)).await;
    let Ok(output) = output else {
        return Ok(broken("the trial did not end within 30 s".to_owned()));
    };
    let (out, err) = output?;
    Ok(serde_json::from_str(out.trim())
        .unwrap_or_else(|_| broken(err.trim().trim_start_matches("error: ").to_owned())))
}

async fn trial(program: &std::path::Path, input: &str) -> anyhow::Result<(String, String)> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = tokio::process::Command::new(program)
        .arg("cell")
        .env(
            crate::stay_process::PARENT_VARIABLE,
            std::process::id().to_string(),
        )
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start a trial")?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A child that ends early says why on its standard error.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.context("wait for a trial")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(output.stdout), text(output.stderr)))
}

/// IPVS is not a mode of this version, but whoever asks about this machine asks about it.
fn ipvs() -> Diagnosis {
    let present = std::path::Path::new("/proc/net/ip_vs").exists();
    let module = || {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let listed =
            std::fs::read_to_string(format!("/lib/modules/{}/modules.dep", release.trim()))
                .unwrap_or_default();
        listed.contains("/ip_vs.ko")
    };
    let reason = if present {
        "the kernel has IPVS; the mode is not in this version".to_owned()
    } else if module() {
        "the ip_vs module is not loaded: modprobe ip_vs; the mode is not in this version".to_owned()
    } else {
        "this kernel has no IPVS (CONFIG_IP_VS) and no ip_vs module: it needs a kernel that has it, as the distribution's linux-image-cloud-amd64; the mode is not in this version".to_owned()
    };
    Diagnosis {
        mode: "ipvs".to_owned(),
        sandbox: "netns",
        transport: "netlink".to_owned(),
        ready: false,
        reason: Some(reason),
    }
}
