//! Frames handed to the kernel's network stack as if an interface had received them, in the context of the caller: `BPF_PROG_TEST_RUN` of an
//! XDP program with live frames (Linux 5.18, `Documentation/bpf/bpf_prog_run.rst`, `net/bpf/test_run.c`).
//!
//! The program writes the next frame of a table over the one that it is given and passes it on. The table is memory
//! that both share: what each frame is, is decided before the call, and nothing is copied into the kernel within it. All of a frame is
//! written: the page may be one that has been through the stack already, which rewrites addresses of the link.
#![allow(unsafe_code, reason = "bpf(2), and the memory of a map")]

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::netns::NetNs;

/// `enum bpf_cmd`, `enum bpf_map_type`, `enum bpf_prog_type` and flags of include/uapi/linux/bpf.h.
const MAP_CREATE: i64 = 0;
const PROG_LOAD: i64 = 5;
const PROG_TEST_RUN: i64 = 10;
const LINK_CREATE: i64 = 28;
const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const F_MMAPABLE: u32 = 1 << 10;
const F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// `XDP_FLAGS_DRV_MODE` of include/uapi/linux/if_link.h.
const F_DRV_MODE: u32 = 1 << 2;
/// What an XDP program answers: `enum xdp_action`.
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
/// Shortest frame that is not padded (`ETH_ZLEN`).
const SHORTEST: usize = 60;
/// Frames that go through the stack together: what NAPI polls at a time (`NAPI_POLL_WEIGHT` of include/linux/netdevice.h).
pub const NAPI: u32 = 64;

/// The part of `union bpf_attr` that creates a map; what it does not name is zero.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    rest: [u32; 15],
}

/// That which loads a program.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    rest: [u32; 12],
}

/// That which runs one.
#[repr(C)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    rest: u32,
}

/// That which attaches one to an interface.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    rest: [u32; 12],
}

/// `struct xdp_md`.
#[repr(C)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A table of frames of one length, and the program that hands them over.
#[derive(Debug)]
pub struct Frames {
    length: usize,
    stride: usize,
    most: u32,
    together: u32,
    table: Shared,
    /// The number of the next frame, and of the first that is dropped.
    state: Shared,
    program: OwnedFd,
    _attached: Attached,
}

/// Where a program is attached so that it stays in the table of those that XDP calls directly (kernel/bpf/dispatcher.c): one that is
/// attached nowhere is entered and struck out by each call that runs it, and each time the kernel waits until nobody can be in the old table, some
/// 10 ms. An interface whose driver runs XDP itself, and that receives nothing: the generic way (`XDP_FLAGS_SKB_MODE`) would have every packet of
/// the machine pass a test more.
#[derive(Debug)]
pub struct Idle {
    /// The interface's namespace, and with it the interface.
    pub namespace: NetNs,
    /// Its index there.
    pub interface: u32,
}

/// A program where it is attached.
#[derive(Debug)]
struct Attached {
    _link: OwnedFd,
    _to: Idle,
}

impl Frames {
    /// Room for so many frames of so many bytes; their number becomes a power of two. So many go through the stack `together`: [`NAPI`], or up to
    /// 256 (`TEST_XDP_MAX_BATCH` of net/bpf/test_run.c).
    ///
    /// # Errors
    /// The kernel has no `bpf(2)` or does not let this process use it (`EPERM`: it takes `CAP_BPF` and `CAP_NET_ADMIN` of the first user
    /// namespace).
    pub fn new(length: usize, most: u32, together: u32, idle: Idle) -> io::Result<Self> {
        let length = length.max(SHORTEST);
        let most = most.next_power_of_two();
        // The verifier wants accesses of a map's value to be aligned; the kernel rounds it up so as well.
        let stride = length.next_multiple_of(8);
        let table = Shared::new(stride, most)?;
        let state = Shared::new(16, 1)?;
        let program = load(&program(
            table.fd.as_raw_fd(),
            state.fd.as_raw_fd(),
            length,
            most - 1,
        ))?;
        let attached = attach(&program, idle)?;
        Ok(Self {
            length,
            stride,
            most,
            together,
            table,
            state,
            program,
            _attached: attached,
        })
    }

    /// How many frames there is room for.
    #[must_use]
    pub const fn most(&self) -> u32 {
        self.most
    }

    /// Writes a frame to its place; what it is shorter is padded with zeros.
    ///
    /// # Panics
    /// There is no such place, or the frame is longer than those that there is room for.
    pub fn write(&mut self, nth: u32, frame: &[u8]) {
        assert!(nth < self.most && frame.len() <= self.length);
        let from = nth as usize * self.stride;
        let place = &mut self.table.bytes_mut()[from..from + self.length];
        place[..frame.len()].copy_from_slice(frame);
        place[frame.len()..].fill(0);
    }

    /// Hands so many frames over, in order, and from the first again where there are more than places, as if the interface with that index had
    /// received them: they have gone as far as they go when this returns, but for what waits in a queue. The interface is looked for in the
    /// calling thread's network namespace. What the kernel says that it took (`duration`) is not asked: it leaves out what `ksoftirqd` does
    /// for this call.
    ///
    /// # Errors
    /// There is no such interface (`ENODEV`), or this kernel has no live frames (`EINVAL`).
    pub fn hand_over(&mut self, count: u32, interface: u32) -> io::Result<()> {
        self.run(count, count, interface)
    }

    /// The same of frames that the program drops: what handing over takes by itself.
    ///
    /// # Errors
    /// As [`Frames::hand_over`].
    pub fn dropped(&mut self, count: u32, interface: u32) -> io::Result<()> {
        self.run(count, 0, interface)
    }

    fn run(&mut self, count: u32, passed: u32, interface: u32) -> io::Result<()> {
        let (next, limit) = self.state.bytes_mut().split_at_mut(8);
        next.fill(0);
        limit.copy_from_slice(&u64::from(passed).to_ne_bytes());
        let frame = vec![0_u8; self.length];
        let context = Context {
            data: 0,
            data_end: self.length as u32,
            data_meta: 0,
            ingress_ifindex: interface,
            rx_queue_index: 0,
            egress_ifindex: 0,
        };
        let mut attributes = TestRun {
            prog_fd: self.program.as_raw_fd().cast_unsigned(),
            retval: 0,
            data_size_in: self.length as u32,
            data_size_out: 0,
            data_in: frame.as_ptr() as u64,
            data_out: 0,
            repeat: count,
            duration: 0,
            ctx_size_in: size_of::<Context>() as u32,
            ctx_size_out: 0,
            ctx_in: (&raw const context) as u64,
            ctx_out: 0,
            flags: F_TEST_XDP_LIVE_FRAMES,
            cpu: 0,
            batch_size: self.together,
            rest: 0,
        };
        // SAFETY: the attributes, and the frame and the context that they point to, live through the call, with the lengths they say.
        unsafe { bpf(PROG_TEST_RUN, &mut attributes) }?;
        Ok(())
    }
}

/// An array map, and its memory.
#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    memory: NonNull<c_void>,
    length: usize,
}

// SAFETY: the memory is this map's alone in this process, and nothing about it belongs to the thread that mapped it.
unsafe impl Send for Shared {}

impl Shared {
    fn new(value_bytes: usize, entries: u32) -> io::Result<Self> {
        let mut attributes = MapCreate {
            map_type: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: value_bytes as u32,
            max_entries: entries,
            map_flags: F_MMAPABLE,
            ..MapCreate::default()
        };
        // SAFETY: the attributes live through the call.
        let fd = unsafe { bpf(MAP_CREATE, &mut attributes) }?;
        // SAFETY: the kernel has just made it for this process, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let length = value_bytes * entries as usize;
        let mapped = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let memory = unsafe { mmap(None, mapped, access, MapFlags::MAP_SHARED, fd.as_fd(), 0) }?;
        Ok(Self { fd, memory, length })
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are mapped for as long as this lives; the program that writes there runs within a call of `&mut self`'s owner
        // alone.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr().cast(), self.length) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and unmapped here alone. That fails for no reason that could be acted on.
        let _ = unsafe { munmap(self.memory, self.length) };
    }
}

/// # Safety
/// `T` is what the command takes, and what it points to lives through the call.
unsafe fn bpf<T>(command: i64, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: by the caller.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    match done {
        -1 => Err(io::Error::last_os_error()),
        done => Ok(done as RawFd),
    }
}

fn load(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attributes = ProgLoad {
        prog_type: PROG_TYPE_XDP,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        rest: [0; 12],
    };
    // SAFETY: the attributes, the instructions and the licence live through the call.
    let fd = unsafe { bpf(PROG_LOAD, &mut attributes) }?;
    // SAFETY: the kernel has just made it for this process, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(program: &OwnedFd, to: Idle) -> io::Result<Attached> {
    let mut attributes = LinkCreate {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: to.interface,
        attach_type: ATTACH_XDP,
        flags: F_DRV_MODE,
        ..LinkCreate::default()
    };
    // SAFETY: the attributes live through the call.
    let link = to
        .namespace
        .run(|| unsafe { bpf(LINK_CREATE, &mut attributes) })??;
    // SAFETY: the kernel has just made it for this process, and nobody else knows it.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    Ok(Attached {
        _link: link,
        _to: to,
    })
}

/// Takes the number of the next frame and counts it up, looks the frame of that place up, and writes it over the one that it was given; drops
/// those from the limit on. `last`: the last place, all bits one.
fn program(table: RawFd, state: RawFd, length: usize, last: u32) -> Vec<Instruction> {
    use instruction::{
        R0, R1, R2, R6, R7, R8, R9, R10, add, and, call, exit, jump_if_above, jump_if_not_below,
        jump_if_zero, load, map, moved, set, store, value_of,
    };
    /// `bpf_map_lookup_elem`.
    const LOOKUP: i32 = 1;
    /// `data` and `data_end` of `struct xdp_md`.
    const DATA: i16 = 0;
    const DATA_END: i16 = 4;
    let (word, half, quad) = (4, 2, 8);
    let mut copied = Vec::new();
    let mut at = 0;
    for size in [quad, word, half, 1] {
        while length - at >= size {
            copied.push(load(size, R1, R0, at as i16));
            copied.push(store(size, R8, R1, at as i16));
            at += size;
        }
    }
    // From behind a jump to what drops: over what is between, and over what passes a frame on.
    let passing = copied.len() as i16 + 2;
    let looking = [
        call(LOOKUP),
        jump_if_zero(R0, passing + 5),
        load(word, R8, R6, DATA),
        load(word, R9, R6, DATA_END),
        moved(R1, R8),
        add(R1, length as i32),
        jump_if_above(R1, R9, passing),
    ];
    let mut counting = vec![
        moved(R2, R7),
        add(R2, 1),
        store(quad, R1, R2, 0),
        and(R7, last.cast_signed()),
        store(word, R10, R7, -4),
        moved(R2, R10),
        add(R2, -4),
    ];
    counting.extend(map(R1, table));
    let mut code = vec![moved(R6, R1)];
    code.extend(value_of(R1, state));
    code.extend([
        load(quad, R7, R1, 0),
        load(quad, R2, R1, 8),
        jump_if_not_below(R7, R2, (counting.len() + looking.len()) as i16 + passing),
    ]);
    code.extend(counting);
    code.extend(looking);
    code.extend(copied);
    code.extend([set(R0, XDP_PASS), exit(), set(R0, XDP_DROP), exit()]);
    code
}

/// Instructions (`Documentation/bpf/standardization/instruction-set.rst`).
mod instruction {
    use super::{Instruction, RawFd};

    pub(super) const R0: u8 = 0;
    pub(super) const R1: u8 = 1;
    pub(super) const R2: u8 = 2;
    pub(super) const R6: u8 = 6;
    pub(super) const R7: u8 = 7;
    pub(super) const R8: u8 = 8;
    pub(super) const R9: u8 = 9;
    pub(super) const R10: u8 = 10;

    const fn of(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
        Instruction {
            code,
            registers: from << 4 | to,
            offset,
            immediate,
        }
    }

    const fn size(bytes: usize) -> u8 {
        match bytes {
            1 => 0x10,
            2 => 0x08,
            4 => 0x00,
            _ => 0x18,
        }
    }

    pub(super) const fn load(bytes: usize, to: u8, from: u8, offset: i16) -> Instruction {
        of(0x61 | size(bytes), to, from, offset, 0)
    }

    pub(super) const fn store(bytes: usize, to: u8, from: u8, offset: i16) -> Instruction {
        of(0x63 | size(bytes), to, from, offset, 0)
    }

    pub(super) const fn moved(to: u8, from: u8) -> Instruction {
        of(0xbf, to, from, 0, 0)
    }

    pub(super) const fn set(to: u8, value: i32) -> Instruction {
        of(0xb7, to, 0, 0, value)
    }

    pub(super) const fn add(to: u8, value: i32) -> Instruction {
        of(0x07, to, 0, 0, value)
    }

    pub(super) const fn jump_if_zero(register: u8, over: i16) -> Instruction {
        of(0x15, register, 0, over, 0)
    }

    pub(super) const fn jump_if_above(register: u8, other: u8, over: i16) -> Instruction {
        of(0x2d, register, other, over, 0)
    }

    pub(super) const fn jump_if_not_below(register: u8, other: u8, over: i16) -> Instruction {
        of(0x3d, register, other, over, 0)
    }

    pub(super) const fn and(to: u8, value: i32) -> Instruction {
        of(0x57, to, 0, 0, value)
    }

    pub(super) const fn call(helper: i32) -> Instruction {
        of(0x85, 0, 0, 0, helper)
    }

    pub(super) const fn exit() -> Instruction {
        of(0x95, 0, 0, 0, 0)
    }

    /// `BPF_PSEUDO_MAP_FD`: the map itself.
    pub(super) const fn map(to: u8, map: RawFd) -> [Instruction; 2] {
        [of(0x18, to, 1, 0, map), of(0, 0, 0, 0, 0)]
    }

    /// `BPF_PSEUDO_MAP_VALUE`: the address of an array's only value.
    pub(super) const fn value_of(to: u8, map: RawFd) -> [Instruction; 2] {
        [of(0x18, to, 2, 0, map), of(0, 0, 0, 0, 0)]
    }
}
