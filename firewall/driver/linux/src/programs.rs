//! Paths of programs, by which each was first seen to be started, so that records need name its file only.

use aya_ebpf::btf_maps::LruHashMap;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::btf_map;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use firewall_abi::firewall::MAX_PROGRAMS;
use firewall_abi::process::PATH_BYTES;

/// A path in words, for the compiler's sake; what follows its final zero means nothing.
type Path = [u64; PATH_BYTES / 8];

/// Paths by [`firewall_abi::packet::PacketMeta::program`]. The service adds those that ran before the driver did.
#[btf_map]
static PROGRAMS: LruHashMap<[u64; 2], Path, MAX_PROGRAMS> = LruHashMap::new();

/// Remembers the path by which a program was started.
#[inline(always)]
pub fn remember(program: [u64; 2], path: *const c_void) {
    // SAFETY: nothing is changed.
    if program == [0; 2] || unsafe { PROGRAMS.get(program) }.is_some() {
        return;
    }
    let mut bytes = MaybeUninit::<Path>::uninit();
    // SAFETY: the helper writes at most as many bytes as there are, and checks what it reads.
    let length =
        unsafe { bpf_probe_read_kernel_str(bytes.as_mut_ptr().cast(), PATH_BYTES as u32, path) };
    if length > 0 {
        // SAFETY: the kernel sees to it that all of it was written before it reads it.
        let _no_room = PROGRAMS.insert(program, unsafe { bytes.assume_init_ref() }, 0);
    }
}
