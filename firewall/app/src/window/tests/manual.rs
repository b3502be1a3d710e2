//! Tests of the window's manual page: who reads it finds what there is.

use super::*;
use view::question::{LASTS, LEAVE, MUTE, VERDICTS, WIDTHS};

const PAGE: &str = include_str!("../../../../../package/gatebell-app/gatebell-app.1");

#[test]
fn the_manual_names_each_page_with_its_keys_and_each_key_of_a_question() {
    let mut window = window();
    window.run_steps(2);
    let tabs = window.query_all_by_role(accesskit::Role::Tab);
    let tabs: Vec<_> = tabs
        .map(|tab| tab.accesskit_node().label().unwrap())
        .collect();
    for (name, number) in tabs.iter().zip(1..) {
        let said = format!("\n.B {name} (Control+{number})\n");
        assert!(PAGE.contains(&said), "{name}, {number}");
    }
    assert_eq!(PAGE.matches("(Control+").count(), tabs.len());
    let choices = VERDICTS
        .iter()
        .map(|it| (it.key, it.words()))
        .chain(LASTS.iter().map(|it| (it.key, it.words())))
        .chain(WIDTHS.iter().map(|it| (it.key, it.words())));
    let others = [LEAVE, MUTE].map(|key| (key, String::new()));
    for (key, words) in choices.chain(others) {
        let key = key.to_ascii_uppercase();
        let says = PAGE.split(&format!("\n.B {key}\n")).nth(1);
        let line = says.and_then(|rest| rest.lines().next());
        assert!(line.is_some_and(|line| line.ends_with(&words)), "{key}");
    }
}
