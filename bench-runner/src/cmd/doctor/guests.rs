//! What guests need here: QEMU, KVM, kernels; and, when it is asked for, what can be measured in each of
//! those kernels, by booting it and trying each mode inside.

use anyhow::Context as _;
use guest::fetch::{Cache, Cached};
use guest::kernel::Kernel;
use guest::machine::QEMU;
use guest::series_of;
use schema::Accelerator;
use serde::Serialize;

use super::{Check, State, way};
use crate::case::Case;
use crate::environment;
use crate::places::Place as _;
use crate::places::guest::Guest;
use crate::readiness;

const TRY: &str = "bench-runner doctor --guest";

/// One way of programming a mode, in a guest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GuestWay {
    /// Release of the guest's kernel.
    pub(crate) kernel: String,
    /// What executed it: "kvm" or "tcg".
    pub(crate) accelerator: &'static str,
    /// The mode.
    pub(crate) mode: String,
    /// How it is programmed; "-" for the floors.
    pub(crate) transport: String,
    /// Engine below its rules, where either would do.
    pub(crate) engine: Option<&'static str>,
    /// Whether it works.
    pub(crate) ready: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
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
        // Where KVM did not boot one kernel it boots none.
        let mut try_kvm = true;
        for kernel in &cached {
            match try_kernel(&kernel.kernel, try_kvm).await {
                Ok(Tried { found, without_kvm }) => {
                    kvm = match without_kvm {
                        None if try_kvm => Check::new("KVM", State::Ok, "a guest boots with it"),
                        None => kvm,
                        Some(why) => {
                            try_kvm = false;
                            let found = format!("{why}; guests run under TCG");
                            Check::new("KVM", State::Limited, found)
                        }
                    };
                    ways.extend(found);
                }
                Err(error) => refused.push((kernel, format!("{error:#}"))),
            }
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
            let ready = ways.iter().filter(|way| way.ready).count();
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

/// What was seen of a kernel.
struct Tried {
    found: Vec<GuestWay>,
    /// Why KVM did not boot it, if that was tried.
    without_kvm: Option<String>,
}

/// Boots a kernel and tries every mode in it.
async fn try_kernel(kernel: &Kernel, try_kvm: bool) -> anyhow::Result<Tried> {
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let console = folder.path().join("console.log");
    let (guest, without_kvm) = Guest::new(kernel.clone(), &console, &[], try_kvm).await?;
    let cases = Case::all();
    let trials = readiness::attempt(&guest, &cases, None).await?;
    guest.close().await;
    if let Some(why) = guest.given_up() {
        anyhow::bail!("{why}");
    }
    let accelerator = match guest.accelerator() {
        Accelerator::Kvm => "kvm",
        _ => "tcg",
    };
    let ways = cases
        .into_iter()
        .zip(trials)
        .map(|(case, trial)| way(case, trial));
    let found = ways.map(|way| GuestWay {
        kernel: kernel.version.clone(),
        accelerator,
        mode: way.mode,
        transport: way.transport,
        engine: way.engine,
        ready: way.ready,
        reason: way.reason,
    });
    Ok(Tried {
        found: found.collect(),
        without_kvm,
    })
}
