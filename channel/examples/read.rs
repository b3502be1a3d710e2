//! Prints what a driver tells this app, until the driver ends it:
//! `cargo run -p gatebell-channel --example read -- /run/gatebell/device.sock`

use channel::{Ending, Error, Item, Mask, Wake};

/// Reads records until the driver ends the attachment.
pub fn read(device: &str) -> Result<Ending, Error> {
    let mut app = channel::open(device)?.attach(64 * 1024, Mask::ALL)?; // dropped, it is detached
    loop {
        match app.wait(None)? {
            Wake::Ready => app.drain(|item| match item {
                Item::Record(record) => println!("{:?}", record.header()),
                Item::Lost(lost) => println!("{lost:?}"), // how many, why, exactly here
            })?,
            Wake::TimedOut => continue, // only if a time was given
            Wake::Ended(why) => return Ok(why),
        };
    }
}

/// Prints the headers of a driver's records, whatever these are about.
pub fn main() {
    let Some(device) = std::env::args().nth(1) else {
        return eprintln!("which device?");
    };
    match read(&device) {
        Ok(why) => println!("the driver ended it: {why:?}"),
        Err(error) => eprintln!("{error}"),
    }
}
