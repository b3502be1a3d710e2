//! Dropping of capabilities by a thread of ours, before it deals with foreign input.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};
use std::io;

/// Returns whether this process has any capability: without one it can neither load the driver nor see what is loaded.
pub fn is_any_there() -> io::Result<bool> {
    Ok(!capabilities(None)?.effective.is_empty())
}

/// Takes every capability from this thread and from all that it starts: what has none may not get any by being started.
pub fn give_up() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

/// Takes every capability but the right to read any file, where the service has that, from this thread and all that it
/// starts.
pub fn give_up_all_but_reading() -> io::Result<()> {
    keep(CapabilitySet::DAC_READ_SEARCH)
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let kept = capabilities(None)?.permitted & wanted;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}
