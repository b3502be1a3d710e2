//! Tests of the pages of what holds beside the rules: answers and sets.

use super::pages::turned;
use super::*;
use control::{HeldAnswer, SetMember};
use view::example::held_answer;

fn other() -> HeldAnswer {
    HeldAnswer {
        id: "feed00000000beef".to_owned(),
        verdict: "block".to_owned(),
        lasts: "always".to_owned(),
        seconds_left: None,
        remote: None,
        remote_name: None,
        protocol: None,
        port: None,
        ..held_answer()
    }
}

const RULES: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[set]]\nid = 'bad'\naddresses = ['192.0.2.0/24', \
    '2001:db8::7']\ncomment = 'known to be'\n\n[[set]]\nid = 'lists'\nfile = 'lists/all.txt'\n\n[[set]]\nid = 'named'\nnames = \
    ['example.org']\n\n[[rule]]\nid = 'no-bad'\naction = 'block'\nsource = '@bad'\n\n[[rule]]\nid = 'no-lists'\naction = \
    'block'\nsource = ['@lists', '@bad']\n";

fn member(address: &str, seconds_left: Option<u64>) -> SetMember {
    SetMember {
        set: "bad".to_owned(),
        address: address.parse().unwrap(),
        seconds_left,
        name: None,
    }
}

/// Returns a window on a page, and the two sides of its service.
fn on(page: &str) -> (Harness<'static, Window>, OverviewModel, ChangesModel) {
    let mut window = window();
    let mut service = OverviewModel::with(RULES);
    service.status.lease = None;
    service.answers = vec![held_answer(), other()];
    service.members = vec![
        member("198.51.100.1", Some(59)),
        member("198.51.100.2", None),
    ];
    window.state().shown.changes.be_followed();
    window.state().shown.overview.be_followed();
    window.run_steps(3);
    turned(&mut window, page, &mut service);
    (window, service, ChangesModel::default())
}

#[test]
fn the_answers_that_hold_are_listed_with_about_whom_where_until_when_and_by_whom() {
    let (window, ..) = on("Answers");
    assert_eq!(
        rows(&window),
        [
            "allowed /usr/bin/curl of user 1000 -> 192.0.2.7 (example.org) tcp port 443: 540 s left, by alice",
            "refused /usr/bin/curl of user 1000 -> anywhere: always, by alice",
        ]
    );
}

#[test]
fn an_answer_is_taken_back_by_a_click_or_by_keys_and_all_of_a_program_by_another() {
    use egui::Key;
    let (mut window, mut service, mut changes) = on("Answers");
    window
        .get_by_label_contains("refused /usr/bin/curl")
        .click();
    window.run_steps(3);
    window.get_by_label("Take back").click();
    window.run_steps(2);
    work(&mut window, &mut changes);
    assert!(sees(&window, "Taken back: it is asked about again"));
    service.answers.pop();
    service.answers.push(HeldAnswer {
        id: "0000000000000001".to_owned(),
        ..held_answer()
    });
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    keys(&mut window, &[Key::ArrowDown, Key::Enter, Key::Space]);
    work(&mut window, &mut changes);
    window
        .get_by_label("Take back all 2 of this program")
        .click();
    window.run_steps(2);
    work(&mut window, &mut changes);
    assert!(sees(&window, "2 taken back: they are asked about again"));
    let log: Vec<_> = changes.log.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(
        log,
        [
            "forget Those([\"feed00000000beef\"])",
            "forget Those([\"00c0ffee00c0ffee\"])",
            "forget Program(\"/usr/bin/curl\")",
        ]
    );
}

#[test]
fn who_may_not_take_an_answer_back_is_told_the_command_that_root_types() {
    let (mut window, _, mut changes) = on("Answers");
    changes.says = vec![changes::Failure::NotPermitted("polkit said no".to_owned())];
    window
        .get_by_label_contains("refused /usr/bin/curl")
        .click();
    window.run_steps(3);
    window.get_by_label("Take back").click();
    window.run_steps(2);
    work(&mut window, &mut changes);
    assert!(sees(&window, "Nothing was changed. polkit said no"));
    assert!(sees(
        &window,
        "sudo gatebell answers forget feed00000000beef"
    ));
}

#[test]
fn where_no_answer_holds_the_page_says_where_they_come_from() {
    let (mut window, mut service, _) = on("Answers");
    service.answers.clear();
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    assert!(sees(&window, "No answer holds."));
}

#[test]
fn the_sets_are_listed_with_what_they_hold_from_where_who_joined_and_what_could_not_be_read() {
    let (window, ..) = on("Sets");
    let shown = rows(&window);
    assert_eq!(
        shown[0],
        "bad: 2 entries from the rule file, 2 joined, asked for by no-bad, no-lists, known to be"
    );
    assert!(
        shown[1]
            .starts_with("lists: 0 entries from lists/all.txt, 0 joined, asked for by no-lists, ")
            && shown[1].contains("no files are read here"),
        "{shown:?}"
    );
    assert_eq!(
        shown[2],
        "named: 0 entries from example.org, 0 joined, asked for by , no rule asks for it"
    );
}

#[test]
fn an_address_joins_a_set_and_leaves_it_by_a_click() {
    let (mut window, _, mut changes) = on("Sets");
    keys(&mut window, &[egui::Key::ArrowDown, egui::Key::Enter]);
    let line = window.get_by_role(accesskit::Role::TextInput);
    assert!(line.accesskit_node().is_focused());
    line.type_text("203.0.113.9");
    window.run_steps(3);
    window.get_by_label("for a day").click();
    window.run_steps(2);
    window.get_by_label("Have it join").click();
    window.run_steps(2);
    work(&mut window, &mut changes);
    assert!(sees(&window, "203.0.113.9 is in bad for 1440 min"));
    assert!(sees(&window, "198.51.100.1, 59 s left"));
    window.get_by_label("Remove 198.51.100.2").click();
    window.run_steps(2);
    work(&mut window, &mut changes);
    assert!(sees(&window, "198.51.100.2 has left bad"));
    let log: Vec<_> = changes.log.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(
        log,
        [
            "203.0.113.9 joins bad for Some(86400s)",
            "198.51.100.2 leaves bad"
        ]
    );
}

#[test]
fn who_may_not_change_a_set_is_told_the_command_and_rules_without_sets_say_what_one_is() {
    let (mut window, mut service, mut changes) = on("Sets");
    changes.says = vec![changes::Failure::NotPermitted("polkit said no".to_owned())];
    keys(&mut window, &[egui::Key::ArrowDown]);
    window.get_by_label("Remove 198.51.100.1").click();
    window.run_steps(2);
    work(&mut window, &mut changes);
    assert!(sees(&window, "sudo gatebell set remove bad 198.51.100.1"));
    service.text = "[default]\ninbound = 'block'\noutbound = 'allow'\n".to_owned();
    service.status.rules.generation += 1;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    assert!(sees(
        &window,
        "has no sets. A set is addresses under one name"
    ));
}

#[test]
fn answers_and_sets_are_asked_for_while_their_page_is_in_sight_and_not_else() {
    let (mut window, mut service, _) = on("Answers");
    let seen = |window: &Harness<'_, Window>| {
        let state = window.state().shown.overview.look();
        let seen = state.seen().unwrap().clone().unwrap();
        (seen.answers.is_some(), seen.members.is_some())
    };
    assert_eq!(seen(&window), (true, false));
    turned(&mut window, "Sets", &mut service);
    assert_eq!(seen(&window), (false, true));
    turned(&mut window, "Rules", &mut service);
    assert_eq!(seen(&window), (false, false));
}

#[test]
fn the_pages_of_answers_and_sets_fit_a_small_window_with_large_text_and_long_names() {
    for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
        for page in ["Answers", "Sets"] {
            let (mut window, mut service, mut changes) = on(page);
            service.answers[0].program = Some(format!("/opt/{}/bin/it", "long-name/".repeat(30)));
            window.set_size(size);
            window.state().shown.overview.turn(&mut service);
            window.run_steps(3);
            keys(&mut window, &[egui::Key::ArrowDown]);
            work(&mut window, &mut changes);
            for name in ["Live", "Status", "Close"] {
                let place = window.get_by_label(name).rect();
                assert!(
                    place.max.x <= size.x && place.max.y <= size.y && place.height() > 8.0,
                    "{name} of {page} at {size}: {place:?}"
                );
            }
            assert!(!rows(&window).is_empty(), "{page} at {size}");
        }
    }
}
