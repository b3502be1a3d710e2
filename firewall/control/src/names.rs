//! Names of what records have numbers for: rules, programs and devices.
//!
//! A rule's number means something in its generation alone, so a name is asked for by both, and whoever is asked may
//! not know: then nobody guesses.

#[cfg(target_os = "linux")]
pub use service_names::ServiceNames;

use std::net::IpAddr;
use std::sync::Arc;

/// Rule as its rule file names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleName {
    /// Name of the rule in the file.
    pub id: String,
    /// Name of the file, if known.
    pub file: Option<Arc<str>>,
    /// Line of the file that the rule stands on.
    pub line: u32,
}

/// Resolver of the numbers in records to names; each answer is `None` if the name is not known.
pub trait Names {
    /// Returns the rule with this number in this generation.
    fn rule(&mut self, generation: u32, rule: u32) -> Option<RuleName>;

    /// Returns the path of a program, by its file: [`firewall_abi::packet::PacketMeta::program`].
    fn program(&mut self, _file: [u64; 2]) -> Option<Arc<str>> {
        None
    }

    /// Returns the name that this address was asked for by last. It labels, and proves nothing.
    fn address(&mut self, _address: IpAddr) -> Option<Arc<str>> {
        None
    }

    /// Returns the name of a device, by its number.
    fn device(&mut self, _number: u32) -> Option<Arc<str>> {
        None
    }
}

/// Resolver that knows no names: where there is no service to ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn rule(&mut self, _: u32, _: u32) -> Option<RuleName> {
        None
    }
}

#[cfg(target_os = "linux")]
mod service_names {
    use super::{Names, RuleName};
    use crate::{AddressName, Client, Failed, RuleNames};
    use std::collections::{BTreeMap, HashMap};
    use std::net::IpAddr;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// Generations whose names are kept.
    const GENERATIONS: usize = 8;
    /// Programs and devices whose names are kept.
    const KEPT: usize = 4096;
    /// The time for which a service that did not answer is left alone.
    const BREATH: Duration = Duration::from_secs(1);
    /// Addresses whose names are kept.
    const ADDRESSES: usize = 4 * KEPT;
    /// Interval at which the service is asked for what it has learned of addresses, however many unknown ones come,
    const GLANCE: Duration = Duration::from_millis(50);
    /// and number of times that it is asked at once after some rest.
    const GLANCES: u32 = 16;

    /// Resolver of names by the running service, which is asked for each once.
    #[derive(Debug)]
    pub struct ServiceNames {
        socket: PathBuf,
        client: Option<Client>,
        /// Time until which a service that did not answer is left alone.
        again: Option<Instant>,
        generations: BTreeMap<u32, Option<Generation>>,
        programs: HashMap<[u64; 2], Option<Arc<str>>>,
        devices: HashMap<u32, Option<Arc<str>>>,
        addresses: Addresses,
    }

    /// Names of addresses, as the service has learned them by a turn.
    #[derive(Debug, Default)]
    struct Addresses {
        known: HashMap<IpAddr, (Arc<str>, Instant)>,
        turn: u64,
        /// Time at which the service may be asked [`GLANCES`] times again.
        rested: Option<Instant>,
        /// `true` if the service does not tell this user.
        hidden: bool,
    }

    impl Addresses {
        fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
            let (name, until) = self.known.get(&address)?;
            (Instant::now() < *until).then(|| name.clone())
        }

        fn learn(&mut self, learned: Vec<AddressName>, turn: u64) {
            if self.known.len() + learned.len() > ADDRESSES {
                // What holds still is learned again.
                *self = Self::default();
                return;
            }
            let now = Instant::now();
            for AddressName {
                address,
                name,
                seconds_left,
            } in learned
            {
                // A service that says more than a day does not know its own release.
                let left = Duration::from_secs(seconds_left.min(24 * 60 * 60));
                self.known.insert(address, (name.into(), now + left));
            }
            self.turn = turn;
        }
    }

    /// Names of one generation's rules.
    #[derive(Debug)]
    struct Generation {
        file: Option<Arc<str>>,
        names: RuleNames,
    }

    impl ServiceNames {
        /// Returns a resolver that asks the service behind the control socket at this path. It need not run yet.
        #[must_use]
        pub fn new(socket: &Path) -> Self {
            Self {
                socket: socket.to_owned(),
                client: None,
                again: None,
                generations: BTreeMap::new(),
                programs: HashMap::new(),
                devices: HashMap::new(),
                addresses: Addresses::default(),
            }
        }

        /// Forgets every name: another service may count from one again.
        pub fn forget(&mut self) {
            *self = Self::new(&self.socket);
        }

        /// Asks the service, or returns `None` if it does not answer; then it is left alone for a while.
        fn ask<T>(&mut self, ask: impl FnOnce(&mut Client) -> Result<T, Failed>) -> Option<T> {
            if self.again.is_some_and(|again| Instant::now() < again) {
                return None;
            }
            let client = match self.client.take() {
                Some(client) => Ok(client),
                None => {
                    // Another service counts turns of its own.
                    self.addresses = Addresses::default();
                    Client::connect(&self.socket)
                }
            };
            let answered = client.and_then(|mut client| Ok((ask(&mut client)?, client)));
            let Ok((answer, client)) = answered else {
                self.again = Some(Instant::now() + BREATH);
                return None;
            };
            self.client = Some(client);
            Some(answer)
        }

        /// Asks for what was learned of addresses since the last request.
        fn glance(&mut self) {
            let now = Instant::now();
            let rested = self.addresses.rested.map_or(now, |rested| rested.max(now));
            if self.addresses.hidden || rested - now >= GLANCE * GLANCES {
                return;
            }
            let turn = self.addresses.turn;
            let said = self.ask(|client| match client.address_names(turn) {
                // That is an answer, and no reason to leave it alone with everything else.
                Err(Failed::Refused { .. }) => Ok(None),
                answer => answer.map(Some),
            });
            match said {
                Some(Some(learned)) => self.addresses.learn(learned.names, learned.turn),
                Some(None) => self.addresses.hidden = true,
                None => {}
            }
            self.addresses.rested = Some(rested + GLANCE);
        }

        /// Asks for the names of this generation. That the service does not know them is kept as well.
        fn learn(&mut self, generation: u32) {
            let Some(names) = self.ask(|client| client.rule_names(generation)) else {
                return;
            };
            let known = names.map(|names| Generation {
                file: names.name.as_deref().map(Arc::from),
                names,
            });
            while self.generations.len() >= GENERATIONS {
                self.generations.pop_first();
            }
            self.generations.insert(generation, known);
        }
    }

    impl Names for ServiceNames {
        fn rule(&mut self, generation: u32, rule: u32) -> Option<RuleName> {
            if !self.generations.contains_key(&generation) {
                self.learn(generation);
            }
            let known = self.generations.get(&generation)?.as_ref()?;
            let named = known.names.rules.get(usize::try_from(rule).ok()?)?;
            Some(RuleName {
                id: named.id.clone(),
                file: known.file.clone(),
                line: named.line,
            })
        }

        fn program(&mut self, file: [u64; 2]) -> Option<Arc<str>> {
            if let Some(known) = self.programs.get(&file) {
                return known.clone();
            }
            let path = self
                .ask(|client| client.program(file[0], file[1]))?
                .map(Arc::from);
            if self.programs.len() >= KEPT {
                self.programs.clear();
            }
            self.programs.insert(file, path.clone());
            path
        }

        fn address(&mut self, address: IpAddr) -> Option<Arc<str>> {
            let known = self.addresses.name_of(address);
            if known.is_some() {
                return known;
            }
            self.glance();
            self.addresses.name_of(address)
        }

        fn device(&mut self, number: u32) -> Option<Arc<str>> {
            if let Some(known) = self.devices.get(&number) {
                return known.clone();
            }
            let status = self.ask(Client::status)?;
            if self.devices.len() >= KEPT {
                self.devices.clear();
            }
            self.devices.insert(number, None);
            self.devices.extend(
                status
                    .devices
                    .into_iter()
                    .map(|device| (device.index, Some(device.name.into()))),
            );
            self.devices.get(&number)?.clone()
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    /// Serves generations 7 and 8, in which the rule with number 0 has different names.
    fn serve(listener: &UnixListener) {
        let (mut stream, _) = listener.accept().unwrap();
        let requests = BufReader::new(stream.try_clone().unwrap()).split(0);
        for request in requests.map(Result::unwrap) {
            let request: Value = serde_json::from_slice(&request).unwrap();
            assert_eq!(request["method"], "org.gatebell.Firewall.GetRuleNames");
            let generation = request["parameters"]["generation"].as_u64().unwrap();
            let known = [7, 8].contains(&generation).then(|| {
                json!({ "generation": generation, "name": "r.toml", "rules": [{ "id": format!("r{generation}"), "line": 3 }] })
            });
            write!(stream, "{}\0", json!({ "parameters": { "names": known } })).unwrap();
        }
    }

    #[test]
    fn a_rule_is_named_from_its_own_generation_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let service = std::thread::spawn(move || serve(&listener));
        let mut names = ServiceNames::new(&socket);
        let mut id = |generation, rule| names.rule(generation, rule).map(|name| name.id);
        assert_eq!(id(7, 0).as_deref(), Some("r7"));
        assert_eq!(id(8, 0).as_deref(), Some("r8"));
        assert_eq!(id(7, 0).as_deref(), Some("r7"), "also after newer rules");
        assert_eq!(
            id(6, 0),
            None,
            "a generation that the service does not know"
        );
        assert_eq!(id(8, 1), None, "a number that no rule has");
        drop(names);
        folder.close().unwrap();
        service.join().unwrap();
    }
}
