//! What is asked of the service, and what became of it.

use super::draft::{draft, quoted};
use super::{Failure, Service, Wish};
use control::Applied;
use rules::document;

/// How often a change is tried anew if somebody else changes the rules at the same moment.
const TRIES: usize = 2;

/// What is asked of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To add the rule for a wish.
    Make(Box<Wish>),
    /// To take it back.
    Undo(Made),
}

/// A rule that was put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub id: String,
    /// The generation with it.
    pub generation: u32,
    /// The number that the change has among the rule file's changes.
    change: Option<u64>,
    what: String,
    before: String,
    after: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule is in force.
    InForce(Made),
    /// It is so no more.
    TakenBack {
        /// Its name.
        id: String,
        /// The generation without it.
        generation: u32,
    },
    /// Nothing was changed.
    Refused {
        /// Why, and what to do.
        why: String,
        /// The command that does it as root, if that is what helps.
        command: Option<String>,
        /// What is in force still, if that was to be taken back.
        still: Option<Made>,
    },
}

impl Failure {
    pub(super) fn words(self) -> String {
        match self {
            Self::Replaced => "Somebody else is changing the rules at this moment, and nothing was changed now; try again.".to_owned(),
            Self::NotPermitted(why) | Self::Said(why) => why,
        }
    }

    /// Why nothing was changed, with the command that takes root.
    fn refused(self, command: Option<String>, still: Option<Made>) -> Outcome {
        let command = command.filter(|_| matches!(self, Self::NotPermitted(_)));
        Outcome::Refused {
            why: self.words(),
            command,
            still,
        }
    }
}

pub(super) fn make(service: &mut dyn Service, wish: &Wish) -> Outcome {
    for _ in 0..TRIES {
        let file = match service.in_force() {
            Ok(file) => file,
            Err(failure) => return failure.refused(None, None),
        };
        let draft = match draft(&file, wish, &*service.resolver(&file)) {
            Ok(draft) => draft,
            Err(why) => return Failure::Said(why).refused(None, None),
        };
        let what = format!("add {}", draft.id);
        match service.apply(&file, &draft.text, &what, None) {
            Ok(applied) => {
                return Outcome::InForce(Made {
                    id: draft.id,
                    generation: applied.generation,
                    change: applied.change,
                    what,
                    before: file.text,
                    after: draft.text,
                });
            }
            Err(Failure::Replaced) => {}
            Err(failure) => return failure.refused(draft.command, None),
        }
    }
    Failure::Replaced.refused(None, None)
}

/// Takes a rule back: the text before it, or if others changed the rules since, theirs without it.
pub(super) fn undo(service: &mut dyn Service, made: Made) -> Outcome {
    let id = &made.id;
    for _ in 0..TRIES {
        let file = match service.in_force() {
            Ok(file) => file,
            Err(failure) => return failure.refused(None, Some(made)),
        };
        // Of what others changed since nothing is taken back: that is a change by itself.
        let (text, what, undoes) = match made.change {
            Some(number) if file.text == made.after => {
                let what = format!("undo {number}: {}", made.what);
                (Ok(made.before.clone()), what, Some(number))
            }
            _ => {
                let removed = document::remove(&file.text, id);
                (removed, format!("remove {id}"), None)
            }
        };
        let text = match text {
            Ok(text) => text,
            Err(wrong) => return Failure::Said(wrong.to_string()).refused(None, None),
        };
        match service.apply(&file, &text, &what, undoes) {
            Ok(Applied { generation, .. }) => {
                let id = made.id;
                return Outcome::TakenBack { id, generation };
            }
            Err(Failure::Replaced) => {}
            Err(failure) => {
                let command = quoted(id).map(|id| format!("sudo gatebell rules remove {id}"));
                return failure.refused(command, Some(made));
            }
        }
    }
    Failure::Replaced.refused(None, Some(made))
}
