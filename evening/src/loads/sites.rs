//! The sites that a browser goes to: they keep a connection for the next part of a page, as sites do.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

const PART: &str = "a part of a page\n";
/// Time that a site waits for the next request.
const KEPT: Duration = Duration::from_secs(15);

/// Serves at this port, until it is ended.
pub fn serve(port: u16) -> Result<()> {
    // Both versions of IP.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = listener.with_context(|| format!("can't serve at port {port}"))?;
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // Whoever hangs up has what it wanted.
            let _gone = answer(&stream);
        });
    }
    Ok(())
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(KEPT))?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // An empty line ends a request.
    while lines.any(|line| line.is_empty()) {
        let length = PART.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{PART}"
        )?;
    }
    Ok(())
}
