//! What guests need here: QEMU, KVM, kernels; and, when it is asked for, what can be measured in each of
//! those kernels, by booting it and asking this program inside.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use guest::fetch::{Cache, Cached};
use guest::kernel::Kernel;
use guest::machine::{Accelerator, Boot, Hardware, Machine, Next, QEMU};
use guest::protocol::{Ask, Line, Said};
use guest::series_of;
use serde::{Deserialize, Serialize};

use super::{Check, State};
use crate::environment;

const TRY: &str = "bench-runner doctor --guest";
/// Under TCG a boot and the trial of every mode took 19 s together at the most (docs/what-runs-here.md#what-doctor-says);
/// on a busy machine several times that.
const BOOT: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(120);
/// As small as a mode's trial allows.
const MEMORY_MIB: u32 = 1024;

/// One way of programming a mode, in a guest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GuestWay {
    /// Release of the guest's kernel.
    pub(crate) kernel: String,
    /// What executed it: "kvm" or "tcg".
    pub(crate) accelerator: &'static str,
    /// The way.
    #[serde(flatten)]
    pub(crate) way: InGuest,
}

/// What this program says of a way, inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InGuest {
    /// The mode.
    pub(crate) mode: String,
    /// How it is programmed; "-" for the floors.
    pub(crate) transport: String,
    /// Engine below its rules, where either would do.
    pub(crate) engine: Option<String>,
    /// Whether it works.
    pub(crate) ready: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
}

/// The part of the diagnosis inside that is of use outside.
#[derive(Debug, Deserialize)]
struct Inside {
    modes: Vec<InGuest>,
}

/// What was found, and with `try_modes` the modes of every kernel in the cache.
pub(super) async fn guests(try_modes: bool) -> (Vec<Check>, Vec<GuestWay>) {
    let cache = Cache::of_user();
    let cached = cache.list().unwrap_or_default();
    let mut checks = vec![qemu()];
    let mut ways = Vec::new();
    let mut kvm = device();
    let mut refused = Vec::new();
    if try_modes {
        let mut accelerator = None;
        for kernel in &cached {
            match try_kernel(&kernel.kernel, &mut accelerator).await {
                Ok(found) => ways.extend(found),
                Err(error) => refused.push((kernel, format!("{error:#}"))),
            }
        }
        match accelerator {
            Some((Accelerator::Kvm, _)) => {
                kvm = Check::new("KVM", State::Ok, "a guest boots with it");
            }
            Some((Accelerator::Tcg, Some(why))) => {
                kvm = Check::new(
                    "KVM",
                    State::Limited,
                    format!("{why}; guests run under TCG"),
                );
            }
            _ => {}
        }
    }
    checks.push(kvm);
    checks.extend(kernels(&cache, &cached, &refused));
    checks.push(match (try_modes, cached.is_empty()) {
        (false, _) => Check::new(
            "modes",
            State::Unknown,
            "not tried: each kernel has to be booted, which takes long without KVM",
        )
        .with_remedy(TRY),
        (true, true) => Check::new("modes", State::Unknown, "no kernel to try them in"),
        (true, false) => {
            let ready = ways.iter().filter(|w| w.way.ready).count();
            let state = if ready == ways.len() && refused.is_empty() {
                State::Ok
            } else {
                State::Limited
            };
            Check::new(
                "modes",
                state,
                format!("{ready} of {} ways ready", ways.len()),
            )
        }
    });
    (checks, ways)
}

fn qemu() -> Check {
    if !netns_sys::process::installed(QEMU) {
        return Check::new(QEMU, State::Missing, "not installed: no guests")
            .with_remedy("sudo apt-get install -y qemu-system-x86");
    }
    match environment::version(QEMU) {
        Some(version) => Check::new(QEMU, State::Ok, version),
        None => Check::new(QEMU, State::Unknown, "it does not say its version"),
    }
}

/// The device of KVM, which alone proves nothing.
fn device() -> Check {
    const DEVICE: &str = "/dev/kvm";
    let opened = std::fs::File::options().read(true).write(true).open(DEVICE);
    match opened {
        Ok(_) => Check::new(
            "KVM",
            State::Unknown,
            format!("{DEVICE} can be opened; whether a guest boots with it is seen by booting one"),
        )
        .with_remedy(TRY),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Check::new(
            "KVM",
            State::Limited,
            format!("{DEVICE}: {error}; guests run under TCG, several times slower"),
        )
        .with_remedy("sudo usermod -aG kvm $USER  # then log in again"),
        Err(error) => Check::new(
            "KVM",
            State::Limited,
            format!("{DEVICE}: {error}; guests run under TCG, several times slower"),
        ),
    }
}

fn kernels(cache: &Cache, cached: &[Cached], refused: &[(&Cached, String)]) -> Vec<Check> {
    let size = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    let mut checks: Vec<Check> = cached
        .iter()
        .map(|kernel| {
            let series = series_of(&kernel.package).unwrap_or_default();
            let name = format!("kernel {series}");
            let found = format!("{}, {}", kernel.kernel.version, size(kernel.bytes));
            match refused.iter().find(|(k, _)| *k == kernel) {
                Some((_, why)) => Check::new(name, State::Missing, format!("{found}: {why}")),
                None => Check::new(name, State::Ok, found),
            }
        })
        .collect();
    let place = cache.folder().display();
    if cached.is_empty() {
        let none = format!("none in {place}; a run in a guest fetches one");
        checks.push(
            Check::new("kernels", State::Limited, none).with_remedy("bench-runner kernel fetch 6"),
        );
    } else {
        let all = format!("{place}, {}", size(cache.bytes()));
        checks.push(Check::new("cache", State::Ok, all));
    }
    checks
}

/// Boots a kernel and tries every mode in it. What can execute guests is found out with the first.
async fn try_kernel(
    kernel: &Kernel,
    accelerator: &mut Option<(Accelerator, Option<String>)>,
) -> anyhow::Result<Vec<GuestWay>> {
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    try_in(kernel, accelerator, folder.path()).await
}

async fn try_in(
    kernel: &Kernel,
    accelerator: &mut Option<(Accelerator, Option<String>)>,
    folder: &Path,
) -> anyhow::Result<Vec<GuestWay>> {
    let runner = std::env::current_exe().context("find this program's file")?;
    let initramfs = folder.join("initramfs");
    guest::image::build(&runner, kernel, &initramfs)?;
    if accelerator.is_none() {
        *accelerator = Some(Accelerator::prove(&kernel.image, &initramfs).await);
    }
    let (proved, _) = accelerator.as_ref().expect("it was just set");
    let boot = Boot {
        kernel: kernel.image.clone(),
        initramfs,
        hardware: Hardware {
            accelerator: *proved,
            cpus: 2,
            memory_mib: MEMORY_MIB,
        },
        console: folder.join("console.log"),
        deadline: BOOT,
    };
    let mut machine = Machine::boot(&boot).await?;
    let text = diagnosis(&mut machine).await?;
    machine.off(Duration::from_secs(5)).await;
    let inside: Inside =
        serde_json::from_str(&text).context("read what the trial in the guest says")?;
    Ok(inside
        .modes
        .into_iter()
        .map(|way| GuestWay {
            kernel: kernel.version.clone(),
            accelerator: boot.hardware.accelerator.name(),
            way,
        })
        .collect())
}

/// What `doctor --json` says inside.
async fn diagnosis(machine: &mut Machine) -> anyhow::Result<String> {
    let arguments = ["doctor", "--json"].map(str::to_owned).to_vec();
    let input = String::new();
    machine.ask(&Ask::Run { arguments, input }).await?;
    let mut text = String::new();
    loop {
        match machine.next(ANSWER).await? {
            Next::Line(Line::Output(line)) => text.push_str(&line),
            Next::Line(Line::Said(Said::Ended { status, stderr })) => {
                if text.is_empty() {
                    anyhow::bail!("the trial in the guest ended with {status}: {stderr}");
                }
                return Ok(text);
            }
            Next::Line(Line::Said(said)) => anyhow::bail!("the guest said {said:?}"),
            Next::Late => anyhow::bail!(
                "the trial in the guest did not end within {} s; its console's last lines: {}",
                ANSWER.as_secs(),
                machine.console()
            ),
        }
    }
}
