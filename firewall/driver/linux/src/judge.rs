//! The way of one packet: decide, count, tell.

use crate::arrived;
use crate::asking;
use crate::classify::{
    UNCOUNTED, gatebell_as_forwarded, gatebell_classify, gatebell_count_rule_once,
    gatebell_matters_who,
};
use crate::clock;
use crate::dns;
use crate::entry_ends::{
    gatebell_devices, gatebell_is_anothers, gatebell_is_astray, gatebell_is_heard_by_another,
    gatebell_note_owner,
};
use crate::flows::Flows;
use crate::guests;
use crate::packet::{AtSocket, PacketView};
use crate::rejected;
use crate::report::{Seen, tell_all};
use crate::tables::{self, InForce};
use crate::translated;
use channel::driver::ebpf;
use engine::connection::{Asked, PacketContext, decide, decide_alone, ends_at_socket};
use engine::{Parsed, head, is_refused_by_default, may_keep_the_link, parse, published};
use firewall_abi::firewall::{FlowEntry, FlowKey, LOOPBACK, Owner, canary};
use firewall_abi::packet::{Decision, Direction, PacketHeaders, PacketMeta, Verdict};
use firewall_abi::rules::{NEEDS_LOOPBACK, NEEDS_PERSON, NEEDS_PROGRAM, NEEDS_USER};

/// Judges a packet of the zone: the verdict first, then its counters, then the record. What never leaves the machine
/// passes unseen, unless a rule names its device. `is_of_dns` becomes 1 if what comes in carries an answer of DNS, or
/// what goes out a question, and passes.
#[inline(always)]
pub fn judge<P: PacketView>(packet: &P, direction: Direction, is_of_dns: &mut u32) -> Verdict {
    let rules = InForce::now();
    if stays(packet) && !judges_loopback(&rules) {
        if !P::FORWARDED {
            if is_canary(packet) {
                note_canary(packet, direction);
            }
            *is_of_dns = dns::is_of_resolver_here(packet, direction);
        }
        return Verdict::Allow;
    }
    let length = packet.length();
    let mut parsed = parse(packet, length, direction);
    let alone = if tables::service_is_gone() {
        decide_alone(&rules)
    } else {
        None
    };
    let decision = match alone {
        Some(decision) => decision,
        None => {
            let mut local = PacketMeta::UNKNOWN;
            let mut context = AtZone::of(packet, &mut local);
            let mut decision = decide(&mut parsed, &mut context, &rules, &mut P::Flows::default());
            if !P::FORWARDED {
                rejected::gatebell_let_answers_pass(&local, &mut decision);
            }
            decision
        }
    };
    let left = decision.verdict == Verdict::Socket as u8;
    if direction as u8 == Direction::Inbound as u8 && needs_owner(&rules) {
        arrived::note(packet, &parsed, left);
    }
    if left {
        tables::count_left();
        return Verdict::Socket;
    }
    if direction as u8 != Direction::Forward as u8 {
        // A number, and not compared before it is used: the verifier would follow both ways from here on.
        *is_of_dns = dns::gatebell_is_of_dns(&parsed.flow, &decision);
    }
    settle(packet, length, &parsed.flow, direction, &decision)
}

/// Returns whether a packet never leaves the machine. What is forwarded may come by the loopback device, and leave.
#[inline(always)]
fn stays<P: PacketView>(packet: &P) -> bool {
    packet.device_number() == LOOPBACK && (!P::FORWARDED || packet.out_device_number() == LOOPBACK)
}

/// Returns whether a packet is a canary, by which the service sees whether packets come by here. It is known by what it
/// carries: others' rules may give it any mark.
#[inline(always)]
fn is_canary<P: PacketView>(packet: &P) -> bool {
    let length = packet.length();
    canary::LENGTHS.contains(&length)
        && packet.load::<u64>(length - size_of::<u64>() as u32) == Some(tables::canary_word())
}

/// Counts a packet by which the service sees whether packets come by here.
#[inline(always)]
fn note_canary<P: PacketView>(packet: &P, direction: Direction) {
    let way = if direction as u8 == Direction::Inbound as u8 {
        canary::IN
    } else {
        canary::OUT
    };
    let first: u8 = packet.load(0).unwrap_or(0);
    tables::count_canary(
        way + if first >> 4 == 6 {
            canary::V6
        } else {
            canary::V4
        },
    );
}

/// Returns whether some rule asks who gets a packet, so that this is judged at its socket.
#[inline(always)]
fn needs_owner(rules: &InForce) -> bool {
    head(rules).is_some_and(|head| head.needs & (NEEDS_USER | NEEDS_PROGRAM | NEEDS_PERSON) != 0)
}

/// Judges what a socket is about to get, if that was left to it: it was counted then as what nobody gets, and not told.
/// Each socket of a group judges by itself; a packet is counted and told once for each
/// verdict, however many sockets get it.
#[inline(always)]
pub fn judge_at_socket(packet: &AtSocket) -> Verdict {
    let rules = InForce::now();
    if !needs_owner(&rules)
        || stays(packet) && !judges_loopback(&rules)
        || !tables::is_zones(packet.socket())
        || tables::service_is_gone() && decide_alone(&rules).is_some()
    {
        return Verdict::Allow;
    }
    let mut parsed = Parsed::NOTHING;
    let was_allowed = arrived::was_allowed(packet, &mut parsed);
    if !ends_at_socket(parsed.flow.protocol) {
        return Verdict::Allow;
    }
    let mut local = PacketMeta::UNKNOWN;
    let mut context = AtZone::of(packet, &mut local);
    if was_allowed
        && gatebell_is_heard_by_another(
            &parsed.flow,
            packet.receiver_number(),
            packet.socket_address(),
        ) == 0
    {
        arrived::gatebell_keep_allowed();
        return Verdict::Allow;
    }
    let mut was_left = 0;
    if !was_allowed {
        was_left = arrived::gatebell_take_back_left();
    }
    let decision = decide(&mut parsed, &mut context, &rules, &mut Flows::<false>);
    // It goes on with what was allowed, and was counted by that before, unless it was left: that was allowed meanwhile.
    if decision.known == 1 && !context.asked {
        if was_left == 1 {
            arrived::gatebell_count_once(Verdict::Allow as u32);
        }
        return Verdict::Allow;
    }
    let direction = Direction::Inbound;
    if was_allowed {
        arrived::gatebell_take_back_allowed();
    }
    settle(packet, packet.length(), &parsed.flow, direction, &decision)
}

/// Counts and tells what was decided, each unless that was done where another socket gets the same packet.
#[inline(always)]
fn settle<P: PacketView>(
    packet: &P,
    length: u32,
    flow: &PacketHeaders,
    direction: Direction,
    decision: &Decision,
) -> Verdict {
    if P::AT_SOCKET {
        arrived::gatebell_count_once(decision.verdict.into());
    } else {
        tables::count(direction as u8, decision.verdict);
    }
    // A question is told once, however many packets wait for its answer.
    let told_before =
        decision.verdict == Verdict::Ask as u8 && !asking::ask(packet, flow, decision);
    if decision.log == 1
        && !told_before
        && !(P::AT_SOCKET && arrived::gatebell_was_told(decision.verdict.into()) == 1)
    {
        report(packet, length, flow, decision);
    }
    match decision.verdict {
        ALLOW => Verdict::Allow,
        REJECT => Verdict::Reject,
        _ if engine::rejected::is_sender_told(flow, decision) => Verdict::Reject,
        _ => Verdict::Block,
    }
}

const ALLOW: u8 = Verdict::Allow as u8;
const REJECT: u8 = Verdict::Reject as u8;

#[inline(always)]
pub fn judges_loopback(rules: &InForce) -> bool {
    head(rules).is_some_and(|head| head.needs & NEEDS_LOOPBACK != 0)
}

/// Local identity of a packet: who is at the zone's end of it.
struct AtZone<'a, P> {
    packet: &'a P,
    /// `true` if the rules were asked.
    asked: bool,
    /// Local identity, once it is found: handed in, because the small stack has room for it once, and room beside it
    /// for nothing that need not have an address.
    local: &'a mut PacketMeta,
}

impl<'a, P: PacketView> AtZone<'a, P> {
    #[inline(always)]
    const fn of(packet: &'a P, local: &'a mut PacketMeta) -> Self {
        Self {
            packet,
            asked: false,
            local,
        }
    }

    /// Asks the rules about what was sent to a port of the machine's own and goes elsewhere. What the small stack has
    /// no room for twice stands in `local` and in `decision` meanwhile.
    #[inline(always)]
    fn classify_as_sent(&mut self, packet: &mut Parsed, asked: Asked, decision: &mut Decision) {
        let (tracked, netns) = self.packet.tracked();
        let (flow, local) = (&raw mut packet.flow, &raw mut *self.local);
        if tracked == 0
            || translated::gatebell_as_sent(tracked, flow, asked as u32, local) != translated::YES
        {
            return;
        }
        gatebell_classify(packet, local, asked as u32 | UNCOUNTED, decision);
        gatebell_as_forwarded(netns, flow, asked as u32, local, decision);
    }
}

impl<P: PacketView> PacketContext<InForce> for AtZone<'_, P> {
    const SEEN_BEFORE: bool = P::AT_SOCKET;

    #[inline(always)]
    fn length(&self) -> u32 {
        self.packet.length()
    }

    #[inline(always)]
    fn note_owner(&mut self, flow: &PacketHeaders, entry: &mut FlowEntry) {
        // Of what comes in the answer says it, if there is one.
        if P::AT_SOCKET || !P::FORWARDED && flow.direction == Direction::Outbound as u8 {
            gatebell_note_owner(self.packet.socket_address(), entry);
        }
    }

    #[inline(always)]
    fn receiver(&self) -> u64 {
        self.packet.receiver_number()
    }

    #[inline(always)]
    fn is_anothers(&mut self, entry: &FlowEntry) -> bool {
        gatebell_is_anothers(self.packet.socket_address(), entry) == 1
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn socket(&mut self) -> u64 {
        self.packet.socket_number()
    }

    #[inline(always)]
    fn goes_to_everyone(&mut self) -> bool {
        self.packet.goes_to_everyone()
    }

    #[inline(always)]
    fn device(&mut self) -> u32 {
        gatebell_devices(
            self.packet.device_address(),
            self.packet.out_device_address(),
        )
    }

    #[inline(always)]
    fn is_astray(&mut self, flow: &PacketHeaders, entry: &FlowEntry) -> bool {
        let [one, other] = [
            self.packet.device_address(),
            self.packet.out_device_address(),
        ];
        gatebell_is_astray(entry, flow.direction.into(), one, other) == 1
    }

    #[inline(always)]
    fn user(&mut self) -> u32 {
        self.packet.user()
    }

    #[inline(always)]
    fn first_device(&self) -> u32 {
        self.packet.device_number()
    }

    #[inline(always)]
    fn last_device(&self) -> u32 {
        self.packet.out_device_number()
    }

    #[inline(always)]
    fn seed(&self) -> u64 {
        tables::seed()
    }

    #[inline(always)]
    fn quoted(&mut self, error: &PacketHeaders, key: &mut FlowKey) -> bool {
        engine::quoted(self.packet, error, key)
    }

    #[inline(always)]
    fn find(&mut self, flow: &PacketHeaders, local: &mut PacketMeta) {
        find_local(self.packet, flow, local);
    }

    /// Asks a function of its own, which the verifier follows once, and not once for each state that leads here.
    #[inline(always)]
    fn classify(
        &mut self,
        packet: &mut Parsed,
        asked: Asked,
        tables: &InForce,
        decision: &mut Decision,
    ) {
        *self.local = PacketMeta::UNKNOWN;
        if head(tables).is_some_and(|head| head.needs != 0)
            || !P::FORWARDED && gatebell_matters_who(&packet.flow) == 1
        {
            find_local(self.packet, &packet.flow, self.local);
        }
        self.asked = true;
        let uncounted = if P::AT_SOCKET { UNCOUNTED } else { 0 };
        gatebell_classify(packet, self.local, asked as u32 | uncounted, decision);
        if P::AT_SOCKET && asked == Asked::Packet {
            gatebell_count_rule_once(decision);
        }
        // Rules that came meanwhile may ask what was not looked for: its next packet asks them again.
        if head(tables).is_none_or(|head| head.generation != decision.generation) {
            decision.generation = 0;
        }
        if P::FORWARDED && published::asks_again(decision) {
            self.classify_as_sent(packet, asked, decision);
        }
        let asks = decision.verdict == Verdict::Ask as u8;
        if asks
            || !P::FORWARDED && is_refused_by_default(decision) && may_keep_the_link(&packet.flow)
        {
            let socket = self.packet.socket_address();
            asking::gatebell_answer(packet, self.local, asked as u32, decision, socket);
        }
    }
}

/// Finds out who is at the zone's end, and by which devices the packet goes.
#[inline(never)]
fn find_local<P: PacketView>(packet: &P, flow: &PacketHeaders, local: &mut PacketMeta) {
    local.interface = packet.device_name();
    note_guests(&mut local.interface, packet.device_address());
    local.out_interface = packet.out_device_name();
    if P::FORWARDED {
        note_guests(&mut local.out_interface, packet.out_device_address());
    }
    let mut owner = Owner::NOBODY;
    local.phase = packet.find_owner(flow, &mut owner);
    local.program = owner.program;
    local.user = owner.user;
    if !P::FORWARDED && !P::AT_SOCKET && rejected::is_answer(packet, flow) {
        local.phase = PacketMeta::ANSWERS;
    }
}

/// Notes of a device, before its name, whether it leads to guests alone.
#[inline(always)]
fn note_guests(name: &mut [u64; 2], device: u64) {
    name[0] |= guests::before_name(guests::gatebell_guests(device, 0));
}

/// Tells every app that wants to know. The kernel does the loop: its verifier then follows one step of it, not sixteen
/// times as many states as lead here. Who sent the packet is looked for only if somebody listens.
#[inline(never)]
fn report<P: PacketView>(packet: &P, length: u32, flow: &PacketHeaders, decision: &Decision) {
    let used = ebpf::used();
    if used == 0 {
        return;
    }
    let mut seen = Seen {
        flow,
        decision,
        owner: Owner::NOBODY,
        length,
        interface: packet.device_number(),
        out_interface: packet.out_device_number(),
        stamp_ns: 0,
    };
    packet.find_owner(flow, &mut seen.owner);
    tell_all(used, &mut seen);
}
