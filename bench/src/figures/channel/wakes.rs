//! Cost of low latency for an app: wakes per record against latency, for each way to wait.

use super::driver::{Driver, Writing};
use super::{FIGURE, READER, Setting, row};
use crate::book::{Book, Table};
use crate::gatebell::{App, now_ns};
use crate::machine::Machine;
use crate::page::WAKES;
use crate::plot::{Panel, Plot, Point};
use crate::statistics::{Spread, quantile};
use anyhow::Result;
use channel::Pace;
use std::time::Duration;

/// Microseconds from one record to the next: each comes alone, or they follow each other.
const PAUSES: [u64; 2] = [1000, 50];

/// A way to wait, and what came of it at a pace.
struct Policy {
    says: &'static str,
    pace: Pace,
    wakes: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    processor: Vec<f64>,
}

fn policies() -> Vec<Policy> {
    let each = |(says, pace)| Policy {
        says,
        pace,
        wakes: Vec::new(),
        p50: Vec::new(),
        p99: Vec::new(),
        processor: Vec::new(),
    };
    let time = Duration::from_micros;
    [
        ("each record (`Prompt`)", Pace::Prompt),
        ("coalesce 100 µs", Pace::Coalesce(time(100))),
        ("coalesce 500 µs", Pace::Coalesce(time(500))),
        ("coalesce 4 ms (by default)", Pace::default()),
        ("spin 20 µs", Pace::Spin(time(20))),
        ("spin 200 µs", Pace::Spin(time(200))),
        ("spin always", Pace::Spin(Duration::MAX)),
    ]
    .map(each)
    .into()
}

/// Measures each way at each pace.
pub fn measure(setting: &Setting<'_>, driver: &Driver, book: &mut Book) -> Result<()> {
    let mut panels = Vec::new();
    for pause in PAUSES {
        let mut all = policies();
        let count = setting.choose(1_000_000, 400_000) / pause;
        for _ in 0..setting.choose(3, 2) {
            for policy in &mut all {
                policy.round(driver, count as u32, Duration::from_micros(pause))?;
            }
        }
        let a_second = 1_000_000 / pause;
        if let Some(by_default) = all.iter().find(|policy| policy.pace == Pace::default())
            && pause < 100
        {
            book.put("channel_wakes", &by_default.wakes);
        }
        book.table(FIGURE, beside_each_other(&all, a_second));
        panels.push(Panel {
            title: format!("{a_second} records a second"),
            points: all.iter().filter_map(Policy::point).collect(),
        });
    }
    let Machine {
        kernel, processors, ..
    } = Machine::here(setting.quick);
    book.picture(
        WAKES,
        Plot {
            title: "What being told soon costs: wakes per record against latency".to_owned(),
            seen: format!(
                "Linux {kernel}, {processors} processors; from the driver's stamp to the app: half of the records (●), 99 % of them (○)"
            ),
            across: "wakes per record".to_owned(),
            up: "latency, µs".to_owned(),
            panels,
        }
        .svg(),
    );
    book.note(
        FIGURE,
        format!(
            "![Wakes per record against latency, for each way to wait]({WAKES})\n\nA wake is a sleep of the app's thread that ended, be \
             it by the driver's signal or by the app's own timer. Which way to choose: by default the app lets records gather once they \
             follow each other closely, and takes one that comes alone at once; `Prompt` if milliseconds matter while many come; \
             `Spin` if microseconds do and a processor can be spared."
        ),
    );
    Ok(())
}

impl Policy {
    fn round(&mut self, driver: &Driver, count: u32, pause: Duration) -> Result<()> {
        let attachment = driver.attach(self.pace)?;
        let room = Vec::with_capacity(count as usize);
        let app = App::start(
            attachment,
            Some(READER),
            room,
            |delays: &mut Vec<f64>, record| {
                delays.push(now_ns().saturating_sub(record.header().stamp_ns) as f64);
            },
        );
        let made = driver.make("channel_64", Writing::Beat(count, pause));
        let heard = app.stop()?;
        made?;
        let (mut delays, records) = (heard.state, heard.account.delivered as f64);
        self.wakes.push(heard.spent.wakes as f64 / records);
        self.p50.push(quantile(&mut delays, 0.5) / 1000.0);
        self.p99.push(quantile(&mut delays, 0.99) / 1000.0);
        self.processor
            .push(heard.spent.processor_ns as f64 / records / 1000.0);
        Ok(())
    }

    fn point(&self) -> Option<Point> {
        let middle = |rounds: &[f64]| Spread::of(rounds).map(|spread| spread.median);
        Some(Point {
            who: self.says.replace('`', ""),
            across: middle(&self.wakes)?,
            low: middle(&self.p50)?,
            high: middle(&self.p99)?,
        })
    }
}

fn beside_each_other(all: &[Policy], a_second: u64) -> Table {
    let mut table = Table::new(
        format!(
            "One app, {a_second} records of 64 bytes a second, evenly: how it waits, and what comes of it."
        ),
        &[
            "wakes per record",
            "latency, p50, µs",
            "latency, p99, µs",
            "its processor, µs per record",
        ],
    );
    for policy in all {
        let Policy {
            says,
            pace: _,
            wakes,
            p50,
            p99,
            processor,
        } = policy;
        let columns = [wakes, p50, p99, processor].map(Clone::clone);
        row(&mut table, says, &columns);
    }
    table
}
