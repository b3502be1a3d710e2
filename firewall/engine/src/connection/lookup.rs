//! Whether a packet goes on with a connection that is remembered, and what is to be asked then.

use super::begins::{SYN, asks_anew, may_answer};
use super::key::{from_local, key_of, of_a_group};
use super::remember::sender;
use super::state::{count, follow_to_its_end, is_silent, note_use};
use super::{Connections, PacketContext, verdict_of};
use crate::headers::protocol::{SCTP, TCP, UDP};
use crate::tables::{Tables, head};
use crate::{Parsed, is_error};
use firewall_abi::firewall::{FlowEntry, FlowKey, carried};
use firewall_abi::packet::{Decision, Direction, PacketHeaders, Reason, Verdict};
use firewall_abi::rules::{Head, NEEDS_INTERFACE, NEEDS_OUT_INTERFACE, NEEDS_PROGRAM, NEEDS_USER};

// What `look_up` says, in numbers, because eBPF returns nothing else.

/// The packet belongs to no connection that is tracked.
pub(super) const NEW: u32 = 0;
/// It belongs to one that was allowed.
pub(super) const ESTABLISHED: u32 = 1;
/// It is a reply in one that was allowed by rules that have been replaced since.
pub(super) const STALE: u32 = 2;
/// It may belong to one, and the rules have to be asked about the packet itself.
pub(super) const RECHECK: u32 = 3;
/// It belongs to none: it asks a group, and each member may answer.
pub(super) const GROUP: u32 = 4;

/// Looks the packet's connection up in the flow table; the verdict on it if that is [`ESTABLISHED`].
///
/// Out of line, as are others here: what they need of eBPF's small stack they need one after the other.
#[inline(never)]
pub(super) fn look_up<T: Tables, E: PacketContext<T>, C: Connections>(
    packet: &Parsed,
    context: &mut E,
    tables: &T,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    let flow = &packet.flow;
    let mut key = key_of(flow);
    if is_error(flow) && !context.quoted(flow, &mut key) {
        return NEW;
    }
    let Some(head) = head(tables) else {
        return NEW;
    };
    let now_ns = context.now_ns();
    let Some(entry) = connections.find(&key) else {
        return without_entry(&(flow, head), &mut key, context, connections, decision);
    };
    if is_silent(&key, entry, now_ns) {
        connections.remove(&key);
        return NEW;
    }
    if is_error(flow) {
        return about(entry, head, decision);
    }
    let initiates = entry.local_is_originator == from_local(flow);
    let moved = may_move(head) && entry.device != context.device();
    if initiates {
        if moved
            || !still_the_same(flow, head, entry, sender(flow, context))
            || has_other_sender::<T, E>(flow, head, entry, context)
        {
            return RECHECK;
        }
    } else if !may_answer(flow)
        || has_other_sender::<T, E>(flow, head, entry, context)
        || E::SEEN_BEFORE
            && is_anothers_answer(flow, entry, context.receiver(), |entry| {
                context.is_anothers(entry)
            })
        || context.is_astray(flow, entry)
    {
        return RECHECK;
    } else if moved || entry.generation != head.generation {
        return STALE;
    }
    if initiates && !E::SEEN_BEFORE {
        note_devices::<T, E>(entry, context);
    }
    note_use(entry, initiates, flow.tcp_flags, now_ns);
    if !E::SEEN_BEFORE {
        count::<C>(entry, flow, context.length());
    }
    if !initiates && entry.state & FlowEntry::OWNED == 0 {
        context.note_owner(flow, entry);
    }
    let confirmed =
        entry.state & (FlowEntry::CONFIRMED | FlowEntry::ASSURED) == FlowEntry::CONFIRMED;
    let reason = if initiates {
        entry.reason
    } else {
        Reason::Reply as u8
    };
    *decision = verdict_of(entry.generation, entry.rule, Verdict::Allow, reason);
    if flow.protocol == TCP && follow_to_its_end(flow, initiates, entry) {
        connections.retire(&key);
    } else if confirmed {
        connections.assure(&key);
    }
    ESTABLISHED
}

/// Whether what comes by other devices than its connection is no reply: it comes by a bridge that leads to this machine's guests alone,
/// who can write any address; or, of what is forwarded, it would go to such a bridge, and what it answers did not come by that. Any other
/// way back is one that a machine with several devices may have, or with one that was made anew, and for the rules to say.
#[inline(always)]
pub fn comes_astray(
    direction: u8,
    entry: &FlowEntry,
    last_device: u32,
    is_guests: impl FnOnce() -> bool,
) -> bool {
    let may_be = if direction == Direction::Forward as u8 {
        entry.came_by != FlowEntry::folded(last_device)
    } else {
        direction == Direction::Inbound as u8
    };
    may_be && is_guests()
}

/// Notes by which devices a connection goes on that no rule has to be asked about: what answers it comes back by these.
#[inline(always)]
fn note_devices<T: Tables, E: PacketContext<T>>(entry: &mut FlowEntry, context: &mut E) {
    let device = context.device();
    if entry.device != device {
        entry.device = device;
        entry.came_by = FlowEntry::folded(context.first_device());
    }
}

/// Whether some rule asks for a device: a connection that would go on by another one than it was allowed by is asked about again.
#[inline(always)]
pub(super) const fn may_move(head: &Head) -> bool {
    head.needs & (NEEDS_INTERFACE | NEEDS_OUT_INTERFACE) != 0
}

/// To what a packet belongs that has no entry of its own, as [`look_up`] says it. It has five arguments: a function of eBPF
/// takes no more, and what the compiler makes of a sixth not every kernel takes.
#[inline(never)]
pub(super) fn without_entry<T: Tables, E: PacketContext<T>, C: Connections>(
    &(flow, head): &(&PacketHeaders, &Head),
    key: &mut FlowKey,
    context: &mut E,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    if flow.protocol == UDP && flow.direction == Direction::Inbound as u8 {
        of_a_group(key);
        return to_a_group(head, key, context, connections, decision);
    }
    sent_again(flow, head, key, context.now_ns(), connections, decision)
}

/// Whether a datagram answers what was asked of a group, by the device that it was asked by, seconds ago. However many answer,
/// that does not keep the question open.
#[inline(always)]
pub(super) fn to_a_group<T: Tables, E: PacketContext<T>, C: Connections>(
    head: &Head,
    key: &FlowKey,
    context: &mut E,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    let now_ns = context.now_ns();
    let device = context.device();
    match connections.find(key) {
        Some(entry) if entry.device == device && !is_silent(key, entry, now_ns) => {
            let found = about(entry, head, decision);
            if found == ESTABLISHED && !E::SEEN_BEFORE {
                C::add(&mut entry.received, carried(1, context.length().into()));
            }
            found
        }
        _ => NEW,
    }
}

/// What becomes of an ICMP error that is about this connection. It changes nothing in it: anybody on the way may have sent it.
#[inline(always)]
pub(super) fn about(entry: &FlowEntry, head: &Head, decision: &mut Decision) -> u32 {
    if entry.generation != head.generation {
        return RECHECK;
    }
    *decision = verdict_of(
        entry.generation,
        entry.rule,
        Verdict::Allow,
        Reason::Reply as u8,
    );
    ESTABLISHED
}

/// Whether the packet belongs to a connection that was retired, as [`look_up`] says it.
#[inline(always)]
pub(super) fn sent_again<C: Connections>(
    flow: &PacketHeaders,
    head: &Head,
    key: &FlowKey,
    now_ns: u64,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    if flow.protocol != TCP || flow.tcp_flags & SYN != 0 {
        return NEW;
    }
    let Some(entry) = connections.retired(key) else {
        return NEW;
    };
    let reason = if entry.local_is_originator == from_local(flow) {
        entry.reason
    } else {
        Reason::Reply as u8
    };
    *decision = verdict_of(entry.generation, entry.rule, Verdict::Allow, reason);
    let recent = now_ns.saturating_sub(entry.stamp_ns) < SENT_AGAIN_NS;
    if recent && entry.generation == head.generation {
        ESTABLISHED
    } else {
        NEW
    }
}

/// For how long the last packets of a closed connection may be sent again: twice the longest time that a segment lives on
/// the way (RFC 9293, 3.4.2), as Linux counts it.
pub(super) const SENT_AGAIN_NS: u64 = 120 * 1_000_000_000;

/// Whether a packet of the initiator's need not be judged again: it goes on with what the rules in force have allowed, from
/// the very socket that began.
#[inline(always)]
pub(super) fn still_the_same(
    flow: &PacketHeaders,
    head: &Head,
    entry: &FlowEntry,
    socket: u64,
) -> bool {
    // Who receives a datagram can change with each one. Of TCP and SCTP it is who has the connection, until another is asked for; and
    // whose a socket is by which an association of SCTP was accepted, the kernel does not say.
    let receiver_matters = flow.direction == Direction::Inbound as u8
        && head.needs & (NEEDS_USER | NEEDS_PROGRAM) != 0
        && flow.protocol != TCP
        && flow.protocol != SCTP;
    entry.generation == head.generation
        && entry.socket == socket
        && !asks_anew(flow)
        && !receiver_matters
}

/// Whether a datagram goes on with a connection that rules which ask who would have to be asked about again: who sends it is not who
/// the connection is known for. A socket can be bound over another's, and be handed on.
#[inline(always)]
fn has_other_sender<T: Tables, E: PacketContext<T>>(
    flow: &PacketHeaders,
    head: &Head,
    entry: &FlowEntry,
    context: &mut E,
) -> bool {
    !E::SEEN_BEFORE
        && is_by_datagrams(flow)
        && flow.direction == Direction::Outbound as u8
        && head.needs & (NEEDS_USER | NEEDS_PROGRAM) != 0
        && entry.state & FlowEntry::OWNED != 0
        && context.is_anothers(entry)
}

/// Whether each packet is anybody's who can have the port. Of TCP and SCTP the connection itself is the socket's; and whose that is by which
/// an association of SCTP was accepted, the kernel does not say.
#[inline(always)]
fn is_by_datagrams(flow: &PacketHeaders) -> bool {
    flow.protocol != TCP && flow.protocol != SCTP
}

/// Whether what answers a datagram comes to another's socket than it was sent by, as it does to whoever binds over that. `receiver` is
/// the socket's number, and `is_anothers` says of a connection what [`PacketContext::is_anothers`] does.
#[must_use]
#[inline(always)]
pub fn is_heard_by_another<C: Connections>(
    flow: &PacketHeaders,
    receiver: u64,
    is_anothers: impl FnOnce(&FlowEntry) -> bool,
    connections: &mut C,
) -> bool {
    if !is_by_datagrams(flow) {
        return false;
    }
    let entry = connections.find(&key_of(flow));
    entry.is_some_and(|entry| {
        entry.local_is_originator != from_local(flow)
            && is_anothers_answer(flow, entry, receiver, is_anothers)
    })
}

/// The same of an answer in this connection.
#[inline(always)]
fn is_anothers_answer(
    flow: &PacketHeaders,
    entry: &FlowEntry,
    receiver: u64,
    is_anothers: impl FnOnce(&FlowEntry) -> bool,
) -> bool {
    is_by_datagrams(flow)
        && entry.state & FlowEntry::OWNED != 0
        && entry.socket != receiver
        && is_anothers(entry)
}
