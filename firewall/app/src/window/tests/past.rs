//! Tests of the pages of the history: programs and history.

use super::*;
use crate::past::talkers::tests::{curl, ssh};
use crate::past::{Content, Format, Save};
use control::HistoryRow;
use std::time::SystemTime;

const RULES: &str = "[default]\ninbound = 'allow'\noutbound = 'allow'\n\n[[rule]]\nid = 'no-web'\naction = 'block'\n\
    direction = 'out'\nprotocol = 'tcp'\nports = [80, 443]\n";

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Returns a row: telnet was refused a minute before.
pub fn telnet() -> HistoryRow {
    HistoryRow {
        program: Some("/usr/bin/telnet".to_owned()),
        process: "telnet".to_owned(),
        ..curl(now() - 60)
    }
}

/// Returns a row: telnet was allowed to another port by the default policy.
pub fn elsewhere() -> HistoryRow {
    HistoryRow {
        verdict: "allow".to_owned(),
        reason: "default".to_owned(),
        rule: None,
        name: None,
        port: Some(23),
        bytes_sent: 10,
        bytes_received: 20,
        ..telnet()
    }
}

/// Returns a window on a page, and the two sides of its service.
fn on(page: &str) -> (Harness<'static, Window>, PastModel, ChangesModel) {
    let mut window = window();
    let service = PastModel {
        rows: vec![telnet(), elsewhere(), ssh(now() - 30)],
        ..PastModel::default()
    };
    let rules = ChangesModel {
        text: RULES.to_owned(),
        generation: 4,
        ..ChangesModel::default()
    };
    window.state().shown.changes.be_followed();
    window.state().shown.past.be_followed();
    window.run_steps(3);
    window.get_by_label(page).click();
    window.run_steps(3);
    let mut on = (window, service, rules);
    told(&mut on.0, &mut on.1);
    on
}

/// Has the page show the service's answer.
fn told(window: &mut Harness<'_, Window>, service: &mut PastModel) {
    window.state().shown.past.turn(service);
    window.run_steps(4);
}

#[test]
fn programs_are_listed_with_how_much_and_a_click_unfolds_what_each_talked_with() {
    let (mut window, ..) = on("Programs");
    let shown = rows(&window);
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(
        shown[0].starts_with(
            "/usr/sbin/sshd, 1 endpoint, folded: sent 500 B, received 5.8 KiB, allowed 2, refused 0, asked 0, first "
        ),
        "{shown:?}"
    );
    assert!(shown[1].starts_with("/usr/bin/telnet, 2 endpoints, folded"));
    window.get_by_label_contains("/usr/bin/telnet, 2").click();
    window.run_steps(3);
    let shown = rows(&window);
    assert!(shown[1].starts_with("/usr/bin/telnet, 2 endpoints: sent"));
    assert!(
        shown[2].starts_with("192.0.2.7, tcp 23: sent 10 B, received 20 B, allowed 1"),
        "{shown:?}"
    );
    assert!(shown[3].starts_with("example.org, tcp 443: sent 0 B"));
    let row = window.get_by_label_contains("/usr/bin/telnet, 2");
    assert_eq!(row.accesskit_node().data().is_expanded(), Some(true));
    assert!(
        sees(&window, "By the hour, 25 of them"),
        "its chart says so"
    );
    window.get_by_label_contains("/usr/bin/telnet, 2").click();
    window.run_steps(3);
    assert_eq!(rows(&window).len(), 2);
}

#[test]
fn a_program_that_talked_for_the_first_time_or_with_another_file_is_marked_and_said_to_be() {
    let (mut window, mut service, _) = on("Programs");
    service.rows[0].contact = Some("first".to_owned());
    service.rows[2].contact = Some("changed".to_owned());
    window.get_by_label("week").click();
    window.run_steps(3);
    told(&mut window, &mut service);
    let shown = rows(&window);
    assert!(
        shown[0].starts_with("/usr/sbin/sshd, changed, 1 endpoint, folded"),
        "{shown:?}"
    );
    assert!(shown[1].starts_with("/usr/bin/telnet, new, 2 endpoints, folded"));
    window.get_by_label_contains("/usr/bin/telnet, new").click();
    window.run_steps(3);
    assert!(sees(&window, "It talked for the first time ever at"));
}

#[test]
fn programs_are_put_in_order_by_a_click_on_a_column_and_the_other_way_round_by_another() {
    let (mut window, ..) = on("Programs");
    let first = |window: &Harness<'_, Window>| rows(window)[0].clone();
    window.get_by_label("Order by refused").click();
    window.run_steps(3);
    assert!(first(&window).starts_with("/usr/bin/telnet"));
    window.get_by_label("Order by refused").click();
    window.run_steps(3);
    assert!(first(&window).starts_with("/usr/sbin/sshd"));
    window.get_by_label("Order by program").click();
    window.run_steps(3);
    assert!(first(&window).starts_with("/usr/bin/telnet"));
}

#[test]
fn an_endpoint_of_a_program_is_allowed_by_one_click_as_the_rule_that_was_shown_and_that_is_undone()
{
    let (mut window, _, mut service) = on("Programs");
    window.get_by_label_contains("/usr/bin/telnet, 2").click();
    window.run_steps(3);
    window
        .get_by_label_contains("example.org, tcp 443: sent")
        .click();
    window.run_steps(3);
    work(&mut window, &mut service);
    assert!(sees(&window, "refused by rule \"no-web\""));
    assert!(sees(&window, "before rule \"no-web\", which takes it now"));
    assert!(sees(&window, "program = \"/usr/bin/telnet\""));
    window.get_by_label("Allow this").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force"));
    assert!(
        service.text.contains("destination = \"192.0.2.7\""),
        "{}",
        service.text
    );
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert_eq!(service.text, RULES);
}

#[test]
fn a_whole_program_is_blocked_by_keys_alone() {
    use egui::Key;
    let (mut window, mut history, mut service) = on("Programs");
    history.rows = vec![elsewhere()];
    // What was read before is good for a while.
    window.get_by_label("week").click();
    window.run_steps(3);
    told(&mut window, &mut history);
    keys(&mut window, &[Key::ArrowDown]);
    work(&mut window, &mut service);
    keys(&mut window, &[Key::Enter, Key::Space]);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force"));
    let added = "action = \"block\"\ndirection = \"out\"\nprogram = \"/usr/bin/telnet\"\n";
    assert!(service.text.contains(added), "{}", service.text);
    keys(&mut window, &[Key::ArrowRight, Key::ArrowDown]);
    assert!(sees(&window, "/usr/bin/telnet: 192.0.2.7, tcp 23"));
    keys(&mut window, &[Key::ArrowLeft]);
    assert_eq!(rows(&window).len(), 1);
}

#[test]
fn a_change_to_a_rule_says_before_what_it_would_have_done_to_what_was_kept_and_when_each_decided_last()
 {
    let (mut window, mut history, mut service) = on("History");
    let mut overview = OverviewModel::with(RULES);
    overview.status.lease = None;
    window.state().shown.overview.be_followed();
    super::pages::turned(&mut window, "Rules", &mut overview);
    told(&mut window, &mut history);
    let last = view::time::day_and_time(history.rows[0].last);
    assert!(
        rows(&window)[0].contains(&format!("last {last}")),
        "{:?}",
        rows(&window)
    );
    window.get_by_label_contains("1 no-web: block").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "Of the 4 records of the last week would be decided otherwise:"
    ));
    assert!(sees(
        &window,
        "/usr/bin/telnet: example.org, tcp 443: block before, allow then (once)"
    ));
    service.text = RULES.replace("443", "8443");
    window.state().shown.changes.draft_again();
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "None of the 4 records of the last week would be decided otherwise"
    ));
}

#[test]
fn what_becomes_of_the_file_is_said_anew_in_another_network() {
    let (mut window, mut history, mut service) = on("History");
    let at_home = RULES.replace("id = 'no-web'", "id = 'no-web'\nnetwork = 'home'")
        + "\n[[network]]\nid = 'home'\ngateway = '192.0.2.1'\n";
    let mut overview = OverviewModel::with(&at_home);
    overview.status.lease = None;
    overview.status.networks = vec![control::NetworkStatus {
        name: "home".to_owned(),
        judged_as: "there".to_owned(),
        ..control::NetworkStatus::default()
    }];
    service.text = at_home;
    service.networks = vec![("home".to_owned(), rules::Presence::There)];
    window.state().shown.overview.be_followed();
    super::pages::turned(&mut window, "Rules", &mut overview);
    told(&mut window, &mut history);
    window.get_by_label_contains("1 no-web: block").click();
    window.run_steps(3);
    work(&mut window, &mut service);
    for words in [
        "Judged as in the network where this machine is now",
        "Of the 4 records of the last week would be decided otherwise:",
    ] {
        assert!(sees(&window, words), "{words}");
    }
    overview.status.networks[0].judged_as = "away".to_owned();
    service.networks[0].1 = rules::Presence::Away;
    window.state().shown.overview.turn(&mut overview);
    window.run_steps(3);
    work(&mut window, &mut service);
    let none = "None of the 4 records of the last week would be decided otherwise";
    assert!(sees(&window, none));
}

#[test]
fn what_was_kept_is_shown_row_by_row_and_put_together_with_a_chart() {
    let (mut window, mut service, _) = on("History");
    let shown = rows(&window);
    assert_eq!(shown.len(), 3);
    assert!(
        shown[0].contains(
            "allowed in tcp 2001:db8::5 to port 22 (default) /usr/sbin/sshd 0 2 500 B 5.8 KiB"
        ),
        "the last one first: {shown:?}"
    );
    assert!(sees(&window, "By the hour, 25 of them; the most at"));
    window.get_by_label("rule").click();
    window.run_steps(2);
    told(&mut window, &mut service);
    let shown = rows(&window);
    assert!(
        shown[0].starts_with("(default): allowed 3, refused 0"),
        "{shown:?}"
    );
    assert!(shown[1].starts_with("no-web: allowed 0, refused 1"));
    window.get_by_label("hour").click();
    window.run_steps(2);
    told(&mut window, &mut service);
    assert!(sees(&window, "By the minute, 61 of them"));
}

#[test]
fn rows_that_can_not_be_read_are_said_beside_the_others_and_where_there_is_no_other() {
    for page in ["Programs", "History"] {
        let (mut window, mut service, _) = on(page);
        service.unread = 2;
        for _ in 0..2 {
            window.get_by_label("week").click();
            window.run_steps(2);
            told(&mut window, &mut service);
            assert!(sees(&window, "2 rows can't be read and are left out"));
            service.rows.clear();
            window.get_by_label("hour").click();
            window.run_steps(2);
            told(&mut window, &mut service);
        }
    }
}

#[test]
fn what_was_kept_is_filtered_as_it_is_typed_and_a_row_is_allowed_by_a_click() {
    let (mut window, mut service, mut rules) = on("History");
    let line = window.get_by_role(accesskit::Role::TextInput);
    line.focus();
    line.type_text("verdict:block");
    window.run_steps(3);
    told(&mut window, &mut service);
    assert_eq!(rows(&window).len(), 1);
    window.get_by_role(accesskit::Role::Row).click();
    window.run_steps(3);
    work(&mut window, &mut rules);
    assert!(sees(
        &window,
        "/usr/bin/telnet: refused by rule \"no-web\", once"
    ));
    window.get_by_label("Allow this").click();
    window.run_steps(2);
    work(&mut window, &mut rules);
    assert!(sees(&window, "In force"));
}

#[test]
fn where_a_file_was_written_is_said_in_place_and_why_it_was_not() {
    let (mut window, mut service, _) = on("History");
    let seen = window.state().shown.past.look().seen().cloned();
    let save = Save {
        folder: "/proc/nowhere".into(),
        ..Save::usual(Content::Past(seen.unwrap().unwrap()), Format::Csv)
    };
    window.state().shown.past.save(save);
    told(&mut window, &mut service);
    assert!(sees(&window, "Nothing was written: can't write"));
    window.get_by_label("Done").click();
    window.run_steps(3);
    assert!(!sees(&window, "Nothing was written"));
}

#[test]
fn where_there_is_nothing_to_show_of_what_was_the_page_says_why_and_what_to_do() {
    for page in ["Programs", "History"] {
        let (mut window, mut service, _) = on(page);
        service.unreachable = Some(control::Failed::NotRunning.to_string());
        window.get_by_label("week").click();
        window.run_steps(2);
        told(&mut window, &mut service);
        assert!(sees(&window, "sudo systemctl start gatebell"), "{page}");
        service.unreachable = None;
        service.rows.clear();
        told(&mut window, &mut service);
        assert!(sees(&window, "Nothing was kept of this time"), "{page}");
        service.keeps_nothing = true;
        window.get_by_label("hour").click();
        window.run_steps(2);
        told(&mut window, &mut service);
        assert!(sees(&window, "--history-days 0"), "{page}");
    }
    let (mut window, mut service, _) = on("Programs");
    let line = window.get_by_role(accesskit::Role::TextInput);
    line.focus();
    line.type_text("nobody");
    window.run_steps(3);
    told(&mut window, &mut service);
    assert!(sees(&window, "is what the filter asks for"));
}

/// Returns the history of so many other programs.
fn many(programs: u16) -> Vec<HistoryRow> {
    let row = |port| HistoryRow {
        program: Some(format!("/usr/bin/scan{port}")),
        port: Some(port),
        ..telnet()
    };
    (0..programs).map(row).collect()
}

#[test]
fn what_is_left_of_a_page_is_in_sight_as_soon_as_it_is_painted() {
    for page in ["Programs", "History"] {
        let (mut window, mut service, _) = on(page);
        for (programs, at) in [(200, "week"), (60, "day"), (2, "hour")] {
            service.rows = many(programs);
            window.get_by_label(at).click();
            window.run_steps(3);
            window.state().shown.past.turn(&mut service);
            // Nothing else is painted for as long as nothing else happens.
            window.step();
            let shown = rows(&window).len();
            let most = usize::from(programs).min(10);
            assert!(shown >= most, "{shown} rows of {programs} on {page}");
            keys(&mut window, &[egui::Key::ArrowUp]);
            window.get_by_label("Close").click();
            window.run();
        }
    }
}

#[test]
fn what_is_selected_is_in_sight_above_its_details() {
    for page in ["Programs", "History"] {
        let full = || {
            let (mut window, mut service, rules) = on(page);
            service.rows = many(200);
            window.get_by_label("week").click();
            window.run_steps(3);
            told(&mut window, &mut service);
            (window, rules)
        };
        let (mut window, mut rules) = full();
        keys(&mut window, &[egui::Key::ArrowUp]);
        assert!(is_selected_in_sight(&window), "by a key, on {page}");
        work(&mut window, &mut rules);
        let now = "with what can be done";
        assert!(is_selected_in_sight(&window), "{now}, by a key, on {page}");
        keys(&mut window, &[egui::Key::ArrowUp; 50]);
        assert!(is_selected_in_sight(&window), "by many keys, on {page}");

        let (mut window, _) = full();
        click_the_last_in_sight(&mut window);
        assert!(is_selected_in_sight(&window), "by a click, on {page}");
    }
}

#[test]
fn the_pages_of_what_was_fit_a_small_window_with_large_text_and_long_names() {
    for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
        for page in ["Programs", "History"] {
            let (mut window, mut service, mut rules) = on(page);
            let long = HistoryRow {
                program: Some(format!("/opt/{}/bin/it", "long-name/".repeat(30))),
                name: Some(format!("{}example.org", "very-long.".repeat(20))),
                bytes_received: 1 << 40,
                ..elsewhere()
            };
            service.rows.push(long);
            window.set_size(size);
            window.get_by_label("week").click();
            window.run_steps(3);
            told(&mut window, &mut service);
            keys(&mut window, &[egui::Key::ArrowDown]);
            work(&mut window, &mut rules);
            let tabs = [
                "Live", "Programs", "History", "Rules", "Answers", "Sets", "Networks", "Status",
            ];
            // Where there is little room, the rest of the details is scrolled to.
            let more = if size.y < 400.0 { "Close" } else { "Copy" };
            for name in tabs.into_iter().chain(["week", "Close", more]) {
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
