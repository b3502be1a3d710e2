//! One byte there, one byte back, over one connection: what netperf calls TCP_RR.

use super::Done;
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Answers connections one after the other, until the time is over.
pub fn answer(at: SocketAddr, seconds: u64) -> Result<()> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        match listener.accept() {
            // A connection that breaks off is over, no more.
            Ok((requester, _)) => drop(answer_one(requester)),
            Err(none) if none.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5))
            }
            Err(error) => return Err(error).context("can't take a connection"),
        }
    }
    Ok(())
}

fn answer_one(mut requester: TcpStream) -> std::io::Result<()> {
    requester.set_nonblocking(false)?;
    requester.set_nodelay(true)?;
    requester.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut byte = [0];
    while requester.read(&mut byte)? == 1 {
        requester.write_all(&byte)?;
    }
    Ok(())
}

/// Asks for so long, and counts the answers.
pub fn ask(to: SocketAddr, milliseconds: u64) -> Result<Done> {
    let mut stream = connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (start, most, mut count, mut byte) = (
        Instant::now(),
        Duration::from_millis(milliseconds),
        0,
        [b'.'],
    );
    while start.elapsed() < most {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte).context("no answer")?;
        count += 1;
    }
    Ok(Done::since(start, count))
}

/// The one who answers may just be starting.
fn connect(to: SocketAddr) -> Result<TcpStream> {
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        match TcpStream::connect_timeout(&to, Duration::from_secs(1)) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() >= end => return Err(error).context("nobody answers"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
