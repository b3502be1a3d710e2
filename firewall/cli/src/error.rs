//! Errors of the commands.

use crate::capture::Broken;
use std::io;
use std::path::PathBuf;

/// Error that keeps a command from doing what it was asked; each message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard output can't be written.
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
    /// A file can't be read.
    #[error("{}: can't be read: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Error of the system.
        cause: io::Error,
    },
    /// A file can't be written.
    #[error("{}: can't be written: {cause}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Error of the system.
        cause: io::Error,
    },
    /// A rule file has errors, which were shown before.
    #[error("{file} has {errors} error{}; nothing was judged: put right what is shown above", if *.errors == 1 { "" } else { "s" })]
    Rules {
        /// The file.
        file: String,
        /// Number of errors.
        errors: usize,
    },
    /// A rule file is too large with the members that have joined its sets.
    #[error("{file}: with what has joined its sets: {message}")]
    Joined {
        /// The file.
        file: String,
        /// Description of what is too large.
        message: String,
    },
    /// A rule file is too large for the networks that `--as-if` declares.
    #[error("{file}: where its networks are as asked for: {message}")]
    Elsewhere {
        /// The file.
        file: String,
        /// Description of what is too large.
        message: String,
    },
    /// There is no such network.
    #[error("--as-if: {0}")]
    AsIf(String),
    /// A capture can't be read on.
    #[error("{file}: {broken}")]
    Capture {
        /// The file.
        file: String,
        /// Description of what is wrong with the file.
        broken: Broken,
    },
    /// A rule file can't be changed as it was asked.
    #[error(transparent)]
    Change(#[from] crate::edit::Wrong),
    /// Nobody knows what firewall a file is from.
    #[error(
        "{0}: it is not seen which firewall this is from; say so with --from, or see what is read: gatebell rules import --help"
    )]
    UnknownExport(String),
    /// A file of another firewall can't be read.
    #[error("{file}: as {kind}: {wrong}")]
    Export {
        /// The file.
        file: String,
        /// Kind of firewall that the file was read as.
        kind: &'static str,
        /// Description of what is wrong with the file.
        wrong: String,
    },
    /// A connection that nobody could begin.
    #[error("{0}")]
    Test(String),
    /// Nobody is known by this name.
    #[error("--packet: {0}")]
    Who(String),
    /// Nobody said which way a packet goes.
    #[error(
        "packet {number}, {source_address} -> {destination_address}: the capture does not say which way it goes; say which \
         addresses are protected: --zone {source_address} or --zone {destination_address}"
    )]
    NoDirection {
        /// The packet's number.
        number: u64,
        /// One end.
        source_address: std::net::IpAddr,
        /// The other.
        destination_address: std::net::IpAddr,
    },
    /// The counts of a dry run are not those that `--expect` declares.
    #[error("not as expected: {0}")]
    Unexpected(String),
    /// `--expect` asks for something that there is not.
    #[error("--expect: {0}")]
    Expectation(String),
    /// The argument of `--record` is no record.
    #[error("--record: {0}")]
    Record(String),
    /// No rule file is given where there is no service that could be asked for its rules.
    #[cfg(not(target_os = "linux"))]
    #[error(
        "name a rule file; on this system there is no service that could be asked for the rules in force"
    )]
    NoFile,
    /// The service does not answer, or refuses.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Service(#[from] control::Failed),
    /// The driver's device does not tell.
    #[cfg(target_os = "linux")]
    #[error("can't be told by the driver: {0:#}")]
    Device(anyhow::Error),
    /// The service found errors in a rule file.
    #[cfg(target_os = "linux")]
    #[error("{errors}\n{message}")]
    Applied {
        /// Each one.
        errors: String,
        /// Message that says what to do.
        message: String,
    },
    /// The rules in force can't be changed as requested, or not be shown.
    #[cfg(target_os = "linux")]
    #[error("{}{}", .0, instead(.0))]
    NotEditable(control::NotEditable),
    /// No answer, or more than one, has a name that begins so.
    #[cfg(target_os = "linux")]
    #[error(
        "{}: {}; `gatebell answers` lists them, and nothing was changed", which.escape_debug(),
        if *.several { "several answers begin so: write more of it" } else { "no answer begins so" }
    )]
    WhichAnswer {
        /// Begin of a name that was given.
        which: String,
        /// Several have it.
        several: bool,
    },
    /// Records are unaccounted for.
    #[cfg(target_os = "linux")]
    #[error(
        "the books do not balance: {0}; things may still have been moving, so ask again once it is quiet, and report it if it \
         stays so"
    )]
    Unbalanced(String),
    /// The command needs root.
    #[cfg(target_os = "linux")]
    #[error("only root can take the firewall out of the kernel; run: sudo gatebell recover")]
    NotRoot,
    /// Not everything could be taken out.
    #[cfg(target_os = "linux")]
    #[error(
        "not everything could be taken out, and what could not is said above; put that right and run it again, it can be run \
         as often as you like"
    )]
    Recover,
    /// The service's program, which takes everything out, can't be run.
    #[cfg(target_os = "linux")]
    #[error("{}: can't be run: {cause}; it comes with gatebell: install the package again, or name the program with --program", file.display())]
    NoServiceProgram {
        /// The program.
        file: PathBuf,
        /// Error of the system.
        cause: io::Error,
    },
    /// No refused packet was kept.
    #[cfg(target_os = "linux")]
    #[error(
        "no refused packet was shown to you yet; let `gatebell watch` run until one is, then ask again"
    )]
    NoLast,
    /// There is no place to keep one.
    #[cfg(target_os = "linux")]
    #[error(
        "there is no place of your own for the last refused packet, as XDG_RUNTIME_DIR is not set; give the record itself: \
         gatebell why --record '{{…}}', as `gatebell watch --json` prints it"
    )]
    NoPlace,
}

/// Returns another way to do what the service refused, or an empty text.
#[cfg(target_os = "linux")]
fn instead(why: &control::NotEditable) -> &'static str {
    match why {
        control::NotEditable::OnLease => "; or try this out too, with --lease 60s",
        _ => "",
    }
}

#[cfg(target_os = "linux")]
impl From<control::NotEditable> for Error {
    fn from(why: control::NotEditable) -> Self {
        match why {
            control::NotEditable::Failed(failed) => failed.into(),
            other => Self::NotEditable(other),
        }
    }
}

#[cfg(target_os = "linux")]
impl Error {
    /// Converts an error of the driver's device by its cause.
    pub(crate) fn of_device(error: anyhow::Error) -> Self {
        match view::reader::unreachable(&error) {
            Some(failed) => failed.into(),
            None => Self::Device(error),
        }
    }

    /// Returns whether the error says that the service is gone, or about to be.
    pub(crate) fn gone(&self) -> bool {
        match self {
            Self::Service(control::Failed::NotRunning) => true,
            Self::Device(error) => match error.downcast_ref() {
                Some(channel::Error::Refused { refusal, .. }) => {
                    *refusal == channel_abi::Refusal::Stopping
                }
                Some(channel::Error::System { .. }) => true,
                _ => false,
            },
            _ => false,
        }
    }
}
