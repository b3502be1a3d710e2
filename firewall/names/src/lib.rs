//! Names by which addresses were asked for: reads DNS answers ([`read`]), and keeps the names for a while as labels
//! ([`Cache`]). Apart from these labels, answers are matched with the queries before them ([`Questions`]), for sets
//! that ask for names.
//!
//! The bytes are anybody's. A label is for people and nothing is decided by it, but it is shown on terminals: so it
//! holds printable characters of ASCII and nothing else, and is never longer than a name may be.
//!
//! No kernel, no driver and no clock of its own: callers pass the time.
#![forbid(unsafe_code)]

mod answer;
mod asked;
mod cache;
mod stream;
mod text;

pub use answer::{Answered, Asked, DnsExchange, Unread, message, question, read, sent};
pub use asked::{
    Answerer, HOLD_GRACE, Holds, LONGEST_HOLD, MOST_QUESTIONS, MOST_REMEMBERED,
    MOST_REMEMBERED_OF_ONE, QUESTION_WAITS, Questions, Remembered,
};
pub use cache::{
    Cache, LONGEST_CACHED, Learned, MOST_CACHED, MOST_CACHED_OF_A_NAME, SHORTEST_CACHED,
};
pub use stream::{LONGEST_SILENCE, MOST_CONNECTIONS, MOST_WAITING, Segment, Streams, Way, Whole};
pub use text::LONGEST_DNS_NAME;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
