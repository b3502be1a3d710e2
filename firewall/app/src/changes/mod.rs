//! Rules by click: the rule that a packet's like is allowed or blocked by, put in force and taken back, shared by the
//! thread that speaks with the service and by the window.
//!
//! - The window never waits for the service: the thread does, also while a person types a password for the permission.
//! - One change is on its way at a time.
//! - What is shown was tried: with the rule in its place the rules decide about this very packet as is wished.

mod compare;
mod draft;
mod edit;
mod judged;
#[cfg(test)]
mod model;
mod order;
mod service;
#[cfg(test)]
mod tests;
mod wish;

pub use compare::{Compared, Otherwise};
pub use draft::Draft;
pub use edit::{DraftLine, Edit, EditDraft, EditKind};
#[cfg(test)]
pub use model::ChangesModel;
pub use order::{ChangeOutcome, Joining, Order, TRIAL};
pub use service::{Failure, InForce, RuleService};
pub use wish::{Who, Wish, known};

use crate::followed::Followed;
use control::Kept;
use draft::draft;
use edit::edited;
use order::perform;
use std::sync::Arc;
use std::time::Instant;

/// Drafts of changes, the order that is on its way, and its outcome.
pub type Changes = Followed<ChangesState>;

/// State of the changes now.
#[derive(Debug, Default)]
pub struct ChangesState {
    wish: Option<Wish>,
    draft: Option<(Wish, Result<Draft, String>)>,
    edit: Option<Edit>,
    edit_draft: Option<(Edit, Result<EditDraft, String>)>,
    /// History with which a change to a rule is compared.
    kept: Option<Arc<Kept>>,
    order: Option<(Order, Instant)>,
    outcome: Option<ChangeOutcome>,
}

impl ChangesState {
    /// Returns the rule that this wish becomes, once that is known.
    pub fn draft(&self, wish: &Wish) -> Option<&Result<Draft, String>> {
        let (about, draft) = self.draft.as_ref()?;
        (about == wish).then_some(draft)
    }

    /// Returns the file as it is with this change, once that is known.
    pub fn edit_draft(&self, edit: &Edit) -> Option<&Result<EditDraft, String>> {
        let (about, draft) = self.edit_draft.as_ref()?;
        (about == edit).then_some(draft)
    }

    /// Returns the time since which an order is on its way.
    pub fn on_its_way(&self) -> Option<Instant> {
        self.order.as_ref().map(|(_, since)| *since)
    }

    /// Returns the outcome of the last order.
    pub fn outcome(&self) -> Option<&ChangeOutcome> {
        self.outcome.as_ref()
    }
}

impl Changes {
    /// Has this wish drafted, if it is not yet.
    pub fn wish(&self, wish: &Wish) {
        self.change(|state| {
            let is_news = state.wish.as_ref() != Some(wish);
            if is_news {
                state.wish = Some(wish.clone());
            }
            is_news
        });
    }

    /// Has this change drafted, if it is not yet.
    pub fn want_edit(&self, edit: &Edit) {
        self.change(|state| {
            let is_news = state.edit.as_ref() != Some(edit);
            if is_news {
                state.edit = Some(edit.clone());
            }
            is_news
        });
    }

    /// Has changes to rules compared with the history. What is drafted already is drafted again if there was nothing
    /// before.
    pub fn compare_with(&self, kept: Option<&Arc<Kept>>) {
        self.change(|state| {
            let is_news = state.kept.is_none() && kept.is_some();
            state.kept = kept.cloned();
            if is_news {
                state.edit_draft = None;
            }
            is_news
        });
    }

    /// Has what is shown drafted again: other rules are in force.
    pub fn draft_again(&self) {
        self.change(|state| {
            state.forget_drafts();
            true
        });
    }

    /// Hands in an order. Returns `false` if another one is still on its way.
    pub fn order(&self, order: Order) -> bool {
        let mut taken = false;
        self.change(|state| {
            taken = state.order.is_none();
            if taken {
                state.outcome = None;
                state.order = Some((order, Instant::now()));
            }
            taken
        });
        taken
    }

    /// Forgets the outcome of the last order.
    pub fn dismiss(&self) {
        self.look().outcome = None;
    }

    /// Speaks with the service until the end, and calls `changed` when there is something else to show.
    pub fn follow(&self, service: &mut dyn RuleService, changed: &dyn Fn()) {
        self.be_followed();
        while self.wait_while(ChangesState::has_nothing_to_do) {
            if self.turn(service) {
                changed();
            }
        }
    }

    /// Does what there is to do now. Returns `true` if there is something else to show.
    pub fn turn(&self, service: &mut dyn RuleService) -> bool {
        let order = self.look().order.clone();
        if let Some((order, _)) = order {
            let outcome = perform(service, order);
            let mut state = self.look();
            state.order = None;
            state.outcome = Some(outcome);
            // Other rules may be in force now.
            state.forget_drafts();
            return true;
        }
        let state = self.look();
        let (wish, edit) = (state.undrafted_wish(), state.undrafted_edit());
        let kept = state.kept.clone();
        drop(state);
        if wish.is_none() && edit.is_none() {
            return false;
        }
        let file = service.in_force().map_err(Failure::words);
        if let Some(wish) = wish {
            let drafted = file
                .clone()
                .and_then(|file| draft(&file, &wish, &*service.resolver(&file)));
            self.look().draft = Some((wish, drafted));
        }
        if let Some(edit) = edit {
            let drafted = file
                .and_then(|file| edited(&file, &edit, kept.as_deref(), &*service.resolver(&file)));
            self.look().edit_draft = Some((edit, drafted));
        }
        true
    }
}

impl ChangesState {
    fn has_nothing_to_do(&self) -> bool {
        self.order.is_none() && self.undrafted_wish().is_none() && self.undrafted_edit().is_none()
    }

    fn undrafted_wish(&self) -> Option<Wish> {
        let drafted = self.draft.as_ref().map(|(wish, _)| wish);
        self.wish.clone().filter(|wish| Some(wish) != drafted)
    }

    fn undrafted_edit(&self) -> Option<Edit> {
        let drafted = self.edit_draft.as_ref().map(|(edit, _)| edit);
        self.edit.clone().filter(|edit| Some(edit) != drafted)
    }

    fn forget_drafts(&mut self) {
        (self.draft, self.edit_draft) = (None, None);
    }
}
