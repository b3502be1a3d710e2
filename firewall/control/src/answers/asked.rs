//! Questions to people, and their answers.

use firewall_abi::asking::Width;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// A question of a rule's, or of a default's, that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its number: no other has had it since the service started.
    pub id: u64,
    /// `out` or `in`.
    pub direction: String,
    /// The protocol's number.
    pub protocol: u8,
    /// The other end.
    pub remote: IpAddr,
    /// The name that the other end was asked for by, if known: that of all its addresses where it is about one name's, or the last. It
    /// labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The port that is asked for: the other end's, or of what comes in our own; none: there are no ports.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The process's name, if known.
    pub name: String,
    /// The process; 0: not known.
    pub pid: u32,
    /// The rule that asks, if it is not the default.
    pub rule: Option<String>,
    /// Packets that waited for the answer.
    pub count: u64,
    /// Whether it is about whatever else its program wants, beyond what is asked about place by place. Then an answer to `anywhere` is to
    /// all of it, and any other is to the places that were listed.
    pub many: bool,
    /// Where it wants to go, if that is not one address alone: of many places those that have waited longest, or the addresses of one
    /// name.
    pub places: Vec<AskedPlace>,
    /// Others that wait behind it: places that are not listed, or questions of the same program that found no room.
    pub more: u64,
    /// Whether an answer can be to this connection alone.
    pub of_connection: bool,
    /// Whether an answer can be to this process alone, until it ends.
    pub of_process: bool,
    /// Milliseconds in which it is to be answered.
    pub milliseconds_left: u64,
    /// What becomes of it if nobody does: `block` or `allow`.
    pub unanswered: String,
}

impl Question {
    /// Whether the other end's address is one that another machine has on each link: an answer knows no link.
    #[must_use]
    pub fn is_of_link(&self) -> bool {
        self.remotes().any(is_link_local)
    }

    /// Whether this answer may be given: to each address that it is about.
    #[must_use]
    pub fn may_be_given(&self, given: &Given) -> bool {
        self.remotes().all(|remote| given.may_be_about(remote))
    }

    /// The number of the last place that is listed: an answer says by it which were. None: it is about one place.
    #[must_use]
    pub fn listed(&self) -> Option<u64> {
        let last = self.places.last().filter(|_| self.many);
        last.map(|place| place.number)
    }

    fn remotes(&self) -> impl Iterator<Item = IpAddr> {
        let others = self.places.iter().map(|place| place.remote);
        std::iter::once(self.remote).chain(others)
    }
}

/// A place of a question that is about more than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedPlace {
    /// Its number in the question: what comes later has a higher one.
    pub number: u64,
    /// The other end.
    pub remote: IpAddr,
    /// The name that the other end was asked for by, if known: that of all its addresses where it is about one name's, or the last. It
    /// labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The protocol's number.
    pub protocol: u8,
    /// The port that is asked for; none: there are no ports.
    pub port: Option<u16>,
}

/// Whether an address is a link's own (fe80::/10, 169.254.0.0/16), and so another machine's on each.
#[must_use]
pub const fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// An answer that holds, or that is kept for always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
    /// By what it is taken back: 16 hexadecimal digits. Another answer to the same has another one.
    pub id: String,
    /// `allow` or `block`.
    pub verdict: String,
    /// Nobody answered in time, and this became of it for a minute.
    pub unanswered: bool,
    /// How much it is about: `endpoint`, `address`, `port` or `anywhere`.
    pub width: String,
    /// How long it holds: for the `connection`, until the process of the `program` ends, for a `time`, until a `restart`, `always`.
    pub lasts: String,
    /// For how many seconds it holds from now on; none: until something else ends it.
    pub seconds_left: Option<u64>,
    /// `out` or `in`.
    pub direction: String,
    /// The other end; none: any.
    pub remote: Option<IpAddr>,
    /// The name that the other end had been asked for by then, if known. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The protocol's number; none: any.
    pub protocol: Option<u8>,
    /// The port that is asked for; none: any, or there are none.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The name of the process that asked, if known.
    pub name: String,
    /// The process that asked; 0: not known.
    pub pid: u32,
    /// Whether the driver has it. One for always to a program that is not there is kept, and comes into force with it; one that allows
    /// a link-local address never does.
    pub in_force: bool,
    /// Who answered, if known.
    pub by: Option<String>,
    /// When, in seconds since 1970, if known.
    pub at: Option<u64>,
}

/// Which answers are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// These, by [`HeldAnswer::id`].
    Those(Vec<String>),
    /// What was answered about this program, by its path.
    Program(String),
    /// All.
    All,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Let it through.
    pub allow: bool,
    /// What it is about.
    pub width: Width,
    /// For how long.
    pub lasts: Lasts,
}

impl Given {
    /// How long an answer may hold at most that allows a link-local address, unless its connection or its process ends it.
    pub const LONGEST_OF_LINK: Duration = Duration::from_secs(3600);

    /// Whether it may be given to a question about this other end. One that is to a link-local address knows no link: on another one it
    /// would let through whoever has that address there. What blocks may be about whoever that is.
    #[must_use]
    pub fn may_be_about(&self, remote: IpAddr) -> bool {
        let is_to_address = matches!(self.width, Width::Endpoint | Width::Address);
        let is_short = match self.lasts {
            Lasts::Connection | Lasts::Process => true,
            Lasts::For(time) => time <= Self::LONGEST_OF_LINK,
            Lasts::UntilRestart | Lasts::Always => false,
        };
        !self.allow || is_short || !is_to_address || !is_link_local(remote)
    }
}

/// How long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For this connection alone; of datagrams, for what this socket sends to this endpoint.
    Connection,
    /// Until this process ends, or runs another program.
    Process,
    /// So long.
    For(Duration),
    /// Until the service starts again.
    UntilRestart,
    /// Always.
    Always,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_allows_a_link_local_address_holds_for_an_hour_at_most_and_one_that_blocks_it_for_always()
     {
        let given = |allow, remote: &str, width, lasts| {
            let given = Given {
                allow,
                width,
                lasts,
            };
            given.may_be_about(remote.parse().unwrap())
        };
        let may = |remote, width, lasts| given(true, remote, width, lasts);
        let hour = Given::LONGEST_OF_LINK;
        let long = [
            Lasts::For(hour + Duration::from_secs(1)),
            Lasts::UntilRestart,
            Lasts::Always,
        ];
        let short = [Lasts::Connection, Lasts::Process, Lasts::For(hour)];
        let of_link = ["fe80::99", "febf::1", "169.254.0.1", "::ffff:169.254.7.7"];
        for remote in of_link {
            for width in Width::ALL {
                let is_to_address = matches!(width, Width::Endpoint | Width::Address);
                for lasts in long {
                    assert_eq!(may(remote, width, lasts), !is_to_address, "{remote}");
                    assert!(given(false, remote, width, lasts), "{remote}");
                }
                assert!(short.iter().all(|lasts| may(remote, width, *lasts)));
            }
        }
        for remote in ["fec0::1", "2001:db8::1", "169.253.0.1", "192.168.0.1"] {
            assert!(
                long.iter()
                    .all(|lasts| may(remote, Width::Endpoint, *lasts))
            );
        }
    }
}
