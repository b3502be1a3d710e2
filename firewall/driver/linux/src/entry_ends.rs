//! Ends of a connection, as its entry has them: the socket's owner here, and the devices.

use crate::flows::Flows;
use crate::guests;
use crate::kernel::{self, offset};
use crate::packet::number_of;
use crate::socket_owner;
use engine::connection::{comes_astray, is_heard_by_another};
use firewall_abi::firewall::{FlowEntry, Owner};
use firewall_abi::packet::PacketHeaders;

/// Notes whose a connection is, by the socket at its end here.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_note_owner(socket: u64, entry: *mut FlowEntry) -> i32 {
    if entry.is_null() {
        return 1;
    }
    // SAFETY: not null; every caller hands in a map's value.
    let entry = unsafe { &mut *entry };
    let mut owner = Owner::NOBODY;
    socket_owner::of_socket(socket, &mut owner);
    entry.program = owner.program;
    entry.name = owner.name;
    entry.user = owner.user;
    entry.state |= FlowEntry::OWNED;
    0
}

/// Returns 1 if the socket is somebody else's than a connection of datagrams.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_is_anothers(socket: u64, entry: *const FlowEntry) -> u32 {
    if entry.is_null() {
        return 0;
    }
    // SAFETY: not null; every caller hands in a map's value.
    let entry = unsafe { &*entry };
    let mut owner = Owner::NOBODY;
    socket_owner::of_socket(socket, &mut owner);
    (owner.program != entry.program || owner.user != entry.user).into()
}

/// Returns 1 if what answers a datagram comes to another's socket than it was sent by.
///
/// A global function for the verifier, as `gatebell_classify` is:
/// it would follow what comes after once for each way through here.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_is_heard_by_another(
    flow: *const PacketHeaders,
    receiver: u64,
    socket: u64,
) -> u32 {
    if flow.is_null() {
        return 0;
    }
    // SAFETY: not null; the one caller hands in a value of its own.
    let flow = unsafe { &*flow };
    let is_anothers = |entry: &FlowEntry| gatebell_is_anothers(socket, entry) == 1;
    is_heard_by_another(flow, receiver, is_anothers, &mut Flows::<false>).into()
}

/// Returns 1 if a packet can't be a reply in this connection, by the devices at these addresses.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_is_astray(
    entry: *const FlowEntry,
    direction: u32,
    device: u64,
    out_device: u64,
) -> u32 {
    if entry.is_null() {
        return 0;
    }
    // SAFETY: not null; every caller hands in a map's value.
    let entry = unsafe { &*entry };
    // What is forwarded goes out by another one.
    let answers_by = if out_device == 0 { device } else { out_device };
    let astray = entry.device != gatebell_devices(device, out_device)
        && comes_astray(direction as u8, entry, number_of(out_device), || {
            guests::gatebell_guests(answers_by, 1) != guests::NO
        });
    astray.into()
}

/// Both devices at these addresses in one number, by which a connection knows them; 0: there is none. A reply of what
/// is forwarded comes by the other one, and is the same pair.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_devices(one: u64, other: u64) -> u32 {
    let (one, other) = (identity_of(one), identity_of(other));
    one.max(other).rotate_left(16) ^ one.min(other)
}

/// Returns the identity of a device, made of its number and its name: either may become another one's.
#[inline(always)]
fn identity_of(device: u64) -> u32 {
    if device == 0 {
        return 0;
    }
    let [one, other] = [0, 8].map(|at| kernel::peek::<u64>(device, offset!(device_name) + at));
    let name = one ^ other.rotate_left(1);
    number_of(device) ^ name as u32 ^ (name >> 32) as u32
}
