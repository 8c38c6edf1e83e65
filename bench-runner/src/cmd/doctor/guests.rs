//! What guests need here: QEMU, KVM, kernels; and, when it is asked for, what can be measured in each of
//! those kernels, by booting it and trying each mode inside.

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use anyhow::Context as _;
use guest::fetch::{Cache, Cached};
use guest::kernel::Kernel;
use guest::machine::{PACKAGE, QEMU};
use guest::series_of;
use netns_harness::remedy::Machine;
use schema::SandboxKind;

use super::{Check, State, Way, way};
use crate::case::Case;
use crate::places::Place as _;
use crate::places::guest::Guest;
use crate::readiness;

const TRY: &str = "bench-runner doctor --guest";

/// What was found, and with `try_modes` the modes of every kernel in the cache.
pub(super) async fn guests(try_modes: bool) -> (Vec<Check>, Vec<Way>) {
    if let Some(why) = guest::none_on(ARCH) {
        let found = format!("{why}; namespaces of its own kernel work");
        return (
            vec![Check::new("guests", State::Missing, found)],
            Vec::new(),
        );
    }
    let cache = Cache::of_user();
    let cached = cache.list().unwrap_or_default();
    let (mut kvm, mut ways, mut refused) = (device(), Vec::new(), Vec::new());
    // Where KVM did not boot one kernel it boots none.
    let mut try_kvm = true;
    for kernel in cached.iter().filter(|_| try_modes) {
        match try_kernel(&kernel.kernel, try_kvm).await {
            Ok((found, without_kvm)) => {
                if let Some(why) = without_kvm {
                    try_kvm = false;
                    let found = format!("{why}; guests run under TCG");
                    kvm = Check::new("KVM", State::Limited, found);
                } else if try_kvm {
                    kvm = Check::new("KVM", State::Ok, "a guest boots with it");
                }
                ways.extend(found);
            }
            Err(error) => refused.push((kernel, format!("{error:#}"))),
        }
    }
    let mut checks = vec![
        Check::program(QEMU, PACKAGE, "not installed: no guests"),
        kvm,
    ];
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
            let state = State::ok_if(ready == ways.len() && refused.is_empty());
            let found = format!("{ready} of {} ways ready", ways.len());
            Check::new("modes", state, found)
        }
    });
    (checks, ways)
}

/// The device of KVM, which alone proves nothing.
fn device() -> Check {
    const DEVICE: &str = "/dev/kvm";
    let opened = std::fs::File::options().read(true).write(true).open(DEVICE);
    let error = match opened {
        Ok(_) => {
            let seen = "can be opened; whether a guest boots with it is seen by booting one";
            return Check::new("KVM", State::Unknown, format!("{DEVICE} {seen}")).with_remedy(TRY);
        }
        Err(error) => error,
    };
    let found = format!("{DEVICE}: {error}; guests run under TCG, several times slower");
    let group = std::fs::metadata(DEVICE).ok().map(|device| device.gid());
    Check {
        remedy: opens(
            error.kind(),
            group,
            &Machine::here(),
            std::env::var_os("CI").is_some(),
        )
        .map(str::to_owned),
        ..Check::new("KVM", State::Limited, found)
    }
}

/// What would open the device, which is a group's or root's.
fn opens(
    refused: ErrorKind,
    group: Option<u32>,
    machine: &Machine<'_>,
    ci: bool,
) -> Option<&'static str> {
    match (refused, group) {
        (ErrorKind::PermissionDenied, _) if machine.container => {
            Some("# start this container with --device /dev/kvm --group-add of its group")
        }
        // Nobody logs in again on a hosted runner.
        (ErrorKind::PermissionDenied, _) if ci => Some(UDEV),
        (ErrorKind::PermissionDenied, None | Some(0)) => Some("sudo chmod 666 /dev/kvm"),
        (ErrorKind::PermissionDenied, _) => Some("sudo usermod -aG kvm $USER  # then log in again"),
        (ErrorKind::NotFound, _) if machine.container => {
            Some("# start this container with --device /dev/kvm, where its host has one")
        }
        _ => None,
    }
}

/// For hosted runners of CI, on which the device is there and nobody may open it.
const UDEV: &str = "echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"' | sudo tee /etc/udev/rules.d/99-kvm.rules && sudo udevadm control --reload-rules && sudo udevadm trigger --name-match=kvm";

fn kernels(cache: &Cache, cached: &[Cached], refused: &[(&Cached, String)]) -> Vec<Check> {
    let size = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    let check = |kernel: &Cached| {
        let series = series_of(&kernel.package).unwrap_or_default();
        let found = format!("{}, {}", kernel.kernel.version, size(kernel.bytes));
        let (state, found) = match refused.iter().find(|(k, _)| *k == kernel) {
            Some((_, why)) => (State::Missing, format!("{found}: {why}")),
            None => (State::Ok, found),
        };
        Check::new(format!("kernel {series}"), state, found)
    };
    let mut checks: Vec<Check> = cached.iter().map(check).collect();
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

/// Boots a kernel and tries every mode in it. What was found, and why KVM did not boot it, if that was tried.
async fn try_kernel(kernel: &Kernel, try_kvm: bool) -> anyhow::Result<(Vec<Way>, Option<String>)> {
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let console = folder.path().join("console.log");
    let no_tools = BTreeSet::new();
    let (guest, without_kvm) = Guest::new(kernel.clone(), &console, &no_tools, try_kvm).await?;
    let cases = Case::all();
    let trials = readiness::attempt(&guest, &cases, None).await?;
    guest.close().await;
    if let Some(why) = guest.given_up() {
        anyhow::bail!("{why}");
    }
    let ways = cases.iter().zip(trials).map(|(case, mut trial)| {
        if let Some(lack) = &mut trial.unsupported {
            lack.remedy.take_if(|remedy| !remedy.reaches_guests());
        }
        Way {
            sandbox: SandboxKind::Guest,
            kernel: Some(kernel.version.clone()),
            accelerator: Some(guest.accelerator()),
            ..way((case, trial))
        }
    });
    Ok((ways.collect(), without_kvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_kvm_is_by_who_may_and_where() {
        let here = |container| Machine {
            container,
            ..Machine::here()
        };
        let denied = |group, container, ci| {
            opens(
                ErrorKind::PermissionDenied,
                Some(group),
                &here(container),
                ci,
            )
            .unwrap()
        };
        assert!(denied(104, false, false).contains("usermod"));
        assert!(denied(104, false, true).contains("udevadm"));
        assert!(denied(0, false, false).contains("chmod"));
        assert!(denied(104, true, true).starts_with("# start this container"));
        let lacks = |container| opens(ErrorKind::NotFound, None, &here(container), true);
        assert!(lacks(true).is_some_and(|line| line.contains("--device /dev/kvm")));
        assert_eq!(lacks(false), None);
    }
}
