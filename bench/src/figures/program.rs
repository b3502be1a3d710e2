//! What the driver's program costs for one packet, by runs that the kernel times.

use super::Setting;
use crate::book::Book;
use crate::gatebell::Gatebell;
use crate::lab::INSIDE;
use crate::load::Done;
use crate::peers::Nft;
use crate::probe::{Probe, Scatter, Singles, UDP};
use crate::ruleset::{Listed, Ordered, chain};
use crate::statistics::quantile;
use anyhow::{Context, Result};

const FIGURE: &str = "program";
const MANY: u32 = 10_000;
/// The port that the last rule lets in.
const PORT: u16 = 5000;

type Part = fn(&Setting<'_>, &mut Book) -> Result<()>;

/// Measures all of it. What this release can't do leaves the rest alone.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let parts: [(&[&'static str], Part); 5] = [
        (&["program_known"], |setting, book| {
            known(setting, 10, "program_known", book)
        }),
        (&["program_known_10000"], |setting, book| {
            known(setting, MANY, "program_known_10000", book)
        }),
        (&["program_first_v4", "program_first_v6"], first),
        (&["program_set_exact", "program_set_prefixes"], sets),
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
    Ok(())
}

fn known(setting: &Setting<'_>, rules: u32, id: &'static str, book: &mut Book) -> Result<()> {
    let _gatebell = Gatebell::start(setting.programs, setting.ground, &Ordered::of(rules).toml)?;
    let probe = Probe::at_ingress(setting.ground)?;
    let packet = UDP.v4([10, 77, 0, 1], 4000, PORT);
    // The first one begins the flow.
    probe.cost(&packet, 1)?;
    let rounds = setting.choose(15, 5);
    book.put(id, &probe.beside_empty(&packet, 200_000, rounds)?);
    Ok(())
}

/// First packets from many addresses, each run once: what they touch is cold.
fn first(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    for (id, six) in [("program_first_v4", false), ("program_first_v6", true)] {
        let (mut medians, mut nearly_all) = (Vec::new(), Vec::new());
        let gatebell = Gatebell::start(setting.programs, setting.ground, &Ordered::of(MANY).toml)?;
        let probe = Probe::at_ingress(setting.ground)?;
        for round in 0..setting.choose(8, 3) {
            let singles = probe.each_once(strangers(six, round, 4000))?;
            let (median, most) = above_empty(singles);
            medians.push(median);
            nearly_all.push(most);
        }
        drop(gatebell);
        book.put(id, &medians);
        let version = if six { "IPv6" } else { "IPv4" };
        book.beside(
            FIGURE,
            format!("a first packet, cold, 10,000 rules, {version}, p99"),
            &nearly_all,
            "ns",
        );
    }
    Ok(())
}

/// The median and the 99th percentile, above the empty program's median.
fn above_empty(mut singles: Singles) -> (f64, f64) {
    let nothing = quantile(&mut singles.empty, 0.5);
    (
        quantile(&mut singles.ours, 0.5) - nothing,
        quantile(&mut singles.ours, 0.99) - nothing,
    )
}

/// Packets of flows that nobody has seen, from addresses all over.
fn strangers(six: bool, seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut scatter = Scatter::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xABCD);
    let one = |_| {
        let word = scatter.next();
        let from = 1024 + (scatter.next() % 60_000) as u16;
        let [a, b, c, d, e, f, ..] = word.to_be_bytes();
        if six {
            UDP.v6(
                [0x20, 1, a, b, c, d, e, f, a, c, 0, 0, 0, 0, 0, 1],
                from,
                PORT,
            )
        } else {
            UDP.v4([100 + a % 100, b, c, d], from, PORT)
        }
    };
    (0..count).map(one).collect()
}

/// What the question whether a set holds an address adds to a first packet: with the set, less with one address in its place.
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
        let probe = Probe::at_ingress(setting.ground)?;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..setting.choose(4, 2) {
            without.push(above_empty(probe.each_once(asked(&listed, 2 * round))?).0);
            gatebell.publish(&large)?;
            with.push(above_empty(probe.each_once(asked(&listed, 2 * round + 1))?).0);
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

/// Packets from addresses of the list and from others, by turns.
fn asked(listed: &Listed, round: u64) -> Vec<Vec<u8>> {
    let mut others = strangers(false, round, 1000).into_iter();
    let members = listed.members.iter().skip(1000 * round as usize % 20_000);
    members
        .take(1000)
        .flat_map(|source| [Some(UDP.v4(*source, 4000, PORT)), others.next()])
        .flatten()
        .collect()
}

/// The same linear rules under nftables: what a packet takes longer with them than without any.
fn nft(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let flood = |count: &str| -> Result<f64> {
        let done: Done = setting
            .ground
            .load(false, &["flood", &format!("{INSIDE}:{PORT}"), count, "3"])?;
        Ok(done.seconds * 1e9 / done.count as f64)
    };
    // Each datagram goes by itself.
    setting.ground.offload(false)?;
    let _sink = setting
        .ground
        .serve(true, &["sink", &format!("{INSIDE}:{PORT}"), "60"])?;
    let rules = chain("prerouting", "raw", &Ordered::of(MANY).nft);
    let mut costs = Vec::new();
    for _ in 0..setting.choose(3, 1) {
        let without = flood("100000")?;
        let there = Nft::with(setting.ground, &rules).context("nft does not take 10,000 rules")?;
        let with = flood("6400")?;
        drop(there);
        costs.push(with - without);
    }
    book.beside(
        FIGURE,
        "nft, the same 10,000 rules one after the other, IPv4",
        &costs,
        "ns",
    );
    Ok(())
}
