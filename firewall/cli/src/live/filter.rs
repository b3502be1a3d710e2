//! Which records `gatebell watch` shows, and which rows `gatebell history` does.

use crate::arguments::{FilterArguments, RecordKind, WatchArguments};
use channel::Mask;
use control::HistoryRow;
use firewall_abi::kind;
use firewall_abi::packet::PacketHeaders;
use rules::Addresses;
use view::entry::{PacketSeen, ProcessSeen, Program, What, address};

/// What is shown. Losses and what can't be read always are.
pub struct Filter<'a>(pub &'a WatchArguments);

impl Filter<'_> {
    /// What the driver is asked for: kinds that are not shown do not even travel.
    pub fn mask(&self) -> Mask {
        let wanted = |kind| self.0.kind.is_empty() || self.0.kind.contains(&kind);
        let all = [
            (RecordKind::Packet, kind::PACKET),
            (RecordKind::Start, kind::PROCESS_START),
            (RecordKind::Exit, kind::PROCESS_EXIT),
        ];
        // What only packets have, no process can match.
        let wanted = |kind| wanted(kind) && (kind == RecordKind::Packet || !self.asks_of_packets());
        all.into_iter()
            .filter(|(kind, _)| wanted(*kind))
            .fold(Mask::NONE, |mask, (_, kind)| mask.and(kind))
    }

    /// Whether to show it.
    pub fn shows(&self, what: &What) -> bool {
        match what {
            What::Packet(packet) => self.packet(packet),
            What::Process(process) => self.process(process),
            What::Lost(_) | What::Unreadable(_) => true,
        }
    }

    fn asks_of_packets(&self) -> bool {
        let FilterArguments {
            direction,
            verdict,
            address,
            rule,
            program: _,
            name,
        } = &self.0.only;
        let lists_are_empty = address.is_empty() && rule.is_empty() && name.is_empty();
        direction.is_some() || verdict.is_some() || !lists_are_empty
    }

    fn packet(&self, packet: &PacketSeen) -> bool {
        let FilterArguments {
            direction,
            verdict,
            address,
            rule,
            program,
            name,
        } = &self.0.only;
        let rule_asked = || {
            packet
                .rule
                .as_ref()
                .is_some_and(|decided| rule.contains(&decided.id))
        };
        let names = [&packet.source_name, &packet.destination_name];
        let mut names = names.into_iter().flatten();
        direction.is_none_or(|asked| asked.0 == packet.direction)
            && verdict.is_none_or(|asked| asked.0 == packet.verdict)
            && (address.is_empty() || at_an_end(address, &packet.flow))
            && (rule.is_empty() || rule_asked())
            && (program.is_empty() || program.iter().any(|asked| is(asked, &packet.program)))
            && (name.is_empty() || names.any(|known| is_any_of(name, known)))
    }

    fn process(&self, process: &ProcessSeen) -> bool {
        let by_path = |asked: &String| *asked == process.path;
        let asked = &self.0.only.program;
        asked.is_empty()
            || asked
                .iter()
                .any(|asked| by_path(asked) || is(asked, &process.program))
    }
}

impl FilterArguments {
    /// Whether to show what was kept.
    pub fn row(&self, row: &HistoryRow) -> bool {
        let Self {
            direction,
            verdict,
            address,
            rule,
            program,
            name,
        } = self;
        let ends = || row.remote.into_iter().chain(row.source);
        direction.is_none_or(|asked| asked.0.name() == row.direction)
            && verdict.is_none_or(|asked| asked.0.name() == row.verdict)
            && (address.is_empty()
                || ends().any(|end| address.iter().any(|asked| asked.contains(end))))
            && (rule.is_empty() || row.rule.as_ref().is_some_and(|id| rule.contains(id)))
            && (program.is_empty()
                || program
                    .iter()
                    .any(|asked| is_named(asked, row.program.as_deref(), &row.process)))
            && (name.is_empty() || row.name.iter().any(|known| is_any_of(name, known)))
    }
}

/// Whether a name of DNS is one of these, or below one that begins with `*.`; capital letters and a last dot say nothing.
fn is_any_of(asked: &[String], known: &str) -> bool {
    asked.iter().any(|asked| {
        let asked = asked.trim_end_matches('.').to_ascii_lowercase();
        match asked.strip_prefix('*') {
            Some(end) => known.len() > end.len() && known.ends_with(end),
            None => known == asked,
        }
    })
}

fn at_an_end(asked: &[Addresses], flow: &PacketHeaders) -> bool {
    let ends = [address(flow.source), address(flow.destination)];
    asked
        .iter()
        .any(|addresses| ends.iter().any(|end| addresses.contains(*end)))
}

/// A program is asked for by its path, or by the kernel's name of the task. Where the path is not known, its last part is
/// the name.
fn is(asked: &str, program: &Program) -> bool {
    is_named(asked, program.path.as_deref(), &program.name)
}

fn is_named(asked: &str, path: Option<&str>, name: &str) -> bool {
    if let Some(path) = path.filter(|_| asked.contains('/')) {
        return path == asked;
    }
    let task = asked.rsplit('/').next().unwrap_or_default();
    // The kernel keeps the first 15 bytes of a name.
    name == task.get(..15).unwrap_or(task)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;
    use crate::arguments::{Arguments, Command};
    use channel::{Cause, Lost};
    use clap::Parser;
    use std::time::UNIX_EPOCH;
    use view::Entry;

    fn watch(words: &[&str]) -> WatchArguments {
        let words = ["gatebell", "watch"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Watch(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    /// A telnet packet from 10.0.0.1 to 10.0.0.2, refused by no-telnet on its way in.
    fn packet() -> What {
        let mut packet = view::example::packet();
        packet.name[..4].copy_from_slice(b"curl");
        packet.pid = 7;
        let mut entry = Entry::from_packet(UNIX_EPOCH, &packet, &mut view::example::Named).unwrap();
        if let What::Packet(packet) = &mut entry.what {
            packet.source_name = Some("www.example.org".into());
        }
        entry.what
    }

    /// The same, as it was kept.
    fn row() -> HistoryRow {
        HistoryRow {
            direction: "in".to_owned(),
            verdict: "block".to_owned(),
            remote: "10.0.0.2".parse().ok(),
            rule: Some("no-telnet".to_owned()),
            process: "curl".to_owned(),
            name: Some("www.example.org".to_owned()),
            ..HistoryRow::default()
        }
    }

    fn process(path: &str) -> What {
        let program = Program {
            name: "busybox".to_owned(),
            pid: 7,
            ..Program::default()
        };
        let (path, arguments) = (path.to_owned(), vec![]);
        What::Process(ProcessSeen {
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
            assert!(Filter(&watch(&shown)).shows(&packet()), "{shown:?}");
            assert!(!Filter(&watch(&hidden)).shows(&packet()), "{hidden:?}");
            assert!(watch(&shown).only.row(&row()), "{shown:?}");
            assert!(!watch(&hidden).only.row(&row()), "{hidden:?}");
        }
    }

    #[test]
    fn a_process_is_asked_for_by_name_or_path() {
        let shows =
            |asked: &str, path: &str| Filter(&watch(&["--program", asked])).shows(&process(path));
        assert!(shows("busybox", "/bin/busybox") && shows("/bin/busybox", "/bin/busybox"));
        assert!(!shows("bash", "/bin/busybox") && !shows("/bin/bash", "/bin/busybox"));
    }

    #[test]
    fn a_loss_is_shown_whatever_is_asked_for() {
        let lost = What::Lost(Lost {
            processor: 0,
            cause: Cause::NoRoom,
            count: 1,
        });
        assert!(Filter(&watch(&["--rule", "none", "--direction", "out"])).shows(&lost));
    }

    #[test]
    fn what_is_not_shown_does_not_travel() {
        let mask = |words: &[&str]| Filter(&watch(words)).mask();
        let packets = Mask::of(kind::PACKET);
        assert_eq!(
            mask(&[]),
            packets.and(kind::PROCESS_START).and(kind::PROCESS_EXIT)
        );
        assert_eq!(mask(&["--kind", "packet"]), packets);
        assert_eq!(mask(&["--name", "example.org"]), packets);
        assert_eq!(
            mask(&["--kind", "start", "--kind", "exit"]),
            Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT)
        );
        assert_eq!(
            mask(&["--verdict", "block"]),
            packets,
            "processes have no verdict"
        );
    }
}
