//! Classification of a packet by the rules, in functions that the verifier follows once each, whatever their callers
//! know.

use crate::arrived;
use crate::local_addresses;
use crate::rejected;
use crate::tables::InForce;
use crate::translated;
use engine::connection::{Asked, classify_as};
use engine::{Parsed, head, may_keep_the_link, published};
use firewall_abi::packet::{Decision, Direction, PacketHeaders, PacketMeta};

/// Answers by one generation of the rules: the one that is in force now, if a new one was published since the packet
/// was looked at. What it answers of a packet itself is the verdict, and is counted in that generation.
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
    let counted = asked == Asked::Packet as u32;
    let asked = Asked::numbered(asked);
    let decision = classify_as(packet, asked, local, head, &rules);
    let counts = counted && !local.is_connect();
    if let Some(head) = head.filter(|_| counts) {
        rules.count(head, decision.rule);
    }
    // SAFETY: not null, and the verifier knows that there is room for one.
    unsafe { answer.write(decision) };
    0
}

/// Beside what the rules are asked about: what they say may not be the verdict, and is counted where it is.
pub const UNCOUNTED: u32 = 2;

/// Counts the rule that has decided for a socket, unless it was counted where another socket gets the same packet.
///
/// A global function for the verifier, as [`gatebell_classify`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_count_rule_once(decision: *const Decision) -> i32 {
    if decision.is_null() {
        return 1;
    }
    // SAFETY: not null; the one caller hands in a value of its own.
    let decision = unsafe { &*decision };
    let rules = InForce::now();
    if let Some(head) = head(&rules)
        && head.generation == decision.generation
        && arrived::gatebell_was_counted(decision.rule) == 0
    {
        rules.count(head, decision.rule);
    }
    0
}

/// Makes of a packet as it was sent what is forwarded again; and of what the rules say of it what they say where it
/// goes, unless that does not decide.
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
    let asked = Asked::numbered(asked);
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

/// Returns 1 if it matters who sends a packet of this kind, whatever the rules ask.
///
/// A global function for the verifier: what it learns of the headers ends here,
/// and is not followed into what comes after.
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
