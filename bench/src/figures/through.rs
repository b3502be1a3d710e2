//! Throughput of traffic under each firewall.

use super::Setting;
use super::guard::Guard;
use crate::book::Book;
use crate::ground::{Ground, Server, until};
use crate::load::Done;
use crate::statistics::ratios;
use anyhow::{Context, Result, anyhow};
use lab::OUTSIDE;
use serde_json::Value;
use std::fs;
use std::time::Duration;

const FIGURE: &str = "through";

/// One way to measure.
struct Way {
    promise: &'static str,
    says: &'static str,
    unit: &'static str,
    offloads: bool,
    measure: fn(&Setting<'_>) -> Result<f64>,
}

const HTTP: &str = "through_http";

const WAYS: [Way; 4] = [
    Way {
        promise: "through_tcp",
        says: "TCP bytes",
        unit: "Gbit/s",
        offloads: true,
        measure: tcp,
    },
    Way {
        promise: "through_udp",
        says: "64-byte UDP packets",
        unit: "thousand/s",
        offloads: false,
        measure: udp,
    },
    Way {
        promise: "through_ask",
        says: "TCP requests and responses",
        unit: "thousand/s",
        offloads: false,
        measure: ask,
    },
    Way {
        promise: HTTP,
        says: "new HTTP connections",
        unit: "thousand/s",
        offloads: true,
        measure: http,
    },
];

/// Measures all ways under all guards, in turns.
pub fn measure(setting: &Setting<'_>, book: &mut Book) -> Result<()> {
    let _servers = serve(setting)?;
    let mut all: Vec<(Guard, usize, f64)> = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    for round in 0..setting.choose(7, 2) {
        let peers = if round < setting.choose(3, 1) {
            &Guard::PEERS[..]
        } else {
            &[]
        };
        for guard in [Guard::Nobody, Guard::Gatebell].iter().chain(peers) {
            match guard.over(setting, || each_way(setting)) {
                Ok(values) => all.extend(
                    values
                        .iter()
                        .enumerate()
                        .map(|(way, value)| (*guard, way, *value)),
                ),
                // One that can't be measured here leaves the others alone.
                Err(why) if Guard::PEERS.contains(guard) => {
                    failed.push(format!("{}: {why:#}", guard.name()))
                }
                Err(why) => return Err(why),
            }
        }
    }
    write_down(&all, book);
    for why in failed {
        book.note(FIGURE, format!("Not measured, {why}."));
    }
    Ok(())
}

fn each_way(setting: &Setting<'_>) -> Result<Vec<f64>> {
    let one = |way: &Way| {
        setting.ground.offload(way.offloads)?;
        (way.measure)(setting).context(way.says)
    };
    WAYS.iter().map(one).collect()
}

fn write_down(all: &[(Guard, usize, f64)], book: &mut Book) {
    for (number, way) in WAYS.iter().enumerate() {
        let of = |guard: Guard| -> Vec<f64> {
            all.iter()
                .filter(|(who, at, _)| (*who, *at) == (guard, number))
                .map(|(_, _, value)| *value)
                .collect()
        };
        let free = of(Guard::Nobody);
        let kept = |guard| {
            ratios(&of(guard), &free)
                .iter()
                .map(|ratio| ratio * 100.0)
                .collect::<Vec<f64>>()
        };
        book.put(way.promise, &kept(Guard::Gatebell));
        if way.promise == HTTP {
            book.put(
                "through_http_nft",
                &ratios(&of(Guard::Gatebell), &of(Guard::Nft)),
            );
        }
        book.beside(
            FIGURE,
            format!("{}, unprotected", way.says),
            &free,
            way.unit,
        );
        book.beside(
            FIGURE,
            format!("{}, Gatebell", way.says),
            &of(Guard::Gatebell),
            way.unit,
        );
        for peer in Guard::PEERS {
            let name = format!("{}, {}", way.says, peer.name());
            book.beside(FIGURE, name.clone(), &of(peer), way.unit);
            book.beside(
                FIGURE,
                format!("{name}, of the unprotected rate"),
                &kept(peer),
                "%",
            );
        }
    }
    book.note(
        FIGURE,
        format!(
            "From a program of the zone to one outside. Gatebell and nft have the same {} rules, and nft lets through first what \
             belongs to a known connection; under NFQUEUE every packet waits for user space; opensnitch is Debian's 1.5.8, \
             with no window to ask, and asks about new connections alone.",
            super::guard::RULES
        ),
    );
}

/// The other ends, outside.
fn serve(setting: &Setting<'_>) -> Result<Vec<Server>> {
    let ground = setting.ground;
    let long = "600";
    Ok(vec![
        Server::start(&mut ground.program(false, &["iperf3", "-s", "-B", OUTSIDE]))?,
        ground.serve(false, &["sink", &format!("{OUTSIDE}:{SINK}"), long])?,
        ground.serve(false, &["answer", &format!("{OUTSIDE}:{ANSWER}"), long])?,
        nginx(setting)?,
    ])
}

const SINK: u16 = 7001;
const ANSWER: u16 = 7002;
const WEB: u16 = 7003;

/// A server of the web, outside.
pub fn nginx(setting: &Setting<'_>) -> Result<Server> {
    let folder = setting.ground.lab.folder().join("nginx");
    fs::create_dir_all(&folder)?;
    let folder = folder.to_str().context("a folder's name is no text")?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/{what};"))
        .concat();
    let file = format!("{folder}/nginx.conf");
    fs::write(
        &file,
        format!(
            "user root; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; {temporary}\n server {{ listen {OUTSIDE}:{WEB} backlog=4096; return 200 \"hello\\n\"; }} }}\n"
        ),
    )?;
    let program = setting.programs.peers.join("nginx/usr/sbin/nginx");
    let program = program.to_str().context("a path is no text")?;
    Server::start(
        &mut setting
            .ground
            .program(false, &[program, "-p", folder, "-c", &file]),
    )
}

fn tcp(setting: &Setting<'_>) -> Result<f64> {
    let seconds = setting.choose("2", "1");
    let words = ["iperf3", "-c", OUTSIDE, "-t", seconds, "-J"];
    let mut bits = Err(anyhow!("iperf3 does not measure"));
    // The server takes one at a time, and may not be done with the last one: what it says then is no measurement.
    until(Duration::from_secs(10), || {
        bits = setting
            .ground
            .done(true, &words)
            .and_then(|said| received(&said));
        bits.is_ok()
    });
    bits.map(|bits| bits / 1e9)
}

/// The bits in a second that arrived, as iperf3 says it.
fn received(said: &str) -> Result<f64> {
    let said: Value = serde_json::from_str(said).context("iperf3 speaks otherwise")?;
    let bits = said["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.with_context(|| format!("iperf3 says no rate, but: {}", said["error"]))
}

/// Returns the rate of datagrams that arrive outside, counted by the device there.
fn udp(setting: &Setting<'_>) -> Result<f64> {
    let ground: &Ground = setting.ground;
    let before = ground.arrived()?;
    let count = setting.choose("600000", "300000");
    let done: Done = ground.load(true, &["flood", &format!("{OUTSIDE}:{SINK}"), count, "1"])?;
    let arrived = ground.arrived()? - before;
    Ok(arrived as f64 / done.seconds / 1000.0)
}

fn ask(setting: &Setting<'_>) -> Result<f64> {
    let time = setting.choose("1000", "500");
    let done: Done = setting
        .ground
        .load(true, &["ask", &format!("{OUTSIDE}:{ANSWER}"), time])?;
    Ok(done.rate() / 1000.0)
}

fn http(setting: &Setting<'_>) -> Result<f64> {
    Ok(connections(setting)?.1 / 1000.0)
}

/// New connections to [`nginx`]: how many, and how many in a second.
pub fn connections(setting: &Setting<'_>) -> Result<(f64, f64)> {
    let url = format!("http://{OUTSIDE}:{WEB}/");
    let seconds = setting.choose("2", "1");
    let said = setting.ground.done(
        true,
        &["ab", "-q", "-c", "4", "-t", seconds, "-n", "30000", &url],
    )?;
    let number = |name: &str| -> Result<f64> {
        let said = said.lines().find_map(|line| line.strip_prefix(name));
        let number = said.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.context("ab speaks otherwise")
    };
    Ok((
        number("Complete requests:")?,
        number("Requests per second:")?,
    ))
}
