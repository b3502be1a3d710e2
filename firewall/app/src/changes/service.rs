//! Who has the rules, and what is asked of it.

use rules::Resolver;
use std::path::PathBuf;

/// A rule file's text as the service has it in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What the file is called.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// Its generation.
    pub generation: u32,
    /// The folder from which on it names files.
    pub folder: PathBuf,
}

/// Why the service does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Others have changed the rules meanwhile.
    Replaced,
    /// This user may not.
    NotPermitted(String),
    /// Another reason; it says what to do.
    Said(String),
}

/// Who has the rules.
pub trait Service {
    /// The rules in force, if they can be changed now.
    fn in_force(&mut self) -> Result<InForce, Failure>;
    /// Puts this text in force in the place of that one. The new generation.
    fn apply(&mut self, old: &InForce, text: &str, what: &str) -> Result<u32, Failure>;
    /// What knows the names in these rules.
    fn resolver(&self, file: &InForce) -> Box<dyn Resolver>;
}

#[cfg(target_os = "linux")]
impl From<control::Failed> for Failure {
    fn from(failed: control::Failed) -> Self {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match failed {
            control::Failed::Refused {
                name,
                message,
                errors,
            } => match name.as_str() {
                "RulesReplaced" => Self::Replaced,
                "NotPermitted" => Self::NotPermitted(message),
                _ if errors.is_empty() => Self::Said(message),
                _ => Self::Said(format!("{}\n{message}", errors.join("\n"))),
            },
            control::Failed::System(error) if matches!(error.kind(), TimedOut | WouldBlock) => {
                Self::Said(
                    "The firewall has not answered for two minutes: perhaps nobody gave the permission. See what is in force, \
                     then try again: gatebell rules show"
                        .to_owned(),
                )
            }
            other => Self::Said(other.to_string()),
        }
    }
}

#[cfg(target_os = "linux")]
impl Service for crate::questions::AtSocket {
    fn in_force(&mut self) -> Result<InForce, Failure> {
        let said = |why: &str| Err(Failure::Said(why.to_owned()));
        let rules = self.ask(control::Client::rules)?;
        let Some(text) = rules.text else {
            return said(
                "The firewall found its rules in the kernel and has no text of them; apply a rule file: gatebell rules apply FILE",
            );
        };
        if self.ask(control::Client::status)?.lease.is_some() {
            return said(
                "Rules are on a lease: confirm them or return to the ones before first, `gatebell rules confirm` or `gatebell \
                 rules revert`.",
            );
        }
        // Who may not read it is told by the service what to do.
        let on_disk = std::fs::read_to_string(&rules.file).ok();
        if on_disk.is_some_and(|on_disk| on_disk != text) {
            return Err(Failure::Said(format!(
                "{} was changed and is not in force as it is now; put it in force first: sudo systemctl reload gatebell",
                rules.file.display()
            )));
        }
        Ok(InForce {
            name: rules.file.display().to_string(),
            text,
            generation: rules.generation,
            folder: rules.folder,
        })
    }

    fn apply(&mut self, old: &InForce, text: &str, what: &str) -> Result<u32, Failure> {
        let note = control::ChangeNote {
            what: Some(what.to_owned()),
            undoes: None,
            replaces: Some(old.generation),
        };
        let applied = self.ask(|client| client.apply_change(&old.name, text, None, &note))?;
        Ok(applied.generation)
    }

    fn resolver(&self, file: &InForce) -> Box<dyn Resolver> {
        Box::new(rules::SystemResolver::beside(
            &file.folder.join("rules.toml"),
        ))
    }
}
