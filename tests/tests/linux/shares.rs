//! Tests of each user's share, and of what the server withstands.

use super::{RING, attach};
use crate::hostile::Lingering;
use crate::place::{Child, Host, within};
use crate::{hostile, place};
use channel::sys::linux::socket;
use channel::{Mask, Refusal};
use channel_abi::{Command, SLOTS};
use gatebell_tests::PATIENCE;
use sample_abi::kind;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Time below which a user is not held up: one who is waits as long as somebody else's socket lingers, which is much
/// longer.
const HELD_UP: Duration = Duration::from_secs(hostile::LINGERS as u64 / 2);

#[test]
fn other_users_get_in_only_where_the_kernel_keeps_records_apart() {
    let host = Host::start(None);
    let mut child = Child::start("unprivileged", &host);
    if host.records_may_overlap {
        eprintln!("this kernel is without the fix of CVE-2024-41009");
        assert_eq!(child.says("refused"), Refusal::Unsupported.name());
    } else {
        assert_eq!(child.says("delivered"), "100");
    }
}

#[test]
fn one_user_can_t_take_every_slot_and_the_last_one_is_roots() {
    let host = Host::start(None);
    let mut child = Child::start("crowd", &host);
    assert_eq!(child.says("attached"), "4");
    assert_eq!(child.says("refused"), "quota");
    assert_eq!(child.says("connected"), "16", "nor every connection");
    let attach_one = || {
        let device = host.open();
        let attached = device.attach(4096, Mask::NONE);
        attached.map_err(|error| error.refusal().unwrap())
    };
    let mine: Vec<_> = (4..SLOTS - 1).map(|_| attach_one().unwrap()).collect();
    let mut late = Child::start("unprivileged", &host);
    assert_eq!(late.says("refused"), "no_slot");
    let last = attach_one().unwrap();
    assert_eq!(attach_one().err(), Some(Refusal::NoSlot));
    drop((mine, last));
    child.kill();
    within(PATIENCE, || host.open().references().unwrap().attached == 0);
    attach_one().unwrap();
}

/// No descriptor, no reference: one mapped page is enough for a ring to live, and for the kernel to say so.
#[test]
fn rings_that_one_user_keeps_mapped_count_until_they_are_unmapped() {
    let host = Host::start(None);
    let mut child = Child::start("keeper", &host);
    assert_eq!(child.says("kept"), "8");
    assert_eq!(child.says("refused"), "quota");
    assert_eq!(child.says("attached"), "0", "no slot is taken");
    let device = host.open();
    drop(attach(&device, RING, Mask::NONE));
    assert_eq!(child.says("unmapped"), "attached again");
    assert_eq!(
        child.says("largest"),
        "4",
        "of the largest rings one user has less"
    );
    assert_eq!(child.says("refused"), "quota");
    child.ends_well();
}

#[test]
fn an_app_that_takes_no_answers_is_hung_up_on_and_holds_nobody_up() {
    let host = Host::start(None);
    let (line, other) = (host.line(), host.open());
    let prelude = socket::Prelude {
        number: Command::References as u32,
        descriptors: 0,
    };
    let asked = (0..100_000)
        .take_while(|_| socket::send(line.as_fd(), prelude, &[], &[], 0).is_ok())
        .count();
    assert!(asked < 100_000, "the device server still listens");
    let before = Instant::now();
    assert_eq!(other.references().unwrap().attached, 0);
    assert!(before.elapsed() < HELD_UP);
}

#[test]
fn no_foreign_descriptor_holds_the_door_up() {
    let host = Host::start(None);
    let other = host.open();
    let mut lines = Vec::new();
    // An empty message ends the connection; a command that there is not is refused; a reference is looked at.
    for bytes in [&[][..], &[0; 8], &(Command::Reference as u64).to_ne_bytes()] {
        let lingering = Lingering::connect();
        let line = host.line();
        hostile::send(line.as_fd(), bytes, &hostile::many(&lingering.socket)).unwrap();
        lines.push(line);
        // The peer stays; the device server has the last descriptors of the end that waits.
        lines.push(lingering.give_away());
        assert_eq!(other.references().unwrap().attached, 0, "{bytes:?}");
    }
    // What was sent to a connection that ends before it is read, and what is no ring.
    let no_rings = hostile::no_rings();
    for beside in &no_rings {
        let lingering = Lingering::connect();
        let line = host.line();
        let both = [beside.as_fd(), lingering.socket.as_fd()];
        for _ in 0..3 {
            hostile::send(line.as_fd(), &[0; 8], &both).unwrap();
        }
        drop(line);
        lines.push(lingering.give_away());
    }
    drop(no_rings);
    assert_eq!(other.references().unwrap().attached, 0);
    let late = host.open();
    let app = attach(&late, RING, Mask::of(kind::NOTICE));
    assert_eq!(other.references().unwrap().attached, 1);
    drop(app);
}

#[test]
fn who_opens_the_device_once_too_often_hears_why() {
    let host = Host::start(None);
    let all: Vec<_> = (0..64).map(|_| host.open()).collect();
    let refused = channel::open(&host.socket).unwrap_err();
    assert_eq!(refused.refusal(), Some(Refusal::NoSlot), "{refused}");
    drop(all);
    // The server hears of it in its next turn.
    within(PATIENCE, || channel::open(&host.socket).is_ok());
}

/// Tests a peer that connects again and again while nobody can be accepted: the server is not to try again and again.
#[test]
fn a_process_that_may_open_nothing_more_rests_and_lets_in_who_waits_once_it_may() {
    let host = Host::start(None);
    let mut child = Child::start("knocker", &host);
    assert_eq!(child.says("connected"), "yes");
    let none = hostile::OpenFiles::all_taken();
    child.goes_on();
    std::thread::sleep(Duration::from_millis(300));
    let (before, busy) = (Instant::now(), place::busy());
    std::thread::sleep(Duration::from_secs(1));
    let busy = place::busy() - busy;
    drop(none);
    assert!(busy < before.elapsed() / 4, "{busy:?} of a second");
    assert_eq!(child.says("greeted"), "true");
    child.ends_well();
}

/// Tests that a container's users, or one user's subordinate ones, have one share if the policy says so.
#[test]
fn users_that_count_as_one_have_one_share_of_slots_and_connections() {
    let host = Host::start_with(None, |user| user >> 16);
    let mut child = Child::start("crowd 131073", &host);
    assert_eq!(child.says("attached"), "4");
    assert_eq!(child.says("connected"), "16");
    let mut same = Child::start("visitor 131074", &host);
    assert_eq!(same.says("let in"), "false");
    let mut another = Child::start("visitor 196609", &host);
    assert_eq!(another.says("let in"), "true");
    same.ends_well();
    another.ends_well();
    child.kill();
}

/// Tests as many connections and descriptors as one user has, in a process that may have 1024 open: what is closed late
/// is bounded by all of them together, and the kernel never finds that there is no number left, for then it closes what
/// it could not hand over itself.
#[test]
fn what_one_user_sends_on_all_connections_at_once_takes_neither_every_descriptor_nor_the_servers_time()
 {
    let _few = hostile::OpenFiles::at_most(1024);
    let host = Host::start(None);
    let other = host.open();
    let mut child = Child::start("flooder", &host);
    assert_eq!(child.says("sent"), "16");
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let before = Instant::now();
        assert_eq!(other.references().unwrap().attached, 0);
        drop(host.open());
        assert!(before.elapsed() < HELD_UP, "it is held up");
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(open < 900, "{open} are open");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill();
}
