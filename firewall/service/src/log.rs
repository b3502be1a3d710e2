//! What the service says to people: to the journal where systemd started it, else to standard error.

use std::io::{IsTerminal, stderr};
use std::os::unix::fs::MetadataExt;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// From here on `tracing`'s macros are heard.
pub fn open() {
    let started = tracing_subscriber::registry().with(LevelFilter::INFO);
    let heard = match journal() {
        Some(journal) => started.with(journal).try_init(),
        None => {
            let people = tracing_subscriber::fmt::layer()
                .with_writer(stderr)
                .without_time()
                .with_target(false);
            started
                .with(people.with_ansi(stderr().is_terminal()))
                .try_init()
        }
    };
    // Another program that uses this library has its own.
    let _heard_otherwise = heard;
}

/// systemd connects standard error with the journal and says which stream that is. What we are started by may have such a
/// stream and may have given us another one: a package's script, for instance, whose words are for whoever runs it. The
/// journal's own protocol keeps levels and fields.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let ours = std::fs::metadata("/proc/self/fd/2").ok()?;
    if stream != format!("{}:{}", ours.dev(), ours.ino()) {
        return None;
    }
    tracing_journald::layer().ok()
}
