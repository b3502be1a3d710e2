//! Sockets that programs talk by: protocols that are not TCP or UDP, and io_uring.

use crate::actor::{Actor, Place, patience};
use crate::rows::{DEBIANS, DEBIANS_OLDER, is_absent, ran};
use crate::world::{BEYOND, QUIET, USER, World, rule};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};
use lab::{INSIDE, INSIDE_V6, OUTSIDE, OUTSIDE_V6};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Mptcp,
    Sctp,
    Dccp,
    Udp,
    UdpLite,
    /// A protocol that has no name.
    Raw,
    /// TCP by a worker of io_uring: socket, connect or accept, and what is sent.
    RingStream,
    /// TCP by a ring of io_uring that a thread of the kernel polls by itself.
    PolledStream,
    RingDatagram,
    PolledDatagram,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Tcp,
        Self::Mptcp,
        Self::Sctp,
        Self::Dccp,
        Self::Udp,
        Self::UdpLite,
        Self::Raw,
        Self::RingStream,
        Self::PolledStream,
        Self::RingDatagram,
        Self::PolledDatagram,
    ];

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    pub fn named(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.name() == name).unwrap()
    }

    /// Returns the type and the protocol for `socket`.
    const fn numbers(self) -> (i32, i32) {
        match self {
            Self::Tcp | Self::RingStream | Self::PolledStream => (libc::SOCK_STREAM, 6),
            Self::Mptcp => (libc::SOCK_STREAM, 262),
            Self::Sctp => (libc::SOCK_STREAM, 132),
            Self::Dccp => (libc::SOCK_DCCP, 33),
            Self::Udp | Self::RingDatagram | Self::PolledDatagram => (libc::SOCK_DGRAM, 17),
            Self::UdpLite => (libc::SOCK_DGRAM, 136),
            Self::Raw => (libc::SOCK_RAW, 253),
        }
    }

    /// Returns the protocol in the packets' headers.
    const fn protocol(self) -> i32 {
        match self {
            Self::Mptcp => 6,
            _ => self.numbers().1,
        }
    }

    const fn is_stream(self) -> bool {
        !matches!(self.numbers().0, libc::SOCK_DGRAM | libc::SOCK_RAW)
    }

    /// Returns whether only root may have such a socket.
    pub const fn is_roots(self) -> bool {
        matches!(self, Self::Raw)
    }

    /// Returns `None` for a plain socket; for one by io_uring, whether the kernel's thread polls the ring.
    const fn ring(self) -> Option<bool> {
        match self {
            Self::RingStream | Self::RingDatagram => Some(false),
            Self::PolledStream | Self::PolledDatagram => Some(true),
            _ => None,
        }
    }

    /// Returns the plain socket that the other end has.
    const fn plain(self) -> Self {
        match self.ring() {
            Some(_) if self.is_stream() => Self::Tcp,
            Some(_) => Self::Udp,
            None => self,
        }
    }

    /// Returns the kernels that have to have the kind.
    const fn kernels(self) -> &'static [&'static str] {
        match self {
            Self::Dccp | Self::UdpLite => DEBIANS_OLDER,
            _ => DEBIANS,
        }
    }

    fn open(self, domain: Domain) -> io::Result<Socket> {
        let (kind, protocol) = self.numbers();
        let socket = Socket::new(domain, Type::from(kind), Some(Protocol::from(protocol)))?;
        if self == Self::Dccp {
            name_service(&socket)?;
        }
        Ok(socket)
    }

    fn is_here(self) -> bool {
        self.open(Domain::IPV4).is_ok()
            && (self.ring().is_none() || Ring::made(self.ring() == Some(true)).is_ok())
    }
}

/// DCCP connects to a service, not to a port alone.
fn name_service(socket: &Socket) -> io::Result<()> {
    const DCCP: i32 = 269;
    const SERVICE: i32 = 2;
    let service = 42_u32.to_be();
    let (value, length) = ((&raw const service).cast(), size_of::<u32>() as u32);
    // SAFETY: a value of the length given.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), DCCP, SERVICE, value, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A ring of io_uring, asked one thing at a time.
struct Ring {
    ring: IoUring,
    /// Flags of each operation: unless the ring is polled, its worker does the operation, and not the caller.
    flags: squeue::Flags,
}

impl Ring {
    fn made(polled: bool) -> io::Result<Self> {
        let (ring, flags) = if polled {
            let ring = IoUring::builder().setup_sqpoll(1000).build(4)?;
            (ring, squeue::Flags::empty())
        } else {
            (IoUring::new(4)?, squeue::Flags::ASYNC)
        };
        Ok(Self { ring, flags })
    }

    /// Submits one operation, and waits until it is done.
    fn does(&mut self, entry: squeue::Entry) -> io::Result<i32> {
        let entry = entry.flags(self.flags);
        // SAFETY: whatever the entry points to outlives this call, which waits for its end.
        unsafe { self.ring.submission().push(&entry) }.expect("one entry at a time");
        self.ring.submit_and_wait(1)?;
        let done = self.ring.completion().next().expect("it was waited for");
        match done.result() {
            result @ 0.. => Ok(result),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }

    fn opens(&mut self, kind: Kind, domain: Domain) -> io::Result<Socket> {
        let (form, protocol) = kind.numbers();
        let fd = self.does(opcode::Socket::new(domain.into(), form, protocol).build())?;
        // SAFETY: the kernel has just made it for us.
        Ok(Socket::from(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn sends(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<i32> {
        self.does(opcode::Send::new(fd(socket), bytes.as_ptr(), bytes.len() as u32).build())
    }

    fn gets(&mut self, socket: &Socket) -> io::Result<i32> {
        let mut room = [0; 64];
        self.does(opcode::Recv::new(fd(socket), room.as_mut_ptr(), room.len() as u32).build())
    }

    fn connects(&mut self, socket: &Socket, to: &SockAddr) -> io::Result<i32> {
        self.does(opcode::Connect::new(fd(socket), to.as_ptr().cast(), to.len()).build())
    }

    fn accepts(&mut self, socket: &Socket) -> io::Result<Socket> {
        let nobody = std::ptr::null_mut();
        let taken = self.does(opcode::Accept::new(fd(socket), nobody, nobody.cast()).build())?;
        // SAFETY: the kernel has just made it for us.
        Ok(Socket::from(unsafe { OwnedFd::from_raw_fd(taken) }))
    }
}

fn fd(socket: &Socket) -> Fd {
    Fd(socket.as_raw_fd())
}

/// Calls, or sends to, this address.
pub fn client(kind: Kind, to: SocketAddr, patience: Duration) -> io::Result<()> {
    let (domain, address) = (Domain::for_address(to), SockAddr::from(to));
    if let Some(polled) = kind.ring() {
        let mut ring = Ring::made(polled)?;
        let socket = ring.opens(kind, domain)?;
        ring.connects(&socket, &address)?;
        ring.sends(&socket, b"hello")?;
        if kind.is_stream() {
            ring.gets(&socket)?;
        }
        return Ok(());
    }
    let socket = kind.open(domain)?;
    if !kind.is_stream() {
        return socket.send_to(b"hello", &address).map(drop);
    }
    socket.connect_timeout(&address, patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(b"hello")?;
    // Who goes before it is answered may take it back.
    socket.recv(&mut [MaybeUninit::uninit(); 16]).map(drop)
}

/// Waits for somebody, or something, at this address, and says when.
pub fn server(kind: Kind, at: SocketAddr, ready: impl FnOnce()) -> io::Result<()> {
    let domain = Domain::for_address(at);
    let mut ring = kind.ring().map(Ring::made).transpose()?;
    let socket = match &mut ring {
        Some(ring) => ring.opens(kind, domain)?,
        None => kind.open(domain)?,
    };
    socket.bind(&at.into())?;
    if !kind.is_stream() {
        ready();
        return match &mut ring {
            Some(ring) => ring.gets(&socket).map(drop),
            None => socket.recv(&mut [MaybeUninit::uninit(); 64]).map(drop),
        };
    }
    socket.listen(1)?;
    ready();
    if let Some(ring) = &mut ring {
        let taken = ring.accepts(&socket)?;
        ring.gets(&taken)?;
        return ring.sends(&taken, b"!").map(drop);
    }
    let (taken, _) = socket.accept()?;
    taken.recv(&mut [MaybeUninit::uninit(); 16])?;
    taken.send(b"!").map(drop)
}

/// Takes one connection at this address, answers what comes by it, and keeps it until the other end lets go.
pub fn keep(kind: Kind, at: SocketAddr, ready: impl FnOnce()) -> io::Result<()> {
    let socket = kind.open(Domain::for_address(at))?;
    socket.bind(&at.into())?;
    socket.listen(1)?;
    ready();
    let (taken, _) = socket.accept()?;
    while taken.recv(&mut [MaybeUninit::uninit(); 16])? != 0 {
        taken.send(b"!")?;
    }
    Ok(())
}

/// Begins a connection to this address, and holds it for long once something came back by it.
pub fn hold(
    kind: Kind,
    to: SocketAddr,
    patience: Duration,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let socket = kind.open(Domain::for_address(to))?;
    socket.connect_timeout(&to.into(), patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(b"hello")?;
    socket.recv(&mut [MaybeUninit::uninit(); 16])?;
    ready();
    std::thread::sleep(Duration::from_secs(120));
    Ok(())
}

/// Row of the test: a kind of socket, a way and a version.
#[derive(Clone, Copy, Debug)]
struct Row {
    kind: Kind,
    way: &'static str,
    six: bool,
    port: u16,
}

impl Row {
    fn name(&self) -> String {
        let version = if self.six { 6 } else { 4 };
        format!("{:?} {} v{version}", self.kind, self.way)
    }

    /// Returns the caller, the receiver, and the receiver's address.
    fn ends(&self) -> (Actor, Actor, SocketAddr) {
        let (from, to, addresses) = match self.way {
            "in" => (Place::Outside, Place::Zone, [INSIDE, INSIDE_V6]),
            "out" => (Place::Zone, Place::Outside, [OUTSIDE, OUTSIDE_V6]),
            _ => (Place::Outside, Place::Beyond, BEYOND),
        };
        let [from, to] = [from, to].map(|place| {
            let kind = if place == Place::Zone {
                self.kind
            } else {
                self.kind.plain()
            };
            Actor { place, kind }
        });
        let address = addresses[usize::from(self.six)].parse().unwrap();
        (from, to, SocketAddr::new(address, self.port))
    }

    /// Returns the keys of a rule that matches the row: with the owner in the zone, where that is known.
    fn keys(&self, to: SocketAddr) -> String {
        let direction = if self.way == "through" {
            "forward"
        } else {
            self.way
        };
        let mut keys = format!(
            "direction = \"{direction}\"\nprotocol = {}\ndestination = \"{}\"\nlog = true",
            self.kind.protocol(),
            to.ip()
        );
        if self.way != "through" && !self.kind.is_roots() {
            let program = std::env::current_exe().unwrap();
            keys += &format!("\nuser = {USER}\nprogram = \"{}\"", program.display());
        }
        keys
    }

    /// Tries the row under a rule that refuses it, where all else passes, or one that allows it, where nothing else
    /// does.
    fn tried(&self, world: &mut World, allowed: bool) {
        let (from, to, at) = self.ends();
        let others = if allowed { "block" } else { "allow" };
        let defaults = format!(
            "[default]\ninbound = \"{others}\"\noutbound = \"{others}\"\nforward = \"{others}\"\n"
        );
        let neighbours = QUIET.split_once("\n\n").unwrap().1;
        let action = if allowed { "allow" } else { "block" };
        let rules = defaults + "\n" + neighbours + &rule("row", action, &self.keys(at));
        world.judges_by_all(&rules);
        world.told();
        let waiting = to.waits(world, at);
        let begun = Instant::now();
        let called = from.calls(world, at, allowed);
        let sent_again = begun.elapsed().as_secs();
        let got = waiting.gets_it(patience(allowed));
        let name = format!("{}, {action}", self.name());
        let all = world.told();
        assert_eq!(got, allowed, "{name}: whether it comes through: {all:?}");
        if self.kind.is_stream() {
            assert_eq!(called, allowed, "{name}: whether who calls is answered");
        }
        let told: Vec<_> = all
            .iter()
            .filter(|packet| packet.decision.rule == 1)
            .collect();
        let hits = world.hits()[1];
        assert_eq!(hits, told.len() as u64, "{name}: counted and told");
        // Whoever gets what comes by DCCP is asked about each of its packets, as of datagrams. What is refused is sent
        // again after a second, where who calls was not quick enough to give up before.
        let most = match (self.kind, self.way, allowed) {
            (Kind::Dccp, "in", true) => u64::MAX,
            (_, _, true) => 1,
            (_, _, false) => 1 + sent_again,
        };
        assert!((1..=most).contains(&hits), "{name}: {hits} times");
        if self.way != "through" && !self.kind.is_roots() {
            assert_eq!(told[0].user, USER, "{name}: whose it is");
        }
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        for way in ["in", "out", "through"] {
            // Who sends what goes through is none of the zone's.
            if way == "through" && kind.ring().is_some() {
                continue;
            }
            for six in [false, true] {
                let port = if kind == Kind::Raw {
                    0
                } else {
                    7200 + rows.len() as u16
                };
                rows.push(Row {
                    kind,
                    way,
                    six,
                    port,
                });
            }
        }
    }
    rows
}

#[test]
fn whatever_kind_of_socket_sends_it_or_gets_it_a_packet_is_judged_once_by_whose_it_is() {
    let mut world = World::made();
    for row in rows() {
        if !row.kind.is_here() {
            is_absent(&row.name(), row.kind.kernels());
            continue;
        }
        row.tried(&mut world, false);
        row.tried(&mut world, true);
        ran(&row.name());
    }
}
