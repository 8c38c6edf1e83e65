//! What the kernel takes for random.
#![expect(unsafe_code, reason = "ioctl(2)")]

use std::fs::File;
use std::io;

nix::ioctl_none!(
    /// `RNDRESEEDCRNG` (`include/uapi/linux/random.h`).
    reseed_crng,
    b'R',
    7
);

/// Has the kernel take its source of random numbers anew from its pool and from the processor's (RDSEED or RDRAND;
/// `crng_reseed` in `drivers/char/random.c`).
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN, `ENODATA` before the source is ready.
pub fn reseed() -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let source = File::open("/dev/urandom")?;
    // SAFETY: the descriptor is open, and nothing is handed over.
    unsafe { reseed_crng(source.as_raw_fd()) }?;
    Ok(())
}
