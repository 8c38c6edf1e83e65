//! The archive format of an initramfs: cpio "newc" (`Documentation/driver-api/early-userspace/buffer-format.rst`,
//! Linux 6.12).

use std::collections::BTreeSet;
use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// Writes an archive. Paths are absolute; folders that lead to an entry are made once, before it. Owner is
/// root and time is zero, so that equal contents give equal bytes.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    written: u64,
    inode: u32,
    folders: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            inode: 0,
            folders: BTreeSet::new(),
            names: BTreeSet::new(),
        }
    }

    /// Whether something has that path already.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        self.names.contains(path) || self.folders.contains(path)
    }

    /// A folder.
    ///
    /// # Errors
    /// Writing failed.
    pub fn folder(&mut self, path: &str) -> io::Result<()> {
        self.parents(path)?;
        if self.folders.insert(path.to_owned()) {
            self.entry(path, DIRECTORY | 0o755, &[], (0, 0))?;
        }
        Ok(())
    }

    /// A file with permission bits `mode`.
    ///
    /// # Errors
    /// Writing failed, or it is larger than the format's 4 GiB.
    pub fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, FILE | mode, data, (0, 0))
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// Writing failed.
    pub fn link(&mut self, path: &str, to: &str) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, SYMLINK | 0o777, to.as_bytes(), (0, 0))
    }

    /// A character device.
    ///
    /// # Errors
    /// Writing failed.
    pub fn device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, CHARACTER | mode, &[], (major, minor))
    }

    /// Closes the archive and hands back what it was written to.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(mut self) -> io::Result<W> {
        self.header("TRAILER!!!", 0, 0, (0, 0))?;
        self.pad()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            let folder = &path[..at];
            if !self.names.contains(folder) && self.folders.insert(folder.to_owned()) {
                self.entry(folder, DIRECTORY | 0o755, &[], (0, 0))?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8], device: (u32, u32)) -> io::Result<()> {
        let size = u32::try_from(data.len())
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "4 GiB or more"))?;
        if mode & DIRECTORY == 0 || mode & FILE == FILE {
            self.names.insert(path.to_owned());
        }
        self.header(path.trim_start_matches('/'), mode, size, device)?;
        self.out.write_all(data)?;
        self.written += data.len() as u64;
        self.pad()
    }

    fn header(&mut self, name: &str, mode: u32, size: u32, device: (u32, u32)) -> io::Result<()> {
        self.inode += 1;
        let (inode, links) = (self.inode, 1);
        let fields = [
            inode,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        let mut text = String::from("070701");
        for field in fields {
            text.push_str(&format!("{field:08x}"));
        }
        text.push_str(name);
        text.push('\0');
        self.out.write_all(text.as_bytes())?;
        self.written += text.len() as u64;
        self.pad()
    }

    fn pad(&mut self) -> io::Result<()> {
        let rest = (4 - self.written % 4) % 4;
        self.out.write_all(&[0; 3][..rest as usize])?;
        self.written += rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_what_they_hold() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/c", 0o644, b"12345").unwrap();
        archive.file("/a/b/d", 0o644, b"").unwrap();
        assert!(archive.holds("/a/b/c") && archive.holds("/a/b") && !archive.holds("/a/x"));
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/c\0"));
        assert_eq!(text.matches("a/b\0").count(), 1);
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_header_is_110_bytes_and_names_the_size() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/x", 0o755, b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[110..112], b"x\0");
        assert_eq!(&bytes[112..117], b"hello");
    }
}
