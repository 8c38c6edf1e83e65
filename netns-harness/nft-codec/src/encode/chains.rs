//! Tables and chains through libnftnl itself: the nftnl crate's have no user data, which is where comments go.

use netlink::flags;
use nftnl::nftnl_sys as sys;

use super::sets::In;
use super::{Buffer, alive, build_header, put};
use crate::names::{Comment, Name};
use crate::ops::{BaseChain, Policy};

/// NFTNL_UDATA_{TABLE,CHAIN}_COMMENT, both 0.
fn user_data(comment: &Comment) -> Vec<u8> {
    let mut data = Vec::new();
    put(&mut data, 0, comment.as_c_str().to_bytes_with_nul());
    data
}

pub(super) fn add_table(buffer: &mut Buffer, In(family, table): In<'_>, comment: Option<&Comment>) {
    // SAFETY: a fresh object is filled, written and freed here; libnftnl copies the strings and the
    // data, and the message is far smaller than the room that `place` has.
    unsafe {
        let raw = alive(sys::nftnl_table_alloc());
        sys::nftnl_table_set_u32(raw, sys::NFTNL_TABLE_FAMILY as u16, family.number().into());
        sys::nftnl_table_set_str(raw, sys::NFTNL_TABLE_NAME as u16, table.as_c_str().as_ptr());
        sys::nftnl_table_set_u32(raw, sys::NFTNL_TABLE_FLAGS as u16, 0);
        if let Some(data) = comment.map(user_data) {
            sys::nftnl_table_set_data(
                raw,
                sys::NFTNL_TABLE_USERDATA as u16,
                data.as_ptr().cast(),
                data.len() as u32,
            );
        }
        buffer.message(0, |place, sequence| {
            let header = build_header(place, libc::NFT_MSG_NEWTABLE, family, sequence);
            sys::nftnl_table_nlmsg_build_payload(header, raw);
        });
        sys::nftnl_table_free(raw);
    }
}

pub(super) fn add_chain(
    buffer: &mut Buffer,
    In(family, table): In<'_>,
    name: &Name,
    base: Option<BaseChain>,
    comment: Option<&Comment>,
) {
    // SAFETY: as in `add_table`.
    unsafe {
        let raw = alive(sys::nftnl_chain_alloc());
        sys::nftnl_chain_set_u32(raw, sys::NFTNL_CHAIN_FAMILY as u16, family.number().into());
        sys::nftnl_chain_set_str(
            raw,
            sys::NFTNL_CHAIN_TABLE as u16,
            table.as_c_str().as_ptr(),
        );
        sys::nftnl_chain_set_str(raw, sys::NFTNL_CHAIN_NAME as u16, name.as_c_str().as_ptr());
        if let Some(base) = base {
            sys::nftnl_chain_set_u32(raw, sys::NFTNL_CHAIN_HOOKNUM as u16, base.hook as u32);
            sys::nftnl_chain_set_s32(raw, sys::NFTNL_CHAIN_PRIO as u16, base.priority);
            let kind = Name::from(base.kind.to_string());
            sys::nftnl_chain_set_str(raw, sys::NFTNL_CHAIN_TYPE as u16, kind.as_c_str().as_ptr());
            if base.policy == Policy::Drop {
                sys::nftnl_chain_set_u32(raw, sys::NFTNL_CHAIN_POLICY as u16, libc::NF_DROP as u32);
            }
        }
        if let Some(data) = comment.map(user_data) {
            sys::nftnl_chain_set_data(
                raw,
                sys::NFTNL_CHAIN_USERDATA as u16,
                data.as_ptr().cast(),
                data.len() as u32,
            );
        }
        buffer.message(flags::CREATE, |place, sequence| {
            let header = build_header(place, libc::NFT_MSG_NEWCHAIN, family, sequence);
            sys::nftnl_chain_nlmsg_build_payload(header, raw);
        });
        sys::nftnl_chain_free(raw);
    }
}
