//! Test only: promises that a program on Windows sees kept. Run under Wine by `tests/tests/windows.rs`, which starts
//! the stand-in for Wine's kernel first.
//!
//! Without arguments it installs and starts the sample's driver, tries every promise, and prints a line for each:
//! `promise NAME kept` or `promise NAME broken: WHY`; with `only NAME` it tries that one. Any other argument makes it
//! one of the other apps that a promise needs.

mod apps;
mod awaited;
mod examples;
mod lifetimes;
mod operations;
mod refusals;

use anyhow::{Context, Result, ensure};
use channel::sys::windows::service::{DriverService, Install, State};
use channel::sys::windows::{NamedEvent, Windows};
use channel::{Attachment, Device, Item, Mask, Wake};
use sample_abi::{Operation, kind};
use std::path::Path;
use std::time::{Duration, Instant};

const DEVICE: &str = r"\\.\GatebellSample";
const SERVICE: DriverService<'static> = DriverService::new("GatebellSample");
/// Path where `tests/src/wine.rs` has put the driver. The next constants: where Windows loads its copy from, further
/// files, and the group in which Wine loads it beside the stand-in.
const IMAGE: &str = r"C:\windows\system32\drivers\gatebell_sample.sys";
const COPY: &str = r"C:\windows\system32\drivers\GatebellSample.sys";
const BROKEN_RULES: &str = r"C:\gatebell-broken-rules.txt";
const PNP_IMAGE: &str = r"C:\windows\system32\drivers\gatebell_pnp.sys";
const GROUP: &str = "Gatebell";

/// Longest time of a promise: a hundred thousand signals take Wine half a minute on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);
/// Mask of the records that most promises are about.
const NOTICES: Mask = Mask::of(kind::NOTICE);

/// Time of "at once", for a machine with other things to do: far less than what is not meant to be waited for.
const SOON: Duration = Duration::from_secs(20);
/// Time for which a stop that is refused is tried.
const TRIED: Duration = Duration::from_secs(5);

type Promise = (&'static str, fn() -> Result<()>);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let only = match arguments.as_slice() {
        [] => None,
        [only, name] if only == "only" => Some(name.as_str()),
        [role, ..] => return apps::play(role),
    };
    try_to_keep("a_driver_is_installed_and_started", install_and_start);
    for (name, promise) in refusals::ALL
        .iter()
        .chain(operations::ALL)
        .chain(examples::ALL)
        .chain(awaited::ALL)
        .chain(lifetimes::ALL)
    {
        if only.is_none_or(|only| only == *name) {
            try_to_keep(name, *promise);
        }
    }
    try_to_keep("a_stopped_driver_starts_again_with_new_books", restart);
    try_to_keep(
        "a_name_that_somebody_else_has_keeps_no_driver_from_starting",
        a_taken_name,
    );
    try_to_keep("a_driver_is_removed", remove);
    try_to_keep(
        "what_one_app_says_to_the_pager_all_are_told",
        examples::pager,
    );
    try_to_keep("the_driver_breaks_no_rule_of_the_kernels", no_broken_rule);
    // The last one: nothing unloads that driver any more.
    try_to_keep("a_stop_that_windows_refuses_is_undone", refused_stop);
    Ok(())
}

/// Tries a promise in a thread, so that one that hangs is a broken one.
fn try_to_keep(name: &str, promise: fn() -> Result<()>) {
    let (done, wait) = std::sync::mpsc::channel();
    let started = Instant::now();
    std::thread::spawn(move || done.send(promise()));
    match wait.recv_timeout(PATIENCE) {
        Ok(Ok(())) => println!("promise {name} kept in {:?}", started.elapsed()),
        Ok(Err(why)) => println!("promise {name} broken: {why:#}"),
        Err(why) => println!("promise {name} broken: {why}"),
    }
}

fn install_and_start() -> Result<()> {
    says(SERVICE.start(), "install it first")?;
    let install = |image| {
        SERVICE.install(&Install {
            display_name: "Gatebell sample",
            image: Path::new(image),
            group: Some(GROUP),
        })
    };
    ensure!(
        install(r"C:\nowhere.sys").is_err(),
        "there is no such image"
    );
    ensure!(SERVICE.state().is_err(), "half of it is installed");
    install(IMAGE)?;
    ensure!(Path::new(COPY).is_file(), "the image was not copied");
    says(install(IMAGE), "it is installed already: remove it first")?;
    ensure!(
        SERVICE.state()? == State::Stopped,
        "it runs before it was started"
    );
    SERVICE.start()?;
    ensure!(SERVICE.state()? == State::Running, "it does not run");
    open().map(drop)
}

/// Checks that an error says what to do.
fn says(outcome: Result<(), channel::Error>, hint: &str) -> Result<()> {
    let said = outcome.err().map(|why| why.to_string());
    let said = said.context("nothing was wrong")?;
    ensure!(said.ends_with(hint), "{said}");
    Ok(())
}

fn restart() -> Result<()> {
    SERVICE.stop(DEVICE, SOON)?;
    ensure!(open().is_err(), "the device is still there");
    SERVICE.start()?;
    let references = open()?.references()?;
    ensure!(
        references.taken == 0 && references.attached == 0,
        "{references:?}"
    );
    Ok(())
}

/// Starts the driver while an app still has the named event from its last run, or made one by its name before.
fn a_taken_name() -> Result<()> {
    let held = NamedEvent::open(r"Global\GatebellSampleProcess")?;
    SERVICE.stop(DEVICE, SOON)?;
    SERVICE.start()?;
    let mut attached = attach(64 * 1024, NOTICES)?;
    let notify = operations::request(Operation::Notify, 3, 0);
    operations::ask(attached.device(), notify)?;
    receive(&mut attached, 3)?;
    // Only what takes the name is refused.
    let pulse = operations::request(Operation::PulseNamed, 0, 0);
    let refused = operations::ask(attached.device(), pulse).err();
    let refused = refused.and_then(|why| why.downcast_ref::<channel::Error>()?.refusal());
    ensure!(
        refused == Some(channel::Refusal::Unsupported),
        "{refused:?}"
    );
    drop(held);
    Ok(())
}

/// Checks that the stand-in for the kernel has written no broken rule down: see its `verify`.
fn no_broken_rule() -> Result<()> {
    match std::fs::read_to_string(BROKEN_RULES) {
        Ok(rules) => anyhow::bail!("{rules}"),
        Err(why) => {
            ensure!(why.kind() == std::io::ErrorKind::NotFound, "{why}");
            Ok(())
        }
    }
}

fn remove() -> Result<()> {
    SERVICE.stop(DEVICE, SOON)?;
    SERVICE.remove()?;
    ensure!(!Path::new(COPY).exists(), "its image is left over");
    until("it is not installed any more", SOON, || {
        Ok(SERVICE.state().is_err())
    })
}

/// Stops a driver whose image says that it is a PnP driver, which Windows does not unload; else it is the same driver.
fn refused_stop() -> Result<()> {
    std::fs::write(PNP_IMAGE, pnp(std::fs::read(IMAGE)?)?)?;
    let service = DriverService::new("GatebellSamplePnp");
    service.install(&Install {
        display_name: "Gatebell sample, as a PnP driver",
        image: Path::new(PNP_IMAGE),
        group: Some(GROUP),
    })?;
    service.start()?;
    let attached = attach(4096, NOTICES)?;
    ensure!(service.stop(DEVICE, TRIED).is_err(), "Windows stopped it");
    ensure!(service.state()? != State::Stopped, "it is not loaded");
    drop(attached);
    // It goes on as if nobody had asked.
    let mut attached = attach(64 * 1024, NOTICES).context("apps are refused since")?;
    operations::ask(
        attached.device(),
        operations::request(Operation::Notify, 3, 0),
    )?;
    receive(&mut attached, 3).map(drop)
}

/// Sets the bit IMAGE_DLLCHARACTERISTICS_WDM_DRIVER of an image.
fn pnp(mut image: Vec<u8>) -> Result<Vec<u8>> {
    let headers = image.get(0x3C..0x40).context("no image")?;
    let headers = u32::from_le_bytes(headers.try_into()?) as usize;
    let high = image.get_mut(headers + 0x5F).context("no image")?;
    *high |= 0x20;
    Ok(image)
}

fn open() -> Result<Device<Windows>> {
    Ok(Device::open(DEVICE)?)
}

/// Opens the device and has it reference a new event with a queue of `ring_bytes` bytes.
fn attach(ring_bytes: u32, mask: Mask) -> Result<Attachment<Windows>> {
    let device = open()?;
    Ok(device.attach(ring_bytes, mask)?)
}

/// Waits and drains until `records` records were delivered; returns the losses that were told of.
fn receive(attachment: &mut Attachment<Windows>, records: u64) -> Result<u64> {
    let (mut seen, mut lost) = (0, 0);
    while seen < records {
        ensure!(
            attachment.wait(Some(SOON))? == Wake::Ready,
            "only {seen} of {records} records came"
        );
        seen += attachment
            .drain(|item| {
                if let Item::Lost(told) = item {
                    lost += told.count;
                }
            })?
            .records;
    }
    Ok(lost)
}

/// Tries until `so` is true, for `patience` at most.
fn until(what: &str, patience: Duration, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + patience;
    while !so().context(what.to_owned())? {
        ensure!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
