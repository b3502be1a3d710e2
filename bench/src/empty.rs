//! A program that does nothing, to be measured beside ours: `return 0`. The one place with a system call of our own, because no
//! library loads bare instructions.
#![expect(
    unsafe_code,
    reason = "the system call bpf() and its descriptor; see above"
)]

use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PROG_LOAD: i32 = 5;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const CLASSIFIER: u32 = 3;
/// `r0 = 0` and `exit`, as `struct bpf_insn`.
const NOTHING: [u64; 2] = [0xB7, 0x95];

/// The start of `union bpf_attr` for this call; the kernel takes the rest as zero.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log: [u32; 2],
    log_at: u64,
}

/// The loaded program. Dropped, it is gone.
pub struct Empty {
    _descriptor: OwnedFd,
    id: u32,
}

impl Empty {
    /// Loads it.
    pub fn load() -> Result<Self> {
        let licence = c"Dual MIT/GPL";
        let mut load = Load {
            kind: CLASSIFIER,
            instructions: NOTHING.len() as u32,
            code: NOTHING.as_ptr().addr() as u64,
            licence: licence.as_ptr().addr() as u64,
            log: [0; 2],
            log_at: 0,
        };
        // SAFETY: the start of the union for this command, all of it initialised; the code and the licence outlive the call.
        let made =
            unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw mut load, size_of::<Load>()) };
        if made < 0 {
            return Err(io::Error::last_os_error()).context("the kernel loads no program");
        }
        let made = i32::try_from(made).context("a descriptor is a small number")?;
        // SAFETY: the kernel has just made this descriptor for us.
        let descriptor = unsafe { OwnedFd::from_raw_fd(made) };
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()))?;
        let id = told
            .lines()
            .find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
        Ok(Self {
            _descriptor: descriptor,
            id: id.context("the program has no number")?,
        })
    }

    /// Its number in the machine.
    pub fn id(&self) -> u32 {
        self.id
    }
}
