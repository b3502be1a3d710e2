//! What keeps a command from doing what it was asked.

use crate::capture::Broken;
use std::io;
use std::path::PathBuf;

/// What keeps a command from doing what it was asked; each says what to do next.
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
        /// What the system says.
        cause: io::Error,
    },
    /// A file can't be written.
    #[error("{}: can't be written: {cause}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A rule file has errors, which were shown before.
    #[error("{file} has {errors} error{}; nothing was judged: put right what is shown above", if *.errors == 1 { "" } else { "s" })]
    Rules {
        /// The file.
        file: String,
        /// How many.
        errors: usize,
    },
    /// A capture can't be read on.
    #[error("{file}: {broken}")]
    Capture {
        /// The file.
        file: String,
        /// What is wrong with it.
        broken: Broken,
    },
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
    /// It is not as it was said to be.
    #[error("not as expected: {0}")]
    Unexpected(String),
    /// `--expect` asks for something that there is not.
    #[error("--expect: {0}")]
    Expectation(String),
}
