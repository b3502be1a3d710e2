//! Errors of changing a rule file.

/// Error of changing a rule file as requested; each message says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// The text of the file can't be changed so.
    #[error(transparent)]
    Document(#[from] rules::document::DocumentError),
    /// The rule has no such key.
    #[error("rule `{id}` has no key `{key}` to take out")]
    NoSuchKey {
        /// The rule.
        id: String,
        /// The key.
        key: String,
    },
    /// Nothing was asked.
    #[error("say what to change: one of the rule's keys, like --ports 443, or --unset KEY")]
    Nothing,
    /// The file would not be taken as it was before.
    #[error(
        "the file has {errors} error{} as it is, shown above; nothing was changed: put them right first",
        plural(*.errors)
    )]
    Before {
        /// Number of errors.
        errors: usize,
    },
    /// The file would not be taken with the change.
    #[error(
        "with this change the file would have {errors} error{}, shown above; nothing was changed",
        plural(*.errors)
    )]
    After {
        /// Number of errors.
        errors: usize,
    },
    /// No state was kept.
    #[error(
        "there is no change to {file} to take back; `gatebell rules log` lists those that can be"
    )]
    NothingToUndo {
        /// The file.
        file: String,
    },
    /// No such state was kept.
    #[error(
        "there is no change {number} to {file}; `gatebell rules log` lists those that can be taken back"
    )]
    NoSuchChange {
        /// The change.
        number: u64,
        /// The file.
        file: String,
    },
    /// Somebody else was faster.
    #[error("somebody else changed the file meanwhile, and nothing was changed now; ask again")]
    Meanwhile,
    /// The rules are on standard input, which is no file.
    #[error("standard input can't be changed; name a file: --file rules.toml")]
    StandardInput,
    /// There is no service.
    #[cfg(not(target_os = "linux"))]
    #[error(
        "say which file: --file rules.toml; on this system there is no service whose file it could be"
    )]
    NoFile,
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}
