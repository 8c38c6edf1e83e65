//! Flags of a message's header (`include/uapi/linux/netlink.h`).

/// NLM_F_REQUEST: of every message to the kernel.
pub const REQUEST: u16 = 1;
/// NLM_F_ACK: answer even if there is no error.
pub const ACK: u16 = 4;
/// NLM_F_DUMP_INTR: the dumped state changed meanwhile.
pub const DUMP_INTERRUPTED: u16 = 0x10;
/// NLM_F_ROOT | NLM_F_MATCH: everything, not one object.
pub const DUMP: u16 = 0x300;
/// NLM_F_EXCL: fail if it is there.
pub const EXCLUSIVE: u16 = 0x200;
/// NLM_F_CREATE: create what is not there.
pub const CREATE: u16 = 0x400;
/// NLM_F_APPEND: at the end.
pub const APPEND: u16 = 0x800;
