//! What the driver's own routines are called under.

use crate::kernel::{DISPATCH, HELD, LEVEL, broken};

/// A tick: whoever stops the file waits for it by the lock that is held throughout.
pub fn ticks() {
    if LEVEL.get() != DISPATCH || HELD.with_borrow(Vec::is_empty) {
        broken("a tick without the lock of who stops it");
    }
}
