//! Tests of somebody who tampers with the driver, and with what it stands on, while the service lives: within ten
//! seconds it is mended, or closed, or the status says so.

use super::hostile::{self, Lingering};
use super::*;
use channel::sys::linux::bpf::{self, NetfilterPlace, NetfilterProgram};
use channel::sys::linux::{ObjectMap, TypedMap};
use firewall_abi::firewall::{Lease, Service, generation_index};
use firewall_abi::rules::{PAGE_WORDS, Page};
use lab::OUTSIDE_V6;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use zone::probe::{guest, reaches, refuses_to};
use zone::stream::Stream;
use zone::unit::{self, RejectUnit};

/// Greatest time that the zone may be open while the status says that all is well: a busy machine is given more than
/// the ten seconds.
const SOON: Duration = Duration::from_secs(30);

fn is_closed(zone: &Protected) -> bool {
    refuses(zone) && refuses_to(zone, OUTSIDE_V6) && !lets_in(zone, INSIDE, 5353, false)
}

fn is_red(zone: &Protected) -> bool {
    !zone.ask().status().unwrap().trouble.is_empty()
}

/// Goes on until everything is refused again that is to be, and nothing else is.
fn is_mended(zone: &Protected, what: &str) {
    let begun = Instant::now();
    loop {
        let (closed, red) = (is_closed(zone), is_red(zone));
        if closed && !red {
            break;
        }
        let passed = begun.elapsed();
        assert!(closed || red || passed < SOON, "{what}: open and green");
        assert!(passed < SOON * 3, "{what}: mended");
    }
    wait_until(what, || passes(zone, false));
}

/// Returns whether what is allowed gets through, and is answered. It is given longer where that is meant.
fn passes(zone: &Protected, meant: bool) -> bool {
    let patience = if meant { 60 } else { 2 };
    let page = zone.inside(&format!(
        "timeout {patience} busybox wget -q -O - http://{OUTSIDE}/"
    ));
    !page.stdout.is_empty()
}

fn kept(zone: &Protected, start: &str) -> Vec<PathBuf> {
    let kept = fs::read_dir(version(zone)).unwrap();
    let paths = kept.map(|kept| kept.unwrap().path());
    let begins = |path: &PathBuf| name(path).starts_with(start);
    let found: Vec<_> = paths.filter(begins).collect();
    assert!(!found.is_empty(), "{start}");
    found
}

fn object(path: &Path) -> OwnedFd {
    bpf::pinned(path).unwrap().unwrap()
}

#[test]
fn what_is_taken_off_the_kernel_is_there_again_within_ten_seconds() {
    let zone = Protected::start();
    for path in kept(&zone, "link_") {
        bpf::detach_link(object(&path).as_fd()).unwrap();
    }
    is_mended(&zone, "links that were taken off");
    for path in kept(&zone, "link_") {
        fs::remove_file(path).unwrap();
    }
    is_mended(&zone, "links that lost their names");
    let table = ObjectMap::open(object(&version(&zone).join("JUDGES"))).unwrap();
    // They may be there again by the time that somebody asks for a page.
    wait_until("nothing passes where nobody judges", || {
        for place in 0..6 {
            table.remove(place).unwrap();
        }
        !passes(&zone, false)
    });
    is_mended(&zone, "those who judge");
    let flushed = zone.inside(
        "nft flush ruleset; tc qdisc add dev gb0 clsact; tc qdisc del dev gb0 clsact; true",
    );
    assert!(flushed.status.success() && is_closed(&zone) && passes(&zone, true));
}

/// Loads a program that lets everything pass, whatever it is attached to.
fn passer() -> OwnedFd {
    // r0 = 1 (`NF_ACCEPT`), and its end.
    let instructions = [0xB7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let none = File::open("/dev/null").unwrap();
    let program = NetfilterProgram {
        name: "passer",
        instructions: &instructions,
        license: c"GPL",
        type_data: none.as_fd(),
        functions: (&[], 8),
        lines: (&[], 16),
    };
    bpf::load_netfilter(&program, &mut []).unwrap()
}

#[test]
fn the_services_own_packets_are_known_whatever_mark_others_rules_give_them() {
    let zone = Protected::start();
    // As rules do that keep a connection's mark: most connections have none.
    let chain = |name: &str, hook: &str| {
        format!(
            "nft add chain inet marks {name} '{{ type filter hook {hook} priority -150; }}' && \
             nft add rule inet marks {name} meta mark set 7"
        )
    };
    let lines = [
        "nft add table inet marks".to_owned(),
        chain("first", "output"),
        chain("last", "input"),
    ];
    let marks = zone.inside(&lines.join(" && "));
    assert!(marks.status.success(), "{marks:?}");
    let counters = object(&version(&zone).join("CANARY"));
    let counters = TypedMap::<_, u32, u64>::open(counters).unwrap();
    let seen = || [0, 1, 2, 3].map(|index| counters.get(&index).unwrap().unwrap());
    let before = seen();
    wait_until("each of them is seen", || {
        seen().iter().zip(before).all(|(now, before)| *now > before)
    });
}

/// Takes our hooks of these names off, and puts programs that let everything pass in their
/// places. Dropped, they are gone.
fn usurp(zone: &Protected, entries: &[&str]) -> Vec<OwnedFd> {
    let netns = File::open(zone.lab.netns()).unwrap();
    let of_families = |entry: &&str| {
        ["ipv4", "ipv6"].map(|family| version(zone).join(format!("link_enter_{entry}_{family}")))
    };
    let ours: Vec<_> = entries.iter().flat_map(of_families).collect();
    // The kernel attaches in the network namespace of who asks.
    std::thread::spawn(move || {
        setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
        let usurp = |path: &PathBuf| {
            let link = object(path);
            let place: NetfilterPlace = bpf::netfilter_place(link.as_fd()).unwrap().unwrap();
            bpf::detach_link(link.as_fd()).unwrap();
            bpf::link_netfilter(passer().as_fd(), place).unwrap()
        };
        ours.iter().map(usurp).collect()
    })
    .join()
    .unwrap()
}

#[test]
fn a_program_in_the_place_of_one_of_ours_is_found_out_by_packets_that_do_not_come() {
    let zone = Protected::start();
    let usurpers = usurp(&zone, &["local_in", "local_out"]);
    is_mended(&zone, "another's programs in our places");
    drop(usurpers);
    is_mended(&zone, "and not any more");
}

#[test]
fn a_program_in_the_place_of_one_of_ours_is_found_out_as_the_package_has_the_service_run() {
    let mut zone = Protected::start();
    zone.service.stop();
    let unit = RejectUnit::of(&zone);
    zone.start_again_with(&["--rejected", unit.socket.to_str().unwrap()]);
    wait_until("who answers is there", || !is_red(&zone));
    let usurpers = usurp(&zone, &["local_in", "local_out"]);
    is_mended(&zone, "another's programs in our places");
    drop(usurpers);
    zone.service.stop();
}

#[test]
fn whoever_has_taken_over_who_answers_holds_up_nothing_by_what_they_send() {
    /// Message of the process once it is ready: sockets by their cookies.
    const READY: [u8; 17] = [b'=', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let mut zone = Protected::start();
    zone.service.stop();
    let (path, listener) = unit::listening(&zone);
    let taken_over = std::thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        hostile::send(connection.as_fd(), &READY, &[]).unwrap();
        (listener, connection)
    });
    zone.start_again_with(&["--rejected", path.to_str().unwrap()]);
    let (_listener, connection) = taken_over.join().unwrap();
    let lingering = Lingering::connect();
    hostile::send(connection.as_fd(), b"?", &[lingering.socket.as_fd()]).unwrap();
    let _reads_nothing = lingering.give_away();
    for _ in 0..20 {
        let asked = Instant::now();
        zone.ask().status().unwrap();
        let held_up = asked.elapsed();
        assert!(held_up < Duration::from_secs(2), "{held_up:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_program_in_the_place_of_ours_for_what_is_forwarded_is_found_out_by_what_is_not_judged() {
    let zone = Protected::start();
    let guest = guest(&zone);
    let passes = || reaches(&guest.0, (OUTSIDE, 80), false);
    assert!(!passes());
    // Who comes before us can refuse, but not let pass.
    let nft = "nft add table inet others && nft add chain inet others first \
               '{ type filter hook forward priority -300; policy accept; }'";
    let accepts = zone.inside(nft);
    assert!(accepts.status.success() && !passes(), "{accepts:?}");
    let usurpers = usurp(&zone, &["forward"]);
    assert!(reaches(&guest.0, (OUTSIDE, 80), true));
    // A busy server may let one try go by.
    let is_refused = || (0..3).all(|_| !passes());
    let begun = Instant::now();
    while !is_refused() {
        assert!(begun.elapsed() < SOON, "open and green");
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(usurpers);
    assert!(is_refused());
    assert!(!is_red(&zone));
}

#[test]
fn what_others_refuse_of_what_is_forwarded_is_no_trouble() {
    let path = std::env::temp_dir().join(format!("gatebell-others-{}", std::process::id()));
    let written = File::create(&path).unwrap();
    let mut log = File::open(&path).unwrap();
    fs::remove_file(path).unwrap();
    let zone = Protected::with_log(RULES, &[], &[], written);
    let guest = guest(&zone);
    let refuses = zone.inside(
        "nft add table inet others && nft add chain inet others first \
         '{ type filter hook forward priority 0; policy drop; }'",
    );
    assert!(refuses.status.success(), "{refuses:?}");
    // The hooks are looked at twice.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        assert!(!reaches(&guest.0, (OUTSIDE, 80), false));
        assert!(!is_red(&zone));
    }
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    assert!(!said.contains("were gone"), "{said}");
}

#[test]
fn what_somebody_writes_into_the_tables_by_which_the_driver_judges_is_taken_back() {
    let zone = Protected::start();
    let map = |name| object(&version(&zone).join(name));
    let rules = ObjectMap::open(map("RULES")).unwrap();
    let lease = TypedMap::<_, u32, Lease>::open(map("LEASE")).unwrap();
    let service = TypedMap::<_, u32, Service>::open(map("SERVICE")).unwrap();
    let judges = ObjectMap::open(map("JUDGES")).unwrap();
    let apply = |text: &str| zone.ask().apply("new.toml", text, None).unwrap();
    apply(&allowing());
    let open = rules.map(generation_index::CONFIRMED).unwrap().unwrap();
    apply(RULES);
    let (our_lease, our_service) = (lease.get(&0).unwrap(), service.get(&0).unwrap().unwrap());
    let stand = || {
        let rules = [0, 1].map(|place| rules.id(place).unwrap());
        let judges = [0, 1, 2].map(|place| judges.id(place).unwrap());
        (rules, judges)
    };
    let ours = stand();
    assert!(is_closed(&zone));
    // It may be mended before somebody sends a packet.
    wait_until("other rules, or no one who judges", || {
        rules.put(generation_index::CONFIRMED, &open).unwrap();
        rules.put(generation_index::CANDIDATE, &open).unwrap();
        let lasting = Lease {
            deadline_ns: u64::MAX,
            last_generation: 0,
        };
        lease.set(&0, &lasting).unwrap();
        (0..2).for_each(|place| judges.put(place, passer()).unwrap());
        let gone = Service {
            gone: 1,
            netns: 0,
            ..our_service
        };
        service.set(&0, &gone).unwrap();
        !refuses(&zone)
    });
    is_mended(&zone, "other rules, and others who judge");
    assert_eq!(stand(), ours);
    assert_eq!(lease.get(&0).unwrap(), our_lease);
    assert_eq!(service.get(&0).unwrap(), Some(our_service));
    let generation = rules.map(generation_index::CONFIRMED).unwrap().unwrap();
    let pages = TypedMap::<_, u32, Page>::open(generation).unwrap();
    assert!(
        pages.set(&0, &[0; PAGE_WORDS]).is_err(),
        "rules that are in force"
    );
    assert!(is_closed(&zone));
}

#[test]
fn a_bpffs_that_is_unmounted_is_said_and_packets_are_judged_as_long_as_the_service_lives() {
    let mut zone = Protected::start();
    let bpffs = zone.lab.pins().parent().unwrap().to_owned();
    let unmounted = Command::new("umount").arg("-l").arg(&bpffs).status();
    assert!(unmounted.unwrap().success());
    let begun = Instant::now();
    while !is_red(&zone) {
        assert!(begun.elapsed() < SOON, "nothing is said of it");
    }
    let said = zone.ask().status().unwrap().trouble;
    assert!(said[0].detail.contains("once the service ends"), "{said:?}");
    wait_until("they are judged", || {
        is_closed(&zone) && passes(&zone, true)
    });
    zone.service.kill();
    let words = ["-t", "bpf", "bpf"];
    let again = Command::new("mount").args(words).arg(&bpffs).status();
    assert!(again.unwrap().success());
    assert!(!zone.start_again(), "nothing was left");
    is_mended(&zone, "by a start from nothing");
}

#[test]
fn hooks_whose_tables_lost_their_names_are_replaced_by_the_next_service() {
    let mut zone = Protected::start();
    for path in kept(&zone, "")
        .into_iter()
        .filter(|path| !name(path).starts_with("link_"))
    {
        fs::remove_file(path).unwrap();
    }
    assert!(is_closed(&zone) && passes(&zone, true), "nothing changes");
    zone.service.kill();
    assert!(is_closed(&zone), "nor opens");
    Stream::watch_leaks(&zone);
    let sends = format!("while :; do echo > /dev/udp/{OUTSIDE}/9; done 2> /dev/null");
    let sends = ["timeout", "60", "bash", "-c", &sends];
    let mut sender = zone.lab.inside(&sends).spawn().unwrap();
    zone.start_again();
    sender.kill().unwrap();
    sender.wait().unwrap();
    assert_eq!(Stream::leaked(&zone), 0, "nor opens in between");
    is_mended(&zone, "by the next one");
    fs::write(&zone.rules, allowing()).unwrap();
    zone.signal(Signal::SIGHUP);
    zone.hear("reloaded");
    assert!(!refuses(&zone), "which judges");
}

#[test]
fn a_device_is_judged_whatever_it_is_called_and_wherever_it_has_been() {
    let zone = Protected::start();
    add_pair(&zone, "gb2", "gb3", 1);
    let netns = name(&zone.lab.netns());
    let elsewhere = zone::probe::Namespace::made("elsewhere");
    let is_judged = |what: &str| {
        assert!(refuses_to(&zone, "10.78.1.1"), "{what}");
        assert!(!lets_in(&zone, "10.78.1.2", 5353, false), "{what}");
    };
    is_judged("as it was made");
    ip(&["-n", &netns, "link", "set", "gb2", "netns", &elsewhere.0]);
    ip(&["-n", &elsewhere.0, "link", "set", "gb2", "name", "other"]);
    ip(&["-n", &elsewhere.0, "link", "set", "other", "netns", &netns]);
    ip(&["-n", &netns, "addr", "add", "10.78.1.2/24", "dev", "other"]);
    ip(&["-n", &netns, "link", "set", "other", "up"]);
    is_judged("as it came back");
    assert!(!is_red(&zone));
}
