//! Answer for always, as its file has it.

use super::address;
use anyhow::{Result, bail};
use firewall_abi::asking::{Subject, Width};
use firewall_abi::packet::{Direction, NO_USER, Verdict};
use rules::Resolver;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// An answer for always, as the file has it: each key is there, and no other. What a key narrows must not become wider
/// because the key was lost, or is another release's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAnswer {
    pub answer: StoredVerdict,
    /// Path of the program, or `None` if it has none or it is not known.
    #[serde(deserialize_with = "Option::deserialize")]
    pub program: Option<String>,
    /// User, or `None` if not known.
    #[serde(deserialize_with = "Option::deserialize")]
    pub user: Option<u32>,
    pub direction: StoredDirection,
    /// Address of the peer, or `None` for any.
    #[serde(deserialize_with = "Option::deserialize")]
    pub remote: Option<IpAddr>,
    /// Name that the peer had been asked for by then, if known.
    #[serde(deserialize_with = "Option::deserialize")]
    pub remote_name: Option<String>,
    /// Number of the protocol, or `None` for any.
    #[serde(deserialize_with = "Option::deserialize")]
    pub protocol: Option<u8>,
    /// Port, or `None` for any.
    #[serde(deserialize_with = "Option::deserialize")]
    pub port: Option<u16>,
    /// Name of whoever answered.
    pub by: String,
    /// Time of the answer, in seconds since 1970.
    pub at: u64,
}

/// Verdict of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredVerdict {
    Allow,
    Block,
}

impl StoredVerdict {
    /// Returns the verdict's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => Verdict::Allow.name(),
            Self::Block => Verdict::Block.name(),
        }
    }
}

/// Direction of the connections that an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StoredDirection {
    #[serde(rename = "out")]
    Outbound,
    #[serde(rename = "in")]
    Inbound,
}

impl StoredDirection {
    const fn of(self) -> Direction {
        match self {
            Self::Outbound => Direction::Outbound,
            Self::Inbound => Direction::Inbound,
        }
    }

    /// Returns the direction's name.
    pub const fn name(self) -> &'static str {
        self.of().name()
    }
}

impl StoredAnswer {
    /// Builds the answer for always of this width to a program at this path.
    pub fn of(
        to: &Subject,
        width: Width,
        allow: bool,
        program: Option<String>,
        by: String,
        at: u64,
    ) -> Self {
        let has_address = matches!(width, Width::Endpoint | Width::Address);
        let port = matches!(width, Width::Endpoint | Width::Port);
        Self {
            answer: if allow {
                StoredVerdict::Allow
            } else {
                StoredVerdict::Block
            },
            program,
            user: (to.user != NO_USER).then_some(to.user),
            direction: if to.goes_out() {
                StoredDirection::Outbound
            } else {
                StoredDirection::Inbound
            },
            remote: has_address.then(|| address(to.remote)),
            remote_name: None,
            protocol: port.then_some(to.protocol),
            port: (port && to.port != 0).then_some(to.port),
            by,
            at,
        }
    }

    /// Returns an error if it says what no answer does: of two ways to write one thing, one is right.
    pub fn check(&self) -> Result<()> {
        if self.port.is_some() && self.protocol.is_none() {
            bail!("an answer to a port names its protocol");
        }
        if self.port == Some(0) || self.user == Some(NO_USER) || self.protocol == Some(0) {
            bail!("what is not known, or any, is null, and no number");
        }
        match self.remote {
            Some(IpAddr::V6(remote)) if remote.to_ipv4_mapped().is_some() => {
                bail!("{remote} is an IPv4 address, and is written as one")
            }
            Some(IpAddr::V6(remote)) if remote.is_unspecified() => {
                bail!("any other end is null, not {remote}")
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the answer allows an address that another machine has on each link: such an answer does not
    /// hold.
    pub fn allows_of_link(&self) -> bool {
        self.answer == StoredVerdict::Allow && self.remote.is_some_and(control::is_link_local)
    }

    /// Returns the answer's width.
    pub const fn width(&self) -> Width {
        match (self.remote.is_some(), self.protocol.is_some()) {
            (true, true) => Width::Endpoint,
            (true, false) => Width::Address,
            (false, true) => Width::Port,
            (false, false) => Width::Anywhere,
        }
    }

    /// Returns the key of the answer: what it is to. An answer with the same key takes its place.
    pub fn key(&self) -> StoredAnswerKey {
        (
            self.program.clone(),
            self.user,
            self.direction,
            self.remote,
            self.protocol,
            self.port,
        )
    }

    /// Returns the subject of the answer and whether it allows it, or `None` if its program is not there.
    pub fn entry(&self, resolver: &dyn Resolver) -> Option<(Subject, bool)> {
        let program = match &self.program {
            Some(path) => resolver.program(path)?,
            None => [0; 2],
        };
        let to = Subject {
            remote: self.remote.map_or([0; 16], octets),
            program,
            user: self.user.unwrap_or(NO_USER),
            port: self.port.unwrap_or(0),
            protocol: self.protocol.unwrap_or(0),
            direction: self.direction.of() as u8,
        };
        Some((to, self.answer == StoredVerdict::Allow))
    }
}

/// Key of a [`StoredAnswer`], as returned by [`StoredAnswer::key`].
pub type StoredAnswerKey = (
    Option<String>,
    Option<u32>,
    StoredDirection,
    Option<IpAddr>,
    Option<u8>,
    Option<u16>,
);

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::example::subject;
    use super::*;

    #[test]
    fn an_answer_for_always_is_read_back_from_its_file_as_it_was_given() {
        struct Curl;
        impl Resolver for Curl {
            fn set_file(&self, _: &str) -> Result<rules::SetFile, String> {
                Err(String::new())
            }
            fn user(&self, _: &str) -> Result<u32, String> {
                Err(String::new())
            }
            fn program(&self, path: &str) -> Option<[u64; 2]> {
                (path == "/usr/bin/curl").then_some([1, 7])
            }
        }
        let remote = octets("192.0.2.7".parse().unwrap());
        let asked = Subject {
            remote,
            ..subject(7, 1000, 1)
        };
        for width in Width::ALL {
            let path = Some("/usr/bin/curl".to_owned());
            let kept = StoredAnswer::of(&asked, width, true, path, "alice".to_owned(), 1);
            let text = serde_json::to_string_pretty(&kept).unwrap();
            let read: StoredAnswer = serde_json::from_str(&text).unwrap();
            assert_eq!(read.entry(&Curl), Some((asked.at(width), true)), "{text}");
        }
    }
}
