//! Answers to what was rejected: the driver can only drop packets and hand on their headers; a process of its own sends
//! what the packet's sender is told ([`process`]). Where a socket for that is named, systemd starts that process as a
//! unit of its own as the service connects, so that the service's needs neither raw sockets nor any of IP; else the
//! service starts it. For the same reason it makes the sockets of [`crate::canary`],
//! and hands them over as it says that it is ready.
//!
//! Rules that hold here:
//! - No verdict waits for it. Without it what is rejected is blocked, and the status says so; it is looked for again.
//! - It gives up its capabilities before it reads a record, and shares no memory with the service but the ring.
//! - So many answers a second, to each and in all, and no more: what is beyond is counted. A sender that forges
//!   addresses has few packets sent to them.
//! - What the machine itself sends is answered to its own addresses:
//!   no program has sent by this what it may not send by itself.
//! - What is forwarded is answered by the device that it came in by:
//!   no guest has sent by this what it may not send through the machine.
//! - Once it is ready it has read what anybody has sent. So nothing more is received of it, and its connection is
//!   closed by a thread that nobody waits for: descriptors may lie in there whose end takes years.

pub mod process;

use crate::canary::CanarySocket;
use crate::driver::Driver;
use crate::helper;
use crate::troubles::Trouble;
use anyhow::{Context, Result};
use channel::sys::linux::{Closer, ForeignFd};
use firewall_abi::rejected::RejectedSeen;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Time that the process has to become ready; after that the service goes on without waiting, and notes its state.
const SOON: Duration = Duration::from_secs(2);
/// Share of the closer's threads that its connections have.
const SHARE: u32 = 1;
/// First byte of the process's message: its sockets follow, by their cookies; or the reason why it ends.
const IS_READY: u8 = b'=';
const IS_BROKEN: u8 = b'!';
/// Bytes of a message, at most.
const LONGEST: usize = 1024;

/// Counters of rejected packets, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct AnswerCounts {
    /// Packets whose sender was told.
    pub answered: u64,
    /// Packets whose sender was not told: they were beyond the limit.
    pub limited: u64,
    /// Packets whose sender was not told: the answer could not be sent, or the sender named an address that is not this
    /// machine's.
    pub failed: u64,
}

impl AnswerCounts {
    const fn plus(self, more: Self) -> Self {
        Self {
            answered: self.answered + more.answered,
            limited: self.limited + more.limited,
            failed: self.failed + more.failed,
        }
    }
}

/// Handle of the process that answers what was rejected. Dropped, the process ends.
pub struct RejectAnswerer {
    /// Socket at which systemd starts the process, or `None` if the service starts it.
    at: Option<PathBuf>,
    process: Option<Process>,
    /// Closer of what the process has had a hand in.
    closer: Closer,
    /// Counters of the processes before this one.
    before: AnswerCounts,
    /// Trouble that says why nobody is answered.
    broken: Trouble,
}

impl RejectAnswerer {
    /// Begins to answer, in the network namespace of who calls, or of the unit at this socket.
    /// Without it the firewall guards all the same.
    pub fn answer(driver: &Driver, at: Option<PathBuf>) -> Self {
        let mut rejected = Self {
            at,
            process: None,
            closer: Closer::default(),
            before: AnswerCounts::default(),
            broken: Trouble::default(),
        };
        rejected.begin(driver);
        let until = Instant::now() + SOON;
        while let Some(process) = rejected
            .process
            .as_ref()
            .filter(|process| !process.is_ready())
            && process.says_more(until.saturating_duration_since(Instant::now()))
        {
            rejected.meet();
        }
        if rejected.sockets() == [0; 2] && !rejected.broken.holds() {
            let said =
                "who answers what is rejected has not started yet, and it is blocked until then";
            rejected.broken.stands([said.to_owned()]);
        }
        rejected
    }

    /// The sockets by which it answers, by their cookies: what they send of that passes. Zeros: there is none yet.
    pub fn sockets(&self) -> [u64; 2] {
        self.process
            .as_ref()
            .map_or([0; 2], |process| process.sockets)
    }

    /// Takes the sockets that the process has made for [`crate::canary`], once.
    pub fn take_canaries(&mut self) -> Vec<CanarySocket> {
        let process = self.process.as_mut();
        process.map_or_else(Vec::new, |process| std::mem::take(&mut process.canaries))
    }

    /// Wakes who waits until it has something to say.
    pub fn waker(&self) -> Option<BorrowedFd<'_>> {
        let process = self.process.as_ref();
        process.map(|process| process.connection.as_fd())
    }

    /// Hears what it has to say. Whether it has other sockets now.
    pub fn meet(&mut self) -> bool {
        let before = self.sockets();
        while let Some(process) = &mut self.process {
            match process.hear() {
                Heard::Nothing => break,
                Heard::Ready => {
                    self.broken.is_over();
                }
                Heard::End(why) => self.end(&why),
            }
        }
        self.sockets() != before
    }

    /// Begins anew, if it has ended.
    pub fn look_after(&mut self, driver: &Driver) {
        if self.process.is_none() && !self.closer.is_behind(SHARE) {
            self.begin(driver);
        }
    }

    /// Returns the trouble that says why nobody is answered, if nobody is.
    pub fn trouble(&self) -> &Trouble {
        &self.broken
    }

    /// Returns the counters of rejected packets.
    pub fn answered(&self) -> AnswerCounts {
        let now = self.process.as_ref().map(Process::counted);
        self.before.plus(now.unwrap_or_default())
    }

    fn begin(&mut self, driver: &Driver) {
        match Process::begin(driver, self.at.as_deref(), &self.closer) {
            Ok(process) => self.process = Some(process),
            Err(cause) => self.end(&format!("{cause:#}")),
        }
    }

    fn end(&mut self, why: &str) {
        self.before = self.answered();
        self.process = None;
        self.broken.stands([format!(
            "what is rejected is blocked, and nobody is told: {why}; it is tried again"
        )]);
    }
}

/// The process, as the service sees it.
struct Process {
    connection: ForeignFd,
    counts: File,
    sockets: [u64; 2],
    canaries: Vec<CanarySocket>,
    /// If the service has started it.
    child: Option<Child>,
}

enum Heard {
    Nothing,
    Ready,
    End(String),
}

impl Process {
    fn begin(driver: &Driver, at: Option<&Path>, closer: &Closer) -> Result<Self> {
        let (connection, child) = match at {
            Some(at) => {
                let failed = || format!("connecting to {}, where systemd starts it", at.display());
                (helper::connect_to(at).with_context(failed)?, None)
            }
            None => spawned().context("starting the process that answers")?,
        };
        let counts = memfd_create(c"gatebell-rejected", MFdFlags::MFD_CLOEXEC)?;
        let process = Self {
            connection: closer.take(SHARE, connection),
            counts: counts.into(),
            sockets: [0; 2],
            canaries: Vec::new(),
            child,
        };
        process.hand(driver).context("handing the ring over")?;
        Ok(process)
    }

    /// Hands over what it needs.
    fn hand(&self, driver: &Driver) -> Result<()> {
        let descriptors = [driver.map("REJECTED")?, self.counts.as_fd()];
        Ok(helper::send(&self.connection, &[0], &descriptors)?)
    }

    fn is_ready(&self) -> bool {
        self.sockets != [0; 2]
    }

    /// Returns whether the process says something within this time.
    fn says_more(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        poll(&mut fds, time).is_ok_and(|ready| ready > 0)
    }

    fn hear(&mut self) -> Heard {
        if self.is_ready() {
            return if self.says_more(Duration::ZERO) {
                Heard::End("its process has ended, and the journal says why".to_owned())
            } else {
                Heard::Nothing
            };
        }
        let mut message = [0; LONGEST];
        let length = match self.receive(&mut message) {
            Ok(length) => length,
            Err(cause) if helper::is_for_later(&cause) => return Heard::Nothing,
            Err(cause) => return Heard::End(format!("its process is lost: {cause}")),
        };
        match &message[..length] {
            [IS_READY, sockets @ ..] => match <[u64; 2]>::read_from_bytes(sockets) {
                Ok(sockets) => {
                    self.sockets = sockets;
                    Heard::Ready
                }
                Err(_) => Heard::End("its process is of another release".to_owned()),
            },
            [IS_BROKEN, why @ ..] => Heard::End(String::from_utf8_lossy(why).into_owned()),
            _ => Heard::End("its process has ended".to_owned()),
        }
    }

    /// Receives the message that says that it is ready, which comes before it reads what anybody has sent.
    /// With that it hands over sockets.
    fn receive(&mut self, message: &mut [u8; LONGEST]) -> io::Result<usize> {
        let (length, descriptors) =
            helper::receive(&self.connection, message, RecvFlags::DONTWAIT)?;
        self.canaries
            .extend(descriptors.into_iter().filter_map(CanarySocket::handed));
        Ok(length.min(LONGEST))
    }

    fn counted(&self) -> AnswerCounts {
        let mut counted = AnswerCounts::default();
        // It has not counted anything yet.
        let _zeros = self.counts.read_exact_at(counted.as_mut_bytes(), 0);
        counted
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended_already = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn spawned() -> Result<(OwnedFd, Option<Child>)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // The very program that runs, also once another one has taken its name.
    let child = Command::new("/proc/self/exe")
        .arg0(process::NAME)
        .args(std::env::args_os().skip(1))
        .stdin(theirs)
        .stdout(Stdio::null())
        .spawn()?;
    Ok((ours, Some(child)))
}

impl Driver {
    /// Returns the driver's counters of what it rejected.
    pub fn rejected_seen(&self) -> Result<RejectedSeen> {
        self.value("REJECTED_SEEN", 0)
    }
}
