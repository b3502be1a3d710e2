//! Lookup of a packet in the flow table, with what the rules are to be asked then.

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
/// Result of a lookup: the packet belongs to an allowed connection.
pub(super) const ESTABLISHED: u32 = 1;
/// Result of a lookup: the packet is a reply in a connection that was allowed by rules which have been replaced since.
pub(super) const STALE: u32 = 2;
/// Result of a lookup: the packet may belong to a connection, and the rules have to be asked about the packet itself.
pub(super) const RECHECK: u32 = 3;
/// Result of a lookup: the packet belongs to no connection yet and asks a group, each member of which may answer.
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

/// Returns whether a packet is no reply because it takes other devices than its connection: it comes by a bridge that
/// leads to this machine's guests alone, who can write any address; or it is forwarded and would go to such a bridge,
/// by which the packet that it answers did not come. Any other way back is one that a machine with several devices may
/// have, or with a device that was made anew, and for the rules to say.
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

/// Returns whether some rule asks for a device: a connection that goes on by another device than it was allowed by is
/// then classified again.
#[inline(always)]
pub(super) const fn may_move(head: &Head) -> bool {
    head.needs & (NEEDS_INTERFACE | NEEDS_OUT_INTERFACE) != 0
}

/// Looks up a packet that has no entry of its own, with the results of [`look_up`]. Five arguments are the most that a
/// function of eBPF takes, and not every kernel takes what the compiler makes of a sixth.
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

/// Looks up a datagram as an answer to one that was sent to a group seconds ago by the same device. Answers, however
/// many, do not keep the group's entry alive.
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

/// Decides on an ICMP error about this connection, whose entry it leaves unchanged: anybody on the way may have sent
/// it.
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

/// Looks up a packet among the retired connections, with the results of [`look_up`].
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

/// Time during which the last packets of a closed connection may be sent again, in nanoseconds: twice the longest time
/// that a segment lives on the way (RFC 9293, 3.4.2), as Linux counts it.
pub(super) const SENT_AGAIN_NS: u64 = 120 * 1_000_000_000;

/// Returns whether a packet of the originator need not be classified again: it goes on with a connection that the rules
/// in force have allowed, from the very socket that began it.
#[inline(always)]
pub(super) fn still_the_same(
    flow: &PacketHeaders,
    head: &Head,
    entry: &FlowEntry,
    socket: u64,
) -> bool {
    // Who receives a datagram can change with each one. Of TCP and SCTP it is who has the connection, until another is
    // asked for; and whose a socket is by which an association of SCTP was accepted, the kernel does not say.
    let receiver_matters = flow.direction == Direction::Inbound as u8
        && head.needs & (NEEDS_USER | NEEDS_PROGRAM) != 0
        && flow.protocol != TCP
        && flow.protocol != SCTP;
    entry.generation == head.generation
        && entry.socket == socket
        && !asks_anew(flow)
        && !receiver_matters
}

/// Returns whether a datagram goes on with a connection that has to be classified again, as a rule asks for the owner,
/// and the sender is not the connection's owner. A socket can be bound over another's, and be handed on.
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

/// Returns whether a connection of this protocol may have packets of any socket that is bound to the port. A TCP or
/// SCTP connection is itself the socket's; the kernel does not say who accepted an SCTP association.
#[inline(always)]
fn is_by_datagrams(flow: &PacketHeaders) -> bool {
    flow.protocol != TCP && flow.protocol != SCTP
}

/// Returns whether the answer to a datagram arrives at a socket of another owner than the sender's, as it does at a
/// socket bound over that one. `receiver` is the socket's number, and `is_anothers` says of a connection what
/// [`PacketContext::is_anothers`] does.
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

/// Returns whether an answer in this connection arrives at a socket of another owner: see [`is_heard_by_another`].
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
