//! Generic netlink's controller (`include/uapi/linux/genetlink.h`).

use nix::errno::Errno;

use crate::{Error, Socket, text, write};

/// Bytes of `struct genlmsghdr`.
pub const HEADER: usize = 4;

/// GENL_ID_CTRL.
const CONTROLLER: u16 = 0x10;
/// CTRL_CMD_GETFAMILY.
const GET_FAMILY: u8 = 3;
/// CTRL_ATTR_FAMILY_ID and CTRL_ATTR_FAMILY_NAME.
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// The number of a family; a kernel that has it as a module loads it now. `socket` is one of generic netlink.
///
/// # Errors
/// [`Error::Missing`] when there is none of that name.
pub fn family(socket: &mut Socket, name: &'static str) -> Result<u16, Error> {
    let mut number = None;
    let request = |sequence| {
        let mut out = Vec::new();
        let header = [GET_FAMILY, 1, 0, 0];
        write(&mut out, CONTROLLER, 0, sequence, &header, |out| {
            text(out, FAMILY_NAME, name);
        });
        out
    };
    let asked = socket.ask("a generic family", request, |_, attributes| {
        number = attributes.u16(FAMILY_ID);
        Ok(())
    });
    match (asked, number) {
        (Ok(()), Some(number)) => Ok(number),
        (Ok(()), None) => Err(Error::Torn {
            listing: "a generic family",
        }),
        (Err(error), _) if error.errno() == Some(Errno::ENOENT) => Err(Error::Missing {
            family: name,
            errno: Errno::ENOENT,
        }),
        (Err(error), _) => Err(error),
    }
}
