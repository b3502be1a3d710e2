//! Tests of the window in another language: whole, and with room for it.

use super::past::{elsewhere, telnet};
use super::*;
use crate::past;
use crate::past::talkers::tests::ssh;
use crate::window::pages::KEYS;
use control::HistoryRow;
use eframe::egui::epaint::Shape;
use eframe::egui::{Key, Modifiers};
use firewall_abi::packet::Direction;
use std::time::SystemTime;
use view::example::held_answer;
use view::question::{LASTS, VERDICTS, WIDTHS};
use view::text;
use view::texts::{Language, Speaking, speaking};

const RULES: &str = "[default]\ninbound = 'block'\noutbound = 'allow'\n\n[[set]]\nid = 'bad'\naddresses = '192.0.2.0/24'\n\n\
    [[rule]]\nid = 'no-web'\naction = 'reject'\ndirection = 'out'\nprotocol = 'tcp'\nports = [80, 443]\n\n[[rule]]\nid = 'all'\n\
    action = 'allow'\nprotocol = 'udp'\n\n[[rule]]\nid = 'late'\naction = 'block'\nprotocol = 'udp'\nports = 53\ndestination = \
    '@bad'\n\n[[rule]]\nid = 'off'\naction = 'allow'\nenabled = false\n\n[[network]]\nid = 'home'\ngateway = \
    '192.0.2.1'\n";

/// Window that has something to show on each page, and its service.
struct Full {
    window: Harness<'static, Window>,
    overview: OverviewModel,
    past: PastModel,
    rules: ChangesModel,
    _spoken: Speaking,
}

impl Full {
    fn in_language(language: Language, size: egui::Vec2) -> Self {
        let spoken = speaking(language);
        let mut window = window();
        window.set_size(size);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut overview = OverviewModel::with(RULES);
        overview.hits = vec![12, 3, 0, 0];
        overview.answers = vec![held_answer()];
        overview.routes = view::example::routes();
        let shown = window.state().shown.clone();
        shown.changes.be_followed();
        shown.overview.be_followed();
        shown.past.be_followed();
        shown.take(refused());
        shown.take(lost(3));
        shown.take(Update::Entry(Entry::contact(view::example::contact())));
        shown.take(Update::Entry(Entry::contact(changed())));
        Self {
            window,
            overview,
            past: PastModel {
                rows: vec![
                    telnet(),
                    elsewhere(),
                    ssh(now.as_secs() - 30),
                    HistoryRow {
                        last: now.as_secs() - 20,
                        ..changed()
                    },
                ],
                ..PastModel::default()
            },
            rules: ChangesModel {
                text: RULES.to_owned(),
                generation: 4,
                ..ChangesModel::default()
            },
            _spoken: spoken,
        }
    }

    /// Returns the keys that turn to each of its pages.
    fn pages(&mut self) -> Vec<(usize, Key)> {
        self.window.run_steps(2);
        let tabs = self.window.query_all_by_role(accesskit::Role::Tab);
        let pages = KEYS.into_iter().take(tabs.count());
        pages.enumerate().collect()
    }

    /// Turns to a page, with the details of its first row.
    fn turn_to(&mut self, page: Key) {
        self.window.key_press_modifiers(Modifiers::COMMAND, page);
        self.answer();
        self.window.key_press(Key::ArrowDown);
        self.answer();
    }

    /// Has the service answer what it is asked for.
    fn answer(&mut self) {
        self.window.run_steps(3);
        let shown = self.window.state().shown.clone();
        shown.overview.turn(&mut self.overview);
        shown.past.turn(&mut self.past);
        shown.changes.turn(&mut self.rules);
        self.window.run_steps(4);
    }

    /// Returns what is painted: each text, its rectangle, and the part of the window in which it can be seen.
    fn painted(&self) -> Vec<(String, egui::Rect, egui::Rect)> {
        let mut texts = Vec::new();
        for clipped in &self.window.output().shapes {
            texts_of(&clipped.shape, clipped.clip_rect, &mut texts);
        }
        texts
    }
}

/// Returns a first contact whose words for what became of it, and for its way, are the longest that there are.
fn changed() -> HistoryRow {
    HistoryRow {
        direction: Direction::Forward.name().to_owned(),
        contact: Some("changed".to_owned()),
        ..view::example::contact()
    }
}

/// Collects the titles of columns, and the words for what became of a packet and for its way, that are cut off.
fn cut_titles(shape: &Shape, cut: &mut Vec<String>) {
    match shape {
        Shape::Text(text) if text.galley.elided => {
            let said = text.galley.text();
            let of_a_packet = [
                view::history::cells(&changed())[1].clone(),
                view::entry::way(Direction::Forward),
            ];
            let is_title = [
                text!("column-refused"),
                text!("column-received"),
                text!("column-joined"),
                text!("column-user"),
                text!("column-protocol"),
                text!("column-entries"),
                text!("column-times"),
                text!("column-action"),
                text!("column-hits"),
                text!("column-way"),
            ]
            .iter()
            .any(|title| said.starts_with(title));
            let is_cut = is_title || of_a_packet.iter().any(|words| words == said);
            cut.extend(is_cut.then(|| said.to_owned()));
        }
        Shape::Vec(shapes) => shapes.iter().for_each(|it| cut_titles(it, cut)),
        _ => {}
    }
}

fn texts_of(shape: &Shape, clip: egui::Rect, texts: &mut Vec<(String, egui::Rect, egui::Rect)>) {
    match shape {
        Shape::Text(text) if !text.galley.elided => {
            let place = text.galley.rect.translate(text.pos.to_vec2());
            texts.push((text.galley.text().to_owned(), place, clip));
        }
        Shape::Vec(shapes) => shapes.iter().for_each(|it| texts_of(it, clip, texts)),
        _ => {}
    }
}

#[test]
fn each_page_has_room_for_each_language() {
    for language in Language::ALL {
        let mut full = Full::in_language(language, egui::vec2(1400.0, 800.0));
        for (number, page) in full.pages() {
            full.turn_to(page);
            let mut cut = Vec::new();
            for clipped in &full.window.output().shapes {
                cut_titles(&clipped.shape, &mut cut);
            }
            assert!(cut.is_empty(), "{language}, page {number}: {cut:?}");
            for (text, place, clip) in full.painted() {
                let is_cut = place.right() > clip.right() + 1.0 && place.left() < clip.right();
                assert!(
                    !is_cut,
                    "{language}, page {number}: {text:?} {place:?} in {clip:?}"
                );
            }
        }
    }
}

#[test]
fn each_page_fits_a_small_window_with_large_text_in_each_language() {
    for language in Language::ALL {
        for size in [egui::vec2(1024.0, 600.0), egui::vec2(512.0, 300.0)] {
            let mut full = Full::in_language(language, size);
            for (number, page) in full.pages() {
                full.turn_to(page);
                let tabs = full.window.query_all_by_role(accesskit::Role::Tab);
                let tabs: Vec<_> = tabs.map(|tab| tab.rect()).collect();
                let close = text!("close");
                let close = full.window.query_by_label(&close);
                for place in tabs.into_iter().chain(close.map(|it| it.rect())) {
                    assert!(
                        place.max.x <= size.x && place.max.y <= size.y && place.height() > 8.0,
                        "{language}, page {number} at {size}: {place:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_question_is_asked_and_answered_in_the_windows_language_by_the_same_keys() {
    let mut full = Full::in_language(Language::German, egui::vec2(1024.0, 600.0));
    let mut service = QuestionsModel {
        waiting: vec![question()],
        ..QuestionsModel::default()
    };
    full.window.state().shown.questions.turn(&mut service);
    full.window.run_steps(4);
    for words in [
        "Darf dies hinaus?",
        "ohne Antwort: blockieren in ",
        "hinaus, an 192.0.2.7 tcp Port 443",
        "die Vorgabe fragt; Pakete: 3",
        "bis das Programm endet (T)",
    ] {
        assert!(sees(&full.window, words), "{words}");
    }
    keys(&mut full.window, &[Key::A, Key::Enter]);
    full.window.state().shown.questions.turn(&mut service);
    full.window.run_steps(4);
    assert_eq!(service.answered, [(7, usual(true))]);
    let said = "beantwortet: /usr/bin/curl: erlauben, 10 Minuten lang: 192.0.2.7 tcp Port 443";
    assert!(sees(&full.window, said));
}

#[test]
fn the_first_choice_of_each_line_of_a_card_stands_below_the_others_in_each_language() {
    for language in Language::ALL {
        let full = Full::in_language(language, egui::vec2(1180.0, 720.0));
        let mut window = full.window;
        let mut service = QuestionsModel {
            waiting: vec![question()],
            ..QuestionsModel::default()
        };
        window.state().shown.questions.turn(&mut service);
        window.run_steps(4);
        let first = [VERDICTS[0].words(), LASTS[0].words(), WIDTHS[0].words()];
        let left = first.map(|words| {
            let said = format!("{words} (");
            window.get_by_label_contains(&said).rect().left()
        });
        assert!(left.iter().all(|it| *it == left[0]), "{language}: {left:?}");
    }
}

#[test]
fn troubles_networks_and_lists_are_said_in_the_windows_language() {
    let mut full = Full::in_language(Language::German, egui::vec2(1400.0, 800.0));
    let status = text!("tab-status");
    let networks = text!("tab-networks");
    let turn = |full: &mut Full, page: &str| {
        full.window.run_steps(2);
        full.window
            .get_by_role_and_label(accesskit::Role::Tab, page)
            .click();
        full.answer();
    };
    turn(&mut full, &status);
    for words in [
        "konnte nicht geschrieben werden. Im Einzelnen: the disk is full; make room",
        "home: nicht da: das Gateway über eth0 ist 198.51.100.1, nicht 192.0.2.1",
        "der letzte Versuch schlug fehl: ihr Server ist nicht bekannt",
    ] {
        assert!(sees(&full.window, words), "{words}");
    }
    turn(&mut full, &networks);
    assert!(sees(&full.window, "das Gateway über eth0 ist 198.51.100.1"));
}

#[test]
fn a_file_says_the_same_whatever_the_window_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let written = |language: Language| {
        let folder = folder.path().join(language.tag());
        std::fs::create_dir_all(&folder).unwrap();
        let full = Full::in_language(language, egui::vec2(1300.0, 800.0));
        let entry = Entry::from_packet(UNIX_EPOCH, &packet(), &mut Named).unwrap();
        let entries = past::Entries::new(1, move |from, _| {
            let all = [(0, entry.clone())];
            all.into_iter().filter(|(at, _)| *at >= from).collect()
        });
        let past = &full.window.state().shown.past;
        past.save(past::Save {
            folder,
            ..past::Save::usual(past::Content::Entries(entries), past::Format::Csv)
        });
        past.turn(&mut PastModel::default());
        let path = past.look().saved().unwrap().clone().unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    let files = Language::ALL.map(written);
    assert!(files[0].contains("what") && files[0].contains("refused"));
    for file in &files {
        assert_eq!(*file, files[0]);
    }
}
