//! Rules under which the driver's own routines are called.

use crate::kernel::{DISPATCH, HELD, LEVEL, broken};

/// Checks that a tick runs under a lock, held throughout: whoever stops the file waits for the tick by it.
pub fn ticks() {
    if LEVEL.get() != DISPATCH || HELD.with_borrow(Vec::is_empty) {
        broken("a tick without the lock of who stops it");
    }
}
