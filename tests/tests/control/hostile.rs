//! Tests of peers that ask too much, ask what they may not, or lie.

use super::{NOBODY, all_is_well, control, discard, hear, request, say};
use crate::person::{Person, Watch, connect_as};
use crate::zone::lie::pretend;
use crate::zone::probe::wait_until;
use crate::zone::{Protected, RULES};
use gatebell_tests::PATIENCE;
use lab::OUTSIDE;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

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
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = half.read(&mut [0; 1]).map_err(|error| error.kind());
    assert!(
        matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)),
        "{end:?}"
    );
}

#[test]
fn who_is_not_root_may_not_connect_and_if_let_in_may_ask_and_change_nothing() {
    let zone = Protected::start();
    let nobody = Person::root(&zone).user(NOBODY);
    let refused = connect_as(NOBODY, &control(&zone)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
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
    // Each of those that polkit may be asked about counts as many requests,
    // and the next connection has to wait for its share.
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
    // Who is let in once the service has seen that the others are gone.
    let let_in = || {
        let mut stream = connect_as(NOBODY, &control(&zone)).unwrap();
        say(&mut stream, &request("GetStats", &json!({}))).map(|_| stream)
    };
    let mut greedy = let_in();
    wait_until("there is room again", || {
        greedy = greedy.take().or_else(let_in);
        greedy.is_some()
    });
    let mut greedy = greedy.unwrap();
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
