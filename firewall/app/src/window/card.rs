//! Card of the first question that waits, and the keys that answer it.

use crate::questions::{AnswerOutcome, Questions, QuestionsState, Waiting};
use control::{Given, Lasts, Question};
use eframe::egui::{self, Key, RichText, Ui, accesskit};
use firewall_abi::asking::Width;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use view::question::{self, Choice, LASTS, VERDICTS, WIDTHS};
use view::text;

/// Time for which the outcome of an answer is shown.
const OUTCOME_FOR: Duration = Duration::from_secs(10);
/// Part of the window's height that the card takes at most: of what is asked the rest is scrolled to, what can be
/// answered is always in sight.
const MOST_OF_HEIGHT: f32 = 0.62;
/// Least height in which what is asked is scrolled.
const LEAST_ROOM: f32 = 30.0;
/// Width of the column of names before each line.
const NAMES: f32 = 80.0;

/// Choices for an answer, and the question that they are for: for another one nothing is chosen yet, so that no key
/// that was meant for this one answers that one.
#[derive(Debug, Default)]
pub struct Card {
    about: Option<u64>,
    allow: Option<bool>,
    lasts: Option<Lasts>,
    width: Option<Width>,
    /// Number of the last place that is listed, or that was when something was chosen:
    /// what comes to be listed after that is not meant.
    listed: Option<u64>,
    /// Process that was shown when something was chosen.
    pid: u32,
    /// Numbers of the questions that are left to their time.
    left: BTreeSet<u64>,
    /// Highest number of a question that somebody was told of who did not look.
    told: u64,
    hint: bool,
    /// Height that the question's facts take, and that of the rest.
    facts: f32,
    rest: f32,
}

impl Card {
    /// Takes the keys, and shows the card, or nothing while nothing waits.
    pub fn show(&mut self, ui: &mut Ui, questions: &Questions) {
        let state = questions.look();
        let now = Instant::now();
        self.left.retain(|id| {
            let mut waiting = state.waiting().iter();
            waiting.any(|waiting| waiting.question.id == *id)
        });
        self.call_attention(ui, &state);
        let mut waiting = state.waiting().iter();
        let first = waiting
            .find(|waiting| !self.left.contains(&waiting.question.id))
            .cloned();
        let painted = (self.about, self.listed);
        let first = self.turn_to(first, has_keys(ui));
        // Whoever pressed a key saw what was painted before.
        let is_seen = painted == (self.about, self.listed);
        let outcome = state
            .outcome()
            .filter(|outcome| outcome.at + OUTCOME_FOR > now);
        if let Some(outcome) = outcome {
            ui.ctx()
                .request_repaint_after(outcome.at + OUTCOME_FOR - now);
        }
        let outcome = outcome.cloned();
        let all = state.waiting().len();
        let answering = state.is_being_answered();
        drop(state);
        if all == 0 && outcome.is_none() {
            return;
        }
        let given = first.as_ref().filter(|_| answering.is_none());
        let mut chosen = given
            .filter(|_| is_seen)
            .and_then(|first| self.keys(ui, &first.question));
        let margins = egui::Frame::side_top_panel(ui.style()).total_margin();
        let most = ui.ctx().content_rect().height() * MOST_OF_HEIGHT;
        let room = (most - self.rest).max(LEAST_ROOM).min(self.facts);
        let panel = egui::Panel::top("card").exact_size(self.rest + room + margins.sum().y);
        let needed = panel.show(ui, |ui| {
            // What is scrolled, and what has the focus, is the question's own: another one is seen from its beginning.
            let question = first.as_ref().map(|first| first.question.id);
            let of_this_question = ui.push_id(question, |ui| {
                // Text that is there to be read is as bright as a button's.
                let visuals = ui.visuals_mut();
                visuals.widgets.noninteractive.fg_stroke = visuals.widgets.inactive.fg_stroke;
                let (top, mut facts_take) = (ui.cursor().top(), 0.0);
                if let Some(first) = &first {
                    title(ui, first, all, now);
                    let scrolled = egui::ScrollArea::vertical()
                        .auto_shrink(false)
                        .max_height(room);
                    let shown = scrolled.show(ui, |ui| facts(ui, &first.question));
                    facts_take = shown.content_size.y;
                    ui.add_enabled_ui(answering.is_none(), |ui| {
                        chosen = self.answer(ui, &first.question).or(chosen);
                    });
                }
                if answering.is_some() {
                    ui.label(text!("card-on-its-way"));
                } else if let Some(outcome) = &outcome {
                    said(ui, outcome);
                }
                self.aside(ui, all);
                let shown = if first.is_some() { room } else { 0.0 };
                (facts_take, ui.cursor().top() - top - shown)
            });
            of_this_question.inner
        });
        let (facts, rest) = needed.inner;
        if (facts - self.facts).abs() > 0.5 || (rest - self.rest).abs() > 0.5 {
            (self.facts, self.rest) = (facts, rest);
            ui.ctx().request_discard("the card has another height");
        }
        if let (Some(given), Some(first)) = (chosen, first) {
            questions.answer(first.question, given);
            ui.ctx().request_repaint();
        }
    }

    /// Turns to a question. Nothing is chosen yet for one that was not shown before. It lists the places that it did
    /// when something was chosen, or before a key was pressed.
    fn turn_to(&mut self, first: Option<Waiting>, is_pressed: bool) -> Option<Waiting> {
        let about = first.as_ref().map(|waiting| waiting.question.id);
        if self.about != about {
            *self = Self {
                about,
                left: std::mem::take(&mut self.left),
                told: self.told,
                facts: self.facts,
                rest: self.rest,
                ..Self::default()
            };
        }
        let mut first = first?;
        self.list(&mut first.question, is_pressed);
        Some(first)
    }

    /// Lists the places of a question: of many, or the addresses of a name. What comes to be listed once something is
    /// chosen is behind what was listed then. Of many each place has its own time, and of a flood one is over every
    /// moment: what is chosen holds as long as any of those waits, and what is about the program beyond that.
    fn list(&mut self, asked: &mut Question, is_pressed: bool) {
        let is_chosen = self.allow.is_some() || self.lasts.is_some() || self.width.is_some();
        let listed = self.listed.filter(|_| is_chosen || is_pressed);
        if listed.is_some_and(|last| asked.list_up_to(last)) {
            return;
        }
        if !self.is_about_no_place(asked) {
            (self.allow, self.lasts, self.width) = (None, None, None);
        }
        (self.listed, self.pid) = (Some(asked.listed), asked.pid);
    }

    /// Returns whether what is chosen is about the program, or about the process that was shown, wherever it goes.
    fn is_about_no_place(&self, asked: &Question) -> bool {
        let usual = question::usual_for(asked, self.allow.unwrap_or(false));
        let is_same = asked.of_process && asked.pid == self.pid;
        self.width.unwrap_or(usual.width) == Width::Anywhere
            && (self.lasts != Some(Lasts::Process) || is_same)
    }

    /// Has the desktop mark a window that nobody looks at, once for each question.
    fn call_attention(&mut self, ui: &Ui, state: &QuestionsState) {
        let newest = state.waiting().iter().map(|waiting| waiting.question.id);
        let newest = newest.max().unwrap_or(0);
        let seen = ui.input(|input| input.focused);
        if newest > self.told && !seen {
            let kind = egui::UserAttentionType::Informational;
            ui.ctx()
                .send_viewport_cmd(egui::ViewportCommand::RequestUserAttention(kind));
        }
        // A service that was started again counts from one.
        self.told = newest;
    }

    /// Takes the keys. Returns the answer once Enter gives it. Whoever types a text types no answer, and Enter on a
    /// button is that button's.
    fn keys(&mut self, ui: &Ui, asked: &Question) -> Option<Given> {
        if ui.ctx().text_edit_focused() {
            return None;
        }
        let on_a_button = ui.ctx().egui_wants_keyboard_input();
        let pressed: Vec<Key> = ui.input(|input| {
            let keys = input.events.iter().filter_map(|event| match event {
                egui::Event::Key {
                    key,
                    pressed: true,
                    repeat: false,
                    modifiers,
                    ..
                } if !modifiers.ctrl && !modifiers.alt && !modifiers.command => Some(*key),
                _ => None,
            });
            keys.collect()
        });
        for key in pressed {
            if key == Key::Enter && !on_a_button {
                match self.given(asked) {
                    Some(given) => return Some(given),
                    None => self.hint = true,
                }
                continue;
            }
            let Some(letter) = letter(key) else {
                continue;
            };
            if letter == question::MUTE {
                let muted = question::mute(asked);
                self.allow = Some(muted.allow);
                (self.lasts, self.width) = (Some(muted.lasts), Some(muted.width));
                continue;
            }
            self.allow = Choice::of(&VERDICTS, letter).or(self.allow);
            let lasts = Choice::of(&LASTS, letter).filter(|lasts| self.can_last(asked, *lasts));
            self.lasts = lasts.or(self.lasts);
            self.width = Choice::of(&WIDTHS, letter).or(self.width);
            self.settle(asked);
            if letter == question::LEAVE {
                self.left.insert(asked.id);
                ui.ctx().request_repaint();
                return None;
            }
        }
        None
    }

    /// Returns whether an answer with the other choices can hold so long; where no verdict is chosen, as one that
    /// blocks.
    fn can_last(&self, asked: &Question, lasts: Lasts) -> bool {
        let usual = question::usual_for(asked, self.allow.unwrap_or(false));
        let width = self.width.unwrap_or(usual.width);
        let given = Given {
            width,
            lasts,
            ..usual
        };
        question::can_last(asked, &given)
    }

    /// Sets the time to what is usual where what was chosen after it can't hold so long.
    fn settle(&mut self, asked: &Question) {
        self.lasts = self.lasts.filter(|lasts| self.can_last(asked, *lasts));
    }

    /// Returns the answer that is chosen, once a verdict is.
    fn given(&self, asked: &Question) -> Option<Given> {
        let usual = question::usual_for(asked, self.allow?);
        let lasts = self.lasts.unwrap_or(usual.lasts);
        let width = self
            .width
            .filter(|width| question::can_be_wide(lasts, *width));
        Some(Given {
            lasts,
            width: width.unwrap_or(usual.width),
            ..usual
        })
    }

    /// Shows the choices. Returns the answer if it was clicked.
    fn answer(&mut self, ui: &mut Ui, asked: &Question) -> Option<Given> {
        ui.add_space(2.0);
        let name = text!("card-answer");
        choices(ui, &name, &VERDICTS, &mut self.allow, None, |_| true);
        self.settle(asked);
        let usual = question::usual_for(asked, true);
        let mut lasts = self.lasts;
        choices(
            ui,
            &text!("card-how-long"),
            &LASTS,
            &mut lasts,
            Some(usual.lasts),
            |lasts| self.can_last(asked, lasts),
        );
        self.lasts = lasts;
        let lasts = self.lasts.unwrap_or(usual.lasts);
        let can_be = |width| question::can_be_wide(lasts, width);
        self.width = self.width.filter(|width| can_be(*width));
        choices(
            ui,
            &text!("card-about"),
            &WIDTHS,
            &mut self.width,
            Some(usual.width),
            can_be,
        );
        self.settle(asked);
        ui.add_space(2.0);
        self.buttons(ui, asked)
    }

    fn buttons(&mut self, ui: &mut Ui, asked: &Question) -> Option<Given> {
        let given = self.given(asked);
        let mut muted = None;
        let clicked = ui.horizontal_wrapped(|ui| {
            let answer = egui::Button::new(text!("card-give"));
            let answered = ui.add_enabled(given.is_some(), answer).clicked();
            if ui
                .button(keyed(&text!("card-leave"), question::LEAVE))
                .clicked()
            {
                self.left.insert(asked.id);
            }
            let mute = ui.button(keyed(&text!("card-mute"), question::MUTE));
            if mute.on_hover_text(text!("choice-mute")).clicked() {
                muted = Some(question::mute(asked));
            }
            match &given {
                Some(given) => ui.strong(question::answer(asked, given)),
                None if self.hint => {
                    let colour = ui.visuals().warn_fg_color;
                    ui.label(RichText::new(text!("card-choose-first")).color(colour))
                }
                None if ui.ctx().text_edit_focused() => ui.weak(text!("card-keys-are-filters")),
                None => ui.weak(text!("card-how")),
            };
            answered
        });
        muted.or(given.filter(|_| clicked.inner))
    }

    /// Shows the number of questions that were left to their time, and the button that shows them again.
    fn aside(&mut self, ui: &mut Ui, all: usize) {
        let left = self.left.len();
        if left == 0 {
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.weak(text!("card-left", left = left, all = all));
            if ui.button(text!("card-show-again")).clicked() {
                self.left.clear();
            }
        });
    }
}

/// Shows the title: what is asked, for how long yet, and how many more wait.
fn title(ui: &mut Ui, first: &Waiting, all: usize, now: Instant) {
    let asked = &first.question;
    let left = first.until.saturating_duration_since(now);
    // When the number of seconds changes.
    let part = Duration::from_nanos(u64::from(left.subsec_nanos()) + 1_000_000);
    ui.ctx().request_repaint_after(part);
    let colour = ui.visuals().warn_fg_color;
    ui.horizontal_wrapped(|ui| {
        let wants = if question::comes_in(asked) {
            text!("card-may-come-in")
        } else {
            text!("card-may-go-out")
        };
        let title = ui.label(RichText::new(wants).heading().color(colour));
        // Who can't see the window is told what is asked as it is asked.
        ui.ctx().accesskit_node_builder(title.id, |node| {
            node.set_live(accesskit::Live::Assertive);
            node.set_description(question::sentence(asked));
        });
        if all > 1 {
            ui.strong(text!("card-one-of", all = all));
        }
        let unanswered = question::unanswered(asked, left);
        ui.label(text!("card-unanswered", what = unanswered));
    });
}

/// Shows the facts of a question: who wants what. The program's path may be long: it goes on in the next line.
fn facts(ui: &mut Ui, asked: &Question) {
    let user = match asked.user {
        Some(user) => text!("card-user", user = user),
        None => text!("user-unknown"),
    };
    let who = match question::process(asked) {
        Some(process) => text!("card-process-user", process = process, user = user),
        None => user,
    };
    let endpoint = question::endpoint(asked);
    let whither = if question::comes_in(asked) {
        text!("card-in-from", endpoint = endpoint)
    } else {
        text!("card-out-to", endpoint = endpoint)
    };
    let program = RichText::new(question::program(asked)).strong();
    let remark = question::remark(asked);
    let remark = remark.map(|remark| (text!("card-note"), RichText::new(remark)));
    // Where there are not many, what it wants names each.
    let listed = asked.many.then(|| {
        let words = RichText::new(question::places(asked).join("\n"));
        (text!("card-places"), words)
    });
    let lines = [
        (text!("card-program"), program),
        (text!("card-process"), RichText::new(who)),
        (text!("card-wants"), RichText::new(whither).strong()),
        (text!("card-why"), RichText::new(question::asked_by(asked))),
    ];
    for (name, value) in lines.into_iter().chain(listed).chain(remark) {
        ui.horizontal_top(|ui| {
            line_name(ui, &name);
            ui.add(egui::Label::new(value).wrap());
        });
    }
}

/// Shows the name before a line, in a column of its own.
fn line_name(ui: &mut Ui, name: &str) {
    let height = ui.text_style_height(&egui::TextStyle::Body);
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(egui::vec2(NAMES, height), layout, |ui| {
        ui.set_min_width(NAMES);
        ui.weak(name);
    });
}

/// Shows a line of choices, of which one holds; none, if nothing is chosen and none is usual.
fn choices<T: Copy + PartialEq>(
    ui: &mut Ui,
    name: &str,
    all: &[Choice<T>],
    chosen: &mut Option<T>,
    usual: Option<T>,
    can_be: impl Fn(T) -> bool,
) {
    ui.horizontal_wrapped(|ui| {
        line_name(ui, name);
        for choice in all {
            let holds = chosen.or(usual) == Some(choice.value);
            let button = egui::RadioButton::new(holds, keyed(&choice.words(), choice.key));
            if ui.add_enabled(can_be(choice.value), button).clicked() {
                *chosen = Some(choice.value);
            }
        }
    });
}

/// Shows the outcome of the last answer.
fn said(ui: &mut Ui, outcome: &AnswerOutcome) {
    let (asked, given) = (&outcome.question, &outcome.given);
    let answer = text!(
        "card-given",
        program = question::program(asked),
        answer = question::answer(asked, given),
    );
    match &outcome.refused {
        None => ui.label(text!("card-answered", answer = answer)),
        Some(why) => {
            let colour = ui.visuals().error_fg_color;
            let words = text!("card-not-answered", answer = answer, why = why);
            ui.label(RichText::new(words).color(colour))
        }
    };
}

/// Returns a choice's words with its key: `allow (A)`.
fn keyed(words: &str, key: char) -> String {
    let key = key.to_ascii_uppercase().to_string();
    text!("card-keyed", words = words, key = key)
}

/// Returns whether a key was pressed since the last frame was painted.
fn has_keys(ui: &Ui) -> bool {
    ui.input(|input| {
        let mut events = input.events.iter();
        events.any(|event| matches!(event, egui::Event::Key { pressed: true, .. }))
    })
}

/// Returns the letter on a key, in lower case.
fn letter(key: Key) -> Option<char> {
    let mut name = key.name().chars();
    let letter = name.next().filter(char::is_ascii_alphabetic)?;
    name.next().is_none().then(|| letter.to_ascii_lowercase())
}
