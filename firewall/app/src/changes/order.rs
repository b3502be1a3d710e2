//! Orders to the service, and their outcomes.

use super::draft::{draft, quoted};
use super::edit::{Edit, EditKind, edited};
use super::{Failure, InForce, RuleService, Wish};
use control::{Applied, ChangeNote, Forgotten};
use rules::document;
use std::time::Duration;
use view::text;

/// Number of tries of a change if somebody else changes the rules at the same moment.
const TRIES: usize = 2;
/// Time for which a change is tried out that nobody keeps.
pub const TRIAL: Duration = Duration::from_secs(60);

/// Order to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Add the rule for a wish.
    Make(Box<Wish>),
    /// Change a rule that is there.
    Edit(Edit),
    /// Change a rule that is there, on a lease of [`TRIAL`].
    Try(Edit),
    /// Take a change back.
    Undo(Made),
    /// Keep the rules of this generation, which are on a lease.
    Keep(u32),
    /// End the lease of this generation.
    Return(u32),
    /// Take answers back.
    Forget(Forgotten),
    /// Add an address to a set.
    Join(Joining),
    /// Take an address out of a set.
    Leave {
        /// Name of the set.
        set: String,
        /// Address that leaves the set.
        address: String,
    },
}

/// Address that is to join a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Name of the set.
    pub set: String,
    /// Address that joins the set.
    pub address: String,
    /// Time for which the address is in the set, or `None` if it is there until it is removed.
    pub time: Option<Duration>,
}

/// Change that was put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Name of the rule that the change is about.
    pub id: String,
    /// Generation of the rules with the change.
    pub generation: u32,
    /// Number of the change among the rule file's changes.
    change: Option<u64>,
    /// Description of the change, in a few words: in the command's, for the log, and in the window's.
    what: String,
    words: String,
    reverse: Reverse,
    before: String,
    after: String,
}

/// Reverse of a change, which takes it back from among others that came since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reverse {
    /// The rule is removed.
    Remove,
    /// The rule is enabled or disabled.
    Enable(bool),
    /// No change takes it back.
    None,
}

/// Outcome of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// The change is in force.
    InForce(Made),
    /// Something was done that no click takes back; the text says what.
    Done(String),
    /// The order was refused: nothing was changed.
    Refused {
        /// Reason, and what to do.
        why: String,
        /// Command that does it as root, if that is what helps.
        command: Option<String>,
        /// Change that is in force still, if it was to be taken back.
        still: Option<Made>,
    },
}

impl Made {
    /// Describes the change that is in force.
    pub fn words(&self) -> String {
        let Self {
            id,
            generation,
            words,
            ..
        } = self;
        match self.reverse {
            Reverse::Remove => {
                text!("change-in-force-rule", rule = id, generation = *generation)
            }
            _ => text!("change-in-force", what = words, generation = *generation),
        }
    }

    fn taken_back(&self, generation: u32) -> ChangeOutcome {
        let Self { id, words, .. } = self;
        ChangeOutcome::Done(match self.reverse {
            Reverse::Remove => text!("change-rule-back", rule = id, generation = generation),
            _ => text!("change-back", what = words, generation = generation),
        })
    }
}

impl Failure {
    pub(super) fn words(self) -> String {
        match self {
            Self::Replaced => text!("change-replaced"),
            Self::NotPermitted(why) | Self::Said(why) => why,
        }
    }

    /// Returns the outcome that nothing was changed, with the command that takes root.
    fn refused(self, command: Option<String>, still: Option<Made>) -> ChangeOutcome {
        let command = command.filter(|_| matches!(self, Self::NotPermitted(_)));
        ChangeOutcome::Refused {
            why: self.words(),
            command,
            still,
        }
    }
}

/// Change that is ready to be put in force.
struct Ready {
    id: String,
    what: String,
    words: String,
    text: String,
    command: Option<String>,
    reverse: Reverse,
}

/// Carries an order out.
pub(super) fn perform(service: &mut dyn RuleService, order: Order) -> ChangeOutcome {
    match order {
        Order::Make(wish) => make(service, &wish),
        Order::Edit(edit) => change(service, None, &|file, service| ready(&edit, file, service)),
        Order::Try(edit) => {
            let lease = Some(TRIAL);
            match change(service, lease, &|file, service| ready(&edit, file, service)) {
                ChangeOutcome::InForce(made) => ChangeOutcome::Done(text!(
                    "change-tried",
                    what = &made.words,
                    generation = made.generation,
                )),
                refused => refused,
            }
        }
        Order::Undo(made) => undo(service, made),
        Order::Keep(generation) => match service.keep(generation) {
            Ok(generation) => ChangeOutcome::Done(text!("change-kept", generation = generation)),
            Err(failure) => failure.refused(
                Some(format!("sudo gatebell rules confirm {generation}")),
                None,
            ),
        },
        Order::Return(generation) => match service.end_lease(generation) {
            Ok(generation) => {
                ChangeOutcome::Done(text!("change-returned", generation = generation))
            }
            Err(failure) => failure.refused(
                Some(format!("sudo gatebell rules revert {generation}")),
                None,
            ),
        },
        Order::Forget(which) => forget(service, &which),
        Order::Join(joining) => join(service, &joining),
        Order::Leave { set, address } => leave(service, &set, &address),
    }
}

fn forget(service: &mut dyn RuleService, which: &Forgotten) -> ChangeOutcome {
    match service.forget(which) {
        Ok(0) => ChangeOutcome::Done(text!("answers-none-held")),
        Ok(many) => ChangeOutcome::Done(text!("answers-taken-back", count = many)),
        Err(failure) => {
            let those_words = match which {
                Forgotten::Those(ids) => Some(ids.join(" ")),
                Forgotten::Program(path) => {
                    quoted(path).map(|path_word| format!("--program {path_word}"))
                }
                Forgotten::All => Some("--all".to_owned()),
            };
            let command = those_words
                .map(|those_words| format!("sudo gatebell answers forget {those_words}"));
            failure.refused(command, None)
        }
    }
}

fn join(service: &mut dyn RuleService, joining: &Joining) -> ChangeOutcome {
    let Joining { set, address, time } = joining;
    match service.join(set, address, *time) {
        Ok(()) => {
            let words = match time {
                None => text!("set-joined", address = address, set = set),
                Some(time) => text!(
                    "set-joined-for",
                    address = address,
                    set = set,
                    minutes = time.as_secs() / 60,
                ),
            };
            ChangeOutcome::Done(words)
        }
        Err(failure) => {
            let lasts_words =
                time.map_or_else(String::new, |time| format!(" --for {}s", time.as_secs()));
            let words = quoted(set).zip(quoted(address));
            let command = words.map(|(set_word, address_word)| {
                format!("sudo gatebell set add {set_word} {address_word}{lasts_words}")
            });
            failure.refused(command, None)
        }
    }
}

fn leave(service: &mut dyn RuleService, set: &str, address: &str) -> ChangeOutcome {
    match service.leave(set, address) {
        Ok(false) => ChangeOutcome::Done(text!("set-left", address = address, set = set)),
        Ok(true) => ChangeOutcome::Done(text!("set-stays", address = address, set = set)),
        Err(failure) => {
            let words = quoted(set).zip(quoted(address));
            let command = words.map(|(set_word, address_word)| {
                format!("sudo gatebell set remove {set_word} {address_word}")
            });
            failure.refused(command, None)
        }
    }
}

/// Makes a change to a rule ready, by the rules in force now.
fn ready(edit: &Edit, file: &InForce, service: &dyn RuleService) -> Result<Ready, String> {
    let draft = edited(file, edit, None, &*service.resolver(file))?;
    Ok(Ready {
        id: edit.id.clone(),
        what: draft.what,
        words: edit.kind.done_to(&edit.id),
        text: draft.text,
        command: draft.command,
        reverse: match edit.kind {
            EditKind::Enable => Reverse::Enable(false),
            EditKind::Disable => Reverse::Enable(true),
            EditKind::MoveUp | EditKind::MoveDown | EditKind::Remove | EditKind::Rewrite => {
                Reverse::None
            }
        },
    })
}

pub(super) fn make(service: &mut dyn RuleService, wish: &Wish) -> ChangeOutcome {
    change(service, None, &|file, service| {
        let draft = draft(file, wish, &*service.resolver(file))?;
        Ok(Ready {
            what: format!("add {}", draft.id),
            words: text!("change-add", rule = &draft.id),
            id: draft.id,
            text: draft.text,
            command: draft.command,
            reverse: Reverse::Remove,
        })
    })
}

/// Puts a change in force that is made by the rules in force now; for good, or on a lease.
fn change(
    service: &mut dyn RuleService,
    lease: Option<Duration>,
    ready: &dyn Fn(&InForce, &dyn RuleService) -> Result<Ready, String>,
) -> ChangeOutcome {
    for _ in 0..TRIES {
        let file = match service.in_force() {
            Ok(file) => file,
            Err(failure) => return failure.refused(None, None),
        };
        let ready = match ready(&file, service) {
            Ok(ready) => ready,
            Err(why) => return Failure::Said(why).refused(None, None),
        };
        match service.apply(&file, &ready.text, lease, note(&ready.what, None)) {
            Ok(applied) => {
                return ChangeOutcome::InForce(Made {
                    id: ready.id,
                    generation: applied.generation,
                    change: applied.change,
                    what: ready.what,
                    words: ready.words,
                    reverse: ready.reverse,
                    before: file.text,
                    after: ready.text,
                });
            }
            Err(Failure::Replaced) => {}
            Err(failure) => {
                let command = ready.command.map(|command| on_a_lease(command, lease));
                return failure.refused(command, None);
            }
        }
    }
    Failure::Replaced.refused(None, None)
}

fn note(what: &str, undoes: Option<u64>) -> ChangeNote {
    ChangeNote {
        what: Some(what.to_owned()),
        undoes,
        replaces: None,
    }
}

fn on_a_lease(command: String, lease: Option<Duration>) -> String {
    match lease {
        Some(lease) => format!("{command} --lease {}s", lease.as_secs()),
        None => command,
    }
}

/// Takes a change back: the text before it, or if others changed the rules since, theirs without it.
pub(super) fn undo(service: &mut dyn RuleService, made: Made) -> ChangeOutcome {
    for _ in 0..TRIES {
        let file = match service.in_force() {
            Ok(file) => file,
            Err(failure) => return failure.refused(None, Some(made)),
        };
        let (text, what, undoes) = match without(&file, &made) {
            Ok(back) => back,
            Err(why) => return Failure::Said(why).refused(None, None),
        };
        match service.apply(&file, &text, None, note(&what, undoes)) {
            Ok(Applied { generation, .. }) => return made.taken_back(generation),
            Err(Failure::Replaced) => {}
            Err(failure) => {
                let id_word = quoted(&made.id);
                let command = match (undoes, made.reverse) {
                    (Some(number), _) => Some(format!("sudo gatebell rules undo {number}")),
                    (None, Reverse::Enable(true)) => {
                        id_word.map(|id_word| format!("sudo gatebell rules enable {id_word}"))
                    }
                    (None, Reverse::Enable(false)) => {
                        id_word.map(|id_word| format!("sudo gatebell rules disable {id_word}"))
                    }
                    (None, _) => {
                        id_word.map(|id_word| format!("sudo gatebell rules remove {id_word}"))
                    }
                };
                return failure.refused(command, Some(made));
            }
        }
    }
    Failure::Replaced.refused(None, Some(made))
}

/// Returns the file without a change, the description of that, and the number of the change that it takes back: of what
/// others changed since nothing is taken back, and then it is a change by itself.
fn without(file: &InForce, made: &Made) -> Result<(String, String, Option<u64>), String> {
    let Made {
        id, what, words, ..
    } = made;
    if file.text == made.after {
        let what = match made.change {
            Some(number) => format!("undo {number}: {what}"),
            None => format!("undo: {what}"),
        };
        return Ok((made.before.clone(), what, made.change));
    }
    let (text, what) = match made.reverse {
        Reverse::Remove => (document::remove(&file.text, id), format!("remove {id}")),
        Reverse::Enable(on) => {
            let verb = if on { "enable" } else { "disable" };
            (document::enable(&file.text, id, on), format!("{verb} {id}"))
        }
        Reverse::None => {
            return Err(text!("change-by-others", what = words));
        }
    };
    Ok((text.map_err(|wrong| wrong.to_string())?, what, None))
}
