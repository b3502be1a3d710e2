//! An answer for always, as its file has it.

use super::{address, verdict};
use firewall_abi::asking::{Subject, Width};
use firewall_abi::packet::{Direction, NO_USER};
use rules::Resolver;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// An answer for always, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// `allow` or `block`.
    pub answer: String,
    /// The program's path; none: it has none, or is not known.
    pub program: Option<String>,
    /// The user; none: not known.
    pub user: Option<u32>,
    /// `out` or `in`.
    pub direction: String,
    /// The other end; none: any.
    pub remote: Option<IpAddr>,
    /// The name that it had been asked for by then, if known.
    #[serde(default)]
    pub remote_name: Option<String>,
    /// The protocol's number; none: any.
    pub protocol: Option<u8>,
    /// The port; none: any.
    pub port: Option<u16>,
    /// Who answered.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl StoredAnswer {
    /// Of an answer of this width to a program at this path.
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
            answer: verdict(allow).name().to_owned(),
            program,
            user: (to.user != NO_USER).then_some(to.user),
            direction: if to.goes_out() {
                Direction::Outbound
            } else {
                Direction::Inbound
            }
            .name()
            .to_owned(),
            remote: has_address.then(|| address(to.remote)),
            remote_name: None,
            protocol: port.then_some(to.protocol),
            port: (port && to.port != 0).then_some(to.port),
            by,
            at,
        }
    }

    /// How wide it is.
    pub const fn width(&self) -> Width {
        match (self.remote.is_some(), self.protocol.is_some()) {
            (true, true) => Width::Endpoint,
            (true, false) => Width::Address,
            (false, true) => Width::Port,
            (false, false) => Width::Anywhere,
        }
    }

    /// What it is to; what is answered to the same takes its place.
    pub fn key(&self) -> StoredAnswerKey {
        (
            self.program.clone(),
            self.user,
            self.direction.clone(),
            self.remote,
            self.protocol,
            self.port,
        )
    }

    /// What it is to, if its program is there, and what it says.
    pub fn entry(&self, resolver: &dyn Resolver) -> Option<(Subject, bool)> {
        let program = match &self.program {
            Some(path) => resolver.program(path)?,
            None => [0; 2],
        };
        let direction = Direction::ALL
            .into_iter()
            .find(|direction| direction.name() == self.direction)?;
        let to = Subject {
            remote: self.remote.map_or([0; 16], octets),
            program,
            user: self.user.unwrap_or(NO_USER),
            port: self.port.unwrap_or(0),
            protocol: self.protocol.unwrap_or(0),
            direction: direction as u8,
        };
        match self.answer.as_str() {
            "allow" => Some((to, true)),
            "block" => Some((to, false)),
            _ => None,
        }
    }
}

/// See [`StoredAnswer::key`].
pub type StoredAnswerKey = (
    Option<String>,
    Option<u32>,
    String,
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
