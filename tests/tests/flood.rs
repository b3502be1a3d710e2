//! Promises of the firewall under load: floods, apps that come and go, rules that change all the while. On this
//! machine's kernel. Every load is bounded in count and time, and stays in the zone.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "flood/crowd.rs"]
mod crowd;
#[path = "flood/publishing.rs"]
mod publishing;
#[path = "flood/reading.rs"]
mod reading;
mod zone;

use channel::Attachment;
use channel::sys::linux::{Linux, ObjectMap, bpf};
use channel_abi::SLOTS;
use control::Client;
use crowd::{Child, ring_of, stop_apps};
use firewall_abi::kind;
use firewall_abi::packet::NO_USER;
use lab::{Counted, INSIDE, OUTSIDE};
use publishing::Publishing;
use reading::{Reading, Tally, tally};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use zone::Protected;
use zone::lie::{pretend, written};
use zone::probe::{NOBODY, refuses, version, wait_until};
use zone::stream::Stream;

const ROOT: u32 = 0;
/// User with no rights, beside [`NOBODY`].
const SOMEBODY: u32 = 65_533;

/// Datagrams of the flood, each to a port that the rules refuse.
const FLOOD: u64 = 150_000;

/// Numbers that must never become less, by their names.
#[derive(Default)]
struct Counters(HashMap<String, u64>);

impl Counters {
    /// Every number of what the service answers.
    fn look(&mut self, service: &mut Client) {
        let accounts = service.accounts().unwrap();
        let stats = service.stats().unwrap();
        self.note("taken", accounts.taken);
        self.note("released", accounts.released);
        self.note_all("past", &serde_json::to_value(accounts.past).unwrap());
        for app in accounts.apps {
            self.note_all(
                &format!("app {}", app.slot),
                &serde_json::to_value(app.counted).unwrap(),
            );
        }
        for (name, now) in [
            ("in", stats.blocked_in),
            ("out", stats.blocked_out),
            ("on", stats.allowed_out),
        ] {
            self.note(name, now);
        }
    }

    fn note_all(&mut self, name: &str, numbers: &Value) {
        for (field, now) in numbers.as_object().unwrap() {
            self.note(&format!("{name}: {field}"), now.as_u64().unwrap());
        }
    }

    fn note(&mut self, name: &str, now: u64) {
        let before = self.0.insert(name.to_owned(), now).unwrap_or_default();
        assert!(now >= before, "{name}: {now} after {before}");
    }
}

/// The books of an honest app that has read everything, after a last record on every processor.
fn balance(name: &str, app: &Attachment<Linux>, got: &Tally, offered: u64) {
    let account = app.account().unwrap();
    assert!(
        account.balances() && account.in_ring == 0,
        "{name}: {account:?}"
    );
    assert_eq!(account.kernel.offered, offered, "{name}: {account:?}");
    assert_eq!(account.delivered, got.records, "{name}: {account:?}");
    let lost = account.kernel.lost_in_all();
    assert_eq!(
        account.gaps, lost,
        "{name}: what never came is what was counted: {account:?}"
    );
    assert_eq!(
        got.losses, lost,
        "{name}: and so is what it was told: {account:?}"
    );
    assert_eq!(account.lost_untold(), 0, "{name}: {account:?}");
}

/// Sends one more datagram on each processor, so that every loss is told of. Returns the number of these.
fn refused_everywhere(zone: &Protected) -> u64 {
    let mut last = Child::inside(zone, ROOT, "everywhere");
    let (tried, refused) = (last.number("tried"), last.number("refused"));
    assert_eq!(refused, tried);
    tried
}

#[test]
fn a_flood_past_all_kinds_of_readers_is_refused_and_accounted_for_while_rules_change() {
    let mut zone = Protected::start();
    let before = zone.agreed();
    let fast = Reading::start(zone.attach(1 << 20), Duration::ZERO);
    let slow = Reading::start(zone.attach(1 << 14), Duration::from_millis(30));
    let (mut stopped, mut late) = (zone.attach(1 << 14), Tally::default());
    let liar = zone.attach(1 << 14);
    let mut victim = Child::beside(&zone, ROOT, "read");
    let ring = victim.number("ring").try_into().unwrap();

    let rules = Publishing::start(&zone);
    let mut flood = Child::inside(&zone, ROOT, &format!("flood {FLOOD}"));
    victim.number("read");
    let (mut counters, mut service) = (Counters::default(), zone.ask());
    let killed = std::thread::spawn(move || {
        sleep(Duration::from_secs(1));
        victim.kill();
    });
    for turn in 0_u64.. {
        // As if it had read everything, then as if it had read what was never written.
        pretend(
            &liar,
            if turn % 2 == 0 {
                written(&liar)
            } else {
                1 << 40
            },
        );
        counters.look(&mut service);
        if flood.has_ended() {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    pretend(&liar, 1 << 40);
    let (tried, refused) = (flood.number("tried"), flood.number("refused"));
    killed.join().unwrap();
    assert_eq!(refused, tried, "whatever the readers do");
    let rules = rules.end();

    // What no record has told of yet, the next one on its processor tells.
    let (driver, nft) = zone.agreed();
    assert_eq!(driver.blocked - before.0.blocked, tried);
    assert_eq!(nft.blocked - before.1.blocked, tried);
    let account = stopped.account().unwrap();
    assert!(
        account.balances() && account.in_ring == account.kernel.committed,
        "{account:?}"
    );
    assert!(
        account.kernel.lost_in_all() > 0 && account.gaps == 0,
        "{account:?}"
    );
    tally(&mut stopped, &mut late);
    let few = refused_everywhere(&zone);
    assert_eq!(zone.agreed().0.blocked - before.0.blocked, tried + few);
    tally(&mut stopped, &mut late);

    let ((fast, at_once), (slow, in_time)) = (fast.end(), slow.end());
    let apps = [
        ("fast", &fast, &at_once),
        ("slow", &slow, &in_time),
        ("stopped", &stopped, &late),
    ];
    for (name, app, got) in apps {
        balance(name, app, got, tried + few);
        eprintln!(
            "{name}: {} of {}, {} generations",
            got.records,
            tried + few,
            rules.len()
        );
        for (generation, rule, port) in got.decided.keys() {
            assert_eq!(
                (rules.get(generation), *port),
                (Some(rule), 9),
                "{name}: generation {generation}"
            );
        }
    }
    let generations = at_once.decided.keys().map(|(generation, ..)| generation);
    assert!(
        generations.max() > Some(&3),
        "rules changed under the flood"
    );

    wait_until("the killed one's ring goes", || {
        !bpf::map_exists(ring).unwrap()
    });
    let references = zone.device().references().unwrap();
    assert_eq!(
        (references.taken, references.released, references.attached),
        (5, 1, 4)
    );
    let past = references.past;
    assert!(
        past.balances() && past.committed > 0 && past.offered < tried,
        "in the midst of it: {past:?}"
    );
    counters.look(&mut service);
    let accounts = service.accounts().unwrap();
    assert!(
        accounts.balances && accounts.apps.iter().all(|app| app.balances),
        "{accounts:?}"
    );
    assert_eq!(
        accounts.apps.iter().filter(|app| app.lies).count(),
        1,
        "{accounts:?}"
    );
    assert!(
        accounts
            .apps
            .iter()
            .all(|app| app.counted.offered == tried + few),
        "{accounts:?}"
    );
}

/// The files that the service has open, maps among them.
fn open_files(zone: &Protected) -> usize {
    fs::read_dir(format!("/proc/{}/fd", zone.service.process.id()))
        .unwrap()
        .count()
}

/// Returns the number of slots of one of the channel's maps that hold another map.
fn held(zone: &Protected, name: &str) -> usize {
    let map = bpf::pinned(&version(zone).join(name)).unwrap().unwrap();
    let map = ObjectMap::open(map).unwrap();
    (0..SLOTS as u32)
        .filter(|slot| map.id(*slot).unwrap().is_some())
        .count()
}

#[test]
fn apps_that_come_and_go_five_hundred_times_leave_nothing_behind_and_others_go_on() {
    let zone = Protected::start();
    let stays = Reading::start(zone.attach(1 << 20), Duration::ZERO);
    let device = zone.device();
    // The service lets go of a connection when it gets to it.
    device.references().unwrap();
    let files = open_files(&zone);
    let mut rings = Vec::new();
    // Some come and go in the midst of a flood, however slow the machine is,
    // some are told of all that one sender sends.
    let mut floods = Vec::new();
    let mut sent = 0;
    for turn in 0..500 {
        let mut app = zone.attach(4096);
        rings.push(ring_of(&app));
        if turn % 100 == 0 {
            let flood = format!("flood {}", FLOOD / 5);
            floods.push(Child::inside(&zone, ROOT, &flood));
            wait_until("the flood reaches the one that goes", || {
                app.account().unwrap().kernel.offered > 0
            });
        }
        if turn % 50 == 0 {
            let mut sender = Child::inside(&zone, ROOT, "send 200");
            sent += sender.number("tried");
            assert_eq!(sender.number("refused"), 200);
        }
        if turn % 2 == 0 {
            app.detach().unwrap();
        }
    }
    wait_until("the last one is let go of", || {
        device.references().unwrap().attached == 1
    });
    let mut flooded = 0;
    for flood in &mut floods {
        let (tried, refused) = (flood.number("tried"), flood.number("refused"));
        assert!(tried > 0 && refused == tried, "{refused} of {tried}");
        flooded += tried;
    }
    let references = device.references().unwrap();
    assert_eq!((references.taken, references.released), (501, 500));
    assert!(
        references.past.balances() && references.past.offered > sent,
        "{references:?}"
    );
    assert_eq!((held(&zone, "RINGS"), held(&zone, "LEDGERS")), (1, 1));
    wait_until("their rings go", || {
        rings.iter().all(|ring| !bpf::map_exists(*ring).unwrap())
    });
    // It may have been closing one of ours as they were counted.
    wait_until("the service closes their files", || {
        open_files(&zone) <= files
    });
    sent += refused_everywhere(&zone);
    let (stays, got) = stays.end();
    balance("the one that stays", &stays, &got, flooded + sent);
    assert!(zone.ask().accounts().unwrap().balances);
}

/// Lets everybody in, as the group would be: by the file of this very socket.
fn open_to_all(zone: &Protected) {
    fs::set_permissions(
        zone.lab.folder().join("s"),
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
}

#[test]
fn one_user_takes_only_so_much_of_the_firewalls_door_and_others_get_in() {
    let zone = Protected::start();
    open_to_all(&zone);
    let mut crowd = Child::beside(&zone, NOBODY, "crowd");
    let (attached, refused) = (crowd.number("attached"), crowd.says("refused"));
    let overlaps = refused == "unsupported";
    assert_eq!(
        (attached, refused.as_str()),
        if overlaps {
            (0, "unsupported")
        } else {
            (4, "quota")
        }
    );
    assert_eq!(crowd.number("connected"), 16, "connections of one user");
    let mut other = Child::beside(&zone, SOMEBODY, "listen");
    assert_eq!(
        other.says("attached"),
        if overlaps { "unsupported" } else { "yes" }
    );
    let roots = Reading::start(zone.attach(1 << 20), Duration::ZERO);
    for user in [ROOT, NOBODY, SOMEBODY] {
        let mut sender = Child::inside(&zone, user, "send 100");
        assert_eq!(
            (sender.number("tried"), sender.number("refused")),
            (100, 100)
        );
    }
    let attached = attached + 1 + u64::from(!overlaps);
    assert_eq!(zone.device().references().unwrap().attached, attached);
    crowd.kill();
    stop_apps(&zone);
    wait_until("the crowd goes", || {
        zone.device().references().unwrap().attached == 1
    });
    let (roots, got) = roots.end();
    balance("root's", &roots, &got, 300);
    let accounts = zone.ask().accounts().unwrap();
    assert!(
        accounts.balances && accounts.apps.len() == 1,
        "{accounts:?}"
    );
}

/// A file of so many MiB in which no two places are alike.
fn large_file(mebibytes: u64) -> Vec<u8> {
    let words =
        (0..mebibytes << 17).map(|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_ne_bytes());
    words.flatten().collect()
}

#[test]
fn transfers_complete_byte_for_byte_while_rules_change_and_nothing_refused_passes() {
    const MEBIBYTES: u64 = 24;
    let mut zone = Protected::start();
    Stream::watch_leaks(&zone);
    let before = zone.agreed();
    let bytes = large_file(MEBIBYTES);
    fs::write(zone.lab.folder().join("pages/large"), &bytes).unwrap();
    let rules = Publishing::start(&zone);
    // Whoever takes it rests between its parts, so that the connection goes on for some seconds.
    let get = |inside: bool, url: &str, file: &str| {
        let file = zone.lab.folder().join(file);
        let line = format!(
            "busybox wget -q -O - {url}/large | for n in {{1..{MEBIBYTES}}}; do \
             busybox dd bs=64K count=16 iflag=fullblock status=none; sleep 0.1; done > {}",
            file.display()
        );
        let line = ["timeout", "240", "bash", "-c", &line];
        let mut command = if inside {
            zone.lab.inside(&line)
        } else {
            zone.lab.outside(&line)
        };
        (command.stdin(Stdio::null()).spawn().unwrap(), file)
    };
    let transfers = [
        get(true, &format!("http://{OUTSIDE}"), "out"),
        get(false, &format!("http://{INSIDE}:8080"), "in"),
    ];
    let mut flood = Child::inside(&zone, ROOT, "flood 20000");
    zone.outside(&format!(
        "for n in {{1..50}}; do echo > /dev/udp/{INSIDE}/5353; sleep 0.02; done"
    ));
    for (mut transfer, file) in transfers {
        assert!(transfer.wait().unwrap().success());
        let got = fs::read(&file).unwrap();
        assert!(
            got == bytes,
            "{}: {} bytes of {}",
            file.display(),
            got.len(),
            bytes.len()
        );
    }
    let rules = rules.end();
    assert!(
        rules.len() > 3,
        "{} generations while they went",
        rules.len()
    );
    let (tried, refused) = (flood.number("tried"), flood.number("refused"));
    assert!(tried > 0 && refused == tried, "{refused} of {tried}");
    assert_eq!(Stream::leaked(&zone), 0);
    let after = zone.agreed();
    let since = |before: Counted, after: Counted| {
        (
            after.blocked - before.blocked,
            after.allowed - before.allowed,
        )
    };
    let (driver, nft) = (since(before.0, after.0), since(before.1, after.1));
    assert_eq!(driver, nft, "blocked and allowed: the driver's, nftables'");
    assert!(driver.0 == tried + 50 && driver.1 > 700, "{driver:?}");
}

#[test]
fn other_users_are_told_of_their_own_packets_and_processes_and_root_of_all() {
    let zone = Protected::start();
    open_to_all(&zone);
    let mut theirs = Child::beside(&zone, NOBODY, "listen");
    let said = theirs.says("attached");
    if said == "unsupported" {
        eprintln!("this kernel is without the fix of CVE-2024-41009: only root gets in");
        return;
    }
    assert_eq!(said, "yes");
    let mut roots = Child::beside(&zone, ROOT, "listen");
    assert_eq!(roots.says("attached"), "yes");
    for (user, count) in [(ROOT, 50), (NOBODY, 30), (SOMEBODY, 10)] {
        let mut sender = Child::inside(&zone, user, &format!("send {count}"));
        assert_eq!(
            (sender.number("tried"), sender.number("refused")),
            (count, count)
        );
        wait_until("its end is reported too", || sender.has_ended());
    }
    // Nobody's: there is no socket that it is for.
    zone.outside(&format!(
        "for n in {{1..5}}; do echo > /dev/udp/{INSIDE}/5353; done"
    ));
    assert!(refuses(&zone));
    stop_apps(&zone);
    let told = |app: &mut Child| {
        assert_eq!(app.says("balances"), "true");
        let told: Vec<(u32, u32, u64)> = serde_json::from_str(&app.says("told")).unwrap();
        told.into_iter()
            .map(|(kind, user, count)| ((kind, user), count))
            .collect::<HashMap<_, _>>()
    };
    let (theirs, roots) = (told(&mut theirs), told(&mut roots));
    let packets = |user| (kind::PACKET.number(), user);
    for (user, count) in [(ROOT, 51), (NOBODY, 30), (SOMEBODY, 10), (NO_USER, 5)] {
        assert_eq!(roots.get(&packets(user)), Some(&count), "{user}: {roots:?}");
    }
    for kind in [kind::PROCESS_START, kind::PROCESS_EXIT] {
        for user in [ROOT, NOBODY, SOMEBODY] {
            assert!(
                roots.contains_key(&(kind.number(), user)),
                "{kind:?} of {user}: {roots:?}"
            );
        }
    }
    let own: HashMap<_, _> = roots
        .into_iter()
        .filter(|((_, user), _)| [NOBODY, NO_USER].contains(user))
        .collect();
    assert_eq!(theirs, own, "what is theirs or nobody's, and no more");
}
