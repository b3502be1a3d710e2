//! Latency from the kernel to the app: one packet at a time, so that each one finds a reader that had caught up.

use super::Setting;
use crate::book::Book;
use crate::gatebell::{App, Gatebell, now_ns};
use crate::load::{BEAT_PORT, Sent};
use crate::peers::Nft;
use crate::peers::nflog::{GROUP, Nflog};
use crate::ruleset::chain;
use crate::statistics::{quantile, ratios};
use anyhow::Result;
use channel::{Mask, Pace, Record};
use firewall_abi::kind;
use firewall_abi::packet::Packet;
use lab::INSIDE;
use std::time::Duration;

const FIGURE: &str = "latency";
/// The sender is on processor 0.
const READER: Option<usize> = Some(1);

/// Refuses the beat, and says so.
const RULES: &str = "version = 1\n[default]\ninbound = \"block\"\noutbound = \"allow\"\n\n\
                     [[rule]]\nid = \"beat\"\naction = \"block\"\ndirection = \"in\"\nprotocol = \"udp\"\n\
                     ports = \"20000-60000\"\nlog = true\n";

/// Microseconds: half of the packets were there by then, and nearly all.
#[derive(Default)]
struct Times {
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Medians of the time from the moment before the packet was sent.
    whole: Vec<f64>,
}

impl Times {
    fn take(&mut self, mut delays: Vec<f64>, sent: &Sent, arrivals: &[(u16, u64)]) {
        self.p50.push(quantile(&mut delays, 0.5) / 1000.0);
        self.p99.push(quantile(&mut delays, 0.99) / 1000.0);
        let mut whole: Vec<f64> = arrivals
            .iter()
            .filter_map(|(port, there)| {
                let number = port.checked_sub(BEAT_PORT)?;
                Some(there.saturating_sub(*sent.stamps.get(usize::from(number))?) as f64)
            })
            .collect();
        self.whole.push(quantile(&mut whole, 0.5) / 1000.0);
    }

    fn beside(&self, who: &str, book: &mut Book) {
        book.beside(FIGURE, format!("{who}, p50"), &self.p50, "µs");
        book.beside(FIGURE, format!("{who}, p99"), &self.p99, "µs");
        book.beside(
            FIGURE,
            format!("{who}, from the sender's moment, p50"),
            &self.whole,
            "µs",
        );
    }
}

/// Measures all readers in turns.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let [mut coalesce, mut prompt, mut spin, mut nflog] = std::array::from_fn(|_| Times::default());
    for round in 0..setting.choose(8, 4) {
        // Nobody is always the first, or always behind the same one.
        for place in 0..4 {
            match (round + place) % 4 {
                0 => ours(setting, Pace::default(), &mut coalesce)?,
                1 => theirs(setting, &mut nflog)?,
                2 => ours(setting, Pace::Prompt, &mut prompt)?,
                _ => ours(setting, Pace::Spin(Duration::MAX), &mut spin)?,
            }
        }
    }
    book.put("latency_nflog", &ratios(&coalesce.p50, &nflog.p50));
    book.put("latency_spin", &spin.p50);
    coalesce.beside("Gatebell, coalescing reader", book);
    prompt.beside("Gatebell, prompt reader", book);
    spin.beside("Gatebell, spinning reader", book);
    nflog.beside("NFLOG, threshold 1", book);
    book.beside(
        FIGURE,
        "Gatebell, coalescing, against NFLOG, from the sender's moment, p50",
        &ratios(&coalesce.whole, &nflog.whole),
        "×",
    );
    book.note(
        FIGURE,
        "One refused packet a millisecond. Each kernel's own stamp to the reader's clock; NFLOG's stamps count whole microseconds. The \
         sender's moment is one clock for both, and holds what each does before its stamp.",
    );
    Ok(())
}

fn beat(setting: &Setting<'_>) -> Result<Sent> {
    setting.ground.load(
        false,
        &["beat", INSIDE, setting.choose("1500", "600"), "1000"],
    )
}

/// Delays and arrivals that one app saw.
#[derive(Default)]
struct Heard {
    delays: Vec<f64>,
    arrivals: Vec<(u16, u64)>,
}

fn ours(setting: &Setting<'_>, pace: Pace, times: &mut Times) -> Result<()> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, RULES)?;
    let attachment = gatebell.attach(Mask::of(kind::PACKET), pace, 1 << 20)?;
    let app = App::start(
        attachment,
        READER,
        Heard::default(),
        |heard, record: &Record<'_>| {
            let now = now_ns();
            let port = record
                .read::<Packet>()
                .map_or(0, |packet| packet.headers.destination_port);
            if port >= BEAT_PORT {
                heard
                    .delays
                    .push(now.saturating_sub(record.header().stamp_ns) as f64);
                heard.arrivals.push((port, now));
            }
        },
    );
    let sent = beat(setting);
    let heard = app.stop()?.state;
    times.take(heard.delays, &sent?, &heard.arrivals);
    Ok(())
}

fn theirs(setting: &Setting<'_>, times: &mut Times) -> Result<()> {
    let reader = Nflog::start(&setting.ground.netns(), 1, true, READER)?;
    let rule = format!("  udp dport 20000-60000 log group {GROUP} queue-threshold 1 drop\n");
    let rule = Nft::with(setting.ground, &chain("prerouting", "raw", &rule))?;
    let sent = beat(setting);
    drop(rule);
    let got = reader.stop()?;
    times.take(got.delays, &sent?, &got.arrivals);
    Ok(())
}
