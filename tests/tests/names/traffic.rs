//! Tests of the counts of what connections carry, as nftables counts them beside: packets and bytes of both ways.

use super::NOBODY;
use super::history::{KEPT, shown};
use super::person::Person;
use super::zone::Protected;
use super::zone::probe::wait_until;
use lab::{INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use serde_json::Value;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;

const RULES: &str = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n\
     [[rule]]\nid = \"served\"\naction = \"allow\"\ndirection = \"in\"\nprotocol = \"tcp\"\nports = 8080\n\
     [[rule]]\nid = \"neighbours\"\naction = \"allow\"\nprotocol = \"icmpv6\"\n";

/// A user whom nobody else is.
const SOMEBODY: u32 = 4712;
/// Bytes of the page that is fetched.
const PAGE: usize = 3_000_000;

/// Port at which datagrams are answered.
const ECHO: u16 = 5353;

/// Answers each datagram, outside, with four times as much, until the test ends.
fn answer(zone: &Protected) {
    let inside = zone.lab.netns();
    let name = inside.file_name().unwrap().to_str().unwrap();
    let outside = inside.with_file_name(format!("{}o", name.strip_suffix('i').unwrap()));
    let outside = fs::File::open(outside).unwrap();
    let (listens, is_there) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        nix::sched::setns(outside, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let socket = UdpSocket::bind(("::", ECHO)).unwrap();
        listens.send(()).unwrap();
        let mut question = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            socket.send_to(&question[..length].repeat(4), from).unwrap();
        }
    });
    is_there.recv().unwrap();
}

/// Connection under test: how nftables knows its packets, and how the history does.
struct Talk {
    name: &'static str,
    sends: String,
    gets: String,
    row: fn(&Value) -> bool,
}

fn is(row: &Value, direction: &str, remote: &str, port: u64, user: u64, program: &str) -> bool {
    row["verdict"] == "allow"
        && row["direction"] == direction
        && row["remote"] == remote
        && row["port"] == port
        && row["user"] == user
        && row["program"]
            .as_str()
            .is_some_and(|path| path.ends_with(program))
}

fn talks() -> [Talk; 6] {
    let talk = |name, sends: &str, gets: &str, row| Talk {
        name,
        sends: sends.to_owned(),
        gets: gets.to_owned(),
        row,
    };
    [
        talk(
            "web4",
            "ip daddr 10.77.0.1 tcp dport 80",
            "ip saddr 10.77.0.1 tcp sport 80",
            |row| is(row, "out", OUTSIDE, 80, NOBODY.into(), "/curl"),
        ),
        talk(
            "web6",
            "ip6 daddr fd77::1 tcp dport 80",
            "ip6 saddr fd77::1 tcp sport 80",
            |row| is(row, "out", OUTSIDE_V6, 80, NOBODY.into(), "/curl"),
        ),
        talk(
            "name4",
            "ip daddr 10.77.0.1 udp dport 5353",
            "ip saddr 10.77.0.1 udp sport 5353",
            |row| is(row, "out", OUTSIDE, ECHO.into(), SOMEBODY.into(), "/bash"),
        ),
        talk(
            "name6",
            "ip6 daddr fd77::1 udp dport 5353",
            "ip6 saddr fd77::1 udp sport 5353",
            |row| {
                is(
                    row,
                    "out",
                    OUTSIDE_V6,
                    ECHO.into(),
                    SOMEBODY.into(),
                    "/bash",
                )
            },
        ),
        talk(
            "served4",
            "ip daddr 10.77.0.1 tcp sport 8080",
            "ip saddr 10.77.0.1 tcp dport 8080",
            |row| is(row, "in", OUTSIDE, 8080, 0, "busybox") && row["rule"] == "served",
        ),
        talk(
            "served6",
            "ip6 daddr fd77::1 tcp sport 8080",
            "ip6 saddr fd77::1 tcp dport 8080",
            |row| is(row, "in", OUTSIDE_V6, 8080, 0, "busybox") && row["rule"] == "served",
        ),
    ]
}

/// Has nftables count beside, where the driver judges.
fn count_beside(zone: &Protected, talks: &[Talk]) {
    let rules = |way: fn(&Talk) -> &str| -> String {
        talks
            .iter()
            .map(|talk| format!("  {} counter comment \"{}\"\n", way(talk), talk.name))
            .collect()
    };
    let text = format!(
        "table inet traffic {{\n chain sends {{\n  type filter hook output priority 200;\n{} }}\n \
         chain gets {{\n  type filter hook input priority 200;\n{} }}\n}}\n",
        rules(|talk| &talk.sends),
        rules(|talk| &talk.gets)
    );
    let file = zone.lab.folder().join("traffic.nft");
    fs::write(&file, text).unwrap();
    let read = zone.lab.inside(&["nft", "-f"]).arg(&file).output().unwrap();
    assert!(read.status.success(), "{read:?}");
}

/// Packets and bytes of this talk, one way, as nftables counts them.
fn beside(zone: &Protected, chain: &str, talk: &Talk) -> (u64, u64) {
    let said = zone.inside(&format!("nft list chain inet traffic {chain}"));
    let said = String::from_utf8(said.stdout).unwrap();
    let wanted = format!("\"{}\"", talk.name);
    let line = said.lines().find(|line| line.contains(&wanted)).unwrap();
    let number = |after: &str| -> u64 {
        let rest = line.split_once(&format!("{after} ")).unwrap().1;
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    (number("packets"), number("bytes"))
}

/// Returns the history's counts of the connection.
fn kept(rows: &[Value], talk: &Talk) -> [(u64, u64); 2] {
    let rows = || rows.iter().filter(|row| (talk.row)(row));
    let sum = |field: &str| rows().map(|row| row[field].as_u64().unwrap()).sum();
    [
        (sum("packets_sent"), sum("bytes_sent")),
        (sum("packets_received"), sum("bytes_received")),
    ]
}

#[test]
fn the_history_has_the_packets_and_bytes_of_what_was_allowed_as_nftables_counts_them() {
    let zone = Protected::with_options(RULES, KEPT);
    let root = Person::root(&zone);
    let talks = talks();
    count_beside(&zone, &talks);
    answer(&zone);
    fs::write(zone.lab.folder().join("pages/large"), vec![b'x'; PAGE]).unwrap();
    let fetch = |mut command: Command| {
        let fetched = command.output().unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
    };
    let curl = ["curl", "-sSg", "-o", "/dev/null", "-m", "60"];
    for address in [OUTSIDE.to_owned(), format!("[{OUTSIDE_V6}]")] {
        let url = format!("http://{address}/large");
        let line = format!(
            "setpriv --reuid={NOBODY} --clear-groups {} '{url}'",
            curl.join(" ")
        );
        fetch(zone.lab.inside(&["bash", "-c", &line]));
    }
    for address in [INSIDE.to_owned(), format!("[{INSIDE_V6}]")] {
        let url = format!("http://{address}:8080/large");
        fetch(zone.lab.outside(&[&curl[..], &[&url]].concat()));
    }
    for address in [OUTSIDE, OUTSIDE_V6] {
        let line = format!(
            "setpriv --reuid={SOMEBODY} --clear-groups bash -c \"exec 3<>/dev/udp/{address}/{ECHO}; \
             for n in 1 2 3; do printf %0100d 0 >&3; head -c 12 <&3 > /dev/null; done\""
        );
        let asked = zone.inside(&line);
        assert!(asked.status.success(), "{asked:?}");
    }
    wait_until("both count the same", || {
        let rows = shown(&root, &["--since", "1h"]);
        talks.iter().all(|talk| {
            let beside = ["sends", "gets"].map(|chain| beside(&zone, chain, talk));
            let kept = kept(&rows, talk);
            if kept != beside {
                println!("{}: {kept:?}, and beside {beside:?}: {rows:#?}", talk.name);
            }
            kept == beside && kept.iter().all(|(packets, _)| *packets > 0)
        })
    });
    // One of TCP each, however often it was told what it has carried.
    let rows = shown(&root, &["--since", "1h"]);
    for talk in &talks[..2] {
        let count: u64 = rows
            .iter()
            .filter(|row| (talk.row)(row))
            .map(|row| row["count"].as_u64().unwrap())
            .sum();
        assert_eq!(count, 1, "{}", talk.name);
    }
    let sums = shown(&root, &["--by", "program", "--since", "1h"]);
    let curl = sums.iter().find(|sum| {
        sum["program"]
            .as_str()
            .is_some_and(|it| it.ends_with("/curl"))
    });
    assert!(
        curl.unwrap()["bytes_received"].as_u64() > Some(2 * PAGE as u64),
        "{sums:?}"
    );
    let top = root.run(&["top", "--once", "--json", "--every", "1", "--by", "name"]);
    assert_eq!(top.code, 0, "{top:?}");
    let top = root.run(&["top", "--once", "--json", "--every", "1"]);
    let look: Value = serde_json::from_str(&top.out).unwrap();
    let lines = look["lines"].as_array().unwrap();
    let of_curl = lines
        .iter()
        .find(|line| line["program"] == curl.unwrap()["program"]);
    assert_eq!(
        of_curl.unwrap()["bytes_received"],
        curl.unwrap()["bytes_received"],
        "{top:?}"
    );
    let by_user = shown(&root, &["--by", "user", "--since", "1h"]);
    let somebody = SOMEBODY.to_string();
    let somebodys = by_user.iter().find(|sum| sum["user"] == *somebody).unwrap();
    assert!(somebodys["bytes_sent"].as_u64() > Some(600), "{by_user:?}");
}
