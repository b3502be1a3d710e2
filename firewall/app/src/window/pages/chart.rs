//! Chart of the traffic in each part of a period.

use crate::past::{Bar, Since};
use crate::window::colours;
use eframe::egui::{self, Rect, Ui, accesskit, pos2, vec2};
use view::history::size;
use view::text;
use view::time::day_and_time;

/// Height of the bars of what was carried, and below it that of what was refused.
const HEIGHT: f32 = 40.0;
const BELOW: f32 = 12.0;
/// Least height of a bar: what is not nothing is seen.
const LEAST: f32 = 2.0;

/// Paints bars: above what was carried, or what was allowed where nothing is known to be carried; below what was
/// refused. A screen reader is told of the highest.
pub fn show(ui: &mut Ui, bars: &[Bar], since: Since) {
    if bars.is_empty() {
        return;
    }
    let is_carried = bars.iter().any(|bar| bar.bytes > 0);
    let above = |bar: &Bar| if is_carried { bar.bytes } else { bar.allowed };
    let most = |of: &dyn Fn(&Bar) -> u64| bars.iter().map(of).max().unwrap_or(0);
    let (most_above, most_below) = (most(&above), most(&|bar| bar.refused));
    ui.weak(caption(since, is_carried, most_above, most_below));
    let width = ui.available_width();
    let (place, response) =
        ui.allocate_exact_size(vec2(width, HEIGHT + BELOW), egui::Sense::hover());
    let words = words(bars, since);
    response.widget_info(|| egui::WidgetInfo::labeled(accesskit::Role::Image, true, &words));
    let line = place.top() + HEIGHT;
    let painter = ui.painter();
    let ground = ui.visuals().widgets.noninteractive.bg_stroke;
    painter.hline(place.x_range(), line, ground);
    let step = width / bars.len() as f32;
    let gap = if step > 4.0 { 1.0 } else { 0.0 };
    for (n, bar) in bars.iter().enumerate() {
        let left = place.left() + step * n as f32;
        let right = left + (step - gap).max(0.5);
        let up = height(above(bar), most_above, HEIGHT);
        let allowed = Rect::from_min_max(pos2(left, line - up), pos2(right, line));
        painter.rect_filled(allowed, 0.0, colours::allowed(ui));
        let down = height(bar.refused, most_below, BELOW);
        let refused = Rect::from_min_max(pos2(left, line), pos2(right, line + down));
        painter.rect_filled(refused, 0.0, colours::refused(ui));
    }
    let under = response.hover_pos().map(|at| (at.x - place.left()) / step);
    let bar = under.and_then(|at| bars.get(at.max(0.0) as usize));
    if let Some(bar) = bar {
        response.on_hover_text(bar_words(bar));
    }
}

fn height(of: u64, most: u64, whole: f32) -> f32 {
    if of == 0 {
        return 0.0;
    }
    (of as f64 / most.max(1) as f64 * f64::from(whole)).max(f64::from(LEAST)) as f32
}

fn bar_words(bar: &Bar) -> String {
    text!(
        "chart-bar",
        time = day_and_time(bar.start),
        size = size(bar.bytes),
        allowed = bar.allowed,
        refused = bar.refused,
    )
}

/// Returns the chart's caption: what the bars are.
fn caption(since: Since, is_carried: bool, above: u64, below: u64) -> String {
    if is_carried {
        let size = size(above);
        return match since {
            Since::Hour => text!("chart-carried-minute", size = size, refused = below),
            Since::Day | Since::Week => text!("chart-carried-hour", size = size, refused = below),
            Since::All => text!("chart-carried-day", size = size, refused = below),
        };
    }
    match since {
        Since::Hour => text!("chart-allowed-minute", allowed = above, refused = below),
        Since::Day | Since::Week => {
            text!("chart-allowed-hour", allowed = above, refused = below)
        }
        Since::All => text!("chart-allowed-day", allowed = above, refused = below),
    }
}

/// Describes the whole chart, for a screen reader.
fn words(bars: &[Bar], since: Since) -> String {
    let highest = bars
        .iter()
        .max_by_key(|bar| (bar.bytes, bar.allowed, bar.refused));
    let highest = highest.map(bar_words).unwrap_or_default();
    let bars = bars.len();
    match since {
        Since::Hour => text!("chart-whole-minute", bars = bars, most = highest),
        Since::Day | Since::Week => text!("chart-whole-hour", bars = bars, most = highest),
        Since::All => text!("chart-whole-day", bars = bars, most = highest),
    }
}
