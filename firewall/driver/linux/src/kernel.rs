//! Looking into the kernel's own structures, at the offsets that its type data gave the service.

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use core::arch::asm;
use core::ffi::c_void;
use core::mem::MaybeUninit;

/// The offset of one field in the kernel's structures, as `Offsets` names it.
/// The verifier knows it for the number that it is.
macro_rules! offset {
    ($($name:ident).+) => {
        crate::kernel::word::<
            { core::mem::offset_of!(firewall_abi::firewall::Offsets, $($name).+) / 4 },
        >()
    };
}
pub(crate) use offset;

/// One of the words of `Offsets`: the service writes it into this very instruction as it loads the driver, in the place
/// of its index and a mark. A table of them would be a look into memory for each.
#[inline(always)]
pub fn word<const AT: usize>() -> u64 {
    const MARK: usize = 0x6B66_0000;
    let word: u64;
    // SAFETY: it loads a number into a register.
    unsafe {
        asm!(
            "{word} = {mark}",
            word = out(reg) word,
            mark = const MARK | AT,
            options(nomem, nostack),
        );
    }
    word
}

/// The current thread, as the kernel sees it.
pub struct Task {
    address: u64,
}

impl Task {
    /// The current one; `None` if the kernel did not say where to look.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        if offset!(known) == 0 {
            return None;
        }
        // SAFETY: the helper has no preconditions.
        let address = unsafe { bpf_get_current_task() };
        Some(Self { address })
    }

    /// The program that it runs, as [`firewall_abi::packet::PacketMeta::program`]; zeros for one of the kernel's own.
    #[inline(always)]
    pub fn program(&self) -> [u64; 2] {
        self.find_program().unwrap_or([0; 2])
    }

    #[inline(always)]
    pub fn find_program(&self) -> Option<[u64; 2]> {
        let file = follow(self.memory()?, offset!(mm_exe_file))?;
        let inode = follow(file, offset!(file_inode))?;
        let number = peek(inode, offset!(inode_number));
        let super_block = follow(inode, offset!(inode_super_block))?;
        // No device has the number 0.
        let device: u32 = peek(super_block, offset!(super_block_device));
        (device != 0).then_some([device.into(), number])
    }

    /// The process that waits for its end; 0 if that is not known.
    #[inline(always)]
    pub fn parent(&self) -> u32 {
        peek(peek(self.address, offset!(task_parent)), offset!(task_tgid))
    }

    /// Returns the exit code of the task's process, as `wait` has it. Once its last thread ends, the kernel knows.
    #[inline(always)]
    pub fn exit_code(&self) -> u32 {
        self.signal()
            .map_or(0, |signal| peek(signal, offset!(signal_exit_code)))
    }

    /// Returns the number of threads of the task's process that have not begun to end.
    #[inline(always)]
    pub fn live(&self) -> Option<u32> {
        read(self.signal()?, offset!(signal_live))
    }

    /// Returns the start of the task's process, in nanoseconds of the clock that includes sleep: with the process's
    /// number, no other's.
    #[inline(always)]
    pub fn process_began(&self) -> Option<u64> {
        read(self.leader()?, offset!(task_started))
    }

    /// The name of its process: the first thread's, also once that has ended.
    #[inline(always)]
    pub fn process_name(&self) -> Option<[u64; 2]> {
        read(self.leader()?, offset!(task_name))
    }

    /// Returns the start and the end of the process's arguments, in its own memory.
    #[inline(always)]
    pub fn arguments(&self) -> Option<(u64, u64)> {
        let memory = self.memory()?;
        Some((
            read(memory, offset!(mm_arg_start))?,
            read(memory, offset!(mm_arg_end))?,
        ))
    }

    #[inline(always)]
    fn leader(&self) -> Option<u64> {
        follow(self.address, offset!(task_leader))
    }

    #[inline(always)]
    fn signal(&self) -> Option<u64> {
        follow(self.address, offset!(task_signal))
    }

    #[inline(always)]
    fn memory(&self) -> Option<u64> {
        follow(self.address, offset!(task_mm))
    }
}

/// Reads a field of a structure that the kernel vouches for: of the packet and the hook that a
/// program of netfilter is called for.
///
/// # Safety
/// The verifier knows the structure, and has such a field at this offset.
#[inline(always)]
pub unsafe fn field<T>(structure: *const c_void, offset: u64) -> T {
    // SAFETY: as said above, within the structure.
    let field = unsafe { structure.byte_add(offset as usize) }.cast::<T>();
    // SAFETY: as said above. Volatile: the verifier takes no other width than the field's.
    unsafe { field.read_volatile() }
}

/// A number as it lies in the kernel's memory.
pub trait Number: Sized {
    /// Loads it without a call, by an instruction that the kernel guards; 0 if the address is none.
    fn load(at: u64) -> Self;
}

macro_rules! numbers {
    ($($number:ident: $load:literal;)+) => {$(
        impl Number for $number {
            #[inline(always)]
            fn load(at: u64) -> Self {
                let number: u64;
                // SAFETY: `bpf_rdonly_cast(at, type)`, whose number the loader writes in: whatever the address, it is
                // taken for that of a structure that begins with 64 bits.
                // The kernel makes a move of the call, and guards the load.
                unsafe {
                    asm!(
                        ".byte 0x85, 0x20, 0, 0, 3, 0, 0x66, 0x6b",
                        $load,
                        inlateout("r1") at => _,
                        inlateout("r2") offset!(number_type) => _,
                        lateout("r3") _,
                        lateout("r4") _,
                        lateout("r5") _,
                        lateout("r0") number,
                        options(readonly, nostack),
                    );
                }
                number as $number
            }
        }
    )+};
}

numbers! {
    u8: "r0 = *(u8 *)(r0 + 0)";
    u16: "r0 = *(u16 *)(r0 + 0)";
    u32: "r0 = *(u32 *)(r0 + 0)";
    u64: "r0 = *(u64 *)(r0 + 0)";
}

/// Reads a number of the kernel's, where 0 says as little as an address that is none does.
#[inline(always)]
pub fn peek<T: Number>(structure: u64, offset: u64) -> T {
    T::load(structure + offset)
}

/// Reads a pointer of the kernel's; none: there is none, or the address is none.
#[inline(always)]
pub fn follow(structure: u64, offset: u64) -> Option<u64> {
    Some(peek(structure, offset)).filter(|pointer| *pointer != 0)
}

/// Reads a number of the kernel's. An address that is none is an error, not a crash. A call: dearer than [`peek`].
#[inline(always)]
pub fn read<T>(structure: u64, offset: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let at = (structure + offset) as *const c_void;
    // SAFETY: the helper checks the address, and `value` has room for what is asked for.
    let failed =
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, at) };
    // SAFETY: written; used for integers alone, of which any bytes are one.
    (failed == 0).then(|| unsafe { value.assume_init() })
}

/// Reads a value of the kernel's into a variable; false: the address is none.
#[inline(always)]
pub fn read_into<T>(structure: u64, offset: u64, to: &mut T) -> bool {
    let at = (structure + offset) as *const c_void;
    // SAFETY: the helper checks the address, and there is room for what is asked for:
    // numbers alone, of which any bytes are one.
    unsafe { bpf_probe_read_kernel(core::ptr::from_mut(to).cast(), size_of::<T>() as u32, at) == 0 }
}
