//! Security descriptors: who may open what a driver makes.

use super::nt;
use core::ptr::null_mut;

/// A self-relative security descriptor with up to three entries in its list. Users without an entry get nothing.
#[repr(C, align(8))]
pub struct Descriptor([u8; 92]);

const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
const SIGNED_IN_USERS: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0];
const EVERYONE: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

const FILE_ALL_ACCESS: u32 = 0x001F_01FF;
const FILE_GENERIC_READ: u32 = 0x0012_0089;
/// Rights to wait and look, but neither set nor reset: SYNCHRONIZE, READ_CONTROL and EVENT_QUERY_STATE.
const EVENT_WAIT_ONLY: u32 = 0x0012_0001;

/// Descriptor of a device: the system and administrators may change the driver (write), signed-in users may attach
/// (read).
pub static DEVICE: Descriptor = Descriptor::new(&[
    (FILE_ALL_ACCESS, SYSTEM),
    (FILE_ALL_ACCESS, ADMINISTRATORS),
    (FILE_GENERIC_READ, SIGNED_IN_USERS),
]);

/// Descriptor of a device for the system and administrators alone.
pub static ADMINISTRATORS_DEVICE: Descriptor =
    Descriptor::new(&[(FILE_ALL_ACCESS, SYSTEM), (FILE_ALL_ACCESS, ADMINISTRATORS)]);

/// Descriptor of a named event that anyone may wait on and nobody but the driver may change.
pub static WAIT_ONLY_EVENT: Descriptor = Descriptor::new(&[(EVENT_WAIT_ONLY, EVERYONE)]);

impl Descriptor {
    const fn new(entries: &[(u32, &[u8])]) -> Self {
        let mut bytes = [0; 92];
        // Revision 1; SE_SELF_RELATIVE, SE_DACL_PROTECTED, SE_DACL_PRESENT; the list starts after these 20 bytes.
        let head = [1, 0, 0x04, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20];
        put(&mut bytes, 0, &head);
        let (mut at, mut entry) = (28, 0);
        while entry < entries.len() {
            let (mask, who) = entries[entry];
            // ACCESS_ALLOWED_ACE.
            put(&mut bytes, at, &[0, 0, 8 + who.len() as u8, 0]);
            put(&mut bytes, at + 4, &mask.to_le_bytes());
            put(&mut bytes, at + 8, who);
            at += 8 + who.len();
            entry += 1;
        }
        put(
            &mut bytes,
            20,
            &[2, 0, (at - 20) as u8, 0, entries.len() as u8],
        );
        Self(bytes)
    }

    /// Returns a pointer to the descriptor, for the kernel's functions.
    pub fn as_ptr(&self) -> *const core::ffi::c_void {
        self.0.as_ptr().cast()
    }

    /// Puts the descriptor on a device that was just made. (`IoCreateDeviceSecure` is a static library of the WDK that
    /// does this.)
    ///
    /// # Errors
    /// The kernel's status, if it fails.
    pub fn apply(&self, device: *mut nt::DEVICE_OBJECT) -> Result<(), nt::NTSTATUS> {
        let mut handle = null_mut();
        // SAFETY: a device of ours; the handle is the kernel's, and closed below.
        let status = unsafe {
            nt::ObOpenObjectByPointer(
                device.cast(),
                nt::OBJ_KERNEL_HANDLE,
                null_mut(),
                nt::WRITE_DAC,
                core::ptr::null(),
                nt::KERNEL_MODE,
                &raw mut handle,
            )
        };
        nt::check(status)?;
        // SAFETY: an open handle, a valid descriptor.
        let status = unsafe {
            nt::ZwSetSecurityObject(handle, nt::DACL_SECURITY_INFORMATION, self.as_ptr())
        };
        // SAFETY: opened above, closed once.
        unsafe { nt::ZwClose(handle) };
        nt::check(status)
    }
}

const fn put(bytes: &mut [u8; 92], at: usize, what: &[u8]) {
    let mut n = 0;
    while n < what.len() {
        bytes[at + n] = what[n];
        n += 1;
    }
}
