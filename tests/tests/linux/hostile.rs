//! Descriptors that somebody sends who wants to hold up whoever closes them.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

/// The most descriptors that the kernel takes beside one message: `SCM_MAX_FD`.
pub const MOST_BESIDE: usize = 253;

/// Time that a socket lingers whose data nobody reads, in seconds.
pub const LINGERS: u16 = 10;

/// Connection inside a network namespace of its own whose end waits to be closed: data that nobody reads is unsent, and
/// the socket lingers.
pub struct Lingering {
    /// End of the connection that waits. Whoever closes its last descriptor waits too.
    pub socket: TcpStream,
    /// Other end of the connection.
    reads_nothing: TcpStream,
}

impl Lingering {
    pub fn connect() -> Self {
        std::thread::spawn(Self::in_own_namespace).join().unwrap()
    }

    /// Lets go of the end that waits, after it was sent to somebody. Keep what comes back, or nobody waits.
    pub fn give_away(self) -> OwnedFd {
        let Self {
            socket,
            reads_nothing,
        } = self;
        // Whoever got it may have been quicker, and then it is ours that waits.
        std::thread::spawn(move || drop(socket));
        reads_nothing.into()
    }

    fn in_own_namespace() -> Self {
        // SAFETY: no preconditions.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (reads_nothing, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        loop {
            match socket.write(&[0; 65536]) {
                Ok(_) => {}
                Err(full) if full.kind() == ErrorKind::WouldBlock => break,
                Err(other) => panic!("{other}"),
            }
        }
        // Who closes it may wait, though it does not block otherwise.
        socket.set_nonblocking(false).unwrap();
        linger(&socket, LINGERS.into());
        Self {
            socket,
            reads_nothing,
        }
    }
}

fn linger(socket: &TcpStream, seconds: i32) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: seconds,
    };
    let length = size_of_val(&linger) as libc::socklen_t;
    let at = (&raw const linger).cast();
    // SAFETY: a struct of the option's type, as long as said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            at,
            length,
        )
    };
    assert_eq!(set, 0);
}

/// Returns files that are no ring: a directory, a file that was opened only to be named, two epolls of which one
/// watches the other.
pub fn no_rings() -> Vec<OwnedFd> {
    let named = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open("/")
        .unwrap();
    let (watches, watched) = (epoll(), epoll());
    watch(&watches, &watched);
    vec![
        File::open("/").unwrap().into(),
        named.into(),
        watches,
        watched,
    ]
}

fn epoll() -> OwnedFd {
    // SAFETY: no preconditions.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn watch(epoll: &OwnedFd, watched: &OwnedFd) {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    let (epoll, watched) = (epoll.as_raw_fd(), watched.as_raw_fd());
    // SAFETY: an initialised event.
    let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, watched, &raw mut event) };
    assert_eq!(added, 0);
}

/// Sends these bytes and these descriptors, whatever the other side makes of it.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    beside: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    const HEADER: usize = 16;
    let mut control = vec![0_u64; (HEADER + 4 * beside.len()).div_ceil(8)];
    let length = HEADER + 4 * beside.len();
    let mut raw: Vec<u8> = length.to_ne_bytes().to_vec();
    raw.extend(libc::SOL_SOCKET.to_ne_bytes());
    raw.extend(libc::SCM_RIGHTS.to_ne_bytes());
    raw.extend(beside.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()));
    raw.resize(control.len() * 8, 0);
    for (word, bytes) in control.iter_mut().zip(raw.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().unwrap());
    }
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a plain C struct, for which zero is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() * 8;
    // SAFETY: everything that the header points to is alive and as long as it says; the kernel only reads it.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Returns as many borrowed descriptors of the same file as one message takes.
pub fn many(file: &impl AsFd) -> Vec<BorrowedFd<'_>> {
    vec![file.as_fd(); MOST_BESIDE]
}

/// Limit of this process's open files, for as long as this value lives.
pub struct OpenFiles {
    before: libc::rlimit,
    /// Files opened only to take up numbers.
    taken: Vec<File>,
}

impl OpenFiles {
    pub fn at_most(most: u64) -> Self {
        let mut before = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: room for what is asked for.
        let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before) };
        assert_eq!(got, 0);
        Self::set(libc::rlimit {
            rlim_cur: most,
            ..before
        });
        Self {
            before,
            taken: Vec::new(),
        }
    }

    /// Sets the limit to as few files as are open.
    pub fn all_taken() -> Self {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let mut none = Self::at_most(open + 32);
        none.taken = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        none
    }

    fn set(limit: libc::rlimit) {
        // SAFETY: an initialised limit.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        assert_eq!(set, 0);
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        Self::set(self.before);
    }
}
