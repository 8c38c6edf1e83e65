//! Between libipset and libmnl: these two functions take the place of libmnl's in a test's binary, which
//! the dynamic linker asks first. They count what is sent, and can answer in the kernel's stead.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(unsafe_code, reason = "stands between libipset and its socket")]
#![allow(dead_code, reason = "each of two tests uses a part")]

use std::cell::RefCell;
use std::ffi::{CStr, c_void};

/// `IPSET_CMD_PROTOCOL` and `IPSET_CMD_TYPE`, the low byte of a message's type.
pub(crate) const PROTOCOL: u8 = 1;
pub(crate) const TYPE: u8 = 13;

/// A kernel that this one is not: given a request, its answer, or `None` to let this one answer.
pub(crate) type Kernel = fn(&[u8]) -> Option<Vec<u8>>;

#[derive(Default)]
struct Wire {
    messages: u64,
    bytes: u64,
    kernel: Option<Kernel>,
    answer: Option<Vec<u8>>,
}

thread_local! {
    static WIRE: RefCell<Wire> = RefCell::default();
}

/// Messages and bytes that the calling thread sent since the last call.
pub(crate) fn sent() -> (u64, u64) {
    WIRE.with_borrow_mut(|wire| {
        (
            std::mem::take(&mut wire.messages),
            std::mem::take(&mut wire.bytes),
        )
    })
}

/// Lets `kernel` answer the calling thread's requests from now on.
pub(crate) fn answer_with(kernel: Option<Kernel>) {
    WIRE.with_borrow_mut(|wire| wire.kernel = kernel);
}

/// The kernel's refusal of a request (`struct nlmsgerr`, with the request behind it).
pub(crate) fn refuse(request: &[u8], code: i32) -> Vec<u8> {
    let mut answer = Vec::new();
    answer.extend((20 + request.len() as u32).to_ne_bytes());
    answer.extend(2_u16.to_ne_bytes()); // NLMSG_ERROR
    answer.extend([0; 2]);
    answer.extend(&request[8..12]); // its sequence number
    answer.extend([0; 4]);
    answer.extend((-code).to_ne_bytes());
    answer.extend(request);
    answer
}

/// The kernel's answer to a question for a type: it knows revisions `min` to `max`.
pub(crate) fn revisions(request: &[u8], min: u8, max: u8) -> Vec<u8> {
    // the request is header, protocol, type name, family; the answer goes on with revisions
    let mut answer = request.to_vec();
    for (kind, revision) in [(4_u16, max), (10, min)] {
        answer.extend(5_u16.to_ne_bytes());
        answer.extend(kind.to_ne_bytes());
        answer.extend([revision, 0, 0, 0]);
    }
    let length = answer.len() as u32;
    answer[..4].copy_from_slice(&length.to_ne_bytes());
    answer[6..8].copy_from_slice(&[0; 2]); // no flags
    answer
}

/// libmnl's own function of that name.
fn real(name: &CStr) -> *mut c_void {
    // SAFETY: a NUL-terminated name; RTLD_NEXT looks behind this binary.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "libmnl has {name:?}");
    found
}

type Sendto = unsafe extern "C" fn(*const c_void, *const c_void, usize) -> isize;
type Recvfrom = unsafe extern "C" fn(*const c_void, *mut c_void, usize) -> isize;

/// # Safety
/// As libmnl's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mnl_socket_sendto(
    socket: *const c_void,
    message: *const c_void,
    length: usize,
) -> isize {
    // SAFETY: the caller's message has that length.
    let request = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), length) };
    let answered = WIRE.with_borrow_mut(|wire| {
        wire.messages += 1;
        wire.bytes += length as u64;
        wire.answer = wire.kernel.and_then(|kernel| kernel(request));
        wire.answer.is_some()
    });
    if answered {
        return length as isize;
    }
    // SAFETY: libmnl's function has this type; the arguments are passed on.
    unsafe {
        std::mem::transmute::<*mut c_void, Sendto>(real(c"mnl_socket_sendto"))(
            socket, message, length,
        )
    }
}

/// # Safety
/// As libmnl's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mnl_socket_recvfrom(
    socket: *const c_void,
    buffer: *mut c_void,
    size: usize,
) -> isize {
    if let Some(answer) = WIRE.with_borrow_mut(|wire| wire.answer.take()) {
        assert!(answer.len() <= size);
        // SAFETY: the caller's buffer has room for `size` bytes.
        unsafe {
            buffer
                .cast::<u8>()
                .copy_from_nonoverlapping(answer.as_ptr(), answer.len())
        };
        return answer.len() as isize;
    }
    // SAFETY: libmnl's function has this type; the arguments are passed on.
    unsafe {
        std::mem::transmute::<*mut c_void, Recvfrom>(real(c"mnl_socket_recvfrom"))(
            socket, buffer, size,
        )
    }
}
