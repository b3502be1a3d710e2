//! Somebody at the command line, which runs as the test program itself, started again.

use super::zone::Protected;
use gatebell_tests::{PATIENCE, again};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Instant;

/// Person who asks, and the service that they ask.
pub struct Person {
    folder: PathBuf,
    pins: PathBuf,
    socket: PathBuf,
    device: PathBuf,
    user: Option<u32>,
}

/// Result of a command.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Line before what the command line prints: the test harness writes to the same pipe.
const BEGIN: &str = "---- gatebell ----\n";

impl Person {
    /// Returns root, who asks the zone's service.
    pub fn root(zone: &Protected) -> Self {
        let folder = zone.lab.folder().to_owned();
        let (socket, device) = (super::control(zone), folder.join("s"));
        Self {
            folder,
            pins: zone.lab.pins(),
            socket,
            device,
            user: None,
        }
    }

    /// Returns another user, who asks the same service.
    pub fn user(self, number: u32) -> Self {
        Self {
            user: Some(number),
            ..self
        }
    }

    /// Returns somebody who asks where nobody serves.
    pub fn alone() -> Self {
        let folder = std::env::temp_dir();
        let nowhere = folder.join("gatebell-no-such-socket");
        Self {
            pins: folder.clone(),
            folder,
            socket: nowhere.clone(),
            device: nowhere,
            user: None,
        }
    }

    pub fn run(&self, words: &[&str]) -> Said {
        let output = self.command(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let out = text(output.stdout);
        let (_, out) = out
            .split_once(BEGIN)
            .unwrap_or_else(|| panic!("{words:?}: {out}"));
        Said {
            code: output.status.code().unwrap(),
            out: out.to_owned(),
            err: text(output.stderr),
        }
    }

    /// Starts the command without waiting for it.
    pub fn begin(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The JSON object of a command that succeeds.
    pub fn ok(&self, words: &[&str]) -> Value {
        let said = self.run(words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap()
    }

    /// The exit code of a command, run in this very process.
    pub fn run_here(&self, words: &[&str]) -> u8 {
        let arguments = cli::parse_from(self.words(words).into_iter().map(Into::into));
        cli::perform(&arguments.command, &mut io::sink()).unwrap()
    }

    /// Takes everything of this zone out.
    pub fn recover(&self) -> Value {
        let (state, pins) = (self.folder.join("state"), &self.pins);
        let program = self.folder.join("gatebelld");
        std::fs::write(&program, service_script()).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        self.ok(&[
            "recover",
            "--json",
            "--state",
            state.to_str().unwrap(),
            "--pins",
            pins.to_str().unwrap(),
            "--program",
            program.to_str().unwrap(),
        ])
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = std::iter::once("gatebell")
            .chain(words.iter().copied())
            .map(Into::into)
            .collect();
        all.extend(["--socket".to_owned(), self.socket.display().to_string()]);
        if matches!(words[0], "recover" | "watch") {
            all.extend(["--device".to_owned(), self.device.display().to_string()]);
        }
        all
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["person::the_command_line", "--exact", "--nocapture"]);
        command.env("GATEBELL_WORDS", self.words(words).join("\n"));
        command.env("XDG_RUNTIME_DIR", &self.folder);
        if let Some(user) = self.user {
            command.env(again::USER, user.to_string());
        }
        command
    }
}

/// A `gatebell watch --json` that runs. Dropped, it is ended.
pub struct Watch {
    child: Child,
    says: Receiver<String>,
}

impl Watch {
    pub fn start(zone: &Protected, words: &[&str]) -> Self {
        let words: Vec<_> = ["watch", "--json"].iter().chain(words).copied().collect();
        let mut command = Person::root(zone).command(&words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It is heard line by line, as by a terminal: what nobody hears yet waits in its pipe.
        let (tell, says) = sync_channel(1);
        std::thread::spawn(move || {
            for line in lines {
                if tell.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        let watch = Self { child, says };
        // With one processor the harness has begun the line.
        watch.hear_until("BEGIN", |line| {
            line.ends_with(BEGIN.trim_end()).then_some(())
        });
        watch.wait_until_attached(zone);
        watch
    }

    fn wait_until_attached(&self, zone: &Protected) {
        let end = Instant::now() + PATIENCE;
        let pid = self.child.id();
        while !Person::root(zone).ok(&["audit", "--json"])["apps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|app| app["pid"] == pid)
        {
            assert!(Instant::now() < end, "watch does not attach");
        }
    }

    /// Waits for the next line of this kind.
    pub fn hear(&self, kind: &str) -> Value {
        self.hear_until(kind, |line| {
            let said: Value = serde_json::from_str(line).unwrap();
            (said["kind"] == kind).then_some(said)
        })
    }

    fn hear_until<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.says.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("watch does not say {what:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("watch has ended without {what:?}"),
            };
            if let Some(found) = find(&line) {
                return found;
            }
        }
    }

    /// Waits for the next line of this kind about what the zone does now: it sends to the discard port.
    pub fn next_of(&self, zone: &Protected, kind: &str) -> Value {
        assert!(super::discard(zone));
        self.hear(kind)
    }

    /// Sends Ctrl-C, and returns the account and the exit status.
    pub fn end(&mut self) -> (Value, ExitStatus) {
        self.signal();
        let account = self.hear("account");
        (account, self.child.wait().unwrap())
    }

    fn signal(&self) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            Signal::SIGINT,
        )
        .unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn the_command_line() {
    let Ok(words) = std::env::var("GATEBELL_WORDS") else {
        return;
    };
    again::go_on_as_the_user();
    print!("{BEGIN}");
    io::stdout().flush().unwrap();
    let code = cli::run(&cli::parse_from(words.lines().map(Into::into)));
    std::process::exit(code.into());
}

/// Connects as somebody else: a thread has an identity of its own, and the socket keeps that of who connected.
pub fn connect_as(user: u32, path: &Path) -> io::Result<UnixStream> {
    let path = path.to_owned();
    let connecting = std::thread::spawn(move || {
        // SAFETY: no preconditions; glibc's own function would change every thread.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, -1, user, -1) };
        assert_eq!(done, 0);
        UnixStream::connect(path)
    });
    connecting.join().unwrap()
}

/// A program that is the service: this very program, started again with the words of its command line.
fn service_script() -> String {
    let this = std::env::current_exe().unwrap();
    format!(
        "#!/bin/sh\nGATEBELL_SERVICE=\"gatebelld\n$(printf '%s\\n' \"$@\")\" exec '{}' zone::the_service --exact --nocapture\n",
        this.display()
    )
}
