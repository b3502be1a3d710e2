//! Wait of the system's thread pool for an app that awaits.

use super::Windows;
use crate::{Attachment, Error};
use std::ffi::c_void;
use std::future::poll_fn;
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::{
    INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEONLYONCE,
};

/// An app's event, and the wait for it that is registered while somebody awaits it.
///
/// The wait that is registered takes the signal of an auto-reset event. So what it took is noted, and is the app's next
/// time that it asks, whether or not it still awaited it then.
#[derive(Debug)]
pub(crate) struct Arrival {
    event: OwnedHandle,
    note: Arc<Mutex<Note>>,
    registered: Option<Registered>,
}

#[derive(Debug, Default)]
struct Note {
    /// `true` if the wait has taken a signal, which nobody was told of yet.
    taken: bool,
    /// Waker of the task that awaits the signal.
    waker: Option<Waker>,
    /// `true` if the wait's function needs its argument no more.
    let_go: bool,
}

impl Arrival {
    /// Makes an arrival without a wait: nothing is registered before somebody awaits.
    pub fn of(attachment: &Attachment<Windows>) -> Result<Self, Error> {
        let event = attachment.as_handle().try_clone_to_owned();
        Ok(Self {
            event: event.map_err(cannot_wait)?,
            note: Arc::default(),
            registered: None,
        })
    }

    /// Awaits a signal, and takes it; returns `true`.
    pub async fn next(&mut self) -> Result<bool, Error> {
        poll_fn(|context| {
            {
                let mut note = lock(&self.note);
                if std::mem::take(&mut note.taken) {
                    // It waited once. Dropped outside the lock, which its thread may want still.
                    let waited = self.registered.take();
                    drop(note);
                    drop(waited);
                    return Poll::Ready(Ok(true));
                }
                note.waker = Some(context.waker().clone());
            }
            if self.registered.is_none() {
                match Registered::wait(&self.event, self.note.clone()) {
                    Ok(registered) => self.registered = Some(registered),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A wait that is registered with the thread pool, once. Dropped, it is over, and its function has returned or needs
/// nothing of it any more.
#[derive(Debug)]
struct Registered {
    wait: HANDLE,
    // What the function is given a pointer to.
    note: Arc<Mutex<Note>>,
}

// SAFETY: the handle is used to end the wait alone, which any thread may do.
unsafe impl Send for Registered {}
// SAFETY: nothing is done with a shared one.
unsafe impl Sync for Registered {}

impl Registered {
    fn wait(event: &OwnedHandle, note: Arc<Mutex<Note>>) -> Result<Self, Error> {
        lock(&note).let_go = false;
        let mut wait = ptr::null_mut();
        let given: *const c_void = Arc::as_ptr(&note).cast();
        // SAFETY: an open handle, whose owner outlives the wait; what the function is given lives as long as the wait,
        // which is kept with it and ended first.
        let registered = unsafe {
            RegisterWaitForSingleObject(
                &raw mut wait,
                event.as_raw_handle(),
                Some(signalled),
                given,
                INFINITE,
                WT_EXECUTEONLYONCE,
            )
        };
        if registered == 0 {
            return Err(Error::last_os("register a wait"));
        }
        Ok(Self { wait, note })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Who is woken may drop it within the very function, whose end it must not wait for then.
        let until = if lock(&self.note).let_go {
            ptr::null_mut()
        } else {
            INVALID_HANDLE_VALUE
        };
        // SAFETY: registered once, ended once. It comes back when the function has returned,
        // if that runs just now elsewhere.
        unsafe { UnregisterWaitEx(self.wait, until) };
    }
}

/// Notes that the wait has taken the signal; called on a thread of the pool.
unsafe extern "system" fn signalled(note: *mut c_void, _timed_out: bool) {
    let note = note.cast_const().cast::<Mutex<Note>>();
    // SAFETY: made by `Arc::as_ptr`. `Registered` keeps it until this function has returned,
    // or has said below that it need not.
    unsafe { Arc::increment_strong_count(note) };
    // SAFETY: the one just counted, for this function alone.
    let note = unsafe { Arc::from_raw(note) };
    let waker = {
        let mut note = lock(&note);
        note.taken = true;
        note.let_go = true;
        note.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Locks the note, also if it is poisoned: a panic of a waker's has left it whole.
fn lock(note: &Mutex<Note>) -> MutexGuard<'_, Note> {
    note.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_wait(source: std::io::Error) -> Error {
    Error::System {
        what: "wait for the event",
        source,
    }
}
