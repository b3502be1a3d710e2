//! Cost of the driver's programs for one packet, by the kernel's statistics of them while packets go, and the cost of
//! nftables for the same by a stopwatch around both.

use super::Setting;
use super::guard::Guard;
use super::through::{connections, nginx};
use crate::book::Book;
use crate::gatebell::Gatebell;
use crate::load::Done;
use crate::peers::Nft;
use crate::probe::{AT_SOCKET, COMES_IN, GOES_OUT, LOCAL_OUT, PRE_ROUTING, Probe, Stopwatch};
use crate::ruleset::{Listed, Ordered, chain};
use crate::scatter::strangers;
use anyhow::{Context, Result};
use lab::{INSIDE, INSIDE_V6, OUTSIDE};
use std::fmt::Write;
use std::net::IpAddr;

const FIGURE: &str = "program";
const MANY: u32 = 10_000;
/// The port that the last rule lets in.
const PORT: u16 = 5000;
/// Port at which requests are answered, outside.
const ANSWER: u16 = 7002;

type Part = fn(&Setting<'_>, &mut Book) -> Result<()>;

/// Measures all of it. What this release can't do leaves the rest alone.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let parts: [(&[&'static str], Part); 7] = [
        (&["program_known"], |setting, book| {
            known(setting, 10, "program_known", book)
        }),
        (&["program_known_10000"], |setting, book| {
            known(setting, MANY, "program_known_10000", book)
        }),
        (&["program_known_nft"], beside_nft),
        (&["program_first_v4", "program_first_v6"], first),
        (&["program_set_exact", "program_set_prefixes"], sets),
        (&[], connection),
        (&[], nft),
    ];
    for (promises, part) in parts {
        if let Err(why) = part(setting, book) {
            eprintln!("figures: {why:#}");
            promises
                .iter()
                .for_each(|id| book.cannot(id, format!("{why:#}")));
        }
    }
    book.note(
        FIGURE,
        "What the kernel itself counts of each program (`BPF_ENABLE_STATS`), the mean of the packets of a round, less the same of an \
         empty program beside it. A stopwatch is two programs in the IP stack, around whatever stands between them, less the same with \
         nothing between.",
    );
    Ok(())
}

/// Requests and answers on one connection, each in a packet of its own.
fn ask(setting: &Setting<'_>) -> Result<()> {
    let time = setting.choose("1000", "300");
    let words = ["ask", &format!("{OUTSIDE}:{ANSWER}"), time];
    setting.ground.load::<Done>(true, &words).map(drop)
}

fn known(setting: &Setting<'_>, rules: u32, id: &'static str, book: &mut Book) -> Result<()> {
    let ground = setting.ground;
    let _answers = ground.serve(false, &["answer", &format!("{OUTSIDE}:{ANSWER}"), "60"])?;
    let gatebell = Gatebell::start(setting.programs, ground, &Ordered::of(rules).toml)?;
    let probe = Probe::of(&gatebell, ground)?;
    let (mut both, mut received) = (Vec::new(), Vec::new());
    for _ in 0..setting.choose(15, 5) {
        let costs = probe.over(|| ask(setting))?;
        both.push(costs.above_empty(&[COMES_IN, GOES_OUT])?);
        received.push(costs.above_empty(&[AT_SOCKET])?);
    }
    book.put(id, &both);
    let name = format!("a packet of a known flow, {rules} rules, more where a socket gets it");
    book.beside(FIGURE, name, &received, "ns");
    Ok(())
}

/// Priorities at the hook: before the cost of `ct state` begins, and behind both firewalls' decisions.
const BEFORE_CT: i32 = -250;
const BEHIND_OURS: i32 = 99;

/// Packets of a known connection that leave, in turns: with nobody, with Gatebell, with nft.
fn beside_nft(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let ground = setting.ground;
    let _answers = ground.serve(false, &["answer", &format!("{OUTSIDE}:{ANSWER}"), "300"])?;
    let stopwatch = Stopwatch::around(ground, LOCAL_OUT, BEFORE_CT, BEHIND_OURS)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..setting.choose(7, 3) {
        let time = |guard: Guard| guard.over(setting, || stopwatch.over(|| ask(setting)));
        let nothing = time(Guard::Nobody)?;
        ours.push(time(Guard::Gatebell)? - nothing);
        theirs.push(time(Guard::Nft)? - nothing);
    }
    book.put(
        "program_known_nft",
        &crate::statistics::ratios(&ours, &theirs),
    );
    let name = "a packet of a known connection that leaves, 100 rules, by a stopwatch";
    book.beside(FIGURE, format!("Gatebell, {name}"), &ours, "ns");
    book.beside(FIGURE, format!("nft, {name}"), &theirs, "ns");
    Ok(())
}

/// One datagram from each of these.
fn from_each(setting: &Setting<'_>, to: &str, sources: &[IpAddr]) -> Result<()> {
    let file = setting.ground.lab.folder().join("sources.txt");
    let mut lines = String::new();
    for source in sources {
        let _written = writeln!(lines, "{source}");
    }
    std::fs::write(&file, lines)?;
    let file = file.to_str().context("a folder's name is no text")?;
    let words = ["forged", to, file];
    setting.ground.load::<Done>(false, &words).map(drop)
}

/// First packets, from many addresses.
fn first(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let gatebell = Gatebell::start(setting.programs, setting.ground, &Ordered::of(MANY).toml)?;
    let probe = Probe::of(&gatebell, setting.ground)?;
    for (id, six) in [("program_first_v4", false), ("program_first_v6", true)] {
        let to = if six {
            format!("[{INSIDE_V6}]:{PORT}")
        } else {
            format!("{INSIDE}:{PORT}")
        };
        // Who is asked for first is the neighbour.
        from_each(setting, &to, &strangers(six, 999, 10))?;
        let mut costs = Vec::new();
        for round in 0..setting.choose(8, 3) {
            let sources = strangers(six, round, 4000);
            let cost = probe.over(|| from_each(setting, &to, &sources))?;
            costs.push(cost.above_empty(&[COMES_IN])?);
        }
        book.put(id, &costs);
    }
    Ok(())
}

/// Measures what a lookup in a set adds to a first packet: the cost with the set, less that with one address in its
/// place.
fn sets(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    for (id, prefixes) in [("program_set_exact", false), ("program_set_prefixes", true)] {
        let listed = Listed::of(1_000_000, prefixes, 7);
        let file = setting.ground.lab.folder().join("many.txt");
        std::fs::write(&file, &listed.list)?;
        let (small, large) = (
            Listed::rules("192.0.2.1", None),
            Listed::rules("@many", Some(&file)),
        );
        let mut gatebell = Gatebell::start(setting.programs, setting.ground, &small)?;
        let probe = Probe::of(&gatebell, setting.ground)?;
        let to = format!("{INSIDE}:{PORT}");
        let cost = |round| -> Result<f64> {
            let sources = asked(&listed, round);
            let costs = probe.over(|| from_each(setting, &to, &sources))?;
            costs.above_empty(&[COMES_IN])
        };
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..setting.choose(4, 2) {
            without.push(cost(2 * round)?);
            gatebell.publish(&large)?;
            with.push(cost(2 * round + 1)?);
            gatebell.publish(&small)?;
        }
        let more: Vec<f64> = with
            .iter()
            .zip(&without)
            .map(|(with, without)| with - without)
            .collect();
        book.put(id, &more);
        let what = if prefixes { "prefixes" } else { "addresses" };
        book.beside(
            FIGURE,
            format!("a refused packet, cold, with a set of 1,000,000 {what}"),
            &with,
            "ns",
        );
        book.beside(
            FIGURE,
            "the same with one address in its place",
            &without,
            "ns",
        );
    }
    Ok(())
}

/// Addresses of the list and others, by turns.
fn asked(listed: &Listed, round: u64) -> Vec<IpAddr> {
    let others = strangers(false, round, 1000);
    let members = listed.members.iter().skip(1000 * round as usize % 20_000);
    members
        .zip(others)
        .flat_map(|(member, other)| [IpAddr::from(*member), other])
        .collect()
}

/// Measures the time of each program in a new HTTP connection.
fn connection(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let _nginx = nginx(setting)?;
    let rules = Ordered::of(super::guard::RULES).toml;
    let gatebell = Gatebell::start(setting.programs, setting.ground, &rules)?;
    let probe = Probe::of(&gatebell, setting.ground)?;
    let mut made = 0.0;
    let costs = probe.over(|| {
        made = connections(setting)?.0;
        Ok(())
    })?;
    let each = costs.each();
    let all: f64 = each.iter().map(|(_, _, ns)| ns / made).sum();
    book.beside(
        FIGURE,
        "a new HTTP connection, all programs together",
        &[all],
        "ns",
    );
    for (name, runs, ns) in each {
        let name = format!(
            "of that {name}, run {:.1} times, each {:.0} ns",
            runs / made,
            ns / runs
        );
        book.beside(FIGURE, name, &[ns / made], "ns");
    }
    Ok(())
}

/// Priorities at the hook around that of `raw`.
const BEFORE_RAW: i32 = -350;
const BEHIND_RAW: i32 = -250;

/// Measures the cost of the same linear rules under nftables: the time of a packet with them, less that without any.
fn nft(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let stopwatch = Stopwatch::around(setting.ground, PRE_ROUTING, BEFORE_RAW, BEHIND_RAW)?;
    let to = format!("{INSIDE}:{PORT}");
    let rules = chain("prerouting", "raw", &Ordered::of(MANY).nft);
    let mut costs = Vec::new();
    for round in 0..setting.choose(3, 1) {
        let time = || stopwatch.over(|| from_each(setting, &to, &strangers(false, round, 1000)));
        let without = time()?;
        let there = Nft::with(setting.ground, &rules).context("nft does not take 10,000 rules")?;
        let with = time();
        drop(there);
        costs.push(with? - without);
    }
    book.beside(
        FIGURE,
        "nft, the same 10,000 rules one after the other, IPv4",
        &costs,
        "ns",
    );
    Ok(())
}
