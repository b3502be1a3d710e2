//! The evening's time: when it began, when its loads end, and whether somebody wants it to end now.

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Flag that Ctrl-C sets.
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Makes Ctrl-C end the evening at its next step from now on, so that all that was made is taken down.
pub fn watch_for_the_end() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Ends the evening as Ctrl-C does: something is missing without which it is no evening.
pub fn interrupt() {
    if let Some(flag) = INTERRUPTED.get() {
        flag.store(true, Ordering::Release);
    }
}

/// Returns whether Ctrl-C or another such signal has come.
pub fn is_interrupted() -> bool {
    INTERRUPTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Acquire))
}

/// Fails once the evening was interrupted.
pub fn go_on() -> Result<()> {
    if is_interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

/// Sleeps, but not past Ctrl-C.
pub fn sleep(time: Duration) {
    let end = Instant::now() + time;
    while !is_interrupted() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50).min(end - Instant::now().min(end)));
    }
}

/// Waits until something is so, not longer than `most`.
pub fn until(most: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + most;
    while !is_interrupted() && Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    so()
}

/// Counts from the evening's beginning.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    /// Time during which programs are started; the rest of the evening is idle.
    loads: Duration,
    whole: Duration,
}

impl Clock {
    /// Starts a clock for an evening of this length; a tenth of it, two minutes at most, is idle.
    pub fn start(whole: Duration) -> Self {
        let idle = (whole / 10).min(Duration::from_secs(120));
        Self {
            began: Instant::now(),
            loads: whole - idle,
            whole,
        }
    }

    /// Milliseconds since the beginning.
    pub fn now_ms(self) -> u64 {
        self.ms_at(Instant::now())
    }

    /// Milliseconds from the beginning to this moment.
    pub fn ms_at(self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns whether programs are still to be started.
    pub fn is_busy(self) -> bool {
        !is_interrupted() && self.began.elapsed() < self.loads
    }

    /// Returns the time for which programs are still to be started.
    pub fn busy_for(self) -> Duration {
        self.loads.saturating_sub(self.began.elapsed())
    }

    /// Returns the time that is left of the evening.
    pub fn left(self) -> Duration {
        self.whole.saturating_sub(self.began.elapsed())
    }

    /// Returns the time that the evening has taken, and takes in all, for people.
    pub fn shown(self) -> String {
        let minutes =
            |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
        format!(
            "{} of {}",
            minutes(self.began.elapsed()),
            minutes(self.whole)
        )
    }
}
