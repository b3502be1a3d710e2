//! Tests of what names an address, and what does not.

use super::resolver::{BELIEVED, Resolver, answer, liar};
use super::{Asks, answers, names, stats};
use crate::person::{Person, Watch};
use crate::zone::probe::wait_until;
use crate::zone::{Protected, RULES};
use lab::{OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

#[test]
fn an_address_has_the_name_that_a_program_asked_a_resolver_for_in_what_is_watched() {
    let zone = Protected::with(&format!("{RULES}{BELIEVED}"));
    let watch = Watch::start(&zone, &["--kind", "packet"]);
    let before = watch.next_of(&zone, "packet");
    assert_eq!(before["destination_name"], Value::Null, "{before}");
    let _resolver = Resolver::start(&zone);
    // Whoever sends before the service has read the answer has no name yet.
    let is_named = |address| names(&zone).iter().any(|(known, _)| known == address);
    wait_until("the answer is read", || is_named(OUTSIDE));
    let now = watch.next_of(&zone, "packet");
    assert_eq!(
        (&now["destination"], &now["destination_name"]),
        (&json!(OUTSIDE), &json!("www.example")),
        "by the name that was asked for, not by the one that it leads to"
    );
    assert!(zone.asks("web.example", "aaaa"));
    wait_until("the answer is read", || is_named(OUTSIDE_V6));
    zone.inside(&format!("echo > /dev/udp/{OUTSIDE_V6}/9"));
    let six = watch.hear("packet");
    assert_eq!(
        (&six["destination"], &six["destination_name"]),
        (&json!(OUTSIDE_V6), &json!("web.example"))
    );
    let mut known = names(&zone);
    known.sort();
    let wanted = [(OUTSIDE, "www.example"), (OUTSIDE_V6, "web.example")];
    assert_eq!(known, wanted.map(|(a, n)| (a.to_owned(), n.to_owned())));
}

#[test]
fn a_name_that_a_terminal_would_obey_is_shown_by_its_numbers_and_what_is_broken_is_counted() {
    const NAME: &[u8] = b"\x06\x1b[2J\xff\0\x07example\0";
    let zone = Protected::with(&format!("{RULES}{BELIEVED}"));
    let resolver = Resolver::lie(&zone, &answer(NAME));
    assert_eq!(names(&zone), [], "nobody has asked for it");
    Resolver::is_asked(&zone, NAME);
    wait_until("it is read", || !names(&zone).is_empty());
    let shown = r"\027\0912j\255\000.example".to_owned();
    assert_eq!(names(&zone), [("192.0.2.7".to_owned(), shown)]);
    drop(resolver);
    let before = stats(&zone)["unread"].clone();
    assert_eq!(before, 0);
    let _resolver = Resolver::lie(&zone, &answer(b"\xc0\x0c"));
    zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/53"));
    wait_until("it is counted", || stats(&zone)["unread"] != 0);
    assert_eq!(names(&zone).len(), 1);
}

#[test]
fn what_nobody_asked_for_names_nothing_even_where_it_is_allowed() {
    let zone = Protected::with(&format!(
        "[default]\ninbound = \"allow\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"none\"\naction = \"block\"\nprotocol = \"udp\"\nports = 9\n{BELIEVED}"
    ));
    let came_in = || Person::root(&zone).ok(&["stats", "--json"])["allowed_in"].as_u64();
    let before = came_in();
    let answer = answer(b"\x04bank\x07example\0");
    let sent = liar(&zone, &answer, "unasked").output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    assert!(came_in() > before, "it is let in");
    assert_eq!((answers(&zone), names(&zone)), (0, vec![]));
}

#[test]
fn an_answer_of_a_server_that_a_program_chose_names_no_address_and_is_counted() {
    const NAME: &[u8] = b"\x04bank\x07example\0";
    let zone = Protected::start();
    let _accomplice = Resolver::lie(&zone, &answer(NAME));
    Resolver::is_asked(&zone, NAME);
    wait_until("it is counted", || stats(&zone)["strange"] != 0);
    assert_eq!(names(&zone), []);
}

#[test]
fn an_answer_that_finds_no_room_is_counted_and_its_packet_passes_all_the_same() {
    const ASKED: u64 = 1000;
    /// Number of packets of the kernels' own that may come in meanwhile on the link.
    const BESIDE: u64 = 20;
    let zone = Protected::with(&format!("{RULES}{BELIEVED}"));
    let _resolver = Resolver::start(&zone);
    let before = Person::root(&zone).ok(&["stats", "--json"]);
    // Nobody reads now.
    zone.signal(Signal::SIGSTOP);
    let question =
        r"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x07example\x00\x00\x01\x00\x01";
    zone.inside(&format!(
        "exec 3<>/dev/udp/{OUTSIDE}/53; for n in $(busybox seq {ASKED}); do printf '{question}' >&3; done; sleep 2"
    ));
    zone.signal(Signal::SIGCONT);
    let after = Person::root(&zone).ok(&["stats", "--json"]);
    let more = |of: &dyn Fn(&Value) -> u64| of(&after) - of(&before);
    let came = more(&|stats| stats["allowed_in"].as_u64().unwrap());
    let handed = more(&|stats| stats["names"]["answers"].as_u64().unwrap());
    let lost = more(&|stats| stats["names"]["lost"].as_u64().unwrap());
    println!("{came} came in, {handed} were handed on, {lost} lost");
    // The resolver may be too slow for some questions: what it answered came in, and each of those is counted. All of
    // the room may be the questions' by then.
    assert!(lost > 0, "{after}");
    assert!((handed + lost..handed + lost + BESIDE).contains(&came));
    assert!(zone.asks("www.example", "a"), "names are learned again");
    wait_until("the last one is", || {
        names(&zone).iter().any(|(_, name)| name == "www.example")
    });
}

/// Returns a question for an IPv4 address, as it goes by TCP.
pub fn by_tcp(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    let mut whole = (message.len() as u16).to_be_bytes().to_vec();
    whole.extend(message);
    whole
}

#[test]
fn an_answer_by_tcp_names_its_addresses_and_has_them_join_sets_by_name_however_long_it_is() {
    let rules = format!(
        "[default]\ninbound = \"block\"\noutbound = \"block\"\n\
         [[set]]\nid = \"many\"\nnames = \"many.example\"\nresolvers = \"{OUTSIDE}\"\n\
         [[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = [\"udp\", \"tcp\"]\nports = 53\n\
         [[rule]]\nid = \"many\"\naction = \"allow\"\ndirection = \"out\"\ndestination = \"@many\"\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n"
    );
    let zone = Protected::with(&rules);
    let root = Person::root(&zone);
    let hosts = zone.lab.folder().join("hosts");
    let lines: String = (1..=150)
        .map(|n| format!("10.78.0.{n} many.example\n"))
        .chain(["10.78.1.1 short.example\n".to_owned()])
        .collect();
    std::fs::write(&hosts, lines).unwrap();
    let _resolver = Resolver::with(&zone, &[&format!("--addn-hosts={}", hosts.display())]);
    let named = |address: &str, name: &str| {
        let known = (address.to_owned(), name.to_owned());
        names(&zone).contains(&known)
    };
    // Two questions in one segment, and a third in two.
    let all = [
        by_tcp(1, "short.example"),
        by_tcp(2, "many.example"),
        by_tcp(3, "www.example"),
    ]
    .concat();
    let escaped = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("\\x{byte:02x}"))
            .collect::<String>()
    };
    let (first, rest) = all.split_at(all.len() - 9);
    let asks = format!(
        "exec 3<>/dev/tcp/{OUTSIDE}/53; printf '{}' >&3; sleep 0.3; printf '{}' >&3; timeout 2 wc -c <&3",
        escaped(first),
        escaped(rest)
    );
    let before = stats(&zone)["unread"].clone();
    zone.inside(&asks);
    wait_until("they are named", || {
        named("10.78.1.1", "short.example") && named("10.78.0.7", "many.example")
    });
    assert_eq!(stats(&zone)["unread"], before);
    wait_until("they join the set", || {
        let members = root.run(&["set", "list", "many", "--json"]).out;
        members.lines().count() == 150
    });
}
