//! Program that talks through, into or out of the zone: this very one, started again.

use crate::sockets::{Kind, client, hold, keep, server};
use crate::world::{USER, World};
use gatebell_tests::PATIENCE;
use gatebell_tests::acting::{self, ACT, Acting};
use gatebell_tests::again;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// Time to wait for what is meant to come about, and for what is not: for the latter less than it takes until it is
/// sent again.
pub const fn patience(meant: bool) -> Duration {
    if meant {
        PATIENCE
    } else {
        Duration::from_millis(600)
    }
}

/// Place of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Zone,
    Outside,
    Beyond,
    /// Place in another network namespace, but in the zone's control group.
    Elsewhere,
}

/// Program with a socket of this kind. In the zone it runs as a user of its own, unless only root may have such a
/// socket.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    pub place: Place,
    pub kind: Kind,
}

impl Actor {
    /// Starts who waits for somebody, or something, at this address.
    pub fn waits(self, world: &World, at: SocketAddr) -> Acting {
        self.starts(world, "server", at)
    }

    fn starts(self, world: &World, role: &str, at: SocketAddr) -> Acting {
        Acting::starts(self.command(world, &format!("{role} {} {at}", self.kind.name())))
    }

    /// Starts who takes one connection at this address and keeps it.
    pub fn keeps(self, world: &World, at: SocketAddr) -> Acting {
        self.starts(world, "keeps", at)
    }

    /// Starts who begins a connection to this address and holds it once something came back by it.
    pub fn holds(self, world: &World, to: SocketAddr) -> Acting {
        self.starts(world, "holds", to)
    }

    /// Calls, or sends to, this address; whether that is taken from them.
    pub fn calls(self, world: &World, to: SocketAddr, meant: bool) -> bool {
        acting::does(
            self.command(world, &format!("client {} {to}", self.kind.name())),
            meant,
        )
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
            .env(ACT, what)
            .env(again::USER, if is_user { USER } else { 0 }.to_string());
        command
    }
}

/// Not a promise: what a started-again copy of this program does.
#[test]
fn acts() {
    let Some(what) = acting::act() else {
        return;
    };
    let [role, kind, address] = what.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{what}")
    };
    let (kind, address) = (Kind::named(kind), address.parse().unwrap());
    let done = match role {
        "server" => server(kind, address, acting::ready),
        "keeps" => keep(kind, address, acting::ready),
        "holds" => hold(kind, address, patience(true), acting::ready),
        _ => client(kind, address, patience(acting::meant())),
    };
    acting::end(&what, done, is_refusal);
}

/// A refused datagram is an error; of a refused beginning nothing is heard.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}
