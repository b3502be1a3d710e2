//! The window: what was refused and what was started, as it happens; for each refused packet the rule that did it, and
//! how to allow it.
//!
//! - `pages`: a file for each page, and the tabs; of that of what happens, and of the others that change a verdict,
//!   - `rows`: what is kept, and what of it the filter lets through;
//!   - `allow`: which rule decided, and where another one has to stand;
//!   - `details`: the row that is selected, and the rule that decides otherwise, by click.
//! - `card`: what the rules ask, and the keys that answer it.
//! - here: what is painted. Nothing is painted while nothing happens.

mod allow;
mod card;
mod colours;
mod details;
mod pages;
mod rows;

#[cfg(test)]
mod tests;

use crate::changes::Changes;
use crate::contacts::FirstContacts;
use crate::overview::Overview;
use crate::past::Past;
use crate::questions::Questions;
use card::Card;
use eframe::egui::{self, Color32, RichText, Ui, accesskit};
use egui_extras::TableRow;
use firewall_abi::packet::Verdict;
use pages::{Around, PageSource, Pages};
use rows::Rows;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use view::entry::{EntryContent, Update};
use view::text;

/// Shortest time between two frames that show new entries: an entry that comes alone is painted at once, and those that
/// come close together are painted together.
const BETWEEN_FRAMES: Duration = Duration::from_millis(140);
type Listener = Box<dyn Fn() + Send + Sync>;

/// Pace of the frames that show new entries.
#[derive(Debug, Default)]
struct Frames {
    /// Time at which the last frame began.
    began: Option<Instant>,
    /// `true` if a frame was requested and has not begun: each request wakes the window's thread,
    /// and entries come by the thousand.
    is_requested: bool,
}

impl Frames {
    fn begin(&mut self, now: Instant) {
        *self = Self {
            began: Some(now),
            is_requested: false,
        };
    }

    /// Returns the time after which a frame is to begin, or `None` if one was requested before.
    fn request(&mut self, now: Instant) -> Option<Duration> {
        if self.is_requested {
            return None;
        }
        self.is_requested = true;
        let since = self.began.map(|began| now.duration_since(began));
        Some(BETWEEN_FRAMES.saturating_sub(since.unwrap_or(BETWEEN_FRAMES)))
    }
}

/// State that the reader, the other threads and the window share. The reader locks the rows for each record that it has
/// read: a window that is slow to paint slows the reader, and then the driver counts what is lost. Nothing else lies
/// between the ring and the window.
#[derive(Default)]
pub struct Shown {
    rows: Mutex<Rows>,
    /// Questions of the rules.
    pub questions: Questions,
    /// Changes to the rules, by click.
    pub changes: Changes,
    /// State of the service and of its rules.
    pub overview: Overview,
    /// History of the service.
    pub past: Past,
    /// First contacts of programs.
    pub contacts: FirstContacts,
    /// Context of the window, once there is one to wake.
    context: OnceLock<egui::Context>,
    frames: Mutex<Frames>,
    /// Theme, light or dark, if the desktop chose before there was a window.
    theme: Mutex<Option<egui::ThemePreference>>,
    /// Listener that wants to know that there is another question, or that somebody looks at the window, or does no
    /// more.
    listener: OnceLock<Listener>,
    looked_at: AtomicBool,
    /// Reason for which no notification is shown.
    notifications: Mutex<Option<String>>,
    closed: AtomicBool,
}

impl Shown {
    /// Takes in what the reader has read, and has it painted if it changes anything. The counters come again and again:
    /// the same counters are nothing to paint.
    pub fn take(&self, update: Update) {
        if tells_of_a_question(&update) {
            self.questions.ring();
        }
        if self.rows().take(update) {
            self.repaint();
        }
    }

    /// Notes that nothing comes now, and why.
    pub fn end(&self, why: &str) {
        if self.rows().end(why) {
            self.repaint();
        }
    }

    /// Notes that the window was closed.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Returns whether the window was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Locks the rows. A panic elsewhere leaves them whole: they are changed one at a time.
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, looked_at: bool) {
        if self.looked_at.swap(looked_at, Ordering::AcqRel) != looked_at {
            self.listener.get().into_iter().for_each(|tell| tell());
        }
    }

    fn theme(&self) -> MutexGuard<'_, Option<egui::ThemePreference>> {
        self.theme.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notifications(&self) -> MutexGuard<'_, Option<String>> {
        self.notifications
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the window painted at once, or once [`BETWEEN_FRAMES`] has passed since the last frame.
    pub fn repaint(&self) {
        if let Some(context) = self.context.get()
            && let Some(rest) = self.frames().request(Instant::now())
        {
            context.request_repaint_after(rest);
        }
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Part of the state that the threads beside the window use.
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "on this system there is no service that asks")
)]
impl Shown {
    /// Has a listener told that questions have changed, or who looks.
    pub fn listen(&self, listener: Listener) {
        let _only_once = self.listener.set(listener);
    }

    /// Tells all that questions have changed.
    pub fn changed(&self) {
        self.repaint();
        self.listener.get().into_iter().for_each(|tell| tell());
    }

    /// Returns whether the window has the focus, as far as it knows.
    pub fn is_looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Acquire)
    }

    /// Makes the window light or dark.
    pub fn set_theme(&self, chosen: egui::ThemePreference) {
        let mut theme = self.theme();
        *theme = Some(chosen);
        if let Some(context) = self.context.get() {
            context.set_theme(chosen);
            context.request_repaint();
        }
    }

    /// Brings the window to the front, as far as the desktop lets it.
    pub fn raise(&self) {
        if let Some(context) = self.context.get() {
            context.send_viewport_cmd(egui::ViewportCommand::Minimized(false));
            context.send_viewport_cmd(egui::ViewportCommand::Focus);
        }
    }

    /// Shows the reason for which no notification is shown, or `None` if it is.
    pub fn set_notifications(&self, trouble: Option<String>) {
        *self.notifications() = trouble;
        self.repaint();
    }
}

/// Returns whether something may have been asked: a loss may hide that.
fn tells_of_a_question(update: &Update) -> bool {
    let Update::Entry(entry) = update else {
        return false;
    };
    match &entry.what {
        EntryContent::Packet(packet) => packet.verdict == Verdict::Ask,
        EntryContent::Lost(_) => true,
        _ => false,
    }
}

/// Shows this state until the window is closed. `title` names the device that the records come from.
pub fn run(shown: Arc<Shown>, title: &str) -> anyhow::Result<()> {
    let viewport = egui::ViewportBuilder::default()
        .with_inner_size(egui::vec2(1180.0, 720.0))
        .with_title("Gatebell");
    let options = eframe::NativeOptions {
        viewport,
        ..Default::default()
    };
    let title = title.to_owned();
    let window = |cc: &eframe::CreationContext<'_>| {
        // What came before there was a window is painted with its first painting.
        let _only_once = shown.context.set(cc.egui_ctx.clone());
        let chosen = shown.theme().take();
        cc.egui_ctx
            .set_theme(chosen.unwrap_or(egui::ThemePreference::System));
        Ok(Box::new(Window::new(title, shown)) as Box<dyn eframe::App>)
    };
    eframe::run_native("gatebell-app", options, Box::new(window))
        .map_err(|error| anyhow::anyhow!(text!("no-window", why = error.to_string())))
}

/// State of the window's own.
struct Window {
    title: String,
    shown: Arc<Shown>,
    pages: Pages,
    card: Card,
    /// Height of what was said of a change when it was painted last.
    news_height: f32,
}

impl Window {
    fn new(title: String, shown: Arc<Shown>) -> Self {
        Self {
            title,
            shown,
            pages: Pages::default(),
            card: Card::default(),
            news_height: 0.0,
        }
    }

    fn head(&mut self, ui: &mut Ui, around: &Around<'_>) {
        ui.add_space(4.0);
        self.pages.tabs(ui, &self.title);
        self.pages.current().head(ui, around);
        ui.add_space(4.0);
    }

    /// Shows what stands below every page.
    fn foot(&mut self, ui: &mut Ui, shown: &Shown) {
        let of_the_driver = self.pages.current().source() == PageSource::Driver;
        let notifications = shown.notifications().clone();
        let unreachable = shown.questions.look().unreachable().map(str::to_owned);
        let rows = shown.rows();
        status(ui, &rows, of_the_driver && rows.is_empty());
        if let Some(why) = unreachable {
            let words = text!("foot-questions", why = why);
            ui.label(RichText::new(words).color(colours::lost(ui)));
        }
        if let Some(why) = notifications {
            ui.weak(why);
        }
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let shown = &self.shown.clone();
        shown.frames().begin(Instant::now());
        let looked_at = ui.input(|input| input.focused && input.viewport().minimized != Some(true));
        shown.look(looked_at);
        self.pages.keys(ui);
        let asked = !shown.questions.look().waiting().is_empty();
        let around = Around { shown, asked };
        egui::Panel::top("head").show(ui, |ui| self.head(ui, &around));
        egui::Panel::bottom("status").show(ui, |ui| self.foot(ui, shown));
        // After the status, which it must leave room.
        self.card.show(ui, &shown.questions);
        if details::is_there_news(&shown.changes) {
            let panel = egui::Panel::bottom("change");
            let news = panel.show(ui, |ui| {
                details::news(ui, &shown.changes);
                ui.min_rect().height()
            });
            // The panel learns how high it is from what was painted: nothing else may be painted for long.
            if (news.inner - self.news_height).abs() > 0.5 {
                self.news_height = news.inner;
                ui.ctx().request_discard("there is other news");
            }
        }
        let minimized = ui.input(|input| input.viewport().minimized == Some(true));
        let page = self.pages.current();
        let source = Some(page.source()).filter(|_| !minimized);
        shown.overview.want(match source {
            Some(PageSource::Service(part)) => Some(part),
            _ => None,
        });
        shown.contacts.want(source == Some(PageSource::Driver));
        shown.past.want(page.past().filter(|_| !minimized));
        page.show(ui, &around);
    }
}

/// Shows a row of a table: its cells, what a screen reader says of it, whether it is selected, and the colour of each
/// cell that has one of its own: on the ground of what is selected it would be hard to read.
fn table_row(
    row: &mut TableRow<'_, '_>,
    cells: &[String],
    line: &str,
    selected: bool,
    colour: impl Fn(&Ui, usize) -> Option<Color32>,
) -> egui::Id {
    row.set_selected(selected);
    let mut whole = egui::Rect::NOTHING;
    for (column, cell) in cells.iter().enumerate() {
        let (place, _) = row.col(|ui| {
            let mut text = RichText::new(cell);
            if let Some(colour) = colour(ui, column).filter(|_| !selected) {
                text = text.color(colour);
            }
            ui.add(egui::Label::new(text).truncate().selectable(false));
        });
        whole = whole.union(place);
    }
    // What a screen reader says of a row: it is one, and all of it.
    // Its place is not known to egui at its first painting.
    let response = row.response().with_new_rect(whole);
    response.widget_info(|| egui::WidgetInfo::labeled(accesskit::Role::Row, true, line));
    let context = response.ctx.clone();
    context.accesskit_node_builder(response.id, |node| node.set_selected(selected));
    response.id
}

/// Shows the counters of both sides, and why nothing comes if nothing does, unless the page says it.
fn status(ui: &mut Ui, rows: &Rows, in_place: bool) {
    ui.horizontal_wrapped(|ui| {
        match rows.account() {
            None => drop(ui.label(text!("foot-no-counters"))),
            Some(account) => {
                let kernel = account.kernel;
                let lost = kernel.lost_in_all();
                ui.label(text!(
                    "foot-driver",
                    offered = kernel.offered,
                    committed = kernel.committed,
                ));
                let lost_words = RichText::new(text!("foot-lost", lost = lost));
                ui.label(if lost > 0 {
                    lost_words.color(colours::lost(ui))
                } else {
                    lost_words
                });
                ui.separator();
                ui.label(text!(
                    "foot-app",
                    delivered = account.delivered,
                    waiting = account.in_ring,
                ));
            }
        }
        if let Some(why) = rows.ended().filter(|_| !in_place) {
            ui.separator();
            ui.label(RichText::new(why).color(colours::lost(ui)));
        }
    });
}
