//! Judgement of DNS answers: which are believed, and which have an address join a set that asks for names.
//!
//! Rules that hold here:
//! - An answer is believed if the zone asked for it: from the address and to the port by which that was, with its
//!   number and its name; and if it comes from a resolver that this machine asks, or that a set names. What is not
//!   believed labels no address either: a program that asks an accomplice's server would write the name that a
//!   person reads in its question.
//! - It has an address join the sets that ask for the name that was asked for, and no others: of a set that names
//!   resolvers, by those alone; of another by those that this machine asks, however many other sets name.
//! - All is bounded, and what finds no room is counted.

use control::is_link_local;
use names::{Answered, Answerer, Asked, DnsExchange, Holds, Questions, Remembered};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use rules::{Addresses, Set, resolver_files};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Joins that wait for the main loop.
const MOST_WAITING: usize = 4096;
/// Time for which a trouble says that some addresses found no room.
const SAID_FOR: Duration = Duration::from_secs(60);

/// A set that asks for names.
#[derive(Debug)]
struct AskingSet {
    id: Arc<str>,
    except: Vec<Addresses>,
    resolvers: Vec<IpAddr>,
}

/// The sets that ask for names.
#[derive(Debug, Default)]
pub struct Wanted {
    sets: Vec<AskingSet>,
    /// The sets that ask for a name, and for all that lies below one.
    whole: HashMap<String, Vec<usize>>,
    below: HashMap<String, Vec<usize>>,
}

impl Wanted {
    /// Takes those of these sets that ask for names.
    pub fn of(sets: &[Set]) -> Self {
        let mut wanted = Self::default();
        for set in sets.iter().filter(|set| !set.names.is_empty()) {
            let place = wanted.sets.len();
            wanted.sets.push(AskingSet {
                id: set.id.as_str().into(),
                except: set.except.clone(),
                resolvers: set.resolvers.clone(),
            });
            for pattern in &set.names {
                let names = if pattern.is_below() {
                    &mut wanted.below
                } else {
                    &mut wanted.whole
                };
                names
                    .entry(pattern.name().to_owned())
                    .or_default()
                    .push(place);
            }
        }
        wanted
    }

    /// The sets that ask for this name.
    fn sets_of(&self, name: &str) -> Vec<&AskingSet> {
        let domains = name
            .char_indices()
            .filter(|(_, c)| *c == '.')
            .filter_map(|(dot, _)| self.below.get(name.get(dot + 1..)?));
        let mut places: Vec<usize> = self
            .whole
            .get(name)
            .into_iter()
            .chain(domains)
            .flatten()
            .copied()
            .collect();
        places.sort_unstable();
        places.dedup();
        places
            .into_iter()
            .filter_map(|place| self.sets.get(place))
            .collect()
    }

    /// Returns whether this set asks for this name.
    pub fn asks(&self, set: &str, name: &str) -> bool {
        self.sets_of(name).iter().any(|asking| *asking.id == *set)
    }
}

/// An address that joins a set by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub set: Arc<str>,
    pub holds: Holds,
}

/// Counters of what was not believed, or had no address join a set, since the service started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotJoined {
    /// Answers whose question was not seen.
    pub unasked: u64,
    /// Answers of other resolvers than this machine and the sets name,
    /// and for a set's name of another than that set names.
    pub strange: u64,
    /// Addresses that found no room.
    pub no_room: u64,
}

/// Resolver that this machine asks for names, on it or outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnResolver {
    address: IpAddr,
    /// The number of the device by which a link-local one is asked: another machine has its address on each other link.
    /// None: by any, also where its address is a link-local one of IPv4, for which no file has a device.
    device: Option<u32>,
}

impl OwnResolver {
    /// One at this address, by whatever device.
    #[cfg(test)]
    pub const fn at(address: IpAddr) -> Self {
        let device = None;
        Self { address, device }
    }

    /// Returns whether this resolver answers here.
    fn answers(self, ends: DnsExchange) -> bool {
        self.address == ends.resolver && self.device.is_none_or(|device| device == ends.device)
    }
}

/// Beliefs from DNS answers: open questions, remembered answers, and joins of sets that wait.
#[derive(Debug, Default)]
pub struct Belief {
    questions: Questions,
    remembered: Remembered,
    wanted: Wanted,
    /// Resolvers that this machine asks.
    own: Vec<OwnResolver>,
    waiting: Vec<Join>,
    not_joined: NotJoined,
    full: Option<Instant>,
}

impl Belief {
    /// Notes what is asked.
    pub fn ask(&mut self, ends: DnsExchange, asked: Asked, now: Instant) {
        self.questions.ask(ends, asked, now);
    }

    /// Returns who answers what was asked, if that is a resolver that this machine or a set
    /// names. An answer counts once.
    pub fn believes(
        &mut self,
        ends: DnsExchange,
        answered: &Answered,
        now: Instant,
    ) -> Option<Answerer> {
        if !self.questions.is_answer(ends, answered, now) {
            self.not_joined.unasked += 1;
            return None;
        }
        let is_named = |set: &AskingSet| set.resolvers.contains(&ends.resolver);
        let is_own = self.own.iter().any(|own| own.answers(ends));
        let is_known = is_own || self.wanted.sets.iter().any(is_named);
        self.not_joined.strange += u64::from(!is_known);
        is_known.then_some(Answerer {
            address: ends.resolver,
            is_own,
        })
    }

    /// Takes in an answer of this resolver's that is believed. True: something waits that joins a set by it.
    pub fn learn(&mut self, answered: &Answered, resolver: Answerer, now: Instant) -> bool {
        let is_wanted = !self.wanted.sets_of(&answered.name).is_empty();
        let holds = self.remembered.learn(answered, resolver, now);
        let joins = self.joins(&holds);
        if is_wanted && joins.is_empty() && !holds.is_empty() {
            self.not_joined.strange += 1;
        }
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        self.found_no_room(joins.len().saturating_sub(room) as u64, now);
        self.waiting.extend(joins.into_iter().take(room));
        !self.waiting.is_empty()
    }

    fn joins(&self, holds: &[Holds]) -> Vec<Join> {
        let mut joins = Vec::new();
        for holds in holds {
            for set in self.wanted.sets_of(&holds.name) {
                let Answerer { address, is_own } = holds.resolver;
                let is_its = if set.resolvers.is_empty() {
                    // What is remembered may be of one that this machine asks no more.
                    is_own && self.own.iter().any(|own| own.address == address)
                } else {
                    set.resolvers.contains(&address)
                };
                let is_kept_out = set.except.iter().any(|of| of.contains(holds.address));
                if is_its && !is_kept_out {
                    joins.push(Join {
                        set: set.id.clone(),
                        holds: holds.clone(),
                    });
                }
            }
        }
        joins
    }

    /// Replaces the sets that ask for names. Returns what joins them by what is known already.
    pub fn want(&mut self, wanted: Wanted, now: Instant) -> Vec<Join> {
        self.wanted = wanted;
        self.waiting.clear();
        let known: Vec<_> = self.remembered.all(now).collect();
        self.joins(&known)
    }

    /// Returns whether one of the resolvers that this machine asks, or a set names, has one of these addresses of the
    /// machine's own, or one that never leads out of it.
    pub fn asks_one_at(&self, machine: &[IpAddr]) -> bool {
        let is_here = |at: &IpAddr| at.is_loopback() || machine.contains(at);
        let of_sets = self.wanted.sets.iter().flat_map(|set| &set.resolvers);
        self.own.iter().any(|own| is_here(&own.address)) || of_sets.into_iter().any(is_here)
    }

    /// Replaces the resolvers that this machine asks.
    pub fn ask_them(&mut self, own: Vec<OwnResolver>) {
        self.own = own;
    }

    /// Takes the joins that wait.
    pub fn take(&mut self) -> Vec<Join> {
        std::mem::take(&mut self.waiting)
    }

    /// Counts addresses that found no room.
    pub fn found_no_room(&mut self, number: u64, now: Instant) {
        if number > 0 {
            self.not_joined.no_room += number;
            self.full = Some(now);
        }
    }

    /// Returns the counters of what was not believed, or had no address join a set.
    pub fn not_joined(&self) -> NotJoined {
        self.not_joined
    }

    /// Describes the trouble, or returns `None` if there is none.
    pub fn trouble(&self, now: Instant) -> Option<String> {
        if self.own.is_empty()
            && let Some(set) = self.wanted.sets.iter().find(|set| set.resolvers.is_empty())
        {
            return Some(format!(
                "no name has an address join the set `{}`: /etc/resolv.conf names no resolver; write who is asked into the set's \
                 `resolvers`",
                set.id
            ));
        }
        let lasts = |full: Instant| now.saturating_duration_since(full) < SAID_FOR;
        self.full.filter(|full| lasts(*full)).map(|_| {
            format!(
                "{} addresses found no room in sets that ask for their names: `gatebell set list` says what is in them",
                self.not_joined.no_room
            )
        })
    }
}

/// Addresses of this machine's own devices. In the network namespace of the calling thread.
pub fn own_addresses() -> Vec<IpAddr> {
    let devices = getifaddrs().into_iter().flatten();
    let addresses = devices.filter_map(|device| {
        let address = device.address?;
        let four = address.as_sockaddr_in().map(|at| IpAddr::from(at.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|at| at.ip().into()))
    });
    addresses.collect()
}

/// Returns the resolvers that this machine's files name, by the devices of the calling thread's network namespace.
pub fn own_resolvers() -> Vec<OwnResolver> {
    let number = |name: &str| if_nametoindex(name).ok();
    let mut found = Vec::new();
    for file in resolver_files() {
        found.extend(resolvers_in(&file, number));
    }
    found
}

fn resolvers_in(text: &str, number: impl Fn(&str) -> Option<u32>) -> Vec<OwnResolver> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words
            .next()
            .filter(|key| *key == "nameserver")
            .and(words.next())?;
        let (address, device) = match address.split_once('%') {
            Some((address, device)) => (address, Some(device)),
            None => (address, None),
        };
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let device = match device.filter(|_| is_link_local(address)) {
            // By its name or its number, as libc reads it; by one that is not there nobody is asked.
            Some(device) => Some(number(device).or_else(|| device.parse().ok())?),
            // Nobody can ask one of IPv6 without a device: whoever answers from there, a program chose.
            None if address.is_ipv6() && is_link_local(address) => return None,
            None => None,
        };
        Some(OwnResolver { address, device })
    });
    named.collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    const RESOLVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 54));

    fn wanted() -> Wanted {
        let text = "[default]\ninbound = 'allow'\noutbound = 'block'\n\
            [[set]]\nid = 'one'\nnames = ['example.org']\nexcept = '192.0.2.9'\n\
            [[set]]\nid = 'below'\nnames = ['*.example.org', 'Example.NET.']\nresolvers = '192.0.2.54'\n\
            [[rule]]\nid = 'r'\naction = 'allow'\ndestination = ['@one', '@below']\n";
        let rules = rules::parse("r", text, &rules::NoResolver).unwrap();
        Wanted::of(&rules.sets().cloned().collect::<Vec<_>>())
    }

    fn ids(wanted: &Wanted, name: &str) -> Vec<String> {
        let sets = wanted.sets_of(name).into_iter();
        sets.map(|set| set.id.to_string()).collect()
    }

    #[test]
    fn a_name_joins_the_sets_that_ask_for_it_and_what_lies_below_a_domain_at_any_depth() {
        let wanted = wanted();
        assert_eq!(ids(&wanted, "example.org"), ["one"]);
        assert_eq!(ids(&wanted, "www.example.org"), ["below"]);
        assert_eq!(ids(&wanted, "a.b.example.org"), ["below"]);
        assert_eq!(ids(&wanted, "example.net"), ["below"]);
        for other in [
            "badexample.org",
            "org",
            "example.org.evil.example",
            "www.example.net",
        ] {
            assert!(ids(&wanted, other).is_empty(), "{other}");
        }
        assert!(wanted.asks("one", "example.org") && !wanted.asks("below", "example.org"));
    }

    #[test]
    fn what_was_not_asked_or_comes_from_another_resolver_joins_nothing_and_is_counted() {
        let now = Instant::now();
        let mut belief = Belief::default();
        assert!(belief.want(wanted(), now).is_empty());
        assert!(belief.trouble(now).unwrap().contains("`one`"));
        belief.ask_them(resolvers_in("nameserver 192.0.2.53\n", |_| None));
        assert_eq!(belief.trouble(now), None);
        let ends = |resolver| DnsExchange {
            client: IpAddr::from([192, 0, 2, 1]),
            port: 4000,
            resolver,
            device: 3,
        };
        let answered = |name: &str| Answered {
            id: 7,
            name: name.to_owned(),
            addresses: vec![([192, 0, 2, 7].into(), 60), ([192, 0, 2, 9].into(), 60)],
        };
        let hears = |belief: &mut Belief, resolver, name: &str| {
            let asked = Asked {
                id: 7,
                name: name.to_owned(),
            };
            belief.ask(ends(resolver), asked, now);
            if let Some(by) = belief.believes(ends(resolver), &answered(name), now) {
                belief.learn(&answered(name), by, now);
            }
            let joins = belief.take().into_iter();
            joins
                .map(|join| format!("{} {}", join.set, join.holds.address))
                .collect::<Vec<_>>()
        };
        let unasked = belief.believes(ends(RESOLVER), &answered("example.org"), now);
        assert_eq!(unasked, None);
        assert_eq!(
            hears(&mut belief, RESOLVER, "example.org"),
            ["one 192.0.2.7"]
        );
        assert!(hears(&mut belief, OTHER, "example.org").is_empty());
        assert!(hears(&mut belief, RESOLVER, "www.example.org").is_empty());
        assert_eq!(
            hears(&mut belief, OTHER, "www.example.org"),
            ["below 192.0.2.7", "below 192.0.2.9"]
        );
        assert!(hears(&mut belief, RESOLVER, "other.example").is_empty());
        let counted = NotJoined {
            unasked: 1,
            strange: 2,
            no_room: 0,
        };
        assert_eq!(belief.not_joined(), counted);
        // What is known joins sets that come later.
        assert_eq!(belief.want(wanted(), now).len(), 3);
    }

    #[test]
    fn the_machines_resolvers_are_those_that_its_files_name() {
        let text = "# nameserver 192.0.2.1\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # one\nsearch example.org\n\
            nameserver fe80::1%eth0\nnameserver ::1\nnameserver x\n";
        let found = resolvers_in(text, |name| (name == "eth0").then_some(7));
        let own = |address, device| OwnResolver { address, device };
        let link_local = "fe80::1".parse().unwrap();
        let [stub, here] = ["127.0.0.53", "::1"].map(|at| own(at.parse().unwrap(), None));
        let outside = [own(RESOLVER, None), own(link_local, Some(7))];
        assert_eq!(found, [stub, outside[0], outside[1], here]);
        let by_number = resolvers_in("nameserver fe80::1%3\nnameserver fe80::1%gone\n", |_| None);
        assert_eq!(by_number, [own(link_local, Some(3))]);
        // A name comes first, also one that looks like a number.
        let by_name = resolvers_in("nameserver fe80::1%3\n", |name| (name == "3").then_some(9));
        assert_eq!(by_name, [own(link_local, Some(9))]);
        // Without a device one of IPv6 can't be asked at all; one of IPv4 is asked by whichever leads there.
        let without = resolvers_in("nameserver fe80::1\nnameserver 169.254.0.1\n", |_| None);
        assert_eq!(without, [own([169, 254, 0, 1].into(), None)]);
    }

    #[test]
    fn a_resolver_on_this_machine_is_known_by_an_address_of_the_machines_own() {
        let asks = |text: &str| {
            let mut belief = Belief::default();
            belief.ask_them(resolvers_in(text, |_| None));
            belief.asks_one_at(&["192.0.2.1".parse().unwrap()])
        };
        assert!(asks("nameserver 192.0.2.53\nnameserver 127.0.0.53\n"));
        assert!(asks("nameserver ::1\n"));
        assert!(asks("nameserver 192.0.2.1\n"));
        assert!(!asks("nameserver 192.0.2.53\n"));
        let mut belief = Belief::default();
        belief.want(wanted(), Instant::now());
        assert!(!belief.asks_one_at(&[]));
        assert!(belief.asks_one_at(&["192.0.2.54".parse().unwrap()]));
    }

    #[test]
    fn a_link_local_resolver_is_believed_by_its_own_device_alone() {
        let now = Instant::now();
        let mut belief = Belief::default();
        belief.ask_them(resolvers_in("nameserver fe80::1%7\n", |_| None));
        let believes = |belief: &mut Belief, device| {
            let name = "example.org".to_owned();
            let asked = Asked { id: 7, name };
            let ends = DnsExchange {
                client: "fe80::2".parse().unwrap(),
                port: 4000,
                resolver: "fe80::1".parse().unwrap(),
                device,
            };
            let answered = Answered {
                id: 7,
                name: asked.name.clone(),
                addresses: vec![([192, 0, 2, 7].into(), 60)],
            };
            belief.ask(ends, asked, now);
            let by = belief.believes(ends, &answered, now)?;
            belief.learn(&answered, by, now);
            let joins = belief.take().into_iter();
            Some(joins.map(|join| join.set.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(believes(&mut belief, 7), Some(vec![]));
        assert_eq!(believes(&mut belief, 8), None, "another one's");
        assert_eq!(believes(&mut belief, 0), None, "by none");
        assert_eq!(belief.not_joined().strange, 2);

        // One set names it, so that it is believed by any device, and by that one set alone.
        let text = "[default]\ninbound = 'allow'\noutbound = 'block'\n\
            [[set]]\nid = 'own'\nnames = 'example.org'\n\
            [[set]]\nid = 'named'\nnames = 'example.org'\nresolvers = 'fe80::1'\n\
            [[rule]]\nid = 'r'\naction = 'allow'\ndestination = ['@own', '@named']\n";
        let rules = rules::parse("r", text, &rules::NoResolver).unwrap();
        let sets: Vec<Set> = rules.sets().cloned().collect();
        let mut belief = Belief::default();
        belief.ask_them(resolvers_in("nameserver fe80::1%7\n", |_| None));
        belief.want(Wanted::of(&sets), now);
        let named = || Some(vec!["named".to_owned()]);
        assert_eq!(believes(&mut belief, 8), named());
        assert_eq!(believes(&mut belief, 0), named());
        let known = belief.want(Wanted::of(&sets), now);
        assert_eq!(known.len(), 1, "nor by what is remembered: {known:?}");
        let both = vec!["own".to_owned(), "named".to_owned()];
        assert_eq!(believes(&mut belief, 7), Some(both));
    }
}
