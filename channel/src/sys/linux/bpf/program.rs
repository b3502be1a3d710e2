//! Programs and their type data: loaded, and run.

use super::{TO_NETFILTER, call, number, owned};
use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const BTF_LOAD: i32 = 18;

/// Type of a netfilter program: `BPF_PROG_TYPE_NETFILTER`.
const NETFILTER: u32 = 32;

#[repr(C)]
struct TypeData {
    data: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    spare: u32,
}

#[repr(C)]
struct Program {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach_type: u32,
    type_data: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
    lines: u64,
    line_count: u32,
    spare: u32,
}

/// A netfilter program, as the kernel is to load it.
#[derive(Debug)]
pub struct NetfilterProgram<'a> {
    /// Name in lists of programs; what does not fit into 15 bytes is left out.
    pub name: &'a str,
    /// Instructions of the program, eight bytes each.
    pub instructions: &'a [u8],
    /// Licence of the program.
    pub license: &'a CStr,
    /// Descriptor of the kernel's of the type data (BTF) that the program was built with.
    pub type_data: BorrowedFd<'a>,
    /// Records that say which function of the type data starts where, and the size of one in bytes.
    pub functions: (&'a [u8], usize),
    /// Records that say which line of the source is where, and the size of one in bytes.
    pub lines: (&'a [u8], usize),
}

#[repr(C)]
struct TestRun {
    program: u32,
    retval: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

/// Loads the type data (BTF) of programs into the kernel.
///
/// # Errors
/// What the kernel says: it is not well formed.
pub fn load_type_data(data: &[u8]) -> io::Result<OwnedFd> {
    call(
        BTF_LOAD,
        &mut TypeData {
            data: data.as_ptr().addr() as u64,
            log: 0,
            size: length(data, 1)?,
            log_size: 0,
            log_level: 0,
            spare: 0,
        },
    )
    .and_then(owned)
}

/// Loads a netfilter program: the kernel checks and takes it. If it is refused, what the verifier says stands in `log`,
/// up to a zero.
///
/// # Errors
/// What the kernel says: its verifier refuses the program.
pub fn load_netfilter(program: &NetfilterProgram<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let NetfilterProgram {
        name,
        instructions,
        license,
        type_data,
        functions,
        lines,
    } = program;
    let mut short = [0; 16];
    let fits = name.len().min(15);
    short[..fits].copy_from_slice(&name.as_bytes()[..fits]);
    call(
        PROG_LOAD,
        &mut Program {
            kind: NETFILTER,
            instruction_count: length(instructions, 8)?,
            instructions: instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            log_level: u32::from(!log.is_empty()),
            log_size: length(log, 1)?,
            log: if log.is_empty() {
                0
            } else {
                log.as_mut_ptr().addr() as u64
            },
            kernel_version: 0,
            flags: 0,
            name: short,
            device: 0,
            attach_type: TO_NETFILTER,
            type_data: number(*type_data),
            function_size: functions.1 as u32,
            functions: functions.0.as_ptr().addr() as u64,
            function_count: length(functions.0, functions.1)?,
            line_size: lines.1 as u32,
            lines: lines.0.as_ptr().addr() as u64,
            line_count: length(lines.0, lines.1)?,
            spare: 0,
        },
    )
    .and_then(owned)
}

/// Returns the number of entries of this size.
fn length(bytes: &[u8], size: usize) -> io::Result<u32> {
    let count = bytes.len().checked_div(size).unwrap_or(0);
    u32::try_from(count).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Runs a program once on `data`, as if it were a packet, and returns what the program returned. The program's changes
/// are in `data` afterwards.
///
/// # Errors
/// What the kernel says.
pub fn run(program: BorrowedFd<'_>, data: &mut [u8]) -> io::Result<u32> {
    let (size, at) = (data.len() as u32, data.as_mut_ptr().addr() as u64);
    let mut attr = TestRun {
        program: number(program),
        retval: 0,
        size_in: size,
        size_out: size,
        data_in: at,
        data_out: at,
        repeat: 1,
        duration: 0,
        ctx_size_in: 0,
        ctx_size_out: 0,
        ctx_in: 0,
        ctx_out: 0,
    };
    call(PROG_TEST_RUN, &mut attr)?;
    Ok(attr.retval)
}
