//! Prints who opens a file, as it happens: `tripwire DRIVER SOCKET FILE`, as root, until the driver ends.

use anyhow::{Context, Result};
use aya::EbpfLoader;
use aya::programs::TracePoint;
use channel::server::{DeviceServer, Parts, Policy};
use channel::{Ending, Item, Mask, Wake};
use std::path::Path;
use std::time::Duration;
use tripwire_record::{NAME_WORDS, OPENED, Opened};

/// Loads the driver, and calls `told` each time that `file` is opened. The device is there for other apps too, at
/// `socket`.
pub fn watch(object: &Path, socket: &Path, file: &str, told: impl Fn(&Opened)) -> Result<Ending> {
    let mut name = [0; 8 * NAME_WORDS];
    let room = name.get_mut(..file.len()).context("the name is too long")?;
    room.copy_from_slice(file.as_bytes());
    let mut driver = EbpfLoader::new()
        .override_global("NAME", &name, true)
        .load_file(object)?;
    let mut server = DeviceServer::open(&mut driver, socket, Policy::default(), Parts::default())?;
    std::thread::spawn(move || while server.turn(Duration::from_secs(1), &[]).is_ok() {});
    let mut app = channel::open(socket)?.attach(64 * 1024, Mask::of(OPENED))?;
    let program: &mut TracePoint = driver
        .program_mut("opens")
        .context("no program")?
        .try_into()?;
    program.load()?;
    program.attach("syscalls", "sys_enter_openat")?;
    println!("watching {file}");
    loop {
        match app.wait(None)? {
            Wake::Ready => app.drain(|item| match item {
                Item::Record(record) => record.read().map(&told),
                Item::Lost(lost) => {
                    eprintln!("{lost:?}"); // how many, why, exactly here
                    Ok(())
                }
            })?,
            Wake::TimedOut => continue,
            Wake::Ended(why) => return Ok(why),
        };
    }
}

/// Runs `tripwire DRIVER SOCKET FILE`.
pub fn main() -> Result<()> {
    let said: Vec<String> = std::env::args().collect();
    let [_, object, socket, file] = &said[..] else {
        anyhow::bail!("usage: tripwire DRIVER SOCKET FILE");
    };
    let told =
        |opened: &Opened| println!("opened by process {} of user {}", opened.pid, opened.user);
    let why = watch(object.as_ref(), socket.as_ref(), file, told)?;
    println!("the driver ended it: {why:?}");
    Ok(())
}
