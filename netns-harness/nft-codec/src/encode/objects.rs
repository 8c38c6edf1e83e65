//! Named objects, through libnftnl itself.

use nftnl::nftnl_sys as sys;

use netlink::flags;

use super::sets::In;
use super::{Buffer, alive, build_header};
use crate::names::Name;

/// NFT_OBJECT_COUNTER (nf_tables.h).
const COUNTER: u32 = 1;

/// Writes the message that adds or deletes a counter, with that number. As `nft` does, a new one is told its zeros.
pub(super) fn counter(
    buffer: &mut Buffer,
    In(family, table): In<'_>,
    name: &Name,
    message: libc::c_int,
) {
    let flags = match message {
        libc::NFT_MSG_NEWOBJ => flags::CREATE,
        _ => 0,
    };
    // SAFETY: a fresh object is filled, written and freed here; libnftnl copies the strings, and the message is far
    // smaller than the room that `place` has.
    unsafe {
        let raw = alive(sys::nftnl_obj_alloc());
        sys::nftnl_obj_set_u32(raw, sys::NFTNL_OBJ_FAMILY as u16, family.number().into());
        sys::nftnl_obj_set_u32(raw, sys::NFTNL_OBJ_TYPE as u16, COUNTER);
        sys::nftnl_obj_set_str(raw, sys::NFTNL_OBJ_TABLE as u16, table.as_c_str().as_ptr());
        sys::nftnl_obj_set_str(raw, sys::NFTNL_OBJ_NAME as u16, name.as_c_str().as_ptr());
        if message == libc::NFT_MSG_NEWOBJ {
            sys::nftnl_obj_set_u64(raw, sys::NFTNL_OBJ_CTR_PKTS as u16, 0);
            sys::nftnl_obj_set_u64(raw, sys::NFTNL_OBJ_CTR_BYTES as u16, 0);
        }
        buffer.message(flags, |place, sequence| {
            let header = build_header(place, message, family, sequence);
            sys::nftnl_obj_nlmsg_build_payload(header, raw);
        });
        sys::nftnl_obj_free(raw);
    }
}
