//! Quotas of one user on the control socket, so that the others have theirs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Maximum number of connections at the same time; more are hung up on.
pub const MOST_PEERS: usize = 64;
/// Number of connections kept for root.
const FOR_ROOT: usize = 8;
/// Maximum number of connections of one user who is not root.
pub const MOST_OF_A_USER: usize = 8;
/// Number of requests and connections that one user may make at once after some rest.
pub const BURST: u32 = 64;
/// Time after which one more request is allowed.
const EACH: Duration = Duration::from_millis(25);
/// Maximum time that the first request of a new connection may have to wait, because of what its user asked before; one
/// for which it were longer is hung up on.
const CREDIT: Duration = EACH.saturating_mul(BURST);
/// Number of further requests that a user is charged for a request that polkit has to be asked about: a process is
/// started for each.
const QUESTION: u32 = 20;
/// Maximum number of users that are remembered. Those who rested long enough are forgotten.
const MOST_USERS: usize = 256;

/// Shares of all quota owners.
#[derive(Debug, Default)]
pub struct Quotas(HashMap<QuotaOwner, Share>);

/// Quota owner: a user, or a block of users above the usual ones: a container's are all one person's, who has one
/// share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct QuotaOwner(u32);

impl QuotaOwner {
    const fn of(user: u32) -> Self {
        Self(engine::quota::of_user(user))
    }
}

/// Share of one quota owner.
#[derive(Debug)]
struct Share {
    connections: usize,
    /// Time at which all of the burst is free again.
    rested: Instant,
}

impl Quotas {
    /// Returns whether this user may have one more connection now. If so, it is counted.
    pub fn enter(&mut self, user: u32, now: Instant) -> bool {
        let all: usize = self.0.values().map(|share| share.connections).sum();
        if user == 0 {
            if all < MOST_PEERS {
                self.share(user, now).connections += 1;
            }
            return all < MOST_PEERS;
        }
        self.forget(now);
        let known = self.0.contains_key(&QuotaOwner::of(user)) || self.0.len() < MOST_USERS;
        let waits_long = self.wait(user, now).is_some_and(|wait| wait > CREDIT);
        if !known || all >= MOST_PEERS - FOR_ROOT || waits_long {
            return false;
        }
        self.charge(user, 1, now);
        let share = self.share(user, now);
        let room = share.connections < MOST_OF_A_USER;
        share.connections += usize::from(room);
        room
    }

    /// Counts the end of a connection of this user.
    pub fn leave(&mut self, user: u32) {
        if let Some(share) = self.0.get_mut(&QuotaOwner::of(user)) {
            share.connections = share.connections.saturating_sub(1);
        }
    }

    /// Takes one request of this user's burst, if there is one. Root's requests are not counted.
    pub fn take(&mut self, user: u32, now: Instant) -> bool {
        if self.wait(user, now).is_some() {
            return false;
        }
        self.charge(user, 1, now);
        true
    }

    /// Charges this user for a request that polkit is asked about, beside what every request costs.
    pub fn take_question(&mut self, user: u32, now: Instant) {
        self.charge(user, QUESTION, now);
    }

    /// Returns the time that this user has to wait for the next request, or `None` if none.
    pub fn wait(&self, user: u32, now: Instant) -> Option<Duration> {
        let busy = self
            .0
            .get(&QuotaOwner::of(user))?
            .rested
            .checked_duration_since(now)?;
        let over = (busy + EACH).checked_sub(EACH * BURST)?;
        (!over.is_zero() && user != 0).then_some(over)
    }

    /// Charges this user for so many requests, also if the burst is used up: later requests then wait for longer.
    fn charge(&mut self, user: u32, requests: u32, now: Instant) {
        if user != 0 {
            let share = self.share(user, now);
            share.rested = share.rested.max(now) + EACH * requests;
        }
    }

    fn share(&mut self, user: u32, now: Instant) -> &mut Share {
        self.0.entry(QuotaOwner::of(user)).or_insert(Share {
            connections: 0,
            rested: now,
        })
    }

    fn forget(&mut self, now: Instant) {
        self.0
            .retain(|_, share| share.connections > 0 || share.rested > now);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    const USER: u32 = 1000;

    #[test]
    fn one_user_has_a_burst_and_then_waits_for_each() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        let at_once = (0..1000).filter(|_| quotas.take(USER, now)).count();
        assert_eq!(at_once, BURST as usize);
        let wait = quotas.wait(USER, now).unwrap();
        assert!(wait <= EACH, "{wait:?}");
        assert!(quotas.take(USER, now + EACH) && !quotas.take(USER, now + EACH));
        assert!(quotas.take(USER + 1, now), "others have theirs");
        assert!(
            (0..1000).all(|_| quotas.take(0, now)),
            "root's are not counted"
        );
    }

    #[test]
    fn a_containers_users_have_one_share_together() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        let subordinate = || (0..1000).map(|n| 131_072 + n);
        let entered = subordinate().filter(|user| quotas.enter(*user, now));
        assert_eq!(entered.count(), MOST_OF_A_USER);
        let at_once = subordinate().filter(|user| quotas.take(*user, now));
        assert!(at_once.count() < BURST as usize);
        assert!(quotas.wait(131_072 + 7, now).is_some());
        assert!(quotas.enter(USER, now) && quotas.enter(0, now));
        (0..MOST_OF_A_USER as u32).for_each(|n| quotas.leave(131_072 + n));
        assert!(quotas.enter(131_072, now + EACH * BURST));
    }

    #[test]
    fn one_user_leaves_connections_for_others_and_all_leave_some_for_root() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        assert_eq!(
            (0..100).filter(|_| quotas.enter(USER, now)).count(),
            MOST_OF_A_USER
        );
        let others = (1..100)
            .flat_map(|n| [USER + n; 3])
            .filter(|user| quotas.enter(*user, now))
            .count();
        assert_eq!(MOST_OF_A_USER + others, MOST_PEERS - FOR_ROOT);
        assert_eq!((0..100).filter(|_| quotas.enter(0, now)).count(), FOR_ROOT);
        quotas.leave(USER);
        assert!(!quotas.enter(USER, now), "what is root's stays root's");
        quotas.leave(0);
        assert!(quotas.enter(0, now));
    }

    #[test]
    fn who_connects_and_hangs_up_all_day_is_bounded_too() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        let entered = (0..1000)
            .filter(|_| {
                quotas
                    .enter(USER, now)
                    .then(|| quotas.leave(USER))
                    .is_some()
            })
            .count();
        let bound = 2 * BURST as usize..=2 * BURST as usize + 2;
        assert!(bound.contains(&entered), "{entered}");
    }

    #[test]
    fn whoever_has_asked_for_much_is_let_in_and_waits() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        let mut at = now;
        // Commands, one after another: each connects, asks once its time has come,
        // and is one that polkit is asked about.
        for command in 0..50 {
            assert!(quotas.enter(USER, at), "command {command} is hung up on");
            let wait = quotas.wait(USER, at).unwrap_or_default();
            assert!(wait <= EACH * (QUESTION + 2), "{wait:?}");
            at += wait;
            assert!(quotas.take(USER, at));
            quotas.take_question(USER, at);
            quotas.leave(USER);
        }
        assert!(at > now + EACH * BURST, "it waits");
    }

    #[test]
    fn users_that_came_by_are_forgotten() {
        let (mut quotas, now) = (Quotas::default(), Instant::now());
        for user in 1..10_000 {
            if quotas.enter(user, now) {
                quotas.leave(user);
            }
        }
        assert!(quotas.0.len() <= MOST_USERS);
        assert!(quotas.enter(20_000, now + EACH * BURST));
        assert_eq!(quotas.0.len(), 1);
    }
}
