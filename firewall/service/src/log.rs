//! Log of the service for people: in the journal where systemd started it, else on standard error.

use crate::escape::shown;
use std::io::{IsTerminal, stderr};
use std::os::unix::fs::MetadataExt;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::{self, Format, Full};
use tracing_subscriber::fmt::{FormatFields, Layer, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Registers the receiver of `tracing`'s macros.
pub fn open() {
    let started = tracing_subscriber::registry().with(LevelFilter::INFO);
    let heard = match journal() {
        Some(journal) => started.with(journal).try_init(),
        None => {
            let people = people(stderr).with_ansi(stderr().is_terminal());
            started.with(people).try_init()
        }
    };
    // Another program that uses this library has its own.
    let _heard_otherwise = heard;
}

/// Returns the layer that people read where there is no journal. A message may have foreign text in it, as an error's
/// cause does: no part of it looks like a line of ours, or is obeyed by a terminal. The journal keeps each message
/// whole, however many lines it has.
fn people<S, W>(writer: W) -> Layer<S, impl for<'w> FormatFields<'w> + 'static, Format<Full, ()>, W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    let fields = format::debug_fn(|writer, _, said| {
        let said = format!("{said:?}");
        for (n, line) in said.split('\n').enumerate() {
            let before = if n == 0 { "" } else { "\n    " };
            let line = shown(line);
            write!(writer, "{before}{line}")?;
        }
        Ok(())
    });
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .fmt_fields(fields)
        .without_time()
        .with_target(false)
}

/// systemd connects standard error with the journal and says which stream that is. What we are started by may have such
/// a stream and may have given us another one: a package's script, for instance, whose words are for the person who
/// runs it. The journal's own protocol keeps levels and fields.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    let ours = std::fs::metadata("/proc/self/fd/2").ok()?;
    if stream != format!("{}:{}", ours.dev(), ours.ino()) {
        return None;
    }
    tracing_journald::layer().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use tracing::{info, subscriber};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_foreign_text_forges_a_line_of_the_log_or_is_obeyed_by_a_terminal() {
        let written = Written::default();
        let writer = written.clone();
        let people = people(move || writer.clone()).with_ansi(false);
        let foreign = "/tmp/x\n INFO generation 9 is in force\r\x1b[2Jx";
        subscriber::with_default(tracing_subscriber::registry().with(people), || {
            info!("question 1: may {foreign} talk?");
            info!("the next");
        });
        let said = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            said,
            " INFO question 1: may /tmp/x\n     INFO generation 9 is in force\u{fffd}\u{fffd}[2Jx talk?\n INFO the next\n"
        );
    }
}
