//! Somebody in the zone with one thing to do: this very program, started again, as another user or from another file.

use super::threads::{end_of_the_first, together};
use super::zone::Protected;
use gatebell_tests::PATIENCE;
use gatebell_tests::acting::{self, ACT, Acting, ready};
use gatebell_tests::again;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Time to wait for what is meant to come about, and for what is not.
pub const fn patience(meant: bool) -> Duration {
    if meant {
        PATIENCE
    } else {
        Duration::from_millis(300)
    }
}

/// Program and user that act in a test.
pub struct Somebody {
    program: PathBuf,
    user: u32,
}

impl Somebody {
    pub fn root() -> Self {
        Self {
            program: std::env::current_exe().unwrap(),
            user: 0,
        }
    }

    pub fn user(user: u32) -> Self {
        Self {
            user,
            ..Self::root()
        }
    }

    pub fn program(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            ..Self::root()
        }
    }

    /// Returns whether they may connect to, or send to, this address: `connect ADDRESS`, `call ADDRESS` if they are to
    /// be told at once, or `send ADDRESS`, `speak ADDRESS ADDRESS` from an address that others may have too, or `pass
    /// ADDRESS PROGRAM` by a socket by which they have sent before they became that program; `rejected ADDRESS` and
    /// `unreachable ADDRESS` if they are to be told at once that they are, of a connection and of a datagram; `pretend
    /// ADDRESS ADDRESS` from one of IPv6 that need not be this machine's. They try for long if it is meant to come
    /// about.
    pub fn does(&self, zone: &Protected, what: &str, meant: bool) -> bool {
        acting::does(self.command(zone, what), meant)
    }

    /// Starts them: `accept ADDRESS`, `receive ADDRESS`, `overhear ADDRESS` (which raw sockets do besides),
    /// `tap ADDRESS` (a raw socket alone, which gets what comes for whatever port), `inquire ADDRESS` (and be
    /// answered), `hand ADDRESS PROGRAM` (which they become, and which accepts; a blank in its path is a part of it),
    /// `start PROGRAM ARGUMENT…`; `become PROGRAM ARGUMENT…`, which a thread that is not the first does; `outlive`,
    /// without its first thread from then on.
    pub fn starts(&self, zone: &Protected, what: &str) -> Acting {
        Acting::starts(self.command(zone, what))
    }

    /// Starts them with what does not say when it has begun: `together`, many threads that end at once.
    pub fn begins(&self, zone: &Protected, what: &str) -> Acting {
        Acting::begins(self.command(zone, what))
    }

    fn command(&self, zone: &Protected, what: &str) -> Command {
        let program = [
            self.program.to_str().unwrap(),
            "somebody::acts",
            "--exact",
            "--nocapture",
        ];
        let mut command = zone.lab.inside(&program);
        command
            .env(ACT, what)
            .env(again::USER, self.user.to_string());
        command
    }
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn acts() {
    let Some(what) = acting::act() else {
        return;
    };
    let words: Vec<&str> = what.split(' ').collect();
    let done = match words[0] {
        "connect" => {
            let patience = patience(acting::meant());
            TcpStream::connect_timeout(&address(words[1]), patience).map(drop)
        }
        "call" => call(address(words[1])),
        "send" => send(address(words[1])),
        "rejected" => rejected(address(words[1])),
        "unreachable" => unreachable(address(words[1])),
        "accept" => accept(address(words[1])),
        "hand" => hand(address(words[1]), what.splitn(3, ' ').last().unwrap()),
        "take" => take(),
        "receive" => receive(address(words[1])),
        "overhear" => overhear(address(words[1])),
        "tap" => tap(address(words[1])),
        "inquire" => inquire(address(words[1])),
        "speak" => speak(address(words[1]), address(words[2])),
        "pretend" => pretend(address(words[1]), address(words[2])),
        "pass" => pass(address(words[1]), what.splitn(3, ' ').last().unwrap()),
        "go-on" => go_on(address(words[1])),
        "become" => become_another(&words[1..]),
        "outlive" => outlive(),
        "together" => together(),
        _ => start(&words[1..]),
    };
    acting::end(&what, done, refused);
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A refused datagram is an error; of a refused SYN nothing is heard.
fn refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut
    )
}

/// Connects, where a refusal has to come at once, and not when the time is over; a reached peer may say no.
fn call(to: SocketAddr) -> io::Result<()> {
    match TcpStream::connect_timeout(&to, patience(true)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(io::Error::other(format!("{error}, told by nobody")))
        }
        called => called.map(drop),
    }
}

fn rejected(to: SocketAddr) -> io::Result<()> {
    match TcpStream::connect_timeout(&to, patience(true)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

/// Sends a datagram from any address of IPv6, for which nobody needs a right.
fn pretend(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_freebind_v6(true)?;
    socket.bind(&from.into())?;
    // What is refused on its way out says so here already.
    let _refused = socket.send_to(b"a secret", &to.into());
    Ok(())
}

fn unreachable(to: SocketAddr) -> io::Result<()> {
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience(true)))?;
    let sent = socket.send(b"hello").map_err(|error| error.kind());
    let told = socket.recv(&mut [0; 16]).map_err(|error| error.kind());
    match (sent, told) {
        (Err(io::ErrorKind::PermissionDenied), Err(io::ErrorKind::ConnectionRefused)) => Ok(()),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

fn send(to: SocketAddr) -> io::Result<()> {
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(from)?.send_to(b"hello", to).map(drop)
}

fn accept(at: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    ready();
    listener.accept().map(drop)
}

/// Listens, and becomes a program that takes what comes.
fn hand(at: SocketAddr, program: &str) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    Err(Command::new(program)
        .args(["somebody::acts", "--exact", "--nocapture"])
        .env(ACT, "take")
        .stdin(OwnedFd::from(listener))
        .exec())
}

fn take() -> io::Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    ready();
    listener.accept().map(drop)
}

fn receive(at: SocketAddr) -> io::Result<()> {
    let socket = shared(at)?;
    ready();
    socket.recv(&mut [0; 16]).map(drop)
}

/// Receives, and has raw sockets that get the same.
fn overhear(at: SocketAddr) -> io::Result<()> {
    let raw = || Socket::new(Domain::for_address(at), Type::RAW, Some(Protocol::UDP));
    let _both = [raw()?, raw()?];
    receive(at)
}

/// Asks by a datagram, and is answered.
fn inquire(at: SocketAddr) -> io::Result<()> {
    let from = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from)?;
    ready();
    socket.send_to(b"who?", at)?;
    socket.recv(&mut [0; 16]).map(drop)
}

/// Receives what others do.
fn tap(at: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(at), Type::RAW, Some(Protocol::UDP))?;
    ready();
    (&socket).read(&mut [0; 64]).map(drop)
}

/// A socket at an address that others may have too.
fn shared(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Sends from an address that others may have too.
fn speak(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    shared(from)?.send_to(b"hello", to).map(drop)
}

/// Sends, and becomes a program that sends by the same socket.
fn pass(to: SocketAddr, program: &str) -> io::Result<()> {
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from)?;
    socket.send_to(b"hello", to).expect("allowed");
    Err(Command::new(program)
        .args(["somebody::acts", "--exact", "--nocapture"])
        .env(ACT, format!("go-on {to}"))
        .stdin(OwnedFd::from(socket))
        .exec())
}

fn go_on(to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.send_to(b"hello", to).map(drop)
}

fn start(words: &[&str]) -> io::Result<()> {
    let mut child = Command::new(words[0]).args(&words[1..]).spawn()?;
    ready();
    // How it ends is for others to say.
    child.wait().map(drop)
}

/// The harness runs this in a thread of its own, but says nowhere that it does.
fn become_another(words: &[&str]) -> io::Result<()> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    ready();
    let other = std::thread::spawn(move || command.exec());
    // If it comes back at all.
    Err(other.join().unwrap())
}

fn outlive() -> io::Result<()> {
    end_of_the_first()?;
    ready();
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}
