//! Stand-in for systemd and the package's units, as far as the service's own goes: the process that its answers are
//! left to is started as it connects, and it may make no socket of IP itself.

use super::Protected;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Stand-in for `gatebell-reject.socket`.
pub struct RejectUnit {
    /// The socket at which the service connects.
    pub socket: PathBuf,
    ended: Arc<AtomicBool>,
    starts: Option<JoinHandle<()>>,
}

impl RejectUnit {
    /// Listens in this zone's folder.
    pub fn of(zone: &Protected) -> Self {
        let (socket, listener) = listening(zone);
        listener
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let this = std::env::current_exe().unwrap();
        let line = format!(
            "exec -a gatebell-reject '{}' zone::the_service --exact --nocapture",
            this.display()
        );
        let mut command = zone.lab.inside(&["bash", "-c", &line]);
        command
            .env("GATEBELL_SERVICE", "gatebelld")
            .stdout(Stdio::null());
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        let starts = std::thread::spawn(move || serve(&listener, command, &until));
        Self {
            socket,
            ended,
            starts: Some(starts),
        }
    }
}

impl Drop for RejectUnit {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.starts.take().map(JoinHandle::join);
    }
}

/// Listens where the service is to connect, and returns where that is.
pub fn listening(zone: &Protected) -> (PathBuf, Socket) {
    let path = zone.lab.folder().join("reject.sock");
    let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(2).unwrap();
    (path, listener)
}

/// Starts the command for each that connects, until nobody is to be served any more.
fn serve(listener: &Socket, mut command: Command, ended: &AtomicBool) {
    let mut started: Vec<Child> = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        if let Ok((connection, _)) = listener.accept() {
            connection.set_read_timeout(None).unwrap();
            started.push(command.stdin(OwnedFd::from(connection)).spawn().unwrap());
        }
    }
    for mut child in started {
        let _ended_already = child.kill();
        child.wait().unwrap();
    }
}

/// Keeps this thread, and what it starts, from making sockets of IP (`RestrictAddressFamilies=`).
pub fn makes_no_socket_of_ip() -> io::Result<()> {
    const NUMBER: u32 = 0;
    const FIRST_ARGUMENT: u32 = 16;
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32;
    let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, (0, 0));
    let is = |value, ways| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, ways);
    let ends = |with| instruction(libc::BPF_RET | libc::BPF_K, with, (0, 0));
    let mut filter = [
        load(NUMBER),
        is(libc::SYS_socket as u32, (0, 4)),
        load(FIRST_ARGUMENT),
        is(libc::AF_INET as u32, (1, 0)),
        is(libc::AF_INET6 as u32, (0, 1)),
        ends(REFUSED),
        ends(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: numbers alone.
    let failed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0
        // SAFETY: a program of the length given, which the kernel copies.
        || unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
        } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// An instruction of a socket filter, with how many to pass over if it is so and if not.
const fn instruction(code: u32, value: u32, (so, not): (u8, u8)) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: so,
        jf: not,
        k: value,
    }
}
