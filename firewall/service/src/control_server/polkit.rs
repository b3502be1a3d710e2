//! Questions to polkit: whether somebody who is not root may change the firewall.
//!
//! The question is put by polkit's own `pkcheck`, a process that is started for it and ends with it. D-Bus is used for
//! that and for nothing else: this process speaks none, needs no bus to run, and holds no library that parses what a
//! bus says. A process can be killed at any moment, and then polkit sees its name leave the bus and takes its dialog
//! away. That is what a time that is over, a peer that hangs up and a service that ends come down to.
//!
//! Rules that hold here:
//! - A question has a thread of its own. The thread gives up its capabilities for ever before it starts anything, so
//!   that `pkcheck` is root by name alone, which is what polkit asks of a process that asks about others.
//! - `pkcheck` gets no environment but the bus's address, no descriptors, and a place that nobody else writes to.
//! - Only so many questions are asked at once, of one user and of all, and each has an end.
//! - Whatever fails refuses.

use super::failure::Failure;
use super::permission::PermissionRequest;
use crate::{capabilities, living};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Action that polkit is asked about; the package's policy file describes it.
const ACTION: &str = "org.gatebell.firewall.change";
/// Path of `pkcheck` in Debian's package of polkitd.
const PKCHECK: &str = "/usr/bin/pkcheck";
/// The one environment variable that `pkcheck` gets: another bus than the usual one, which whoever started the service
/// wants it to use.
const BUS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
/// Maximum number of questions at once. Each takes a thread and a process of a few threads, of which the package's unit
/// allows 64.
const MOST: usize = 8;
/// Maximum number of questions at once about one user's programs.
pub const MOST_OF_A_USER: usize = 2;
/// Time that somebody may take to type a password: a client waits for an answer for two minutes.
const PATIENCE_WITH_A_PERSON: Duration = Duration::from_secs(100);
/// Time that polkit itself may take, where nobody is to be asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum number of bytes read of what `pkcheck` complains of.
const LONGEST_COMPLAINT: usize = 400;

/// Process that polkit can be asked about: the one that connected, and no later one of its number.
#[derive(Debug)]
pub struct Subject {
    pidfd: OwnedFd,
    process: u32,
    started: u64,
    user: u32,
}

impl Subject {
    /// Returns the process that connected, or `None` if it has ended. Kernels before 6.5 can't say which process that
    /// was but by its number, so there this has to be asked as soon as it connects. Its user is the one it had then:
    /// polkit compares.
    pub fn of(stream: &impl AsFd, user: u32, process: Option<u32>) -> Option<Self> {
        let process = process?;
        let pidfd = match getsockopt(&stream.as_fd(), PeerPidfd) {
            Err(Errno::ENOPROTOOPT) => living::open(process).ok()?,
            // Where the kernel does know which process that was, its word is the last: its number may be another's.
            other => other.ok()?,
        };
        let started = living::start_of(process)?;
        let subject = Self {
            pidfd,
            process,
            started,
            user,
        };
        // It lives still, so the number was its own while that was read.
        subject.lives().then_some(subject)
    }

    fn lives(&self) -> bool {
        living::lives(self.pidfd.as_fd())
    }

    /// Returns the process as `pkcheck --process` takes it.
    fn said(&self) -> String {
        format!("{},{},{}", self.process, self.started, self.user)
    }
}

/// Client of polkit, or of what a test has in its place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Polkit {
    program: PathBuf,
    patience: [Duration; 2],
    /// Number of questions asked now, by user; those that were given up count until they are gone.
    asked: Arc<Mutex<HashMap<u32, usize>>>,
}

impl Default for Polkit {
    fn default() -> Self {
        Self::at(PKCHECK.into(), [PATIENCE, PATIENCE_WITH_A_PERSON])
    }
}

impl Polkit {
    /// Creates a client that asks by another program, with these times: without a person, and with one.
    pub fn at(program: PathBuf, patience: [Duration; 2]) -> Self {
        Self {
            program,
            patience,
            asked: Arc::default(),
        }
    }

    /// Asks polkit whether a process may make a change.
    pub fn ask(
        &self,
        subject: Option<&Arc<Subject>>,
        change: PermissionRequest,
    ) -> Result<Question, Failure> {
        let refuse = |why: &str| refusal(change, why);
        let subject = subject.ok_or_else(|| {
            refuse("the program that connected has ended, so polkit can't be asked about it")
        })?;
        let permit = self.enter(subject.user).map_err(refuse)?;
        let asking = Asking {
            program: self.program.clone(),
            patience: self.patience[usize::from(change.interactive)],
            subject: subject.clone(),
            change,
        };
        let failed = |cause: io::Error| refusal(change, &format!("polkit can't be asked: {cause}"));
        let (told, ours) = UnixStream::pair().map_err(failed)?;
        let (tell, verdict) = sync_channel(1);
        std::thread::Builder::new()
            .name("polkit".to_owned())
            .spawn(move || asking.run(&ours, &tell, permit))
            .map_err(failed)?;
        Ok(Question {
            told,
            verdict,
            change,
        })
    }

    fn enter(&self, user: u32) -> Result<Permit, &'static str> {
        // A container's users are one person's.
        let user = engine::quota::of_user(user);
        let mut asked = lock(&self.asked);
        if asked
            .get(&user)
            .is_some_and(|theirs| *theirs >= MOST_OF_A_USER)
        {
            return Err("changes of yours wait for permission already; answer for those first");
        }
        if asked.values().sum::<usize>() >= MOST {
            return Err("too many changes wait for permission already; try again later");
        }
        *asked.entry(user).or_default() += 1;
        Ok(Permit {
            asked: self.asked.clone(),
            user,
        })
    }
}

/// Slot of one of the questions that may be asked at once. Dropping it frees the slot.
struct Permit {
    asked: Arc<Mutex<HashMap<u32, usize>>>,
    /// User, as a quota owner, whose program the question is about.
    user: u32,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut asked = lock(&self.asked);
        if let Some(theirs) = asked.get_mut(&self.user) {
            *theirs -= 1;
            if *theirs == 0 {
                asked.remove(&self.user);
            }
        }
    }
}

fn lock(asked: &Mutex<HashMap<u32, usize>>) -> MutexGuard<'_, HashMap<u32, usize>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Question to polkit in progress. Dropping it ends it.
#[derive(Debug)]
pub struct Question {
    /// Socket to the thread: ready once there is a verdict. The thread ends when this is closed.
    told: UnixStream,
    verdict: Receiver<Verdict>,
    change: PermissionRequest,
}

/// Verdict on a question: permission, or the reason why it is refused.
type Verdict = Result<(), String>;

impl Question {
    /// Returns polkit's verdict, or `None` as long as there is none.
    pub fn verdict(&self) -> Option<Result<(), Failure>> {
        use std::sync::mpsc::TryRecvError;
        let verdict = match self.verdict.try_recv() {
            Ok(verdict) => verdict,
            Err(TryRecvError::Empty) => return None,
            // The thread broke down.
            Err(TryRecvError::Disconnected) => Err("polkit could not be asked".to_owned()),
        };
        Some(verdict.map_err(|why| refusal(self.change, &why)))
    }
}

impl AsFd for Question {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}

/// Builds the error that says why a change is refused, and what to do.
fn refusal(change: PermissionRequest, why: &str) -> Failure {
    Failure::new(
        "NotPermitted",
        format!(
            "only root may change the firewall, and {why}; as root: `{}`",
            change.as_root
        ),
    )
}

/// Work of a question's thread.
struct Asking {
    program: PathBuf,
    patience: Duration,
    subject: Arc<Subject>,
    change: PermissionRequest,
}

impl Asking {
    /// Asks polkit. `ours` is dropped last: its end says that there is a verdict, and that there is room for another
    /// question.
    fn run(self, ours: &UnixStream, tell: &SyncSender<Verdict>, permit: Permit) {
        let verdict = self.verdict(ours);
        drop(permit);
        // Who asked may have gone.
        let _nobody_waits = tell.send(verdict);
    }

    fn verdict(&self, ours: &UnixStream) -> Verdict {
        let failed = |cause: io::Error| format!("polkit can't be asked: {cause}");
        capabilities::give_up().map_err(failed)?;
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                let lacks = "this machine has no polkit to ask an administrator for permission";
                return Err(format!("{lacks} (install it: `sudo apt install polkitd`)"));
            }
            Err(cause) => return Err(failed(cause)),
        };
        let ended = self.wait(&mut child, ours).map_err(failed);
        if !matches!(ended, Ok(Some(_))) {
            // It has ended, or does now.
            let _ended = child.kill();
            let _ended = child.wait();
        }
        match ended? {
            Some(status) => self.understand(status, &complaint(&mut child)),
            None => Err(format!(
                "nobody gave permission within {} s",
                self.patience.as_secs()
            )),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--action-id", ACTION, "--process"])
            .arg(self.subject.said())
            .args(
                self.change
                    .interactive
                    .then_some("--allow-user-interaction"),
            )
            .env_clear()
            .envs(std::env::var_os(BUS).map(|bus| (BUS, bus)))
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Waits until `pkcheck` ends. Returns `None` if its time is over or nobody wants to know any more.
    fn wait(&self, child: &mut Child, ours: &UnixStream) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + self.patience;
        let pidfd = living::open(child.id())?;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [
                PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
                PollFd::new(ours.as_fd(), PollFlags::empty()),
            ];
            match poll(&mut fds, rounded_up(left)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(cause) => return Err(cause.into()),
            }
            let given_up = fds[1].any() == Some(true);
            if let Some(status) = child.try_wait()?.filter(|_| !given_up) {
                return Ok(Some(status));
            }
            if given_up || left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Returns the verdict that the exit status of `pkcheck` stands for.
    fn understand(&self, status: ExitStatus, complaint: &str) -> Verdict {
        match status.code() {
            // Its number may be another's by now, and polkit has answered for that one.
            Some(0) if !self.subject.lives() => Err("the program that asked has ended".to_owned()),
            Some(0) => Ok(()),
            Some(1) => Err("polkit does not permit it to you".to_owned()),
            Some(2) => Err(
                "an administrator's password could give permission, but nothing here can ask for one"
                    .to_owned(),
            ),
            Some(3) => Err("the request for a password was dismissed".to_owned()),
            _ => Err(format!("polkit does not answer ({complaint})")),
        }
    }
}

/// Reads what `pkcheck` complains of, on one line.
fn complaint(child: &mut Child) -> String {
    let mut said = vec![0; LONGEST_COMPLAINT];
    let stderr = child.stderr.as_mut();
    let got = stderr.filter(|stderr| is_ready(stderr.as_fd(), Duration::ZERO) == Some(true));
    let got = got.and_then(|stderr| stderr.read(&mut said).ok());
    let said = String::from_utf8_lossy(&said[..got.unwrap_or(0)]);
    let words: Vec<&str> = said
        .split(|c: char| c.is_whitespace() || c.is_control())
        .collect();
    let words = words.into_iter().filter(|word| !word.is_empty());
    let said = words.collect::<Vec<_>>().join(" ");
    if said.is_empty() {
        "it does not say why".to_owned()
    } else {
        said
    }
}

/// Returns whether there is something to read, or `None` if that can't be said.
fn is_ready(fd: BorrowedFd<'_>, within: Duration) -> Option<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, rounded_up(within))
        .ok()
        .map(|ready| ready > 0)
}

fn rounded_up(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::super::methods::RootCommand;
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::{TempDir, tempdir};

    const CHANGE: PermissionRequest = PermissionRequest {
        as_root: RootCommand {
            words: "sudo gatebell rules confirm",
            generation: Some(7),
        },
        interactive: false,
    };

    /// Maximum time that a test waits for what is meant to come about.
    const LONG: Duration = Duration::from_secs(60);

    /// Returns a client whose `pkcheck` is this script, which lies in this folder.
    fn polkit(folder: &TempDir, script: &str) -> Polkit {
        let program = folder.path().join("pkcheck");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        Polkit::at(program, [LONG; 2])
    }

    /// Starts a process that lives until it is killed, as the one that connected.
    fn somebody() -> (Child, Subject) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = child.id();
        let subject = Subject {
            pidfd: living::open(process).unwrap(),
            process,
            started: living::start_of(process).unwrap(),
            user: 1000,
        };
        (child, subject)
    }

    fn end(mut process: Child) {
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn verdict(question: &Question) -> Result<(), Failure> {
        is_ready(question.as_fd(), LONG).unwrap();
        question.verdict().unwrap()
    }

    fn message(refused: &Failure) -> &str {
        assert_eq!(refused.name, "NotPermitted");
        refused.parameters["message"].as_str().unwrap()
    }

    #[test]
    fn a_question_that_nobody_answers_or_that_can_t_be_asked_refuses_and_says_why() {
        let (process, subject) = somebody();
        let subject = Arc::new(subject);
        let cases = [
            ("exit 1", "does not permit it to you"),
            ("exit 2", "nothing here can ask for one"),
            ("exit 3", "was dismissed"),
            ("echo 'no\tbus' >&2; exit 127", "(no bus)"),
            ("kill -9 $$", "does not answer"),
            ("exec sleep 60", "nobody gave permission within 0 s"),
        ];
        let folder = tempdir().unwrap();
        for (script, why) in cases {
            let mut polkit = polkit(&folder, script);
            if why.contains("within") {
                polkit.patience = [Duration::from_millis(500); 2];
            }
            let refused = verdict(&polkit.ask(Some(&subject), CHANGE).unwrap()).unwrap_err();
            let said = message(&refused);
            assert!(
                said.contains(why) && said.contains("sudo gatebell rules confirm 7"),
                "{said}"
            );
        }
        let missing = Polkit::at("/nonexistent/pkcheck".into(), [Duration::ZERO; 2]);
        let refused = verdict(&missing.ask(Some(&subject), CHANGE).unwrap()).unwrap_err();
        assert!(message(&refused).contains("install polkitd"));
        let permits = polkit(&folder, "exit 0");
        verdict(&permits.ask(Some(&subject), CHANGE).unwrap()).unwrap();
        end(process);
    }

    #[test]
    fn one_user_has_two_questions_and_all_have_eight() {
        let polkit = Polkit::default();
        let enter = |user| polkit.enter(user);
        let mut all = Vec::new();
        for user in 1..=4 {
            all.extend([enter(user).unwrap(), enter(user).unwrap()]);
            assert!(enter(user).is_err(), "a third of one user's");
        }
        assert!(enter(5).is_err(), "a ninth of all");
        all.pop();
        all.push(enter(5).unwrap());
        drop(all);
        assert!(lock(&polkit.asked).is_empty());
    }

    #[test]
    fn a_question_that_is_dropped_is_asked_no_longer() {
        let (process, subject) = somebody();
        let folder = tempdir().unwrap();
        let mut polkit = polkit(&folder, "exec sleep 600");
        polkit.patience = [Duration::from_secs(600); 2];
        let question = polkit.ask(Some(&Arc::new(subject)), CHANGE).unwrap();
        assert!(!lock(&polkit.asked).is_empty());
        drop(question);
        let end_of_patience = Instant::now() + LONG;
        while !lock(&polkit.asked).is_empty() {
            assert!(Instant::now() < end_of_patience, "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
        end(process);
    }

    #[test]
    fn a_process_that_has_ended_is_asked_about_and_permitted_no_more() {
        let (process, subject) = somebody();
        let subject = Arc::new(subject);
        assert!(subject.lives());
        let folder = tempdir().unwrap();
        let polkit = polkit(&folder, "exit 0");
        end(process);
        let question = polkit.ask(Some(&subject), CHANGE).unwrap();
        let refused = verdict(&question).unwrap_err();
        assert!(message(&refused).contains("the program that asked has ended"));
        let refused = polkit.ask(None, CHANGE).unwrap_err();
        assert!(message(&refused).contains("has ended"));
        // Who connects and ends at once, whose socket is still there.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let me = Subject::of(&ours, 1000, Some(std::process::id()));
        assert!(me.unwrap().lives());
        drop(theirs);
        assert!(Subject::of(&ours, 1000, None).is_none());
    }
}
