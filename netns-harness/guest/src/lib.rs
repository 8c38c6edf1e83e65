//! Guest kernels: where they come from ([`kernel`], [`fetch`]; tools of another suite come the same way, [`suite`]), the initramfs they boot ([`image`]), the
//! QEMU microvm they run in ([`machine`]), and the first process inside ([`pid1`]).
//!
//! A guest whose time is executed instructions begins where one stopped that had booted, has its jobs with it ([`jobs`])
//! and is left alone until they are done ([`counted`]).
//!
//! A guest has its own kernel and nothing of the host's: no network device, no disk, no shared folder.
//! What goes in is the kernel, the initramfs and lines on a virtio-serial port, or the state of another guest and its jobs;
//! what comes out is lines on that port and the console's log.
//!
//! ```
//! use guest::cpio::Archive;
//!
//! let archive = || {
//!     let mut archive = Archive::new(Vec::new());
//!     archive.file("/etc/protocols", 0o644, b"tcp 6 TCP\n")?;
//!     archive.device("/dev/null", 0o666, 1, 3)?;
//!     archive.finish()
//! };
//! // Equal contents give equal bytes: owners and times are zero.
//! assert_eq!(archive()?, archive()?);
//! assert_eq!(guest::series_of("linux-image-6.1.0-56-cloud-amd64").as_deref(), Some("6.1"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod accelerator;
mod apt;
mod arguments;
mod boot;
mod console;
pub mod counted;
pub mod cpio;
pub mod elf;
mod error;
pub mod fetch;
mod firmware;
pub mod image;
pub mod jobs;
pub mod kernel;
pub mod machine;
pub mod modules;
mod monitor;
pub mod pid1;
pub mod protocol;
mod release;
mod store;
pub mod suite;
pub mod unnamed;

pub use error::GuestError;
pub use release::series_of;

/// Why guests cannot be had on a machine of that architecture (`std::env::consts::ARCH`); `None` where they can. Their
/// kernels, their QEMU and this program in them are of one.
#[must_use]
pub fn none_on(architecture: &str) -> Option<String> {
    (architecture != "x86_64")
        .then(|| format!("guests need an x86-64 host, and this is {architecture}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn on_arm_hosts_there_are_no_guests_and_on_ours_there_are() {
        let why = super::none_on("aarch64").unwrap();
        assert!(why.contains("x86-64") && why.contains("aarch64"), "{why}");
        assert_eq!(super::none_on("x86_64"), None);
    }
}
