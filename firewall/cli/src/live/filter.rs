//! Filters of the records that `gatebell watch` shows, and of the rows that `gatebell history` does.

use super::watch::{RecordKind, WatchArguments};
use channel::Mask;
use clap::Args;
use firewall_abi::kind;
use firewall_abi::packet::{Direction, Verdict};
use rules::Addresses;
use view::filter::Filter;

/// Arguments that select records and rows, common to all commands that show them.
#[derive(Debug, Default, Args)]
pub struct FilterArguments {
    /// Only packets that go this way, seen from what is protected
    #[arg(long, value_name = "in|out|forward", value_parser = rules::words::direction)]
    pub direction: Option<Direction>,
    /// Only packets that get this verdict
    #[arg(long, value_name = "allow|block|reject|ask", value_parser = rules::words::verdict)]
    pub verdict: Option<Verdict>,
    /// Only packets with such an address at one end; may be given several times
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub address: Vec<Addresses>,
    /// Only packets that the rule with this name decided; may be given several times
    #[arg(long, value_name = "ID")]
    pub rule: Vec<String>,
    /// Only what this program does: its path, or the kernel's name of it; may be given several times
    #[arg(long, value_name = "PROGRAM")]
    pub program: Vec<String>,
    /// Only packets with an end that was asked for by this name,
    /// or by one below it (*.example.org); may be given several times
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Only packets with this port at one end; may be given several times
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Only what runs as this user, by number; may be given several times
    #[arg(long, value_name = "NUMBER")]
    pub user: Vec<u32>,
}

impl FilterArguments {
    /// The program that is asked for, if it is one: whoever has much to look through need not hand out the others'.
    pub fn one_program(&self) -> Option<&str> {
        match &self.program[..] {
            [program] => Some(program),
            _ => None,
        }
    }

    /// Returns the filter that the arguments ask for.
    pub fn filter(&self) -> Filter {
        let Self {
            direction,
            verdict,
            address,
            rule,
            program,
            name,
            port,
            user,
        } = self;
        Filter {
            direction: *direction,
            verdict: *verdict,
            address: address.clone(),
            rule: rule.clone(),
            program: program.clone(),
            name: name.clone(),
            port: port.clone(),
            user: user.clone(),
            ..Filter::default()
        }
    }
}

/// Returns the mask of records that are requested of the driver: kinds that are not shown are not even sent.
pub fn mask(arguments: &WatchArguments) -> Mask {
    let asks_of_packets = arguments.filter().asks_of_packets();
    let wanted = |kind| arguments.kind.is_empty() || arguments.kind.contains(&kind);
    let all = [
        (RecordKind::Packet, kind::PACKET),
        (RecordKind::Start, kind::PROCESS_START),
        (RecordKind::Exit, kind::PROCESS_EXIT),
    ];
    // What only packets have, no process can match.
    let wanted = |kind| wanted(kind) && (kind == RecordKind::Packet || !asks_of_packets);
    all.into_iter()
        .filter(|(kind, _)| wanted(*kind))
        .fold(Mask::NONE, |mask, (_, kind)| mask.and(kind))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::arguments::{Arguments, Command};
    use channel::{Cause, Lost};
    use clap::Parser;
    use control::HistoryRow;
    use std::time::UNIX_EPOCH;
    use view::Entry;
    use view::entry::{EntryContent, ProcessSeen, ProgramSeen};

    fn watch(words: &[&str]) -> WatchArguments {
        let words = ["gatebell", "watch"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Watch(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    /// A telnet packet from 10.0.0.1 to 10.0.0.2, refused by no-telnet on its way in.
    fn packet() -> EntryContent {
        let mut packet = view::example::packet();
        packet.name[..4].copy_from_slice(b"curl");
        packet.pid = 7;
        packet.user = 1000;
        let mut entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut view::example::Named).unwrap();
        if let EntryContent::Packet(packet) = &mut entry.what {
            packet.source_name = Some("www.example.org".into());
        }
        entry.what
    }

    /// Returns the row of the history for the same packet.
    fn row() -> HistoryRow {
        HistoryRow {
            direction: "in".to_owned(),
            verdict: "block".to_owned(),
            remote: "10.0.0.2".parse().ok(),
            rule: Some("no-telnet".to_owned()),
            process: "curl".to_owned(),
            name: Some("www.example.org".to_owned()),
            port: Some(23),
            user: Some(1000),
            ..HistoryRow::default()
        }
    }

    fn process(path: &str) -> EntryContent {
        let program = ProgramSeen {
            name: "busybox".to_owned(),
            pid: 7,
            ..ProgramSeen::default()
        };
        let (path, arguments) = (path.to_owned(), vec![]);
        EntryContent::Process(ProcessSeen {
            program,
            path,
            arguments,
            arguments_cut: false,
            parent: 1,
            ended: None,
        })
    }

    #[test]
    fn each_filter_lets_through_what_it_asks_for_and_nothing_else() {
        let filters = [
            (["--direction", "in"], ["--direction", "out"]),
            (["--verdict", "block"], ["--verdict", "allow"]),
            (["--address", "10.0.0.2"], ["--address", "10.0.0.3"]),
            (["--address", "10.0.0.0/24"], ["--address", "fd00::/8"]),
            (["--rule", "no-telnet"], ["--rule", "no-smtp"]),
            (["--program", "curl"], ["--program", "wget"]),
            (["--port", "23"], ["--port", "22"]),
            (["--user", "1000"], ["--user", "0"]),
            (["--name", "www.example.org"], ["--name", "example.org"]),
            (
                ["--name", "*.Example.org."],
                ["--name", "*.www.example.org"],
            ),
            (["--name", "*.org"], ["--name", "*.ample.org"]),
            (
                ["--program", "/usr/bin/curl"],
                ["--program", "/usr/bin/wget"],
            ),
        ];
        for (shown, hidden) in filters {
            assert!(watch(&shown).only.filter().shows(&packet()), "{shown:?}");
            assert!(!watch(&hidden).only.filter().shows(&packet()), "{hidden:?}");
            assert!(watch(&shown).only.filter().row(&row()), "{shown:?}");
            assert!(!watch(&hidden).only.filter().row(&row()), "{hidden:?}");
        }
    }

    #[test]
    fn a_packet_is_asked_for_by_either_of_its_devices() {
        let shows = |asked: &str| watch(&["--interface", asked]).filter().shows(&forwarded());
        assert!(shows("eth0") && shows("br-*") && shows("br-0123"));
        assert!(!shows("eth") && !shows("wg*") && !shows("eth00"));
    }

    /// The packet again, as it goes from one network to another.
    fn forwarded() -> EntryContent {
        let mut what = packet();
        if let EntryContent::Packet(packet) = &mut what {
            packet.device = Some("eth0".into());
            packet.out_device = Some("br-0123".into());
        }
        what
    }

    #[test]
    fn a_process_is_asked_for_by_name_or_path() {
        let shows = |asked: &str, path: &str| {
            watch(&["--program", asked])
                .only
                .filter()
                .shows(&process(path))
        };
        assert!(shows("busybox", "/bin/busybox") && shows("/bin/busybox", "/bin/busybox"));
        assert!(!shows("bash", "/bin/busybox") && !shows("/bin/bash", "/bin/busybox"));
    }

    #[test]
    fn a_loss_is_shown_whatever_is_asked_for() {
        let lost = EntryContent::Lost(Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count: 1,
        });
        assert!(
            watch(&["--rule", "none", "--direction", "out"])
                .only
                .filter()
                .shows(&lost)
        );
    }

    #[test]
    fn what_is_not_shown_does_not_travel() {
        let asked = |words: &[&str]| mask(&watch(words));
        let packets = Mask::of(kind::PACKET);
        assert_eq!(
            asked(&[]),
            packets.and(kind::PROCESS_START).and(kind::PROCESS_EXIT)
        );
        assert_eq!(asked(&["--kind", "packet"]), packets);
        assert_eq!(asked(&["--name", "example.org"]), packets);
        assert_eq!(asked(&["--interface", "eth0"]), packets);
        assert_eq!(
            asked(&["--kind", "start", "--kind", "exit"]),
            Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT)
        );
        assert_eq!(
            asked(&["--verdict", "block"]),
            packets,
            "processes have no verdict"
        );
    }
}
