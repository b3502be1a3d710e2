//! The zone's TCP connections that wait, as the kernel lists them: whatever program it is,
//! and however it tells its user.

use crate::clock::Clock;
use crate::observations::{Connect, End, Place};
use crate::programs;
use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Interval at which the list of sockets is read.
const EVERY: Duration = Duration::from_millis(50);
/// The kernel's lists for the thread that reads them.
const LISTS: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
const TCP: u8 = 6;
/// Number of the TCP state `SYN_SENT` in the kernel's list.
const SYN_SENT: u8 = 2;

/// A thread that looks.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Connect>>>,
}

impl Watch {
    /// Looks into this network namespace from now on.
    pub fn start(netns: &Path, clock: Clock) -> Result<Self> {
        let netns = File::open(netns).with_context(|| format!("can't open {}", netns.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            setns(netns, CloneFlags::CLONE_NEWNET)
                .context("can't enter the zone's network namespace to look at its connections")?;
            look(&LISTS.map(Path::new), clock, &asked)
        });
        Ok(Self { stop, thread })
    }

    /// Stops, and returns the connections that were seen. Fails if the list could not be read all the time, for no hang
    /// is seen meanwhile.
    pub fn end(self) -> Result<Vec<Connect>> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("who looks at the sockets has panicked"))?
    }

    /// Returns whether the list is still being read.
    pub fn looks(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// Reads the kernel's lists until it is asked to stop.
fn look(lists: &[&Path], clock: Clock, stop: &AtomicBool) -> Result<Vec<Connect>> {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let mut text = String::new();
        for list in lists {
            let read = fs::read_to_string(list);
            text += &read
                .with_context(|| format!("can't read the connections in {}", list.display()))?;
        }
        seen.take_in(text.lines().filter_map(Socket::of), clock.now_ms());
        std::thread::sleep(EVERY);
    }
    Ok(seen.all())
}

/// A line of the kernel's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    user: u32,
}

impl Socket {
    fn of(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
        let state = u8::from_str_radix(words.next()?, 16).ok()?;
        // Behind the queues, the timer and what was sent again.
        let user = words.nth(3)?.parse().ok()?;
        Some(Self {
            local,
            remote,
            state,
            user,
        })
    }
}

/// Reads an address from the kernel's list: `0200004D:0050`, the address word by word as this machine has it in memory.
fn address(text: &str) -> Option<SocketAddr> {
    const DIGITS: usize = 8;
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * DIGITS..(at + 1) * DIGITS)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = if address.len() == DIGITS {
        IpAddr::V4(Ipv4Addr::from(word(0)?))
    } else {
        let mut bytes = [0; 16];
        for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
            four.copy_from_slice(&word(at)?);
        }
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(address, port))
}

type Pair = (SocketAddr, SocketAddr);

/// Connections that wait, and those that have waited.
#[derive(Default)]
struct Seen {
    waiting: BTreeMap<(Pair, u32), Connect>,
    ended: Vec<Connect>,
}

impl Seen {
    fn take_in(&mut self, sockets: impl Iterator<Item = Socket>, now_ms: u64) {
        let (mut wait, mut connected) = (BTreeSet::new(), BTreeSet::new());
        for socket in sockets {
            let pair = (socket.local, socket.remote);
            if socket.state == SYN_SENT {
                wait.insert((pair, socket.user));
            } else {
                connected.insert(pair);
            }
        }
        let over = self
            .waiting
            .extract_if(.., |known, _| !wait.contains(known));
        self.ended.extend(over.map(|((pair, _), connect)| Connect {
            end: if connected.contains(&pair) {
                End::Connected(now_ms)
            } else {
                End::Gone(now_ms)
            },
            ..connect
        }));
        for (pair, user) in wait {
            let known = self.waiting.entry((pair, user));
            known.or_insert_with(|| begun(pair.1, user, now_ms)).end = End::Waits(now_ms);
        }
    }

    fn all(self) -> Vec<Connect> {
        let waiting = self.waiting.into_values();
        self.ended.into_iter().chain(waiting).collect()
    }
}

fn begun(remote: SocketAddr, user: u32, now_ms: u64) -> Connect {
    Connect {
        program: programs::of(programs::who_goes_to(remote.ip()), user),
        place: Place {
            protocol: TCP,
            remote: programs::host_at(remote.ip()),
            port: remote.port(),
        },
        began_ms: now_ms,
        end: End::Waits(now_ms),
        reachable: programs::answers(remote.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: &str = "   0: 0200004D:D3A4 01004E0A:0050 02 00000001:00000000 01:00000042 00000001     0        0 4711 2 0";

    fn socket(state: u8) -> Socket {
        Socket {
            state,
            ..Socket::of(WAITS).expect("a line of the kernel's")
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_kernels_list_is_read_and_its_head_is_none() {
        assert_eq!(
            Socket::of(WAITS),
            Some(Socket {
                local: "77.0.0.2:54180".parse().expect("an address"),
                remote: "10.78.0.1:80".parse().expect("an address"),
                state: SYN_SENT,
                user: 0
            })
        );
        let six = "   1: 000077FD000000000000000002000000:D3A4 000079FD000000000000010001000000:0050 02 00000001:00000000 01:00000042 00000001 64001 0 4711";
        let six = Socket::of(six).expect("a line of the kernel's");
        assert_eq!(six.local.to_string(), "[fd77::2]:54180");
        assert_eq!(six.remote.to_string(), "[fd79::1:0:0:1]:80");
        assert_eq!((six.state, six.user), (SYN_SENT, 64_001));
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(Socket::of(head), None);
    }

    #[test]
    fn where_the_connections_can_not_be_looked_at_it_is_an_error_and_not_an_evening_without_any() {
        let clock = Clock::start(Duration::from_secs(1));
        let seen = look(&[Path::new("/proc/none")], clock, &AtomicBool::new(false));
        let why = seen.expect_err("nobody has looked");
        assert!(why.to_string().contains("/proc/none"), "{why}");
        // A file that is no namespace can't be entered.
        let watch = Watch::start(Path::new("/dev/null"), clock).expect("it can be opened");
        assert!(watch.end().is_err());
    }

    #[test]
    fn what_waits_is_followed_until_it_is_connected_or_gone() {
        let ends = |last: &[Socket]| {
            let mut seen = Seen::default();
            seen.take_in([socket(SYN_SENT)].into_iter(), 100);
            seen.take_in([socket(SYN_SENT)].into_iter(), 150);
            seen.take_in(last.iter().copied(), 200);
            let all = seen.all();
            assert_eq!((all.len(), all[0].began_ms), (1, 100));
            all[0].end
        };
        assert_eq!(ends(&[socket(1)]), End::Connected(200));
        assert_eq!(ends(&[socket(6)]), End::Connected(200), "and over again");
        assert_eq!(ends(&[socket(SYN_SENT)]), End::Waits(200));
        assert_eq!(ends(&[]), End::Gone(200));
    }
}
