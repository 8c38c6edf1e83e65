//! What QEMU hands a guest whose instructions are counted, and where that stops, both at an instruction of the guest's:
//! items of its firmware configuration (QEMU's `docs/specs/fw_cfg.rst`) and the device that tells of a panic
//! (`docs/specs/pvpanic.rst`).

use netns_sys::ports::Ports;

/// The item that holds a guest's jobs.
pub(crate) const JOBS: &str = "opt/bench/jobs";
/// The device that stops a guest.
pub(crate) const STOPS: &str = "pvpanic";
/// Its port, and what is written there.
const PANIC: (u16, u8) = (0x505, 1);
/// Where an item is chosen.
const SELECTOR: u16 = 0x510;
/// Where its bytes are read, one after the other.
const DATA: u16 = 0x511;
/// The item by which QEMU is known, and what it holds: a machine without one reads ones everywhere.
const SIGNATURE: (u16, &[u8]) = (0x00, b"QEMU");
/// The item that lists the others.
const DIRECTORY: u16 = 0x19;
/// Bytes of an entry there: size, item and a reserved number, most significant byte first, then the name, which zeros end.
const ENTRY: usize = 64;

/// Stops this guest. It goes on behind this call, in each guest that begins with its state.
///
/// # Errors
/// It may not use ports.
pub(crate) fn stop() -> Result<(), String> {
    let (port, panicked) = PANIC;
    let ports = Ports::open(port..port + 1).map_err(|e| format!("use port {port:#x}: {e}"))?;
    ports.write(port, panicked);
    Ok(())
}

/// The bytes of an item.
///
/// # Errors
/// It may not use ports, or there is no such item.
pub(crate) fn item(name: &str) -> Result<Vec<u8>, String> {
    let ports =
        Ports::open(SELECTOR..DATA + 1).map_err(|e| format!("use port {SELECTOR:#x}: {e}"))?;
    let read = |bytes: usize| -> Vec<u8> { (0..bytes).map(|_| ports.read(DATA)).collect() };
    let (signature, qemu) = SIGNATURE;
    ports.write_wide(SELECTOR, signature);
    if read(qemu.len()) != qemu {
        return Err(format!("there is no QEMU behind port {SELECTOR:#x}"));
    }
    ports.write_wide(SELECTOR, DIRECTORY);
    let entries = u32::from_be_bytes(read(4).try_into().expect("four bytes"));
    let found = (0..entries).find_map(|_| entry(&read(ENTRY), name));
    let (size, item) = found.ok_or_else(|| format!("QEMU has no item {name}"))?;
    ports.write_wide(SELECTOR, item);
    Ok(read(size as usize))
}

/// Size and number of the item that an entry is of, if it has that name.
fn entry(entry: &[u8], name: &str) -> Option<(u32, u16)> {
    let size = u32::from_be_bytes(entry[..4].try_into().ok()?);
    let item = u16::from_be_bytes(entry[4..6].try_into().ok()?);
    let named = entry[8..].split(|byte| *byte == 0).next()?;
    (named == name.as_bytes()).then_some((size, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_size_item_and_name() {
        let mut bytes = [0; ENTRY];
        bytes[..6].copy_from_slice(&[0, 0, 0x40, 0, 0, 0x2a]);
        bytes[8..8 + JOBS.len()].copy_from_slice(JOBS.as_bytes());
        assert_eq!(entry(&bytes, JOBS), Some((0x4000, 0x2a)));
        assert_eq!(entry(&bytes, "opt/bench/job"), None);
    }
}
