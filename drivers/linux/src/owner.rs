//! Whose socket it is: the process that made it, remembered in the socket's own storage.
//!
//! The kernel frees the storage with the socket, and a connection that is accepted inherits its listener's owner.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_sk_storage_get};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::SockContext;
use core::ffi::c_void;

/// Who made a socket. In words, which the compiler copies without a loop.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Owner {
    pub pid: u32,
    pub user: u32,
    pub name: [u64; 2],
}

impl Owner {
    /// The name as it travels.
    #[inline(always)]
    pub fn name_bytes(&self) -> [u8; 16] {
        let [first, second] = self.name;
        (u128::from(second) << 64 | u128::from(first)).to_le_bytes()
    }
}

/// `BPF_F_NO_PREALLOC`, which the kernel demands, and `BPF_F_CLONE`: an accepted connection inherits.
const FLAGS: usize = 1 | 1 << 9;

/// The map, as BTF describes one: pointers to arrays stand for numbers. Never read, only its address is used.
#[repr(C)]
struct Sockets {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Owner,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: as said above; what it stands for is the kernel's, and the kernel's helpers share it.
unsafe impl Sync for Sockets {}

impl Sockets {
    const fn new() -> Self {
        const fn none<T>() -> *const T {
            core::ptr::null()
        }
        Self { r#type: none(), key: none(), value: none(), max_entries: none(), map_flags: none() }
    }
}

#[btf_map]
static OWNERS: Sockets = Sockets::new();

/// Remembers the current process as the maker of the socket.
#[inline(always)]
pub fn remember(ctx: &SockContext) {
    let Some(owner) = storage(ctx.sock, BPF_SK_STORAGE_GET_F_CREATE.into()) else { return };
    owner.pid = ctx.tgid();
    owner.user = ctx.uid();
    // SAFETY: 16 bytes of the socket's storage.
    unsafe { bpf_get_current_comm(owner.name.as_mut_ptr().cast(), 16) };
}

/// Who made the socket; zeros if that was not seen.
#[inline(always)]
pub fn of(socket: *mut bpf_sock) -> Owner {
    if socket.is_null() {
        return Owner::default();
    }
    let Some(owner) = storage(socket, 0) else { return Owner::default() };
    // SAFETY: the kernel's storage, as below. Volatile, so that the compiler copies it here, behind the check for null,
    // and computes no address ahead of it: the verifier takes none.
    unsafe { core::ptr::read_volatile(owner) }
}

#[inline(always)]
fn storage<'a>(socket: *mut bpf_sock, flags: u64) -> Option<&'a mut Owner> {
    let owners: *mut c_void = core::ptr::from_ref(&OWNERS).cast_mut().cast();
    // SAFETY: the verifier knows the socket; the kernel checks that it is a whole one.
    let owner =
        unsafe { bpf_sk_storage_get(owners, socket.cast(), core::ptr::null_mut(), flags) }.cast::<Owner>();
    // SAFETY: null, or the kernel's storage for an `Owner`, zeroed when it was made; it outlives the program.
    unsafe { owner.as_mut() }
}
