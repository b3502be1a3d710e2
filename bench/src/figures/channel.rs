//! Throughput of the channel, whatever the driver: beside the kernel's bare ring buffer, and beside what programs use
//! that have no driver.

mod driver;
mod wakes;

use super::Setting;
use crate::book::{Book, Table};
use crate::gatebell::{App, Spent};
use crate::peers::bare::{Consumer, Taken, Waits};
use crate::peers::handed::{Datagrams, Flooded, KEEPS, Pipe, Record, Way, flood};
use crate::peers::queue::Queue;
use crate::statistics::ratios;
use anyhow::{Context, Result};
use channel::Pace;
use driver::{Driver, Made, Writing};
use std::time::Duration;

const FIGURE: &str = "channel";
/// The readers' processor; the writer is on 0.
const READER: usize = 1;
/// Bytes of a record, header included.
const SIZES: [usize; 2] = [64, 1024];
/// Apps at the same time.
const APPS: [usize; 4] = [1, 2, 4, 16];
/// Time between two records, where the pace is the same for all ways.
const PACE: Duration = Duration::from_micros(100);

/// Measures all of it.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    book.note(
        FIGURE,
        "A driver that only makes records: a program of eBPF that the kernel runs again and again (`BPF_PROG_TEST_RUN`) on one \
         processor; the readers are on another. What it writes for the channel is a record with the channel's header; what it writes \
         for a bare ring has the same size without one, and is read by libbpf's own consumer, which the kernel wakes for each record that \
         finds it at the ring's end, whether it sleeps or not: so the limit is also measured with a writer that wakes nobody. The others have no driver: there a thread \
         hands the same bytes to another one, by system calls or, in the queue, by memory alone. No writer waits: what finds no room is \
         lost, and counted. A rate is that of records that were read. Nothing of this is measured under Wine: what \
         [compare-wine.svg](compare-wine.svg) counts are notices by round trips through Wine's server, which say nothing of how fast \
         Windows' kernel is.",
    );
    let folder = setting.ground.lab.folder();
    let bench = Bench {
        driver: Driver::start(&setting.programs.channel_driver, folder)?,
        consumer: Consumer::compile(folder)?,
    };
    let mut unaccounted = Vec::new();
    one_app(setting, &bench, book, &mut unaccounted).context("one app")?;
    many_apps(setting, &bench, book, &mut unaccounted).context("many apps")?;
    book.put("channel_unaccounted", &unaccounted);
    wakes::measure(setting, &bench.driver, book).context("wakes")?;
    Ok(())
}

/// Driver and consumer that the channel is measured with.
struct Bench {
    driver: Driver,
    consumer: Consumer,
}

/// Result of a round.
#[derive(Clone, Copy, Default)]
struct Round {
    /// Thousands of records a second, all readers together.
    rate: f64,
    /// Percent of what was to be read that found no room.
    lost: f64,
    /// Time of the driver's program for a record, in nanoseconds.
    program_ns: f64,
    /// Processor time of the readers for a record that was read, in nanoseconds.
    reader_ns: f64,
    /// Records that were neither read nor counted as lost.
    unaccounted: f64,
}

/// Counts of one reader.
#[derive(Clone, Copy)]
struct Got {
    records: u64,
    /// Records that found no room, as they were counted as lost.
    lost: u64,
    last_ns: u64,
    spent: Spent,
}

impl Round {
    /// Computes the result from the records made and the counts of each reader.
    fn of(made: &Made, readers: &[Got]) -> Self {
        let sum = |of: fn(&Got) -> u64| readers.iter().map(of).sum::<u64>() as f64;
        let known = readers.iter().map(|got| got.records + got.lost);
        let unknown: u64 = known.map(|known| made.done.count.abs_diff(known)).sum();
        let (records, wanted) = (
            sum(|got| got.records),
            (made.done.count * readers.len() as u64) as f64,
        );
        let last_ns = readers.iter().map(|got| got.last_ns).max().unwrap_or(0);
        Self {
            rate: records / made.done.seconds_until(last_ns) / 1000.0,
            lost: sum(|got| got.lost) / wanted * 100.0,
            program_ns: made.program_ns,
            reader_ns: sum(|got| got.spent.processor_ns) / records,
            unaccounted: unknown as f64,
        }
    }

    fn of_flood(flooded: &Flooded) -> Self {
        let wanted = flooded.done.count as f64;
        let seconds = flooded.done.seconds_until(flooded.last_ns);
        Self {
            rate: flooded.taken as f64 / seconds / 1000.0,
            lost: flooded.lost as f64 / wanted * 100.0,
            unaccounted: (wanted - flooded.lost as f64 - flooded.taken as f64).abs(),
            ..Self::default()
        }
    }
}

impl Bench {
    /// Through the channel, to so many apps.
    fn channel(&self, bytes: usize, pace: Pace, apps: usize, writing: Writing) -> Result<Round> {
        let start = |_| {
            let attachment = self.driver.attach(pace)?;
            // As little as an app can do with a record: it looks at the first word of its own.
            Ok(App::start(
                attachment,
                Some(READER),
                0_u64,
                |sum, record| {
                    let word = record.bytes().get(56..).and_then(<[u8]>::first_chunk);
                    *sum = sum.wrapping_add(word.map_or(0, |word| u64::from_ne_bytes(*word)));
                },
            ))
        };
        let apps: Vec<App<u64>> = (0..apps).map(start).collect::<Result<_>>()?;
        let made = self.driver.make(&format!("channel_{bytes}"), writing);
        let (mut readers, mut unbalanced) = (Vec::new(), 0.0);
        for app in apps {
            let heard = app.stop()?;
            let account = heard.account;
            unbalanced += f64::from(u8::from(!account.balances()));
            readers.push(Got {
                records: account.delivered,
                lost: account.kernel.lost_in_all(),
                last_ns: heard.last_ns,
                spent: heard.spent,
            });
        }
        let mut round = Round::of(&made?, &readers);
        round.unaccounted += unbalanced;
        Ok(round)
    }

    /// Into so many bare rings, by the program that wakes their reader as the kernel does by itself,
    /// or by the one that never does.
    fn bare(
        &self,
        (program, bytes): (&str, usize),
        waits: Waits,
        rings: usize,
        writing: Writing,
    ) -> Result<Round> {
        let rings = self.driver.rings(rings)?;
        let reading = self.consumer.start(READER, waits, &rings.rings)?;
        let made = self.driver.make(&format!("{program}_{bytes}"), writing)?;
        let got = |(place, taken): (usize, Taken)| {
            Ok(Got {
                records: taken.records,
                lost: rings.lost(place)?,
                last_ns: taken.last_ns,
                spent: taken.spent,
            })
        };
        let taken = reading.stop()?.into_iter().enumerate();
        let readers: Vec<Got> = taken.map(got).collect::<Result<_>>()?;
        Ok(Round::of(&made, &readers))
    }
}

/// A way of one app, with its rounds for each size.
struct Competitor<'a> {
    who: &'static str,
    round: Box<dyn Fn(usize) -> Result<Round> + 'a>,
    rounds: [Vec<Round>; SIZES.len()],
}

impl<'a> Competitor<'a> {
    fn new(who: &'static str, round: impl Fn(usize) -> Result<Round> + 'a) -> Self {
        Self {
            who,
            round: Box::new(round),
            rounds: Default::default(),
        }
    }

    fn each(&self, size: usize, of: fn(&Round) -> f64) -> Vec<f64> {
        self.rounds[size].iter().map(of).collect()
    }
}

/// Measures the rate of one reader in a flood of records.
fn one_app(
    setting: &Setting<'_>,
    bench: &Bench,
    book: &mut Book,
    unaccounted: &mut Vec<f64>,
) -> Result<()> {
    let made = Writing::Flood(setting.choose(1_000_000, 400_000));
    let handed = setting.choose(300_000, 100_000);
    let channel = |pace| move |bytes| bench.channel(bytes, pace, 1, made);
    let bare = |program, waits| move |bytes| bench.bare((program, bytes), waits, 1, made);
    let mut all = [
        Competitor::new("channel", channel(Pace::default())),
        Competitor::new(
            "bare ring, libbpf's consumer that sleeps",
            bare("bare", Waits::Poll),
        ),
        Competitor::new(
            "bare ring, libbpf's consumer that never sleeps",
            bare("bare", Waits::Busy),
        ),
        Competitor::new(
            "bare ring that wakes nobody, libbpf's consumer that never sleeps",
            bare("silent", Waits::Busy),
        ),
        Competitor::new("channel, each record wakes", channel(Pace::Prompt)),
        Competitor::new("channel, spinning", channel(Pace::Spin(Duration::MAX))),
        Competitor::new("no driver: queue in shared memory, eventfd", |bytes| {
            by(&Queue::new(KEEPS, bytes)?, bytes, handed)
        }),
        Competitor::new("no driver: pipe", |bytes| {
            by(&Pipe::new(bytes)?.with_room()?, bytes, handed)
        }),
        Competitor::new("no driver: Unix datagram socket", |bytes| {
            by(&Datagrams::new()?, bytes, handed)
        }),
    ];
    for _ in 0..setting.choose(5, 3) {
        for (size, bytes) in SIZES.into_iter().enumerate() {
            for way in &mut all {
                let round = (way.round)(bytes).with_context(|| way.who)?;
                unaccounted.push(round.unaccounted);
                way.rounds[size].push(round);
            }
        }
    }
    let [ours, poll, busy, silent, _, _, _, pipe, datagrams] = &all;
    for (size, id) in ["channel_bare_64", "channel_bare_1024"]
        .into_iter()
        .enumerate()
    {
        let rate = |way: &Competitor<'_>| way.each(size, |round| round.rate);
        // The limit is the fastest of its ways, round by round.
        let mut limit = rate(poll);
        for way in [busy, silent] {
            for (limit, rate) in limit.iter_mut().zip(rate(way)) {
                *limit = limit.max(rate);
            }
        }
        book.put(id, &in_percent(&rate(ours), &limit));
    }
    let against = |way: &Competitor<'_>| {
        let rate = |way: &Competitor<'_>| way.each(0, |round| round.rate);
        ratios(&rate(ours), &rate(way))
    };
    book.put("channel_pipe", &against(pipe));
    book.put("channel_datagram", &against(datagrams));
    book.table(FIGURE, beside_each_other(&all));
    Ok(())
}

fn in_percent(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let shares = ratios(ours, theirs);
    shares.into_iter().map(|share| share * 100.0).collect()
}

fn by(way: &impl Way, bytes: usize, count: u64) -> Result<Round> {
    flood(way, &Record::of(bytes), count).map(|flooded| Round::of_flood(&flooded))
}

fn beside_each_other(all: &[Competitor<'_>]) -> Table {
    let mut table = Table::new(
        "One reader, and a writer that is as fast as it can be: thousands of records a second that were read, how many percent found no \
         room, and the mean nanoseconds that the driver's program took for a record, room or not.",
        &[
            "64 bytes, 1000/s",
            "lost, %",
            "program, ns",
            "1 KiB, 1000/s",
            "lost, %",
            "program, ns",
        ],
    );
    for way in all {
        let of = |size| {
            let mut program = way.each(size, |round| round.program_ns);
            program.retain(|ns| *ns > 0.0);
            let (rate, lost) = (
                way.each(size, |round| round.rate),
                way.each(size, |round| round.lost),
            );
            [rate, lost, program]
        };
        row(&mut table, way.who, &[of(0), of(1)].concat());
    }
    table
}

/// Rounds of the channel's apps and of as many bare rings, in turns.
#[derive(Default)]
struct Pair {
    ours: Vec<Round>,
    theirs: Vec<Round>,
}

impl Pair {
    fn each(&self, of: fn(&Round) -> f64) -> [Vec<f64>; 2] {
        [&self.ours, &self.theirs].map(|rounds| rounds.iter().map(of).collect())
    }
}

/// N apps of the channel, and N bare rings: as fast as it goes, and at the same pace.
fn many_apps(
    setting: &Setting<'_>,
    bench: &Bench,
    book: &mut Book,
    unaccounted: &mut Vec<f64>,
) -> Result<()> {
    let flood = Writing::Flood(setting.choose(200_000, 100_000));
    let beat = Writing::Beat(setting.choose(5000, 2000), PACE);
    let mut flooded = Table::new(
        "Each app gets each record, and so does each bare ring, from one program; all readers share a processor, a thread each, and \
         sleep as they do by themselves. As fast as the writer can be: thousands of records a second that were read, all readers \
         together, and how many percent found no room.",
        &HEADS_OF_A_FLOOD,
    );
    let mut paced = Table::new(
        "The same at a pace that all can follow, 10,000 records a second: nanoseconds that the program took for a record, for all of \
         them, and nanoseconds of the readers' processor for each record that a reader got.",
        &HEADS_OF_A_PACE,
    );
    for apps in APPS {
        let who = if apps == 1 {
            "1 app".to_owned()
        } else {
            format!("{apps} apps")
        };
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for bytes in SIZES {
            let [mut pair, mut steady] = [Pair::default(), Pair::default()];
            for _ in 0..setting.choose(3, 2) {
                for (pair, writing) in [(&mut pair, flood), (&mut steady, beat)] {
                    let ours = bench.channel(bytes, Pace::default(), apps, writing)?;
                    let theirs = bench.bare(("bare", bytes), Waits::Poll, apps, writing)?;
                    unaccounted.extend([ours.unaccounted, theirs.unaccounted]);
                    pair.ours.push(ours);
                    pair.theirs.push(theirs);
                }
            }
            fast.extend(pair.each(|round| round.rate));
            fast.extend(pair.each(|round| round.lost));
            let [ours, theirs] = steady.each(|round| round.program_ns);
            if (apps, bytes) == (16, 64) {
                book.put("channel_16_program", &ratios(&ours, &theirs));
            }
            slow.extend([ours, theirs]);
            slow.extend(steady.each(|round| round.reader_ns));
        }
        row(&mut flooded, &who, &fast);
        row(&mut paced, &who, &slow);
    }
    book.table(FIGURE, flooded);
    book.table(FIGURE, paced);
    Ok(())
}

const HEADS_OF_A_FLOOD: [&str; 8] = [
    "channel, 64 bytes, 1000/s",
    "bare",
    "channel, lost, %",
    "bare",
    "channel, 1 KiB, 1000/s",
    "bare",
    "channel, lost, %",
    "bare",
];
const HEADS_OF_A_PACE: [&str; 8] = [
    "channel, 64 bytes, program, ns",
    "bare",
    "channel, a reader, ns",
    "bare",
    "channel, 1 KiB, program, ns",
    "bare",
    "channel, a reader, ns",
    "bare",
];

fn row(table: &mut Table, who: &str, columns: &[Vec<f64>]) {
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    table.row(who, &columns);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Done;

    fn made(count: u64, seconds: f64) -> Made {
        Made {
            done: Done {
                count,
                began_ns: 1_000_000_000,
                seconds,
            },
            program_ns: 80.0,
        }
    }

    /// Returns the counts of a reader for a thousand records: those that were not read are lost.
    fn got(records: u64, last_ns: u64) -> Got {
        Got {
            records,
            lost: 1000 - records,
            last_ns,
            spent: Spent {
                processor_ns: 10 * records,
                wakes: 0,
            },
        }
    }

    #[test]
    fn a_rate_counts_what_was_read_until_the_last_reader_had_it() {
        // The writer took a second, the slower reader another one.
        let both = [got(1000, 1_500_000_000), got(500, 3_000_000_000)];
        let round = Round::of(&made(1000, 1.0), &both);
        let all = [round.rate, round.lost, round.reader_ns, round.program_ns];
        assert_eq!(all, [0.75, 25.0, 10.0, 80.0]);
        // A reader that had everything before the writer was done is not faster for it.
        let round = Round::of(&made(1000, 2.0), &[got(1000, 1_500_000_000)]);
        assert_eq!([round.rate, round.lost], [0.5, 0.0]);
    }

    #[test]
    fn a_reader_that_got_nothing_has_a_rate_of_nothing_and_lost_all() {
        let round = Round::of(&made(1000, 1.0), &[got(0, 0)]);
        assert_eq!([round.rate, round.lost], [0.0, 100.0]);
        assert!(round.reader_ns.is_nan(), "no number is made of it");
    }

    #[test]
    fn what_was_neither_read_nor_counted_as_lost_is_unaccounted() {
        let read = |lost| {
            let reader = Got {
                lost,
                ..got(900, 0)
            };
            let round = Round::of(&made(1000, 1.0), &[got(1000, 0), reader]);
            [round.lost, round.unaccounted]
        };
        assert_eq!(read(100), [5.0, 0.0]);
        // What a reader misses is no lack of room.
        assert_eq!(read(40), [2.0, 60.0]);
        assert_eq!(read(200), [10.0, 100.0], "what was read is counted too");
        let flooded = |taken, lost| Flooded {
            done: made(100, 1.0).done,
            lost,
            taken,
            last_ns: 0,
        };
        assert_eq!(Round::of_flood(&flooded(90, 10)).unaccounted, 0.0);
        assert_eq!(Round::of_flood(&flooded(90, 9)).unaccounted, 1.0);
        assert_eq!(Round::of_flood(&flooded(91, 10)).unaccounted, 1.0);
    }
}
