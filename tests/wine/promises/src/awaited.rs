//! Promises to an app that awaits, in no runtime but a thread that parks.

use crate::operations::{ask, request};
use crate::{NOTICES, Promise, SOON, attach, open};
use anyhow::{Context as _, Result, ensure};
use channel::{AwaitedAttachment, Ending, Error, Wake};
use sample_abi::Operation;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as Wakes, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub const ALL: &[Promise] = &[(
    "an_app_that_awaits_is_told_of_records_its_own_signal_and_the_end",
    awaits,
)];

/// Time for which nothing comes, where nothing shall.
const QUIET: Duration = Duration::from_millis(100);

struct Unpark(Thread);

impl Wakes for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Awaits the attachment's signal; returns `None` if there is none within this time, and the wait is dropped.
fn wait(app: &mut AwaitedAttachment, most: Duration) -> Option<Result<Wake, Error>> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut waiting, end) = (pin!(app.wait()), Instant::now() + most);
    loop {
        if let Poll::Ready(wake) = waiting.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(wake);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

fn ready(app: &mut AwaitedAttachment) -> Result<()> {
    let wake = wait(app, SOON).context("nothing was said")??;
    ensure!(wake == Wake::Ready, "{wake:?}");
    Ok(())
}

fn awaits() -> Result<()> {
    let mut app = attach(64 * 1024, NOTICES)?.awaited()?;
    let device = app.attachment().device().clone();
    for number in 0..100 {
        // A wait that was dropped leaves one that is registered, which takes the next signal.
        if number % 10 == 0 {
            ensure!(wait(&mut app, QUIET).is_none(), "nothing has come");
        }
        ask(&device, request(Operation::Notify, 1, 0))?;
        let mut told = 0;
        while told == 0 {
            ready(&mut app).with_context(|| format!("notice {number}"))?;
            told += app.drain(|_| ())?.records;
        }
        ensure!(told == 1, "{told}");
    }
    ensure!(wait(&mut app, QUIET).is_none(), "nothing has come");
    app.attachment().event().set()?;
    ready(&mut app)?;
    // Dropped while a wait is registered, it is let go of all the same.
    ensure!(wait(&mut app, QUIET).is_none(), "nothing has come");
    let before = device.references()?;
    drop(app);
    let after = device.references()?;
    ensure!(
        after.attached + 1 == before.attached,
        "{before:?} {after:?}"
    );

    let mut app = attach(64 * 1024, NOTICES)?.awaited()?;
    ensure!(wait(&mut app, QUIET).is_none(), "nothing has come");
    let admin = open()?;
    admin.detach_all()?;
    let why = loop {
        match wait(&mut app, SOON).context("no end was said")?? {
            Wake::Ended(why) => break why,
            _ => app.drain(|_| ())?,
        };
    };
    ensure!(why == Ending::DriverStopping, "{why:?}");
    Ok(admin.resume()?)
}
