//! Latency until a person sees or hears of an event, and the cost of the window while nothing happens and while much
//! does.

use super::{Part, Setting, by_parts, not_measured};
use crate::book::Book;
use crate::desktop::Heard;
use crate::gatebell::Gatebell;
use crate::ground::{Dialogue, go_on};
use crate::load::{Arrival, BEAT_PORT, Done};
use crate::process::{processor_ms, resident_mib};
use crate::scatter::Scatter;
use crate::statistics::quantile;
use crate::window::{ROWS, Window};
use anyhow::{Context, Result, bail, ensure};
use control::{Client, Given, Lasts, Question};
use firewall_abi::asking::Width;
use lab::{INSIDE, OUTSIDE};
use std::time::{Duration, Instant};

const FIGURE: &str = "window";
/// Maximum time to wait for a packet to be seen or heard.
const PATIENCE: Duration = Duration::from_secs(5);
/// Number of rows that fill the page; each one more moves those that are in sight.
const FULL: u16 = 80;
/// Time without a change after which the window is taken to rest.
const REST: Duration = Duration::from_millis(500);
/// Records a second, of which the window is to be able to show as many as there are.
const RATE: u64 = 10_000;
/// Ports that they go to: rows of the page.
const PORTS: u16 = 1000;
/// Records a second by which a million comes together.
const QUICK_RATE: u64 = 50_000;
const MILLION: u64 = 1_000_000;

/// Refuses what goes to the beat's ports either way, and says so.
const REFUSING: &str = "version = 1\n[default]\ninbound = \"allow\"\noutbound = \"allow\"\n\n\
                        [[rule]]\nid = \"beat\"\naction = \"block\"\nprotocol = \"udp\"\n\
                        ports = \"20000-60000\"\nlog = true\n";

/// Asks about whatever goes out.
const ASKING: &str = "version = 1\n[default]\ninbound = \"block\"\noutbound = \"ask\"\nanswer_within = 60\n\n\
                      [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";

/// Parts that are measured each by itself, with the promises of each.
const PARTS: [Part; 4] = [
    (opened, &["window_first", "window_idle"]),
    (seen, &["window_frame"]),
    (asked, &["window_notification", "window_answer"]),
    (filled, &["window_busy", "window_memory"]),
];

/// Measures the window.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    by_parts(FIGURE, &PARTS, setting, book)?;
    book.note(
        FIGURE,
        "The window as it is, on a display without a screen (Xvfb, Mesa's llvmpipe, no window manager), whose picture is a file that is \
         looked at every 0.2 ms from outside: a frame counts once its pixels are there. A program of the zone sends a datagram that is \
         refused, or asked about, each to a port of its own; the time begins before its system call. For the notification we are the desktop, on a \
         bus of our own. An answer is given at the control socket, while the program tries each 0.2 ms; it is in force when one is on the other \
         side. Its files are in memory as it starts.",
    );
    Ok(())
}

/// Measures the time from the window's start to its first frame, and its cost while nothing happens.
fn opened(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, REFUSING)?;
    let open = || Window::open(setting.programs, setting.ground, &gatebell);
    // The first one reads its files from the disk.
    drop(open()?);
    let mut first = Vec::new();
    for _ in 0..setting.choose(8, 3) {
        first.push(milliseconds(open()?.first_frame));
    }
    book.put("window_first", &first);
    let window = open()?;
    std::thread::sleep(Duration::from_secs(3));
    let before = (processor_ms(window.pid())?, processor_ms(gatebell.pid())?);
    std::thread::sleep(Duration::from_secs(10));
    book.put(
        "window_idle",
        &[rounded(processor_ms(window.pid())? - before.0)],
    );
    book.beside(
        FIGURE,
        "processor time of the service with an idle window, over 10 s",
        &[rounded(processor_ms(gatebell.pid())? - before.1)],
        "ms",
    );
    book.beside(
        FIGURE,
        "resident memory of the idle window",
        &[resident_mib(window.pid())?],
        "MiB",
    );
    Ok(())
}

/// Measures the time from a refused packet to the frame that shows it.
fn seen(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, REFUSING)?;
    let window = Window::open(setting.programs, setting.ground, &gatebell)?;
    let mut program = setting.ground.converse(true, &["knock", OUTSIDE])?;
    for n in 0..FULL {
        knock(&mut program, BEAT_PORT + n, 1)?;
    }
    let mut scatter = Scatter::new(7);
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let mut port = BEAT_PORT + FULL;
    for _ in 0..setting.choose(3, 2) {
        let mut delays = Vec::new();
        for _ in 0..setting.choose(100, 30) {
            // Not in step with what the window does by itself.
            std::thread::sleep(Duration::from_micros(scatter.next() % 200_000));
            let before = window.display.rest(&ROWS, REST)?;
            let sent = knock(&mut program, port, 1)?;
            let seen = window.display.change(&before, &ROWS, PATIENCE)?;
            let seen = seen.context("the window does not show a packet that was refused")?;
            delays.push(seen.saturating_sub(sent) as f64 / 1e6);
            port += 1;
        }
        p50.push(quantile(&mut delays, 0.5));
        p99.push(quantile(&mut delays, 0.99));
    }
    book.put("window_frame", &p99);
    book.beside(
        FIGURE,
        "from a refused packet to the frame, p50",
        &p50,
        "ms",
    );
    Ok(())
}

/// Measures the time from a packet that is asked about to the notification, and from an answer to the packet that it
/// lets through.
fn asked(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, ASKING)?;
    let window = Window::open(setting.programs, setting.ground, &gatebell)?;
    let mut client = Client::connect(gatebell.control())?;
    let (rounds, each) = (setting.choose(3, 2), setting.choose(50, 15));
    let ports = rounds * each;
    // Longer than each of them may take.
    let seconds = 10 * u64::from(ports);
    let words = ["hear", OUTSIDE, &ports.to_string(), &seconds.to_string()];
    let mut outside = setting.ground.converse(false, &words)?;
    let _bound: usize = outside.hear()?;
    let mut program = setting.ground.converse(true, &["knock", OUTSIDE])?;
    let (mut notified, mut answered) = (Times::default(), Times::default());
    for round in 0..rounds {
        let (mut to_notice, mut to_packet) = (Vec::new(), Vec::new());
        for n in 0..each {
            let port = BEAT_PORT + round * each + n;
            let sent = knock(&mut program, port, 1)?;
            let Heard::Shown(at) = window.desktop.hear(PATIENCE)? else {
                bail!("the desktop is to take away what it does not show");
            };
            to_notice.push(at.saturating_sub(sent) as f64 / 1e6);
            to_packet.push(answer(&mut client, &mut program, &mut outside, port)?);
            if window.desktop.hear(PATIENCE)? != Heard::Gone {
                bail!("a notification stays though its question was answered");
            }
        }
        notified.take(&mut to_notice);
        answered.take(&mut to_packet);
    }
    book.put("window_notification", &notified.p99);
    book.put("window_answer", &answered.p99);
    book.beside(
        FIGURE,
        "from a packet that is asked about to the notification, p50",
        &notified.p50,
        "ms",
    );
    book.beside(
        FIGURE,
        "from an answer to the first packet that it lets through, p50",
        &answered.p50,
        "ms",
    );
    Ok(())
}

/// Half of them, and nearly all.
#[derive(Default)]
struct Times {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Times {
    fn take(&mut self, times: &mut [f64]) {
        self.p50.push(quantile(times, 0.5));
        self.p99.push(quantile(times, 0.99));
    }
}

/// Allows what waits, while its program goes on trying; the milliseconds until one of its packets is on the other side.
fn answer(
    client: &mut Client,
    program: &mut Dialogue,
    outside: &mut Dialogue,
    port: u16,
) -> Result<f64> {
    const ALLOW: Given = Given {
        allow: true,
        width: Width::Endpoint,
        lasts: Lasts::UntilRestart,
    };
    let asked = question(client, port)?;
    knock(program, port, 1000)?;
    std::thread::sleep(Duration::from_millis(20));
    let began = crate::gatebell::now_ns();
    client.answer(asked.id, Some(asked.listed), &ALLOW)?;
    let came: Arrival = outside.hear()?;
    if came.port != port || came.at_ns < began {
        bail!("a packet was let through that nobody has allowed");
    }
    Ok((came.at_ns - began) as f64 / 1e6)
}

/// The question about this port.
fn question(client: &mut Client, port: u16) -> Result<Question> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut waiting = client.questions()?.into_iter();
        if let Some(found) = waiting.find(|question| question.port == Some(port)) {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("nobody is asked about port {port}")
}

/// Measures the window while much is refused, and with as many rows as it keeps: the first is left out where the load
/// was not reached.
fn filled(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, REFUSING)?;
    let window = Window::open(setting.programs, setting.ground, &gatebell)?;
    std::thread::sleep(Duration::from_secs(2));
    if let Err(why) = busy(setting, &window, book) {
        go_on()?;
        not_measured(FIGURE, &["window_busy"], &why, book);
    }
    full(setting, &gatebell, &window, book)
}

/// Measures the processor time of the window while much is refused.
fn busy(setting: &Setting<'_>, window: &Window, book: &mut Book) -> Result<()> {
    let (mut shares, mut displays) = (Vec::new(), Vec::new());
    for _ in 0..setting.choose(3, 2) {
        let before = (
            processor_ms(window.pid())?,
            processor_ms(window.display.pid())?,
        );
        let done = paced(setting, RATE, RATE * setting.choose(10, 5))?.reaching(RATE)?;
        let milliseconds = done.seconds * 10.0;
        shares.push((processor_ms(window.pid())? - before.0) / milliseconds);
        displays.push((processor_ms(window.display.pid())? - before.1) / milliseconds);
    }
    book.put("window_busy", &shares);
    book.beside(
        FIGURE,
        "of a processor the display itself at 10,000 records/s",
        &displays,
        "%",
    );
    Ok(())
}

/// Measures the window's memory with as many rows as it keeps, counted in records that it received, not in those that
/// were sent.
fn full(
    setting: &Setting<'_>,
    gatebell: &Gatebell,
    window: &Window,
    book: &mut Book,
) -> Result<()> {
    let mut client = Client::connect(gatebell.control())?;
    let mut sent = 0;
    let its = loop {
        go_on()?;
        let accounts = client.accounts()?;
        let its = accounts.apps.iter().find(|app| app.pid == window.pid());
        let its = its.context("the window is not attached any more")?.counted;
        match to_send(its.committed, sent)? {
            0 => break its,
            more => sent += paced(setting, QUICK_RATE, more)?.count,
        }
    };
    std::thread::sleep(Duration::from_secs(2));
    book.put("window_memory", &[resident_mib(window.pid())?]);
    book.beside(
        FIGURE,
        "records lost, counted, until the window had 1,000,000 rows",
        &[(its.offered - its.committed) as f64],
        "records",
    );
    Ok(())
}

/// Returns how many more records are to be sent until a million are held, or an error if too many were lost.
fn to_send(held: u64, sent: u64) -> Result<u64> {
    const MOST: u64 = 4 * MILLION;
    ensure!(
        held >= MILLION || sent < MOST,
        "the load was not reached: {held} of {MILLION} rows after {sent} datagrams, for the window reads them too slowly"
    );
    Ok(MILLION.saturating_sub(held).min(4 * QUICK_RATE))
}

fn paced(setting: &Setting<'_>, rate: u64, count: u64) -> Result<Done> {
    let [ports, rate, count] = [u64::from(PORTS), rate, count].map(|number| number.to_string());
    setting
        .ground
        .load(false, &["paced", INSIDE, &ports, &rate, &count])
}

/// Has a program of the zone send to this port; when the first one went, on the records' clock.
fn knock(program: &mut Dialogue, port: u16, times: u16) -> Result<u64> {
    program.ask(&format!("{port} {times} 200"))
}

fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

/// Rounds a value to a hundredth.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_rows_are_those_that_are_held_and_not_those_that_were_sent() -> Result<()> {
        assert_eq!(to_send(0, 0)?, 4 * QUICK_RATE);
        assert_eq!(to_send(700_000, MILLION)?, 4 * QUICK_RATE);
        assert_eq!(to_send(999_000, 1_300_000)?, 1000);
        assert_eq!(to_send(MILLION, 1_300_000)?, 0);
        // What is held in the end is enough, however many were sent for it.
        assert_eq!(to_send(MILLION, 4 * MILLION)?, 0);
        let why = to_send(700_000, 4 * MILLION).expect_err("it is not to go on for ever");
        assert!(why.to_string().contains("the load was not reached"));
        Ok(())
    }
}
