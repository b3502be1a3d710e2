//! Promises of the control socket and of the command line's live commands, on this machine's kernel.
//!
//! Needs what the tests of the firewall need.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(
    dead_code,
    reason = "the lab of `cargo xtask run`, not all of which is needed here"
)]
#[path = "../../xtask/src/lab.rs"]
mod lab;
#[path = "control/permission.rs"]
mod permission;
#[path = "control/person.rs"]
mod person;
#[allow(
    dead_code,
    reason = "shared with the tests of the firewall, each of which needs a part"
)]
mod zone;

use channel::{Mask, Refusal};
use lab::{INSIDE, OUTSIDE};
use person::{Person, Watch, connect_as};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zone::lie::pretend;
use zone::{Protected, RULES};

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

fn request(method: &str, parameters: &Value) -> Vec<u8> {
    let request =
        json!({ "method": format!("org.gatebell.Firewall.{method}"), "parameters": parameters });
    format!("{request}\0").into_bytes()
}

/// Says this, and returns the answer; none if the service hangs up.
fn say(stream: &mut UnixStream, bytes: &[u8]) -> Option<Value> {
    // It may be hung up on before it has said everything.
    let _unheard = stream.write_all(bytes);
    hear(stream)
}

fn hear(stream: &mut UnixStream) -> Option<Value> {
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut answer = Vec::new();
    let _reset = BufReader::with_capacity(1, stream).read_until(0, &mut answer);
    (answer.pop() == Some(0)).then(|| serde_json::from_slice(&answer).unwrap())
}

/// The driver still judges, the service still answers, and nothing is unaccounted for.
fn all_is_well(zone: &Protected) {
    assert!(discard(zone));
    let root = Person::root(zone);
    assert_eq!(root.ok(&["status", "--json"])["trouble"], json!([]));
    assert_eq!(root.run(&["audit"]).code, 0);
}

#[test]
fn each_question_is_answered_in_words_and_as_json() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    assert!(discard(&zone));
    let status = root.ok(&["status", "--json"]);
    assert_eq!(status["rules"]["generation"], 1);
    assert_eq!(status["devices"][1]["name"], lab::DEVICE);
    let words = root.run(&["status"]);
    assert!(
        words.code == 0 && words.out.contains("generation 1: 6 rules of"),
        "{words:?}"
    );
    let stats = root.ok(&["stats", "--json"]);
    assert_eq!(stats["blocked_out"], 1, "{stats}");
    let rule = stats["rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["id"] == "no-discard")
        .unwrap();
    assert_eq!(rule["hits"], 1, "{stats}");
    assert!(root.run(&["stats"]).out.contains("connections"));
    let audit = root.run(&["audit"]);
    assert!(
        audit.code == 0 && audit.out.contains("Every record is accounted for"),
        "{audit:?}"
    );
    let show = root.run(&["rules", "show"]);
    assert!(show.code == 0 && show.out.contains("no-telnet"), "{show:?}");
}

#[test]
fn without_a_service_each_command_says_how_to_start_it() {
    let root = Person::alone();
    let commands: [&[&str]; 6] = [
        &["status"],
        &["watch"],
        &["audit"],
        &["stats"],
        &["rules", "confirm"],
        &["why", "--packet", "in tcp 10.0.0.1:1 -> 10.0.0.2:23"],
    ];
    for command in commands {
        let said = root.run(command);
        assert_eq!(said.code, 1, "{command:?}: {said:?}");
        assert!(
            said.err.contains("gatebelld is not running; start it with"),
            "{command:?}: {said:?}"
        );
    }
}

#[test]
fn watch_shows_a_refused_packet_with_its_rule_and_ends_with_books_that_balance() {
    let zone = Protected::start();
    let mut watch = Watch::start(&zone, &["--kind", "packet", "--verdict", "block"]);
    let record = watch.next_of(&zone, "packet");
    assert_eq!(record["rule"], "no-discard", "{record}");
    let line = RULES
        .lines()
        .position(|line| line == "id = \"no-discard\"")
        .unwrap()
        + 1;
    assert_eq!(record["line"], line, "{record}");
    assert_eq!(record["generation"], 1);
    assert_eq!(record["program"]["name"], "bash");
    let (account, ended) = watch.end();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(account["offered"], account["delivered"], "{account}");
    assert_eq!(account["lost"], 0);
    assert_eq!(account["in_ring"], 0);
}

#[test]
fn why_explains_what_was_refused_then_and_what_the_rules_say_now() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let mut watch = Watch::start(&zone, &["--kind", "packet", "--verdict", "block"]);
    let record = watch.next_of(&zone, "packet").to_string();
    watch.end();
    let then = format!("block by rule `no-discard` ({}:", zone.rules.display());
    for question in [&["why", "--last"] as &[_], &["why", "--record", &record]] {
        let why = root.run(question);
        assert!(why.code == 0 && why.out.contains(&then), "{why:?}");
        assert!(why.out.contains("out udp"), "{why:?}");
    }
    let other = RULES.replace("ports = 9\n", "ports = 19\n");
    std::fs::write(&zone.rules, other).unwrap();
    assert_eq!(
        root.run(&["rules", "apply", zone.rules.to_str().unwrap()])
            .code,
        0
    );
    let why = root.ok(&["why", "--record", &record, "--json"]);
    assert_eq!(why["then"]["rule"], "no-discard", "{why}");
    assert_eq!(why["now"]["verdict"], "allow", "{why}");
}

#[test]
fn rules_on_a_lease_come_back_by_themselves_unless_they_are_confirmed() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let open = zone.lab.folder().join("open.toml");
    std::fs::write(&open, RULES.replace("ports = 9\n", "ports = 19\n")).unwrap();
    let open = open.to_str().unwrap();
    let apply = |lease: &str| root.run(&["rules", "apply", open, "--lease", lease]);

    let applied = apply("2s");
    assert_eq!(applied.code, 0, "{applied:?}");
    for said in [
        "~ rule `no-discard`",
        "gatebell rules confirm",
        "Otherwise generation 1 returns by itself",
    ] {
        assert!(applied.out.contains(said), "{said}: {applied:?}");
    }
    assert!(!discard(&zone), "the candidate is in force");
    let end = Instant::now() + Duration::from_secs(20);
    while !discard(&zone) {
        assert!(Instant::now() < end, "the lease does not end");
    }
    let late = root.run(&["rules", "confirm"]);
    assert_eq!(late.code, 1, "{late:?}");

    assert_eq!(apply("1h").code, 0);
    assert!(!discard(&zone));
    let status = root.run(&["status"]);
    assert!(
        status.out.contains("then generation 1 returns by itself"),
        "{status:?}"
    );
    assert_eq!(root.run(&["rules", "revert"]).code, 0);
    assert!(discard(&zone), "taken back");

    assert_eq!(apply("1h").code, 0);
    let confirmed = root.run(&["rules", "confirm"]);
    assert!(
        confirmed.code == 0 && confirmed.out.contains("It is confirmed"),
        "{confirmed:?}"
    );
    assert!(!discard(&zone));
    assert_eq!(root.ok(&["status", "--json"])["lease"], Value::Null);
}

#[test]
fn a_change_to_the_rules_in_force_has_its_number_and_none_begins_on_a_lease_or_beside_a_change_by_hand()
 {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let disable = ["rules", "disable", "no-discard"];
    let changed = root.ok(&[&disable[..], &["--json"]].concat());
    assert!(!discard(&zone), "{changed}");
    let number = changed["change"].as_u64().unwrap();
    let undone = root.ok(&["rules", "undo", &number.to_string(), "--json"]);
    assert!(discard(&zone) && undone["change"].as_u64().unwrap() > number);

    let lease = root.run(&[&disable[..], &["--lease", "1h"]].concat());
    assert_eq!(lease.code, 0, "{lease:?}");
    let refused = root.run(&disable);
    assert!(
        refused.code == 1 && refused.err.contains("rules are on a lease"),
        "{refused:?}"
    );
    assert_eq!(root.run(&["rules", "revert"]).code, 0);
    let by_hand = format!("# mine\n{}", std::fs::read_to_string(&zone.rules).unwrap());
    std::fs::write(&zone.rules, &by_hand).unwrap();
    let refused = root.run(&disable);
    assert!(
        refused.code == 1 && refused.err.contains("was changed and is not in force"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&zone.rules).unwrap(), by_hand);
    assert!(discard(&zone));
}

#[test]
fn rules_that_are_wrong_are_named_with_their_places_and_change_nothing() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let wrong = zone.lab.folder().join("wrong.toml");
    std::fs::write(
        &wrong,
        "[default]\ninbound = 'perhaps'\noutbound = 'allow'\n",
    )
    .unwrap();
    let said = root.run(&["rules", "apply", wrong.to_str().unwrap()]);
    assert!(
        said.code == 1 && said.err.contains("wrong.toml:2:"),
        "{said:?}"
    );
    // And if the command line had let it pass.
    let mut stream = UnixStream::connect(control(&zone)).unwrap();
    let text = json!({ "name": "wrong.toml", "text": "[default]\ninbound = 'perhaps'\n[[rule]]\nid = 1\n" });
    let answer = say(&mut stream, &request("ApplyRules", &text)).unwrap();
    assert_eq!(answer["error"], "org.gatebell.Firewall.RulesWrong");
    assert!(
        answer["parameters"]["errors"].as_array().unwrap().len() > 1,
        "{answer}"
    );
    assert!(
        answer["parameters"]["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("wrong.toml:"),
        "{answer}"
    );
    assert_eq!(root.ok(&["status", "--json"])["rules"]["generation"], 1);
    all_is_well(&zone);
}

#[test]
fn the_files_of_sets_stand_beside_the_file_that_is_applied_for_the_service_too() {
    let mut zone = Protected::start();
    let sends = |zone: &Protected| {
        zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/19"))
            .status
            .success()
    };
    let set = "\n[[set]]\nid = \"list\"\nfile = \"list.txt\"\n";
    let rule = "[[rule]]\nid = \"listed\"\naction = \"block\"\ndestination = \"@list\"\n";
    let text = format!("{RULES}{set}{rule}");
    let folder = zone.lab.folder().join("else where");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("new.toml"), &text).unwrap();
    std::fs::write(folder.join("list.txt"), OUTSIDE).unwrap();
    // What would be found from the service's folder on is another list.
    std::fs::write(zone.lab.folder().join("list.txt"), "192.0.2.1").unwrap();
    assert!(sends(&zone));
    let applied =
        Person::root(&zone).run(&["rules", "apply", folder.join("new.toml").to_str().unwrap()]);
    assert!(
        applied.code == 0
            && applied
                .out
                .contains("else where/list.txt, by the service too"),
        "{applied:?}"
    );
    assert!(!sends(&zone), "the list beside the file is meant");
    zone.service.stop();
    zone.start_again();
    assert!(!sends(&zone), "after a start too");
    assert!(
        Person::root(&zone)
            .run(&["rules", "show"])
            .out
            .contains("listed")
    );

    let beside = zone.lab.folder().join("new.toml");
    std::fs::write(&beside, &text).unwrap();
    let applied = Person::root(&zone).run(&["rules", "apply", beside.to_str().unwrap()]);
    assert!(
        applied.code == 0 && !applied.out.contains("by the service too"),
        "{applied:?}"
    );
    assert!(sends(&zone), "the other list");
    assert_eq!(
        std::fs::read_to_string(&zone.rules).unwrap(),
        text,
        "a file of the same folder is kept as it is"
    );
}

#[test]
fn rules_and_rings_beyond_the_budget_of_kernel_memory_are_refused_and_status_shows_what_takes_it() {
    let taken = {
        let zone = Protected::start();
        let memory = Person::root(&zone).ok(&["status", "--json"])["kernel_memory"].clone();
        assert_eq!(
            memory["budget"],
            256 << 20,
            "as gatebelld has it by itself: {memory}"
        );
        memory["used"].as_u64().unwrap()
    };
    let budget = format!("{}KiB", taken / 1024 + 1024);
    let zone = Protected::with_options(RULES, &["--kernel-memory", &budget]);
    let root = Person::root(&zone);
    let memory = || root.ok(&["status", "--json"])["kernel_memory"].clone();
    let before = memory();
    assert_eq!(before["used"], taken);
    let parts = ["tables", "rules", "sets", "rings", "rings_let_go"]
        .map(|part| before[part].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), taken, "{before}");

    // Addresses with gaps between them: each is an interval of its own.
    let list: String = (0..100_000_u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from(n * 2)))
        .collect();
    std::fs::write(zone.lab.folder().join("list.txt"), list).unwrap();
    let large = zone.lab.folder().join("large.toml");
    let rule = "[[rule]]\nid = \"all\"\naction = \"block\"\nsource = \"@all\"\n";
    std::fs::write(
        &large,
        format!("{RULES}\n[[set]]\nid = \"all\"\nfile = \"list.txt\"\n{rule}"),
    )
    .unwrap();
    let refused = root.run(&["rules", "apply", large.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    for said in [
        "MiB of kernel memory, and",
        "are left",
        "--kernel-memory",
        "gatebell status",
    ] {
        assert!(refused.err.contains(said), "{said}: {refused:?}");
    }
    assert_eq!(memory(), before, "nothing was changed");
    assert_eq!(root.ok(&["status", "--json"])["rules"]["generation"], 1);

    let attach = |bytes| zone.device().attach(bytes, Mask::ALL);
    assert_eq!(
        attach(2 << 20).err().and_then(|error| error.refusal()),
        Some(Refusal::Memory)
    );
    let mut app = attach(512 << 10).unwrap();
    assert!(memory()["rings"].as_u64() > Some(512 << 10), "{}", memory());
    app.detach().unwrap();
    let let_go = memory();
    assert!(
        let_go["rings"] == 0 && let_go["rings_let_go"].as_u64() > Some(512 << 10),
        "{let_go}"
    );
    assert!(
        root.run(&["status"])
            .out
            .contains("rings let go of and still mapped")
    );
    assert_eq!(
        attach(512 << 10).err().and_then(|error| error.refusal()),
        Some(Refusal::Memory),
        "it lives, and counts"
    );
    drop(app);
    drop(attach(512 << 10).unwrap());
    all_is_well(&zone);
}

#[test]
fn hostile_requests_are_answered_or_hung_up_on_and_hold_up_nobody() {
    let zone = Protected::start();
    let connect = || UnixStream::connect(control(&zone)).unwrap();
    let mut half = connect();
    half.write_all(b"{\"method\":\"org.gatebell").unwrap();
    let mut deaf = connect();
    // Pipelined, and never listened to.
    deaf.set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    for _ in 0..10_000 {
        if deaf.write_all(&request("GetRules", &json!({}))).is_err() {
            break;
        }
    }
    for bytes in [
        &b"\0"[..],
        b"garbage\0",
        b"{}\0",
        b"\xff\0",
        b"{\"method\":7}\0",
        b"[[[[\0",
    ] {
        assert_eq!(say(&mut connect(), bytes), None, "{bytes:?}");
    }
    let endless = vec![b' '; 16 << 20];
    let answer = say(&mut connect(), &endless).unwrap();
    assert_eq!(
        answer["error"], "org.gatebell.Firewall.MessageTooLong",
        "{answer}"
    );
    let odd = [
        ("ApplyRules", json!({})),
        ("ApplyRules", json!({ "name": "\u{1b}[2J", "text": "" })),
        (
            "ApplyRules",
            json!({ "name": "n", "text": RULES, "lease_seconds": -1 }),
        ),
        (
            "ApplyRules",
            json!({ "name": "n", "text": RULES, "lease_seconds": u64::MAX }),
        ),
        ("GetProgram", json!({ "device": "x", "inode": null })),
        ("GetStatus", json!([1, 2, 3])),
        ("Nothing", json!({})),
    ];
    for (method, parameters) in odd {
        let answer = say(&mut connect(), &request(method, &parameters)).unwrap();
        assert!(answer["error"].is_string(), "{method}: {answer}");
    }
    let mut busy = connect();
    for _ in 0..3000 {
        assert!(
            say(&mut busy, &request("GetStats", &json!({}))).unwrap()["parameters"].is_object()
        );
    }
    all_is_well(&zone);
    // Who takes too long is hung up on.
    half.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(half.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn who_is_not_root_may_not_connect_and_if_let_in_may_ask_and_change_nothing() {
    let zone = Protected::start();
    let nobody = Person::root(&zone).user(NOBODY);
    let refused = connect_as(NOBODY, &control(&zone)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    let said = nobody.run(&["status"]);
    assert!(
        said.code == 1 && said.err.contains("group gatebell"),
        "{said:?}"
    );

    // What the group would let in, by the file of this very socket: no group of the machine's is touched.
    std::fs::set_permissions(control(&zone), std::fs::Permissions::from_mode(0o666)).unwrap();
    let app = zone.attach(1 << 16);
    let mut stream = connect_as(NOBODY, &control(&zone)).unwrap();
    for method in ["GetStatus", "GetRules", "GetStats"] {
        let answer = say(&mut stream, &request(method, &json!({}))).unwrap();
        assert!(
            answer["parameters"].is_object() && answer["error"].is_null(),
            "{answer}"
        );
    }
    let accounts = say(&mut stream, &request("GetAccounts", &json!({}))).unwrap();
    assert_eq!(
        accounts["parameters"]["accounts"]["apps"],
        json!([]),
        "root's app is not theirs"
    );
    for (method, parameters) in [
        ("ApplyRules", json!({ "name": "mine", "text": RULES })),
        ("ConfirmRules", json!({})),
        ("RevertRules", json!({})),
        ("ReloadRules", json!({})),
    ] {
        let answer = say(&mut stream, &request(method, &parameters)).unwrap();
        assert_eq!(
            answer["error"], "org.gatebell.Firewall.NotPermitted",
            "{method}"
        );
    }
    // Each of those that polkit may be asked about counts as many requests, and the next connection has to wait for its share.
    std::thread::sleep(Duration::from_secs(3));
    let said = nobody.run(&["rules", "revert"]);
    assert!(
        said.code == 1 && said.err.contains("only root may change the firewall"),
        "{said:?}"
    );
    let long = say(&mut stream, &vec![b' '; 600_000]).unwrap();
    assert_eq!(long["parameters"]["most"], 256 << 10);
    drop(app);
    all_is_well(&zone);
}

#[test]
fn one_user_asks_only_so_much_and_others_notice_nothing() {
    let zone = Protected::start();
    std::fs::set_permissions(control(&zone), std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut all: Vec<_> = (0..40)
        .map(|_| connect_as(NOBODY, &control(&zone)).unwrap())
        .collect();
    let answered = all
        .iter_mut()
        .filter_map(|stream| say(stream, &request("GetStats", &json!({}))));
    assert_eq!(answered.count(), 8, "so many connections one user has");
    drop(all);
    std::thread::sleep(Duration::from_secs(2));
    let mut greedy = connect_as(NOBODY, &control(&zone)).unwrap();
    let many: Vec<u8> = (0..200)
        .flat_map(|_| request("GetStats", &json!({})))
        .collect();
    let begun = Instant::now();
    greedy.write_all(&many).unwrap();
    for _ in 0..50 {
        assert_eq!(Person::root(&zone).run_here(&["status", "--json"]), 0);
    }
    for _ in 0..200 {
        assert!(hear(&mut greedy).is_some());
    }
    // Not a speed: after the burst of 64 there are 40 a second, whoever is quick.
    assert!(
        begun.elapsed() > Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_flood_past_a_reader_that_stopped_is_accounted_for_to_the_last_record() {
    let mut zone = Protected::start();
    let root = Person::root(&zone);
    let mut stopped = zone.attach(4096);
    let mut watch = Watch::start(&zone, &["--kind", "packet"]);
    zone.inside(&format!(
        "for n in {{1..400}}; do echo > /dev/udp/{OUTSIDE}/9; done 2> /dev/null"
    ));
    zone.agreed();
    let audit = root.ok(&["audit", "--json"]);
    assert_eq!(audit["balances"], true, "{audit}");
    let apps = audit["apps"].as_array().unwrap();
    assert_eq!(apps.len(), 2, "{audit}");
    assert!(
        apps.iter()
            .any(|app| app["counted"]["lost_no_room"].as_u64() > Some(300)),
        "{audit}"
    );
    let (account, ended) = watch.end();
    assert_eq!(ended.code(), Some(0), "{account}");
    stopped.detach().unwrap();
    drop(stopped);
    let audit = root.run(&["audit"]);
    assert!(audit.code == 0 && audit.out.contains("0 held"), "{audit:?}");
}

#[test]
fn an_app_whose_page_lies_is_named_and_harms_nobody_else() {
    let mut zone = Protected::start();
    let root = Person::root(&zone);
    let liar = zone.attach(4096);
    let honest = zone.attach(1 << 20);
    assert!(discard(&zone));
    let lies = |audit: &Value| {
        audit["apps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|app| app["lies"] == true)
            .count()
    };
    assert_eq!(lies(&root.ok(&["audit", "--json"])), 0);
    // As if it had read what was never written.
    pretend(&liar, 1 << 40);
    zone.inside(&format!(
        "for n in {{1..50}}; do echo > /dev/udp/{OUTSIDE}/9; done 2> /dev/null"
    ));
    zone.agreed();
    assert_eq!(lies(&root.ok(&["audit", "--json"])), 1);
    let audit = root.run(&["audit"]);
    assert!(
        audit.code == 0 && audit.err.contains("lies about what it has read"),
        "{audit:?}"
    );
    assert_eq!(honest.account().unwrap().in_ring, 51);
}

#[test]
fn watch_outlives_the_service_and_says_so() {
    let mut zone = Protected::start();
    let mut watch = Watch::start(&zone, &["--kind", "packet", "--verdict", "block"]);
    watch.next_of(&zone, "packet");
    zone.service.kill();
    let ended = watch.hear("ended");
    assert_eq!(ended["offered"], ended["delivered"], "{ended}");
    zone.start_again();
    watch.hear("attached");
    assert_eq!(watch.next_of(&zone, "packet")["rule"], "no-discard");
    let (_, ended) = watch.end();
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn recover_takes_everything_out_and_twice_in_a_row_is_fine() {
    let mut zone = Protected::start();
    let root = Person::root(&zone);
    assert!(discard(&zone));
    let taken = root.recover();
    assert!(!taken["recovered"].as_array().unwrap().is_empty());
    zone.service.process.wait().unwrap();
    assert!(!discard(&zone), "nothing is filtered any more");
    assert!(!control(&zone).exists());
    assert_eq!(root.recover()["recovered"], json!([]));
    let nobody = root.user(NOBODY);
    let said = nobody.run(&["recover"]);
    assert!(
        said.code == 1 && said.err.contains("sudo gatebell recover"),
        "{said:?}"
    );
}

/// What is said beforehand of a datagram from the zone to port 19 outside: this rule refuses it, or none does. The rules in force
/// know what has joined their sets, a file does if it is told to.
fn foretold(zone: &Protected, root: &Person, rule: Option<&str>) {
    let verdict = if rule.is_some() { "block" } else { "allow" };
    let packet = format!("out udp {INSIDE}:5000 -> {OUTSIDE}:19");
    let why = root.ok(&["why", "--json", "--packet", &packet]);
    assert_eq!(
        (&why["verdict"], &why["rule"]),
        (&json!(verdict), &json!(rule))
    );
    assert_eq!(why["joined"].as_array().unwrap().is_empty(), rule.is_none());
    let test = root.run(&["test", "out", "udp", &format!("{OUTSIDE}:19"), "--json"]);
    assert_eq!(test.code == 0, rule.is_none(), "{test:?}");
    let capture = zone.lab.folder().join("capture");
    std::fs::write(&capture, capture_of(19)).unwrap();
    let (rules, capture) = (zone.rules.to_str().unwrap(), capture.to_str().unwrap());
    let dry = |joined: &[&str], expected: &str| {
        let words = [
            "dry-run", rules, "--pcap", capture, "--zone", INSIDE, "--expect", expected,
        ];
        let said = root.run(&[&words[..], joined].concat());
        assert_eq!(said.code, 0, "{said:?}");
    };
    dry(&[], "blocked=0");
    dry(
        &["--joined"],
        if rule.is_some() {
            "blocked=1"
        } else {
            "blocked=0"
        },
    );
}

/// A capture of one datagram from the zone to this port outside.
fn capture_of(port: u16) -> Vec<u8> {
    let [inside, outside] = [INSIDE, OUTSIDE].map(|a| a.parse::<std::net::Ipv4Addr>().unwrap());
    let head = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    let datagram = [5000_u16, port, 8, 0].map(u16::to_be_bytes).concat();
    let packet = [&head[..], &inside.octets(), &outside.octets(), &datagram].concat();
    let length = (packet.len() as u32).to_le_bytes();
    let file = [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes);
    [&file.concat()[..], &[0; 8], &length, &length, &packet].concat()
}

/// Three sets, the first with an address in it, and rules that refuse what goes there.
const WITH_SETS: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\
    [[set]]\nid = 'banned'\naddresses = '198.51.100.7'\nexcept = '198.51.100.8'\n\
    [[set]]\nid = 'tried'\naddresses = []\n\
    [[set]]\nid = 'odd'\naddresses = []\n\
    [[rule]]\nid = 'no-banned'\naction = 'block'\ndestination = '@banned'\n\
    [[rule]]\nid = 'no-odd'\naction = 'block'\nprotocol = 'udp'\nports = 19\ndestination = ['@odd', '@tried', '@banned']\n";

#[test]
fn an_address_joins_a_set_at_once_and_without_a_generation_until_it_is_removed_or_its_time_is_over()
{
    let mut zone = Protected::with(WITH_SETS);
    let root = Person::root(&zone);
    let set = |words: &[&str]| root.run(&[&["set"], words].concat());
    let done = |words: &[&str]| {
        let said = set(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        said.out
    };
    let generation = || root.ok(&["status", "--json"])["rules"]["generation"].clone();
    let refused = |zone: &Protected, port: u16| {
        let send = zone.inside(&format!("echo > /dev/udp/{OUTSIDE}/{port}"));
        !send.status.success()
    };
    assert!(!refused(&zone, 19));

    // What has begun is judged again too.
    let folder = zone.lab.folder().display().to_string();
    let goes_on = format!(
        "exec 3>/dev/udp/{OUTSIDE}/9; echo >&3 && touch {folder}/began; \
         for n in $(seq 300); do sleep 0.1; echo >&3 || {{ touch {folder}/refused; exit; }}; done"
    );
    let mut flow = zone
        .lab
        .inside(&["bash", "-c", &goes_on])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    zone::probe::wait_until("a flow begins", || zone.lab.folder().join("began").exists());

    assert!(done(&["add", "banned", OUTSIDE]).contains("1 address added to banned"));
    assert!(refused(&zone, 19), "the next packet");
    zone::probe::wait_until("what had begun is refused", || {
        zone.lab.folder().join("refused").exists()
    });
    flow.wait().unwrap();
    assert!(done(&["list"]).contains("until it is removed"));
    assert_eq!(generation(), 1);
    foretold(&zone, &root, Some("no-banned"));

    // A rule that asks for several sets, and both rules for one.
    done(&["remove", "banned", OUTSIDE]);
    assert!(!refused(&zone, 19) && !refused(&zone, 20));
    done(&["add", "odd", OUTSIDE]);
    assert!(refused(&zone, 19) && !refused(&zone, 20));
    assert_eq!(generation(), 1);

    // Two that no address was in at once take a generation, once.
    assert!(done(&["add", "tried", OUTSIDE]).contains("generation 2"));
    assert!(!done(&["add", "tried", "198.51.100.9"]).contains("generation"));
    assert!(refused(&zone, 19));
    assert_eq!(generation(), 2);
    done(&["remove", "odd", OUTSIDE]);
    assert!(refused(&zone, 19), "by the other one");
    foretold(&zone, &root, Some("no-odd"));
    done(&["remove", "tried", OUTSIDE]);
    assert!(!refused(&zone, 19));
    foretold(&zone, &root, None);

    // It ends by itself.
    done(&["add", "banned", OUTSIDE, "--for", "2s"]);
    assert!(refused(&zone, 20));
    zone::probe::wait_until("its time is over", || !refused(&zone, 20));
    assert!(!done(&["list", "banned"]).contains(OUTSIDE));

    // What can't be says why.
    let line = format!("{}:5", zone.rules.display());
    for (words, said) in [
        (
            &["add", "bannd", OUTSIDE] as &[&str],
            "`banned`, `tried`, `odd`",
        ),
        (&["add", "banned", "192.0.2.0/24"], "no single address"),
        (&["add", "banned", "198.51.100.8"], "`except`"),
        (&["remove", "banned", "198.51.100.7"], &line),
        (
            &["add", "banned", OUTSIDE, "--for", "999999999s"],
            "seconds",
        ),
    ] {
        let refused = set(words);
        assert!(
            refused.code == 1 && refused.err.contains(said),
            "{words:?}: {refused:?}"
        );
    }
    let nobody = Person::root(&zone).user(NOBODY);
    assert_eq!(nobody.run(&["set", "add", "banned", OUTSIDE]).code, 1);
    assert!(!refused(&zone, 20));

    // A thousand in one request, and some hundred each in its own.
    let thousand: Vec<String> = (0..1000)
        .map(|n| format!("10.9.{}.{}", n / 250, n % 250))
        .collect();
    let mut client = zone.ask();
    assert_eq!(
        client.add_to_set("banned", &thousand, None).unwrap().added,
        1000
    );
    let begin = Instant::now();
    for n in 0..300 {
        let one = [format!("2001:db8::{n:x}")];
        assert_eq!(
            client
                .add_to_set("odd", &one, Some(Duration::from_secs(900)))
                .unwrap()
                .added,
            1
        );
    }
    println!("{:?} for each of 300 requests", begin.elapsed() / 300);
    assert_eq!(client.set_members(None).unwrap().len(), 1301);
    done(&["add", "banned", OUTSIDE]);
    assert!(refused(&zone, 20));

    // Another generation has it, a service after this one, and one after what was in the kernel is gone.
    let other = format!(
        "{WITH_SETS}[[rule]]\nid = 'more'\naction = 'allow'\nports = 7\nprotocol = 'tcp'\n"
    );
    std::fs::write(&zone.rules, other).unwrap();
    root.run(&["rules", "apply", zone.rules.to_str().unwrap()]);
    assert_eq!(generation(), 3);
    assert!(refused(&zone, 20), "the next generation");
    zone.service.kill();
    assert!(refused(&zone, 20), "with no service");
    assert!(zone.start_again());
    assert!(refused(&zone, 20), "the next service");
    assert_eq!(zone.ask().set_members(None).unwrap().len(), 1302);
    zone.service.stop();
    zone.recover();
    assert!(!zone.start_again());
    assert!(refused(&zone, 20), "from disk");
    assert_eq!(zone.ask().set_members(None).unwrap().len(), 1302);

    // A first start that was killed while the kernel looked at its programs leaves empty tables, and nobody believes them.
    zone.service.stop();
    zone.recover();
    let version = format!("v{}", firewall_abi::VERSION);
    let tables = zone.lab.pins().join(version);
    std::fs::create_dir_all(tables.join("half")).unwrap();
    assert!(!zone.start_again());
    std::fs::remove_dir(tables.join("half")).unwrap();
    assert!(refused(&zone, 20), "from disk still");
    assert_eq!(zone.ask().set_members(None).unwrap().len(), 1302);
    done(&["remove", "banned", OUTSIDE]);
    assert!(!refused(&zone, 20));
    assert_eq!(root.ok(&["status", "--json"])["trouble"], json!([]));
}
