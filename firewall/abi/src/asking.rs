//! Questions to people and their answers, in the layout that driver and service share.

use crate::packet::Direction;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Capacity of the driver's table of answers.
pub const MAX_ANSWERS: usize = 8192;
/// Capacity of the driver's table of open questions. The least recently used one makes room for the next.
pub const MAX_QUESTIONS: usize = 4096;
/// Capacity of the driver's table of sockets that were asked about, until they are released: an answer may be to one
/// socket.
pub const MAX_ASKED_SOCKETS: usize = 16_384;
/// Size, in bytes, of the ring by which the driver wakes the service when there is a new question.
pub const WAKER_BYTES: usize = 4096;

/// Subject of a question, and key of its answer: an asker (program, process or socket), a user, a remote address, and
/// the direction, protocol and port of a new connection. In an answer a zero address, protocol or port stands for any.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C, align(8))]
pub struct Subject {
    /// Remote address; IPv4 in its mapped form.
    pub remote: [u8; 16],
    /// Program of a question; in an answer the asker that it is to, encoded by [`Who::words`].
    pub program: [u64; 2],
    /// User at the local end; [`crate::packet::NO_USER`] if not known.
    pub user: u32,
    /// Destination port of the first packet: the remote end's port, or for an inbound connection the local one; 0 where
    /// the protocol has no ports.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// [`Direction`] of the first packet.
    pub direction: u8,
}

/// Scope of an answer: the part of a [`Subject`] that must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The remote address, protocol and port.
    Endpoint,
    /// The remote address, whatever the protocol and port.
    Address,
    /// The protocol and port, whatever the remote address.
    Port,
    /// Every connection that this program of this user begins or receives.
    Anywhere,
}

impl Width {
    /// Every width, the narrowest first: the order in which answers are looked up.
    pub const ALL: [Self; 4] = [Self::Endpoint, Self::Address, Self::Port, Self::Anywhere];

    /// Returns the name of the width in requests and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Address => "address",
            Self::Port => "port",
            Self::Anywhere => "anywhere",
        }
    }
}

/// Asker that an answer is to: a program, one process or one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Every process of a program: see [`crate::packet::PacketMeta::program`].
    Program([u64; 2]),
    /// One process, by its number and its start time, which together no other has.
    Process {
        /// Process number.
        pid: u32,
        /// Start time of the process, in nanoseconds of the clock that includes sleep.
        began_ns: u64,
    },
    /// One socket, by the kernel's cookie, which no other has.
    Socket {
        /// Cookie of the socket.
        cookie: u64,
    },
}

impl Who {
    /// Mark in the first word of a process. A program's first word is the number of a device, which has 32 bits, or all
    /// ones.
    const PROCESS: u64 = 1 << 63;
    const SOCKET: u64 = 1 << 62;

    /// Encodes the asker in two words, for [`Subject::program`].
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        match self {
            Self::Program(program) => program,
            Self::Process { pid, began_ns } => [Self::PROCESS | pid as u64, began_ns],
            Self::Socket { cookie } => [Self::SOCKET, cookie],
        }
    }

    /// Decodes the asker from the two words that [`Who::words`] made.
    #[must_use]
    pub const fn of(words: [u64; 2]) -> Self {
        const HALF: u32 = u32::BITS;
        match words {
            [Self::SOCKET, cookie] => Self::Socket { cookie },
            [first, began_ns] if first >> HALF == Self::PROCESS >> HALF => Self::Process {
                pid: first as u32,
                began_ns,
            },
            program => Self::Program(program),
        }
    }
}

impl Subject {
    /// Returns the subject with another asker in place of its own.
    #[must_use]
    #[inline(always)]
    pub const fn of(self, who: Who) -> Self {
        let mut theirs = self;
        theirs.program = who.words();
        theirs
    }

    /// Returns the asker of the subject.
    #[must_use]
    pub const fn who(&self) -> Who {
        Who::of(self.program)
    }

    /// Returns the key of an answer to this subject that has the given width: what the width leaves open is zero.
    #[must_use]
    #[inline(always)]
    pub const fn at(self, width: Width) -> Self {
        let mut wide = self;
        if matches!(width, Width::Port | Width::Anywhere) {
            wide.remote = [0; 16];
        }
        if matches!(width, Width::Address | Width::Anywhere) {
            wide.port = 0;
            wide.protocol = 0;
        }
        wide
    }

    /// Returns whether the subject's connection is outbound, begun at the local end.
    #[must_use]
    pub const fn goes_out(&self) -> bool {
        self.direction == Direction::Outbound as u8
    }
}

/// An answer in force.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Answer {
    /// Expiry time, in nanoseconds of the clock that includes sleep; [`Answer::NO_END`] if it never expires.
    pub until_ns: u64,
    /// Program that the answer was given for. To a process that runs another program by now it does not apply.
    pub program: [u64; 2],
    /// Verdict, allow or block, as the number of a [`crate::packet::Verdict`].
    pub verdict: u8,
    /// [`crate::packet::Reason::Answer`], or `Unanswered` where nobody answered in time.
    pub reason: u8,
    /// Padding to a whole word.
    pub spare: [u8; 6],
}

impl Answer {
    /// Expiry time of an answer that never expires.
    pub const NO_END: u64 = u64::MAX;

    /// Returns whether the answer is in force at this time, for this program.
    #[must_use]
    #[inline(always)]
    pub const fn holds(&self, program: [u64; 2], now_ns: u64) -> bool {
        self.until_ns > now_ns && self.program[0] == program[0] && self.program[1] == program[1]
    }
}

/// An open question in the driver's table, beside its [`Subject`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Question {
    /// Time at which it was asked, in nanoseconds of the clock that includes sleep.
    pub since_ns: u64,
    /// Number of packets that it was asked for.
    pub count: u64,
    /// Start time of the process, as in [`Who::Process`]; 0 if not known.
    pub began_ns: u64,
    /// Socket that is to send, by the kernel's cookie; 0 if not known, or if the connection is inbound.
    pub socket: u64,
    /// Name of the process.
    pub name: [u64; 2],
    /// Number of the process; 0 if not known.
    pub pid: u32,
    /// Rule that asks; [`crate::packet::NO_RULE`] for a default policy.
    pub rule: u32,
    /// Generation of that rule.
    pub generation: u32,
    /// Padding to a whole word.
    pub spare: u32,
}

impl Question {
    /// Returns the process that asked first, or `None` if no answer can be to it alone: its number or start time is not
    /// known.
    #[must_use]
    pub const fn process(&self) -> Option<Who> {
        let (pid, began_ns) = (self.pid, self.began_ns);
        if pid == 0 || began_ns == 0 {
            None
        } else {
            Some(Who::Process { pid, began_ns })
        }
    }

    /// Returns the socket that asked first, or `None` if it is not known.
    #[must_use]
    pub const fn socket(&self) -> Option<Who> {
        let cookie = self.socket;
        if cookie == 0 {
            None
        } else {
            Some(Who::Socket { cookie })
        }
    }
}

const _: () = {
    assert!(size_of::<Subject>() == 40 && size_of::<Answer>() == 32 && size_of::<Question>() == 64);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::PacketMeta;

    #[test]
    fn who_was_answered_is_read_back_and_no_process_or_socket_is_a_program() {
        let process = |pid, began_ns| Who::Process { pid, began_ns };
        let all = [
            Who::Program([0; 2]),
            Who::Program([u32::MAX.into(), u64::MAX]),
            Who::Program(PacketMeta::KERNEL),
            Who::Program(PacketMeta::UNSURE),
            Who::Program(PacketMeta::ELSEWHERE),
            process(1, 0),
            process(u32::MAX, u64::MAX),
            // The number came round: it is another process.
            process(7, 100),
            process(7, 200),
            Who::Socket { cookie: 7 },
            Who::Socket { cookie: u64::MAX },
        ];
        for (n, who) in all.iter().enumerate() {
            assert_eq!(Who::of(who.words()), *who);
            let others = all.iter().enumerate().filter(|(other, _)| *other != n);
            assert!(
                others
                    .into_iter()
                    .all(|(_, other)| other.words() != who.words())
            );
        }
    }

    #[test]
    fn an_answer_holds_until_its_time_and_for_the_program_that_it_was_given_for() {
        let answer = Answer {
            until_ns: 10,
            program: [1, 7],
            ..Answer::default()
        };
        assert!(answer.holds([1, 7], 9));
        assert!(!answer.holds([1, 7], 10));
        // The same process runs another program now.
        assert!(!answer.holds([1, 8], 9) && !answer.holds([2, 7], 9));
    }
}
