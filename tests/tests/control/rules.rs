//! Rules that are put in force, tried out and refused.

use super::{all_is_well, control, discard, request, say};
use crate::person::Person;
use crate::zone::probe::within;
use crate::zone::{Protected, RULES};
use channel::{Mask, Refusal};
use gatebell_tests::PATIENCE;
use lab::OUTSIDE;
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn rules_on_a_lease_come_back_by_themselves_unless_they_are_confirmed() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let open = zone.lab.folder().join("open.toml");
    std::fs::write(&open, RULES.replace("ports = 9\n", "ports = 19\n")).unwrap();
    let open = open.to_str().unwrap();
    let apply = |lease: &str| root.run(&["rules", "apply", open, "--lease", lease]);

    let applied = apply("6s");
    assert_eq!(applied.code, 0, "{applied:?}");
    for said in [
        "~ rule `no-discard`",
        "gatebell rules confirm 2",
        "Otherwise generation 1 returns by itself",
    ] {
        assert!(applied.out.contains(said), "{said}: {applied:?}");
    }
    assert!(!discard(&zone), "the candidate is in force");
    let end = Instant::now() + PATIENCE;
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
fn rules_that_are_tried_out_in_the_place_of_those_that_were_seen_are_neither_kept_nor_taken_back() {
    let zone = Protected::start();
    let root = Person::root(&zone);
    let hour = Some(Duration::from_secs(3600));
    let tries = |port: &str| {
        let text = RULES.replace("ports = 9\n", &format!("ports = {port}\n"));
        let tried = zone.ask().apply("tried.toml", &text, hour).unwrap();
        tried.generation.to_string()
    };
    let (seen, other) = (tries("19"), tries("29"));
    for command in ["confirm", "revert"] {
        let said = root.run(&["rules", command, &seen]);
        assert!(
            said.code == 1 && said.err.contains("somebody else changed the rules"),
            "{said:?}"
        );
        let lease = &root.ok(&["status", "--json"])["lease"];
        assert_eq!(lease["generation"].to_string(), other, "{command}");
    }
    assert_eq!(root.run(&["rules", "revert", &other]).code, 0);
    let next = tries("39");
    assert_eq!(root.run(&["rules", "confirm", &next]).code, 0);
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
fn a_rule_for_a_device_by_another_name_of_its_is_warned_of() {
    let zone = Protected::start();
    let named = zone.inside("ip link property add dev gb0 altname uplink");
    assert!(named.status.success(), "{named:?}");
    let rules = zone.lab.folder().join("uplink.toml");
    let rule = "\n[[rule]]\nid = \"uplink\"\naction = \"block\"\ninterface = \"uplink\"\n";
    std::fs::write(&rules, RULES.to_owned() + rule).unwrap();
    let said = within(&zone.lab.netns(), move || {
        let words = ["gatebell", "rules", "check", rules.to_str().unwrap()];
        let arguments = cli::parse_from(words.map(Into::into));
        let mut out = Vec::new();
        cli::perform(&arguments.command, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    });
    assert!(said.contains("write `gb0`"), "{said}");
}
