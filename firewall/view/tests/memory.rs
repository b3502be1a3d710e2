//! Memory of a million entries, counted where it is handed out.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use control::{NoNames, RuleName};
use firewall_abi::packet::{Direction, Packet, Reason, Verdict};
use rules::Protocol;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::UNIX_EPOCH;
use view::Entry;
use view::entry::EntryContent;
use view::kept::{KEPT, Rows};
use zerocopy::FromZeros;

/// Bytes that a window may take for the entries: tables that grow need some room beside the old ones.
const BOUND: usize = 100 << 20;

struct Counting;

/// Bytes that are handed out now, and the most that there ever were. They are read when nothing else runs: their order
/// says nothing.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(now, Relaxed);
}

// SAFETY: each call goes to the system's allocator as it came, whose contract is the same; what is counted beside it
// has no part in what is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the system's allocator handed it out with this layout, for `alloc` asks nobody else.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Lock by which one test at a time counts.
static ALONE: Mutex<()> = Mutex::new(());

/// Keeps as many entries as are asked for, as a window does that looks at them now and then, and returns the most bytes
/// that it took.
fn most_bytes_of(rows: &mut Rows, entries: usize, entry: impl Fn(usize) -> Entry) -> usize {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    for n in 0..entries {
        rows.push(&entry(n));
        if n % 1_000 == 0 {
            rows.look_through(usize::MAX);
        }
    }
    rows.look_through(usize::MAX);
    rows.settle();
    let claimed = rows.bytes();
    let taken = NOW.load(Relaxed) - before;
    // What it believes to take is about what it takes: it drops by that.
    assert!(
        taken < claimed + claimed / 8 + (1 << 20) && claimed < taken + taken / 8 + (1 << 20),
        "{claimed} claimed, {taken} taken"
    );
    MOST.load(Relaxed) - before
}

/// Returns a packet that one of so many programs sends to one of so many places.
fn entry(n: usize, programs: usize, places: usize) -> Entry {
    let mut packet = Packet::new_zeroed();
    packet.decision.verdict = Verdict::Block as u8;
    packet.decision.reason = Reason::Rule as u8;
    packet.headers.direction = Direction::Outbound as u8;
    packet.headers.protocol = Protocol::TCP.0;
    let place = u32::try_from(n % places).unwrap();
    packet.headers.destination[12..].copy_from_slice(&place.to_be_bytes());
    packet.headers.source_port = (n % 50_000) as u16;
    let mut entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut NoNames).unwrap();
    if let EntryContent::Packet(seen) = &mut entry.what {
        seen.rule = Some(RuleName {
            id: format!("rule-{}", n % 100),
            file: None,
            line: 7,
        });
        let program = format!("/usr/lib/some/where/program-{}", n % programs);
        seen.program.path = Some(program.into());
        seen.program.name = format!("program-{}", n % programs);
        seen.program.pid = n as u32;
        seen.destination_name = Some(format!("host-{}.example.org", n % places).into());
        seen.device = Some("eth0".into());
    }
    entry
}

#[test]
fn a_million_entries_are_held_in_a_hundred_mebibytes() {
    let _alone = ALONE.lock();
    let mut rows = Rows::default();
    let most = most_bytes_of(&mut rows, KEPT, |n| entry(n, 300, 5_000));
    assert_eq!(rows.shown(), KEPT, "all of them");
    assert!(most < BOUND, "{} MiB", most >> 20);
}

#[test]
fn entries_that_have_nothing_in_common_take_no_more_and_the_oldest_go_sooner() {
    let _alone = ALONE.lock();
    let mut rows = Rows::default();
    let all = KEPT / 10 * 3;
    let most = most_bytes_of(&mut rows, all, |n| entry(n, all, all));
    assert!(most < BOUND, "{} MiB", most >> 20);
    let counts = rows.shown_of_all();
    assert!(
        counts.dropped > 0 && counts.all as u64 + counts.dropped == all as u64,
        "{counts:?}"
    );
    assert!(counts.all > 80_000, "{counts:?}");
}
