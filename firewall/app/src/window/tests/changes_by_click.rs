//! Tests of what one click makes of a refused packet.

use super::*;
/// Returns a window with a refused packet selected, and a service that has these rules.
fn selected(service: &mut ChangesModel) -> Harness<'static, Window> {
    let mut window = window();
    tell(&window, refused());
    window.state().shown.changes.be_followed();
    window.run_steps(3);
    keys(&mut window, &[egui::Key::ArrowDown]);
    work(&mut window, service);
    window
}

const TELNET: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[rule]]\nid = 'no-telnet'\naction = 'block'\n";

fn telnet() -> ChangesModel {
    ChangesModel {
        text: TELNET.to_owned(),
        generation: 4,
        ..ChangesModel::default()
    }
}

#[test]
fn a_refused_packet_is_allowed_by_one_click_and_that_is_undone_by_another() {
    let mut service = telnet();
    let mut window = selected(&mut service);
    assert!(sees(&window, "as this rule, before rule \"no-telnet\""));
    window.get_by_label("Allow this").click();
    window.run_steps(2);
    assert!(sees(&window, "asking the firewall"));
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "In force as rule allow-tcp-23-from-10-0-0-1 (generation 5)"
    ));
    assert!(
        service
            .text
            .contains("source = \"10.0.0.1\"\nports = 23\n\n[[rule]]\nid = 'no-telnet'")
    );
    work(&mut window, &mut service);
    assert!(sees(&window, "in force now allow it already"));
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "is taken back (generation 6)"));
    assert_eq!(service.text, TELNET);
}

#[test]
fn what_became_of_a_change_is_whole_in_sight_at_its_first_painting() {
    let mut service = telnet();
    let mut window = selected(&mut service);
    window.get_by_label("Allow this").click();
    window.run_steps(2);
    window.state().shown.changes.turn(&mut service);
    window.step();
    let undo = window.get_by_label("Undo").rect();
    let below = window.get_by_label("no counters yet").rect();
    // The edges of both panels lie between.
    assert!(undo.max.y + 4.0 <= below.min.y, "{undo:?} above {below:?}");
}

#[test]
fn keys_alone_select_a_row_choose_a_width_and_allow_it() {
    use egui::Key;
    let mut service = telnet();
    let mut window = selected(&mut service);
    let radios = window.query_all_by_role(accesskit::Role::RadioButton);
    let names: Vec<_> = radios
        .map(|it| it.accesskit_node().label().unwrap())
        .collect();
    assert_eq!(names, ["this endpoint", "this address", "this port"]);
    // The filter, then the choices.
    keys(&mut window, &[Key::Tab, Key::Tab]);
    for _ in 0..20 {
        if window
            .get_by_label("this address")
            .accesskit_node()
            .is_focused()
        {
            break;
        }
        keys(&mut window, &[Key::Tab]);
    }
    keys(&mut window, &[Key::Space]);
    work(&mut window, &mut service);
    assert!(sees(&window, "from 10.0.0.1, whatever the port"));
    for _ in 0..20 {
        if window
            .get_by_label("Allow this")
            .accesskit_node()
            .is_focused()
        {
            break;
        }
        keys(&mut window, &[Key::Tab]);
    }
    keys(&mut window, &[Key::Enter]);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force as rule allow-from-10-0-0-1"));
}

#[test]
fn a_change_that_is_refused_says_why_and_what_root_types() {
    let mut service = telnet();
    service.says = vec![changes::Failure::NotPermitted(
        "only root may do this".to_owned(),
    )];
    let mut window = selected(&mut service);
    keys(&mut window, &[egui::Key::Enter, egui::Key::Enter]);
    work(&mut window, &mut service);
    assert!(sees(&window, "Nothing was changed. only root may do this"));
    assert!(sees(&window, "sudo gatebell rules add allow"));
    assert_eq!(service.text, TELNET);
}

#[test]
fn without_a_service_the_rule_can_be_copied_and_the_button_can_not_be_pressed() {
    let mut window = window();
    tell(&window, refused());
    window.run_steps(3);
    keys(&mut window, &[egui::Key::ArrowDown]);
    window.run_steps(3);
    assert!(
        window
            .get_by_label("Allow this")
            .accesskit_node()
            .is_disabled()
    );
    assert!(sees(
        &window,
        "put this into the rule file, above rule \"no-telnet\""
    ));
    assert!(window.query_by_label("Copy").is_some());
}

#[test]
fn a_rule_and_its_button_fit_a_small_window() {
    let size = egui::vec2(1024.0, 600.0);
    let mut service = telnet();
    let mut window = selected(&mut service);
    window.set_size(size);
    window.run_steps(4);
    for name in [
        "Allow this",
        "Copy",
        "Close",
        "this port",
        "no counters yet",
    ] {
        let place = window.get_by_label(name).rect();
        assert!(
            place.max.x <= size.x && place.max.y <= size.y,
            "{name}: {place:?}"
        );
    }
    assert!(!rows(&window).is_empty(), "the table has room");
}
