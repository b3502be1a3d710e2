#![expect(clippy::unwrap_used, reason = "a test may fail")]

use super::*;
use crate::example::{Named, contact, packet};
use channel::{Cause, Lost};
use control::{HistoryRow, NoNames};
use firewall_abi::packet::{Direction, Packet, Verdict};
use firewall_abi::process::Process;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use zerocopy::FromZeros;

fn lost(count: u64) -> Entry {
    let lost = Lost {
        processor: 0,
        cause: Cause::NoRoom,
        count,
    };
    Entry::lost(UNIX_EPOCH, lost)
}

fn count(entry: &Entry) -> u64 {
    match &entry.what {
        EntryContent::Lost(lost) => lost.count,
        _ => 0,
    }
}

/// Returns a packet that a program sends to this port of 10.0.0.2.
fn sent(program: &str, port: u16) -> Entry {
    let packet = packet();
    let headers = firewall_abi::packet::PacketHeaders {
        direction: Direction::Outbound as u8,
        destination_port: port,
        ..packet.headers
    };
    let packet = Packet { headers, ..packet };
    let mut entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut Named).unwrap();
    if let EntryContent::Packet(packet) = &mut entry.what {
        packet.program.path = Some(program.into());
    }
    entry
}

fn rows(entries: &[Entry]) -> Rows {
    let mut rows = Rows::default();
    entries.iter().for_each(|entry| rows.push(entry));
    assert!(!rows.look_through(usize::MAX));
    rows.settle();
    rows
}

/// Returns the lines as they are shown: a group by its cells, and an entry below it by its number.
fn lines(rows: &Rows) -> Vec<String> {
    let line = |n| match rows.line(n).unwrap() {
        Line::Group(id) => {
            let [_, what, way, times, program, endpoint, rule] = rows.group_line(id).unwrap().cells;
            format!("{what} {way} {times} {program} {endpoint} {rule}")
        }
        Line::Entry(number) => format!("  {number}"),
    };
    (0..rows.lines()).map(line).collect()
}

#[test]
fn what_is_kept_is_what_was_seen() {
    let mut process = Process::new_zeroed();
    process.name[..2].copy_from_slice(b"nc");
    process.path[..7].copy_from_slice(b"/bin/nc");
    process.arguments[..10].copy_from_slice(b"nc\0\0-l\0\x1b9\0");
    process.arguments_length = 4000;
    process.user = u32::MAX;
    process.program = [7, 9];
    let mut without = process;
    without.arguments_length = 0;
    let mut forwarded = packet();
    forwarded.headers.direction = Direction::Forward as u8;
    forwarded.program = [1, 2];
    let at = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_700);
    let mut named = sent("/usr/bin/curl", 443);
    if let EntryContent::Packet(packet) = &mut named.what {
        packet.device = Some("eth0".into());
        packet.out_device = Some("wg0".into());
        packet.source_name = Some("one.example".into());
        packet.destination_name = Some("two.example".into());
        packet.program.user = Some(1000);
    }
    let entries = [
        named,
        Entry::from_packet(at, &packet(), &mut Named).unwrap(),
        Entry::from_packet(at, &packet(), &mut NoNames).unwrap(),
        Entry::from_packet(at, &forwarded, &mut Named).unwrap(),
        Entry::from_process(at, &process, false),
        Entry::from_process(at, &process, true),
        Entry::from_process(at, &without, true),
        Entry::unreadable(at, 77, 100),
        lost(7),
        Entry::contact(contact()),
        Entry::contact(HistoryRow::default()),
    ];
    let rows = rows(&entries);
    let kept: Vec<_> = rows
        .shown_from(0, 100)
        .into_iter()
        .map(|(_, it)| it)
        .collect();
    assert_eq!(kept, entries);
}

#[test]
fn a_program_that_talks_for_the_first_time_has_a_line_of_its_own_and_one_more_for_each_that_changed()
 {
    let of = |contact_word: &str, user, port| {
        Entry::contact(HistoryRow {
            contact: Some(contact_word.to_owned()),
            user,
            port: Some(port),
            ..contact()
        })
    };
    let shown = rows(&[
        sent("/usr/bin/curl", 443),
        of("first", Some(1000), 443),
        of("changed", Some(1000), 80),
        of("changed", Some(1000), 25),
        of("first", None, 443),
    ]);
    assert_eq!(
        lines(&shown)[1..],
        [
            "refused, first contact out 1 /usr/bin/curl (user 1000) 192.0.2.7 (example.org), tcp 443 no-web",
            "refused, changed program out 2 /usr/bin/curl (user 1000) 192.0.2.7 (example.org), tcp 25 no-web",
            "refused, first contact out 1 /usr/bin/curl 192.0.2.7 (example.org), tcp 443 no-web",
        ]
    );
}

#[test]
fn memory_is_bounded_and_a_selection_stays_on_its_row() {
    let mut rows = Rows::default();
    (0..=KEPT as u64).for_each(|n| rows.push(&lost(n)));
    assert_eq!(rows.shown(), KEPT + 1 - CHUNK);
    assert_eq!(rows.entry(0), None, "dropped");
    assert_eq!(rows.entry(50_000).as_ref().map(count), Some(50_000));
    assert_eq!(rows.nth_shown(0), Some(10_000));
    assert_eq!(rows.place_of(10_001), Some(1));
}

#[test]
fn a_filter_looks_a_little_at_a_time_and_then_at_what_comes() {
    let mut rows = Rows::default();
    (0..1_000).for_each(|n| rows.push(&lost(n)));
    rows.filter(Filter::parse("'77 Records'").unwrap());
    assert!(rows.look_through(100), "there is more to look at");
    assert!(!rows.look_through(10_000));
    assert_eq!(rows.shown(), 10, "77, 177, … 977");
    rows.push(&lost(5077));
    assert!(!rows.look_through(10_000));
    let last = rows.nth_shown(10).and_then(|number| rows.entry(number));
    assert_eq!(last.as_ref().map(count), Some(5077));
    rows.filter(Filter::default());
    assert_eq!(rows.shown(), 1_001);
}

#[test]
fn there_is_a_line_for_each_program_and_endpoint_with_how_often_and_its_entries_on_demand() {
    let mut rows = rows(&[
        sent("/usr/bin/curl", 443),
        sent("/usr/bin/ssh", 22),
        lost(3),
        sent("/usr/bin/curl", 443),
        sent("/usr/bin/curl", 80),
        lost(4),
    ]);
    let curl = "refused out 2 /usr/bin/curl 10.0.0.2, tcp 443 no-telnet (line 13)";
    let ssh = "refused out 1 /usr/bin/ssh 10.0.0.2, tcp 22 no-telnet (line 13)";
    let other = "refused out 1 /usr/bin/curl 10.0.0.2, tcp 80 no-telnet (line 13)";
    let gap = "LOST  2  7 records (no_room) ";
    assert_eq!(lines(&rows), [curl, ssh, gap, other]);
    let group = rows.group_of(0).unwrap();
    rows.unfold(group);
    rows.unfold(rows.group_of(2).unwrap());
    rows.settle();
    let unfolded = [curl, "  0", "  3", ssh, gap, "  2", "  5", other];
    assert_eq!(lines(&rows), unfolded);
    for place in 0..rows.lines() {
        let line = rows.line(place).unwrap();
        assert_eq!(rows.line_place(line), Some(place), "{line:?}");
    }
    assert_eq!(rows.line(rows.lines()), None);
    rows.push(&sent("/usr/bin/curl", 443));
    rows.look_through(10);
    rows.settle();
    assert_eq!(lines(&rows)[1..4], ["  0", "  3", "  6"]);
    rows.fold(group);
    rows.settle();
    assert_eq!(rows.lines(), 6);
}

#[test]
fn an_endpoint_has_its_port_whatever_protocol_has_ports() {
    let endpoint_of = |protocol, direction| match sent("/usr/bin/x", 5000).what {
        EntryContent::Packet(mut packet) => {
            packet.headers.protocol = protocol;
            packet.direction = direction;
            endpoint(&packet)
        }
        other => panic!("{other:?}"),
    };
    let (out, inbound) = (Direction::Outbound, Direction::Inbound);
    assert_eq!(endpoint_of(Protocol::SCTP.0, out), "10.0.0.2, sctp 5000");
    assert_eq!(endpoint_of(253, inbound), "from 10.0.0.1, 253");
    let ping = endpoint_of(Protocol::ICMP.0, Direction::Forward);
    assert_eq!(ping, "10.0.0.1 to 10.0.0.2, icmp type 40000");
}

#[test]
fn what_was_put_together_is_in_the_order_of_any_column() {
    let mut allowed = sent("/a", 1);
    if let EntryContent::Packet(packet) = &mut allowed.what {
        packet.verdict = Verdict::Allow;
        packet.rule = None;
    }
    let mut rows = rows(&[
        sent("/c", 3),
        sent("/b", 2),
        sent("/b", 2),
        allowed,
        lost(1),
        sent("/c", 3),
    ]);
    let mut programs = |by, reverse| {
        rows.arrange(Order { by, reverse });
        rows.settle();
        let program = |n| match rows.line(n).unwrap() {
            Line::Group(id) => rows.group_line(id).unwrap().cells[4].clone(),
            Line::Entry(_) => String::new(),
        };
        let all: Vec<_> = (0..rows.lines()).map(program).collect();
        all.join(" ")
    };
    assert_eq!(programs(By::First, false), "/c /b /a ");
    assert_eq!(programs(By::First, true), " /a /b /c");
    assert_eq!(programs(By::Last, false), "/c  /a /b");
    assert_eq!(programs(By::Times, false), "/c /b /a ");
    assert_eq!(programs(By::What, false), "/c /b /a ");
    assert_eq!(programs(By::Program, false), "/a /b /c ");
    assert_eq!(programs(By::Program, true), " /c /b /a");
    assert_eq!(programs(By::Endpoint, false), " /a /b /c");
    assert_eq!(programs(By::Rule, false), "/c /b /a ");
    assert_eq!(programs(By::Way, false), " /c /b /a");
}

#[test]
fn what_is_filtered_out_or_dropped_is_in_no_line_and_counts_in_none() {
    let mut rows = rows(&[
        sent("/usr/bin/curl", 443),
        sent("/usr/bin/ssh", 22),
        sent("/usr/bin/ssh", 23),
    ]);
    rows.filter(Filter::parse("program:/usr/bin/ssh").unwrap());
    rows.look_through(10);
    rows.settle();
    assert_eq!(rows.lines(), 2);
    assert_eq!(rows.group_of(0), None);
    rows.filter(Filter::default());
    rows.look_through(10);
    for n in 0..KEPT {
        rows.push(&lost(n as u64));
        // One that goes on over what is dropped.
        if n == 20_000 {
            rows.push(&sent("/usr/bin/ssh", 22));
        }
        if n % 1_000 == 0 {
            rows.look_through(usize::MAX);
        }
    }
    rows.unfold(rows.group_of(20_000).unwrap());
    rows.look_through(usize::MAX);
    rows.settle();
    assert_eq!(rows.group_count(), 2, "{:?}", rows.shown_of_all());
    let groups = [0, 1].map(|n| match rows.line(n) {
        Some(Line::Group(id)) => id,
        other => panic!("{other:?}"),
    });
    let [ssh, gap] = groups;
    assert_eq!(rows.group(ssh).unwrap().count, 1, "in its old place");
    let all = rows.shown() as u64;
    assert_eq!(rows.group(gap).unwrap().count, all - 1);
    assert_eq!(rows.lines() as u64, all - 1 + 2);
    assert_eq!(rows.shown_of_all().dropped, CHUNK as u64);
}

#[test]
fn what_came_while_it_was_paused_is_kept_and_counted_and_shown_when_it_goes_on() {
    let mut rows = rows(&[sent("/usr/bin/curl", 443)]);
    rows.pause(true);
    rows.push(&sent("/usr/bin/curl", 443));
    rows.push(&sent("/usr/bin/ssh", 22));
    assert!(!rows.look_through(10));
    assert_eq!((rows.shown(), rows.lines()), (1, 1));
    assert_eq!(rows.shown_of_all().since_pause, Some(2));
    rows.pause(false);
    assert!(!rows.look_through(10));
    assert_eq!((rows.shown(), rows.lines()), (3, 2));
}

#[test]
fn a_value_goes_with_its_last_use() {
    let mut symbols = symbols::Symbols::<Arc<str>>::default();
    let one = symbols.take("one", || "one".into());
    assert_eq!(symbols.take("one", || panic!("it is known")), one);
    let two = symbols.take("two", || "two".into());
    symbols.give_back(one);
    assert_eq!(symbols.get(one).map(|it| &**it), Some("one"));
    symbols.give_back(one);
    symbols.give_back(symbols::NONE);
    assert_eq!(symbols.get(one), None);
    assert_eq!(symbols.take("three", || "three".into()), one, "used again");
    symbols.give_back(one);
    symbols.give_back(two);
    symbols.tidy();
    assert_eq!(symbols.bytes(), 0);
}
