//! Question that waits for an answer, with the places that it is about.

use super::askers::is_of_program;
use firewall_abi::asking::{Question, Subject, Width};
use rules::Asking;
use std::sync::Arc;
use std::time::Instant;

/// Maximum number of places of a question that a person is shown.
pub const MOST_LISTED: usize = 8;

/// Place that a question is about.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Number of the place within its question: later places have higher numbers.
    pub number: u64,
    pub subject: Subject,
    pub question: Question,
    pub asking: Asking,
    /// Time by which the place is to be answered.
    pub deadline: Instant,
    /// Time until which it holds that nobody answered, or `None` if the place still waits.
    pub(super) over: Option<Instant>,
}

/// Question that waits for an answer.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub id: u64,
    /// `true` if the question is about any place that its program wants, and not about a single one.
    pub is_many: bool,
    /// Number of other questions of the same program that found no room.
    pub more: u64,
    /// Asker: the places of one question are one program's of one user.
    pub(super) asker: Subject,
    /// Name of the peer, if the question is about one place and the peer has one.
    pub(super) name: Option<Arc<str>>,
    /// Places of the question, the oldest first.
    pub(super) places: Vec<Place>,
    /// Number of the last place.
    pub(super) last: u64,
}

impl Waiting {
    /// Returns the places that wait for an answer, the oldest first.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.over.is_none())
    }

    /// Returns the first place that waits, or `None` if none waits any more.
    pub fn first(&self) -> Option<&Place> {
        self.places().next()
    }

    /// Returns the name that people are shown for a place, of which `last` is the present one. The addresses of one name are asked about
    /// by that name, though one of them was asked for by another name since: the others never had that.
    pub fn name_of_place(&self, last: Option<Arc<str>>) -> Option<Arc<str>> {
        self.name.clone().or(last)
    }

    /// Returns the number of packets that wait.
    pub fn count(&self) -> u64 {
        self.places()
            .fold(0, |sum, place| sum.saturating_add(place.question.count))
    }

    pub(super) fn is_over(&self) -> bool {
        self.first().is_none()
    }

    /// Returns whether a new place belongs to this question.
    pub(super) fn takes(&self, new: &Subject, name: Option<&str>) -> bool {
        if self.is_many {
            return is_of_program(&self.asker, new);
        }
        let named = self.name.as_deref().zip(name);
        named.is_some_and(|(own, other)| own == other)
            && self.asker.at(Width::Port) == new.at(Width::Port)
            && !self.is_over()
    }

    pub(super) fn add(
        &mut self,
        subject: Subject,
        question: Question,
        asking: Asking,
        now: Instant,
    ) {
        // The addresses of a name have the time of the first one.
        let deadline = self.places.first().filter(|_| !self.is_many);
        self.last += 1;
        self.places.push(Place {
            number: self.last,
            subject,
            question,
            asking,
            deadline: deadline.map_or(now + asking.within, |first| first.deadline),
            over: None,
        });
    }
}

/// Places of a question that nobody answered in time.
#[derive(Debug)]
pub struct Unanswered {
    pub id: u64,
    pub places: Vec<Place>,
}
