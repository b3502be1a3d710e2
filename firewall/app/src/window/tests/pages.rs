//! Tests of the pages of rules and status.

use super::*;
/// Turns to a page, and has it show what the service says.
pub fn turned(window: &mut Harness<'_, Window>, page: &str, service: &mut OverviewModel) {
    window.get_by_label(page).click();
    window.run_steps(2);
    window.state().shown.overview.turn(service);
    window.run_steps(4);
}

const RULES: &str = "# ours\n[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'web'\naction = 'allow'\n\
    direction = 'in'\nprotocol = 'tcp'\nports = [80, 443]\ncomment = 'the site'\n\n# no telnet\n[[rule]]\nid = 'no-telnet'\n\
    action = 'block'\nprotocol = 'tcp'\nports = 23\n\n[[rule]]\nid = 'late'\naction = 'allow'\nprotocol = 'tcp'\nports = 23\n\n\
    [[rule]]\nid = 'off'\naction = 'allow'\nenabled = false\n";

/// Returns a window on its page of the rules, and the two sides of its service.
fn on_rules() -> (Harness<'static, Window>, OverviewModel, ChangesModel) {
    let mut window = window();
    let mut service = OverviewModel::with(RULES);
    service.status.lease = None;
    service.hits = vec![12, 3, 0, 0];
    let rules = ChangesModel {
        text: RULES.to_owned(),
        generation: 4,
        ..ChangesModel::default()
    };
    window.state().shown.changes.be_followed();
    window.state().shown.overview.be_followed();
    window.run_steps(3);
    turned(&mut window, "Rules", &mut service);
    (window, service, rules)
}

#[test]
fn the_rules_are_listed_in_order_with_hits_and_what_is_off_or_covered_and_the_defaults_last() {
    let (window, ..) = on_rules();
    assert_eq!(
        rows(&window),
        [
            "1 web: allow in, tcp to port 80, 443, hits 12, the site",
            "2 no-telnet: block tcp to port 23, hits 3, ",
            "3 late: allow tcp to port 23, hits 0, never matches: one before it takes all of it",
            "4 off: off everything, hits 0, disabled",
            "default for in: block, reported",
            "default for out: allow, not reported",
            "default for forward: block, reported",
        ]
    );
}

#[test]
fn a_rule_that_is_selected_stays_in_sight_when_its_details_grow() {
    let rule = |n| {
        format!("\n[[rule]]\nid = 'rule-{n}'\naction = 'block'\nports = {n}\nprotocol = 'tcp'\n")
    };
    let many: String = (1..100).map(rule).collect();
    let (mut window, mut service, mut rules) = on_rules();
    service.text = format!("{RULES}{many}");
    rules.text = service.text.clone();
    service.status.rules.generation += 1;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(4);
    keys(&mut window, &[egui::Key::ArrowUp]);
    assert!(is_selected_in_sight(&window));
    let before = window.get_by_label("Close").rect().top();
    work(&mut window, &mut rules);
    assert!(window.get_by_label("Close").rect().top() < before);
    assert!(is_selected_in_sight(&window));
}

#[test]
fn a_rule_that_is_off_in_this_network_is_shown_as_off() {
    let (mut window, mut service, _) = on_rules();
    service.status.networks = vec![control::NetworkStatus {
        name: "home".to_owned(),
        presence: "away".to_owned(),
        on: vec!["no-telnet".to_owned()],
        off: vec!["web".to_owned()],
        ..control::NetworkStatus::default()
    }];
    window.state().shown.overview.turn(&mut service);
    window.run_steps(4);
    assert_eq!(
        rows(&window)[..2],
        [
            "1 web: off in, tcp to port 80, 443, hits 12, off in this network; the site",
            "2 no-telnet: block tcp to port 23, hits 3, ",
        ]
    );
}

#[test]
fn a_rule_that_would_ask_and_blocks_while_its_network_is_not_known_is_shown_as_blocking() {
    let (mut window, mut service, _) = on_rules();
    service.text = RULES.replace(
        "id = 'web'\naction = 'allow'",
        "id = 'web'\naction = 'ask'\nnetwork = 'home'",
    ) + "\n[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n";
    service.status.rules.generation += 1;
    service.status.networks = vec![control::NetworkStatus {
        name: "home".to_owned(),
        presence: "unknown".to_owned(),
        blocks: vec!["web".to_owned()],
        ..control::NetworkStatus::default()
    }];
    window.state().shown.overview.turn(&mut service);
    window.run_steps(4);
    assert_eq!(
        rows(&window)[0],
        "1 web: block in, tcp to port 80, 443, at home, hits 12, blocks, and asks nobody, until it is known which network this is; the site"
    );
    window.get_by_label_contains("1 web: block").click();
    window.run_steps(3);
    let said = "blocks, and asks nobody, until it is known which network this is";
    assert!(
        window.query_by_label(said).is_some(),
        "in its details, whole"
    );
    service.status.networks[0].blocks.clear();
    window.state().shown.overview.turn(&mut service);
    window.run_steps(4);
    assert_eq!(
        rows(&window)[0],
        "1 web: ask in, tcp to port 80, 443, at home, hits 12, the site"
    );
}

#[test]
fn a_rule_is_disabled_by_a_click_as_it_was_shown_and_that_is_undone_by_another() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("2 no-telnet: block").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    assert!(sees(&window, "+ enabled = false"));
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force: disable no-telnet (generation 5)"));
    assert_eq!(
        service.text,
        RULES.replace(
            "ports = 23\n\n[[rule]]\nid = 'late'",
            "ports = 23\nenabled = false\n\n[[rule]]\nid = 'late'"
        )
    );
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "Taken back: disable no-telnet (generation 6)"
    ));
    assert_eq!(service.text, RULES);
    assert_eq!(
        service.log,
        [
            ("disable no-telnet".to_owned(), None),
            ("undo 1: disable no-telnet".to_owned(), Some(1))
        ]
    );
}

#[test]
fn a_rule_is_moved_and_removed_with_its_comment_by_keys_alone() {
    use egui::Key;
    let (mut window, _, mut service) = on_rules();
    keys(&mut window, &[Key::ArrowDown, Key::ArrowDown]);
    work(&mut window, &mut service);
    let mut choose = |window: &mut Harness<'_, Window>, name: &str| {
        for _ in 0..20 {
            if window.get_by_label(name).accesskit_node().is_focused() {
                break;
            }
            keys(window, &[Key::Tab]);
        }
        keys(window, &[Key::Space]);
        work(window, &mut service);
    };
    choose(&mut window, "move down");
    assert!(sees(&window, "- # no telnet") && sees(&window, "+ # no telnet"));
    choose(&mut window, "Put in force");
    work(&mut window, &mut service);
    assert!(sees(&window, "In force: move no-telnet"));
    let order = |text: &str| rules::document::names(text).unwrap();
    assert_eq!(order(&service.text), ["web", "late", "no-telnet", "off"]);
    let mut choose = |window: &mut Harness<'_, Window>, name: &str| {
        window.get_by_label(name).click();
        window.run_steps(2);
        work(window, &mut service);
    };
    choose(&mut window, "remove");
    choose(&mut window, "Put in force");
    assert!(!service.text.contains("telnet"), "{}", service.text);
}

#[test]
fn what_a_change_makes_of_other_rules_is_said_before() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("4 off: off").click();
    window.run_steps(2);
    window.get_by_label("move up").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(!sees(&window, "then rule"));
    service.text = RULES.replace("enabled = false\n", "").replace(
        "[[rule]]\nid = 'off'\naction = 'allow'\n",
        "[[rule]]\nid = 'off'\naction = 'allow'\nprotocol = 'udp'\n\n[[rule]]\nid = 'dns'\naction = 'allow'\nprotocol = 'udp'\nports = 53\n",
    );
    let dns = changes::Edit {
        id: "off".to_owned(),
        kind: changes::EditKind::MoveDown,
        text: String::new(),
    };
    let changes = &window.state().shown.changes;
    changes.want_edit(&dns);
    changes.turn(&mut service);
    let draft = changes.look().edit_draft(&dns).cloned().unwrap().unwrap();
    assert_eq!(draft.warnings, Vec::<String>::new(), "{:?}", draft.lines);
    let up = changes::Edit {
        id: "late".to_owned(),
        kind: changes::EditKind::MoveUp,
        text: String::new(),
    };
    changes.want_edit(&up);
    changes.turn(&mut service);
    let draft = changes.look().edit_draft(&up).cloned().unwrap().unwrap();
    assert!(
        draft.warnings.len() == 1 && draft.warnings[0].contains("`no-telnet` can never match"),
        "{draft:?}"
    );
}

#[test]
fn a_change_that_can_not_begin_says_why_in_place_and_its_button_can_not_be_pressed() {
    let (mut window, _, mut service) = on_rules();
    service.unreadable = Some(changes::Failure::Said(
        control::NotEditable::OnLease.to_string(),
    ));
    window.get_by_label_contains("1 web: allow").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "rules are on a lease; nothing was changed"));
    let button = window.get_by_label("Put in force");
    assert!(button.accesskit_node().is_disabled());
}

#[test]
fn what_becomes_of_the_file_is_said_anew_when_others_end_a_lease() {
    let (mut window, mut service, mut rules) = on_rules();
    service.status.lease = view::example::status().lease;
    let on_a_lease = changes::Failure::Said("rules are on a lease".to_owned());
    rules.unreadable = Some(on_a_lease);
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    window.get_by_label_contains("1 web: allow").click();
    window.run_steps(3);
    work(&mut window, &mut rules);
    assert!(sees(&window, "rules are on a lease"));
    service.status.lease = None;
    rules.unreadable = None;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    work(&mut window, &mut rules);
    assert!(!sees(&window, "rules are on a lease"));
    assert!(sees(&window, "+ enabled = false"));
}

#[test]
fn who_may_not_change_a_rule_is_told_the_command_that_root_types() {
    let (mut window, _, mut service) = on_rules();
    service.says = vec![changes::Failure::NotPermitted("polkit said no".to_owned())];
    window.get_by_label_contains("3 late: allow").click();
    window.run_steps(2);
    window.get_by_label("move up").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "Nothing was changed. polkit said no"));
    assert!(sees(
        &window,
        "sudo gatebell rules move late --before no-telnet"
    ));
    assert_eq!(service.text, RULES);
}

#[test]
fn what_others_changed_since_is_not_taken_back_with_a_move() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("3 late: allow").click();
    window.run_steps(2);
    window.get_by_label("remove").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    service.text.push_str("# others\n");
    let theirs = service.text.clone();
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "Others have changed the rules since"));
    assert_eq!(service.text, theirs);
}

#[test]
fn a_change_to_a_rule_is_tried_out_on_a_lease_by_one_click() {
    let (mut window, _, mut service) = on_rules();
    window.get_by_label_contains("2 no-telnet: block").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    window.get_by_label("Try for 60 s").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "Tried out: disable no-telnet (generation 5)"));
    assert!(
        window.query_by_label("Undo").is_none(),
        "that is what Return now is for"
    );
    let tried = "disable no-telnet on a lease".to_owned();
    assert_eq!(service.log, [(tried, None)]);
}

#[test]
fn a_rule_is_edited_in_place_and_what_is_wrong_is_pointed_at_in_what_was_typed() {
    let (mut window, mut overview, mut service) = on_rules();
    window.get_by_label_contains("2 no-telnet: block").click();
    window.run_steps(2);
    window.get_by_label("edit").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    assert!(sees(&window, "Nothing changes"));
    let type_text = |window: &mut Harness<'_, Window>, text: &str| {
        let editor = window.get_by_role(accesskit::Role::MultilineTextInput);
        assert!(
            editor
                .accesskit_node()
                .label()
                .unwrap()
                .contains("The rule's text")
        );
        editor.focus();
        editor.type_text(text);
        window.run_steps(3);
    };
    type_text(&mut window, "log = maybe\n");
    work(&mut window, &mut service);
    assert!(sees(&window, "line 7, column 7"), "in the rule's own lines");
    assert!(sees(&window, "    log = maybe\n          ^"));
    assert!(
        window
            .get_by_label("Put in force")
            .accesskit_node()
            .is_disabled()
    );
    window.key_press(egui::Key::Backspace);
    for _ in 0.."maybe".len() {
        window.key_press(egui::Key::Backspace);
    }
    window.run_steps(3);
    type_text(&mut window, "false");
    work(&mut window, &mut service);
    window.get_by_label("Put in force").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force: edit no-telnet (generation 5)"));
    assert!(
        service.text.contains("ports = 23\nlog = false\n"),
        "{}",
        service.text
    );
    overview.text = service.text.clone();
    overview.status.rules.generation += 1;
    window.state().shown.overview.turn(&mut overview);
    window.run_steps(3);
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert_eq!(service.text, RULES);
}

#[test]
fn a_lease_counts_down_with_buttons_that_keep_it_and_end_it() {
    let (mut window, mut service, mut rules) = on_rules();
    service.status.lease = view::example::status().lease;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    assert!(sees(&window, "generation 3 returns by itself"));
    assert!(sees(&window, "Generation 4 is tried out: in 4"));
    window.get_by_label("Keep").click();
    window.run_steps(2);
    work(&mut window, &mut rules);
    assert!(sees(&window, "Generation 4 is kept"));
    window.get_by_label("Return now").click();
    window.run_steps(2);
    work(&mut window, &mut rules);
    assert!(sees(&window, "Generation 3 is back"));
    assert_eq!(
        rules.log,
        [("keep 4".to_owned(), None), ("return 4".to_owned(), None)]
    );
}

#[test]
fn a_file_without_rules_says_how_to_make_the_first_one() {
    let (mut window, mut service, _) = on_rules();
    service.text = RULES.split("[[rule]]").next().unwrap().to_owned();
    service.hits.clear();
    service.status.rules.generation += 1;
    window.state().shown.overview.turn(&mut service);
    window.run_steps(3);
    assert!(sees(&window, "has no rules: the defaults decide"));
    assert_eq!(rows(&window).len(), 3);
}

#[test]
fn control_and_a_number_turn_the_page_and_the_tabs_are_tabs() {
    let mut window = window();
    window.run_steps(2);
    let tabs: Vec<_> = window
        .query_all_by_role(accesskit::Role::Tab)
        .map(|tab| tab.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(
        tabs,
        [
            "Live", "Programs", "History", "Rules", "Answers", "Sets", "Networks", "Status"
        ]
    );
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num4);
    window.run_steps(2);
    assert!(window.query_by_label("Filter").is_none());
    let selected: Vec<_> = window
        .query_all_by_role(accesskit::Role::Tab)
        .map(|tab| tab.accesskit_node().is_selected() == Some(true))
        .collect();
    assert_eq!(
        selected,
        [false, false, false, true, false, false, false, false]
    );
    assert!(sees(&window, "there is no service that could be asked"));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num1);
    window.run_steps(2);
    assert!(window.query_by_label("Filter").is_some());
}

#[test]
fn who_comes_back_to_the_live_page_sees_the_newest_row() {
    let mut window = window_of_each();
    for n in 0..500 {
        tell(&window, lost(n));
    }
    window.run();
    let mut service = OverviewModel::with(RULES);
    turned(&mut window, "Rules", &mut service);
    tell(&window, lost(500));
    turned(&mut window, "Live", &mut service);
    assert!(rows(&window).last().unwrap().contains("500 records"));
}

#[test]
fn a_service_that_is_gone_is_said_in_place_with_what_to_do_and_is_shown_when_it_is_back() {
    let (mut window, mut service, _) = on_rules();
    for page in ["Rules", "Status"] {
        service.unreachable = Some(control::Failed::NotRunning.to_string());
        turned(&mut window, page, &mut service);
        assert!(sees(&window, "sudo systemctl start gatebell"));
        assert!(rows(&window).is_empty());
        service.unreachable = None;
        window.state().shown.overview.turn(&mut service);
        window.run_steps(3);
        assert!(!sees(&window, "systemctl start"));
    }
}

#[test]
fn the_status_page_says_what_the_command_says_with_every_trouble() {
    let (mut window, mut service, _) = on_rules();
    let trouble = "the disk is full; make room".to_owned();
    let trouble = control::TroubleStatus::of(control::TroubleCause::State, None, trouble);
    service.status.trouble = vec![trouble];
    turned(&mut window, "Status", &mut service);
    for words in [
        "the disk is full; make room",
        "gatebelld 1.2.3, process 77",
        "generation 4: 12 rules",
        "eth0, tun0: judged in the IP stack",
        "1234",
        "7 of 4096",
        "Every record is accounted for",
    ] {
        assert!(sees(&window, words), "{words}");
    }
}

#[test]
fn the_status_page_says_in_words_what_nobody_got_and_what_was_not_told_and_only_where_there_is_any()
{
    let (mut window, mut service, _) = on_rules();
    turned(&mut window, "Status", &mut service);
    for words in ["and nobody did", "senders that were told", "DNS"] {
        assert!(!sees(&window, words), "{words}");
    }
    service.stats.left_in = 1_021;
    service.stats.rejected = control::RejectStats {
        handed: 9,
        answered: 4,
        limited: 5,
        ..control::RejectStats::default()
    };
    service.stats.names.unread = 1;
    service.stats.names.strange = 2;
    turned(&mut window, "Status", &mut service);
    for words in [
        "1021 packets were left to who gets them, and nobody did",
        "senders that were told: 4; too many to be told: 5; answers that failed: 0",
        "1 answer of DNS found no room or could not be read",
        "2 times an answer of DNS, or an address of one, was not believed or joined no set by name",
    ] {
        assert!(sees(&window, words), "{words}");
    }
}

#[test]
fn each_page_fits_a_small_window_with_large_text() {
    // 1024×600, and the same at 200 %.
    for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
        let (mut window, mut service, mut rules) = on_rules();
        window.set_size(size);
        window.get_by_label_contains("2 no-telnet: block").click();
        window.run_steps(3);
        work(&mut window, &mut rules);
        for name in [
            "Live",
            "Rules",
            "Status",
            "Put in force",
            "Try for 60 s",
            "remove",
            "Close",
        ] {
            let place = window.get_by_label(name).rect();
            assert!(
                place.max.x <= size.x && place.max.y <= size.y && place.height() > 8.0,
                "{name} at {size}: {place:?}"
            );
        }
        assert!(!rows(&window).is_empty(), "the table has room at {size}");
        turned(&mut window, "Status", &mut service);
        let place = window.get_by_label_contains("gatebelld 1.2.3").rect();
        assert!(place.max.x <= size.x, "{place:?}");
    }
}
