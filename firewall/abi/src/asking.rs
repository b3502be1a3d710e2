//! What people are asked and what they answer, as the driver and the service share it.

use crate::packet::Direction;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many answers the driver holds.
pub const MAX_ANSWERS: usize = 8192;
/// How many questions it remembers to have asked. The oldest makes room for the next.
pub const MAX_QUESTIONS: usize = 4096;
/// How many sockets it remembers to have asked about, until they are released: answers may be to one of them.
pub const MAX_ASKED_SOCKETS: usize = 16_384;
/// Bytes of the ring by which the driver wakes the service when there is a new question.
pub const WAKER_BYTES: usize = 4096;

/// What is asked about, and what an answer is to: who, and what begins where. In an answer zeros are any.
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
    /// The other end.
    pub remote: [u8; 16],
    /// The program of a question; in an answer whom it is to, as [`Who::words`] has it.
    pub program: [u64; 2],
    /// The user at this end; [`crate::packet::NO_USER`] if not known.
    pub user: u32,
    /// The port that the first packet goes to: the other end's, or of what comes in our own; 0 where there are none.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// The [`Direction`] of the first packet.
    pub direction: u8,
}

/// How much an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The other end's address, protocol and port.
    Endpoint,
    /// The other end's address, whatever the protocol and port.
    Address,
    /// The protocol and port, whatever the address.
    Port,
    /// Everything that this program of this user begins, or is begun with.
    Anywhere,
}

impl Width {
    /// From the narrowest on: the order in which answers are looked for.
    pub const ALL: [Self; 4] = [Self::Endpoint, Self::Address, Self::Port, Self::Anywhere];

    /// The name in requests and on the command line.
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

/// Whom an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Every process of a program: see [`crate::packet::PacketMeta::program`].
    Program([u64; 2]),
    /// One process, by its number and its beginning, which together no other has.
    Process {
        /// Its number.
        pid: u32,
        /// When it began, in nanoseconds of the clock that includes sleep.
        began_ns: u64,
    },
    /// One socket, by the kernel's cookie, which no other has.
    Socket {
        /// The cookie.
        cookie: u64,
    },
}

impl Who {
    /// The first words of what is no program. A program's is the number of a device, which has 32 bits, or all ones.
    const PROCESS: u64 = 1 << 63;
    const SOCKET: u64 = 1 << 62;

    /// As [`Subject::program`] has it.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        match self {
            Self::Program(program) => program,
            Self::Process { pid, began_ns } => [Self::PROCESS | pid as u64, began_ns],
            Self::Socket { cookie } => [Self::SOCKET, cookie],
        }
    }

    /// Who these words are.
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
    /// The same of somebody else.
    #[must_use]
    #[inline(always)]
    pub const fn of(self, who: Who) -> Self {
        let mut theirs = self;
        theirs.program = who.words();
        theirs
    }

    /// Whom it is about.
    #[must_use]
    pub const fn who(&self) -> Who {
        Who::of(self.program)
    }

    /// What an answer of this width is to.
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

    /// Whether it is about what begins at this end.
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
    /// Until when, in nanoseconds of the clock that includes sleep; [`Answer::NO_END`].
    pub until_ns: u64,
    /// The program that it was given for. A process that runs another one is not who was answered.
    pub program: [u64; 2],
    /// Allow or block, as a [`crate::packet::Verdict`].
    pub verdict: u8,
    /// [`crate::packet::Reason::Answer`], or `Unanswered` where nobody gave one.
    pub reason: u8,
    /// Fills the word.
    pub spare: [u8; 6],
}

impl Answer {
    /// It does not end by itself.
    pub const NO_END: u64 = u64::MAX;

    /// Whether it is in force, for this program.
    #[must_use]
    #[inline(always)]
    pub const fn holds(&self, program: [u64; 2], now_ns: u64) -> bool {
        self.until_ns > now_ns && self.program[0] == program[0] && self.program[1] == program[1]
    }
}

/// A question as the driver has asked it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Question {
    /// When it was asked, on the clock that includes sleep.
    pub since_ns: u64,
    /// How many packets wanted to know.
    pub count: u64,
    /// When the process began, as [`Who::Process`] has it; 0: not known.
    pub began_ns: u64,
    /// The socket that asks to send, by the kernel's cookie; 0: not known, or what comes in is asked about.
    pub socket: u64,
    /// The process's name.
    pub name: [u64; 2],
    /// The process; 0: not known.
    pub pid: u32,
    /// The rule that asks; [`crate::packet::NO_RULE`]: the default.
    pub rule: u32,
    /// The generation that it is of.
    pub generation: u32,
    /// Fills the word.
    pub spare: u32,
}

impl Question {
    /// The process that asked first, if an answer can be to it.
    #[must_use]
    pub const fn process(&self) -> Option<Who> {
        let (pid, began_ns) = (self.pid, self.began_ns);
        if pid == 0 || began_ns == 0 {
            None
        } else {
            Some(Who::Process { pid, began_ns })
        }
    }

    /// Its socket, likewise.
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
