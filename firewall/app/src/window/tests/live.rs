//! Tests of the page that shows what happens as it happens.

use super::*;
use crate::window::pages::Page;
use crate::window::pages::live::Live;

#[test]
fn a_refused_packet_is_shown_with_its_rule_and_how_to_allow_it() {
    let mut window = window_of_each();
    tell(&window, refused());
    window.run();
    let shown = rows(&window);
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].contains("refused in tcp 10.0.0.1:40000 -> 10.0.0.2:23 no-telnet (line 13)"),
        "{shown:?}"
    );

    window.get_by_role(accesskit::Role::Row).click();
    window.run();
    assert!(
        window
            .query_by_label_contains("Refused by rule \"no-telnet\", line 13")
            .is_some()
    );
    assert!(window.query_by_label_contains("ports = 23").is_some());
    window.get_by_label("Copy row").click();
    window.step();
    let copied = |command: &egui::OutputCommand| matches!(command, egui::OutputCommand::CopyText(text) if text.contains("-> 10.0.0.2:23"));
    assert!(window.output().platform_output.commands.iter().any(copied));
    window.get_by_label("Copy").click();
    window.step();
    let copied = |command: &egui::OutputCommand| matches!(command, egui::OutputCommand::CopyText(text) if text.contains("ports = 23"));
    assert!(window.output().platform_output.commands.iter().any(copied));
}

#[test]
fn a_loss_stands_where_it_happened() {
    let mut window = window_of_each();
    for update in [refused(), lost(7), refused()] {
        tell(&window, update);
    }
    window.run();
    let shown = rows(&window);
    assert!(
        shown[1].contains("LOST") && shown[1].contains("7 records (no_room)"),
        "{shown:?}"
    );
}

#[test]
fn a_filter_that_is_typed_leaves_what_matches() {
    let mut window = window_of_each();
    for update in [refused(), lost(7), refused()] {
        tell(&window, update);
    }
    window.run();
    window.get_by_label("Filter").focus();
    window.run();
    window
        .get_by_role(accesskit::Role::TextInput)
        .type_text("telnet");
    window.run();
    assert_eq!(rows(&window).len(), 2);
    assert!(window.query_by_label("2 of 3 rows").is_some());
}

#[test]
fn what_is_asked_for_is_typed_in_the_language_of_watch_and_what_is_wrong_is_said_with_its_place() {
    let mut window = window();
    for update in [refused(), lost(7)] {
        tell(&window, update);
    }
    window.run();
    let type_text = |window: &mut Harness<'_, Window>, text: &str| {
        let line = window.get_by_role(accesskit::Role::TextInput);
        line.focus();
        line.type_text(text);
        window.run();
    };
    type_text(&mut window, "rule:none ");
    let shown = rows(&window);
    assert!(
        shown.len() == 1 && shown[0].contains("LOST"),
        "a loss is shown whatever is asked for: {shown:?}"
    );
    type_text(&mut window, "verdict:maybe");
    assert!(sees(
        &window,
        "column 11: it is allow, block, reject or ask"
    ));
    assert_eq!(rows(&window).len(), 1, "what was right before holds on");
}

#[test]
fn a_page_that_is_paused_keeps_what_comes_and_shows_it_when_it_goes_on() {
    let mut window = window_of_each();
    tell(&window, refused());
    window.run();
    window.get_by_label("Pause").click();
    window.run();
    for n in 0..3 {
        tell(&window, lost(n));
    }
    window.run();
    assert_eq!(rows(&window).len(), 1);
    assert!(sees(&window, "4 rows; paused, 3 more since"));
    let line = window.get_by_role(accesskit::Role::TextInput);
    line.focus();
    line.type_text("o");
    window.run();
    assert_eq!(rows(&window).len(), 1, "filtered, too");
    window.get_by_label("Pause").click();
    window.run();
    assert_eq!(rows(&window).len(), 4);
}

#[test]
fn the_books_stand_below_and_then_the_end() {
    let mut window = window();
    let kernel = Totals {
        offered: 12,
        committed: 10,
        lost: [2, 0, 0],
    };
    tell(
        &window,
        Update::Account(Account {
            kernel,
            delivered: 9,
            in_ring: 1,
            lost_told: [2, 0, 0],
            gaps: 2,
        }),
    );
    tell(&window, Update::Ended("the driver is stopping".to_owned()));
    window.run();
    for words in [
        "driver: offered 12, committed 10",
        "lost 2",
        "app: delivered 9, in the ring 1",
        "the driver is stopping",
    ] {
        assert!(window.query_by_label(words).is_some(), "{words}");
    }
}

#[test]
fn a_driver_that_is_gone_is_said_in_place_and_forgotten_when_it_is_back() {
    let mut window = window();
    window
        .state()
        .shown
        .end("can't be told by the device: start the service");
    window.run();
    assert!(sees(
        &window,
        "can't be told by the device: start the service"
    ));
    assert!(sees(&window, "asks again and goes on by itself"));
    let books = Account {
        kernel: Totals::default(),
        delivered: 0,
        in_ring: 0,
        lost_told: [0; 3],
        gaps: 0,
    };
    tell(&window, Update::Account(books));
    window.run();
    assert!(!sees(&window, "start the service"));
    tell(&window, refused());
    window.state().shown.end("gone again");
    window.run();
    assert!(sees(&window, "gone again"));
    assert_eq!(rows(&window).len(), 1, "what was read stays");
    tell(&window, Update::Account(books));
    window.run();
    assert!(!sees(&window, "gone again"), "the same books say so too");
}

#[test]
fn the_same_books_again_are_nothing_to_paint() {
    let window = window();
    let kernel = Totals {
        offered: 1,
        committed: 1,
        lost: [0; 3],
    };
    let books = Account {
        kernel,
        delivered: 1,
        in_ring: 0,
        lost_told: [0; 3],
        gaps: 0,
    };
    let mut rows = window.state().shown.rows();
    assert!(rows.take(Update::Account(books)));
    assert!(!rows.take(Update::Account(books)));
}

#[test]
fn the_newest_row_is_in_sight_and_a_window_at_rest_paints_nothing() {
    let mut window = window_of_each();
    for n in 0..500 {
        tell(&window, lost(n));
    }
    window.run();
    assert!(
        rows(&window).last().unwrap().contains("499 records"),
        "{:?}",
        rows(&window).last()
    );
    let wish = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
    assert!(wish > Duration::from_secs(3600), "{wish:?}");
}

#[test]
fn a_first_contact_is_a_row_of_the_live_page_and_its_program_is_allowed_by_one_click() {
    let rules = "[default]\ninbound = 'allow'\noutbound = 'allow'\n\n[[rule]]\nid = 'no-web'\naction = 'block'\n\
        direction = 'out'\nprotocol = 'tcp'\nports = [80, 443]\n";
    let mut service = ChangesModel {
        text: rules.to_owned(),
        generation: 4,
        ..ChangesModel::default()
    };
    let mut window = window();
    window.state().shown.changes.be_followed();
    let contact = Entry::contact(control::HistoryRow {
        program: Some("/usr/bin/telnet".to_owned()),
        ..view::example::contact()
    });
    tell(&window, Update::Entry(contact));
    window.run_steps(3);
    let shown = rows(&window);
    assert!(
        shown[0].starts_with(
            "refused, first contact out /usr/bin/telnet (user 1000) 192.0.2.7 (example.org), tcp 443 no-web: "
        ),
        "{shown:?}"
    );
    window.get_by_role(accesskit::Role::Row).click();
    window.run_steps(3);
    work(&mut window, &mut service);
    assert!(sees(
        &window,
        "refused by rule \"no-web\". It talked for the first time ever at "
    ));
    assert!(sees(&window, "before rule \"no-web\", which takes it now"));
    window.get_by_label("Allow this").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert!(sees(&window, "In force"));
    let added = "destination = \"192.0.2.7\"\nports = 443\nprogram = \"/usr/bin/telnet\"\n";
    assert!(service.text.contains(added), "{}", service.text);
    window.get_by_label("Undo").click();
    window.run_steps(2);
    work(&mut window, &mut service);
    assert_eq!(service.text, rules);
}

#[test]
fn the_filter_lets_first_contacts_through_as_it_does_packets() {
    let window = window();
    tell(
        &window,
        Update::Entry(Entry::contact(view::example::contact())),
    );
    tell(&window, sent("/usr/bin/scan", 443));
    let shown_with = |filter: &str| {
        let shown = window.state().shown.clone();
        let filter = view::filter::Filter::parse(filter).unwrap();
        let mut rows = shown.rows();
        rows.kept.filter(filter);
        rows.kept.look_through(usize::MAX);
        rows.kept.shown()
    };
    let found = [
        ("", 2),
        ("first contact", 1),
        ("program:curl", 1),
        ("port:443", 2),
        ("rule:no-web verdict:block", 1),
        ("interface:eth0", 0),
    ];
    for (filter, count) in found {
        assert_eq!(shown_with(filter), count, "{filter}");
    }
}

#[test]
fn first_contacts_are_asked_for_while_the_live_page_is_in_sight_alone() {
    let mut window = window();
    let wanted = |window: &mut Harness<'_, Window>, page: &str| {
        window
            .get_by_role_and_label(accesskit::Role::Tab, page)
            .click();
        window.run_steps(3);
        window.state().shown.contacts.look().is_wanted()
    };
    window.run_steps(2);
    assert!(wanted(&mut window, "Live"));
    assert!(!wanted(&mut window, "Rules"));
    assert!(!wanted(&mut window, "History"));
    assert!(wanted(&mut window, "Live"));
}

/// Returns two windows whose live page is full, one of each view.
fn full() -> [Harness<'static, Window>; 2] {
    [window(), window_of_each()].map(|mut window| {
        for port in 1..200 {
            tell(&window, sent("/usr/bin/scan", port));
        }
        window.run();
        window
    })
}

/// Returns whether the row of this port is the last one, and whole in sight.
fn ends_with(window: &Harness<'_, Window>, port: u16) -> bool {
    let last = window.query_all_by_role(accesskit::Role::Row).last();
    let last = last.unwrap();
    let label = last.accesskit_node().label().unwrap();
    let end = window.get_by_label("no counters yet").rect().top();
    label.contains(&format!("{port} no-telnet")) && last.rect().bottom() <= end
}

#[test]
fn one_more_row_is_in_sight_as_soon_as_anything_is_painted() {
    for mut window in full() {
        for port in [300, 301] {
            tell(&window, sent("/usr/bin/scan", port));
            // Nothing else is painted for as long as nothing else happens.
            window.step();
            assert!(ends_with(&window, port), "{:?}", rows(&window).last());
        }
        window.run();
        assert!(ends_with(&window, 301), "and stays there");
        let wish = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
        assert!(wish > Duration::from_secs(3600), "{wish:?}");
    }
}

#[test]
fn the_newest_row_is_in_sight_as_soon_as_there_is_another_room_for_it() {
    for mut window in full() {
        for height in [500.0, 900.0, 240.0] {
            window.set_size(egui::vec2(1200.0, height));
            window.step();
            assert!(ends_with(&window, 199), "{:?}", rows(&window).last());
            window.run();
            assert!(ends_with(&window, 199), "{height}: and stays there");
        }
    }
}

#[test]
fn what_is_selected_of_what_happens_is_in_sight_above_its_details() {
    for mut window in full() {
        let mut service = ChangesModel::default();
        window.state().shown.changes.be_followed();
        keys(&mut window, &[egui::Key::ArrowUp]);
        assert!(is_selected_in_sight(&window));
        work(&mut window, &mut service);
        assert!(is_selected_in_sight(&window), "with what can be done");
        keys(&mut window, &[egui::Key::ArrowUp; 50]);
        assert!(is_selected_in_sight(&window), "further up");
        let shown = rows(&window);
        tell(&window, sent("/usr/bin/scan", 300));
        window.run();
        assert_eq!(rows(&window), shown, "and stays there");
    }
    let [mut window, _] = full();
    click_the_last_in_sight(&mut window);
    assert!(is_selected_in_sight(&window), "by a click");
}

#[test]
fn who_has_scrolled_away_from_the_newest_row_stays_there() {
    for mut window in full() {
        window.hover_at(egui::pos2(400.0, 500.0));
        window.run();
        window.event(egui::Event::MouseWheel {
            source: egui::MouseWheelSource::Wheel,
            unit: egui::MouseWheelUnit::Point,
            delta: egui::vec2(0.0, 300.0),
            phase: egui::TouchPhase::Move,
            modifiers: egui::Modifiers::NONE,
        });
        window.run();
        let shown = rows(&window);
        assert!(!ends_with(&window, 199), "{:?}", shown.last());
        tell(&window, sent("/usr/bin/scan", 300));
        window.run();
        assert_eq!(rows(&window), shown);
    }
}

#[test]
fn a_row_that_is_not_in_sight_has_no_text() {
    let shown = Arc::new(Shown::default());
    (0..5_000).for_each(|n| shown.take(lost(n)));
    let page = |ui: &mut Ui, live: &mut Live| {
        let around = Around {
            shown: &shown,
            asked: false,
        };
        live.show(ui, &around);
    };
    let mut each = Live::default();
    each.together = false;
    let mut page = Harness::new_ui_state(page, each);
    page.run();
    let painted = page.state().painted.last.len();
    assert!(
        (1..200).contains(&painted),
        "{painted} rows of 5000 have text"
    );
}

/// Returns a packet that a program sends to this port.
fn sent(program: &str, port: u16) -> Update {
    let Update::Entry(mut entry) = refused() else {
        panic!("it is an entry");
    };
    if let EntryContent::Packet(packet) = &mut entry.what {
        packet.program.path = Some(program.into());
        packet.direction = firewall_abi::packet::Direction::Outbound;
        packet.headers.destination_port = port;
    }
    Update::Entry(entry)
}

/// Returns the words of each row, without its time.
fn together(window: &Harness<'_, Window>) -> Vec<String> {
    let said = rows(window).into_iter();
    said.map(|row| {
        let (what, when) = row.split_once(", last ").unwrap_or((&row, ""));
        let folded = if when.ends_with(", folded") { " +" } else { "" };
        format!("{what}{folded}")
    })
    .collect()
}

#[test]
fn a_row_for_each_program_and_endpoint_says_how_often_and_is_unfolded_by_a_click_or_by_keys() {
    use egui::Key;
    let mut window = window();
    for update in [
        sent("/usr/bin/curl", 443),
        sent("/usr/bin/ssh", 22),
        sent("/usr/bin/curl", 443),
        lost(7),
    ] {
        tell(&window, update);
    }
    window.run();
    let curl = "refused out /usr/bin/curl 10.0.0.2, tcp 443 no-telnet (line 13): 2 times";
    let ssh = "refused out /usr/bin/ssh 10.0.0.2, tcp 22 no-telnet (line 13): once";
    let gap = "LOST 7 records (no_room): once";
    let folded = |it: &str| format!("{it} +");
    assert_eq!(together(&window), [folded(curl), folded(ssh), folded(gap)]);
    window.get_by_label_contains("curl 10.0.0.2").click();
    window.run();
    let shown = together(&window);
    assert_eq!((shown.len(), shown[0].as_str()), (5, curl));
    assert!(
        shown[1].contains("10.0.0.1:40000 -> 10.0.0.2:443"),
        "{shown:?}"
    );
    assert!(sees(&window, "Refused by rule"), "and what decided it");
    tell(&window, sent("/usr/bin/curl", 443));
    window.run();
    assert_eq!(together(&window).len(), 6);
    keys(
        &mut window,
        &[Key::ArrowDown, Key::ArrowDown, Key::ArrowLeft],
    );
    assert_eq!(together(&window).len(), 3, "folded from within");
    keys(
        &mut window,
        &[Key::ArrowDown, Key::ArrowRight, Key::ArrowDown],
    );
    assert_eq!(together(&window).len(), 4);
    let selected = window.query_all_by_role(accesskit::Role::Row);
    let selected = selected.filter(|row| row.accesskit_node().is_selected() == Some(true));
    let selected: Vec<_> = selected
        .map(|row| row.accesskit_node().label().unwrap())
        .collect();
    assert!(
        selected.len() == 1 && selected[0].contains("-> 10.0.0.2:22"),
        "{selected:?}"
    );
}

#[test]
fn what_was_put_together_is_ordered_by_a_click_on_a_title_and_once_more_as_it_came() {
    let mut window = window();
    for update in [sent("/c", 3), sent("/a", 1), sent("/b", 2), sent("/b", 2)] {
        tell(&window, update);
    }
    window.run();
    let programs = |window: &Harness<'_, Window>| {
        let rows = together(window);
        let program = |row: &String| row.split_whitespace().nth(2).unwrap().to_owned();
        rows.iter().map(program).collect::<Vec<_>>().concat()
    };
    assert_eq!(programs(&window), "/c/a/b");
    for (title, order) in [
        ("Order by program", "/a/b/c"),
        ("Order by program", "/c/b/a"),
        ("Order by program", "/c/a/b"),
        ("Order by times", "/b/c/a"),
        ("Order by last", "/b/a/c"),
        ("Order by endpoint", "/a/b/c"),
    ] {
        window.get_by_label(title).click();
        window.run();
        assert_eq!(programs(&window), order, "{title}");
    }
    let wish = window.output().viewport_output[&egui::ViewportId::ROOT].repaint_delay;
    assert!(wish > Duration::from_secs(3600), "{wish:?}");
}

#[test]
fn what_is_put_together_fits_a_small_window_with_large_text_and_long_names() {
    for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
        let mut window = window();
        window.set_size(size);
        let long = format!("/opt/{}/bin/it", "long-name/".repeat(30));
        tell(&window, sent(&long, 443));
        window.run();
        keys(&mut window, &[egui::Key::ArrowDown, egui::Key::ArrowRight]);
        for name in ["Live", "Status", "Together", "Pause", "Close"] {
            let place = window.get_by_label(name).rect();
            assert!(
                place.max.x <= size.x && place.max.y <= size.y && place.height() > 8.0,
                "{name} at {size}: {place:?}"
            );
        }
        assert!(!rows(&window).is_empty(), "the table has room at {size}");
    }
}

#[test]
fn an_entry_that_comes_alone_is_painted_at_once_and_many_share_a_frame() {
    let start = Instant::now();
    let ms = Duration::from_millis;
    let mut frames = Frames::default();
    assert_eq!(frames.request(start), Some(ms(0)), "nothing was painted");
    assert_eq!(
        frames.request(start + ms(1)),
        None,
        "the frame is on its way"
    );
    frames.begin(start + ms(2));
    assert_eq!(
        frames.request(start + ms(42)),
        Some(BETWEEN_FRAMES - ms(40)),
        "they follow each other closely"
    );
    assert_eq!(frames.request(start + ms(43)), None);
    frames.begin(start + ms(200));
    assert_eq!(frames.request(start + ms(900)), Some(ms(0)));
}
