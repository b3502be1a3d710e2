//! Requests as no honest app sends them.

use super::{RING, attach};
use crate::place::Host;
use channel::sys::linux::{Linux, bpf, socket};
use channel::{DriverCommand, DriverRequest, Error, Mask, Refusal, RequestHeader, System};
use channel_abi::command::ALL_USERS;
use channel_abi::{Command, Reference, VERSION};
use sample_abi::Operate;
use std::os::fd::{AsFd, BorrowedFd};
use zerocopy::IntoBytes;

/// Sends a request as no honest app would, and returns the refusal.
fn allege(host: &Host, command: u32, body: &[u8], beside: &[BorrowedFd<'_>]) -> Refusal {
    let line = host.line();
    let prelude = socket::Prelude {
        number: command,
        descriptors: 0,
    };
    socket::send(line.as_fd(), prelude, body, beside, 0).unwrap();
    let answer = socket::receive(line.as_fd(), 8192, 0).unwrap().unwrap();
    Refusal::try_from(answer.prelude.number).expect("a refusal")
}

#[test]
fn every_false_request_is_refused_by_name() {
    let host = Host::start(None);
    let honest = Reference {
        version: VERSION,
        ring_bytes: RING,
        mask: 0,
        users: ALL_USERS,
        event: 1,
    };
    let (ring, page) = (
        bpf::create_ring(RING).unwrap(),
        bpf::create_page(8).unwrap(),
    );
    let (file, look) = (
        std::fs::File::open("/proc/self/exe").unwrap(),
        bpf::read_only(ring.as_fd()).unwrap(),
    );
    let refer = |request: Reference, beside: &[BorrowedFd<'_>]| {
        allege(&host, Command::Reference as u32, request.as_bytes(), beside)
    };
    let ring = [ring.as_fd()];
    assert_eq!(
        refer(
            Reference {
                version: VERSION + 1,
                ..honest
            },
            &ring
        ),
        Refusal::Version
    );
    assert_eq!(refer(honest, &[]), Refusal::Handle);
    assert_eq!(refer(honest, &[file.as_fd()]), Refusal::Type);
    assert_eq!(refer(honest, &[page.as_fd()]), Refusal::Type);
    assert_eq!(refer(honest, &[look.as_fd()]), Refusal::Access);
    for ring_bytes in [2 * RING, 0, 2048, 5000, 16 << 20, u32::MAX] {
        assert_eq!(
            refer(
                Reference {
                    ring_bytes,
                    ..honest
                },
                &ring
            ),
            Refusal::Size,
            "{ring_bytes}"
        );
    }
    assert_eq!(
        refer(Reference { event: 2, ..honest }, &ring),
        Refusal::Range
    );
    for length in [0, 8, 23] {
        assert_eq!(
            allege(&host, 1, &honest.as_bytes()[..length], &ring),
            Refusal::Length
        );
    }
    assert_eq!(allege(&host, 1, &[1; 4096], &ring), Refusal::Length);
    for command in [0, 3, 8, 16, u32::MAX] {
        assert_eq!(
            allege(&host, command, &[], &[]),
            Refusal::Command,
            "{command}"
        );
    }
    assert_eq!(host.open().references().unwrap().taken, 0);
}

#[test]
fn a_request_that_is_not_the_drivers_own_is_refused_by_name() {
    let host = Host::start(None);
    let device = host.open();
    let _app = attach(&device, RING, Mask::NONE);
    let send = |command, bytes: &mut [u8]| Linux::request(device.system(), command, bytes);
    let refusal = |sent: Result<(), Error>| sent.unwrap_err().refusal();
    let whole = size_of::<Operate>();
    for length in [size_of::<RequestHeader>(), whole - 8, whole + 8, 1024] {
        let refused = refusal(send(Operate::COMMAND, &mut vec![0; length]));
        assert_eq!(refused, Some(Refusal::Length), "{length}");
    }
    let other = DriverCommand::new::<{ DriverCommand::LAST }>();
    let refused = refusal(send(other, &mut vec![0; whole]));
    assert_eq!(refused, Some(Refusal::Command));
}
