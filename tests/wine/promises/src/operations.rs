//! Promises of the driver's operations on the event, and that both sides' counters agree.

use crate::apps::App;
use crate::{NOTICES, Promise, SOON, attach, receive, until};
use anyhow::{Context, Result, ensure};
use channel::sys::windows::{NamedEvent, Windows};
use channel::{Device, Item, Kind, Mask, Refusal, Wake};
use channel_abi::{AnyCommand, DriverRequest};
use sample_abi::{Notice, Operate, Operation, Seen};
use sample_abi::{Process, kind};
use std::os::windows::io::AsRawHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;
use windows_sys::Win32::System::IO::{
    CancelIoEx, DeviceIoControl, GetOverlappedResult, OVERLAPPED,
};
use zerocopy::IntoBytes;

/// Name of the driver's named event, seen from an app: as its `wide_name!` has it.
const NAMED: &str = r"Global\GatebellSampleProcess";
/// Right to set or reset an event: EVENT_MODIFY_STATE.
const MODIFY: u32 = 2;

pub const ALL: &[Promise] = &[
    (
        "set_clear_pulse_and_query_do_what_they_say",
        set_clear_pulse_and_query,
    ),
    (
        "notices_from_a_request_arrive_in_order",
        notices_from_a_request,
    ),
    ("notices_from_a_timer_arrive_in_order", notices_from_a_timer),
    ("the_driver_waits_until_the_app_sets", the_driver_waits),
    (
        "a_wait_in_the_driver_ends_when_its_time_is_over",
        a_wait_ends,
    ),
    (
        "a_driver_works_on_one_request_of_an_app_at_a_time",
        one_at_a_time,
    ),
    ("one_hundred_thousand_signals_balance", one_hundred_thousand),
    (
        "a_stopped_reader_loses_exactly_what_is_counted",
        a_stopped_reader,
    ),
    ("a_cancelled_request_ends_as_cancelled", cancelled),
    (
        "a_named_event_can_be_waited_on_but_not_reset",
        a_named_event,
    ),
    (
        "a_named_event_that_nobody_waits_on_says_nothing",
        nobody_waits,
    ),
    ("a_process_that_starts_and_ends_is_reported", a_process),
    ("a_mask_decides_what_is_told", a_mask),
];

pub fn request(operation: Operation, count: u32, interval_us: u32) -> Operate {
    Operate::new(operation, count, interval_us)
}

pub fn ask(device: &Device<Windows>, mut request: Operate) -> Result<Seen> {
    device.request(&mut request)?;
    Ok(request.seen)
}

fn set_clear_pulse_and_query() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let (device, event) = (attachment.device(), attachment.event());
    let states =
        |operation| ask(device, request(operation, 0, 0)).map(|seen| (seen.before, seen.after));
    ensure!(
        states(Operation::Query)? == (0, 0),
        "a new event is signalled"
    );
    ensure!(states(Operation::Set)? == (0, 1) && event.is_set()?, "set");
    ensure!(
        states(Operation::Query)? == (1, 1) && event.is_set()?,
        "query"
    );
    ensure!(
        states(Operation::Clear)? == (1, 0) && !event.is_set()?,
        "clear"
    );
    ensure!(
        states(Operation::Pulse)? == (0, 0) && !event.is_set()?,
        "pulse"
    );
    // The other way round: the app changes it, the driver looks.
    event.set()?;
    ensure!(states(Operation::Query)? == (1, 1), "the app's set");
    event.clear()?;
    ensure!(states(Operation::Query)? == (0, 0), "the app's clear");
    Ok(())
}

fn notices_from_a_request() -> Result<()> {
    notices(Operation::Notify, 100, 1000, false)
}

fn notices_from_a_timer() -> Result<()> {
    notices(Operation::NotifyFromTimer, 100, 1000, true)
}

/// Asks for notices and checks each one's number.
fn notices(operation: Operation, count: u32, interval_us: u32, from_timer: bool) -> Result<()> {
    let mut attachment = attach(64 * 1024, NOTICES)?;
    let started = Instant::now();
    ask(attachment.device(), request(operation, count, interval_us))?;
    let mut next = 0;
    while next < u64::from(count) {
        ensure!(
            attachment.wait(Some(SOON))? == Wake::Ready,
            "only {next} notices came"
        );
        let mut wrong = None;
        attachment.drain(|item| {
            let notice = match item {
                Item::Record(record) => record.read::<Notice>().ok(),
                Item::Lost(_) => None,
            };
            match notice {
                Some(notice) if notice.number == next && (notice.from_timer == 1) == from_timer => {
                    next += 1
                }
                other => wrong = Some(format!("{other:?} instead of {next}")),
            }
        })?;
        ensure!(wrong.is_none(), "{wrong:?}");
    }
    let least = Duration::from_micros(u64::from(interval_us) * u64::from(count - 1));
    ensure!(
        started.elapsed() >= least,
        "too early: {:?} instead of {least:?}",
        started.elapsed()
    );
    let account = attachment.account()?;
    ensure!(account.balances() && account.gaps == 0, "{account:?}");
    Ok(())
}

fn the_driver_waits() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let device = attachment.device().clone();
    let waiting = std::thread::spawn(move || ask(&device, request(Operation::Wait, 0, 30_000_000)));
    std::thread::sleep(Duration::from_millis(200));
    ensure!(!waiting.is_finished(), "the driver did not wait");
    // Other requests on the same device are served meanwhile.
    ask(attachment.device(), request(Operation::Query, 0, 0))?;
    attachment.event().set()?;
    let seen = waiting
        .join()
        .map_err(|_| anyhow::anyhow!("the waiting thread panicked"))??;
    ensure!(
        seen.before == 0 && seen.after == 0,
        "the wait did not take the signal: {seen:?}"
    );
    Ok(())
}

fn a_wait_ends() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let started = Instant::now();
    let result = ask(attachment.device(), request(Operation::Wait, 0, 200_000));
    let refusal = result
        .err()
        .and_then(|error| error.downcast_ref::<channel::Error>()?.refusal());
    ensure!(refusal == Some(Refusal::TimedOut), "{refusal:?}");
    let took = started.elapsed();
    ensure!(
        took >= Duration::from_millis(190) && took < SOON,
        "{took:?}"
    );
    Ok(())
}

/// Cancels a request, which ends as whoever cancels it wants to hear it: libraries take nothing else for a cancelled
/// one.
fn cancelled() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let device = attachment.device();
    let done = device.create_event(4096)?;
    let mut wait = request(Operation::Wait, 0, 30_000_000);
    let handle = device.system().handle().as_raw_handle();
    let mut overlapped = OVERLAPPED {
        hEvent: done.system().handle().as_raw_handle(),
        ..OVERLAPPED::default()
    };
    let bytes = wait.as_mut_bytes();
    let (start, length) = (bytes.as_mut_ptr(), bytes.len() as u32);
    let started = Instant::now();
    let command = AnyCommand::from(Operate::COMMAND);
    // SAFETY: buffers of the length said; they and `overlapped` stay until the request is done, below.
    let at_once = unsafe {
        DeviceIoControl(
            handle,
            command.control_code(),
            start.cast(),
            length,
            start.cast(),
            length,
            std::ptr::null_mut(),
            &raw mut overlapped,
        )
    };
    ensure!(at_once == 0, "the driver did not wait");
    std::thread::sleep(Duration::from_millis(200));
    // SAFETY: the request of above.
    let asked = unsafe { CancelIoEx(handle, &raw const overlapped) };
    ensure!(asked != 0, "there is nothing to cancel");
    let mut used = 0;
    // SAFETY: as above; waits until it is done.
    let answered = unsafe { GetOverlappedResult(handle, &raw const overlapped, &raw mut used, 1) };
    let why = std::io::Error::last_os_error();
    ensure!(answered == 0, "it succeeded");
    ensure!(
        why.raw_os_error() == Some(ERROR_OPERATION_ABORTED.cast_signed()),
        "it ended with {why}"
    );
    ensure!(started.elapsed() < SOON, "the driver waited on");
    // The next one is served.
    ask(device, request(Operation::Query, 0, 0)).map(drop)
}

fn one_at_a_time() -> Result<()> {
    let attachment = attach(4096, NOTICES)?;
    let wait = |device: &Device<Windows>, longest_us| {
        let result = ask(device, request(Operation::Wait, 0, longest_us));
        let busy = |error: &anyhow::Error| error.downcast_ref::<channel::Error>()?.refusal();
        let refused = result.as_ref().err().and_then(busy) == Some(Refusal::Busy);
        (refused, result)
    };
    let device = attachment.device().clone();
    let waiting = std::thread::spawn(move || {
        loop {
            // A short wait of below may be under way: then it is this one that has to come again.
            let (refused, result) = wait(&device, 30_000_000);
            if !refused {
                return result;
            }
        }
    });
    until("a second wait is refused", SOON, || {
        Ok(wait(attachment.device(), 1).0)
    })?;
    attachment.event().set()?;
    waiting
        .join()
        .map_err(|_| anyhow::anyhow!("the waiting thread panicked"))??;
    Ok(())
}

/// Checks I1, exact, over a hundred thousand records: what the driver offered, committed and lost, and what the app
/// got.
fn one_hundred_thousand() -> Result<()> {
    const SIGNALS: u32 = 100_000;
    let mut attachment = attach(64 * 1024, NOTICES)?;
    let device = attachment.device().clone();
    let asking = std::thread::spawn(move || ask(&device, request(Operation::Notify, SIGNALS, 0)));
    let mut lost_here = 0;
    while !asking.is_finished() {
        attachment.wait(Some(Duration::from_millis(100)))?;
        attachment.drain(|item| {
            if let Item::Lost(lost) = item {
                lost_here += lost.count;
            }
        })?;
    }
    let seen = asking
        .join()
        .map_err(|_| anyhow::anyhow!("the asking thread panicked"))??;
    attachment.drain(|_| {})?;
    let account = attachment.account()?;
    println!("{account:?}");
    ensure!(
        seen.offered == SIGNALS && account.kernel.offered == u64::from(SIGNALS),
        "{seen:?} {account:?}"
    );
    ensure!(account.balances() && account.in_ring == 0, "{account:?}");
    ensure!(
        account.delivered + account.kernel.lost_in_all() == u64::from(SIGNALS),
        "{account:?}"
    );
    ensure!(
        account.lost_told.iter().sum::<u64>() >= lost_here,
        "{account:?}"
    );
    Ok(())
}

fn a_stopped_reader() -> Result<()> {
    let mut attachment = attach(4096, NOTICES)?;
    let fits = 4096 / size_of::<Notice>() as u64;
    ask(attachment.device(), request(Operation::Notify, 1000, 0))?;
    let account = attachment.account()?;
    ensure!(
        account.kernel.committed == fits && account.in_ring == fits,
        "{account:?}"
    );
    ensure!(account.kernel.lost == [1000 - fits, 0, 0], "{account:?}");
    // It reads again: first what waited, then what comes, and each loss is told of or seen in the ledger.
    receive(&mut attachment, fits)?;
    ask(attachment.device(), request(Operation::Notify, 10, 1000))?;
    receive(&mut attachment, 10)?;
    let account = attachment.account()?;
    ensure!(
        account.balances() && account.delivered == fits + 10,
        "{account:?}"
    );
    let told: u64 = account.lost_told.iter().sum();
    ensure!(
        told == account.gaps,
        "losses told and gaps differ: {account:?}"
    );
    ensure!(told + account.lost_untold() == 1000 - fits, "{account:?}");
    Ok(())
}

fn a_named_event() -> Result<()> {
    let named = NamedEvent::open(NAMED)?;
    ensure!(
        named.reset().is_err(),
        "a handle to wait with could reset it"
    );
    ensure!(
        NamedEvent::open_with(NAMED, MODIFY).is_err(),
        "it could be opened to reset it"
    );
    // A pulse wakes who waits just then. Some may fall between two waits: that is what is wrong with it.
    let attachment = attach(4096, NOTICES)?;
    let woken = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            named
                .wait(Some(SOON))
                .inspect(|_| woken.store(true, Ordering::SeqCst))
        });
        until("a pulse wakes the waiter", SOON, || {
            ask(attachment.device(), request(Operation::PulseNamed, 0, 0))?;
            Ok(woken.load(Ordering::SeqCst))
        })?;
        let heard = waiting
            .join()
            .map_err(|_| anyhow::anyhow!("the waiting thread panicked"))??;
        ensure!(heard, "the pulse was not heard");
        Ok(())
    })
}

fn nobody_waits() -> Result<()> {
    let named = NamedEvent::open(NAMED)?;
    let attachment = attach(4096, NOTICES)?;
    for _ in 0..10 {
        ask(attachment.device(), request(Operation::PulseNamed, 0, 0))?;
    }
    let heard = named.wait(Some(Duration::ZERO))?;
    ensure!(!heard, "a pulse was kept");
    Ok(())
}

fn a_process() -> Result<()> {
    let mut attachment = attach(
        64 * 1024,
        Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT),
    )?;
    let app = App::start("passer-by")?;
    let pid = app.pid();
    app.finish()?;
    let (mut started, mut ended) = (None, None);
    until("its start and its end are told", SOON, || {
        attachment.wait(Some(Duration::from_millis(100)))?;
        attachment.drain(|item| {
            if let Item::Record(record) = item
                && let Ok(process) = record.read::<Process>()
                && process.pid == pid
            {
                match record.kind() {
                    kind::PROCESS_START => started = Some(*process),
                    _ => ended = Some(*process),
                }
            }
        })?;
        Ok(started.is_some() && ended.is_some())
    })?;
    let started = started.context("no start")?;
    ensure!(
        started.parent == std::process::id(),
        "its parent is said to be {}",
        started.parent
    );
    ensure!(
        started.name.starts_with(b"promises.exe\0"),
        "its name is said to be {:?}",
        started.name
    );
    Ok(())
}

fn a_mask() -> Result<()> {
    let mut attachment = attach(64 * 1024, Mask::of(Kind::new::<63>()))?;
    App::start("passer-by")?.finish()?;
    attachment.wait(Some(Duration::from_millis(100)))?;
    let records = attachment.drain(|_| {})?.records;
    let account = attachment.account()?;
    ensure!(records == 0 && account.kernel.offered == 0, "{account:?}");
    Ok(())
}
