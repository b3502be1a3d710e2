//! Threads of this process that end as few programs have them end.

use gatebell_tests::PATIENCE;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{fs, io};

/// Ends the thread with which this process began, and no other. Returns once it has ended.
pub fn end_of_the_first() -> io::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(end_this),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler makes one system call, which is safe in one.
    unsafe { sigaction(Signal::SIGUSR1, &action)? };
    let first = std::process::id() as i32;
    // SAFETY: numbers alone.
    if unsafe { libc::syscall(libc::SYS_tgkill, first, first, libc::SIGUSR1) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let end = Instant::now() + PATIENCE;
    while !has_ended(first)? {
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

extern "C" fn end_this(_: i32) {
    // SAFETY: ends the calling thread. Nothing waits for what it has on its stack:
    // the harness's main thread only waits itself.
    unsafe { libc::syscall(libc::SYS_exit, 3) };
}

fn has_ended(thread: i32) -> io::Result<bool> {
    Ok(fs::read_to_string(format!("/proc/self/task/{thread}/stat"))?.contains(") Z "))
}

/// Many threads, which all end with the process.
pub fn together() -> ! {
    const THREADS: usize = 8;
    let all = Arc::new(Barrier::new(THREADS + 1));
    for _ in 0..THREADS {
        let all = all.clone();
        std::thread::spawn(move || {
            all.wait();
            std::thread::sleep(Duration::from_secs(60));
        });
    }
    all.wait();
    std::process::exit(7);
}
