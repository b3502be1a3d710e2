//! A tripwire: signals when a program opens the file of this name.
#![no_std]
#![no_main]
#![expect(
    missing_docs,
    reason = "aya's macros write functions without the comments of ours"
)]

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_probe_read_user_str;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use channel::driver::ebpf;
use core::ptr::read_volatile;
use tripwire_record::{NAME_WORDS, OPENED, Opened};

/// Name of the file. The app sets it before the driver is loaded.
#[unsafe(no_mangle)]
static NAME: [u64; NAME_WORDS] = [0; NAME_WORDS];

/// Runs as a program asks to open a file; /sys/kernel/tracing/events/syscalls/sys_enter_openat/format has the places of
/// its arguments.
#[tracepoint(category = "syscalls", name = "sys_enter_openat")]
pub fn opens(ctx: TracePointContext) -> u32 {
    let mut name = [0u64; NAME_WORDS];
    // SAFETY: the third word after the event's own two is the name's address.
    let Ok(asked) = (unsafe { ctx.read_at::<u64>(24) }) else {
        return 0;
    };
    // SAFETY: the helper writes into `name` at most its size, and checks what it reads.
    unsafe {
        bpf_probe_read_user_str(
            name.as_mut_ptr().cast(),
            8 * NAME_WORDS as u32,
            asked as *const _,
        )
    };
    // SAFETY: initialised, aligned, and never written while the driver is loaded.
    if (0..NAME_WORDS).all(|word| name[word] == unsafe { read_volatile(&NAME[word]) }) {
        let (pid, user) = (ctx.tgid(), ctx.uid());
        ebpf::offer(OPENED, user, |opened: &mut Opened| {
            (opened.pid, opened.user) = (pid, user)
        });
    }
    0
}

#[used]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
