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
            deadline: PROOF,
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

/// A guest boots in a second with KVM; nested, in a few.
const PROOF: Duration = Duration::from_secs(10);
/// Enough for an initramfs, twice: packed and unpacked.
const PROOF_MEMORY_MIB: u32 = 512;
