//! Users of processes, by their tokens.

use super::Nt;
use super::nt::{self, EPROCESS, NTSTATUS};
use crate::driver::table::{About, Opener};
use core::ffi::c_void;
use core::ptr::null_mut;

/// Length of the longest security identifier, in bytes: eight bytes, and fifteen numbers.
const LONGEST: usize = 68;

/// Identity of a user: a security identifier, and zeroes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sid([u8; LONGEST]);

/// Returns the opener of a device: the user of the process that asks. At PASSIVE_LEVEL, in its context.
pub(super) fn opener() -> Result<Opener<Sid>, NTSTATUS> {
    // SAFETY: no arguments; the process lives as long as its thread runs this.
    let process = unsafe { nt::IoGetCurrentProcess() };
    let token = Token::of(process);
    Ok(Opener {
        user: token.user()?,
        administrator: token.is_administrators(),
    })
}

/// Returns the subject of a record about this process: its user. At PASSIVE_LEVEL.
///
/// # Safety
/// `process` is a process object, alive during the call: a process callback's is.
#[must_use]
pub unsafe fn about(process: *mut EPROCESS) -> About<<Nt as crate::driver::table::Platform>::User> {
    Token::of(process)
        .user()
        .map_or(About::Unknown, About::User)
}

/// A counted reference on a process's primary token.
struct Token(*mut c_void);

impl Token {
    fn of(process: *mut EPROCESS) -> Self {
        // SAFETY: a live process; it has a token as long as it lives.
        Self(unsafe { nt::PsReferencePrimaryToken(process) })
    }

    fn user(&self) -> Result<Sid, NTSTATUS> {
        let mut found: *mut nt::TOKEN_USER = null_mut();
        // SAFETY: a referenced token; the kernel allocates what it writes to `found`, on success only.
        nt::check(unsafe {
            nt::SeQueryInformationToken(self.0, nt::TOKEN_USER_CLASS, (&raw mut found).cast())
        })?;
        // SAFETY: allocated and filled by the kernel.
        let sid = unsafe { &*found }.Sid;
        let copied = copy(sid);
        // SAFETY: allocated for us, freed once.
        unsafe { nt::ExFreePoolWithTag(found.cast(), 0) };
        copied
    }

    fn is_administrators(&self) -> bool {
        // SAFETY: a referenced token.
        unsafe { nt::SeTokenIsAdmin(self.0) != 0 }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: each value owns one reference.
        unsafe { nt::PsDereferencePrimaryToken(self.0) };
    }
}

/// Copies an identifier, whose length stands in it.
fn copy(sid: *const u8) -> Result<Sid, NTSTATUS> {
    // SAFETY: the kernel's own identifiers have at least eight bytes: revision, count of numbers, authority.
    let head = unsafe { core::slice::from_raw_parts(sid, 8) };
    let length = 8 + 4 * head.get(1).copied().map_or(0, usize::from);
    let mut copied = [0; LONGEST];
    let room = copied.get_mut(..length).ok_or(nt::STATUS_INVALID_HANDLE)?;
    // SAFETY: as long as its count of numbers says.
    room.copy_from_slice(unsafe { core::slice::from_raw_parts(sid, length) });
    Ok(Sid(copied))
}
