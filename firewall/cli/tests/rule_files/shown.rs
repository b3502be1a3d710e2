//! Tests of how rules are shown.

use crate::DEFAULTS;
use crate::commands::{File, err, gatebell, gatebell_given, golden, out};

#[test]
fn rules_are_shown_in_the_order_in_which_they_are_tried() {
    golden("show.txt", &gatebell(&["rules", "show", "rules.toml"]));
    golden(
        "show.json",
        &gatebell(&["rules", "show", "rules.toml", "--json"]),
    );
}

#[test]
fn a_rule_files_text_is_printed_as_it_is() {
    let text = format!("# a word\r\n{DEFAULTS}no rules = [");
    let place = File::new(&text);
    let said = gatebell(&["rules", "show", "--text", &place.path]);
    assert_eq!(said.status.code(), Some(0));
    assert_eq!(said.stdout, text.as_bytes());
    let asked = ["rules", "show", "--text", "--json"];
    assert_eq!(gatebell(&asked).status.code(), Some(2));
}

#[test]
fn no_text_is_too_wide_for_a_table() {
    let wide = "x".repeat(70_000);
    let rule = format!(
        "[[rule]]\nid = 'a'\naction = 'block'\nprogram = '/{wide}'\nuser = '{wide}'\ncomment = '{wide}'\n"
    );
    let file = File::new(&format!("{DEFAULTS}{rule}"));
    let undo = file.folder.path().join("rules.toml.undo");
    std::fs::create_dir(&undo).unwrap();
    let change = format!("{{\"number\":1,\"time\":5,\"by\":\"{wide}\",\"what\":\"w\"}}\nold");
    std::fs::write(undo.join("1.state"), change).unwrap();
    let shows = ["rules", "show", &file.path];
    for output in [gatebell(&shows), file.rules(&["log"])] {
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let said = out(&output);
        assert!(said.contains(&wide));
        // Nobody else's line is as wide.
        assert!(said.lines().last().unwrap().len() < 140_000 && said.len() < 500_000);
    }
}

#[test]
fn a_set_of_one_entry_is_said_to_have_one_entry() {
    let said = |addresses: &str| {
        let text = format!(
            "{DEFAULTS}[[set]]\nid = 's'\naddresses = {addresses}\n\n[[rule]]\nid = 'r'\naction = 'block'\nsource = '@s'\n"
        );
        let checked = gatebell_given(text.as_bytes(), &["rules", "check", "--elsewhere", "-"]);
        out(&checked)
    };
    let one = said("'192.0.2.1'");
    assert!(one.contains("1 set of 1 entry;"), "{one}");
    let two = said("['192.0.2.1', '192.0.2.3']");
    assert!(two.contains("1 set of 2 entries;"), "{two}");
}
