//! An app of the pager: `pager WORDS` sends words to everybody, `pager` prints what others send, until the driver ends.

use channel::{Ending, Error, Item, Mask, RequestHeader, Wake};
use pager_record::{PAGED, Page, Paged, WORDS};

fn listen() -> Result<Ending, Error> {
    let mut app = channel::open(r"\\.\Pager")?.attach(64 * 1024, Mask::of(PAGED))?;
    println!("listening");
    loop {
        match app.wait(None)? {
            Wake::Ready => app.drain(|item| match item {
                Item::Record(record) => record.read().map(tell),
                Item::Lost(lost) => {
                    println!("{lost:?}"); // how many, why, exactly here
                    Ok(())
                }
            })?,
            Wake::TimedOut => continue,
            Wake::Ended(why) => return Ok(why),
        };
    }
}

fn tell(paged: &Paged) {
    let words = paged.words.split(|byte| *byte == 0).next();
    println!("{}", words.unwrap_or_default().escape_ascii());
}

fn page(said: &str) -> Result<(), Error> {
    let (header, mut words) = (RequestHeader::default(), [0; WORDS]);
    for (place, byte) in words.iter_mut().zip(said.bytes()) {
        *place = byte;
    }
    channel::open(r"\\.\Pager")?.request(&mut Page { header, words })
}

fn main() -> Result<(), Error> {
    match std::env::args().nth(1) {
        Some(words) => page(&words),
        None => listen().map(|why| println!("the driver ended it: {why:?}")),
    }
}
