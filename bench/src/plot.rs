//! A drawing of points, as SVG: ranges of something on a logarithmic scale,
//! against shares of one, in panels side by side.

use std::fmt::Write;

/// A drawing.
pub struct Plot {
    /// Title of the plot.
    pub title: String,
    /// Machine on which the values were measured.
    pub seen: String,
    /// Label of the horizontal axis.
    pub across: String,
    /// Label of the vertical axis.
    pub up: String,
    /// Side by side, with the same scales.
    pub panels: Vec<Panel>,
}

/// A part of it.
pub struct Panel {
    /// Title of the panel.
    pub title: String,
    /// Points of the panel.
    pub points: Vec<Point>,
}

/// A range, drawn as a line from a dot to a ring.
pub struct Point {
    /// Name of the series. One name has one colour in all panels.
    pub who: String,
    /// Value on the horizontal axis.
    pub across: f64,
    /// Value of the dot on the vertical axis.
    pub low: f64,
    /// Value of the ring on the vertical axis.
    pub high: f64,
}

const LEFT: f64 = 64.0;
const TOP: f64 = 96.0;
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 300.0;
const GAP: f64 = 40.0;
/// Height of a line of the legend below, in pixels.
const LINE: f64 = 20.0;
const INK: &str = "#1f2430";
const QUIET: &str = "#5d6473";
const GRID: &str = "#e3e6ec";
const COLOURS: [&str; 8] = [
    "#2a7f62", "#9db53c", "#e0a526", "#c2571a", "#5b8bd0", "#2f5597", "#7b4fa3", "#1f2430",
];

/// Scales of the axes, common to all panels.
struct Scale {
    most_across: f64,
    /// Powers of ten.
    low: i32,
    high: i32,
}

impl Scale {
    /// Around all that can be drawn.
    fn of(panels: &[Panel]) -> Self {
        let drawn = || {
            panels
                .iter()
                .flat_map(|panel| &panel.points)
                .filter(|point| point.is_drawn())
        };
        let most_across = drawn().fold(1.0_f64, |most, point| most.max(point.across));
        let low = drawn().fold(f64::INFINITY, |least, point| least.min(point.low));
        let high = drawn().fold(0.0_f64, |most, point| most.max(point.high));
        let (low, high) = if low < high || low == high && high > 0.0 {
            (low.log10().floor() as i32, high.log10().ceil() as i32)
        } else {
            (0, 1)
        };
        Self {
            most_across,
            low,
            high: high.max(low + 1),
        }
    }

    fn x(&self, across: f64) -> f64 {
        WIDTH * across / self.most_across
    }

    fn y(&self, up: f64) -> f64 {
        let share = (up.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        HEIGHT * (1.0 - share)
    }
}

impl Point {
    /// Returns whether a point can be drawn: zero and less have no place on a logarithmic scale.
    fn is_drawn(&self) -> bool {
        let all = [self.across, self.low, self.high];
        all.iter().all(|value| value.is_finite())
            && self.across >= 0.0
            && self.low > 0.0
            && self.high >= self.low
    }
}

impl Plot {
    /// Draws it.
    pub fn svg(&self) -> String {
        let (scale, names) = (Scale::of(&self.panels), self.names());
        let width = LEFT + self.panels.len() as f64 * (WIDTH + GAP);
        let below = TOP + HEIGHT + 64.0;
        let height = LINE.mul_add(names.len().div_ceil(4) as f64, below);
        let title = escaped(&self.title);
        let mut out = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="white"/>"#
        );
        out += &text((24.0, 30.0), 18.0, INK, "start", &self.title);
        out += &text((24.0, 52.0), 12.0, QUIET, "start", &self.seen);
        out += &text((24.0, TOP - 12.0), 12.0, QUIET, "start", &self.up);
        for (n, panel) in self.panels.iter().enumerate() {
            let x = (WIDTH + GAP).mul_add(n as f64, LEFT);
            let _written = write!(out, r#"<g transform="translate({x:.1} {TOP:.1})">"#);
            self.panel(panel, &scale, &names, &mut out);
            out += "</g>";
        }
        for (n, who) in names.iter().enumerate() {
            let x = (width - LEFT).mul_add((n % 4) as f64 / 4.0, LEFT);
            let y = LINE.mul_add((n / 4) as f64, below);
            out += &dot((x, y - 4.0), colour(n), colour(n));
            out += &text((x + 12.0, y), 12.0, INK, "start", who);
        }
        out += "</svg>\n";
        out
    }

    /// Each once, in order.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for point in self.panels.iter().flat_map(|panel| &panel.points) {
            if !names.contains(&point.who.as_str()) {
                names.push(&point.who);
            }
        }
        names
    }

    fn panel(&self, panel: &Panel, scale: &Scale, names: &[&str], out: &mut String) {
        *out += &text((WIDTH / 2.0, -12.0), 13.0, INK, "middle", &panel.title);
        for power in scale.low..=scale.high {
            let y = scale.y(10_f64.powi(power));
            *out += &line((0.0, y), (WIDTH, y), GRID, 1.0);
            *out += &text(
                (-6.0, y + 4.0),
                11.0,
                QUIET,
                "end",
                &format!("{}", 10_f64.powi(power)),
            );
        }
        for quarter in 0..=4 {
            let across = scale.most_across * f64::from(quarter) / 4.0;
            let x = scale.x(across);
            *out += &line((x, 0.0), (x, HEIGHT), GRID, 1.0);
            *out += &text(
                (x, HEIGHT + 16.0),
                11.0,
                QUIET,
                "middle",
                &format!("{across:.2}"),
            );
        }
        *out += &text(
            (WIDTH / 2.0, HEIGHT + 34.0),
            12.0,
            QUIET,
            "middle",
            &self.across,
        );
        for point in panel.points.iter().filter(|point| point.is_drawn()) {
            let place = names.iter().position(|name| *name == point.who);
            let colour = colour(place.unwrap_or(0));
            let x = scale.x(point.across);
            let (low, high) = (scale.y(point.low), scale.y(point.high));
            *out += &line((x, low), (x, high), colour, 2.0);
            *out += &dot((x, low), colour, colour);
            *out += &dot((x, high), colour, "white");
        }
    }
}

fn colour(n: usize) -> &'static str {
    COLOURS[n % COLOURS.len()]
}

fn line(from: (f64, f64), to: (f64, f64), colour: &str, width: f64) -> String {
    format!(
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}" stroke-width="{width}"/>"#,
        from.0, from.1, to.0, to.1
    )
}

fn dot(at: (f64, f64), colour: &str, filling: &str) -> String {
    format!(
        r#"<circle cx="{:.1}" cy="{:.1}" r="5" stroke="{colour}" stroke-width="2" fill="{filling}"/>"#,
        at.0, at.1
    )
}

fn text(at: (f64, f64), size: f64, colour: &str, anchor: &str, words: &str) -> String {
    format!(
        r#"<text x="{:.1}" y="{:.1}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{}</text>"#,
        at.0,
        at.1,
        escaped(words)
    )
}

fn escaped(words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    words.replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(who: &str, across: f64, low: f64, high: f64) -> Point {
        Point {
            who: who.to_owned(),
            across,
            low,
            high,
        }
    }

    fn plot(points: Vec<Point>) -> Plot {
        Plot {
            title: "this & that".to_owned(),
            seen: "here".to_owned(),
            across: "wakes".to_owned(),
            up: "µs".to_owned(),
            panels: vec![Panel {
                title: "a < b".to_owned(),
                points,
            }],
        }
    }

    #[test]
    fn every_point_lies_between_the_axes() {
        let points = vec![
            point("one", 0.0, 0.8, 5.0),
            point("two", 1.2, 60.0, 3000.0),
            point("three", 0.5, 10.0, 10.0),
        ];
        let scale = Scale::of(&plot(points).panels);
        assert_eq!((scale.low, scale.high), (-1, 4));
        assert_eq!([scale.x(0.0), scale.x(1.2)], [0.0, WIDTH]);
        assert_eq!([scale.y(0.1), scale.y(10_000.0)], [HEIGHT, 0.0]);
        assert!(scale.y(5.0) < scale.y(0.8), "what is more is higher");
    }

    #[test]
    fn what_has_no_place_is_not_drawn_and_moves_nothing() {
        let odd = vec![
            point("never", f64::NAN, 1.0, 2.0),
            point("none", 0.0, 0.0, 2.0),
            point("turned", 0.0, 3.0, 2.0),
            point("endless", 0.0, 1.0, f64::INFINITY),
        ];
        let drawn = plot(odd).svg();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        // The four names below, and nothing above.
        assert_eq!(drawn.matches("<circle").count(), 4);
        assert!(!plot(Vec::new()).svg().contains("NaN"));
    }

    #[test]
    fn one_name_has_one_colour_and_words_are_no_marks() {
        let mut both = plot(vec![
            point("one", 0.0, 1.0, 2.0),
            point("two", 0.5, 1.0, 2.0),
        ]);
        both.panels.push(Panel {
            title: "again".to_owned(),
            points: vec![point("two", 0.1, 1.0, 2.0)],
        });
        let drawn = both.svg();
        // In the two panels a line, a dot and a ring each; a dot and its edge below.
        assert_eq!(drawn.matches(COLOURS[1]).count(), 2 * 4 + 2, "{drawn}");
        assert!(drawn.contains("this &amp; that") && drawn.contains("a &lt; b"));
        assert!(drawn.ends_with("</svg>\n"));
    }
}
