//! Failures of the service in the window's language: what is known by its kind. What the service itself says is
//! English, as it sent it.

use control::{Failed, NotEditable};
use view::text;

/// Describes the reason for which the service can't be asked, and what to do.
pub fn words(failed: &Failed) -> String {
    match failed {
        Failed::NotRunning => text!("failed-not-running"),
        Failed::NotAllowed => text!("failed-not-allowed"),
        Failed::HungUp => text!("failed-hung-up"),
        Failed::Refused { name, message, .. } => refused(name).unwrap_or_else(|| message.clone()),
        Failed::System(error) => text!("failed-system", why = error.to_string()),
        Failed::Misfit(what) => text!("failed-misfit", what = what),
        other => other.to_string(),
    }
}

/// Describes an error that its name alone says, and what to do. What other errors are about, their messages say.
fn refused(name: &str) -> Option<String> {
    Some(match name {
        "NoLease" => text!("refused-no-lease"),
        "LeaseOver" => text!("refused-lease-over"),
        "RulesReplaced" => text!("refused-rules-replaced"),
        "NoQuestion" => text!("refused-no-question"),
        _ => return None,
    })
}

/// Describes the reason for which the rules can't be changed now, and what to do.
pub fn not_editable(why: &NotEditable) -> String {
    match why {
        NotEditable::NoText => text!("rules-no-text"),
        NotEditable::OnLease => text!("rules-on-lease"),
        NotEditable::ChangedByHand(file) => {
            let name = file.to_string_lossy();
            let file_word = control::shell_word(&name).into_owned();
            text!(
                "rules-changed-by-hand",
                file = name.into_owned(),
                file_word = file_word
            )
        }
        NotEditable::Failed(failed) => words(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::Refused;
    use std::path::PathBuf;
    use view::texts::{Language, speaking};

    #[test]
    fn what_is_known_by_its_kind_is_said_in_the_windows_language_and_in_english_as_on_the_command_line()
     {
        let refused = |name: &str, refused: Refused| {
            NotEditable::Failed(Failed::Refused {
                name: name.to_owned(),
                message: refused.to_string(),
                errors: Vec::new(),
            })
        };
        let kinds = || {
            [
                refused("NoLease", Refused::NoLease),
                refused("LeaseOver", Refused::LeaseOver),
                refused("RulesReplaced", Refused::Replaced),
                refused("NoQuestion", Refused::NoQuestion),
                NotEditable::NoText,
                NotEditable::OnLease,
                NotEditable::ChangedByHand(PathBuf::from("/etc/gatebell/rules.toml")),
                NotEditable::Failed(Failed::NotRunning),
                NotEditable::Failed(Failed::NotAllowed),
                NotEditable::Failed(Failed::HungUp),
                NotEditable::Failed(Failed::System(std::io::ErrorKind::TimedOut.into())),
                NotEditable::Failed(Failed::Misfit("nonsense".to_owned())),
            ]
        };
        for why in kinds() {
            assert_eq!(not_editable(&why), why.to_string());
        }
        let _german = speaking(Language::German);
        for why in kinds() {
            assert_ne!(not_editable(&why), why.to_string());
        }
    }
}
