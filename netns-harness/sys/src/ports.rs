//! I/O ports of a PC. The first process of a guest talks to QEMU through them: what is read and written there takes place
//! at that instruction, at no moment of the host's clock.
#![expect(unsafe_code, reason = "ioperm(2), and the instructions in and out")]

use std::io;
use std::ops::Range;

/// Ports that this thread may use, until it is dropped: a permission is inherited by children, and while there is one every
/// return of theirs from the kernel pays for it (`TIF_IO_BITMAP`).
#[derive(Debug)]
pub struct Ports(Range<u16>);

impl Drop for Ports {
    fn drop(&mut self) {
        // Giving up cannot be refused.
        let _ = ioperm(&self.0, false);
    }
}

impl Ports {
    /// Those of `range`.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_RAWIO, `ENOSYS` where a kernel or a processor has none.
    pub fn open(range: Range<u16>) -> io::Result<Self> {
        match ioperm(&range, true) {
            0 => Ok(Self(range)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Reads a byte.
    #[must_use]
    pub fn read(&self, port: u16) -> u8 {
        self.check(port);
        // SAFETY: the port was opened; what is read goes into a register.
        unsafe { read(port) }
    }

    /// Writes a byte.
    pub fn write(&self, port: u16, value: u8) {
        self.check(port);
        // SAFETY: the port was opened; nothing of this process's memory is touched.
        unsafe { write(port, value) }
    }

    /// Writes two bytes at once.
    pub fn write_wide(&self, port: u16, value: u16) {
        self.check(port);
        // SAFETY: as above.
        unsafe { write_wide(port, value) }
    }

    fn check(&self, port: u16) {
        assert!(self.0.contains(&port), "port {port:#x} was not opened");
    }
}

#[cfg(target_arch = "x86_64")]
mod instructions {
    use std::arch::asm;
    use std::ops::Range;

    pub(super) fn ioperm(range: &Range<u16>, allowed: bool) -> libc::c_long {
        // SAFETY: numbers alone.
        unsafe {
            libc::syscall(
                libc::SYS_ioperm,
                libc::c_ulong::from(range.start),
                range.len(),
                libc::c_int::from(allowed),
            )
        }
    }

    pub(super) unsafe fn read(port: u16) -> u8 {
        let value;
        // SAFETY: by the caller.
        unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
        value
    }

    pub(super) unsafe fn write(port: u16, value: u8) {
        // SAFETY: by the caller.
        unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
    }

    pub(super) unsafe fn write_wide(port: u16, value: u16) {
        // SAFETY: by the caller.
        unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) };
    }
}

/// Other processors have no ports: none is ever opened.
#[cfg(not(target_arch = "x86_64"))]
mod instructions {
    use std::ops::Range;

    pub(super) fn ioperm(_: &Range<u16>, _: bool) -> libc::c_long {
        nix::errno::Errno::ENOSYS.set();
        -1
    }

    pub(super) unsafe fn read(_: u16) -> u8 {
        unreachable!("no port is open")
    }

    pub(super) unsafe fn write(_: u16, _: u8) {
        unreachable!("no port is open")
    }

    pub(super) unsafe fn write_wide(_: u16, _: u16) {
        unreachable!("no port is open")
    }
}

use instructions::{ioperm, read, write, write_wide};
