//! State of a tracked connection: its counters, its end, and its timeouts.

use super::Connections;
use super::begins::{FIN, RST, SYN};
use super::key::from_local;
use crate::headers::protocol::TCP;
use firewall_abi::firewall::{FlowEntry, FlowKey, carried};
use firewall_abi::packet::PacketHeaders;

/// Notes that the connection goes on. Written only when it changes: processors share what they read,
/// and take turns at what they write.
#[inline(always)]
pub(super) fn note_use(entry: &mut FlowEntry, initiates: bool, tcp_flags: u8, now_ns: u64) {
    // Of other protocols there are no flags. What breaks off or begins anew confirms nothing.
    let goes_on = tcp_flags & RST == 0 && (tcp_flags & SYN == 0 || !initiates);
    let step = match (initiates, entry.state & FlowEntry::ANSWERED) {
        (false, _) => FlowEntry::ANSWERED,
        (true, 0) => 0,
        (true, _) => FlowEntry::CONFIRMED,
    };
    if goes_on && entry.state & step != step {
        entry.state |= step;
    }
    if entry.stamp_ns != now_ns {
        entry.stamp_ns = now_ns;
    }
}

/// Counts a packet that passes. What an ICMP error is about is not counted,
/// nor what is sent again after a connection's end.
#[inline(always)]
pub(super) fn count<C: Connections>(entry: &mut FlowEntry, flow: &PacketHeaders, length: u32) {
    let counter = if from_local(flow) == 1 {
        &mut entry.sent
    } else {
        &mut entry.received
    };
    C::add(counter, carried(1, length.into()));
}

/// Notes what a TCP packet says of its connection's end. True: both ends have said FIN, and this is the packet after
/// that. The FIN from inside can't be forged outside, so nobody there can bring it to its end.
#[inline(always)]
pub(super) fn follow_to_its_end(
    flow: &PacketHeaders,
    initiates: bool,
    entry: &mut FlowEntry,
) -> bool {
    if flow.tcp_flags & RST != 0 {
        entry.state |= FlowEntry::BROKEN_OFF;
    } else if flow.tcp_flags & FIN != 0 {
        entry.state |= if initiates {
            FlowEntry::ORIGINATOR_DONE
        } else {
            FlowEntry::RESPONDER_DONE
        };
    } else {
        return entry.state & FlowEntry::DONE == FlowEntry::DONE;
    }
    false
}

/// Returns whether an owner last heard of at this time (0: never) may still have a TCP connection that waits for its
/// answer.
#[must_use]
#[inline(always)]
pub const fn may_wait(stamp_ns: u64, now_ns: u64) -> bool {
    const LONGEST_NS: u64 = longest_silence_ns(TCP as u32, &FlowEntry::NEW);
    stamp_ns != 0 && now_ns.saturating_sub(stamp_ns) <= LONGEST_NS
}

/// Returns whether a connection has been silent for longer than its timeout.
#[must_use]
#[inline(always)]
pub fn is_silent(key: &FlowKey, entry: &FlowEntry, now_ns: u64) -> bool {
    now_ns.saturating_sub(entry.stamp_ns) > longest_silence_ns(key.protocol, entry)
}

/// Returns the timeout of a silent connection, in nanoseconds. Those of Linux' own connection tracking by default hold
/// for a TCP connection that is not answered (120 s), not confirmed (60 s) or half closed (120 s), and for other
/// protocols before they are confirmed (30 s). Ours are: established TCP 2 hours, not 5 days; both ends closed or one
/// broken off 10 s; other protocols, once confirmed, 180 s, which is 120 s there for UDP and 30 s for ICMP.
#[must_use]
#[inline(always)]
pub const fn longest_silence_ns(protocol: u32, entry: &FlowEntry) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    let answered = entry.state & FlowEntry::ANSWERED != 0;
    let confirmed = entry.state & FlowEntry::CONFIRMED != 0;
    if protocol & FlowKey::GROUP != 0 {
        return 10 * SECOND;
    }
    if protocol as u8 != TCP {
        return if confirmed { 180 * SECOND } else { 30 * SECOND };
    }
    let broken_off = entry.state & FlowEntry::BROKEN_OFF != 0;
    let done = entry.state & FlowEntry::DONE == FlowEntry::DONE;
    if broken_off || done {
        // A RST may be forged: what still goes on keeps its entry by going on.
        10 * SECOND
    } else if !answered {
        120 * SECOND
    } else if !confirmed {
        60 * SECOND
    } else if entry.state & FlowEntry::ENDING != 0 {
        120 * SECOND
    } else {
        2 * 60 * 60 * SECOND
    }
}
