//! A test program that was started again to do one thing beside the test: who starts it, and what it is in there.

use crate::again;
use std::env;
use std::io::{self, BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Name of the variable that says what a test program is to do.
pub const ACT: &str = "GATEBELL_ACT";

/// The variable that says whether that is meant to come about.
const MEANT: &str = "GATEBELL_MEANT";

/// Line that the program prints once it has begun; the test harness writes to the same pipe.
const READY: &str = "---- ready ----";

/// Exit code of a program that was refused what it tried.
const REFUSED: i32 = 3;

/// Runs a test program to its end, and returns whether it did what it tried, or was refused.
///
/// # Panics
///
/// When it can't be started, or comes to neither.
#[must_use]
pub fn does(mut command: Command, meant: bool) -> bool {
    let output = command.env(MEANT, meant.to_string()).output();
    let output = output.expect("a program that starts");
    match output.status.code() {
        Some(0) => true,
        Some(REFUSED) => false,
        _ => panic!("{command:?}: {output:?}"),
    }
}

/// Running test program. Dropping it ends it.
pub struct Acting {
    /// Process of the program.
    pub process: Child,
    // The harness in there may still be about to say something.
    _said: Option<Lines<BufReader<ChildStdout>>>,
}

impl Acting {
    /// Starts a test program, and waits until it says that it is [`ready`].
    ///
    /// # Panics
    ///
    /// When it can't be started, or ends before.
    #[must_use]
    pub fn starts(mut command: Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program that starts");
        let said = process.stdout.take().expect("a pipe");
        let mut said = BufReader::new(said).lines();
        // With one processor the harness has begun the line.
        while !said
            .next()
            .expect("somebody has ended")
            .expect("text")
            .ends_with(READY)
        {}
        Self {
            process,
            _said: Some(said),
        }
    }

    /// Starts a test program that does not say when it has begun.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    #[must_use]
    pub fn begins(mut command: Command) -> Self {
        let process = command.stdout(Stdio::null()).spawn();
        Self {
            process: process.expect("a program that starts"),
            _said: None,
        }
    }

    /// Returns whether what the program waits for comes within this time.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[must_use]
    pub fn gets_it(mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                assert!(status.success(), "{status}");
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Returns, in the program that was started, its task, having become the user that it is to be; or `None` in the test
/// itself.
#[must_use]
pub fn act() -> Option<String> {
    let what = env::var(ACT).ok()?;
    again::go_on_as_the_user();
    Some(what)
}

/// Returns, in the program that was started, whether its task is meant to succeed.
#[must_use]
pub fn meant() -> bool {
    env::var(MEANT).is_ok_and(|meant| meant == "true")
}

/// Says, in the program that was started, that it has begun.
pub fn ready() {
    println!("{READY}");
}

/// Ends the program that was started with the result of its task.
///
/// # Panics
///
/// When that is another error than a refusal.
pub fn end(what: &str, done: io::Result<()>, is_refusal: impl Fn(&io::Error) -> bool) -> ! {
    std::process::exit(match done {
        Ok(()) => 0,
        Err(error) if is_refusal(&error) => REFUSED,
        Err(error) => panic!("{what}: {error}"),
    })
}
