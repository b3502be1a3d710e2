//! The names that addresses were asked for by: what an answer of DNS says ([`read`]), and for how long that is kept ([`Cache`]).
//!
//! The bytes are anybody's. A name is a label for people and nothing is decided by it, but it is shown on terminals: so it holds
//! printable characters of ASCII and nothing else, and is never longer than a name may be.
//!
//! No kernel, no driver and no clock of its own: whoever asks says what time it is.
#![forbid(unsafe_code)]

mod answer;
mod cache;
mod text;

pub use answer::{Answered, Unread, message, read};
pub use cache::{Cache, LONGEST, Learned, MOST, MOST_OF_A_NAME, SHORTEST};
pub use text::LONGEST_NAME;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
