//! Question that waits for an answer, with the places that it is about.

use super::askers::is_of_program;
use firewall_abi::asking::{Question, Subject, Who, Width};
use rules::Asking;
use std::sync::Arc;
use std::time::Instant;

/// Maximum number of places of a question that a person is shown.
pub const MOST_LISTED: usize = 8;

/// Place that a question is about.
#[derive(Clone, Debug)]
pub struct Place {
    /// Number of the place within its question: later places have higher numbers.
    pub number: u64,
    pub subject: Subject,
    pub question: Question,
    pub asking: Asking,
    /// Name that the address was asked for by when the place was, or the first one since.
    /// It stays: people are shown no other.
    pub name: Option<Arc<str>>,
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
    /// Process of every place that the question was ever about, or `None` if they had several, or one that is not
    /// known. Whoever was shown the question was shown this process.
    process: Option<Who>,
    /// Name of the peer, if the question is about one place and the peer has one.
    pub(super) name: Option<Arc<str>>,
    /// Places of the question, the oldest first.
    pub(super) places: Vec<Place>,
    /// Number of the last place.
    pub(super) last: u64,
}

impl Waiting {
    /// Returns a question without places.
    pub(super) fn new(id: u64, asker: Subject, is_many: bool, name: Option<Arc<str>>) -> Self {
        Self {
            id,
            is_many,
            more: 0,
            asker,
            process: None,
            name: name.filter(|_| !is_many),
            places: Vec::new(),
            last: 0,
        }
    }

    /// Returns the places that wait for an answer, the oldest first.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.over.is_none())
    }

    /// Returns the first place that waits, or `None` if none waits any more.
    pub fn first(&self) -> Option<&Place> {
        self.places().next()
    }

    /// Returns the process that an answer until it ends is to, or `None` if whoever answers
    /// may have been shown another one.
    pub fn process(&self) -> Option<Who> {
        self.process
    }

    /// Returns whether the question was ever about more than one place, so that not everybody was shown the same.
    pub fn was_about_several(&self) -> bool {
        self.last > 1
    }

    /// Returns whether an answer of this width is to each place, and not the same whichever of them it is to.
    pub fn is_answered_by_place(&self, width: Width) -> bool {
        match width {
            Width::Endpoint | Width::Address => true,
            // The addresses of one name are asked about for one port.
            Width::Port => self.is_many,
            Width::Anywhere => false,
        }
    }

    /// Returns the places that an answer of this width is to: the first for all, or those up to `listed`, which were
    /// shown to whoever answers. Returns `None` if that has to be said and is not.
    pub fn answered_places(&self, listed: Option<u64>, width: Width) -> Option<Vec<Place>> {
        if !self.is_answered_by_place(width) || !self.was_about_several() {
            return Some(self.places().take(1).cloned().collect());
        }
        let listed = listed?;
        let shown = self.places().take_while(|place| place.number <= listed);
        Some(shown.take(MOST_LISTED).cloned().collect())
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
        name: Option<Arc<str>>,
        now: Instant,
    ) {
        let process = question.process();
        if self.last == 0 {
            self.process = process;
        } else if self.process != process {
            self.process = None;
        }
        // The addresses of a name have the time of the first one.
        let deadline = self.places.first().filter(|_| !self.is_many);
        self.last += 1;
        self.places.push(Place {
            number: self.last,
            subject,
            question,
            asking,
            name,
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
