//! Insertion of connections into the flow table, and the quota that each one counts against.

use super::begins::is_first_syn;
use super::key::{from_local, key_of, of_a_group, words};
use super::lookup::{GROUP, NEW};
use super::state::count;
use super::{Connections, PacketContext, be_a_reply};
use crate::headers::protocol::TCP;
use crate::quota;
use crate::tables::Tables;
use firewall_abi::firewall::FlowEntry;
use firewall_abi::packet::{Decision, Direction, PacketHeaders, Verdict};

/// Notes what the rules say now of the beginning of the reply's connection, and makes it the verdict on the reply. What
/// came by another device than the connection is no word on that: the rules were asked about the way that the reply has
/// taken, and whoever can write by that device would have said by which rule the connection goes on.
/// It moves with what its originator sends.
#[inline(never)]
pub(super) fn renew<T: Tables, E: PacketContext<T>, C: Connections>(
    reply: &PacketHeaders,
    context: &mut E,
    connections: &mut C,
    decision: &mut Decision,
) {
    let key = key_of(reply);
    let Some(entry) = connections.find(&key) else {
        return;
    };
    let by_its_own = entry.device == context.device();
    if decision.verdict != Verdict::Allow as u8 {
        if by_its_own && entry.generation != decision.generation {
            connections.remove(&key);
        }
        return;
    }
    if by_its_own {
        entry.generation = decision.generation;
        entry.rule = decision.rule;
        entry.reason = decision.reason;
    }
    entry.stamp_ns = context.now_ns();
    count::<C>(entry, reply, context.length());
    be_a_reply(decision);
}

/// Remembers an allowed packet's connection, unless the other end began it and has not ended it.
#[inline(never)]
pub(super) fn remember<T: Tables, E: PacketContext<T>, C: Connections>(
    flow: &PacketHeaders,
    found: u32,
    context: &mut E,
    connections: &mut C,
    decision: &Decision,
) {
    let mut key = key_of(flow);
    if found == GROUP {
        of_a_group(&mut key);
    }
    let socket = sender(flow, context);
    let device = context.device();
    let local_is_originator = from_local(flow);
    let quota_owner = quota_owner_of(flow, context);
    let mut state = 0;
    let mut known_one = false;
    if found != NEW {
        match connections.find(&key) {
            None => {}
            Some(known) if known.local_is_originator != local_is_originator => {
                if known.state & FlowEntry::ENDING == 0 {
                    return;
                }
                connections.remove(&key);
            }
            // A new one of somebody else's. What goes on stays with who began it:
            // a socket that is closing has no user any more.
            Some(known)
                if known.direction != flow.direction
                    || known.quota_owner != quota_owner
                        && (flow.protocol != TCP || is_first_syn(flow)) =>
            {
                connections.remove(&key);
            }
            Some(known) => {
                // Whatever begins anew has been answered by nobody yet.
                let lasts = if is_first_syn(flow) {
                    FlowEntry::ASSURED
                } else {
                    u8::MAX
                };
                state = known.state & lasts;
                known_one = true;
            }
        }
    }
    let entry = if known_one {
        connections.find(&key)
    } else {
        connections.insert(&key, quota_owner, flow.direction)
    };
    let Some(entry) = entry else {
        return;
    };
    // A datagram may be another's by the same socket.
    if entry.socket != socket || flow.protocol != TCP {
        state &= !FlowEntry::OWNED;
    }
    entry.stamp_ns = context.now_ns();
    entry.socket = socket;
    entry.rule = decision.rule;
    entry.generation = decision.generation;
    entry.reason = decision.reason;
    entry.state = state;
    entry.local_is_originator = local_is_originator;
    entry.device = device;
    entry.came_by = FlowEntry::folded(context.first_device());
    entry.logged = decision.log.into();
    if state & FlowEntry::OWNED == 0 {
        context.note_owner(flow, entry);
    }
    count::<C>(entry, flow, context.length());
}

/// Returns the quota owner of a connection that begins with this packet.
#[inline(always)]
pub(super) fn quota_owner_of<T: Tables, E: PacketContext<T>>(
    flow: &PacketHeaders,
    context: &mut E,
) -> u32 {
    const INBOUND: u8 = Direction::Inbound as u8;
    const OUTBOUND: u8 = Direction::Outbound as u8;
    match flow.direction {
        INBOUND => quota::of_network(flow.ip_version, words(&flow.source), context.seed()),
        OUTBOUND => quota::of_user(context.user()),
        _ => quota::of_forwarded(context.first_device(), words(&flow.source), context.seed()),
    }
}

/// The socket in the zone that sends the packet; 0 for what comes in, whoever in the same kernel may have sent it.
#[inline(always)]
pub(super) fn sender<T: Tables, E: PacketContext<T>>(flow: &PacketHeaders, context: &mut E) -> u64 {
    if !E::SEEN_BEFORE && flow.direction == Direction::Outbound as u8 {
        context.socket()
    } else {
        0
    }
}
