//! Errors of the interface, and reasons why a request makes no sense.

use control::{INTERFACE, Refused};
use serde_json::{Value, json};
use varlink::Reply;

/// Error of the interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub name: &'static str,
    pub parameters: Value,
}

impl Failure {
    /// Builds an error that needs no more than a sentence.
    pub fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            parameters: json!({ "message": message.into() }),
        }
    }

    /// Builds the error for a parameter whose value is beyond the allowed range.
    pub fn out_of_range(parameter: &str, message: String) -> Self {
        Self {
            name: "OutOfRange",
            parameters: json!({ "parameter": parameter, "message": message }),
        }
    }

    /// Builds the error for a request that is longer than it may be.
    pub fn too_long(most: usize) -> Self {
        let message = format!(
            "a request of yours may have {most} bytes; longer rule files are applied by root"
        );
        Self {
            name: "MessageTooLong",
            parameters: json!({ "most": most, "message": message }),
        }
    }

    /// Returns the error as a whole reply.
    pub fn reply(self) -> Reply {
        Reply::error(format!("{INTERFACE}.{}", self.name), Some(self.parameters))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Rules(errors) => {
                let message =
                    "the rules are not right, and nothing was changed; put right what is listed";
                Self {
                    name: "RulesWrong",
                    parameters: json!({ "errors": errors, "message": message }),
                }
            }
            Refused::TooMuchMemory {
                needed,
                left,
                budget,
            } => Self {
                name: "TooMuchMemory",
                parameters: json!({ "needed": needed, "left": left, "budget": budget, "message": message }),
            },
            Refused::NoLease => Self::new("NoLease", message),
            Refused::LeaseOver => Self::new("LeaseOver", message),
            Refused::Replaced => Self::new("RulesReplaced", message),
            Refused::NoQuestion => Self::new("NoQuestion", message),
            Refused::NoAnswer(_) => Self::new("NoAnswer", message),
            Refused::NoSuchSet(_) => Self::new("NoSuchSet", message),
            Refused::StaysInSet(_) => Self::new("StaysInSet", message),
            Refused::ListsAwaited(_) => Self::new("ListsAwaited", message),
            Refused::SetFull(_) => Self::new("SetFull", message),
            Refused::NotPermitted(_) => Self::new("NotPermitted", message),
            Refused::System(_) => Self::new("SystemFailed", message),
            Refused::Incomplete {
                generation,
                confirmed,
                ..
            } => Self {
                name: "Incomplete",
                parameters: json!({ "generation": generation, "confirmed": confirmed, "message": message }),
            },
        }
    }
}

/// Reason why a request makes no sense.
pub enum Misunderstood {
    Method,
    Parameter(String),
    Range(Failure),
}
