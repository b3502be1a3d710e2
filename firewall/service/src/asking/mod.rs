//! Questions of the driver to people: those that wait, and the answers that are in force.
//!
//! The driver keeps both in tables of its own and wakes the service for a new question. Here they get numbers, a time
//! in which they are to be answered, and a file for answers that hold for always.
//!
//! Rules that hold here:
//! - An answer is in force by one update of the driver's table.
//! - However many questions a program or a user raises, only so many of them wait at once, and others' are asked all
//!   the same. What a program wants beyond a few places is one question, for as long as it goes on.
//! - A user who is not root has so many answers, and no more.

mod askers;
mod driver_tables;
mod permanent_answers;
mod questions;
mod stored;
mod waiting_question;
mod waker;

pub use permanent_answers::PermanentAnswers;
pub use questions::Questions;
pub use stored::{StoredAnswer, StoredAnswerKey};
pub use waiting_question::{MOST_LISTED, Place, Unanswered, Waiting};
pub use waker::DriverWaker;

use crate::driver::Driver;
use anyhow::Result;
use firewall_abi::asking::{Answer, Question, Subject, Who, Width};
use firewall_abi::packet::{NO_USER, PacketMeta, Reason, Verdict};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tracing::warn;

/// Maximum number of answers in force of one user who is not root.
pub const MOST_OF_A_USER: usize = 512;
/// Time for which it holds that nobody answered.
pub const UNANSWERED: Duration = Duration::from_secs(60);

/// Returns whether an answer of this width to `to` decides what is asked. Of what waits behind a question for another
/// process, or for another connection, the next packet asks again.
fn is_about(to: Subject, width: Width, subject: &Subject, question: &Question) -> bool {
    let asks = match to.who() {
        Who::Program(_) => Some(subject.at(width)),
        Who::Process { .. } => question.process().map(|who| subject.at(width).of(who)),
        Who::Socket { .. } => question.socket().map(|who| subject.at(width).of(who)),
    };
    asks == Some(to)
}

/// Returns whether two users have one share: they are the same, or of one block of a container's or a user's
/// subordinate ones, of which one person has as many as there are.
pub const fn have_one_share(one: u32, other: u32) -> bool {
    engine::quota::of_user(one) == engine::quota::of_user(other)
}

/// Returns whether a user who is not root may answer: for a program that is known and runs as that user.
pub fn may_answer(user: u32, subject: &Subject) -> bool {
    user != NO_USER && subject.user == user && is_program(subject.program)
}

/// Returns whether a program is known by its file, and is neither the kernel nor unsure.
fn is_program(program: [u64; 2]) -> bool {
    program != [0; 2] && program != PacketMeta::KERNEL && program != PacketMeta::UNSURE
}

/// Returns the peer's address as people write it: an IPv4 address as such.
pub fn address(remote: [u8; 16]) -> IpAddr {
    let address = Ipv6Addr::from(remote);
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

const fn verdict(allow: bool) -> Verdict {
    if allow {
        Verdict::Allow
    } else {
        Verdict::Block
    }
}

/// Builds an answer as the driver has it.
pub const fn answer(program: [u64; 2], allow: bool, reason: Reason, until_ns: u64) -> Answer {
    Answer {
        until_ns,
        program,
        verdict: verdict(allow) as u8,
        reason: reason as u8,
        spare: [0; 6],
    }
}

/// Removes the answers that are over, and those given to programs that are replaced; at a start also those that held
/// until then. Returns the answers that are left.
pub fn tidy(
    driver: &Driver,
    always: &mut PermanentAnswers,
    replaced: &BTreeSet<[u64; 2]>,
    now_ns: u64,
    starts: bool,
) -> Result<Vec<(Subject, Answer)>> {
    always.took_back(replaced);
    let answers = driver.answers()?;
    let programs_alone = |(to, _): &(Subject, Answer)| matches!(to.who(), Who::Program(_));
    let watched = if answers.iter().all(programs_alone) {
        BTreeSet::new()
    } else {
        driver.watched()?
    };
    let mut left = Vec::new();
    for (to, answer) in answers {
        let ended = answer.until_ns <= now_ns || replaced.contains(&to.program);
        let over = match to.who() {
            Who::Program(_) => starts && answer.until_ns == Answer::NO_END && !always.is_put(&to),
            who => !watched.contains(&who),
        };
        if ended || over {
            driver.forget_answer(&to)?;
        } else {
            left.push((to, answer));
        }
    }
    Ok(left)
}

/// Logs what was not answered.
pub fn say_unanswered(unanswered: &Unanswered) {
    let [
        Place {
            subject, asking, ..
        },
        rest @ ..,
    ] = &unanswered.places[..]
    else {
        return;
    };
    let more = match rest.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    warn!(
        "question {} was not answered in {} s: {} for {} s ({} {} port {}{more}, user {})",
        unanswered.id,
        asking.within.as_secs(),
        asking.unanswered.name(),
        UNANSWERED.as_secs(),
        if subject.goes_out() { "to" } else { "from" },
        address(subject.remote),
        subject.port,
        subject.user,
    );
}

#[cfg(test)]
mod example {
    use firewall_abi::asking::Subject;
    use firewall_abi::packet::Direction;

    pub fn subject(program: u64, user: u32, remote: u8) -> Subject {
        Subject {
            remote: [remote; 16],
            program: [1, program],
            user,
            port: 443,
            protocol: 6,
            direction: Direction::Outbound as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::example::subject;
    use super::*;

    #[test]
    fn a_user_answers_for_what_runs_as_them_and_for_nothing_else() {
        assert!(may_answer(1000, &subject(7, 1000, 1)));
        assert!(!may_answer(1000, &subject(7, 0, 1)));
        assert!(!may_answer(1000, &subject(7, 1001, 1)));
        for program in [[0; 2], PacketMeta::KERNEL, PacketMeta::UNSURE] {
            let unknown = Subject {
                program,
                ..subject(7, 1000, 1)
            };
            assert!(!may_answer(1000, &unknown));
        }
        let nobody = subject(7, NO_USER, 1);
        assert!(!may_answer(NO_USER, &nobody));
    }
}
