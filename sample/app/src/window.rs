//! Window of the app: buttons for the operations, the event's state, and the log.
//!
//! It shows and asks. What is asked for is done by a thread of its own, because a driver may take its time.

use crate::kernel::Kernel;
use crate::log::{Line, Log};
use crate::operations::{Session, View};
use crate::step::{Burst, Step, state};
use channel::{Account, Attachment, Error};
use eframe::egui::{self, Color32, RichText, Ui, accesskit};
use egui_extras::{Column, TableBuilder};
use std::sync::mpsc;
use std::time::Duration;

/// Time after which lines are painted: those that come close together are painted together.
const PAINT_AFTER: Duration = Duration::from_millis(40);
/// Time between two looks at the event's state while nothing is logged.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time after which the window is painted once more, where the table has to move to its end.
const AT_ONCE: Duration = Duration::from_millis(1);
const ROW: f32 = 20.0;
const SIDE: f32 = 320.0;

/// Headings of the log's columns.
const COLUMNS: [&str; 5] = ["Time", "By", "Operation", "The app saw", "The driver saw"];

/// Opens the window and stays until it is closed.
pub fn run<S: Kernel>(device: &str) -> anyhow::Result<()>
where
    Attachment<S>: Send,
{
    let size = egui::vec2(1240.0, 720.0);
    let viewport = egui::ViewportBuilder::default()
        .with_inner_size(size)
        .with_title("Gatebell sample");
    let options = eframe::NativeOptions {
        viewport,
        ..Default::default()
    };
    let device = device.to_owned();
    let window = |cc: &eframe::CreationContext<'_>| {
        Ok(Box::new(Window::<S>::open(&device, &cc.egui_ctx)?) as Box<dyn eframe::App>)
    };
    eframe::run_native("gatebell-sample-app", options, Box::new(window))
        .map_err(|error| anyhow::anyhow!("can't show a window: {error}; --headless needs none"))
}

/// State of the window.
pub struct Window<S: Kernel> {
    title: String,
    steps: mpsc::Sender<Step>,
    log: Log,
    view: View<S>,
    burst: Burst,
    /// Number of lines that were painted last, and the height of their table.
    painted: (usize, f32),
}

impl<S: Kernel> Window<S>
where
    Attachment<S>: Send,
{
    /// Opens the device; `ctx` is painted again whenever there is something to see.
    pub fn open(device: &str, ctx: &egui::Context) -> Result<Self, Error> {
        let log = Log::new({
            let ctx = ctx.clone();
            move |_| ctx.request_repaint_after(PAINT_AFTER)
        });
        let mut session = Session::<S>::open(device, log.clone())?;
        let view = session.view();
        let (steps, asked) = mpsc::channel();
        std::thread::spawn(move || {
            asked
                .into_iter()
                .for_each(|step| drop(session.perform(step)))
        });
        let burst = Burst {
            count: 10,
            interval_us: 0,
            from_timer: false,
        };
        Ok(Self {
            title: format!("{device} on the {} kernel", S::NAME),
            steps,
            log,
            view,
            burst,
            painted: (0, 0.0),
        })
    }

    /// Returns the log, as the window shows it.
    #[cfg(test)]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Sets what the two buttons for notices ask for.
    #[cfg(test)]
    pub fn set_burst(&mut self, burst: Burst) {
        self.burst = burst;
    }

    fn head(&self, ui: &mut Ui) {
        let shown = self.view.shown();
        let set = shown.event.as_ref().and_then(|event| event.is_set().ok());
        let (waiting, account) = (shown.waiting, shown.account);
        drop(shown);
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            ui.heading("Gatebell sample");
            ui.label(RichText::new(&self.title).weak());
        });
        ui.horizontal(|ui| {
            lamp(ui, set);
            ui.separator();
            ui.label(if waiting {
                "a thread waits on it"
            } else {
                "no thread waits on it"
            });
            ui.separator();
            ui.label(account.map_or_else(|| "no books yet".to_owned(), books));
        });
        ui.add_space(4.0);
        // An event that nobody waits on may change without a line in the log.
        if set.is_some() && !waiting {
            ui.ctx().request_repaint_after(LOOK_EVERY);
        }
    }

    fn buttons(&mut self, ui: &mut Ui) {
        for (group, steps) in Step::GROUPS {
            caption(ui, group);
            self.pairs(ui, steps);
            if *group == "The driver operates it" {
                self.notices(ui);
            }
        }
    }

    fn notices(&mut self, ui: &mut Ui) {
        caption(ui, "The driver sends notices");
        ui.horizontal(|ui| {
            let many = egui::DragValue::new(&mut self.burst.count).range(1..=100_000);
            let label = ui.label("how many");
            ui.add(many).labelled_by(label.id);
            let apart = egui::DragValue::new(&mut self.burst.interval_us)
                .range(0..=1_000_000)
                .speed(100);
            let label = ui.label("µs apart");
            ui.add(apart).labelled_by(label.id);
        });
        self.pairs(
            ui,
            &[false, true].map(|from_timer| {
                Step::Notify(Burst {
                    from_timer,
                    ..self.burst
                })
            }),
        );
    }

    fn pairs(&self, ui: &mut Ui, steps: &[Step]) {
        for pair in steps.chunks(2) {
            ui.columns(2, |columns| {
                for (column, step) in columns.iter_mut().zip(pair) {
                    self.button(column, *step);
                }
            });
        }
    }

    fn button(&self, ui: &mut Ui, step: Step) {
        let size = egui::vec2(ui.available_width(), 22.0);
        if ui
            .add_sized(size, egui::Button::new(step.label()))
            .clicked()
        {
            // The thread that takes the steps lives as long as this sender, so there is no error to speak of.
            self.steps.send(step).unwrap_or_default();
        }
    }

    fn log_table(&mut self, ui: &mut Ui) {
        let lines = self.log.lines();
        // The table learns where its end is from what was painted,
        // and moves there with the next painting: there may be none for long.
        let painted = (lines.len(), ui.available_height());
        if painted != self.painted {
            self.painted = painted;
            ui.ctx().request_repaint_after(AT_ONCE);
        }
        brighten(ui);
        TableBuilder::new(ui)
            .striped(true)
            .resizable(true)
            .stick_to_bottom(true)
            .auto_shrink(false)
            .sense(egui::Sense::hover())
            .column(Column::exact(58.0))
            .column(Column::exact(48.0))
            .column(Column::initial(216.0).clip(true))
            .column(Column::initial(300.0).clip(true))
            .column(Column::remainder().clip(true))
            .header(ROW, |mut header| {
                for title in COLUMNS {
                    header.col(|ui| drop(ui.strong(title)));
                }
            })
            .body(|body| {
                body.rows(ROW, lines.len(), |mut row| {
                    if let Some(line) = lines.get(row.index()) {
                        cells(&mut row, line);
                    }
                });
            });
    }
}

impl<S: Kernel> eframe::App for Window<S>
where
    Attachment<S>: Send,
{
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        egui::Panel::top("head").show(ui, |ui| self.head(ui));
        egui::Panel::left("operations")
            .resizable(false)
            .exact_size(SIDE)
            .show(ui, |ui| {
                egui::ScrollArea::vertical()
                    .auto_shrink(false)
                    .show(ui, |ui| self.buttons(ui));
            });
        egui::CentralPanel::default().show(ui, |ui| self.log_table(ui));
    }
}

/// Shows the event's state, as colour and as words.
fn lamp(ui: &mut Ui, set: Option<bool>) {
    let (colour, words) = match set {
        None => (
            ui.visuals().weak_text_color(),
            "no event is referenced".to_owned(),
        ),
        Some(set) => (
            if set { SIGNALLED } else { CALM },
            format!("the event is {}", state(set)),
        ),
    };
    let (rect, _) = ui.allocate_exact_size(egui::vec2(14.0, 14.0), egui::Sense::hover());
    ui.painter().circle_filled(rect.center(), 6.0, colour);
    ui.label(RichText::new(words).strong());
}

const SIGNALLED: Color32 = Color32::from_rgb(0xf2, 0xb1, 0x34);
const CALM: Color32 = Color32::from_rgb(0x4b, 0x8b, 0x6f);
const REFUSED: Color32 = Color32::from_rgb(0xe0, 0x6c, 0x5b);

fn caption(ui: &mut Ui, words: &str) {
    ui.add_space(6.0);
    ui.label(RichText::new(words).size(11.0));
}

/// Makes text that is there to be read as bright as a button's.
fn brighten(ui: &mut Ui) {
    let visuals = ui.visuals_mut();
    visuals.widgets.noninteractive.fg_stroke = visuals.widgets.inactive.fg_stroke;
}

fn books(account: Account) -> String {
    let kernel = account.kernel;
    let (offered, lost) = (kernel.offered, kernel.lost_in_all());
    format!(
        "offered {offered}, lost {lost}, delivered {}, in the ring {}",
        account.delivered, account.in_ring
    )
}

fn cells(row: &mut egui_extras::TableRow<'_, '_>, line: &Line) {
    let colour = line.refusal.map(|_| REFUSED);
    let time = format!("{:.3}", line.at);
    let mut whole = egui::Rect::NOTHING;
    for cell in [&time, line.by.name(), &line.did, &line.app, &line.driver] {
        let text = colour.map_or_else(
            || RichText::new(cell),
            |colour| RichText::new(cell).color(colour),
        );
        let (place, _) = row.col(|ui| {
            let label = ui.add(egui::Label::new(text).truncate());
            if !cell.is_empty() {
                label.on_hover_text(cell);
            }
        });
        whole = whole.union(place);
    }
    // What a screen reader says of a row: it is one, and all of it.
    // Its place is not known to egui at its first painting.
    let response = row.response().with_new_rect(whole);
    response.widget_info(|| egui::WidgetInfo::labeled(accesskit::Role::Row, true, line.told()));
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
