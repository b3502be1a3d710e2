//! Picture of a comparison: one bar for each way, as SVG.

use crate::compare::{Comparison, Way};
use std::fmt::Write;

/// Position at which the bars begin; the next constant is how long the longest is.
const LEFT: f64 = 24.0;
const WIDTH: f64 = 720.0;
/// Distance from one way to the next.
const STEP: f64 = 58.0;
const TOP: f64 = 84.0;

const ARRIVED: &str = "#2a7f62";
const COUNTED: &str = "#e0a526";
const UNACCOUNTED: &str = "#f0d6d3";
const INK: &str = "#1f2430";
const QUIET: &str = "#5d6473";

/// Draws a comparison. `seen` says on what it was seen.
pub fn svg(comparison: &Comparison, seen: &str) -> String {
    let mut out = String::new();
    let height = TOP + STEP * comparison.ways.len() as f64 + 40.0;
    // Writing to a string can't fail.
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {height}" width="{w}" height="{height}" role="img" aria-label="{title}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="white"/>"#,
        w = WIDTH + 2.0 * LEFT,
        title = title(comparison),
    );
    out += &text(LEFT, 30.0, 18.0, INK, &title(comparison));
    out += &text(
        LEFT,
        52.0,
        12.0,
        QUIET,
        &format!("{seen}; {}", comparison.load),
    );
    for (n, way) in comparison.ways.iter().enumerate() {
        out += &bar(way, STEP.mul_add(n as f64, TOP));
    }
    out += &legend(height - 18.0);
    out += "</svg>\n";
    out
}

fn title(comparison: &Comparison) -> String {
    let most = comparison
        .ways
        .iter()
        .map(|way| way.sent)
        .max()
        .unwrap_or(0);
    format!("{most} notices each way: how many arrive?")
}

fn bar(way: &Way, y: f64) -> String {
    let words = way
        .refused
        .map_or_else(|| way.words(), |why| format!("not here: {why}"));
    let mut out = text(LEFT, y, 13.0, INK, &format!("{} — {words}", way.name));
    let share = |n: u64| {
        if way.sent == 0 {
            0.0
        } else {
            WIDTH * n as f64 / way.sent as f64
        }
    };
    let mut x = LEFT;
    for (count, colour) in [
        (way.arrived, ARRIVED),
        (way.counted_lost, COUNTED),
        (way.unaccounted, UNACCOUNTED),
    ] {
        let width = share(count);
        if width > 0.0 {
            out += &block(x, y + 8.0, width, 18.0, colour);
        }
        x += width;
    }
    out
}

fn legend(y: f64) -> String {
    let mut out = String::new();
    let entries = [
        (ARRIVED, "arrived"),
        (COUNTED, "counted as lost"),
        (UNACCOUNTED, "unaccounted: nobody knows"),
    ];
    for (n, (colour, words)) in entries.into_iter().enumerate() {
        let x = 190.0f64.mul_add(n as f64, LEFT);
        out += &block(x, y - 10.0, 12.0, 12.0, colour);
        out += &text(x + 18.0, y, 12.0, QUIET, words);
    }
    out
}

fn block(x: f64, y: f64, width: f64, height: f64, colour: &str) -> String {
    format!(
        r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
    )
}

fn text(x: f64, y: f64, size: f64, colour: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!(r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{colour}">{words}</text>"#)
}
