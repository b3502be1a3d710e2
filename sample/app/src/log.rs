//! Log of the operations on the event object: each with its time, and what the app and the driver saw.
//!
//! The window shows these lines and `--headless` prints them; both are told of each by the same [`Log`].

use channel::{Error, Refusal};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Number of lines that are kept; the oldest make room.
const MAX_LINES: usize = 10_000;

/// Actor that a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The app, asked by its user.
    App,
    /// The app's thread that waits on the event.
    Thread,
    /// The driver, of its own accord.
    Driver,
}

impl By {
    /// Returns the actor's word in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Thread => "thread",
            Self::Driver => "driver",
        }
    }
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Time since the log was begun, in seconds.
    pub at: f64,
    /// Actor of the operation.
    pub by: By,
    /// Operation, in words.
    pub did: String,
    /// Findings of the app.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// Findings of the driver: the event's state before and after.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Name of the refusal, or `None` if the operation was not refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'static str>,
}

impl Line {
    /// Returns the line without its time: what two runs of the same operations have in common.
    pub fn told(&self) -> String {
        let mut told = format!("{:<6}  {}", self.by.name(), self.did);
        for (who, saw) in [("app", &self.app), ("driver", &self.driver)] {
            if !saw.is_empty() {
                told += &format!("; {who} saw: {saw}");
            }
        }
        told
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3}  {}", self.at, self.told())
    }
}

type Listener = Box<dyn Fn(&Line) + Send>;

/// The log, shared by whoever does something and whoever shows it.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    begun: Instant,
    lines: Mutex<VecDeque<Line>>,
    listener: Mutex<Listener>,
}

impl Log {
    /// Makes an empty log that calls `listener` for each line.
    pub fn new(listener: impl Fn(&Line) + Send + 'static) -> Self {
        let lines = Mutex::new(VecDeque::new());
        Self(Arc::new(Shared {
            begun: Instant::now(),
            lines,
            listener: Mutex::new(Box::new(listener)),
        }))
    }

    /// Adds a line, with the present time.
    pub fn add(&self, mut line: Line) -> Line {
        line.at = self.0.begun.elapsed().as_secs_f64();
        let mut lines = self.lines();
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line.clone());
        drop(lines);
        self.0
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)(&line);
        line
    }

    /// Returns the lines of the log.
    pub fn lines(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Makes a line of an operation.
    pub fn of(by: By, did: &str) -> Self {
        Self {
            at: 0.0,
            by,
            did: did.to_owned(),
            app: String::new(),
            driver: String::new(),
            refusal: None,
        }
    }

    /// Adds what the app saw.
    pub fn app(mut self, saw: &str) -> Self {
        saw.clone_into(&mut self.app);
        self
    }

    /// Adds what the driver saw.
    pub fn driver(mut self, saw: &str) -> Self {
        saw.clone_into(&mut self.driver);
        self
    }

    /// Adds why the operation was not done: by the refusal's name if the driver refused.
    pub fn failed(mut self, error: &Error) -> Self {
        self.refusal = Some(error.refusal().map_or("failed", Refusal::name));
        match error.refusal() {
            Some(refusal) => self.driver(&format!("REFUSED {}: {refusal}", refusal.name())),
            None => self.app(&format!("FAILED: {error}")),
        }
    }
}
