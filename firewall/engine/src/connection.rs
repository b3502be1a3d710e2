//! Decisions on packets that belong together: what begins a connection, and what is a reply in one.
//!
//! Where the connections are kept (a kernel map, a dry run's table) is the caller's: [`Connections`]. What is
//! remembered, and what passes because of it, is decided here, once for both.

use crate::buyer;
use crate::classify::classify_under;
use crate::headers::protocol::{DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use crate::link::{may_keep_the_link, stay_on_the_link};
use crate::tables::{Tables, head};
use crate::{Parsed, Shape, is_error};
use firewall_abi::firewall::{FlowEntry, FlowKey, carried};
use firewall_abi::packet::{
    Decision, Direction, Local, NO_RULE, PacketHeaders, Reason, Verdict, reply_direction,
};
use firewall_abi::rules::{
    ASKS_INTERFACE, ASKS_OUT_INTERFACE, ASKS_PROGRAM, ASKS_USER, FailMode, Head,
};

/// Where connections are kept.
pub trait Connections {
    /// The connection's entry, unless it is forgotten. What is changed in it stays.
    fn find(&mut self, key: &FlowKey) -> Option<&mut FlowEntry>;

    /// Remembers a new one, unless it was begun meanwhile, and returns its entry: [`FlowEntry::NEW`], but for its buyer, direction and
    /// place. The oldest of those that are not confirmed makes room for it: of what began outside any, else one of the same buyer.
    fn begin(&mut self, key: &FlowKey, buyer: u32, direction: u8) -> Option<&mut FlowEntry>;

    /// Moves one that is confirmed to where it makes no room for new ones, and marks it as [`FlowEntry::KEPT`]. Where its
    /// [buyer](crate::buyer::has_room) has no room it counts that, and the connection stays where it is.
    fn keep(&mut self, _: &FlowKey) {}

    /// Counts what a connection carries. Others may count there at the same time.
    #[inline(always)]
    fn add(counter: &mut u64, more: u64) {
        *counter = counter.wrapping_add(more);
    }

    /// Forgets one.
    fn forget(&mut self, key: &FlowKey);

    /// Moves one that both ends have ended to where it makes room for others: for a while its last packets may be sent
    /// again.
    fn close(&mut self, key: &FlowKey);

    /// The entry of a connection that was closed, unless it is forgotten.
    fn closed(&mut self, key: &FlowKey) -> Option<&FlowEntry>;
}

/// When a packet is seen, and who is at its end in the zone, which is asked only when it has to be.
pub trait Ends<T: Tables> {
    /// Whether a packet that goes on with a connection was counted before: it is seen again where a socket gets it.
    const SEEN_BEFORE: bool = false;

    /// Now, in nanoseconds of the clock by which connections grow old: a coarse one does.
    fn now_ns(&self) -> u64;

    /// The number of the socket that sends it, which no other ever has; 0 if that is not known.
    fn socket(&mut self) -> u64;

    /// The device that the packet comes in or goes out by; of what is forwarded, both in a number of their own, the same for
    /// replies.
    fn device(&mut self) -> u32 {
        0
    }

    /// The user whose socket sends it: `NO_USER` if that is not known, [`buyer::KERNEL`] if no socket does.
    fn user(&mut self) -> u32;

    /// The number of the device that what is forwarded comes in by.
    fn first_device(&self) -> u32 {
        0
    }

    /// What the numbers of networks are mixed with.
    fn seed(&self) -> u64 {
        0
    }

    /// Bytes of the packet, from its IP header on.
    fn length(&self) -> u32 {
        0
    }

    /// Notes whose the connection is, as far as the packet's end in the zone is known.
    fn note_owner(&mut self, _: &PacketHeaders, _: &mut FlowEntry) {}

    /// Whether a datagram of IPv4 that leaves goes to everyone on its link. Its address alone does not say: a network's last one
    /// does that too.
    fn goes_to_everyone(&mut self) -> bool {
        false
    }

    /// Writes down which connection an ICMP error is about, as [`crate::quoted`] reads it in the packet; false: it shows none.
    fn quoted(&mut self, error: &PacketHeaders, key: &mut FlowKey) -> bool;

    /// Writes down who it is.
    fn find(&mut self, flow: &PacketHeaders, local: &mut Local);

    /// What the rules say of the packet or, of a reply, of its connection's beginning. Who is at the zone's end is found
    /// out if a rule asks: there it is the same for both. The packet is as it was afterwards.
    #[inline(always)]
    fn classify(&mut self, packet: &mut Parsed, asked: Asked, tables: &T, decision: &mut Decision) {
        let mut local = Local::UNKNOWN;
        let head = head(tables);
        if head.is_some_and(|head| head.asks != 0) || may_keep_the_link(&packet.flow) {
            self.find(&packet.flow, &mut local);
        }
        *decision = classify_as(packet, asked, &mut local, head, tables);
        if asked == Asked::Packet {
            stay_on_the_link(packet, &local, decision);
        }
    }
}

/// What the rules are asked about. A number, because eBPF's functions take no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Asked {
    /// The packet itself.
    Packet = 0,
    /// What its connection began with: the packet is a reply.
    Beginning = 1,
}

/// What the rules say of what is asked about, when it is known who is at the zone's end.
///
/// A reply becomes its connection's beginning meanwhile: eBPF has no room for both.
#[inline(always)]
pub fn classify_as<T: Tables>(
    packet: &mut Parsed,
    asked: Asked,
    local: &mut Local,
    head: Option<&Head>,
    tables: &T,
) -> Decision {
    let PacketHeaders {
        source_port,
        destination_port,
        ..
    } = packet.flow;
    if asked == Asked::Beginning {
        turn_round(&mut packet.flow);
        turn_devices_round(packet.flow.direction, local);
    }
    let decision = classify_under(head, packet, local, tables);
    if asked == Asked::Beginning {
        turn_round(&mut packet.flow);
        packet.flow.source_port = source_port;
        packet.flow.destination_port = destination_port;
    }
    decision
}

/// Whether what gets packets of this protocol is a socket, which the kernel asks before it takes them. What is not decided
/// before is decided there; of other protocols the kernel itself is at the end.
#[must_use]
#[inline(always)]
pub const fn ends_at_socket(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

/// What is known beforehand: captures say when, and nothing of who.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// See [`Ends::now_ns`].
    pub now_ns: u64,
    /// Who it is.
    pub local: Local,
    /// See [`Ends::device`].
    pub device: u32,
    /// See [`Ends::first_device`].
    pub first_device: u32,
    /// See [`Ends::goes_to_everyone`].
    pub goes_to_everyone: bool,
    /// See [`Ends::quoted`].
    pub quoted: Option<FlowKey>,
}

impl<T: Tables> Ends<T> for Known {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn socket(&mut self) -> u64 {
        0
    }

    fn device(&mut self) -> u32 {
        self.device
    }

    fn user(&mut self) -> u32 {
        if self.local.program == Local::KERNEL {
            buyer::KERNEL
        } else {
            self.local.user
        }
    }

    fn first_device(&self) -> u32 {
        self.first_device
    }

    fn goes_to_everyone(&mut self) -> bool {
        self.goes_to_everyone
    }

    fn quoted(&mut self, _: &PacketHeaders, key: &mut FlowKey) -> bool {
        self.quoted.map(|quoted| *key = quoted).is_some()
    }

    fn find(&mut self, _: &PacketHeaders, local: &mut Local) {
        *local = self.local;
    }
}

/// Decides on a packet: what belongs to a connection that was allowed passes, the rules decide about the rest, and what
/// they allow is remembered if it can begin a connection. The packet is as it was afterwards.
#[inline(always)]
pub fn decide<T: Tables, E: Ends<T>, C: Connections>(
    packet: &mut Parsed,
    ends: &mut E,
    tables: &T,
    connections: &mut C,
) -> Decision {
    let Parsed { flow, shape } = &*packet;
    let is_whole = *shape == Shape::Whole;
    let mut belongs_to = if is_whole && asks_a_group(flow, ends) {
        GROUP
    } else {
        NONE
    };
    let can_converse =
        is_whole && belongs_to != GROUP && (may_begin(flow) || may_answer(flow) || is_error(flow));
    let mut decision = Decision::default();
    if can_converse {
        belongs_to = belongs(packet, ends, tables, connections, &mut decision);
        if belongs_to == ALLOWED {
            return decision;
        }
        if belongs_to == OUTDATED && still_allowed(packet, ends, tables, connections, &mut decision)
        {
            return decision;
        }
    }
    if can_converse && belongs_to == NONE && accepts(&packet.flow) {
        ends.classify(packet, Asked::Beginning, tables, &mut decision);
        if decision.verdict == Verdict::Allow as u8 {
            be_a_reply(&mut decision);
            return decision;
        }
    }
    ends.classify(packet, Asked::Packet, tables, &mut decision);
    let begins = belongs_to == GROUP || can_converse && may_begin(&packet.flow);
    if begins && decision.verdict == Verdict::Allow as u8 {
        remember(&packet.flow, belongs_to, ends, connections, &decision);
    }
    decision
}

/// Whether a packet is the zone's answer to who begins a TCP connection with it. It begins none itself. Where the beginning's
/// entry has had to make room, the rules say once more whether it may: a flood of beginnings makes no other one fail.
#[inline(always)]
fn accepts(flow: &PacketHeaders) -> bool {
    flow.direction == Direction::Outbound as u8
        && flow.protocol == TCP
        && flow.tcp_flags & (SYN | ACK | RST | FIN) == SYN | ACK
}

/// Whether a datagram of the zone asks a group (multicast, or everyone on the link), whose members answer by their own addresses.
#[inline(always)]
fn asks_a_group<T: Tables, E: Ends<T>>(flow: &PacketHeaders, ends: &mut E) -> bool {
    if flow.protocol != UDP || flow.direction != Direction::Outbound as u8 {
        return false;
    }
    let [high, low] = words(&flow.destination);
    if flow.ip_version == 4 {
        low as u32 >> 28 == 0xE || low as u32 == u32::MAX || ends.goes_to_everyone()
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

/// What [`belongs`] says, in numbers, because eBPF returns nothing else: no connection that is remembered,
const NONE: u32 = 0;
/// to one that was allowed,
const ALLOWED: u32 = 1;
/// as a reply to one that was allowed, but the rules have changed since,
const OUTDATED: u32 = 2;
/// to one of which the rules have to say again whether it is.
const OTHER: u32 = 3;
/// to none: it asks a group, and whoever is of it may answer.
const GROUP: u32 = 4;

/// What becomes of a packet when the service has ended, if the rules say that something else than they shall decide.
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

/// To which connection the packet belongs, and the verdict on it if that was [`ALLOWED`].
///
/// Out of line, as are others here: what they need of eBPF's small stack they need one after the other.
#[inline(never)]
fn belongs<T: Tables, E: Ends<T>, C: Connections>(
    packet: &Parsed,
    ends: &mut E,
    tables: &T,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    let flow = &packet.flow;
    let mut key = key_of(flow);
    if is_error(flow) && !ends.quoted(flow, &mut key) {
        return NONE;
    }
    let Some(head) = head(tables) else {
        return NONE;
    };
    let now_ns = ends.now_ns();
    let Some(entry) = connections.find(&key) else {
        return without_entry(&(flow, head), &mut key, ends, connections, decision);
    };
    if is_silent(&key, entry, now_ns) {
        connections.forget(&key);
        return NONE;
    }
    if is_error(flow) {
        return about(entry, head, decision);
    }
    let initiates = entry.local_began == from_local(flow);
    let moved = has_moved(head, entry, ends.device());
    if initiates {
        if moved || !still_the_same(flow, head, entry, sender(flow, ends)) {
            return OTHER;
        }
    } else if !may_answer(flow) {
        return OTHER;
    } else if moved || entry.generation != head.generation {
        return OUTDATED;
    }
    note_use(entry, initiates, flow.tcp_flags, now_ns);
    if !E::SEEN_BEFORE {
        count::<C>(entry, flow, ends.length());
    }
    if !initiates && entry.state & FlowEntry::OWNED == 0 {
        ends.note_owner(flow, entry);
    }
    let confirmed = entry.state & (FlowEntry::CONFIRMED | FlowEntry::KEPT) == FlowEntry::CONFIRMED;
    let reason = if initiates {
        entry.reason
    } else {
        Reason::Reply as u8
    };
    *decision = verdict_of(entry.generation, entry.rule, Verdict::Allow, reason);
    if flow.protocol == TCP && follow_to_its_end(flow, initiates, entry) {
        connections.close(&key);
    } else if confirmed {
        connections.keep(&key);
    }
    ALLOWED
}

/// Whether a connection would go on by another device than it was allowed by, and some rule asks for one: it is asked about again.
#[inline(always)]
fn has_moved(head: &Head, entry: &FlowEntry, device: u32) -> bool {
    head.asks & (ASKS_INTERFACE | ASKS_OUT_INTERFACE) != 0 && entry.device != device
}

/// To what a packet belongs that has no entry of its own, as [`belongs`] says it. It has five arguments: a function of eBPF
/// takes no more, and what the compiler makes of a sixth not every kernel takes.
#[inline(never)]
fn without_entry<T: Tables, E: Ends<T>, C: Connections>(
    &(flow, head): &(&PacketHeaders, &Head),
    key: &mut FlowKey,
    ends: &mut E,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    if flow.protocol == UDP && flow.direction == Direction::Inbound as u8 {
        of_a_group(key);
        return to_a_group(head, key, ends, connections, decision);
    }
    sent_again(flow, head, key, ends.now_ns(), connections, decision)
}

/// Makes of the key of a datagram that of a question to a group.
#[inline(always)]
fn of_a_group(key: &mut FlowKey) {
    key.remote = [0; 16];
    key.protocol = UDP as u32 | FlowKey::GROUP;
}

/// Whether a datagram answers what was asked of a group, by the device that it was asked by, seconds ago. However many answer,
/// that does not keep the question open.
#[inline(always)]
fn to_a_group<T: Tables, E: Ends<T>, C: Connections>(
    head: &Head,
    key: &FlowKey,
    ends: &mut E,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    let now_ns = ends.now_ns();
    let device = ends.device();
    match connections.find(key) {
        Some(entry) if entry.device == device && !is_silent(key, entry, now_ns) => {
            let belongs_to = about(entry, head, decision);
            if belongs_to == ALLOWED && !E::SEEN_BEFORE {
                C::add(&mut entry.received, carried(1, ends.length().into()));
            }
            belongs_to
        }
        _ => NONE,
    }
}

/// Notes that the connection goes on. Written only when it changes: processors share what they read, and take turns at what
/// they write.
#[inline(always)]
fn note_use(entry: &mut FlowEntry, initiates: bool, tcp_flags: u8, now_ns: u64) {
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

/// Counts a packet that passes. What an ICMP error is about is not counted, nor what is sent again after a connection's end.
#[inline(always)]
fn count<C: Connections>(entry: &mut FlowEntry, flow: &PacketHeaders, length: u32) {
    let counter = if from_local(flow) == 1 {
        &mut entry.sent
    } else {
        &mut entry.received
    };
    C::add(counter, carried(1, length.into()));
}

/// What becomes of an ICMP error that is about this connection. It changes nothing in it: anybody on the way may have sent it.
#[inline(always)]
fn about(entry: &FlowEntry, head: &Head, decision: &mut Decision) -> u32 {
    if entry.generation != head.generation {
        return OTHER;
    }
    *decision = verdict_of(
        entry.generation,
        entry.rule,
        Verdict::Allow,
        Reason::Reply as u8,
    );
    ALLOWED
}

/// Asks the rules about the beginning of the connection that a reply belongs to. What they don't allow any more is
/// forgotten.
#[inline(always)]
fn still_allowed<T: Tables, E: Ends<T>, C: Connections>(
    reply: &mut Parsed,
    ends: &mut E,
    tables: &T,
    connections: &mut C,
    decision: &mut Decision,
) -> bool {
    ends.classify(reply, Asked::Beginning, tables, decision);
    if decision.verdict == Verdict::Socket as u8 {
        return true;
    }
    renew(&reply.flow, ends, connections, decision);
    decision.verdict == Verdict::Allow as u8
}

/// Notes what the rules say now of the beginning of the reply's connection, and makes it the verdict on the reply.
#[inline(never)]
fn renew<T: Tables, E: Ends<T>, C: Connections>(
    reply: &PacketHeaders,
    ends: &E,
    connections: &mut C,
    decision: &mut Decision,
) {
    let key = key_of(reply);
    let Some(entry) = connections.find(&key) else {
        return;
    };
    if decision.verdict != Verdict::Allow as u8 {
        // What came by another device than the connection is no word on the connection itself.
        if entry.generation != decision.generation {
            connections.forget(&key);
        }
        return;
    }
    entry.generation = decision.generation;
    entry.rule = decision.rule;
    entry.reason = decision.reason;
    entry.stamp_ns = ends.now_ns();
    count::<C>(entry, reply, ends.length());
    be_a_reply(decision);
}

/// Whether the packet belongs to a connection that was closed, as [`belongs`] says it.
#[inline(always)]
fn sent_again<C: Connections>(
    flow: &PacketHeaders,
    head: &Head,
    key: &FlowKey,
    now_ns: u64,
    connections: &mut C,
    decision: &mut Decision,
) -> u32 {
    if flow.protocol != TCP || flow.tcp_flags & SYN != 0 {
        return NONE;
    }
    let Some(entry) = connections.closed(key) else {
        return NONE;
    };
    let reason = if entry.local_began == from_local(flow) {
        entry.reason
    } else {
        Reason::Reply as u8
    };
    *decision = verdict_of(entry.generation, entry.rule, Verdict::Allow, reason);
    let recent = now_ns.saturating_sub(entry.stamp_ns) < SENT_AGAIN_NS;
    if recent && entry.generation == head.generation {
        ALLOWED
    } else {
        NONE
    }
}

/// Remembers an allowed packet's connection, unless the other end began it and has not ended it.
#[inline(never)]
fn remember<T: Tables, E: Ends<T>, C: Connections>(
    flow: &PacketHeaders,
    belongs_to: u32,
    ends: &mut E,
    connections: &mut C,
    decision: &Decision,
) {
    let mut key = key_of(flow);
    if belongs_to == GROUP {
        of_a_group(&mut key);
    }
    let socket = sender(flow, ends);
    let device = ends.device();
    let local_began = from_local(flow);
    let buyer = buyer_of(flow, ends);
    let mut state = 0;
    let mut known_one = false;
    if belongs_to != NONE {
        match connections.find(&key) {
            None => {}
            Some(known) if known.local_began != local_began => {
                if known.state & FlowEntry::ENDING == 0 {
                    return;
                }
                connections.forget(&key);
            }
            // A new one of somebody else's. What goes on stays with who began it: a socket that is closing has no user any more.
            Some(known)
                if known.direction != flow.direction
                    || known.buyer != buyer && (flow.protocol != TCP || is_first_syn(flow)) =>
            {
                connections.forget(&key);
            }
            Some(known) => {
                // Whatever begins anew has been answered by nobody yet.
                let lasts = if is_first_syn(flow) {
                    FlowEntry::KEPT
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
        connections.begin(&key, buyer, flow.direction)
    };
    let Some(entry) = entry else {
        return;
    };
    if entry.socket != socket {
        state &= !FlowEntry::OWNED;
    }
    entry.stamp_ns = ends.now_ns();
    entry.socket = socket;
    entry.rule = decision.rule;
    entry.generation = decision.generation;
    entry.reason = decision.reason;
    entry.state = state;
    entry.local_began = local_began;
    entry.device = device;
    entry.logged = decision.log.into();
    if state & FlowEntry::OWNED == 0 {
        ends.note_owner(flow, entry);
    }
    count::<C>(entry, flow, ends.length());
}

/// Whose a connection is that begins with this packet.
#[inline(always)]
fn buyer_of<T: Tables, E: Ends<T>>(flow: &PacketHeaders, ends: &mut E) -> u32 {
    const INBOUND: u8 = Direction::Inbound as u8;
    const OUTBOUND: u8 = Direction::Outbound as u8;
    match flow.direction {
        INBOUND => buyer::of_network(flow.ip_version, words(&flow.source), ends.seed()),
        OUTBOUND => buyer::of_user(ends.user()),
        _ => buyer::of_device(ends.first_device()),
    }
}

/// The socket in the zone that sends the packet; 0 for what comes in, whoever in the same kernel may have sent it.
#[inline(always)]
fn sender<T: Tables, E: Ends<T>>(flow: &PacketHeaders, ends: &mut E) -> u64 {
    if flow.direction == Direction::Outbound as u8 {
        ends.socket()
    } else {
        0
    }
}

/// Whether a packet of the initiator's need not be judged again: it goes on with what the rules in force have allowed, from
/// the very socket that began.
#[inline(always)]
fn still_the_same(flow: &PacketHeaders, head: &Head, entry: &FlowEntry, socket: u64) -> bool {
    // Who receives a datagram can change with each one.
    let receiver_matters = flow.direction == Direction::Inbound as u8
        && flow.protocol != TCP
        && head.asks & (ASKS_USER | ASKS_PROGRAM) != 0;
    entry.generation == head.generation
        && entry.socket == socket
        && !is_first_syn(flow)
        && !receiver_matters
}

/// Notes what a TCP packet says of its connection's end. True: both ends have said FIN, and this is the packet after that.
/// The FIN from inside can't be forged outside, so nobody there can bring it to its end.
#[inline(always)]
fn follow_to_its_end(flow: &PacketHeaders, initiates: bool, entry: &mut FlowEntry) -> bool {
    if flow.tcp_flags & RST != 0 {
        entry.state |= FlowEntry::BROKEN_OFF;
    } else if flow.tcp_flags & FIN != 0 {
        entry.state |= if initiates {
            FlowEntry::INITIATOR_DONE
        } else {
            FlowEntry::RESPONDER_DONE
        };
    } else {
        return entry.state & FlowEntry::DONE == FlowEntry::DONE;
    }
    false
}

/// For how long the last packets of a closed connection may be sent again: twice the longest time that a segment lives on
/// the way (RFC 9293, 3.4.2), as Linux counts it.
const SENT_AGAIN_NS: u64 = 120 * 1_000_000_000;

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

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const ECHO_REQUEST: u16 = 8;
const ECHO_REPLY: u16 = 0;
const ECHO_REQUEST_V6: u16 = 128;
const ECHO_REPLY_V6: u16 = 129;

/// Whether a packet can begin a connection: for TCP whatever is no end of one and accepts none, for ICMP a question.
#[must_use]
#[inline(always)]
pub fn may_begin(flow: &PacketHeaders) -> bool {
    match flow.protocol {
        TCP => flow.tcp_flags & (RST | FIN) == 0 && flow.tcp_flags & (SYN | ACK) != SYN | ACK,
        UDP => true,
        ICMP => flow.source_port == ECHO_REQUEST,
        ICMPV6 => flow.source_port == ECHO_REQUEST_V6,
        _ => false,
    }
}

/// Whether a packet can be a reply: for TCP all but a first SYN, for ICMP an answer.
#[must_use]
#[inline(always)]
pub fn may_answer(flow: &PacketHeaders) -> bool {
    match flow.protocol {
        TCP => flow.tcp_flags & (SYN | ACK) != SYN,
        UDP => true,
        ICMP => flow.source_port == ECHO_REPLY,
        ICMPV6 => flow.source_port == ECHO_REPLY_V6,
        _ => false,
    }
}

/// Whether a packet asks for a new TCP connection.
#[inline(always)]
fn is_first_syn(flow: &PacketHeaders) -> bool {
    flow.protocol == TCP && flow.tcp_flags & (SYN | ACK) == SYN
}

/// Both ends of a packet's connection, the same for either direction.
#[must_use]
#[inline(always)]
pub fn key_of(flow: &PacketHeaders) -> FlowKey {
    // Of an echo, the end that asks is marked: each end may ask the other, and these are two connections.
    let (source_port, destination_port) = match (flow.protocol, flow.source_port) {
        (TCP | UDP, _) => (flow.source_port, flow.destination_port),
        (ICMP, ECHO_REQUEST) | (ICMPV6, ECHO_REQUEST_V6) => (1, 0),
        (ICMP, ECHO_REPLY) | (ICMPV6, ECHO_REPLY_V6) => (0, 1),
        _ => (0, 0),
    };
    let mut protocol = flow.protocol.into();
    if flow.direction == Direction::Forward as u8 {
        protocol |= FlowKey::FORWARDED;
    }
    if from_local(flow) == 1 {
        let (local, remote) = (flow.source, flow.destination);
        FlowKey {
            local,
            remote,
            local_port: source_port,
            remote_port: destination_port,
            protocol,
        }
    } else {
        let (local, remote) = (flow.destination, flow.source);
        FlowKey {
            local,
            remote,
            local_port: destination_port,
            remote_port: source_port,
            protocol,
        }
    }
}

/// Whether a packet that comes in answers a connection that was allowed by other rules than these, or by another device where rules
/// ask for one: these rules were asked about its beginning, and if they ask who began it, that is left to the socket.
#[must_use]
#[inline(always)]
pub fn answers_what_others_allowed<C: Connections>(
    flow: &PacketHeaders,
    head: &Head,
    device: u32,
    connections: &mut C,
) -> bool {
    let entry = connections.find(&key_of(flow));
    entry.is_some_and(|entry| {
        entry.local_began != from_local(flow)
            && (entry.generation != head.generation || has_moved(head, entry, device))
    })
}

/// 1 if a packet comes from the end that its [`FlowKey`] calls local: the zone's; of what is forwarded, the lower address.
#[inline(always)]
fn from_local(flow: &PacketHeaders) -> u8 {
    const INBOUND: u8 = Direction::Inbound as u8;
    const OUTBOUND: u8 = Direction::Outbound as u8;
    match flow.direction {
        INBOUND => 0,
        OUTBOUND => 1,
        _ => u8::from(number_of(&flow.source) < number_of(&flow.destination)),
    }
}

fn number_of(address: &[u8; 16]) -> u128 {
    u128::from_be_bytes(*address)
}

fn words(address: &[u8; 16]) -> [u64; 2] {
    let number = number_of(address);
    [(number >> 64) as u64, number as u64]
}

/// What the connection began with, of a reply: the same ends, the other way round.
#[must_use]
pub fn beginning(reply: &PacketHeaders) -> PacketHeaders {
    let mut flow = PacketHeaders {
        tcp_flags: 0,
        ..*reply
    };
    turn_round(&mut flow);
    flow
}

/// Makes of a reply what its connection began with; of that again a reply, though an echo's code is lost.
#[inline(always)]
fn turn_round(flow: &mut PacketHeaders) {
    (flow.source, flow.destination) = (flow.destination, flow.source);
    (flow.source_port, flow.destination_port) = match flow.protocol {
        ICMP => (ECHO_REQUEST, 0),
        ICMPV6 => (ECHO_REQUEST_V6, 0),
        _ => (flow.destination_port, flow.source_port),
    };
    flow.direction = reply_direction(flow.direction);
}

/// What is forwarded goes back by the device that it came by.
#[inline(always)]
fn turn_devices_round(direction: u8, local: &mut Local) {
    if direction == Direction::Forward as u8 {
        (local.interface, local.out_interface) = (local.out_interface, local.interface);
    }
}

/// Whether a connection has been silent for longer than it may.
#[must_use]
#[inline(always)]
pub fn is_silent(key: &FlowKey, entry: &FlowEntry, now_ns: u64) -> bool {
    now_ns.saturating_sub(entry.stamp_ns) > longest_silence_ns(key.protocol, entry)
}

/// How long a connection may be silent before it is forgotten, in nanoseconds. As Linux' own connection tracking has them by default are
/// the times of a TCP connection that is not answered (120 s), not confirmed (60 s) or half closed (120 s), and of other protocols before they
/// are confirmed (30 s). Ours are: established TCP 2 hours, not 5 days; both ends closed or one broken off 10 s; other protocols, once
/// confirmed, 180 s, which is 120 s there for UDP and 30 s for ICMP.
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
