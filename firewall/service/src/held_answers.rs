//! The answers that the driver has, and what is known of each beside: who gave it, and when.
//!
//! The service alone fills the driver's table of them. What is here follows it with each change, and is held against it
//! whenever what is over is taken out: a peer that asks which answers hold has no table of the kernel's read.

use crate::driver::Driver;
use anyhow::Result;
use engine::connection::ends_at_socket;
use firewall_abi::asking::{Answer, Subject, Who, Width};
use firewall_abi::firewall::{FlowEntry, FlowKey};
use firewall_abi::packet::{Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Note about an answer: facts that the driver does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Person or program that gave the answer.
    pub by: String,
    /// Time of the answer, in seconds since 1970.
    pub at: u64,
    /// The process that had asked; 0: not known.
    pub pid: u32,
    /// Name of that process.
    pub name: String,
    /// Name by which the other end had been asked for.
    pub remote_name: Option<String>,
}

/// An answer that the driver has.
#[derive(Clone, Debug)]
pub struct AnswerInForce {
    pub answer: Answer,
    /// The program's path, if known.
    pub program: Option<String>,
    /// Note about the answer; `None`: nobody gave it, or an earlier service took it and wrote nothing down.
    pub note: Option<Note>,
}

/// Answers that are in force.
#[derive(Debug, Default)]
pub struct HeldAnswers {
    held: BTreeMap<Subject, AnswerInForce>,
    /// Notes of an earlier service, until they are compared with the driver's answers.
    earlier: BTreeMap<Subject, Note>,
    /// `true` if something is not written down yet.
    changed: bool,
}

impl HeldAnswers {
    /// Returns no answers yet, with an earlier service's notes for those that are found.
    pub fn after(written: Option<&str>) -> Self {
        let written = written.and_then(|text| serde_json::from_str::<Vec<Written>>(text).ok());
        let notes = written.unwrap_or_default().into_iter();
        Self {
            earlier: notes.map(Written::note).collect(),
            ..Self::default()
        }
    }

    /// Notes that this is in force.
    pub fn put(&mut self, to: Subject, held: AnswerInForce) {
        self.changed = true;
        self.held.insert(to, held);
    }

    /// Notes that it is not any more.
    pub fn remove(&mut self, to: &Subject) {
        self.changed |= self.held.remove(to).is_some();
    }

    /// Takes in what the driver has.
    pub fn follow(
        &mut self,
        answers: &[(Subject, Answer)],
        path: impl Fn([u64; 2]) -> Option<String>,
    ) {
        let mut before = std::mem::take(&mut self.held);
        for (to, answer) in answers {
            let known = before.remove(to).filter(|held| held.answer == *answer);
            let held = known.unwrap_or_else(|| {
                self.changed = true;
                AnswerInForce {
                    answer: *answer,
                    program: path(answer.program),
                    note: self.earlier.remove(to),
                }
            });
            self.held.insert(*to, held);
        }
        self.changed |= !before.is_empty();
        self.earlier.clear();
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &AnswerInForce)> {
        self.held.iter()
    }

    /// Returns the text to write down for the next service, or `None` if that has not changed.
    pub fn unwritten(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let noted = self.held.iter().filter_map(|(to, held)| {
            let note = held.note.clone()?;
            Some(Written::of(to, note))
        });
        serde_json::to_string(&noted.collect::<Vec<_>>()).ok()
    }
}

/// A note, as it is written down.
#[derive(Serialize, Deserialize)]
struct Written {
    remote: [u8; 16],
    program: [u64; 2],
    user: u32,
    port: u16,
    protocol: u8,
    direction: u8,
    note: Note,
}

impl Written {
    fn of(to: &Subject, note: Note) -> Self {
        let Subject {
            remote,
            program,
            user,
            port,
            protocol,
            direction,
        } = *to;
        Self {
            remote,
            program,
            user,
            port,
            protocol,
            direction,
            note,
        }
    }

    fn note(self) -> (Subject, Note) {
        let to = Subject {
            remote: self.remote,
            program: self.program,
            user: self.user,
            port: self.port,
            protocol: self.protocol,
            direction: self.direction,
        };
        (to, self.note)
    }
}

/// Returns the width of an answer to this subject.
pub fn width(to: &Subject) -> Width {
    match (to.remote != [0; 16], to.protocol != 0) {
        (true, true) => Width::Endpoint,
        (true, false) => Width::Address,
        (false, true) => Width::Port,
        (false, false) => Width::Anywhere,
    }
}

/// A name for something that holds, by all that it is. Another answer to the same is given at another time.
pub fn id(of: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Connections that were allowed by answers which are taken back.
#[derive(Debug, Default)]
pub struct TakenBack(BTreeSet<Subject>);

impl TakenBack {
    /// Notes one: what it had allowed is judged again.
    pub fn add(&mut self, to: &Subject, answer: &Answer) {
        if answer.verdict != Verdict::Allow as u8 {
            return;
        }
        // Which process began a connection is not kept: then whichever of that program did.
        let whose = match to.who() {
            Who::Process { .. } => Who::Program(answer.program),
            who => who,
        };
        self.0.insert(to.of(whose));
        // Nor whose it is, before it was looked at.
        if matches!(whose, Who::Program(_)) {
            self.0.insert(to.of(Who::Program([0; 2])));
        }
    }

    /// Returns whether no answers were taken back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether one of the answers taken back may have allowed this connection.
    fn may_have_allowed(&self, key: &FlowKey, entry: &FlowEntry) -> bool {
        if entry.reason != Reason::Answer as u8 {
            return false;
        }
        let to = began_with(key, entry);
        let socket = to.of(Who::Socket {
            cookie: entry.socket,
        });
        self.0.contains(&socket)
            || Width::ALL
                .iter()
                .any(|width| self.0.contains(&to.at(*width)))
    }

    /// Has the rules asked again about what they had allowed, and forgets them.
    pub fn reclassify(&mut self, driver: &Driver) -> Result<()> {
        driver.reclassify_all(|key, entry| self.may_have_allowed(key, entry))?;
        self.0.clear();
        Ok(())
    }
}

/// Returns the subject of the question about the connection's first packet.
fn began_with(key: &FlowKey, entry: &FlowEntry) -> Subject {
    let began = Subject {
        remote: key.remote,
        program: entry.program,
        user: entry.user,
        port: key.remote_port,
        protocol: key.protocol as u8,
        direction: entry.direction,
    };
    let port = if began.goes_out() {
        key.remote_port
    } else {
        key.local_port
    };
    Subject {
        port: if ends_at_socket(began.protocol) {
            port
        } else {
            0
        },
        ..began
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use firewall_abi::packet::Direction;

    const CURL: [u64; 2] = [1, 7];

    fn web() -> Subject {
        Subject {
            remote: [2; 16],
            program: CURL,
            user: 1000,
            port: 443,
            protocol: 6,
            direction: Direction::Outbound as u8,
        }
    }

    fn allow() -> Answer {
        crate::asking::answer(CURL, true, Reason::Answer, Answer::NO_END)
    }

    fn given(by: &str) -> AnswerInForce {
        AnswerInForce {
            answer: allow(),
            program: Some("/usr/bin/curl".to_owned()),
            note: Some(Note {
                by: by.to_owned(),
                at: 5,
                pid: 9,
                name: "curl".to_owned(),
                remote_name: None,
            }),
        }
    }

    #[test]
    fn who_answered_is_known_to_the_next_service_and_what_the_driver_has_not_is_forgotten() {
        let mut held = HeldAnswers::default();
        assert_eq!(held.unwritten(), None);
        held.put(web(), given("alice"));
        held.put(web().at(Width::Port), given("bob"));
        let written = held.unwritten().unwrap();
        assert_eq!(held.unwritten(), None, "nothing is new");
        let mut next = HeldAnswers::after(Some(&written));
        let unknown = web().at(Width::Address);
        let path = |program| (program == CURL).then(|| "/bin/curl".to_owned());
        next.follow(&[(web(), allow()), (unknown, allow())], path);
        let all: Vec<_> = next.iter().collect();
        assert_eq!(all.len(), 2, "{all:?}");
        let by = |to: &Subject| {
            let (_, held) = next.iter().find(|(held, _)| *held == to).unwrap();
            held.note.as_ref().map(|note| note.by.clone())
        };
        assert_eq!(by(&web()), Some("alice".to_owned()));
        assert_eq!(by(&unknown), None, "nobody wrote it down");
        // A text that is no good says nothing, and takes nothing along.
        let mut next = HeldAnswers::after(Some("[{"));
        next.follow(&[(web(), allow())], path);
        assert_eq!(next.iter().count(), 1);
        next.follow(&[], path);
        assert_eq!(next.iter().count(), 0);
    }

    #[test]
    fn an_answer_is_as_wide_as_it_was_given() {
        let ping = Subject {
            protocol: 1,
            port: 0,
            ..web()
        };
        for to in [web(), ping] {
            for given in Width::ALL {
                assert_eq!(width(&to.at(given)), given, "{to:?}");
            }
        }
    }

    #[test]
    fn what_an_answer_allowed_that_is_taken_back_is_judged_again_and_nothing_else() {
        let key = FlowKey {
            local: [1; 16],
            remote: [2; 16],
            local_port: 50_000,
            remote_port: 443,
            protocol: 6,
        };
        let entry = FlowEntry {
            reason: Reason::Answer as u8,
            direction: Direction::Outbound as u8,
            program: CURL,
            user: 1000,
            socket: 33,
            ..FlowEntry::default()
        };
        let judged = |to: Subject, answer: &Answer, entry: &FlowEntry| {
            let mut taken = TakenBack::default();
            taken.add(&to, answer);
            taken.may_have_allowed(&key, entry)
        };
        for width in Width::ALL {
            assert!(judged(web().at(width), &allow(), &entry), "{width:?}");
        }
        let process = web().of(Who::Process {
            pid: 9,
            began_ns: 1,
        });
        assert!(judged(process, &allow(), &entry));
        let socket = |cookie| web().of(Who::Socket { cookie });
        assert!(judged(socket(33), &allow(), &entry));
        assert!(!judged(socket(34), &allow(), &entry));
        let unseen = FlowEntry {
            program: [0; 2],
            ..entry
        };
        assert!(judged(web(), &allow(), &unseen), "nobody has looked yet");
        let by_rule = FlowEntry {
            reason: Reason::Rule as u8,
            ..entry
        };
        assert!(!judged(web(), &allow(), &by_rule));
        let block = crate::asking::answer(CURL, false, Reason::Answer, Answer::NO_END);
        assert!(!judged(web(), &block, &entry), "it allowed nothing");
        for other in [
            Subject {
                user: 1001,
                ..web()
            },
            Subject { port: 80, ..web() },
            Subject {
                program: [1, 8],
                ..web()
            },
        ] {
            assert!(!judged(other, &allow(), &entry), "{other:?}");
        }
    }
}
