//! Traffic for a machine whose firewall is tried (`package/prove.sh`): servers that count what reaches them, and a
//! world outside that asks and sends at a constant pace.
//!
//! ```text
//! traffic serve PORT…                   answers TCP and UDP; SIGUSR1: prints what came so far, as PORT=COUNT …
//! traffic ask all|any|tcp ADDRESS PORT  0 if TCP and UDP answer, if any of them does shortly, if TCP does
//! traffic keep-asking ADDRESS PORT      by TCP until SIGTERM; then prints how often, and how often there was an answer
//! traffic send PORT ADDRESS…            a datagram each 5 ms, a connection each 50, until SIGTERM; prints how many
//! ```
#![cfg(target_os = "linux")]

use gatebell_tests::PATIENCE;
use signal_hook::consts::{SIGTERM, SIGUSR1};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time to wait for an answer that is not meant to come.
const SHORTLY: Duration = Duration::from_secs(2);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<ExitCode, Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", ports @ ..] => serve(ports),
        ["ask", "all", address, port] => ask(address, port, PATIENCE, |tcp, udp| tcp && udp),
        ["ask", "any", address, port] => ask(address, port, SHORTLY, |tcp, udp| tcp || udp),
        ["ask", "tcp", address, port] => {
            let to = SocketAddr::new(address.parse()?, port.parse()?);
            Ok(code(tcp_answers(to, PATIENCE)))
        }
        ["keep-asking", address, port] => {
            keep_asking(SocketAddr::new(address.parse()?, port.parse()?))
        }
        ["send", port, addresses @ ..] => send(port, addresses),
        _ => Err("see the head of tests/src/bin/traffic.rs".into()),
    }
}

fn serve(ports: &[&str]) -> Result<ExitCode, Failure> {
    let tell = flag(SIGUSR1)?;
    let mut counts = Vec::new();
    for port in ports {
        let count = Arc::new(AtomicU64::new(0));
        // Both versions: an IPv4 address is mapped.
        let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port.parse()?);
        let (tcp, udp) = (TcpListener::bind(at)?, UdpSocket::bind(at)?);
        let counted = count.clone();
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let _gone_already = stream.write_all(b"!");
            }
        });
        let counted = count.clone();
        thread::spawn(move || {
            let mut datagram = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut datagram) {
                counted.fetch_add(1, Ordering::Relaxed);
                let _refused = udp.send_to(b"!", from);
            }
        });
        counts.push((port, count));
    }
    say("serving")?;
    loop {
        if tell.swap(false, Ordering::Relaxed) {
            let counts = counts
                .iter()
                .map(|(port, count)| format!("{port}={}", count.load(Ordering::Relaxed)));
            say(&counts.collect::<Vec<_>>().join(" "))?;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn ask(
    address: &str,
    port: &str,
    patience: Duration,
    enough: impl Fn(bool, bool) -> bool,
) -> Result<ExitCode, Failure> {
    let to = SocketAddr::new(address.parse()?, port.parse()?);
    let tcp = thread::spawn(move || tcp_answers(to, patience));
    let udp = udp_answers(to, patience).unwrap_or(false);
    let tcp = tcp.join().unwrap_or(false);
    Ok(code(enough(tcp, udp)))
}

fn code(succeeds: bool) -> ExitCode {
    if succeeds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn tcp_answers(to: SocketAddr, patience: Duration) -> bool {
    let asked = TcpStream::connect_timeout(&to, patience).and_then(|mut stream| {
        stream.set_read_timeout(Some(patience))?;
        stream.read_exact(&mut [0])
    });
    asked.is_ok()
}

fn udp_answers(to: SocketAddr, patience: Duration) -> io::Result<bool> {
    let socket = any_socket(to.ip())?;
    socket.set_read_timeout(Some(patience))?;
    socket.send_to(b"?", to)?;
    Ok(socket.recv_from(&mut [0; 64]).is_ok())
}

fn keep_asking(to: SocketAddr) -> Result<ExitCode, Failure> {
    let stop = flag(SIGTERM)?;
    let (mut asked, mut answered) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        asked += 1;
        answered += u64::from(tcp_answers(to, SHORTLY));
        thread::sleep(Duration::from_millis(50));
    }
    say(&format!("{answered} of {asked} times it answered"))?;
    Ok(ExitCode::SUCCESS)
}

fn send(port: &str, addresses: &[&str]) -> Result<ExitCode, Failure> {
    let stop = flag(SIGTERM)?;
    let port = port.parse()?;
    let to = addresses
        .iter()
        .map(|address| Ok(SocketAddr::new(address.parse()?, port)));
    let to: Vec<SocketAddr> = to.collect::<Result<_, Failure>>()?;
    let connected = to.iter().map(|to| {
        let (to, stop) = (*to, stop.clone());
        thread::spawn(move || connect(to, &stop))
    });
    let connected: Vec<_> = connected.collect();
    let sockets = to
        .iter()
        .map(|to| any_socket(to.ip()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut sent = 0_u64;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for (socket, to) in sockets.iter().zip(&to) {
            sent += u64::from(socket.send_to(b"?", to).is_ok());
        }
        next += Duration::from_millis(5);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let connections: u64 = connected
        .into_iter()
        .map(|thread| thread.join().unwrap_or_default())
        .sum();
    say(&(sent + connections).to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Tries to connect, again and again; how often.
fn connect(to: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut tried = 0;
    while !stop.load(Ordering::Relaxed) {
        tried += 1;
        // Whether it came to anything is what the other side counts.
        let _ours_to_close = TcpStream::connect_timeout(&to, Duration::from_millis(50));
    }
    tried
}

fn any_socket(to: IpAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })
}

fn flag(signal: i32) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal, flag.clone())?;
    Ok(flag)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
