//! What bindgen makes of libipset's headers, and the shim.

#![allow(
    missing_docs,
    unreachable_pub,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    dead_code,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{c_char, c_int, c_void};

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

unsafe extern "C" {
    /// The output function for `ipset_session_init` (shim.c): formats, and appends to the `Vec<u8>` that
    /// `output` points at.
    pub fn ipset_sys_print(
        session: *mut ipset_session,
        output: *mut c_void,
        format: *const c_char,
        ...
    ) -> c_int;
}
