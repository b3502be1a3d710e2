//! Looking into the kernel's own structures, at the offsets that its type data gave the service.

use aya_ebpf::Global;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use core::mem::MaybeUninit;
use firewall_abi::firewall::{OffsetWords, Offsets};

/// Set by the service as it loads the driver.
#[unsafe(no_mangle)]
static OFFSETS: Global<OffsetWords> = Global::new([0; size_of::<OffsetWords>() / 4]);

/// The current thread, as the kernel sees it.
pub struct Task {
    address: u64,
    offsets: Offsets,
}

impl Task {
    /// The current one; `None` if the kernel did not say where to look.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        let offsets: Offsets = zerocopy::transmute!(OFFSETS.load());
        if offsets.known == 0 {
            return None;
        }
        // SAFETY: the helper has no preconditions.
        let address = unsafe { bpf_get_current_task() };
        Some(Self { address, offsets })
    }

    /// The program that it runs, as [`firewall_abi::packet::Local::program`]; zeros for one of the kernel's own.
    #[inline(always)]
    pub fn program(&self) -> [u64; 2] {
        self.find_program().unwrap_or([0; 2])
    }

    #[inline(always)]
    fn find_program(&self) -> Option<[u64; 2]> {
        let Offsets {
            mm_exe_file,
            file_inode,
            inode_number,
            inode_super_block,
            super_block_device,
            ..
        } = self.offsets;
        let file: u64 = read(self.memory()?, mm_exe_file)?;
        let inode: u64 = read(file, file_inode)?;
        let number: u64 = read(inode, inode_number)?;
        let super_block: u64 = read(inode, inode_super_block)?;
        let device: u32 = read(super_block, super_block_device)?;
        Some([device.into(), number])
    }

    /// The process that waits for its end; 0 if that is not known.
    #[inline(always)]
    pub fn parent(&self) -> u32 {
        let Some(parent) = read::<u64>(self.address, self.offsets.task_parent) else {
            return 0;
        };
        read(parent, self.offsets.task_tgid).unwrap_or(0)
    }

    /// How its process ended, as `wait` has it. Once its last thread ends, the kernel knows.
    #[inline(always)]
    pub fn exit_code(&self) -> u32 {
        self.signal()
            .and_then(|signal| read(signal, self.offsets.signal_exit_code))
            .unwrap_or(0)
    }

    /// How many threads of its process have not begun to end.
    #[inline(always)]
    pub fn live(&self) -> Option<u32> {
        read(self.signal()?, self.offsets.signal_live)
    }

    /// Where `sched_process_exit` says whether this thread is the last one.
    #[inline(always)]
    pub fn last_is_said_at(&self) -> Option<usize> {
        let at = self.offsets.exit_group_dead;
        (at != 0).then_some(at as usize)
    }

    /// When its process began, in nanoseconds of the clock that includes sleep: with the process's number, no other's.
    #[inline(always)]
    pub fn process_began(&self) -> Option<u64> {
        read(self.leader()?, self.offsets.task_started)
    }

    /// The name of its process: the first thread's, also once that has ended.
    #[inline(always)]
    pub fn process_name(&self) -> Option<[u64; 2]> {
        read(self.leader()?, self.offsets.task_name)
    }

    /// Where its arguments start and end, in its own memory.
    #[inline(always)]
    pub fn arguments(&self) -> Option<(u64, u64)> {
        let memory = self.memory()?;
        Some((
            read(memory, self.offsets.mm_arg_start)?,
            read(memory, self.offsets.mm_arg_end)?,
        ))
    }

    #[inline(always)]
    fn leader(&self) -> Option<u64> {
        read(self.address, self.offsets.task_leader)
    }

    #[inline(always)]
    fn signal(&self) -> Option<u64> {
        read(self.address, self.offsets.task_signal)
    }

    #[inline(always)]
    fn memory(&self) -> Option<u64> {
        read(self.address, self.offsets.task_mm)
    }
}

/// Reads a number of the kernel's. An address that is none is an error, not a crash.
#[inline(always)]
fn read<T>(structure: u64, offset: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let at = (structure + u64::from(offset)) as *const core::ffi::c_void;
    // SAFETY: the helper checks the address, and `value` has room for what is asked for.
    let failed =
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, at) };
    // SAFETY: written; used for integers alone, of which any bytes are one.
    (failed == 0).then(|| unsafe { value.assume_init() })
}
