//! Mount of tracefs: the kernel names its tracepoints in this file system, which need not be mounted.

use std::ffi::CStr;
use std::io;
use std::path::Path;

const PLACE: &CStr = c"/sys/kernel/tracing";

/// Runs `work` where tracefs is mounted: here, or in a mount namespace that only a thread of ours sees.
pub fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if Path::new("/sys/kernel/tracing/events").exists()
        || Path::new("/sys/kernel/debug/tracing/events").exists()
    {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| mount().map(|()| work()));
        thread.join().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the thread that mounts tracefs ended early",
            ))
        })
    })
}

fn mount() -> io::Result<()> {
    // SAFETY: changes this thread's view of the mounts alone, and the thread ends soon.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // Nothing that is mounted here shall show elsewhere.
    mount_at(c"none", c"/", None, libc::MS_REC | libc::MS_PRIVATE)?;
    mount_at(c"tracefs", PLACE, Some(c"tracefs"), 0)
}

fn mount_at(
    source: &CStr,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: strings that end in zero and outlive the call; no data.
    done(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind,
            flags,
            std::ptr::null(),
        )
    })
}

fn done(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
