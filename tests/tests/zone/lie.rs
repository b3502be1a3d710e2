//! Position in an app's page of its ring, written as no honest reader would.

use channel::Attachment;
use channel::sys::linux::Linux;
use std::os::fd::AsRawFd;

const PAGE: usize = 4096;

/// Writes into an app's page that it has read up to this position.
pub fn pretend(app: &Attachment<Linux>, position: u64) {
    with_page(app, 0, libc::PROT_READ | libc::PROT_WRITE, |page| {
        // SAFETY: within the page, aligned, and nobody in this process holds a reference to it.
        unsafe { page.write_volatile(position) };
    });
}

/// Up to where the driver has written.
pub fn written(app: &Attachment<Linux>) -> u64 {
    let mut position = 0;
    with_page(app, 1, libc::PROT_READ, |page| {
        // SAFETY: as above.
        position = unsafe { page.read_volatile() };
    });
    position
}

fn with_page(app: &Attachment<Linux>, number: usize, rights: i32, work: impl FnOnce(*mut u64)) {
    let ring = app.event().system().descriptor().unwrap();
    let (at, offset) = (std::ptr::null_mut(), (number * PAGE).try_into().unwrap());
    // SAFETY: a new mapping of one of the ring's pages, with rights that the kernel gives its reader.
    let page = unsafe { libc::mmap(at, PAGE, rights, libc::MAP_SHARED, ring.as_raw_fd(), offset) };
    assert_ne!(page, libc::MAP_FAILED);
    work(page.cast());
    // SAFETY: made above, and not used any more.
    unsafe { libc::munmap(page, PAGE) };
}
