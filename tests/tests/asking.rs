//! Promises of rules that ask a person, on this machine's kernel: real programs wait, and somebody answers.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[allow(
    dead_code,
    reason = "shared with the tests of the control socket, which need all of it"
)]
#[path = "control/person.rs"]
mod person;
#[allow(
    dead_code,
    reason = "shared with the tests of what rules may ask for, which need all of it"
)]
#[path = "decisions/wire.rs"]
mod wire;
mod zone;

use aya::maps::{HashMap, Map, MapData};
use firewall_abi::asking::{Answer, Subject};
use lab::{INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use person::{Person, Watch};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};
use wire::{ICMPV6, Made, Sender};
use zone::Protected;
use zone::probe::{NOBODY, control, discard, wait_until};

/// Seconds that a program waits for what is meant to come about.
const LONG: u32 = 120;

/// Starts a zone that asks about whatever it sends, with servers outside on these ports.
fn asking(more: &str, ports: &[u16]) -> Protected {
    let rules = format!(
        "[default]\ninbound = \"block\"\noutbound = \"ask\"\n{more}\n\
         [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n"
    );
    let zone = Protected::with(&rules);
    for port in ports {
        zone.lab.serve_outside(&port.to_string()).unwrap();
    }
    zone
}

/// A program of the zone that connects to this port outside, and waits for that as long as
/// TCP does, or so many seconds.
struct Connect(Child);

impl Connect {
    fn start(zone: &Protected, user: u32, port: u16, seconds: u32) -> Self {
        let connect = format!("exec 3<>/dev/tcp/{OUTSIDE}/{port}");
        let (user, seconds) = (format!("--reuid={user}"), seconds.to_string());
        let mut command = zone.lab.inside(&[
            "setpriv",
            &user,
            "--clear-groups",
            "timeout",
            &seconds,
            "bash",
            "-c",
            &connect,
        ]);
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// Returns whether the program got there.
    fn succeeds(mut self) -> bool {
        self.0.wait().unwrap().success()
    }

    /// Returns whether the program was told that it gets nowhere, and was not still waiting when its time was over.
    fn was_refused(mut self) -> bool {
        const OUT_OF_TIME: i32 = 124;
        let code = self.0.wait().unwrap().code();
        code.is_some_and(|code| ![0, OUT_OF_TIME].contains(&code))
    }

    fn waits(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        if self.waits() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

/// Returns the questions that this person sees waiting.
fn questions(person: &Person) -> Vec<Value> {
    let said = person.run(&["ask", "--list", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let lines = said.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits for the question about this port.
fn question(person: &Person, port: u16) -> Value {
    let mut found = None;
    wait_until("the question is asked", || {
        let all = questions(person);
        found = all.into_iter().find(|question| question["port"] == port);
        found.is_some()
    });
    found.unwrap()
}

fn answer(person: &Person, question: &Value, verdict: &str) -> person::Said {
    person.run(&["ask", "--answer", &question["id"].to_string(), verdict])
}

#[test]
fn a_connect_is_asked_about_once_and_an_answer_lets_that_very_connect_through() {
    let zone = asking("answer_within = 60", &[4001]);
    let root = Person::root(&zone);
    let mut watch = Watch::start(&zone, &["--kind", "packet"]);
    let mut connect = Connect::start(&zone, 0, 4001, LONG);
    // The first packet is sent again after a second, and again.
    wait_until("it is tried again", || {
        question(&root, 4001)["count"].as_u64().unwrap() >= 3
    });
    assert!(connect.waits(), "no error comes back");
    let all = questions(&root);
    assert_eq!(all.len(), 1, "{all:?}");
    let question = &all[0];
    assert!(
        question["program"].as_str().unwrap().ends_with("/bash"),
        "{question}"
    );
    assert_eq!(question["remote"], OUTSIDE);
    assert_eq!(question["user"], 0);
    let said = answer(&root, question, "allow");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(connect.succeeds(), "the very connect that was asked about");
    let (account, _) = watch.end();
    assert_eq!(account["offered"], 1, "it is told once: {account}");
    assert_eq!(questions(&root), [] as [Value; 0]);
    // Were it asked about, it would wait for an answer that nobody gives.
    let next = Connect::start(&zone, 0, 4001, LONG);
    assert!(next.succeeds(), "the answer holds for the next one");
    assert_eq!(questions(&root), [] as [Value; 0]);
}

#[test]
fn what_was_answered_block_is_refused_and_not_asked_again() {
    let zone = asking("answer_within = 60", &[4001, 4002]);
    let root = Person::root(&zone);
    let waiting = Connect::start(&zone, 0, 4001, 4);
    assert_eq!(answer(&root, &question(&root, 4001), "block").code, 0);
    assert!(!waiting.succeeds());
    assert!(!Connect::start(&zone, 0, 4001, 3).succeeds());
    assert_eq!(questions(&root), [] as [Value; 0]);
    // It was about this endpoint alone.
    let _other = Connect::start(&zone, 0, 4002, LONG);
    question(&root, 4002);
}

#[test]
fn a_connect_that_is_answered_block_or_not_at_all_is_refused_and_waits_for_nothing_more() {
    let rule = "[[rule]]\nid = \"short\"\naction = \"ask\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 4002\n\
                answer_within = 6\n";
    let zone = asking(rule, &[4001, 4002]);
    let root = Person::root(&zone);
    let mut watch = Watch::start(&zone, &["--kind", "packet"]);
    // TCP itself gives up later than their time is over.
    let waiting = Connect::start(&zone, 0, 4001, LONG);
    assert_eq!(answer(&root, &question(&root, 4001), "block").code, 0);
    assert!(waiting.was_refused(), "the one that waited");
    let next = Connect::start(&zone, 0, 4001, LONG);
    assert!(next.was_refused(), "the next one");
    let unanswered = Connect::start(&zone, 0, 4002, LONG);
    assert!(unanswered.was_refused(), "when its time was over");
    // It is told as the block that it is.
    let told = [watch.hear("packet"), watch.hear("packet")];
    assert_eq!(told[0]["verdict"], "ask", "{told:?}");
    assert_eq!(told[1]["verdict"], "block", "{told:?}");
    assert_eq!(told[1]["reason"], "answer", "{told:?}");
    let (account, _) = watch.end();
    assert_eq!(account["lost"], 0, "{account}");
}

/// Has a program of the zone's send a datagram to each of these ports outside. Returns to how many it could.
fn floods(zone: &Protected, ports: RangeInclusive<u16>) -> usize {
    let (first, last) = ports.into_inner();
    let line = format!(
        "for port in $(seq {first} {last}); do {{ echo > /dev/udp/{OUTSIDE}/$port; }} 2>/dev/null && echo sent; done; true"
    );
    let said = zone.inside(&line).stdout;
    String::from_utf8(said).unwrap().lines().count()
}

/// Returns the number of places that these questions are about.
fn places(questions: &[Value]) -> u64 {
    let of = |question: &Value| {
        let listed = question["places"].as_array().unwrap().len() as u64;
        listed.max(1) + question["more"].as_u64().unwrap()
    };
    questions.iter().map(of).sum()
}

/// Returns the waiting questions, once this many places are asked about.
fn asked_about(person: &Person, number: u64) -> Vec<Value> {
    let mut all = Vec::new();
    wait_until("all of it is asked about", || {
        all = questions(person);
        places(&all) == number
    });
    all
}

#[test]
fn a_flood_of_one_programs_is_a_few_questions_and_one_with_a_count_which_is_answered_for_those_listed_or_for_all()
 {
    let zone = asking("answer_within = 600", &[]);
    let root = Person::root(&zone);
    assert_eq!(floods(&zone, 5001..=5300), 0);
    let all = asked_about(&root, 300);
    assert_eq!(all.len(), 6, "{all:?}");
    assert!(all[..5].iter().all(|one| one["many"] == false), "{all:?}");
    let many = &all[5];
    assert_eq!((&many["many"], &many["more"]), (&true.into(), &287.into()));
    let listed = many["places"].as_array().unwrap();
    let ports: Vec<_> = listed.iter().map(|place| place["port"].clone()).collect();
    assert_eq!(ports, (5006..=5013).map(Value::from).collect::<Vec<_>>());
    // The same again is asked about already.
    assert_eq!(floods(&zone, 5001..=5300), 0);
    let again: Vec<_> = asked_about(&root, 300)
        .iter()
        .map(|one| one["id"].clone())
        .collect();
    assert_eq!(
        again,
        all.iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    );
    let answers = |more: &[&str]| {
        let id = many["id"].to_string();
        root.run(&[&["ask", "--answer", &id, "allow"], more].concat())
    };
    let said = answers(&[]);
    assert!(
        said.code == 1 && said.err.contains("--listed"),
        "which they are is not said: {said:?}"
    );
    let last = listed[7]["number"].to_string();
    let said = answers(&["--listed", &last]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(floods(&zone, 5006..=5013), 8);
    assert_eq!(floods(&zone, 5014..=5020), 0);
    let left = asked_about(&root, 292);
    assert_eq!((left.len(), &left[5]["id"]), (6, &many["id"]));
    let said = answers(&["--width", "anywhere"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(questions(&root), [] as [Value; 0]);
    assert_eq!(floods(&zone, 5001..=5400), 400);
}

#[test]
fn what_nobody_answers_of_a_flood_is_asked_about_by_the_same_question_and_a_later_answer_is_for_all_of_it()
 {
    /// Time for which it holds that nobody answered.
    const HOLDS: Duration = Duration::from_secs(60);
    // Some of it has little time, and the rest all that this test takes.
    let short = "[[rule]]\nid = \"short\"\naction = \"ask\"\ndirection = \"out\"\nprotocol = \"udp\"\nports = \"5001-5040\"\n\
                 answer_within = 6\n";
    let zone = asking(&format!("answer_within = 600\n{short}"), &[]);
    let root = Person::root(&zone);
    assert_eq!(floods(&zone, 5101..=5140), 0);
    let asked = asked_about(&root, 40);
    let many = &asked.last().unwrap()["id"];
    let begun = Instant::now();
    assert_eq!(floods(&zone, 5001..=5040), 0);
    wait_until("nobody has answered in time", || answers(&zone) == 40);
    assert_eq!(floods(&zone, 5001..=5040), 0);
    let waiting = places(&questions(&root));
    assert!(
        waiting == 40 || begun.elapsed() >= HOLDS,
        "it holds for a while: {waiting}"
    );
    assert_eq!(floods(&zone, 5041..=5080), 0);
    let mut again = Vec::new();
    wait_until("what else it wants is asked about", || {
        again = questions(&root);
        places(&again) >= 80
    });
    assert_eq!(
        (again.len(), &again[5]["id"]),
        (6, many),
        "by the same question: {again:?}"
    );
    let id = many.to_string();
    let said = root.run(&["ask", "--answer", &id, "allow", "--width", "anywhere"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        floods(&zone, 5001..=5150),
        150,
        "that nobody answered is over"
    );
    assert_eq!(answers(&zone), 1);
}

/// Has a program send a datagram, from a socket of its own to this port outside, and be told that it can't.
fn is_refused(told: &mut Told, port: u16) {
    told.is_told(&format!("open {port}"));
    assert_eq!(told.says(), "yes", "to connect its socket sends none");
    told.is_told("send");
    assert_eq!(told.says(), "no", "{port}");
}

#[test]
fn an_answer_until_the_program_ends_is_to_the_process_that_was_shown_or_is_refused_with_what_to_do()
{
    let zone = asking("answer_within = 600", &[]);
    let root = Person::root(&zone);
    let (mut one, mut other) = (Told::start(&zone), Told::start(&zone));
    for port in 5001..=5006 {
        is_refused(&mut one, port);
    }
    let all = asked_about(&root, 6);
    let many = &all[5];
    assert_eq!(
        (&many["many"], &many["of_process"], &many["pid"]),
        (&true.into(), &true.into(), &one.0.id().into())
    );
    // Another process of the program asks, and comes first where what was shown first is answered.
    is_refused(&mut other, 5007);
    asked_about(&root, 7);
    let id = many["id"].to_string();
    let answers = |more: &[&str]| root.run(&[&["ask", "--answer", &id, "allow"], more].concat());
    let listed = many["listed"].to_string();
    let said = answers(&["--listed", &listed]);
    assert_eq!(said.code, 0, "{said:?}");
    let left = asked_about(&root, 6);
    assert_eq!(
        (&left[5]["pid"], &left[5]["of_process"]),
        (&other.0.id().into(), &false.into())
    );
    let said = answers(&["--for", "program", "--width", "anywhere"]);
    assert!(
        said.code == 1 && said.err.contains("answer for some time"),
        "{said:?}"
    );
    is_refused(&mut other, 5008);
    is_refused(&mut one, 5009);
}

#[test]
fn a_link_local_address_is_allowed_for_a_time_and_no_longer_and_may_be_blocked_for_always() {
    let zone = asking("answer_within = 60", &[]);
    let root = Person::root(&zone);
    let sends_to = |port: u16| {
        let line = format!("echo > /dev/udp/fe80::99%{}/{port}", lab::DEVICE);
        zone.inside(&line).status.success()
    };
    let sends = || sends_to(4001);
    assert!(!sends());
    let asked = question(&root, 4001);
    let id = asked["id"].to_string();
    let answers =
        |more: &[&str]| root.run(&[&["ask", "--answer", &id, "allow", "--for"], more].concat());
    for long in [
        &["always"][..],
        &["restart"],
        &["2h"],
        &["always", "--width", "address"],
    ] {
        let said = answers(long);
        assert!(
            said.code == 1 && said.err.contains("another machine has fe80::99"),
            "{said:?}"
        );
    }
    assert_eq!(question(&root, 4001)["id"], asked["id"], "it waits still");
    assert!(!sends());
    assert!(root.run(&["ask", "--list"]).out.contains("link-local"));
    assert_eq!(answers(&["1h"]).code, 0);
    assert!(sends());
    assert!(!sends_to(4002));
    let id = question(&root, 4002)["id"].to_string();
    root.ok(&["ask", "--answer", &id, "block", "--for", "always", "--json"]);
    assert!(!sends_to(4002));
    assert_eq!(questions(&root), [] as [Value; 0]);
}

#[test]
fn what_nobody_answers_in_its_time_becomes_of_what_the_rule_says() {
    let rule = |id: &str, port: u16, unanswered: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\naction = \"ask\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = {port}\n\
             unanswered = \"{unanswered}\"\nanswer_within = 6\n"
        )
    };
    let rules = rule("open", 4001, "allow") + &rule("shut", 4002, "block");
    let zone = asking(&rules, &[4001, 4002]);
    let root = Person::root(&zone);
    let (open, shut) = (
        Connect::start(&zone, 0, 4001, LONG),
        Connect::start(&zone, 0, 4002, 9),
    );
    assert_eq!(question(&root, 4001)["unanswered"], "allow");
    assert_eq!(question(&root, 4002)["rule"], "shut");
    assert!(open.succeeds(), "let through when its time was over");
    assert!(!shut.succeeds());
    assert_eq!(questions(&root), [] as [Value; 0]);
    assert!(!Connect::start(&zone, 0, 4002, 3).succeeds());
    assert_eq!(questions(&root), [] as [Value; 0], "it holds for a while");
}

#[test]
fn a_user_answers_for_what_runs_as_them_and_hears_of_nothing_else() {
    let zone = asking("answer_within = 60", &[4001]);
    let root = Person::root(&zone);
    // What the group would let in, by the file of this very socket: no group of the machine's is touched.
    std::fs::set_permissions(control(&zone), std::fs::Permissions::from_mode(0o666)).unwrap();
    let nobody = Person::root(&zone).user(NOBODY);
    let mut roots = Connect::start(&zone, 0, 4001, LONG);
    let roots_question = question(&root, 4001);
    assert_eq!(questions(&nobody), [] as [Value; 0]);
    let said = answer(&nobody, &roots_question, "allow");
    assert_eq!(said.code, 1, "{said:?}");
    let own = Connect::start(&zone, NOBODY, 4001, LONG);
    let own_question = question(&nobody, 4001);
    assert_eq!(own_question["user"], NOBODY);
    // As wide as it gets, and still about their own programs.
    let id = own_question["id"].to_string();
    let said = nobody.run(&["ask", "--answer", &id, "allow", "--width", "anywhere"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(own.succeeds());
    std::thread::sleep(Duration::from_secs(2));
    assert!(roots.waits(), "root's program has no answer yet");
    assert_eq!(questions(&root).len(), 1);
}

/// Program of the zone that does as it is told, word by word, in the same process, and says how that went.
struct Told(Child, BufReader<ChildStdout>);

impl Told {
    fn start(zone: &Protected) -> Self {
        let script = format!(
            "say() {{ if \"$@\"; then echo yes; else echo no; fi; }}
             tcp() {{ {{ true; }} 3<>/dev/tcp/{OUTSIDE}/$1; }} 2>/dev/null
             open() {{ exec 4<>/dev/udp/{OUTSIDE}/$1; }}
             send() {{ {{ echo >&4; }} 2>/dev/null; }}
             # By a descriptor that stays open.
             hold() {{ eval \"exec $1<>/dev/tcp/{OUTSIDE}/$2\"; }}
             page() {{ printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&$1; read -t $2 -r page <&$1; }}
             # Another process, which has the same socket and sends by it once this one has ended.
             child() {{ (while kill -0 $$; do sleep 0.1; done; sleep $1; send; sleep 30) </dev/null >/dev/null 2>&1 & }}
             # By way of another program.
             again() {{ exec sh -c 'exec bash -c \"$SCRIPT\"'; }}
             while read -r what; do say $what; done"
        );
        let mut command = zone.lab.inside(&["bash", "-c", &script]);
        command.env("SCRIPT", &script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        Self(child, says)
    }

    fn is_told(&mut self, what: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Returns whether the program does this without anybody being asked: nobody answers here.
    fn does_unasked(&mut self, person: &Person, what: &str) -> bool {
        self.is_told(what);
        self.says() == "yes" && questions(person).is_empty()
    }

    fn ends(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn an_answer_is_to_this_connection_or_to_this_process_until_it_ends_and_to_no_other() {
    let zone = asking("answer_within = 60", &[4001, 4002]);
    let root = Person::root(&zone);
    let answer = |question: &Value, lasts: &str, width: &str| {
        let id = question["id"].to_string();
        root.run(&[
            "ask", "--answer", &id, "allow", "--for", lasts, "--width", width,
        ])
    };
    let mut one = Told::start(&zone);
    one.is_told("tcp 4001");
    let asked = question(&root, 4001);
    assert_eq!(asked["of_connection"], true, "{asked}");
    assert_eq!(asked["of_process"], true, "{asked}");
    assert_eq!(answer(&asked, "connection", "anywhere").code, 1);
    let said = answer(&asked, "connection", "endpoint");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(one.says(), "yes", "that very connect");
    assert_eq!(answers(&zone), 1);
    one.is_told("tcp 4001");
    let asked = question(&root, 4001);
    let said = answer(&asked, "program", "endpoint");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(one.says(), "yes", "asked again, of the same process");
    assert!(one.does_unasked(&root, "tcp 4001"), "until it ends");
    let mut other = Told::start(&zone);
    other.is_told("tcp 4001");
    let asked = question(&root, 4001);
    assert_ne!(asked["pid"], Value::from(one.0.id()));
    // It ends with nobody's answer. Whoever waits for the same is asked about in its place.
    let _killed = other.0.kill();
    other.0.wait().unwrap();
    let said = answer(&asked, "program", "endpoint");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("has ended"), "{said:?}");
    assert_eq!(questions(&root), [] as [Value; 0]);
    // Datagrams: to connect their socket sends none.
    assert!(one.does_unasked(&root, "open 9"));
    one.is_told("send");
    assert_eq!(one.says(), "no", "refused until it is answered");
    let said = answer(&question(&root, 9), "program", "anywhere");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(one.does_unasked(&root, "send"));
    assert!(one.does_unasked(&root, "tcp 4002"), "as wide as it gets");
    assert!(one.does_unasked(&root, "open 10"));
    assert!(one.does_unasked(&root, "child 0"));
    one.ends();
    // What was answered to the process is over with it, for who has its socket too.
    question(&root, 10);
    wait_until("what was answered to who is gone is taken out", || {
        questions(&root).len() == 1 && answers(&zone) == 0
    });
}

#[test]
fn an_answer_to_a_process_is_over_once_it_runs_another_program_though_that_one_runs_the_first_again()
 {
    let zone = asking("answer_within = 60", &[]);
    let root = Person::root(&zone);
    let mut one = Told::start(&zone);
    assert!(one.does_unasked(&root, "open 9"));
    one.is_told("send");
    assert_eq!(one.says(), "no", "refused until it is answered");
    let id = question(&root, 9)["id"].to_string();
    let said = root.run(&[
        "ask", "--answer", &id, "allow", "--for", "program", "--width", "anywhere",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(one.does_unasked(&root, "open 10"));
    assert!(one.does_unasked(&root, "send"), "as wide as it gets");
    let process = one.0.id();
    one.is_told("again");
    assert!(one.does_unasked(&root, "open 11"));
    one.is_told("send");
    assert_eq!(one.says(), "no", "it is asked about as anybody");
    let asked = question(&root, 11);
    assert_eq!(asked["pid"], Value::from(process), "{asked}");
}

/// The answers that this person is shown.
fn held(person: &Person) -> Vec<Value> {
    let said = person.run(&["answers", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let lines = said.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_answer_that_is_taken_back_is_asked_about_again_and_what_it_had_allowed_is_judged_again() {
    let log = std::env::temp_dir().join(format!("gatebell-taken-back-{}", std::process::id()));
    let file = std::fs::File::create(&log).unwrap();
    let rules = "[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = 60\n\
                 [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";
    let mut zone = Protected::with_log(rules, &[], &[], file);
    for port in ["4001", "4002"] {
        zone.lab.serve_outside(port).unwrap();
    }
    std::fs::set_permissions(control(&zone), std::fs::Permissions::from_mode(0o666)).unwrap();
    let (root, nobody) = (Person::root(&zone), Person::root(&zone).user(NOBODY));
    assert_eq!(held(&root), [] as [Value; 0]);
    let mut one = Told::start(&zone);
    for (port, hold, lasts) in [(4001, "hold 5 4001", "always"), (4002, "hold 6 4002", "1h")] {
        one.is_told(hold);
        let id = question(&root, port)["id"].to_string();
        let said = root.run(&["ask", "--answer", &id, "allow", "--for", lasts]);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(one.says(), "yes");
    }
    let all = held(&root);
    assert_eq!(all.len(), 2, "{all:?}");
    let [first, second] = [&all[0], &all[1]];
    assert_eq!(
        (&first["port"], &second["port"]),
        (&4001.into(), &4002.into())
    );
    assert_eq!(
        (&first["lasts"], &second["lasts"]),
        (&"always".into(), &"time".into())
    );
    assert!(second["seconds_left"].as_u64().unwrap() > 3500, "{second}");
    for answer in &all {
        assert_eq!(answer["by"], "root", "{answer}");
        assert_eq!(answer["in_force"], true, "{answer}");
        assert!(answer["program"].as_str().unwrap().ends_with("/bash"));
    }
    // Others see none of it, and take none of it back.
    let id = first["id"].as_str().unwrap();
    assert_eq!(held(&nobody), [] as [Value; 0]);
    for words in [
        &["answers", "forget", id][..],
        &["answers", "forget", id, "--everybody"],
    ] {
        let said = nobody.run(words);
        assert_eq!(said.code, 1, "{said:?}");
    }
    assert_eq!(nobody.run(&["answers", "forget", "--all"]).code, 0);
    assert_eq!(held(&root).len(), 2);
    // By as much of its name as no other begins with.
    let said = root.run(&["answers", "forget", &id[..8]]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!((held(&root).len(), answers(&zone)), (1, 1));
    assert_eq!(root.run(&["answers", "forget", id]).code, 1, "it was");
    one.is_told("page 5 4");
    assert_eq!(one.says(), "no", "what it had allowed");
    one.is_told("page 6 60");
    assert_eq!(one.says(), "yes", "what another answer allows");
    one.is_told("tcp 4001");
    let asked = question(&root, 4001)["id"].to_string();
    let said = root.run(&["ask", "--answer", &asked, "allow", "--for", "program"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(one.says(), "yes");
    let all = held(&root);
    assert_eq!(all[0]["lasts"], "program", "{all:?}");
    assert_eq!(all[0]["pid"], one.0.id());
    let program = all[0]["program"].as_str().unwrap().to_owned();
    one.ends();
    assert_eq!(held(&root).len(), 1, "it has ended");
    // Who gave one that is not for always is known to the next service too, which has those for always from their file.
    std::thread::sleep(Duration::from_secs(6));
    zone.service.kill();
    zone.start_again();
    let all = held(&root);
    assert_eq!((all.len(), &all[0]["by"]), (1, &"root".into()), "{all:?}");
    let _again = Connect::start(&zone, 0, 4001, LONG);
    question(&root, 4001);
    let said = root.run(&["answers", "forget", "--program", &program]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!((held(&root).len(), answers(&zone)), (0, 0));
    let said = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(
        said.contains(&format!("root took back answer {id}: allow")),
        "{said}"
    );
}

#[test]
fn an_answer_to_a_program_is_over_once_its_file_was_replaced_and_nothing_runs_from_it() {
    let zone = asking("answer_within = 60", &[4001]);
    let root = Person::root(&zone);
    let program = zone.lab.folder().join("a talker");
    let replace = || {
        let next = program.with_extension("next");
        std::fs::copy("/bin/bash", &next).unwrap();
        std::fs::rename(next, &program).unwrap();
    };
    replace();
    let connect = format!("exec 3<>/dev/tcp/{OUTSIDE}/4001; read");
    let start = || {
        let words = [program.to_str().unwrap(), "-c", &connect];
        let mut command = zone.lab.inside(&words);
        Connect(command.stdin(Stdio::piped()).spawn().unwrap())
    };
    let one = start();
    let id = question(&root, 4001)["id"].to_string();
    let words = [
        "ask", "--answer", &id, "allow", "--for", "restart", "--width", "anywhere",
    ];
    let said = root.run(&words);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(answers(&zone), 1);
    replace();
    // It is looked after every five seconds.
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(answers(&zone), 1, "something runs from it");
    let other = start();
    question(&root, 4001);
    drop(one);
    wait_until("nothing runs from it", || answers(&zone) == 0);
    drop(other);
}

/// Returns the number of answers that the kernel holds, those that are over included.
fn answers(zone: &Protected) -> usize {
    let mut folders = std::fs::read_dir(zone.lab.pins()).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    let map = MapData::from_pin(folder.join("ANSWERS")).unwrap();
    let answers = HashMap::<_, [u8; size_of::<Subject>()], [u8; size_of::<Answer>()]>::try_from(
        Map::HashMap(map),
    );
    answers.unwrap().keys().count()
}

#[test]
fn the_machine_finds_its_neighbours_while_all_that_leaves_is_asked_about_or_blocked() {
    const SOLICITATION: u16 = 135;
    let rules = |default: &str, icmp: &str| {
        let icmp = if icmp.is_empty() {
            String::new()
        } else {
            format!(
                "[[rule]]\nid = \"icmp\"\naction = \"{icmp}\"\ndirection = \"out\"\nprotocol = \"icmpv6\"\n"
            )
        };
        format!(
            "[default]\ninbound = \"block\"\noutbound = \"{default}\"\n{icmp}\
             [[rule]]\nid = \"neighbours\"\naction = \"allow\"\ndirection = \"in\"\nprotocol = \"icmpv6\"\n\
             icmp_type = [134, 135, 136]\n\
             [[rule]]\nid = \"web\"\naction = \"allow\"\ndirection = \"out\"\nprotocol = \"tcp\"\nports = 80\n"
        )
    };
    let zone = Protected::with(&rules("block", ""));
    let root = Person::root(&zone);
    for (default, icmp, expected) in [
        ("block", "", true),
        ("ask", "", true),
        ("block", "ask", true),
        ("allow", "", true),
        // What a rule says holds for the kernel too.
        ("allow", "block", false),
    ] {
        let text = rules(default, icmp);
        zone.ask().apply("new.toml", &text, None).unwrap();
        let reached = zone.inside(&format!(
            "ip -6 neigh flush dev gb0; timeout {} bash -c 'exec 3<>/dev/tcp/{OUTSIDE_V6}/80'",
            if expected { LONG } else { 2 }
        ));
        assert_eq!(reached.status.success(), expected, "{text}");
        assert_eq!(questions(&root), [] as [Value; 0], "{text}");
        // A program that pretends to be the kernel is not the kernel.
        let pretended = Made {
            protocol: ICMPV6,
            source: INSIDE_V6.parse().unwrap(),
            destination: "ff02::1".parse().unwrap(),
            source_port: SOLICITATION,
            port: 0,
        };
        let before = zone.ask().stats().unwrap();
        let _refused = Sender::open(&zone.lab.netns()).try_to_send(&pretended);
        let after = zone.ask().stats().unwrap();
        let refused = after.blocked_out > before.blocked_out;
        assert_eq!(refused, (default, icmp) != ("allow", ""), "{text}");
    }
}
