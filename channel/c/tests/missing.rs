//! Tests that whatever a C program leaves out is reported, and nothing crashes. Needs no driver.

use gatebell_channel::{
    GbStatus, GbWake, gb_account, gb_attach, gb_close, gb_detach, gb_drain, gb_error_refusal,
    gb_error_text, gb_open, gb_release, gb_request, gb_set_pace, gb_signal, gb_wait,
};
use std::ffi::CStr;
use std::ptr::{null, null_mut};

fn last_error() -> String {
    // SAFETY: a terminated string, which stays until this thread's next call that fails.
    unsafe { CStr::from_ptr(gb_error_text()) }
        .to_string_lossy()
        .into_owned()
}

/// Makes these calls, and returns their results.
macro_rules! each {
    ($($call:expr,)+) => {
        // SAFETY: each may be given NULL for what it says may be NULL, and what is not NULL lives through the call.
        [$(unsafe { $call }),+]
    };
}

#[test]
fn a_null_pointer_is_an_argument_that_is_missing() {
    let (mut device, mut attachment, mut wake) = (null_mut(), null_mut(), GbWake::Ready);
    let calls = each![
        gb_open(null(), &raw mut device),
        gb_open(c"/".as_ptr(), null_mut()),
        gb_open(c"\xFF".as_ptr(), &raw mut device),
        gb_attach(null(), 4096, 0, &raw mut attachment),
        gb_attach(null(), 4096, 0, null_mut()),
        gb_set_pace(null(), 0, 0),
        gb_set_pace(null(), 1, 1),
        gb_wait(null(), 0, &raw mut wake, null_mut()),
        gb_wait(null(), 0, null_mut(), null_mut()),
        gb_drain(null(), None, None, null_mut(), null_mut()),
        gb_signal(null()),
        gb_detach(null()),
        gb_account(null(), null_mut()),
        gb_request(null(), 64, null_mut(), 0),
    ];
    assert_eq!(calls, [GbStatus::Argument; 14]);
    assert!(device.is_null() && attachment.is_null());
    // SAFETY: nothing to free is nothing to do.
    unsafe { gb_close(null_mut()) };
    // SAFETY: the same.
    assert_eq!(unsafe { gb_release(null_mut()) }, GbStatus::Ok);
}

#[test]
fn a_device_that_is_not_there_is_said_with_what_to_do() {
    let mut device = null_mut();
    let name = c"/nowhere/at/all.sock";
    // SAFETY: a terminated string, and room for a pointer.
    let opened = unsafe { gb_open(name.as_ptr(), &raw mut device) };
    assert_eq!(opened, GbStatus::Open);
    let said = last_error();
    assert!(
        said.contains("/nowhere/at/all.sock") && said.contains("start the driver's service"),
        "{said}"
    );
    assert_eq!(gb_error_refusal(), 0);
}
