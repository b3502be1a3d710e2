//! Reports to apps: the decision on a packet, and the traffic that a connection has carried.

use crate::socket_owner;
use aya_ebpf::helpers::generated::bpf_loop;
use channel::driver::ebpf;
use core::ffi::c_void;
use firewall_abi::firewall::{FlowEntry, FlowKey, Owner};
use firewall_abi::kind;
use firewall_abi::packet::{Decision, NO_USER, Packet, PacketHeaders, PacketMeta};

/// Tells of a packet that was refused before it was there.
#[inline(always)]
pub fn report_call(socket: u64, flow: &PacketHeaders, decision: &Decision) {
    let used = ebpf::used();
    if used == 0 {
        return;
    }
    let mut seen = Seen {
        flow,
        decision,
        owner: Owner::NOBODY,
        length: 0,
        interface: 0,
        out_interface: 0,
        stamp_ns: 0,
    };
    socket_owner::of_socket(socket, &mut seen.owner);
    tell_all(used, &mut seen);
}

/// Facts about a packet for those who want to be told.
pub struct Seen<'a> {
    pub flow: &'a PacketHeaders,
    pub decision: &'a Decision,
    pub owner: Owner,
    pub length: u32,
    pub interface: u32,
    pub out_interface: u32,
    /// Time of the packet, once somebody wants to know; 0: nobody has asked.
    pub stamp_ns: u64,
}

/// Tells each of the apps with these slots that wants to know.
#[inline(always)]
pub fn tell_all(used: u32, seen: &mut Seen<'_>) {
    let callback: extern "C" fn(u32, *mut Seen<'_>) -> i64 = tell;
    // SAFETY: the verifier checks the function as a program of its own; `seen` outlives the loop.
    unsafe {
        bpf_loop(
            used,
            callback as *mut c_void,
            core::ptr::from_mut(seen).cast(),
            0,
        )
    };
}

/// One step of the loop: the app in `slot`. 0: go on.
extern "C" fn tell(slot: u32, seen: *mut Seen<'_>) -> i64 {
    // SAFETY: `seen` is the argument that the kernel was given with this callback: it points at a whole `Seen` of the
    // caller's frame, which the caller lent mutably for as long as the loop takes, and the kernel runs the steps one
    // after the other on this processor. So no other reference to it is used while this one lives.
    let Seen {
        flow,
        decision,
        owner,
        length,
        interface,
        out_interface,
        stamp_ns,
    } = unsafe { &mut *seen };
    let known = owner.program[0] != PacketMeta::KERNEL[0];
    let stamp = || {
        if *stamp_ns == 0 {
            *stamp_ns = ebpf::now_ns();
        }
        *stamp_ns
    };
    ebpf::offer_stamped(
        slot,
        kind::PACKET,
        owner.user,
        stamp,
        |packet: &mut Packet| {
            packet.headers = **flow;
            packet.decision = **decision;
            packet.length = *length;
            packet.interface = *interface;
            packet.pid = owner.pid;
            packet.user = owner.user;
            packet.out_interface = *out_interface;
            packet.program = if known { owner.program } else { [0; 2] };
            packet.name = zerocopy::transmute!(owner.name);
        },
    );
    0
}

/// Traffic that a connection has carried.
pub struct Carrying<'a> {
    pub key: &'a FlowKey,
    pub entry: &'a FlowEntry,
    pub sent: u64,
    pub received: u64,
}

/// Tells every app that wants to know what a connection has carried.
#[inline(always)]
pub fn report_carried(carrying: &Carrying<'_>) {
    let callback: extern "C" fn(u32, *const Carrying<'_>) -> i64 = tell_of;
    let used = ebpf::used();
    // SAFETY: the verifier checks the function as a program of its own; `carrying` outlives the loop.
    unsafe {
        bpf_loop(
            used,
            callback as *mut c_void,
            core::ptr::from_ref(carrying).cast_mut().cast(),
            0,
        )
    };
}

/// One step of the loop: the app in `slot`. 0: go on.
extern "C" fn tell_of(slot: u32, carrying: *const Carrying<'_>) -> i64 {
    // SAFETY: the kernel hands on what `report_carried` gave it.
    let carrying = unsafe { &*carrying };
    let user = carrying.entry.user;
    // What is nobody's is root's to know.
    let user = if user == NO_USER { 0 } else { user };
    ebpf::offer_to(
        slot,
        kind::CARRIED,
        user,
        |record: &mut firewall_abi::firewall::Carried| {
            record.key = *carrying.key;
            record.entry = *carrying.entry;
            record.entry.sent = carrying.sent;
            record.entry.received = carrying.received;
        },
    );
    0
}
