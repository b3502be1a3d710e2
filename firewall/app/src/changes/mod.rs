//! Rules by click: the rule that a packet's like is allowed or blocked by, put in force and taken back, shared by the thread
//! that speaks with the service and by the window.
//!
//! - The window never waits for the service: the thread does, also while a person types a password for the permission.
//! - One change is on its way at a time.
//! - What is shown was tried: with the rule in its place the rules decide about this very packet as is wished.

mod draft;
#[cfg(test)]
mod model;
mod order;
mod service;
#[cfg(test)]
mod tests;
mod wish;

pub use draft::Draft;
#[cfg(test)]
pub use model::Model;
pub use order::{Order, Outcome};
pub use service::{Failure, InForce, Service};
pub use wish::{Who, Wish, known};

use draft::draft;
use order::{make, undo};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What is drafted, what is on its way, and what became of it.
#[derive(Debug, Default)]
pub struct Changes {
    state: Mutex<State>,
    call: Condvar,
}

/// What is known now.
#[derive(Debug, Default)]
pub struct State {
    wish: Option<Wish>,
    draft: Option<(Wish, Result<Draft, String>)>,
    order: Option<(Order, Instant)>,
    outcome: Option<Outcome>,
    followed: bool,
    ended: bool,
}

impl State {
    /// Whether somebody speaks with a service.
    pub fn is_followed(&self) -> bool {
        self.followed
    }

    /// The rule that this wish becomes, once that is known.
    pub fn draft(&self, wish: &Wish) -> Option<&Result<Draft, String>> {
        let (about, draft) = self.draft.as_ref()?;
        (about == wish).then_some(draft)
    }

    /// Since when an order is on its way.
    pub fn on_its_way(&self) -> Option<Instant> {
        self.order.as_ref().map(|(_, since)| *since)
    }

    /// What became of the last one.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }
}

impl Changes {
    /// A look at what is known.
    pub fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this wish drafted, if it is not yet.
    pub fn wish(&self, wish: &Wish) {
        let mut state = self.look();
        if state.wish.as_ref() != Some(wish) {
            state.wish = Some(wish.clone());
            drop(state);
            self.call.notify_one();
        }
    }

    /// Hands in an order. False: another one is still on its way.
    pub fn order(&self, order: Order) -> bool {
        let mut state = self.look();
        if state.order.is_some() {
            return false;
        }
        state.outcome = None;
        state.order = Some((order, Instant::now()));
        drop(state);
        self.call.notify_one();
        true
    }

    /// Forgets what became of the last order.
    pub fn dismiss(&self) {
        self.look().outcome = None;
    }

    /// Ends whoever follows.
    pub fn end(&self) {
        self.look().ended = true;
        self.call.notify_one();
    }

    /// Notes that somebody speaks with a service.
    pub fn be_followed(&self) {
        self.look().followed = true;
    }

    /// Speaks with the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn Service, changed: &dyn Fn()) {
        self.be_followed();
        while !self.look().ended {
            if self.turn(service) {
                changed();
            }
            let idle = |state: &mut State| state.has_nothing_to_do() && !state.ended;
            drop(self.call.wait_while(self.look(), idle));
        }
    }

    /// Does what there is to do now. True: there is something else to show.
    pub fn turn(&self, service: &mut dyn Service) -> bool {
        let order = self.look().order.clone();
        if let Some((order, _)) = order {
            let outcome = match order {
                Order::Make(wish) => make(service, &wish),
                Order::Undo(made) => undo(service, made),
            };
            let mut state = self.look();
            state.order = None;
            state.outcome = Some(outcome);
            // Other rules may be in force now.
            state.draft = None;
            return true;
        }
        let state = self.look();
        if state.has_nothing_to_do() {
            return false;
        }
        let Some(wish) = state.wish.clone() else {
            return false;
        };
        drop(state);
        let drafted = match service.in_force() {
            Ok(file) => draft(&file, &wish, &*service.resolver(&file)),
            Err(failure) => Err(failure.words()),
        };
        self.look().draft = Some((wish, drafted));
        true
    }
}

impl State {
    fn has_nothing_to_do(&self) -> bool {
        let drafted = self.draft.as_ref().map(|(wish, _)| wish);
        self.order.is_none() && (self.wish.is_none() || self.wish.as_ref() == drafted)
    }
}
