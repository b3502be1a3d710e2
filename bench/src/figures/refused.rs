//! Rate at which refused packets can be reported, and the cost of the report.

use super::Setting;
use crate::book::Book;
use crate::gatebell::{App, Gatebell};
use crate::ground::Ground;
use crate::load::Done;
use crate::peers::nflog::{GROUP, Nflog};
use crate::peers::nfqueue::{Nfqueue, Verdict};
use crate::peers::{Got, Iptables, Nft};
use crate::probe::{COMES_IN, Probe};
use crate::ruleset::{Ordered, chain, refuse};
use crate::statistics::ratios;
use anyhow::{Context, Result};
use channel::{Mask, Pace, Record};
use firewall_abi::kind;
use firewall_abi::packet::Packet;
use lab::INSIDE;
use std::time::Duration;

const FIGURE: &str = "refused";
/// The port that the rules refuse.
const PORT: u16 = 9;
const RING: u32 = 1 << 20;
/// The sender, and with it the refusing, is on processor 0.
const READER: Option<usize> = Some(1);

/// Thousands of packets a second, round by round.
#[derive(Default)]
struct Rates {
    dropped: Vec<f64>,
    one: Vec<f64>,
    prompt: Vec<f64>,
    four: Vec<f64>,
    nft_dropped: Vec<f64>,
    input: Vec<f64>,
    nft_input: Vec<f64>,
    nflog_1: Vec<f64>,
    nflog_100: Vec<f64>,
    nfqueue: Vec<f64>,
    unaccounted: Vec<f64>,
    /// Shares, in percent.
    lost: Vec<(&'static str, f64)>,
}

/// Measures all of it.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let mut rates = Rates::default();
    // Each datagram goes by itself.
    setting.ground.offload(false)?;
    for _ in 0..setting.choose(5, 2) {
        ours(setting, &mut rates)?;
        theirs(setting, &mut rates)?;
        at_input(setting, &mut rates)?;
    }
    write_down(&rates, book);
    four_apps(setting, book).context("four apps and one")
}

fn write_down(rates: &Rates, book: &mut Book) {
    book.put("refused_nflog_1", &ratios(&rates.one, &rates.nflog_1));
    book.put("refused_nflog_100", &ratios(&rates.one, &rates.nflog_100));
    book.put("refused_nfqueue", &ratios(&rates.one, &rates.nfqueue));
    book.put("refused_nft_input", &ratios(&rates.input, &rates.nft_input));
    book.put("refused_unaccounted", &rates.unaccounted);
    let cost: Vec<f64> = ratios(&rates.one, &rates.dropped)
        .iter()
        .map(|kept| (1.0 - kept) * 100.0)
        .collect();
    book.put("refused_cost", &cost);
    let unit = "thousand packets/s";
    for (who, rate) in [
        ("Gatebell, only dropped", &rates.dropped),
        ("Gatebell, one app told (coalescing)", &rates.one),
        ("Gatebell, one app told (prompt)", &rates.prompt),
        ("Gatebell, four apps told each", &rates.four),
        ("nft, only dropped", &rates.nft_dropped),
        ("Gatebell, only dropped, 100 rules", &rates.input),
        ("nft, only dropped at `input`, 100 rules", &rates.nft_input),
        ("nft log, threshold 1", &rates.nflog_1),
        ("nft log, threshold 100", &rates.nflog_100),
        ("NFQUEUE, refused in user space", &rates.nfqueue),
    ] {
        book.beside(FIGURE, who, rate, unit);
    }
    let mut names: Vec<&str> = rates.lost.iter().map(|(who, _)| *who).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let lost: Vec<f64> = rates
            .lost
            .iter()
            .filter(|(who, _)| *who == name)
            .map(|(_, lost)| *lost)
            .collect();
        book.beside(
            FIGURE,
            format!("{name}: refused, but not reported"),
            &lost,
            "%",
        );
    }
    book.note(
        FIGURE,
        "Frames of 64 bytes (UDP) as fast as one processor sends them into the zone, where one rule refuses them; the reader is on \
         another processor. The sender hands the kernel 64 datagrams at once, so that the rates are about the refusing. nftables and NFQUEUE refuse at their earliest hook for all of them, `prerouting raw`. Each reader counts \
         what it got; a rate is what was reported, not what was sent.",
    );
}

fn flood(setting: &Setting<'_>) -> Result<Done> {
    let count = setting.choose("500000", "200000");
    setting
        .ground
        .load(false, &["flood", &format!("{INSIDE}:{PORT}"), count, "10"])
}

fn ours(setting: &Setting<'_>, rates: &mut Rates) -> Result<()> {
    let mut gatebell = Gatebell::start(setting.programs, setting.ground, &refuse(false))?;
    rates.dropped.push(flood(setting)?.rate() / 1000.0);
    gatebell.publish(&refuse(true))?;
    for (pace, apps) in [
        (Pace::default(), 1),
        (Pace::Prompt, 1),
        (Pace::default(), 4),
    ] {
        let (rate, unaccounted, lost) = told(setting, &gatebell, pace, apps)?;
        match (pace, apps) {
            (Pace::Coalesce(_), 1) => rates.one.push(rate),
            (_, 1) => rates.prompt.push(rate),
            _ => rates.four.push(rate),
        }
        rates.unaccounted.push(unaccounted);
        let name = if apps == 4 {
            "Gatebell, four apps"
        } else {
            "Gatebell, one app"
        };
        rates.lost.push((name, lost));
    }
    Ok(())
}

/// The rate of the slowest app, what nobody knows of, and the share that was lost, counted.
fn told(
    setting: &Setting<'_>,
    gatebell: &Gatebell,
    pace: Pace,
    apps: usize,
) -> Result<(f64, f64, f64)> {
    let attach = |_| {
        let attachment = gatebell.attach(Mask::of(kind::PACKET), pace, RING)?;
        Ok(App::start(attachment, READER, 0_u64, count))
    };
    let apps: Vec<App<u64>> = (0..apps).map(attach).collect::<Result<_>>()?;
    let done = flood(setting)?;
    // The one that asked for the neighbour was refused too.
    let sent = (done.count + 1) as f64;
    let (mut slowest, mut unaccounted, mut lost_share) = (f64::INFINITY, 0.0_f64, 0.0_f64);
    for app in apps {
        let heard = app.stop()?;
        let lost = heard.account.kernel.lost_in_all() as f64;
        let wrong = if heard.account.balances() { 0.0 } else { 1.0 };
        slowest = slowest.min(heard.state as f64 / done.seconds_until(heard.last_ns) / 1000.0);
        unaccounted = unaccounted.max((sent - heard.state as f64 - lost).abs() + wrong);
        lost_share = lost_share.max(lost / sent * 100.0);
    }
    Ok((slowest, unaccounted, lost_share))
}

fn count(refused: &mut u64, record: &Record<'_>) {
    if record
        .read::<Packet>()
        .is_ok_and(|packet| packet.headers.destination_port == PORT)
    {
        *refused += 1;
    }
}

fn theirs(setting: &Setting<'_>, rates: &mut Rates) -> Result<()> {
    let ground = setting.ground;
    let drop = Nft::with(ground, &chain("prerouting", "raw", "  udp dport 9 drop\n"))?;
    rates.nft_dropped.push(flood(setting)?.rate() / 1000.0);
    std::mem::drop(drop);
    for (threshold, name) in [(1, "nft log, threshold 1"), (100, "nft log, threshold 100")] {
        let (rate, lost) = nflog(setting, ground, threshold)?;
        if threshold == 1 {
            rates.nflog_1.push(rate)
        } else {
            rates.nflog_100.push(rate)
        }
        rates.lost.push((name, lost));
    }
    let nfqueue = Nfqueue::start(&ground.netns(), Verdict::Drop, READER)?;
    let rule = [
        "raw",
        "PREROUTING",
        "-p",
        "udp",
        "--dport",
        "9",
        "-j",
        "NFQUEUE",
        "--queue-num",
        "0",
    ];
    let rule = Iptables::with(ground, &[&rule])?;
    let done = flood(setting);
    std::mem::drop(rule);
    let (rate, lost) = got(&done?, &nfqueue.stop()?);
    rates.nfqueue.push(rate);
    rates.lost.push(("NFQUEUE", lost));
    Ok(())
}

fn nflog(setting: &Setting<'_>, ground: &Ground, threshold: u32) -> Result<(f64, f64)> {
    let reader = Nflog::start(&ground.netns(), threshold, false, READER)?;
    let rule = format!("  udp dport 9 log group {GROUP} queue-threshold {threshold} drop\n");
    let rule = Nft::with(ground, &chain("prerouting", "raw", &rule))?;
    let done = flood(setting);
    // What waits for its hundred is told when its time is over.
    std::thread::sleep(Duration::from_millis(50));
    drop(rule);
    Ok(got(&done?, &reader.stop()?))
}

/// The rate in thousands, and the share in percent that did not come.
fn got(done: &Done, got: &Got) -> (f64, f64) {
    let seconds = done.seconds_until(got.last_ns);
    let sent = (done.count + 1) as f64;
    (
        got.packets as f64 / seconds / 1000.0,
        (sent - got.packets as f64) / sent * 100.0,
    )
}

/// The programs' part alone: rings are drained between the rounds.
fn four_apps(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    const LARGE: u32 = 8 << 20;
    let mut gatebell = Gatebell::start(setting.programs, setting.ground, &refuse(false))?;
    let probe = Probe::of(&gatebell, setting.ground)?;
    let rounds = setting.choose(15, 5);
    let cost = || -> Result<f64> {
        let flood = ["flood", &format!("{INSIDE}:{PORT}"), "20000", "3"];
        let costs = probe.over(|| setting.ground.load::<Done>(false, &flood).map(drop))?;
        costs.above_empty(&[COMES_IN])
    };
    let costs = || -> Result<Vec<f64>> { (0..rounds).map(|_| cost()).collect() };
    book.beside(
        FIGURE,
        "Gatebell's programs, a refused packet of which nothing is told",
        &costs()?,
        "ns",
    );
    gatebell.publish(&refuse(true))?;
    book.beside(
        FIGURE,
        "the same, told, but nobody is attached",
        &costs()?,
        "ns",
    );
    let attach = || gatebell.attach(Mask::of(kind::PACKET), Pace::Prompt, LARGE);
    let mut first = attach()?;
    let (mut one, mut four) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(cost()?);
        first.drain(|_| {})?;
        let mut others = [attach()?, attach()?, attach()?];
        four.push(cost()?);
        for app in others.iter_mut().chain([&mut first]) {
            app.drain(|_| {})?;
        }
    }
    let more: Vec<f64> = four
        .iter()
        .zip(&one)
        .map(|(four, one)| four - one)
        .collect();
    book.put("refused_four_apps", &more);
    book.beside(FIGURE, "the same, one app told", &one, "ns");
    book.beside(FIGURE, "the same, four apps told", &four, "ns");
    Ok(())
}

/// Measures the rate at which a flood to the machine itself is dropped, with the same rules before the one that refuses
/// it.
fn at_input(setting: &Setting<'_>, rates: &mut Rates) -> Result<()> {
    let rules = Ordered::refusing(super::guard::RULES);
    let gatebell = Gatebell::start(setting.programs, setting.ground, &rules.toml)?;
    rates.input.push(flood(setting)?.rate() / 1000.0);
    drop(gatebell);
    let _rules = Nft::with(setting.ground, &chain("input", "filter", &rules.nft))?;
    rates.nft_input.push(flood(setting)?.rate() / 1000.0);
    Ok(())
}
