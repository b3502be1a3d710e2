//! Questions to people, and their answers.

use firewall_abi::asking::Width;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Question of a rule, or of a default policy, that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Identifier: no other question has had it since the service started.
    pub id: u64,
    /// `out` or `in`.
    pub direction: String,
    /// The protocol's number.
    pub protocol: u8,
    /// Address of the other end.
    pub remote: IpAddr,
    /// The name that the other end was asked for by, if known: that of all its addresses where it is about one name's,
    /// or the last. It labels, and proves nothing.
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
    /// `true` if the question is about whatever else its program wants, beyond what is asked about place by place. Then
    /// an answer to `anywhere` is to all of it, and any other is to the places that were listed.
    pub many: bool,
    /// Places that the program wants to go to, if the question is or was about more than one address: of many places
    /// those that have waited longest, or the addresses of one name.
    pub places: Vec<AskedPlace>,
    /// Number of the last place that is shown, by which an answer says which were.
    pub listed: u64,
    /// Number of others that wait behind this question: places that are not listed, or questions of the same program
    /// that found no room.
    pub more: u64,
    /// `true` if an answer can be to this connection alone.
    pub of_connection: bool,
    /// `true` if an answer can be to this process alone, until it ends.
    pub of_process: bool,
    /// Time that is left to answer the question, in milliseconds.
    pub milliseconds_left: u64,
    /// Verdict if nobody answers: `block` or `allow`.
    pub unanswered: String,
}

impl Question {
    /// Returns whether an address of the other end is link-local, and so another machine's on each link: an answer
    /// knows no link.
    #[must_use]
    pub fn is_of_link(&self) -> bool {
        self.remotes().any(is_link_local)
    }

    /// Returns whether this answer may be given to each address that the question is about.
    #[must_use]
    pub fn may_be_given(&self, given: &Given) -> bool {
        self.remotes().all(|remote| given.may_be_about(remote))
    }

    /// Leaves out the places behind this number: those that wait are behind the question then. Returns `false`, and
    /// leaves out none, if none waits up to it.
    pub fn list_up_to(&mut self, last: u64) -> bool {
        if self.places.is_empty() {
            return self.listed <= last;
        }
        let is_up_to = |place: &&AskedPlace| place.number <= last;
        let kept = self.places.iter().take_while(is_up_to).count();
        let Some(end) = kept.checked_sub(1).and_then(|end| self.places.get(end)) else {
            return false;
        };
        self.listed = end.number;
        let behind = self.places.len() - kept;
        self.more = self.more.saturating_add(behind as u64);
        self.places.truncate(kept);
        true
    }

    fn remotes(&self) -> impl Iterator<Item = IpAddr> {
        let others = self.places.iter().map(|place| place.remote);
        std::iter::once(self.remote).chain(others)
    }
}

/// Place of a question that is about more than one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedPlace {
    /// Number of the place in the question: what comes later has a higher one.
    pub number: u64,
    /// Address of the other end.
    pub remote: IpAddr,
    /// The name that the other end was asked for by, if known: that of all its addresses where it is about one name's,
    /// or the last. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// The protocol's number.
    pub protocol: u8,
    /// The port that is asked for; none: there are no ports.
    pub port: Option<u16>,
}

/// Returns whether an address is link-local (fe80::/10, 169.254.0.0/16), and so another machine's on each link.
#[must_use]
pub const fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Answer that holds, or that is kept for always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAnswer {
    /// Identifier by which the answer is taken back: 16 hexadecimal digits. Another answer to the same has another one.
    pub id: String,
    /// `allow` or `block`.
    pub verdict: String,
    /// `true` if nobody answered in time, and this became of the question for a minute.
    pub unanswered: bool,
    /// Width of the answer: `endpoint`, `address`, `port` or `anywhere`.
    pub width: String,
    /// End of the answer: with its `connection`, with the process of the `program`, after a `time`, at a `restart`, or
    /// never (`always`).
    pub lasts: String,
    /// Time for which the answer holds from now on, in seconds, or `None` if something else ends it.
    pub seconds_left: Option<u64>,
    /// `out` or `in`.
    pub direction: String,
    /// Address of the other end, or `None` if it is any.
    pub remote: Option<IpAddr>,
    /// The name that the other end had been asked for by then, if known. It labels, and proves nothing.
    pub remote_name: Option<String>,
    /// Number of the protocol, or `None` if it is any.
    pub protocol: Option<u8>,
    /// Port that is asked for, or `None` if it is any, or there are no ports.
    pub port: Option<u16>,
    /// The user at this end, if known.
    pub user: Option<u32>,
    /// The program's path, if known.
    pub program: Option<String>,
    /// The name of the process that asked, if known.
    pub name: String,
    /// The process that asked; 0: not known.
    pub pid: u32,
    /// `true` if the driver has the answer. One for always to a program that is not there is kept, and comes into force
    /// with it; one that allows a link-local address never does.
    pub in_force: bool,
    /// Name of who answered, if known.
    pub by: Option<String>,
    /// Time of the answer, in seconds since 1970, if known.
    pub at: Option<u64>,
}

/// Selection of the answers that are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Answers with these identifiers ([`HeldAnswer::id`]).
    Those(Vec<String>),
    /// All answers about this program, by its path.
    Program(String),
    /// All answers.
    All,
}

/// Answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// `true` if the answer lets the traffic through, `false` if it blocks it.
    pub allow: bool,
    /// Width: how much the answer is about.
    pub width: Width,
    /// Duration of the answer.
    pub lasts: Lasts,
}

impl Given {
    /// Longest time for which an answer may hold that allows a link-local address, unless its connection or its process
    /// ends it.
    pub const LONGEST_OF_LINK: Duration = Duration::from_secs(3600);

    /// Returns whether the answer may be given to a question about this other end. One that is to a link-local address
    /// knows no link: on another one it would let through whoever has that address there. What blocks may be about
    /// whoever that is.
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

/// Duration for which an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Until the connection ends; of datagrams, for what this socket sends to this endpoint.
    Connection,
    /// Until this process ends, or runs another program.
    Process,
    /// Until this time is over.
    For(Duration),
    /// Until the service starts again.
    UntilRestart,
    /// Always, also after a restart.
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
