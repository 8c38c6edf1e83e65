//! What a program needs to start: its loader, its libraries, and theirs. And a program without what only
//! a debugger reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP, PT_LOAD};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

use crate::GuestError;

type Header = FileHeader64<LittleEndian>;

/// What one file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The program interpreter's path, `PT_INTERP`.
    pub loader: Option<PathBuf>,
    /// Names of libraries, `DT_NEEDED`.
    pub libraries: Vec<String>,
}

fn foreign(path: &Path) -> impl Fn(object::Error) -> GuestError + '_ {
    move |error| GuestError::Foreign {
        path: path.to_owned(),
        reason: format!("not a 64-bit little-endian ELF file: {error}"),
    }
}

/// Reads what a program or library asks for.
///
/// # Errors
/// It is no ELF file of this kind.
pub fn needs(path: &Path, data: &[u8]) -> Result<Needs, GuestError> {
    let bad = foreign(path);
    let header = Header::parse(data).map_err(&bad)?;
    let endian = header.endian().map_err(&bad)?;
    let segments = header.program_headers(endian, data).map_err(&bad)?;
    let mut needs = Needs::default();
    for segment in segments {
        if segment.p_type(endian) == PT_INTERP {
            let bytes = segment.interpreter(endian, data).map_err(&bad)?;
            needs.loader = bytes.map(|b| PathBuf::from(String::from_utf8_lossy(b).into_owned()));
        }
    }
    let sections = header.sections(endian, data).map_err(&bad)?;
    if let Some((entries, link)) = sections.dynamic(endian, data).map_err(&bad)? {
        let strings = sections.strings(endian, data, link).map_err(&bad)?;
        for entry in entries
            .iter()
            .filter(|e| e.tag32(endian) == Some(DT_NEEDED))
        {
            let name = entry.string(endian, strings).map_err(&bad)?;
            needs
                .libraries
                .push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(needs)
}

/// The file as far as a loader reads it: everything up to the end of the last loaded segment, without
/// section headers. Debug information lies behind.
///
/// # Errors
/// It is no ELF file of this kind.
pub fn loaded(path: &Path, mut data: Vec<u8>) -> Result<Vec<u8>, GuestError> {
    let bad = foreign(path);
    let header = Header::parse(&*data).map_err(&bad)?;
    let endian = header.endian().map_err(&bad)?;
    let segments = header.program_headers(endian, &*data).map_err(&bad)?;
    let ends = segments
        .iter()
        .filter(|s| s.p_type(endian) == PT_LOAD)
        .map(|s| s.p_offset(endian) + s.p_filesz(endian));
    let end = ends.max().unwrap_or(data.len() as u64);
    // e_shoff, e_shnum and e_shstrndx of Elf64_Ehdr (`elf(5)`).
    for (at, length) in [(0x28, 8), (0x3c, 2), (0x3e, 2)] {
        data[at..at + length].fill(0);
    }
    data.truncate(end as usize);
    Ok(data)
}

/// Folders that the dynamic loader searches: those of `ld.so.conf`, then its own.
#[must_use]
pub fn library_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut files = vec![PathBuf::from("/etc/ld.so.conf")];
    if let Ok(entries) = fs::read_dir("/etc/ld.so.conf.d") {
        let mut more: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|l| l.starts_with('/'));
        folders.extend(lines.map(PathBuf::from));
    }
    let own = [
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib64",
        "/usr/lib64",
        "/lib",
        "/usr/lib",
    ];
    folders.extend(own.map(PathBuf::from));
    folders.retain(|f| f.is_dir());
    let mut seen = BTreeSet::new();
    folders.retain(|f| seen.insert(f.clone()));
    folders
}

/// Every file that the programs need beside themselves: path → contents' path (the same, symbolic links
/// followed). Libraries stand where the loader finds them on this system.
///
/// # Errors
/// A library is not installed, or a file is no ELF file.
pub fn closure(programs: &[PathBuf]) -> Result<BTreeMap<PathBuf, PathBuf>, GuestError> {
    needed(programs, &library_folders(), Path::to_owned)
}

/// The same with the loader and all libraries from these folders, which need not be this system's: name → contents' path.
pub(crate) fn libraries(
    programs: &[PathBuf],
    folders: &[PathBuf],
) -> Result<BTreeMap<PathBuf, PathBuf>, GuestError> {
    let there = |loader: &Path| {
        let name = loader.file_name().unwrap_or_default();
        let mut places = folders.iter().map(|folder| folder.join(name));
        places
            .find(|place| place.is_file())
            .unwrap_or_else(|| loader.to_owned())
    };
    let found = needed(programs, folders, there)?;
    let named = found.into_iter();
    Ok(named
        .filter_map(|(path, real)| Some((path.file_name()?.into(), real)))
        .collect())
}

fn needed(
    programs: &[PathBuf],
    folders: &[PathBuf],
    loader_at: impl Fn(&Path) -> PathBuf,
) -> Result<BTreeMap<PathBuf, PathBuf>, GuestError> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> = programs.to_vec();
    let mut known: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some(file) = open.pop() {
        if !known.insert(file.clone()) {
            continue;
        }
        let data = fs::read(&file).map_err(GuestError::file("read", &file))?;
        let needs = needs(&file, &data)?;
        let mut wanted: Vec<PathBuf> = needs.loader.iter().map(|p| loader_at(p)).collect();
        for name in needs.libraries {
            let library = folders.iter().map(|f| f.join(&name)).find(|p| p.is_file());
            wanted.push(library.ok_or_else(|| GuestError::Foreign {
                path: file.clone(),
                reason: format!("needs {name}, which is not installed"),
            })?);
        }
        for path in wanted {
            let real = path
                .canonicalize()
                .map_err(GuestError::file("find", &path))?;
            open.push(real.clone());
            found.insert(path, real);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_program() -> (PathBuf, Vec<u8>) {
        let path = std::env::current_exe().unwrap();
        let data = fs::read(&path).unwrap();
        (path, data)
    }

    #[test]
    fn a_program_needs_its_loader_and_the_c_library() {
        let (path, data) = this_program();
        let needs = needs(&path, &data).unwrap();
        assert!(needs.loader.is_some());
        assert!(
            needs.libraries.iter().any(|l| l.starts_with("libc.so")),
            "{needs:?}"
        );
    }

    #[test]
    fn the_closure_of_a_program_holds_its_loader() {
        let (path, _) = this_program();
        let closure = closure(&[path]).unwrap();
        let names: Vec<String> = closure.keys().map(|p| p.display().to_string()).collect();
        assert!(names.iter().any(|n| n.contains("ld-linux")), "{names:?}");
    }

    #[test]
    fn a_program_without_its_debug_information_still_runs() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = Path::new("/bin/true").canonicalize().unwrap();
        let less = loaded(&path, fs::read(&path).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("true");
        fs::write(&copy, less).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(
            std::process::Command::new(&copy)
                .status()
                .unwrap()
                .success()
        );
    }

    #[test]
    fn a_text_file_is_no_program() {
        assert!(needs(Path::new("x"), b"#!/bin/sh\n").is_err());
    }
}
