//! Details of the row that is selected: the rule that decided, and the rule that decides otherwise, in force by one
//! click and taken back by another.

use super::pages::of_the_past::{self, Reach};
use super::pages::selection;
use super::{allow, colours};
use crate::changes::{ChangeOutcome, Changes, Draft, Order, Who, Wish, known};
use eframe::egui::{self, RichText, Ui};
use firewall_abi::asking::Width;
use firewall_abi::packet::Direction;
use std::time::{Duration, Instant};
use view::entry::{Entry, EntryContent, PacketSeen};
use view::question::WIDTHS;
use view::text;

/// Time after which an answer that is still to come waits for a person.
const SOON: Duration = Duration::from_secs(1);
/// Part of the window's height that the rule's text takes at most.
const MOST_OF_HEIGHT: f32 = 0.22;
/// Width of the column of names before each line of choices.
const NAMES: f32 = 72.0;

/// Choices for the row that is selected.
#[derive(Debug, Default)]
pub struct Details {
    wish: Option<(u64, Wish)>,
    /// `true` if the button is to get the focus.
    focus: bool,
}

impl Details {
    /// Has the button that changes the verdict take the next Enter.
    pub fn focus(&mut self) {
        self.focus = true;
    }

    /// Shows a row's details. Returns `true` if they are to be closed.
    pub fn show(&mut self, ui: &mut Ui, number: u64, entry: &Entry, changes: &Changes) -> bool {
        colours::bright(ui);
        ui.add_space(4.0);
        let copy = |ui: &mut Ui| {
            if ui.button(text!("copy-row")).clicked() {
                ui.ctx().copy_text(entry.to_string());
            }
        };
        let close = selection::head_with(ui, copy, |ui| {
            ui.add(egui::Label::new(RichText::new(allow::why(entry)).strong()).wrap());
        });
        match &entry.what {
            EntryContent::Packet(packet) => match allow::place(packet) {
                Err(why) => drop(ui.add(egui::Label::new(why).wrap())),
                Ok(place) => {
                    self.change(ui, number, || Wish::usual(packet), &place, changes);
                }
            },
            EntryContent::Contact(row) => {
                of_the_past::change(ui, self, row, Reach::Endpoint, changes)
            }
            EntryContent::Process(_) | EntryContent::Lost(_) | EntryContent::Unreadable(_) => {}
        }
        ui.add_space(4.0);
        close
    }

    /// Shows the rule that decides otherwise, and the button that puts it in force. What is chosen is kept as long as
    /// `number` is the same; `usual` is what is offered first, `place` the rule's place as long as nothing better is
    /// known.
    pub fn change(
        &mut self,
        ui: &mut Ui,
        number: u64,
        usual: impl FnOnce() -> Wish,
        place: &str,
        changes: &Changes,
    ) {
        let wish = match &mut self.wish {
            Some((about, wish)) if *about == number => wish,
            other => &mut other.insert((number, usual())).1,
        };
        choices(ui, wish);
        changes.wish(wish);
        let state = changes.look();
        let draft = state.draft(wish).cloned();
        let (followed, busy) = (state.is_followed(), state.on_its_way().is_some());
        drop(state);
        let (rule, place) = match &draft {
            Some(Ok(draft)) => (draft.rule.clone(), draft.place_words()),
            _ => (wish.text(), place.to_owned()),
        };
        let verb = if wish.allow {
            text!("allow-this")
        } else {
            text!("block-this")
        };
        ui.horizontal_wrapped(|ui| {
            let possible = followed && !busy && matches!(draft, Some(Ok(_)));
            let button = ui.add_enabled(possible, egui::Button::new(RichText::new(verb).strong()));
            if std::mem::take(&mut self.focus) {
                button.request_focus();
            }
            if button.clicked() {
                changes.order(Order::Make(Box::new(wish.clone())));
            }
            if ui.button(text!("copy")).clicked() {
                ui.ctx().copy_text(rule.clone());
            }
            said(ui, followed, draft.as_ref(), &place);
        });
        let most = ui.ctx().content_rect().height() * MOST_OF_HEIGHT;
        egui::Frame::group(ui.style()).show(ui, |ui| {
            let scrolled = egui::ScrollArea::vertical()
                .id_salt("rule")
                .max_height(most)
                .min_scrolled_height(most);
            scrolled.auto_shrink([false, true]).show(ui, |ui| {
                let text = RichText::new(rule.trim_end()).monospace();
                ui.add(egui::Label::new(text).wrap());
            });
        });
    }
}

/// Shows what the button does, or why it can't.
fn said(ui: &mut Ui, followed: bool, draft: Option<&Result<Draft, String>>, place: &str) {
    match draft {
        Some(Err(why)) => {
            let colour = ui.visuals().warn_fg_color;
            ui.label(RichText::new(why).color(colour))
        }
        _ if followed => ui.label(text!("as-this-rule", place = place)),
        _ => ui.label(text!("into-the-file", place = place)),
    };
}

/// Shows the choices of whom a rule is about and how far it reaches; what can't be said of this packet is not offered.
fn choices(ui: &mut Ui, wish: &mut Wish) {
    let all = known(&wish.packet);
    if all.len() > 1 {
        ui.horizontal_wrapped(|ui| {
            name(ui, &text!("wish-of"));
            for who in all {
                if ui
                    .radio(wish.who == who, who_words(who, &wish.packet))
                    .clicked()
                {
                    wish.who = who;
                }
            }
        });
    }
    if !wish.can_be() {
        wish.width = Width::Endpoint;
    }
    ui.horizontal_wrapped(|ui| {
        name(ui, &text!("wish-about"));
        for choice in WIDTHS {
            let wider = Wish {
                width: choice.value,
                ..wish.clone()
            };
            if wider.can_be()
                && ui
                    .radio(wish.width == choice.value, choice.words())
                    .clicked()
            {
                wish.width = choice.value;
            }
        }
        ui.weak(reach(wish));
    });
}

fn who_words(who: Who, packet: &PacketSeen) -> String {
    let program = &packet.program;
    match who {
        Who::Program => {
            let path = program.path.as_deref().unwrap_or_default();
            text!("who-program", path = view::entry::clean(path))
        }
        Who::User => text!("who-user", user = program.user.unwrap_or_default()),
        Who::Anyone => text!("who-anyone"),
    }
}

/// Describes how far a rule reaches, with this packet's own words.
fn reach(wish: &Wish) -> String {
    let packet = &wish.packet;
    let what = match (packet.headers.protocol, packet.protocol()) {
        (protocol, name) if rules::Protocol(protocol).has_ports() => {
            let port = packet.headers.destination_port;
            text!("reach-port", protocol = name, port = port)
        }
        (_, name) => name,
    };
    let from = || view::entry::address(packet.headers.source).to_string();
    let to = || view::entry::address(packet.headers.destination).to_string();
    use Direction::{Forward, Inbound, Outbound};
    match (packet.direction, wish.width) {
        (Inbound, Width::Endpoint) => text!("reach-from", address = from(), what = what),
        (Inbound, Width::Address) => text!("reach-from-any-port", address = from()),
        (Outbound, Width::Endpoint) => text!("reach-to", address = to(), what = what),
        (Outbound, Width::Address) => text!("reach-to-any-port", address = to()),
        (Inbound | Outbound, Width::Port) => text!("reach-any-address", what = what),
        (Inbound | Outbound, Width::Anywhere) => text!("reach-anything"),
        (Forward, Width::Endpoint) => text!("reach-between", what = what),
        (Forward, Width::Address) => text!("reach-between-any-port"),
        (Forward, Width::Port | Width::Anywhere) => text!("reach-any-addresses", what = what),
    }
}

fn name(ui: &mut Ui, name: &str) {
    let height = ui.text_style_height(&egui::TextStyle::Body);
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(egui::vec2(NAMES, height), layout, |ui| {
        ui.set_min_width(NAMES);
        ui.weak(name);
    });
}

/// Returns whether there is something to say of a change.
pub fn is_there_news(changes: &Changes) -> bool {
    let state = changes.look();
    state.on_its_way().is_some() || state.outcome().is_some()
}

/// Shows the change that is on its way, or its outcome.
pub fn news(ui: &mut Ui, changes: &Changes) {
    colours::bright(ui);
    let state = changes.look();
    let (since, outcome) = (state.on_its_way(), state.outcome().cloned());
    drop(state);
    if let Some(since) = since {
        let waited = Instant::now().saturating_duration_since(since);
        ui.ctx().request_repaint_after(SOON);
        ui.label(if waited < SOON {
            text!("asking-firewall")
        } else {
            text!("change-waits", seconds = waited.as_secs())
        });
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let mut undo = None;
        match &outcome {
            None => return,
            Some(ChangeOutcome::InForce(made)) => {
                ui.strong(made.words());
                undo = Some(made);
            }
            Some(ChangeOutcome::Done(words)) => drop(ui.strong(words)),
            Some(ChangeOutcome::Refused {
                why,
                command,
                still,
            }) => {
                let colour = ui.visuals().error_fg_color;
                let words = text!("change-refused", why = why);
                ui.label(RichText::new(words).color(colour));
                if let Some(command) = command {
                    ui.label(text!("change-as-root"));
                    ui.monospace(command);
                    if ui.button(text!("copy-command")).clicked() {
                        ui.ctx().copy_text(command.clone());
                    }
                }
                undo = still.as_ref();
            }
        }
        if let Some(made) = undo
            && ui.button(text!("undo")).clicked()
        {
            changes.order(Order::Undo(made.clone()));
        }
        if ui.button(text!("done")).clicked() {
            changes.dismiss();
        }
    });
}
