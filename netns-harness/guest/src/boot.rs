//! What a guest is made of: kernel, initramfs, hardware, and what executes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, through /dev/kvm.
    Kvm,
    /// QEMU's translator.
    Tcg,
    /// QEMU's translator, one virtual CPU whose clock is the number of instructions that it has executed. What
    /// the guest takes for random comes from the seed.
    Icount {
        /// Of QEMU's generator of what a guest sees as random.
        seed: u64,
    },
}

impl Accelerator {
    /// The name in the environment's facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Icount { .. } => "tcg-icount",
        }
    }
}

/// What the guest is given. Everything is fixed, and recorded by who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// What executes it.
    pub accelerator: Accelerator,
    /// Virtual CPUs.
    pub cpus: u32,
    /// CPUs that the kernel is to hold for possible; `None`: those that there are.
    pub possible_cpus: Option<u32>,
    /// Memory, MiB. The limit of connection tracking follows it.
    pub memory_mib: u32,
}

/// Where a guest begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin<'a> {
    /// At its kernel's start; it is asked by its port.
    Boot,
    /// At its kernel's start; it stops where its state is kept, before its first job, so many steps later than it could
    /// ([`crate::pid1::LATER`]).
    ToBeKept {
        /// Steps.
        later: u32,
    },
    /// Where that one stopped.
    Kept {
        /// What was kept of it.
        state: &'a Path,
        /// What it is to do ([`crate::jobs`]).
        jobs: &'a Path,
    },
}

/// A guest to boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// What it is given.
    pub hardware: Hardware,
    /// Where its console is kept.
    pub console: PathBuf,
    /// How long it may take to say that it is up.
    pub deadline: Duration,
}
