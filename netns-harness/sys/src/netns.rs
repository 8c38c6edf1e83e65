//! Network namespaces without names: made on a thread, held by a file descriptor, gone with it.
//! Nothing appears under /run/netns, so a killed run leaves nothing behind.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, alive as long as this value (or a thread or interface in it).
#[derive(Debug)]
pub struct NetNs {
    file: File,
}

impl NetNs {
    /// A new, empty namespace. The caller's own namespace does not change.
    ///
    /// # Errors
    /// `unshare(2)`: `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` at the namespace limit.
    pub fn new() -> io::Result<Self> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    unshare(CloneFlags::CLONE_NEWNET)?;
                    Self::current()
                })
                .join()
                .expect("the thread that makes a namespace does not panic")
        })
    }

    /// The calling thread's namespace.
    ///
    /// # Errors
    /// /proc is not mounted.
    pub fn current() -> io::Result<Self> {
        // thread-self, not self: self is the main thread's namespace.
        File::open("/proc/thread-self/ns/net").map(|file| Self { file })
    }

    /// Moves the calling thread into the namespace until the guard is dropped.
    ///
    /// # Errors
    /// `setns(2)`.
    pub fn enter(&self) -> io::Result<Entered> {
        let previous = Self::current()?;
        setns(&self.file, CloneFlags::CLONE_NEWNET)?;
        Ok(Entered {
            previous,
            _not_send: PhantomData,
        })
    }

    /// Runs `act` in the namespace, on the calling thread.
    ///
    /// # Errors
    /// `setns(2)`; the act's own errors are in its value.
    pub fn run<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let _entered = self.enter()?;
        Ok(act())
    }

    /// Inode number: the identity that `lsns` shows.
    ///
    /// # Errors
    /// `fstat(2)`.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.ino())
    }

    /// Raw descriptor, for netlink attributes that name a namespace.
    #[must_use]
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// While it lives, the calling thread is in another namespace. Not `Send`: namespaces belong to
/// threads.
#[derive(Debug)]
#[must_use = "the thread leaves the namespace when this is dropped"]
pub struct Entered {
    previous: NetNs,
    _not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that cannot go home would act on the wrong kernel state from here on.
        setns(&self.previous.file, CloneFlags::CLONE_NEWNET)
            .expect("returning to a namespace that is held open");
    }
}

/// IPv4 addresses of the calling thread's namespace: interface, address.
///
/// # Errors
/// `getifaddrs(3)`.
pub fn ipv4_addresses() -> io::Result<Vec<(String, std::net::Ipv4Addr)>> {
    let all = nix::ifaddrs::getifaddrs()?;
    let found = all.filter_map(|one| {
        let address = one.address?.as_sockaddr_in()?.ip();
        Some((one.interface_name, address))
    });
    Ok(found.collect())
}

/// IPv6 addresses of the calling thread's namespace: interface, address.
///
/// # Errors
/// `getifaddrs(3)`.
pub fn ipv6_addresses() -> io::Result<Vec<(String, std::net::Ipv6Addr)>> {
    let all = nix::ifaddrs::getifaddrs()?;
    let found = all.filter_map(|one| {
        let address = one.address?.as_sockaddr_in6()?.ip();
        Some((one.interface_name, address))
    });
    Ok(found.collect())
}
