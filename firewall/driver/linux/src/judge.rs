//! One packet: decide, count, tell.

use crate::arrived;
use crate::asking;
use crate::clock;
use crate::dns;
use crate::flows::Flows;
use crate::guests;
use crate::local_addresses;
use crate::packet::{AtSocket, PacketView, number_of};
use crate::rejected;
use crate::socket_owner;
use crate::tables::{self, InForce};
use crate::translated;
use aya_ebpf::helpers::generated::bpf_loop;
use channel::driver::ebpf;
use core::ffi::c_void;
use engine::connection::{
    Asked, Ends, classify_as, comes_astray, decide, decide_alone, ends_at_socket,
    is_heard_by_another,
};
use engine::{Parsed, head, is_refused_by_default, may_keep_the_link, parse, published};
use firewall_abi::firewall::{FlowEntry, FlowKey, LOOPBACK, Owner, canary};
use firewall_abi::kind;
use firewall_abi::packet::{
    Decision, Direction, NO_USER, Packet, PacketHeaders, PacketMeta, Verdict,
};
use firewall_abi::rules::{NEEDS_LOOPBACK, NEEDS_PERSON, NEEDS_PROGRAM, NEEDS_USER};

/// Judges a packet of the zone: the verdict first, then its counters, then the record. What never leaves the machine passes
/// unseen, unless a rule names its device. `is_of_dns` becomes 1 if what comes in carries an answer of DNS, or what goes out a
/// question, and passes.
#[inline(always)]
pub fn judge<P: PacketView>(packet: &P, direction: Direction, is_of_dns: &mut u32) -> Verdict {
    let rules = InForce::now();
    if stays(packet) && !judges_loopback(&rules) {
        if !P::FORWARDED && packet.mark() == tables::canary_mark() {
            note_canary(packet, direction);
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
            let mut ends = AtZone::of(packet, &mut local);
            let mut decision = decide(&mut parsed, &mut ends, &rules, &mut P::Flows::default());
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

/// Whether a packet never leaves the machine. What is forwarded may come by the loopback device, and leave.
#[inline(always)]
fn stays<P: PacketView>(packet: &P) -> bool {
    packet.device_number() == LOOPBACK && (!P::FORWARDED || packet.out_device_number() == LOOPBACK)
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

/// Whether some rule asks who gets a packet, so that this is judged at its socket.
#[inline(always)]
fn needs_owner(rules: &InForce) -> bool {
    head(rules).is_some_and(|head| head.needs & (NEEDS_USER | NEEDS_PROGRAM | NEEDS_PERSON) != 0)
}

/// Judges what a socket is about to get, if that was left to it: it was counted then as what nobody gets, and not told. Each socket of a
/// group judges by itself; a packet is counted and told once for each verdict, however many sockets get it.
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
    let mut ends = AtZone::of(packet, &mut local);
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
    let decision = decide(&mut parsed, &mut ends, &rules, &mut Flows::<false>);
    // It goes on with what was allowed, and was counted by that before, unless it was left: that was allowed meanwhile.
    if decision.known == 1 && !ends.asked {
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
        _ => Verdict::Block,
    }
}

const ALLOW: u8 = Verdict::Allow as u8;
const REJECT: u8 = Verdict::Reject as u8;

#[inline(always)]
pub fn judges_loopback(rules: &InForce) -> bool {
    head(rules).is_some_and(|head| head.needs & NEEDS_LOOPBACK != 0)
}

/// Who is at the zone's end of a packet.
struct AtZone<'a, P> {
    packet: &'a P,
    /// Whether the rules were asked.
    asked: bool,
    /// Who it is, once that is found: handed in, because the small stack has room for it once, and room beside it for nothing that
    /// need not have an address.
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

    /// Asks the rules about what was sent to a port of the machine's own and goes elsewhere. What the small stack has no room for
    /// twice stands in `local` and in `decision` meanwhile.
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

/// Beside what the rules are asked about: what they say may not be the verdict, and is counted where it is.
const UNCOUNTED: u32 = 2;
/// The same: it is asked for a socket, and others may get the same packet.
const AT_SOCKET: u32 = 4;

/// Makes of a packet as it was sent what is forwarded again; and of what the rules say of it what they say where it goes, unless that
/// does not decide.
///
/// A global function for the verifier, as [`gatebell_classify`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_as_forwarded(
    netns: u64,
    flow: *mut PacketHeaders,
    asked: u32,
    local: *mut PacketMeta,
    decision: *mut Decision,
) -> i32 {
    if flow.is_null() || local.is_null() || decision.is_null() {
        return 1;
    }
    // SAFETY: not null; the one caller hands in a value of its own.
    let flow = unsafe { &mut *flow };
    // SAFETY: likewise, and another value.
    let local = unsafe { &mut *local };
    // SAFETY: likewise.
    let decision = unsafe { &mut *decision };
    let asked = asked_about(asked);
    translated::exchange(flow, asked, local);
    let own = match local_addresses::is_own(netns, &translated::address(local)) {
        local_addresses::YES => Some(true),
        local_addresses::NO => Some(false),
        _ => None,
    };
    let rules = InForce::now();
    let head = head(&rules);
    if !published::decides(decision, own) {
        *decision = engine::default_of(head, Direction::Forward);
    } else if let Some(head) = head
        && asked == Asked::Packet
        && head.generation == decision.generation
    {
        rules.count(head, decision.rule);
    }
    0
}

/// What the rules are asked about, by its number.
#[inline(always)]
pub const fn asked_about(number: u32) -> Asked {
    if number & Asked::Beginning as u32 == 0 {
        Asked::Packet
    } else {
        Asked::Beginning
    }
}

impl<P: PacketView> Ends<InForce> for AtZone<'_, P> {
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
        pair(self.packet.device_number(), self.packet.out_device_number())
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
        let socket = if P::AT_SOCKET { AT_SOCKET } else { 0 };
        gatebell_classify(packet, self.local, asked as u32 | socket, decision);
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

/// Both devices of what is forwarded in one number. A reply comes by the other one, and is the same pair.
#[inline(always)]
fn pair(one: u32, other: u32) -> u32 {
    one.max(other).rotate_left(16) ^ one.min(other)
}

/// Whether a packet can't be a reply in this connection, by the devices at these addresses. 1: it can't.
///
/// A global function for the verifier, as [`gatebell_classify`] is.
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
    let [one, other] = [device, out_device].map(number_of);
    // What is forwarded goes out by another one.
    let answers_by = if out_device == 0 { device } else { out_device };
    let astray = entry.device != pair(one, other)
        && comes_astray(direction as u8, entry, other, || {
            guests::gatebell_guests(answers_by, 1) != guests::NO
        });
    astray.into()
}

/// Whether it matters who sends a packet of this kind, whatever the rules ask. 1: it does.
///
/// A global function for the verifier: what it learns of the headers ends here, and is not followed into what comes after.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_matters_who(flow: *const PacketHeaders) -> u32 {
    if flow.is_null() {
        return 0;
    }
    // SAFETY: not null; every caller hands in a value of its own.
    let flow = unsafe { &*flow };
    (may_keep_the_link(flow) || rejected::may_be_answer(flow)).into()
}

/// Answers by one generation of the rules: the one that is in force now, if a new one was published since the packet was
/// looked at. What it answers of a packet itself is the verdict, and is counted in that generation.
///
/// A global function for the verifier: it is checked by itself, whatever its callers know.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_classify(
    packet: *mut Parsed,
    local: *mut PacketMeta,
    asked: u32,
    answer: *mut Decision,
) -> i32 {
    if packet.is_null() || local.is_null() || answer.is_null() {
        return 1;
    }
    // SAFETY: not null; every caller hands in a value of its own.
    let packet = unsafe { &mut *packet };
    // SAFETY: likewise, and another value.
    let local = unsafe { &mut *local };
    let rules = InForce::now();
    let head = head(&rules);
    let (counted, at_socket) = (
        asked & !AT_SOCKET == Asked::Packet as u32,
        asked & AT_SOCKET != 0,
    );
    let asked = asked_about(asked);
    let decision = classify_as(packet, asked, local, head, &rules);
    let counts = counted
        && !local.is_connect()
        && !(at_socket && arrived::gatebell_was_counted(decision.rule) == 1);
    if let Some(head) = head.filter(|_| counts) {
        rules.count(head, decision.rule);
    }
    // SAFETY: not null, and the verifier knows that there is room for one.
    unsafe { answer.write(decision) };
    0
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

/// What there is to tell of a packet.
struct Seen<'a> {
    flow: &'a PacketHeaders,
    decision: &'a Decision,
    owner: Owner,
    length: u32,
    interface: u32,
    out_interface: u32,
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
    };
    packet.find_owner(flow, &mut seen.owner);
    tell_all(used, &mut seen);
}

/// The same of a packet that was refused before it was there.
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
    };
    socket_owner::of_socket(socket, &mut seen.owner);
    tell_all(used, &mut seen);
}

/// What a connection has carried.
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

/// Notes whose a connection is, by the socket at its end here.
///
/// A global function for the verifier, as [`gatebell_classify`] is.
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

/// Whether the socket is somebody else's than a connection of datagrams. 1: it is.
///
/// A global function for the verifier, as [`gatebell_classify`] is.
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

/// Whether what answers a datagram comes to another's socket than it was sent by. 1: it does.
///
/// A global function for the verifier, as [`gatebell_classify`] is: it would follow what comes after once for each way through here.
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

#[inline(always)]
fn tell_all(used: u32, seen: &mut Seen<'_>) {
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
    // SAFETY: the kernel hands on what `report` gave it.
    let seen = unsafe { &*seen };
    let known = seen.owner.program[0] != PacketMeta::KERNEL[0];
    ebpf::offer_to(
        slot,
        kind::PACKET,
        seen.owner.user,
        |packet: &mut Packet| {
            packet.flow = *seen.flow;
            packet.decision = *seen.decision;
            packet.length = seen.length;
            packet.interface = seen.interface;
            packet.pid = seen.owner.pid;
            packet.user = seen.owner.user;
            packet.out_interface = seen.out_interface;
            packet.program = if known { seen.owner.program } else { [0; 2] };
            packet.name = zerocopy::transmute!(seen.owner.name);
        },
    );
    0
}
