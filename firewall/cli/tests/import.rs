//! The rules of other firewalls as rule files of ours.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;

use commands::{command, err, gatebell_given, golden, out};
use std::path::Path;
use std::process::Output;

/// Each kind, and a file of it that stands beside this.
const FILES: [(&str, &str); 8] = [
    ("opensnitch", "opensnitch.json"),
    ("ufw", "user.rules"),
    ("iptables", "iptables-save.txt"),
    ("nft", "ruleset.nft"),
    ("firewalld", "firewalld.txt"),
    ("simplewall", "profile.xml"),
    ("portmaster", "portmaster.json"),
    ("little-snitch", "snitch.lsrules"),
];

fn run(arguments: &[&str]) -> Output {
    command(arguments)
        .current_dir(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/exports"
        )))
        .output()
        .unwrap()
}

#[test]
fn the_rules_of_other_firewalls_are_said_in_ours_and_what_can_not_be_is_a_comment() {
    for (kind, file) in FILES {
        golden(
            &format!("import-{kind}.txt"),
            &run(&["rules", "import", file]),
        );
    }
}

#[test]
fn what_is_imported_is_a_rule_file_that_is_taken() {
    for (kind, file) in FILES {
        let imported = run(&["rules", "import", file, "--from", kind]);
        let checked = gatebell_given(&imported.stdout, &["rules", "check", "-"]);
        assert!(checked.status.success(), "{kind}: {}", out(&checked));
        let object: serde_json::Value =
            serde_json::from_str(&out(&run(&["rules", "import", file, "--json"]))).unwrap();
        assert_eq!(
            (object["from"].as_str(), object["text"].as_str()),
            (Some(kind), Some(out(&imported).as_str()))
        );
        let comments = out(&imported).matches("\n# Not said").count();
        assert_eq!(
            object["unsaid"].as_array().unwrap().len(),
            comments,
            "{kind}"
        );
        assert_eq!(
            imported.status.code(),
            Some(i32::from(comments > 0)),
            "{kind}"
        );
    }
}

#[test]
fn what_is_said_whole_ends_well_and_what_nobody_knows_is_said_so() {
    let whole = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";
    let said = gatebell_given(whole.as_bytes(), &["rules", "import", "-"]);
    assert!(said.status.success(), "{}", err(&said));
    assert!(out(&said).ends_with(
        "\n[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n\
         [[rule]]\nid = \"allow-tcp-22-in\"\naction = \"allow\"\ndirection = \"in\"\nprotocol = \"tcp\"\nports = 22\n"
    ), "{}", out(&said));
    let unknown = gatebell_given(b"hello\n", &["rules", "import", "-"]);
    assert!(
        !unknown.status.success() && err(&unknown).contains("--from"),
        "{}",
        err(&unknown)
    );
    let other = gatebell_given(
        b"hello\n",
        &["rules", "import", "--from", "opensnitch", "-"],
    );
    assert!(err(&other).contains("this is not JSON"), "{}", err(&other));
}

#[test]
fn a_check_of_another_firewalls_file_names_it_and_the_command_that_reads_it() {
    for (_, file) in FILES {
        let checked = run(&["rules", "check", file]);
        assert_eq!(checked.status.code(), Some(1));
        let said = out(&checked);
        assert!(
            said.contains("this is no rule file: it is from ")
                && said.contains("gatebell rules import"),
            "{said}"
        );
        assert!(said.contains("1 error"), "{said}");
    }
}

#[test]
fn a_foreign_text_can_not_leave_its_comment() {
    let text = "{\"name\":\"a\\n[[rule]]\",\"action\":\"allow\\n[[rule]]\\nid=1\",\"operator\":{\"operand\":\"true\"}}";
    let imported = gatebell_given(text.as_bytes(), &["rules", "import", "-"]);
    let said = out(&imported);
    assert!(
        said.contains("# Not said") && !said.contains("\n[[rule]]"),
        "{said}"
    );
}
