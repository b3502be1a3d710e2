//! Programs, and the endpoints that they talked with.

use super::times::{Bar, Since, bars};
use control::HistoryRow;
use firewall_abi::packet::{Direction, PacketHeaders, Reason, Verdict};
use rules::Protocol;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use view::entry::{PacketSeen, ProgramSeen, clean};
use view::history::{self, By, Sum};
use view::text;
use view::time::day_and_time;

/// Program, and all that it talked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Talker {
    /// Sum of all its rows; `what` is the program.
    pub sum: Sum,
    /// Endpoints that it talked with, the most first.
    pub endpoints: Vec<Endpoint>,
    /// Bars of a chart, for each part of the period.
    pub bars: Vec<Bar>,
    /// First contact of the program, if there is one.
    pub contact: Option<Contact>,
}

/// First contact: a program talked for the first time ever, or for the first time with another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// `true` if the program's file has changed since it talked before.
    pub changed: bool,
    /// Time of the contact, in seconds since 1970.
    pub at: u64,
}

impl Contact {
    /// Returns the first contact that this row tells of.
    pub fn of(row: &HistoryRow) -> Option<Self> {
        let changed = row.contact.as_deref()? != "first";
        Some(Self {
            changed,
            at: row.first,
        })
    }

    /// Returns the mark beside the program's name.
    pub fn mark(self) -> String {
        if self.changed {
            text!("programs-changed")
        } else {
            text!("programs-new")
        }
    }

    /// Describes the contact in a sentence.
    pub fn words(self) -> String {
        let at = day_and_time(self.at);
        if self.changed {
            text!("programs-file-changed", time = at)
        } else {
            text!("programs-first-ever", time = at)
        }
    }
}

/// Endpoint that a program talked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Sum of all its rows; `what` is the endpoint, by its name if it has one.
    pub sum: Sum,
    /// Last row of the endpoint.
    pub last: HistoryRow,
}

/// Returns the programs, those who talked most first.
pub fn talkers<'a>(
    rows: impl Iterator<Item = &'a HistoryRow>,
    since: Since,
    now: u64,
) -> Vec<Talker> {
    let mut of: HashMap<String, Vec<&HistoryRow>> = HashMap::new();
    for row in rows {
        of.entry(history::program(row)).or_default().push(row);
    }
    let together = of.values().flatten().copied();
    let sums = history::sums(together, By::Program).into_iter();
    sums.map(|sum| {
        let rows = of.remove(&sum.what).unwrap_or_default();
        Talker {
            endpoints: endpoints(&rows),
            bars: bars(rows.iter().copied(), since, now),
            contact: rows
                .iter()
                .filter_map(|row| Contact::of(row))
                .max_by_key(|contact| contact.at),
            sum,
        }
    })
    .collect()
}

fn endpoints(rows: &[&HistoryRow]) -> Vec<Endpoint> {
    let mut last: HashMap<String, &HistoryRow> = HashMap::new();
    for row in rows {
        let known = last.entry(endpoint_words(row)).or_insert(row);
        if row.last > known.last {
            *known = row;
        }
    }
    let sums = history::sums_by(rows.iter().copied(), endpoint_words);
    let with_last = sums.into_iter().filter_map(|sum| {
        let last = (*last.get(&sum.what)?).clone();
        Some(Endpoint { sum, last })
    });
    with_last.collect()
}

/// Returns the other end by its name, else by its address, with protocol and port: `example.org, tcp 443`,
/// `from 192.0.2.7, tcp 22`.
pub fn endpoint_words(row: &HistoryRow) -> String {
    let end = match (&row.name, row.remote) {
        (Some(name), _) => clean(name),
        (None, Some(remote)) => remote.to_string(),
        (None, None) => text!("endpoint-many"),
    };
    history::endpoint_of(row, end)
}

/// Returns a packet as it must have been for this row to be kept. The own address and port, and the device, are not
/// kept.
///
/// # Errors
/// It can't be told; the text says why.
pub fn packet(row: &HistoryRow) -> Result<PacketSeen, String> {
    let direction =
        rules::words::direction(&row.direction).map_err(|_| text!("past-unknown-way"))?;
    let remote = row.remote.ok_or_else(|| text!("past-many-endpoints"))?;
    let port = match (row.protocol, row.port) {
        (protocol, Some(port)) if Protocol(protocol).has_ports() => port,
        _ => {
            return Err(text!("past-no-ports"));
        }
    };
    let (own, ip_version) = match remote {
        IpAddr::V4(_) => (IpAddr::from(Ipv4Addr::UNSPECIFIED), 4),
        IpAddr::V6(_) => (IpAddr::from(Ipv6Addr::UNSPECIFIED), 6),
    };
    let (source, destination) = match direction {
        Direction::Inbound => (remote, own),
        Direction::Outbound => (own, remote),
        Direction::Forward => (row.source.unwrap_or(own), remote),
    };
    let name: Option<Arc<str>> = row.name.as_deref().map(Into::into);
    let (source_name, destination_name) = match direction {
        Direction::Inbound => (name, None),
        Direction::Outbound | Direction::Forward => (None, name),
    };
    Ok(PacketSeen {
        direction,
        verdict: if row.verdict == "allow" {
            Verdict::Allow
        } else {
            Verdict::Block
        },
        reason: reason(&row.reason),
        rule_number: None,
        rule: None,
        generation: 0,
        headers: PacketHeaders {
            source: bytes(source),
            destination: bytes(destination),
            source_port: 0,
            destination_port: port,
            protocol: row.protocol,
            ip_version,
            direction: direction as u8,
            tcp_flags: u8::from(row.protocol == Protocol::TCP.0) * SYN,
        },
        length: 0,
        device: None,
        out_device: None,
        source_name,
        destination_name,
        program: ProgramSeen {
            name: row.process.clone(),
            pid: 0,
            user: row.user,
            file: None,
            path: row.program.as_deref().map(Into::into),
        },
    })
}

/// TCP flag of a packet that begins a connection.
const SYN: u8 = 2;

/// Returns the reason of this name. A connection that goes on was allowed by a rule, or by the default, as it began.
fn reason(name: &str) -> Reason {
    let all = [Reason::Rule, Reason::Malformed, Reason::FailMode];
    let found = all.into_iter().find(|reason| reason.name() == name);
    found.unwrap_or(Reason::Default)
}

fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
pub mod tests {
    use super::*;

    /// Returns a row: curl was refused once at this time.
    pub fn curl(at: u64) -> HistoryRow {
        HistoryRow {
            start: at / 60 * 60,
            seconds: 60,
            direction: "out".to_owned(),
            verdict: "block".to_owned(),
            reason: "rule".to_owned(),
            protocol: Protocol::TCP.0,
            remote: "192.0.2.7".parse().ok(),
            port: Some(443),
            program: Some("/usr/bin/curl".to_owned()),
            process: "curl".to_owned(),
            user: Some(1000),
            rule: Some("no-web".to_owned()),
            name: Some("example.org".to_owned()),
            count: 1,
            first: at,
            last: at,
            ..HistoryRow::default()
        }
    }

    /// Returns a row: somebody came in by ssh at this time.
    pub fn ssh(at: u64) -> HistoryRow {
        HistoryRow {
            direction: "in".to_owned(),
            verdict: "allow".to_owned(),
            reason: "default".to_owned(),
            remote: "2001:db8::5".parse().ok(),
            port: Some(22),
            program: Some("/usr/sbin/sshd".to_owned()),
            process: "sshd".to_owned(),
            user: Some(0),
            rule: None,
            name: None,
            count: 2,
            packets_sent: 5,
            bytes_sent: 500,
            packets_received: 6,
            bytes_received: 6_000,
            ..curl(at)
        }
    }

    #[test]
    fn a_program_has_its_endpoints_by_name_with_how_much_and_since_when() {
        let mut other = curl(200);
        (other.remote, other.port) = ("192.0.2.8".parse().ok(), Some(443));
        other.contact = Some("changed".to_owned());
        let first = HistoryRow {
            contact: Some("first".to_owned()),
            ..curl(100)
        };
        let rows = [first, other, ssh(300), ssh(400)];
        let talkers = talkers(rows.iter(), Since::All, 500);
        let names: Vec<_> = talkers.iter().map(|it| it.sum.what.as_str()).collect();
        assert_eq!(names, ["/usr/sbin/sshd", "/usr/bin/curl"], "the most first");
        let sshd = &talkers[0];
        assert_eq!(sshd.contact, None);
        let contact = talkers[1].contact.unwrap();
        assert_eq!((contact.changed, contact.at), (true, 200), "the last one");
        assert_eq!(
            (sshd.sum.bytes_sent, sshd.sum.bytes_received),
            (1_000, 12_000)
        );
        assert_eq!((sshd.sum.first, sshd.sum.last), (300, 400));
        assert_eq!(sshd.endpoints[0].sum.what, "from 2001:db8::5, tcp 22");
        assert_eq!(sshd.endpoints[0].last.last, 400);
        let curl = &talkers[1];
        assert_eq!(
            curl.endpoints.len(),
            1,
            "two addresses of one name are one endpoint"
        );
        assert_eq!(curl.endpoints[0].sum.what, "example.org, tcp 443");
        assert_eq!(
            (curl.endpoints[0].sum.refused, curl.endpoints[0].sum.first),
            (2, 100)
        );
        assert_eq!(curl.endpoints[0].last.remote, "192.0.2.8".parse().ok());
    }

    #[test]
    fn what_was_kept_of_a_packet_is_a_packet_again_and_what_was_not_is_said() {
        let out = packet(&curl(1)).unwrap();
        assert_eq!(out.ends(), "connect -> 192.0.2.7:443 (example.org)");
        assert_eq!(
            (out.verdict, out.program.user),
            (Verdict::Block, Some(1000))
        );
        let inward = packet(&ssh(1)).unwrap();
        assert_eq!(
            (inward.direction, inward.headers.ip_version),
            (Direction::Inbound, 6)
        );
        assert_eq!(inward.headers.destination_port, 22);
        let many = HistoryRow {
            remote: None,
            ..curl(1)
        };
        assert!(packet(&many).unwrap_err().contains("counted together"));
        let ping = HistoryRow {
            protocol: 1,
            port: None,
            ..curl(1)
        };
        assert!(packet(&ping).unwrap_err().contains("no ports"));
    }
}
