//! The proof of what can execute a guest here.

use std::path::Path;
use std::time::Duration;

use crate::GuestError;
use crate::machine::{Accelerator, Boot, Hardware, Machine};

impl Accelerator {
    /// Whether there is a device of KVM's, which alone proves nothing.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn has_kvm() -> Result<(), String> {
        const DEVICE: &str = "/dev/kvm";
        let opened = std::fs::File::options().read(true).write(true).open(DEVICE);
        opened
            .map(drop)
            .map_err(|error| format!("{DEVICE}: {error}"))
    }

    /// Finds out what can execute a guest here: the processor if it boots this kernel to the end of its
    /// initramfs within a short time, else the translator, with the reason. That `/dev/kvm` is there proves
    /// nothing: nested in other virtual machines QEMU aborts, or the guest never starts.
    pub async fn prove(kernel: &Path, initramfs: &Path) -> (Self, Option<String>) {
        if let Err(why) = Self::has_kvm() {
            return (Self::Tcg, Some(why));
        }
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => return (Self::Tcg, Some(format!("no temporary folder: {error}"))),
        };
        let boot = Boot {
            kernel: kernel.to_owned(),
            initramfs: initramfs.to_owned(),
            hardware: Hardware {
                accelerator: Self::Kvm,
                cpus: 1,
                possible_cpus: None,
                memory_mib: PROOF_MEMORY_MIB,
            },
            console: folder.path().join("console.log"),
            deadline: proof(),
        };
        match Machine::boot(&boot).await {
            Ok(machine) => {
                machine.off(PROOF).await;
                (Self::Kvm, None)
            }
            Err(GuestError::Boot { reason, .. }) => (
                Self::Tcg,
                Some(format!("a guest with KVM does not boot: {reason}")),
            ),
            Err(error) => (Self::Tcg, Some(error.to_string())),
        }
    }
}

/// A guest boots in a second with KVM; nested, in a few; where others want the CPUs too, in that many times as long.
const PROOF: Duration = Duration::from_secs(10);
/// Longer than this nobody waits for one that hangs.
const LONGEST: u32 = 3;

/// How long one may take here, now.
fn proof() -> Duration {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    proof_under(
        &std::fs::read_to_string("/proc/loadavg").unwrap_or_default(),
        cpus,
    )
}

/// By what `/proc/loadavg` says (proc(5)): how many were runnable over the last minute.
fn proof_under(loadavg: &str, cpus: usize) -> Duration {
    let load: f64 = loadavg
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0);
    let times = (load / cpus as f64).ceil().max(1.0);
    PROOF * (times as u32).min(LONGEST)
}
/// Enough for an initramfs, twice: packed and unpacked.
const PROOF_MEMORY_MIB: u32 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_may_take_longer_where_others_want_the_cpus_and_never_for_ever() {
        let seconds = |loadavg, cpus| proof_under(loadavg, cpus).as_secs();
        assert_eq!(seconds("0.31 0.5 0.4 1/99 7\n", 2), 10);
        assert_eq!(seconds("3.10 0.5 0.4 1/99 7\n", 2), 20);
        assert_eq!(seconds("400.0 0.5 0.4 1/99 7\n", 2), 30);
        assert_eq!(seconds("", 2), 10);
    }
}
