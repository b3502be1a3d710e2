//! Who talks through, into or out of the zone: this very program, started again.

use crate::sockets::{Kind, client, hold, keep, server};
use crate::world::{USER, World};
use gatebell_tests::again;
use std::io::{self, BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long to wait for what is meant to come about, and for what is not: for less than it takes until it is sent again.
pub const fn patience(meant: bool) -> Duration {
    Duration::from_millis(if meant { 30_000 } else { 600 })
}

/// What somebody says once they listen; the test harness speaks on the same pipe.
const READY: &str = "---- ready ----";

const REFUSED: i32 = 3;

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Zone,
    Outside,
    Beyond,
    /// In the zone's control group, and in another network namespace.
    Elsewhere,
}

/// Somebody with a socket of this kind. Who is in the zone is a user of its own, unless only root may have such a socket.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    pub place: Place,
    pub kind: Kind,
}

impl Actor {
    /// Starts who waits for somebody, or something, at this address.
    pub fn waits(self, world: &World, at: SocketAddr) -> Waiting {
        self.starts(world, "server", at)
    }

    fn starts(self, world: &World, role: &str, at: SocketAddr) -> Waiting {
        let mut command = self.command(world, &format!("{role} {} {at}", self.kind.name()));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        // With one processor the harness has begun the line.
        while !said
            .next()
            .expect("somebody has ended")
            .unwrap()
            .ends_with(READY)
        {}
        Waiting {
            process,
            _said: said,
        }
    }

    /// Starts who takes one connection at this address and keeps it.
    pub fn keeps(self, world: &World, at: SocketAddr) -> Waiting {
        self.starts(world, "keeps", at)
    }

    /// Starts who begins a connection to this address and holds it once something came back by it.
    pub fn holds(self, world: &World, to: SocketAddr) -> Waiting {
        self.starts(world, "holds", to)
    }

    /// Calls, or sends to, this address; whether that is taken from them.
    pub fn calls(self, world: &World, to: SocketAddr, meant: bool) -> bool {
        let output = self
            .command(world, &format!("client {} {to}", self.kind.name()))
            .env("GATEBELL_MEANT", meant.to_string())
            .output()
            .unwrap();
        match output.status.code() {
            Some(0) => true,
            Some(REFUSED) => false,
            _ => panic!("{self:?}: {output:?}"),
        }
    }

    fn command(self, world: &World, what: &str) -> Command {
        let program = std::env::current_exe().unwrap();
        let words = [
            program.to_str().unwrap(),
            "actor::acts",
            "--exact",
            "--nocapture",
        ];
        let mut command = match self.place {
            Place::Zone => world.zone.lab.inside(&words),
            Place::Outside => world.zone.lab.outside(&words),
            Place::Elsewhere => {
                let netns = format!("--net=/run/netns/{}", world.elsewhere.0);
                let mut all = vec!["nsenter", &netns];
                all.extend(words);
                world.zone.lab.inside(&all)
            }
            Place::Beyond => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &world.beyond.0]).args(words);
                command
            }
        };
        let is_user = self.place == Place::Zone && !self.kind.is_roots();
        command
            .env("GATEBELL_ACT", what)
            .env(again::USER, if is_user { USER } else { 0 }.to_string());
        command
    }
}

/// Somebody who waits. Dropped, they are ended.
pub struct Waiting {
    process: Child,
    // The harness may still be about to say something there.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Waiting {
    /// Whether what they wait for comes.
    pub fn gets_it(mut self, meant: bool) -> bool {
        let end = Instant::now() + patience(meant);
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn acts() {
    let Ok(what) = std::env::var("GATEBELL_ACT") else {
        return;
    };
    again::go_on_as_the_user();
    let [role, kind, address] = what.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{what}")
    };
    let (kind, address) = (Kind::named(kind), address.parse().unwrap());
    let ready = || println!("{READY}");
    let done = match role {
        "server" => server(kind, address, ready),
        "keeps" => keep(kind, address, ready),
        "holds" => hold(kind, address, patience(true), ready),
        _ => {
            let meant = std::env::var("GATEBELL_MEANT").unwrap() == "true";
            client(kind, address, patience(meant))
        }
    };
    std::process::exit(match done {
        Ok(()) => 0,
        Err(error) if is_refusal(&error) => REFUSED,
        Err(error) => panic!("{what}: {error}"),
    });
}

/// A refused datagram is an error; of a refused beginning nothing is heard.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}
