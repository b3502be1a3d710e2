//! Promises of names on this machine's kernel: a real resolver answers a zone, and its addresses have names.
//!
//! Needs what the tests of the firewall need, and `dnsmasq`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(
    dead_code,
    reason = "the lab of `cargo xtask run`, not all of which is needed here"
)]
#[path = "../../xtask/src/lab.rs"]
mod lab;
#[allow(
    dead_code,
    reason = "shared with the tests of the control socket, which need all of it"
)]
#[path = "control/person.rs"]
mod person;
#[path = "names/traffic.rs"]
mod traffic;
#[allow(
    dead_code,
    reason = "shared with the tests of the firewall, each of which needs a part"
)]
mod zone;

use lab::{INSIDE, OUTSIDE, OUTSIDE_V6};
use nix::sys::signal::Signal;
use person::{Person, Watch};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use zone::Protected;
use zone::probe::wait_until;

/// Somebody with no rights.
const NOBODY: u32 = 65_534;

/// The zone's control socket.
fn control(zone: &Protected) -> PathBuf {
    zone.lab.folder().join("c")
}

/// Has the zone send a packet to the discard port; whether it was refused.
fn discard(zone: &Protected) -> bool {
    !zone
        .inside(&format!("echo > /dev/udp/{OUTSIDE}/9"))
        .status
        .success()
}

/// Something outside that answers at port 53. Dropped, it is ended.
struct Resolver(Child);

impl Resolver {
    /// dnsmasq, which knows one host, by one more name.
    fn start(zone: &Protected) -> Self {
        Self::with(zone, &[])
    }

    /// The same, which knows more.
    fn with(zone: &Protected, more: &[&str]) -> Self {
        let host = format!("--host-record=web.example,{OUTSIDE},{OUTSIDE_V6}");
        let words = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--log-facility=/dev/null",
            "--bind-interfaces",
            &format!("--listen-address={OUTSIDE}"),
            &host,
            "--cname=www.example,web.example",
        ];
        let resolver = Self::run(zone.lab.outside(&[&words[..], more].concat()));
        wait_until("the resolver answers", || zone.asks("www.example", "a"));
        resolver
    }

    /// A process that answers whatever comes with these very bytes.
    fn lie(zone: &Protected, answer: &[u8]) -> Self {
        let before = answers(zone);
        let resolver = Self::run(liar(zone, answer, "asked"));
        wait_until("it answers", || {
            zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/53"));
            answers(zone) > before
        });
        resolver
    }

    fn run(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// This very program, started again outside, with port 53: it sends these bytes, to whoever asks or unasked.
fn liar(zone: &Protected, answer: &[u8], how: &str) -> Command {
    let file = zone.lab.folder().join("answer");
    std::fs::write(&file, answer).unwrap();
    let this = std::env::current_exe().unwrap();
    let words = [this.to_str().unwrap(), "the_liar", "--exact", "--nocapture"];
    let mut command = zone.lab.outside(&words);
    command
        .env("GATEBELL_LIE", file)
        .env("GATEBELL_LIE_HOW", how);
    command
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn the_liar() {
    let Ok(file) = std::env::var("GATEBELL_LIE") else {
        return;
    };
    let answer = std::fs::read(file).unwrap();
    let socket = UdpSocket::bind((OUTSIDE, 53)).unwrap();
    if std::env::var("GATEBELL_LIE_HOW").unwrap() == "unasked" {
        socket.send_to(&answer, (INSIDE, 4001)).unwrap();
        return;
    }
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    while let Ok((_, whom)) = socket.recv_from(&mut [0; 1500]) {
        socket.send_to(&answer, whom).unwrap();
    }
}

trait Asks {
    /// Has a program of the zone ask for a name; whether there is an answer.
    fn asks(&self, name: &str, kind: &str) -> bool;
}

impl Asks for Protected {
    fn asks(&self, name: &str, kind: &str) -> bool {
        let line = format!("timeout 5 busybox nslookup -type={kind} {name} {OUTSIDE}");
        self.inside(&line).status.success()
    }
}

fn stats(zone: &Protected) -> Value {
    Person::root(zone).ok(&["stats", "--json"])["names"].take()
}

/// Answers that the driver has handed to the service.
fn answers(zone: &Protected) -> u64 {
    stats(zone)["answers"].as_u64().unwrap()
}

/// The names that root sees.
fn names(zone: &Protected) -> Vec<(String, String)> {
    let known = zone.ask().address_names(0).unwrap();
    let each = known.names.into_iter();
    each.map(|known| (known.address.to_string(), known.name))
        .collect()
}

#[test]
fn an_address_has_the_name_that_a_program_asked_a_resolver_for_in_what_is_watched() {
    let zone = Protected::start();
    let mut watch = Watch::start(&zone, &["--kind", "packet"]);
    let before = watch.next_of(&zone, "packet");
    assert_eq!(before["destination_name"], Value::Null, "{before}");
    let _resolver = Resolver::start(&zone);
    let now = watch.next_of(&zone, "packet");
    assert_eq!(
        (&now["destination"], &now["destination_name"]),
        (&json!(OUTSIDE), &json!("www.example")),
        "by the name that was asked for, not by the one that it leads to"
    );
    assert!(zone.asks("web.example", "aaaa"));
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

/// A zone that may go to port 4001 of what has one of these names, and ask for any.
const BY_NAME: &str = "[default]\ninbound = 'block'\noutbound = 'block'\n\
    [[set]]\nid = 'hosts'\nnames = ['WWW.Example.', '*.below.example', 'short.example', 'target.example']\nresolvers = '10.77.0.1'\n\
    [[rule]]\nid = 'asks'\naction = 'allow'\ndirection = 'out'\nprotocol = 'udp'\nports = 53\n\
    [[rule]]\nid = 'neighbours'\naction = 'allow'\nprotocol = 'icmpv6'\n\
    [[rule]]\nid = 'by-name'\naction = 'allow'\ndirection = 'out'\nprotocol = ['tcp', 'udp']\nports = 4001\ndestination = '@hosts'\n";

#[test]
fn an_address_joins_a_set_by_the_name_that_was_asked_for_and_leaves_it_when_the_answer_is_over() {
    let mut zone = Protected::with(BY_NAME);
    let root = Person::root(&zone);
    let resolver = Resolver::with(
        &zone,
        &[
            "--host-record=other.example,10.77.0.21",
            "--host-record=a.b.below.example,10.77.0.22",
            "--host-record=below.example,10.77.0.23",
            "--host-record=target.example,10.77.0.24",
            "--cname=alias.example,target.example",
            "--host-record=short.example,10.77.0.25,1",
            "--local-ttl=600",
        ],
    );
    let sends = |zone: &Protected, address: &str| {
        let line = format!("echo > /dev/udp/{address}/4001");
        zone.inside(&line).status.success()
    };
    assert!(
        !sends(&zone, "10.77.0.25"),
        "nobody has asked for that one yet"
    );
    assert!(zone.asks("short.example", "a"));
    wait_until("an answer has it join", || sends(&zone, "10.77.0.25"));

    // Who connects as soon as there is an answer gets through, if not by the first packet then by the next. There is no such
    // service outside: who gets through hears that.
    let line = format!(
        "busybox nslookup -type=aaaa www.example {OUTSIDE} && timeout 20 bash -c 'exec 3<>/dev/tcp/{OUTSIDE_V6}/4001'"
    );
    let went = zone.inside(&line);
    let said = String::from_utf8_lossy(&went.stderr).into_owned();
    assert!(said.contains("refused"), "{said}");
    let line = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE_V6}/4002'");
    assert!(!String::from_utf8_lossy(&zone.inside(&line).stderr).contains("refused"));

    // The name that was asked for counts, wherever it leads; a pattern is what lies below.
    for name in [
        "other.example",
        "below.example",
        "alias.example",
        "a.b.below.example",
    ] {
        assert!(zone.asks(name, "a"), "{name}");
    }
    wait_until("what lies below joins", || sends(&zone, "10.77.0.22"));
    for address in ["10.77.0.21", "10.77.0.23", "10.77.0.24", "10.77.0.99"] {
        assert!(!sends(&zone, address), "{address}");
    }
    let listed = || root.run(&["set", "list", "hosts", "--json"]).out;
    let entry = |address: &str| -> Value {
        let of = format!("\"address\":\"{address}\"");
        let listed = listed();
        let line = listed.lines().find(|line| line.contains(&of));
        line.map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
    };
    let below = entry("10.77.0.22");
    assert_eq!(below["name"], "a.b.below.example", "{below}");
    assert!(
        (1..=615).contains(&below["seconds_left"].as_u64().unwrap()),
        "{below}"
    );
    assert_eq!(entry(OUTSIDE_V6)["name"], "www.example");
    assert_eq!(entry("10.77.0.24"), Value::Null);
    let why = root.ok(&[
        "why",
        "--json",
        "--packet",
        &format!("out udp {INSIDE}:5000 -> 10.77.0.22:4001"),
    ]);
    assert_eq!(
        (&why["rule"], &why["joined"][0]["name"]),
        (&json!("by-name"), &json!("a.b.below.example"))
    );
    let nobody = person::connect_as(NOBODY, &control(&zone));
    assert!(nobody.is_err(), "a socket that root alone may use");

    // The next rules have at once what is known of their names, and no more what they do not ask for.
    let others = BY_NAME.replace("'*.below.example'", "'other.example'");
    std::fs::write(&zone.rules, others).unwrap();
    root.run(&["rules", "apply", zone.rules.to_str().unwrap()]);
    assert!(sends(&zone, "10.77.0.21"));
    assert!(!sends(&zone, "10.77.0.22"));

    // So has the next service; and one that says what nobody asked for is not believed.
    drop(resolver);
    zone.service.kill();
    assert!(sends(&zone, "10.77.0.21"), "with no service");
    assert!(zone.start_again());
    assert!(sends(&zone, "10.77.0.21"));
    assert_eq!(stats(&zone)["unasked"], 0);
    let lie = answer(b"\x03www\x07example\0");
    let _resolver = Resolver::lie(&zone, &lie);
    wait_until("it is counted", || stats(&zone)["unasked"] != 0);
    assert!(!sends(&zone, "192.0.2.7"));
    wait_until("its time is over", || !sends(&zone, "10.77.0.25"));
    assert!(sends(&zone, "10.77.0.21"));
    assert_eq!(root.ok(&["status", "--json"])["trouble"], json!([]));
}

/// Keeps what happens, in a zone that may not telnet and whose calls of port 4001 are reported.
const KEPT: &[&str] = &["--history-days", "30", "--history-size", "2MiB"];

fn shown(who: &Person, words: &[&str]) -> Vec<Value> {
    let words: Vec<_> = ["history", "--json"].iter().chain(words).copied().collect();
    let said = who.run(&words);
    assert_eq!(said.code, 0, "{words:?}: {said:?}");
    let lines = said.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The only row of this port, once there is one.
fn kept(who: &Person, port: u16, count: u64) -> Value {
    let mut found = Value::Null;
    wait_until("it is kept", || {
        let rows = shown(who, &["--direction", "out"]);
        let mut rows = rows.into_iter().filter(|row| row["port"] == port);
        found = rows.next().unwrap_or_default();
        rows.all(|row| row["port"] != port) && found["count"].as_u64() >= Some(count)
    });
    found
}

#[test]
fn what_was_refused_and_what_was_reported_is_kept_with_program_rule_and_name_over_a_kill_and_a_broken_file()
 {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"no-telnet\"\naction = \"block\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 23\n\
         [[rule]]\nid = \"told\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 4001\nlog = true\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let mut zone = Protected::with_options(rules, KEPT);
    let socket = control(&zone);
    let open = || {
        std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .unwrap()
    };
    open();
    let root = Person::root(&zone);
    let nobody = Person::root(&zone).user(NOBODY);
    let _resolver = Resolver::start(&zone);
    let call = |port: u16, user: u32| {
        let line = format!(
            "setpriv --reuid={user} --clear-groups timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/{port}'"
        );
        zone.inside(&line);
    };
    call(23, 0);
    call(4001, NOBODY);
    let refused = kept(&root, 23, 1);
    assert_eq!(
        [
            &refused["verdict"],
            &refused["rule"],
            &refused["remote"],
            &refused["name"],
            &refused["process"]
        ],
        [
            &json!("block"),
            &json!("no-telnet"),
            &json!(OUTSIDE),
            &json!("www.example"),
            &json!("bash")
        ]
    );
    assert_eq!(
        (&refused["user"], &refused["protocol"]),
        (&json!(0), &json!(6))
    );
    let bash = refused["program"].as_str().unwrap().to_owned();
    assert!(bash.ends_with("/bash"), "{refused}");
    let told = kept(&root, 4001, 1);
    assert_eq!(
        [&told["verdict"], &told["rule"], &told["user"]],
        [&json!("allow"), &json!("told"), &json!(NOBODY)]
    );
    let own = shown(&nobody, &[]);
    assert!(
        !own.is_empty() && own.iter().all(|row| row["user"] == NOBODY),
        "{own:?}"
    );
    let sums = shown(
        &root,
        &["--by", "rule", "--program", &bash, "--since", "1h"],
    );
    let refusals = sums.iter().find(|sum| sum["rule"] == "no-telnet").unwrap();
    assert_eq!(
        (&refusals["refused"], &refusals["allowed"]),
        (&refused["count"], &json!(0))
    );
    let csv = root.run(&["history", "--csv", "--rule", "no-telnet"]);
    assert!(
        csv.code == 0 && csv.out.lines().count() == 2 && csv.out.contains("www.example"),
        "{csv:?}"
    );
    let table = root.run(&["history", "--rule", "no-telnet"]);
    assert!(
        table.out.contains("192") || table.out.contains(OUTSIDE),
        "{table:?}"
    );
    let audit = root.ok(&["audit", "--json"]);
    assert_eq!(
        (
            audit["balances"].as_bool(),
            audit["apps"].as_array().unwrap().len()
        ),
        (Some(true), 1)
    );
    let status = root.ok(&["status", "--json"]);
    let state = &status["history"];
    assert_eq!(
        (&status["trouble"], &state["lost"], &state["days"]),
        (&json!([]), &json!(0), &json!(30))
    );
    assert!(state["kept"].as_u64() >= Some(2), "{state}");

    // What happened two seconds ago, a kill leaves in the file.
    let count = || {
        let page = history::page(
            &zone.lab.folder().join("kept"),
            history::PageRequest::default(),
        );
        let rows = page.unwrap().rows.into_iter();
        let refused = rows.filter(|row| row.conversation.port == Some(23));
        refused.map(|row| row.tally.count).sum::<u64>()
    };
    let before = count();
    call(23, 0);
    std::thread::sleep(Duration::from_secs(2));
    zone.service.process.kill().unwrap();
    zone.service.process.wait().unwrap();
    assert!(count() > before);

    // A file that is broken is put aside; packets are judged all the same, and what happens is kept again.
    let file = zone.lab.folder().join("kept/history.db");
    std::fs::write(&file, b"no database").unwrap();
    assert!(zone.start_again_with(KEPT));
    open();
    let call = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/23'");
    wait_until("it is kept again", || {
        assert!(!zone.inside(&call).status.success());
        // Until it is put aside, nothing can be read.
        let said = root.run(&["history", "--json", "--rule", "no-telnet"]);
        said.code == 0 && !said.out.is_empty()
    });
    let aside = zone.lab.folder().join("kept/history.db.broken");
    assert_eq!(std::fs::read(aside).unwrap(), b"no database");
    let status = root.ok(&["status", "--json"]);
    assert_eq!(
        (&status["history"]["put_aside"], &status["trouble"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn a_question_names_the_other_end_and_others_than_root_hear_no_other_names() {
    let zone = Protected::with(
        "[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = 60\n\
         [[rule]]\nid = \"names\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 53\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n",
    );
    let _resolver = Resolver::start(&zone);
    let connect = format!("exec 3<>/dev/tcp/{OUTSIDE}/4001");
    let user = format!("--reuid={NOBODY}");
    let words = [
        "setpriv",
        &user,
        "--clear-groups",
        "timeout",
        "20",
        "bash",
        "-c",
        &connect,
    ];
    let mut waits = Resolver::run(zone.lab.inside(&words));
    let nobody = Person::root(&zone).user(NOBODY);
    std::fs::set_permissions(
        control(&zone),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .unwrap();
    let mut asked = String::new();
    wait_until("the question is asked", || {
        asked = nobody.run(&["ask", "--list", "--json"]).out;
        !asked.is_empty()
    });
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["remote_name"], "www.example", "{asked}");
    let shown = nobody.run(&["ask", "--list"]).out;
    assert!(shown.contains("10.77.0.1 (www.example)"), "{shown}");
    assert!(waits.0.try_wait().unwrap().is_none());
    let stream = person::connect_as(NOBODY, &control(&zone)).unwrap();
    let said = said(stream, "GetAddressNames", &json!({ "since": 0 }));
    assert_eq!(said["error"], "org.gatebell.Firewall.NotPermitted");
    assert!(!said.to_string().contains("www.example"), "{said}");
}

/// What the service answers to one call.
fn said(mut stream: std::os::unix::net::UnixStream, method: &str, parameters: &Value) -> Value {
    use std::io::{BufRead, BufReader, Write};
    let call =
        json!({ "method": format!("org.gatebell.Firewall.{method}"), "parameters": parameters });
    write!(stream, "{call}\0").unwrap();
    let mut said = Vec::new();
    BufReader::new(stream).read_until(0, &mut said).unwrap();
    said.pop();
    serde_json::from_slice(&said).unwrap()
}

/// An answer that says of a name, as it stands in a message, that it has the address 192.0.2.7.
fn answer(name: &[u8]) -> Vec<u8> {
    let header = [0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let question = [0, 1, 0, 1];
    let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
    [&header[..], name, &question, &address].concat()
}

#[test]
fn a_name_that_a_terminal_would_obey_is_shown_by_its_numbers_and_what_is_broken_is_counted() {
    let zone = Protected::start();
    let resolver = Resolver::lie(&zone, &answer(b"\x06\x1b[2J\xff\0\x07example\0"));
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
    let zone = Protected::with(
        "[default]\ninbound = \"allow\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"none\"\naction = \"block\"\nprotocol = \"udp\"\nports = 9\n",
    );
    let came_in = || Person::root(&zone).ok(&["stats", "--json"])["allowed_in"].as_u64();
    let before = came_in();
    let answer = answer(b"\x04bank\x07example\0");
    let sent = liar(&zone, &answer, "unasked").output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    assert!(came_in() > before, "it is let in");
    assert_eq!((answers(&zone), names(&zone)), (0, vec![]));
}

#[test]
fn an_answer_that_finds_no_room_is_counted_and_its_packet_passes_all_the_same() {
    const ASKED: u64 = 1000;
    /// What else comes in meanwhile, of the kernels' own on the link.
    const BESIDE: u64 = 20;
    let zone = Protected::start();
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
    // The resolver may be too slow for some questions: what it answered came in, and each of those is counted.
    assert!(lost > 0 && handed > 0 && came > ASKED / 2, "{after}");
    assert!((handed + lost..handed + lost + BESIDE).contains(&came));
    assert!(zone.asks("www.example", "a"), "names are learned again");
    wait_until("the last one is", || {
        names(&zone).iter().any(|(_, name)| name == "www.example")
    });
}

#[test]
fn the_first_contact_of_a_program_and_of_one_whose_file_has_changed_is_told_once_over_restarts() {
    let rules = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
         [[rule]]\nid = \"told\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = [9, 10, 11, 12, 13]\nlog = true\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let mut zone = Protected::with_options(rules, KEPT);
    let root = Person::root(&zone);
    let program = zone.lab.folder().join("a talker");
    let replace = || {
        let next = program.with_extension("next");
        std::fs::copy("/bin/bash", &next).unwrap();
        std::fs::rename(next, &program).unwrap();
    };
    let path = program.to_str().unwrap();
    let talk = |zone: &Protected, port: u16| {
        wait_until("the history hears", || {
            let audit = root.ok(&["audit", "--json"]);
            audit["apps"].as_array().unwrap().len() == 1
        });
        zone.inside(&format!("'{path}' -c 'echo > /dev/udp/{OUTSIDE}/{port}'"));
        kept(&root, port, 1)
    };
    replace();
    assert_eq!(talk(&zone, 9)["contact"], "first");
    assert_eq!(talk(&zone, 10)["contact"], Value::Null);
    replace();
    assert_eq!(talk(&zone, 11)["contact"], "changed");
    zone.service.kill();
    zone.start_again_with(KEPT);
    assert_eq!(talk(&zone, 12)["contact"], Value::Null);
    replace();
    assert_eq!(talk(&zone, 13)["contact"], "changed");
    let mut first = shown(&root, &["--first", "--program", path]);
    first.sort_by_key(|row| row["port"].as_u64());
    let contacts: Vec<_> = first
        .iter()
        .map(|row| (&row["port"], &row["contact"]))
        .collect();
    let expected = [
        (json!(9), json!("first")),
        (json!(11), json!("changed")),
        (json!(13), json!("changed")),
    ];
    assert_eq!(
        contacts,
        expected.each_ref().map(|(port, contact)| (port, contact))
    );
}

#[test]
fn what_rules_would_have_done_to_what_was_kept_is_said_and_what_can_t_be_said_is_not_guessed() {
    let rules = |nine: &str, more: &str| {
        format!(
            "[default]\ninbound = \"block\"\noutbound = \"block\"\n\
             [[rule]]\nid = \"nine\"\naction = \"{nine}\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 9\nlog = true\n{more}\
             [[rule]]\nid = \"ten\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = 10\nlog = true\n\
             [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n"
        )
    };
    let zone = Protected::with_options(&rules("allow", ""), KEPT);
    let root = Person::root(&zone);
    wait_until("the history hears", || {
        let audit = root.ok(&["audit", "--json"]);
        audit["apps"].as_array().unwrap().len() == 1
    });
    for port in [9, 10, 11] {
        zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/{port}"));
        kept(&root, port, 1);
    }
    let by_device = "[[rule]]\nid = \"wired\"\naction = \"block\"\ninterface = \"gb0\"\nprotocol = \"udp\"\nports = 10\n\
         [[rule]]\nid = \"eleven\"\naction = \"allow\"\nuser = 0\nprotocol = \"udp\"\nports = 11\n";
    let new = zone.lab.folder().join("new.toml");
    std::fs::write(&new, rules("block", by_device)).unwrap();
    let words = [
        "dry-run",
        new.to_str().unwrap(),
        "--history",
        "--since",
        "1h",
    ];
    let said = root.run(&[&words[..], &["--json"]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |port: u16| {
        let mut found = lines.iter().filter(|line| line["port"] == port);
        let line = found.next().unwrap();
        assert!(found.next().is_none(), "{lines:?}");
        (&line["was"], &line["would"], &line["rule"], &line["unsure"])
    };
    let none = &json!([]);
    assert_eq!(
        of(9),
        (&json!("allow"), &json!("block"), &json!("nine"), none)
    );
    assert_eq!(
        of(11),
        (&json!("block"), &json!("allow"), &json!("eleven"), none)
    );
    let wired = &json!([{ "rule": "wired", "asks": ["interface"] }]);
    assert_eq!(of(10), (&json!("allow"), &Value::Null, &Value::Null, wired));
    let summary = lines.last().unwrap();
    assert_eq!(summary["kind"], "summary");
    let table = root.run(&words);
    assert!(
        table.out.contains("allowed -> blocked")
            && table.out.contains("`wired` asks for interface"),
        "{table:?}"
    );
    assert!(!discard(&zone), "nothing is changed");
}

/// A question for an address of IPv4, as it goes by TCP.
fn by_tcp(id: u16, name: &str) -> Vec<u8> {
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
