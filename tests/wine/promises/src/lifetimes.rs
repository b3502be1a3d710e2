//! Promises about apps that come, go, die and are told to go.

use crate::apps::App;
use crate::operations::{ask, request};
use crate::{DEVICE, NOTICES, Promise, SERVICE, SOON, attach, open, receive, until};
use anyhow::{Result, ensure};
use channel::sys::windows::service::State;
use channel::{Ending, Mask, Refusal, Wake};
use sample_abi::Operation;
use std::time::{Duration, Instant};

/// Time within which nothing of a dead app may be left.
const GONE: Duration = Duration::from_secs(1);

pub const ALL: &[Promise] = &[
    ("two_apps_at_once_each_get_their_own", two_apps),
    ("an_app_killed_while_referenced_leaves_no_reference", killed),
    (
        "an_app_killed_while_the_driver_waits_leaves_no_reference",
        killed_while_waiting,
    ),
    ("an_app_that_closes_its_device_leaves_no_reference", closes),
    ("references_come_and_go_a_thousand_times", a_thousand_times),
    (
        "detach_all_ends_every_app_with_a_tombstone_and_a_last_signal",
        detach_all,
    ),
    (
        "a_driver_is_not_unloaded_while_its_device_is_open",
        not_unloaded,
    ),
];

fn two_apps() -> Result<()> {
    let mut mine = attach(64 * 1024, NOTICES)?;
    let others = [App::start("counter")?, App::start("counter")?];
    ask(mine.device(), request(Operation::Notify, 500, 100))?;
    receive(&mut mine, 500)?;
    for other in others {
        other.finish()?;
    }
    let account = mine.account()?;
    ensure!(
        account.balances() && account.delivered == 500,
        "another app's notices came here: {account:?}"
    );
    Ok(())
}

fn killed() -> Result<()> {
    dies(App::start("sleeper")?)
}

fn killed_while_waiting() -> Result<()> {
    let app = App::start("waiter")?;
    std::thread::sleep(Duration::from_millis(300));
    dies(app)
}

fn dies(app: App) -> Result<()> {
    let device = open()?;
    let before = device.references()?;
    ensure!(
        before.attached == 1 && before.taken == before.released + 1,
        "{before:?}"
    );
    app.kill()?;
    until("its reference is gone", GONE, || {
        Ok(device.references()?.attached == 0)
    })?;
    let after = device.references()?;
    ensure!(
        after.taken == before.taken && after.released == after.taken,
        "{after:?}"
    );
    Ok(())
}

fn closes() -> Result<()> {
    let device = open()?;
    let before = device.references()?;
    drop(attach(4096, Mask::ALL)?);
    until("its reference is gone", GONE, || {
        let now = device.references()?;
        Ok(now.attached == 0
            && now.taken == before.taken + 1
            && now.released == before.released + 1)
    })
}

fn a_thousand_times() -> Result<()> {
    let device = open()?;
    let before = device.references()?;
    let mut attachment = attach(4096, NOTICES)?;
    for _ in 0..1000 {
        attachment.detach()?;
        attachment = attachment.device().clone().attach(4096, NOTICES)?;
    }
    drop(attachment);
    until("its reference is gone", GONE, || {
        Ok(device.references()?.attached == 0)
    })?;
    let after = device.references()?;
    ensure!(
        after.taken == before.taken + 1001 && after.released == after.taken,
        "{before:?} {after:?}"
    );
    Ok(())
}

fn detach_all() -> Result<()> {
    let mut mine = attach(64 * 1024, NOTICES)?;
    let device = mine.device().clone();
    let asleep = std::thread::spawn({
        let mut other = attach(64 * 1024, NOTICES)?;
        move || -> Result<_> {
            let wake = other.wait(Some(SOON))?;
            Ok((wake, other.drain(|_| {})?.ended))
        }
    });
    let in_driver = std::thread::spawn({
        let device = device.clone();
        move || ask(&device, request(Operation::Wait, 0, 60_000_000))
    });
    std::thread::sleep(Duration::from_millis(200));

    let started = Instant::now();
    device.detach_all()?;
    let (wake, ended) = asleep
        .join()
        .map_err(|_| anyhow::anyhow!("the sleeping thread panicked"))??;
    ensure!(wake == Wake::Ready, "no last signal");
    ensure!(
        ended == Some(Ending::DriverStopping),
        "no tombstone: {ended:?}"
    );
    // Whether the last signal or the driver's giving up ended it does not matter; that it ended does.
    let waited = in_driver
        .join()
        .map_err(|_| anyhow::anyhow!("the waiting thread panicked"))?;
    ensure!(
        started.elapsed() < SOON,
        "somebody hung: {:?}, {waited:?}",
        started.elapsed()
    );
    let ended = mine.drain(|_| {})?.ended;
    ensure!(
        ended == Some(Ending::DriverStopping),
        "no tombstone: {ended:?}"
    );

    let refused = attach(4096, NOTICES).err();
    let refusal = refused.and_then(|error| error.downcast_ref::<channel::Error>()?.refusal());
    ensure!(
        refusal == Some(Refusal::Stopping),
        "a reference while stopping: {refusal:?}"
    );
    let references = device.references()?;
    ensure!(
        references.taken == references.released && references.attached == 0,
        "{references:?}"
    );
    Ok(())
}

fn not_unloaded() -> Result<()> {
    let device = open()?;
    let stopping = std::thread::spawn(|| SERVICE.stop(DEVICE, SOON));
    std::thread::sleep(Duration::from_millis(500));
    ensure!(!stopping.is_finished(), "it stopped with its device open");
    // It still serves who has it open.
    device.references()?;
    drop(device);
    stopping
        .join()
        .map_err(|_| anyhow::anyhow!("the stopping thread panicked"))??;
    ensure!(SERVICE.state()? == State::Stopped, "{:?}", SERVICE.state()?);
    SERVICE.start()?;
    open().map(drop)
}
