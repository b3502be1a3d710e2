//! Decisions on packets that belong together: what begins a connection, and what is a reply in one.
//!
//! Where the connections are kept (a kernel map, a dry run's table) is the caller's: [`Connections`]. What is
//! remembered, and what passes because of it, is decided here, once for both.

mod begins;
mod capture;
mod key;
mod lookup;
mod remember;
mod state;

pub use begins::{ends_at_socket, may_answer, may_begin};
pub use capture::Known;
pub use key::{beginning, key_of};
pub use lookup::{comes_astray, is_heard_by_another};
pub use state::{is_silent, longest_silence_ns, may_wait};

use crate::classify::classify_under;
use crate::headers::protocol::{TCP, UDP};
use crate::link::{may_keep_the_link, stay_on_the_link};
use crate::quota;
use crate::tables::{Tables, head};
use crate::{Parsed, Shape, is_error};
use begins::{ACK, FIN, RST, SYN};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::packet::{
    Decision, Direction, NO_RULE, PacketHeaders, PacketMeta, Reason, Verdict,
};
use firewall_abi::rules::{FailMode, Head};
use key::{reverse, reverse_devices, words};
use lookup::{ESTABLISHED, GROUP, NEW, STALE, look_up};
use remember::{remember, renew};

/// The flow table: where connections are tracked.
pub trait Connections {
    /// `true` if some connections may be forwarded ones.
    const FORWARDS: bool = true;

    /// Returns the entry of a tracked connection, or `None` if it is not tracked. What is changed in the entry stays.
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry>;

    /// Inserts a new one, unless it was inserted meanwhile, and returns its entry: [`FlowEntry::NEW`], but for its
    /// quota owner, direction and slot. The oldest of those that are not confirmed makes room for it: of what began
    /// outside any, else one of the same quota owner.
    fn insert(&mut self, key: &FlowKey, quota_owner: u32, direction: u8) -> Option<&mut FlowEntry>;

    /// Moves one that is confirmed to where it makes no room for new ones, and marks it as [`FlowEntry::ASSURED`].
    /// Where its [quota owner](crate::quota::has_room) has no room it counts that,
    /// and the connection stays where it is.
    fn assure(&mut self, _: &FlowKey) {}

    /// Returns whether the next connection of this quota owner takes, before it is confirmed, the slot of one that may
    /// not have been answered yet. If so, an answer may arrive now whose connection of that owner is missing.
    fn is_short(&mut self, _quota_owner: u32, _now_ns: u64) -> bool {
        false
    }

    /// Counts what a connection carries. Others may count there at the same time.
    #[inline(always)]
    fn add(counter: &mut u64, more: u64) {
        *counter = counter.wrapping_add(more);
    }

    /// Removes one.
    fn remove(&mut self, key: &FlowKey);

    /// Moves one that both ends have ended to a table of its own, as TCP's TIME_WAIT does:
    /// for a while its last packets may be sent again.
    fn retire(&mut self, key: &FlowKey);

    /// Returns the retired connection with this key, if it is still there.
    fn retired(&mut self, key: &FlowKey) -> Option<Retired>;
}

/// Entry of a retired connection, which both ends have closed: it says whether packets of it may be sent again. The
/// fields are those of its [`FlowEntry`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Retired {
    /// Time of the last packet, in nanoseconds of [`PacketContext::now_ns`].
    pub stamp_ns: u64,
    /// Number of the rule that allowed the connection's beginning.
    pub rule: u32,
    /// Generation of this rule.
    pub generation: u32,
    /// Reason of the verdict on the connection's beginning.
    pub reason: u8,
    /// 1 if the connection's originator is the key's local end.
    pub local_is_originator: u8,
}

impl From<&FlowEntry> for Retired {
    #[inline(always)]
    fn from(entry: &FlowEntry) -> Self {
        Self {
            stamp_ns: entry.stamp_ns,
            rule: entry.rule,
            generation: entry.generation,
            reason: entry.reason,
            local_is_originator: entry.local_is_originator,
        }
    }
}

/// The context of a packet beside its bytes: when it is seen, by which device, and which socket, user and program is at
/// its end in the zone. What costs something to find out is asked only when it has to be.
pub trait PacketContext<T: Tables> {
    /// `true` if a packet that goes on with a connection was counted before: an inbound packet is seen a second time
    /// where a socket receives it.
    const SEEN_BEFORE: bool = false;

    /// Returns the time now, in nanoseconds of the clock by which connections grow old: a coarse one does.
    fn now_ns(&self) -> u64;

    /// Returns the number of the socket that sends the packet, which no other ever has; 0 if that is not known.
    fn socket(&mut self) -> u64;

    /// The device that the packet comes in or goes out by; of what is forwarded,
    /// both in a number of their own, the same for replies.
    fn device(&mut self) -> u32 {
        0
    }

    /// Returns whether the device that the packet comes in by (of a forwarded packet, goes out by) is, or may be, a
    /// bridge that leads to guests of this machine alone.
    fn is_guests(&mut self) -> bool {
        false
    }

    /// Returns whether the packet can't be a reply in this connection, by the devices that it comes in and goes out by:
    /// see [`comes_astray`].
    #[inline(always)]
    fn is_astray(&mut self, flow: &PacketHeaders, entry: &FlowEntry) -> bool {
        entry.device != self.device()
            && comes_astray(flow.direction, entry, self.last_device(), || {
                self.is_guests()
            })
    }

    /// Returns the user whose socket sends the packet: `NO_USER` if that is not known, [`quota::KERNEL`] if no socket
    /// does.
    fn user(&mut self) -> u32;

    /// The number of the device that what is forwarded comes in by.
    fn first_device(&self) -> u32 {
        0
    }

    /// Returns the number of the device that a forwarded packet goes out by.
    fn last_device(&self) -> u32 {
        0
    }

    /// Returns the seed of the hash that the numbers of networks are made by.
    fn seed(&self) -> u64 {
        0
    }

    /// Returns the length of the packet in bytes, from its IP header on.
    fn length(&self) -> u32 {
        0
    }

    /// Notes whose the connection is, as far as the packet's end in the zone is known.
    fn note_owner(&mut self, _: &PacketHeaders, _: &mut FlowEntry) {}

    /// The number of the socket that is about to get it; 0 if that is not known.
    fn receiver(&self) -> u64 {
        0
    }

    /// Returns whether the socket that sends a datagram, or is about to receive it, belongs to another program or user
    /// than the connection is noted for.
    fn is_anothers(&mut self, _: &FlowEntry) -> bool {
        false
    }

    /// Returns whether an outbound IPv4 datagram is a broadcast on its link. Its address alone does not say: the last
    /// one of a network is a broadcast address too.
    fn goes_to_everyone(&mut self) -> bool {
        false
    }

    /// Writes down which connection an ICMP error is about, as [`crate::quoted`] reads it in the
    /// packet; false: it shows none.
    fn quoted(&mut self, error: &PacketHeaders, key: &mut FlowKey) -> bool;

    /// Looks up the owner of the packet's end in the zone, and writes it to `local`.
    fn find(&mut self, flow: &PacketHeaders, local: &mut PacketMeta);

    /// Classifies the packet or, of a reply, the beginning of its connection, by the rules. The owner of the zone's end
    /// is looked up if a rule asks for it: it is the same for both. The packet is unchanged afterwards.
    #[inline(always)]
    fn classify(&mut self, packet: &mut Parsed, asked: Asked, tables: &T, decision: &mut Decision) {
        let mut local = PacketMeta::UNKNOWN;
        let head = head(tables);
        if head.is_some_and(|head| head.needs != 0) || may_keep_the_link(&packet.flow) {
            self.find(&packet.flow, &mut local);
        }
        *decision = classify_as(packet, asked, &mut local, head, tables);
        if asked == Asked::Packet {
            stay_on_the_link(packet, &local, decision);
        }
    }
}

/// Subject of a classification, as a number because eBPF's functions take no other type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Asked {
    /// The packet itself.
    Packet = 0,
    /// Beginning of the connection, in the original direction: the packet is a reply.
    Beginning = 1,
}

impl Asked {
    /// Returns the subject that this number stands for, whatever else its other bits hold.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        if number & Self::Beginning as u32 == 0 {
            Self::Packet
        } else {
            Self::Beginning
        }
    }
}

/// Classifies a subject by the rules, when the owner of the zone's end is known.
///
/// A reply becomes its connection's beginning meanwhile: eBPF has no room for both.
#[inline(always)]
pub fn classify_as<T: Tables>(
    packet: &mut Parsed,
    asked: Asked,
    local: &mut PacketMeta,
    head: Option<&Head>,
    tables: &T,
) -> Decision {
    let PacketHeaders {
        source_port,
        destination_port,
        ..
    } = packet.flow;
    if asked == Asked::Beginning {
        reverse(&mut packet.flow);
        reverse_devices(packet.flow.direction, local);
    }
    let decision = classify_under(head, packet, local, tables);
    if asked == Asked::Beginning {
        reverse(&mut packet.flow);
        packet.flow.source_port = source_port;
        packet.flow.destination_port = destination_port;
    }
    decision
}

/// Decides on a packet: what belongs to a connection that was allowed passes, the rules decide about the rest, and what
/// they allow is remembered if it can begin a connection. The packet is as it was afterwards.
#[inline(always)]
pub fn decide<T: Tables, E: PacketContext<T>, C: Connections>(
    packet: &mut Parsed,
    context: &mut E,
    tables: &T,
    connections: &mut C,
) -> Decision {
    let Parsed { flow, shape } = &*packet;
    let is_whole = *shape == Shape::Whole;
    let mut found = if is_whole && goes_to_group(flow, context) {
        GROUP
    } else {
        NEW
    };
    let can_converse =
        is_whole && found != GROUP && (may_begin(flow) || may_answer(flow) || is_error(flow));
    let mut decision = Decision::default();
    if can_converse {
        found = look_up(packet, context, tables, connections, &mut decision);
        if found == ESTABLISHED {
            return decision;
        }
        if found == STALE && still_allowed(packet, context, tables, connections, &mut decision) {
            return decision;
        }
    }
    if can_converse && found == NEW && accepts::<T, _, _>(&packet.flow, context, connections) == 1 {
        context.classify(packet, Asked::Beginning, tables, &mut decision);
        if decision.verdict == Verdict::Allow as u8 {
            be_a_reply(&mut decision);
            return decision;
        }
    }
    context.classify(packet, Asked::Packet, tables, &mut decision);
    let begins = found == GROUP || can_converse && may_begin(&packet.flow);
    if begins && decision.verdict == Verdict::Allow as u8 {
        remember(&packet.flow, found, context, connections, &decision);
    }
    decision
}

/// Returns 1 if a packet is the answer to the originator of a TCP connection with the zone, or through it; such a
/// packet begins none itself. Where the beginning's entry has had to make room, the rules say once more whether it may:
/// a flood of beginnings makes no other one fail. A forwarded packet is taken for such an answer only while beginnings
/// of its receiver do make room.
///
/// 1: it is. Out of line, and a number, for the sake of eBPF's small stack.
#[inline(never)]
fn accepts<T: Tables, E: PacketContext<T>, C: Connections>(
    flow: &PacketHeaders,
    context: &E,
    connections: &mut C,
) -> u32 {
    if flow.protocol != TCP || flow.tcp_flags & (SYN | ACK | RST | FIN) != SYN | ACK {
        return 0;
    }
    if !C::FORWARDS || flow.direction != Direction::Forward as u8 {
        return (flow.direction == Direction::Outbound as u8).into();
    }
    let quota_owner = quota::of_forwarded(
        context.last_device(),
        words(&flow.destination),
        context.seed(),
    );
    connections.is_short(quota_owner, context.now_ns()).into()
}

/// Returns whether a datagram of the zone goes to a group (multicast or broadcast), whose members answer by their own
/// addresses.
#[inline(always)]
fn goes_to_group<T: Tables, E: PacketContext<T>>(flow: &PacketHeaders, context: &mut E) -> bool {
    if flow.protocol != UDP || flow.direction != Direction::Outbound as u8 {
        return false;
    }
    let [high, low] = words(&flow.destination);
    if flow.ip_version == 4 {
        low as u32 >> 28 == 0xE || low as u32 == u32::MAX || context.goes_to_everyone()
    } else {
        high >> 56 == 0xFF
    }
}

/// The verdict of the rules on a connection's beginning, as that on a reply.
#[inline(always)]
fn be_a_reply(decision: &mut Decision) {
    decision.reason = Reason::Reply as u8;
    decision.log = 0;
    decision.known = 1;
}

/// Returns the decision by the fail mode for a packet when the service has ended, or `None` if the rules are to go on
/// deciding.
#[must_use]
#[inline(always)]
pub fn decide_alone<T: Tables>(tables: &T) -> Option<Decision> {
    let head = head(tables)?;
    let verdict = match head.fail_mode {
        open if open == FailMode::Open as u32 => Verdict::Allow,
        block if block == FailMode::Closed as u32 => Verdict::Block,
        _ => return None,
    };
    Some(verdict_of(
        head.generation,
        NO_RULE,
        verdict,
        Reason::FailMode as u8,
    ))
}

/// Asks the rules about the beginning of the connection that a reply belongs to. What they don't allow any more is
/// forgotten.
#[inline(always)]
fn still_allowed<T: Tables, E: PacketContext<T>, C: Connections>(
    reply: &mut Parsed,
    context: &mut E,
    tables: &T,
    connections: &mut C,
    decision: &mut Decision,
) -> bool {
    context.classify(reply, Asked::Beginning, tables, decision);
    if decision.verdict == Verdict::Socket as u8 {
        return true;
    }
    renew(&reply.flow, context, connections, decision);
    decision.verdict == Verdict::Allow as u8
}

#[inline(always)]
fn verdict_of(generation: u32, rule: u32, verdict: Verdict, reason: u8) -> Decision {
    Decision {
        rule,
        generation,
        verdict: verdict as u8,
        reason,
        log: 0,
        known: 1,
    }
}
