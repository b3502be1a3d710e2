//! Stand-in for `PsSetCreateProcessNotifyRoutineEx`, which calls back.

use crate::wine;
use channel::driver::wdm::nt::{
    self, EPROCESS, HANDLE, NTSTATUS, PS_CREATE_NOTIFY_INFO, ProcessNotify, UNICODE_STRING,
};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

/// Time between two looks at the list of processes, in milliseconds.
const LOOK_EVERY_MS: u32 = 5;
const MOST_PROCESSES: usize = 512;
const SYSTEM_PROCESSES: u32 = 5;

/// State of the routine that is registered: what it knows of. Behind a lock that is held during calls, so that a
/// routine that was removed is not called any more, as on Windows.
struct Watch {
    lock: UnsafeCell<usize>,
    state: UnsafeCell<State>,
}

struct State {
    routine: Option<ProcessNotify>,
    known: [u32; MOST_PROCESSES],
    count: usize,
    list: [u64; 32 * 1024],
}

// SAFETY: the state is only touched with the lock held.
unsafe impl Sync for Watch {}

static WATCH: Watch = Watch {
    lock: UnsafeCell::new(0),
    state: UnsafeCell::new(State {
        routine: None,
        known: [0; MOST_PROCESSES],
        count: 0,
        list: [0; 32 * 1024],
    }),
};
static LOOKING: AtomicBool = AtomicBool::new(false);

/// Registers a routine, or removes it: one at a time.
pub unsafe extern "system" fn notify(routine: ProcessNotify, remove: u8) -> NTSTATUS {
    with_state(|state| {
        if remove != 0 {
            state.routine = None;
        } else {
            state.look(None);
            state.routine = Some(routine);
        }
    });
    if !LOOKING.swap(true, Ordering::SeqCst) {
        // SAFETY: the thread runs for ever, and this driver is never unloaded.
        unsafe { wine::CreateThread(null_mut(), 0, look_for_ever, null_mut(), 0, null_mut()) };
    }
    nt::STATUS_SUCCESS
}

fn with_state<R>(run: impl FnOnce(&mut State) -> R) -> R {
    // SAFETY: a static lock.
    unsafe { wine::AcquireSRWLockExclusive(WATCH.lock.get()) };
    // SAFETY: the lock is held.
    let result = run(unsafe { &mut *WATCH.state.get() });
    // SAFETY: held.
    unsafe { wine::ReleaseSRWLockExclusive(WATCH.lock.get()) };
    result
}

unsafe extern "system" fn look_for_ever(_: *mut core::ffi::c_void) -> u32 {
    loop {
        with_state(|state| {
            if let Some(routine) = state.routine {
                state.look(Some(routine));
            }
        });
        // SAFETY: plain number.
        unsafe { wine::Sleep(LOOK_EVERY_MS) };
    }
}

impl State {
    /// Compares the list of processes with what is known; tells the routine, if any, of what changed.
    fn look(&mut self, routine: Option<ProcessNotify>) {
        let (bytes, list) = (size_of_val(&self.list) as u32, self.list.as_mut_ptr());
        // SAFETY: as many bytes as are said.
        let status = unsafe {
            wine::NtQuerySystemInformation(SYSTEM_PROCESSES, list.cast(), bytes, null_mut())
        };
        if status < 0 {
            return;
        }
        let (mut seen, mut count, mut at) = ([0_u32; MOST_PROCESSES], 0, 0_usize);
        loop {
            // SYSTEM_PROCESS_INFORMATION: next entry at 0, image name at 0x38, process at 0x50, its parent at 0x58.
            let (next, pid, parent) = (
                self.word(at) as u32,
                self.word(at + 0x50) as u32,
                self.word(at + 0x58) as u32,
            );
            // One without a name is just being made: it is looked at again.
            let name = self.word(at + 0x38) as u16;
            if count < MOST_PROCESSES && (name != 0 || routine.is_none()) {
                seen[count] = pid;
                count += 1;
            }
            if let Some(routine) = routine
                && name != 0
                && !self.known[..self.count].contains(&pid)
            {
                started(routine, pid, parent, name, self.word(at + 0x40));
            }
            if next == 0 {
                break;
            }
            at += next as usize;
        }
        for pid in &self.known[..self.count] {
            if let Some(routine) = routine
                && !seen[..count].contains(pid)
            {
                // SAFETY: registered, and not removed: the lock is held.
                unsafe {
                    routine(
                        *pid as usize as *mut EPROCESS,
                        *pid as usize as HANDLE,
                        core::ptr::null(),
                    );
                };
            }
        }
        (self.known, self.count) = (seen, count);
    }

    /// Reads eight bytes of the list: Wine's entries start anywhere, also at odd places.
    fn word(&self, at: usize) -> u64 {
        assert!(at + 8 <= size_of_val(&self.list));
        // SAFETY: within the list.
        let place = unsafe { self.list.as_ptr().cast::<u8>().add(at) };
        // SAFETY: as above.
        unsafe { place.cast::<u64>().read_unaligned() }
    }
}

fn started(routine: ProcessNotify, pid: u32, parent: u32, bytes: u16, text: u64) {
    // Wine's text may start at an odd place too; drivers may count on Windows' alignment.
    let mut aligned = [0_u16; 260];
    let length = usize::from(bytes / 2).min(aligned.len());
    for (n, unit) in aligned[..length].iter_mut().enumerate() {
        // SAFETY: within the text.
        let place = unsafe { (text as *const u16).add(n) };
        // SAFETY: as above.
        *unit = unsafe { place.read_unaligned() };
    }
    let bytes = (length * 2) as u16;
    let name = UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: aligned.as_ptr(),
    };
    let start = PS_CREATE_NOTIFY_INFO {
        Size: size_of::<PS_CREATE_NOTIFY_INFO>(),
        Flags: 0,
        ParentProcessId: parent as usize as HANDLE,
        CreatingThreadId: [null_mut(); 2],
        FileObject: null_mut(),
        ImageFileName: &raw const name,
        CommandLine: core::ptr::null(),
        CreationStatus: 0,
    };
    // SAFETY: registered, and not removed: the lock is held.
    unsafe {
        routine(
            pid as usize as *mut EPROCESS,
            pid as usize as HANDLE,
            &raw const start,
        );
    };
}
