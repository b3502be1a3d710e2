//! Programs of a few instructions that stand in the IP stack, to be measured by and to be measured beside. The one
//! place with a system call of our own, because no library loads bare instructions or attaches to netfilter.
#![expect(
    unsafe_code,
    reason = "the system call bpf() and its descriptors; see above"
)]

use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const LINK_CREATE: i32 = 28;
/// `BPF_PROG_TYPE_NETFILTER` and `BPF_NETFILTER`.
const NETFILTER: u32 = 32;
const AT_NETFILTER: u32 = 45;
/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;

/// One of the kernel's calls, on the start of `union bpf_attr` for it: the kernel takes the rest as zero.
fn call<T>(command: i32, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: the start of the union for this command, all of it initialised; what it points to outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(done)
}

/// Makes a `bpf` call that returns a new descriptor.
fn make<T>(command: i32, attributes: &mut T) -> Result<OwnedFd> {
    let made = call(command, attributes)?;
    let made = i32::try_from(made).context("a descriptor is a small number")?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// An instruction: `struct bpf_insn`.
#[derive(Clone, Copy)]
pub struct Instruction(u64);

impl Instruction {
    /// Encodes an instruction of these parts, as the kernel's header names them.
    pub const fn of(code: u8, to: u8, from: u8, offset: i16, number: i32) -> Self {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = number.to_le_bytes();
        Self(u64::from_le_bytes([
            code,
            to | from << 4,
            low,
            high,
            a,
            b,
            c,
            d,
        ]))
    }
}

#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log: [u32; 2],
    log_at: u64,
    version_and_flags: [u32; 2],
    name: [u8; 16],
    device: u32,
    attaches: u32,
}

#[repr(C)]
struct Attach {
    program: u32,
    target: u32,
    attaches: u32,
    flags: u32,
    family: u32,
    hook: u32,
    priority: i32,
    netfilter_flags: u32,
}

/// A program of netfilter. Dropped, it is gone.
pub struct Program(OwnedFd);

impl Program {
    /// Has the kernel take it.
    pub fn load(code: &[Instruction]) -> Result<Self> {
        let code: Vec<u64> = code.iter().map(|instruction| instruction.0).collect();
        let mut load = Load {
            kind: NETFILTER,
            instructions: u32::try_from(code.len())?,
            code: code.as_ptr().addr() as u64,
            licence: c"Dual MIT/GPL".as_ptr().addr() as u64,
            log: [0; 2],
            log_at: 0,
            version_and_flags: [0; 2],
            name: [0; 16],
            device: 0,
            attaches: AT_NETFILTER,
        };
        make(PROG_LOAD, &mut load)
            .map(Self)
            .context("the kernel takes no program of netfilter")
    }

    /// Returns the kernel's identifier of the program.
    pub fn id(&self) -> Result<u32> {
        id(self.0.as_raw_fd(), "prog_id:")
    }

    /// Has it called in the IP stack, in the network namespace of who calls this, until what is returned is dropped.
    pub fn stand(&self, place: Place) -> Result<OwnedFd> {
        let mut attach = Attach {
            program: self.0.as_raw_fd().cast_unsigned(),
            target: 0,
            attaches: AT_NETFILTER,
            flags: 0,
            family: place.family,
            hook: place.hook,
            priority: place.priority,
            netfilter_flags: 0,
        };
        make(LINK_CREATE, &mut attach).context("the kernel has no place for a program of netfilter")
    }
}

#[repr(C)]
struct TestRun {
    program: u32,
    returned: u32,
    bytes: u32,
    room: u32,
    packet: u64,
    result: u64,
    repeat: u32,
    mean_ns: u32,
}

/// Runs a program that classifies packets so many times, one after the other, on this thread's processor. Returns how
/// long one run took, the mean of all, in whole nanoseconds.
pub fn run(program: BorrowedFd<'_>, times: u32) -> Result<Duration> {
    // What a frame has to have.
    let packet = [0_u8; 64];
    let mut run = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        returned: 0,
        bytes: packet.len() as u32,
        room: 0,
        packet: packet.as_ptr().addr() as u64,
        result: 0,
        repeat: times,
        mean_ns: 0,
    };
    call(PROG_TEST_RUN, &mut run).context("the kernel does not run the program")?;
    Ok(Duration::from_nanos(run.mean_ns.into()))
}

/// The kernel's number of a map.
pub fn map_id(map: BorrowedFd<'_>) -> Result<u32> {
    id(map.as_raw_fd(), "map_id:")
}

fn id(descriptor: i32, name: &str) -> Result<u32> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
    let id = told.lines().find_map(|line| line.strip_prefix(name));
    Ok(id
        .with_context(|| format!("the kernel tells no {name}"))?
        .trim()
        .parse()?)
}

/// Place of a program in the IP stack.
#[derive(Clone, Copy)]
pub struct Place {
    /// `NFPROTO_`
    pub family: u32,
    /// `NF_INET_`
    pub hook: u32,
    /// Priority at the hook: programs run in its order.
    pub priority: i32,
}

#[repr(C)]
struct MakeMap {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
}

#[repr(C)]
struct LookUp {
    map: u32,
    spare: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Numbers of the kernel's that programs write.
pub struct Numbers(OwnedFd);

/// Number of the values that a program has on one processor.
pub const EACH: usize = 3;

impl Numbers {
    /// Creates an array with [`EACH`] numbers for each entry.
    pub fn make(entries: u32) -> Result<Self> {
        let mut map = MakeMap {
            kind: ARRAY,
            key: 4,
            value: size_of::<[u64; EACH]>() as u32,
            entries,
        };
        make(MAP_CREATE, &mut map)
            .map(Self)
            .context("the kernel makes no map")
    }

    /// Returns the descriptor of the map, as an instruction names it.
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Reads the numbers of one entry.
    pub fn read(&self, mut key: u32) -> Result<[u64; EACH]> {
        let mut value = [0_u64; EACH];
        let mut look_up = LookUp {
            map: self.0.as_raw_fd().cast_unsigned(),
            spare: 0,
            key: (&raw mut key).addr() as u64,
            value: (&raw mut value).expose_provenance() as u64,
            flags: 0,
        };
        call(MAP_LOOKUP_ELEM, &mut look_up).context("reading what programs wrote")?;
        Ok(value)
    }
}
