//! Questions to a person: a rule that asks looks for an answer, and puts a question to the service if there is none.
//!
//! An answer is one entry of a table, in force with that one update. The service reads the questions where they are
//! kept, so a wake-up that was not heard costs nothing.
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "what is handed over by value is copied, and a program's stack is small"
)]

use crate::atomics::add;
use crate::packet::PacketView;
use crate::socket_owner;
use crate::tables::boot_ns;
use aya_ebpf::bindings::BPF_RB_FORCE_WAKEUP;
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use engine::asking::{Asker, find_answer, may_ask, subject};
use engine::connection::Asked;
use engine::{Parsed, stay_on_the_link};
use firewall_abi::asking::{
    Answer, MAX_ANSWERS, MAX_ASKED_SOCKETS, MAX_QUESTIONS, Question, Subject, WAKER_BYTES, Who,
};
use firewall_abi::firewall::Owner;
use firewall_abi::packet::{Decision, PacketHeaders, PacketMeta, Verdict};

/// Answers by their subjects. The service fills it and takes out what is over.
#[btf_map]
static ANSWERS: HashMap<Subject, Answer, MAX_ANSWERS> = HashMap::new();
/// Questions that are not answered yet. The service takes out what is.
#[btf_map]
static QUESTIONS: LruHashMap<Subject, Question, MAX_QUESTIONS> = LruHashMap::new();
/// Processes that there are answers to, by [`Who::words`]. The service puts them in; they are taken out here as they
/// end, and with them goes what was answered to them: others may hold their sockets yet.
#[btf_map]
static ANSWERED_PROCESSES: HashMap<[u64; 2], u64, MAX_ANSWERS> = HashMap::new();
/// Sockets that were asked about, by their cookies, until they are released:
/// the service knows by them what answers are over.
#[btf_map]
static ASKED_SOCKETS: HashMap<u64, u64, MAX_ASKED_SOCKETS> = HashMap::new();
/// Number of sockets that were asked about. Mostly there is none, and no socket that is released need be looked for.
#[btf_map]
static ASKED_COUNT: Array<u64, 1> = Array::new();
/// Wakes the service. What is in it says nothing.
#[btf_map]
static WAKER: RingBuf<u64, WAKER_BYTES> = RingBuf::new();

/// Looks for an answer where a rule asks, and makes it the verdict. What can't be asked about is blocked, but for what
/// the kernel sends to stay on its link, which no default refuses either.
///
/// A global function for the verifier, as `gatebell_classify` is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn gatebell_answer(
    packet: *mut Parsed,
    local: *mut PacketMeta,
    asked: u32,
    decision: *mut Decision,
    socket: u64,
) -> i32 {
    if packet.is_null() || local.is_null() || decision.is_null() {
        return 1;
    }
    // SAFETY: not null; it comes from the one caller, which hands in a value of its own.
    let packet = unsafe { &*packet };
    // SAFETY: likewise, and another value.
    let local = unsafe { &*local };
    // SAFETY: likewise.
    let decision = unsafe { &mut *decision };
    let asked = Asked::numbered(asked);
    if asked == Asked::Packet {
        stay_on_the_link(packet, local, decision);
    }
    if decision.verdict != Verdict::Ask as u8 {
        return 0;
    }
    let subject = subject(&packet.flow, asked, local.program, local.user);
    let mut asker = Asker::default();
    if socket != 0 {
        socket_owner::asker_of(socket, &mut asker);
        forget_others(&mut asker);
    }
    let now = boot_ns();
    let answered = find_answer(&subject, &asker, |to| {
        answered(to, local.program, now, decision)
    });
    if !answered && !may_ask(&packet.flow, &subject) {
        decision.verdict = Verdict::Block as u8;
    }
    0
}

/// Leaves a process out to which there are no answers, or no more.
#[inline(always)]
fn forget_others(asker: &mut Asker) {
    let Asker { pid, began_ns, .. } = *asker;
    let process = Who::Process { pid, began_ns }.words();
    // SAFETY: whether it is there is asked for, and nothing read.
    if unsafe { ANSWERED_PROCESSES.get(&process) }.is_none() {
        asker.pid = 0;
    }
}

/// A process has ended, or runs another program: what was answered to it is over.
#[inline(always)]
pub fn process_changed(pid: u32, began_ns: u64) {
    let _there_was_no_answer = ANSWERED_PROCESSES.remove(&Who::Process { pid, began_ns }.words());
}

/// Returns whether any socket that is there was asked about.
#[inline(always)]
pub fn any_socket() -> bool {
    ASKED_COUNT.get(0).is_some_and(|count| *count != 0)
}

/// A socket is released: nothing more begins by it.
#[inline(always)]
pub fn socket_released(cookie: u64) {
    if ASKED_SOCKETS.remove(&cookie).is_ok() {
        count_sockets(-1);
    }
}

#[inline(always)]
fn count_sockets(more: i64) {
    if let Some(count) = ASKED_COUNT.get(0) {
        add(count, more.cast_unsigned());
    }
}

/// Remembers that a socket was asked about, by its cookie. False: that can't be remembered.
#[inline(always)]
fn remember_socket(cookie: u64) -> bool {
    /// `BPF_NOEXIST`, and what the kernel says then of one that is there: `EEXIST`.
    const ONLY_NEW: u64 = 1;
    const ALREADY_THERE: i32 = -17;
    // Counted first: who is released just then is looked for.
    count_sockets(1);
    let inserted = ASKED_SOCKETS.insert(&cookie, &1, ONLY_NEW);
    if inserted.is_err() {
        count_sockets(-1);
    }
    inserted.is_ok() || inserted == Err(ALREADY_THERE)
}

/// Looks for an answer to just this for this program, which then is the decision. Returns whether there is one.
#[inline(never)]
fn answered(to: &Subject, program: [u64; 2], now: u64, decision: &mut Decision) -> bool {
    // SAFETY: read at once; the service alone writes, and what it takes out is over.
    let Some(answer) = (unsafe { ANSWERS.get(to) }) else {
        return false;
    };
    if !answer.holds(program, now) {
        return false;
    }
    decision.reason = answer.reason;
    if answer.verdict == Verdict::Allow as u8 {
        decision.verdict = Verdict::Allow as u8;
        decision.log = 0;
    } else {
        decision.verdict = Verdict::Block as u8;
    }
    true
}

/// Asks about a packet, unless that was asked before: then it counts. True: it is a new question.
#[inline(never)]
pub fn ask<P: PacketView>(packet: &P, flow: &PacketHeaders, decision: &Decision) -> bool {
    let mut owner = Owner::NOBODY;
    packet.find_owner(flow, &mut owner);
    let about = subject(flow, Asked::Packet, owner.program, owner.user);
    if let Some(known) = QUESTIONS.get_ptr_mut(&about) {
        // SAFETY: the kernel keeps the entry's memory for as long as the program runs.
        let count = unsafe { &(*known).count };
        add(count, 1);
        return false;
    }
    let mut question = Question {
        since_ns: boot_ns(),
        count: 1,
        began_ns: owner.began_ns,
        socket: packet.socket_number(),
        name: owner.name,
        pid: owner.pid,
        rule: decision.rule,
        generation: decision.generation,
        spare: 0,
    };
    // Where it can't be remembered, no answer can be to it.
    if question.socket != 0 && !remember_socket(question.socket) {
        question.socket = 0;
    }
    if QUESTIONS.insert(&about, &question, 0).is_err() {
        return false;
    }
    // A full ring has woken the service, which has not looked yet.
    let _woken_already = WAKER.output(&1_u64, BPF_RB_FORCE_WAKEUP.into());
    true
}
