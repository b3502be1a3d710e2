//! Counters of the driver and of the service.

use channel_abi::Totals;
use firewall_abi::firewall::{MAX_FLOWS, MAX_UNCONFIRMED_ARRIVALS, RING, RINGS, Verdicts};
use firewall_abi::packet::Direction;
use serde::{Deserialize, Serialize};

/// Counters of the driver since its tables were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Generation of the rules in force.
    pub generation: u32,
    /// Packets into the zone that went on.
    pub allowed_in: u64,
    /// Packets into the zone that were dropped.
    pub blocked_in: u64,
    /// Packets out of the zone that went on.
    pub allowed_out: u64,
    /// Packets out of the zone that were dropped.
    pub blocked_out: u64,
    /// Packets through the zone that went on.
    pub allowed_forward: u64,
    /// Packets through the zone that were dropped.
    pub blocked_forward: u64,
    /// Connects of the zone that failed at once, before there was a packet.
    pub refused_connects: u64,
    /// Packets into the zone that a rule left to whoever gets them, and that nobody got who is judged.
    pub left_in: u64,
    /// Packets of confirmed connections that found no lasting room.
    pub flows_full: u64,
    /// Connections that are remembered, confirmed or not.
    pub flows: u64,
    /// Connections that there is room for.
    pub flows_most: u64,
    /// Counters of the names of addresses.
    pub names: NameStats,
    /// Counters of the answers to what was rejected.
    pub rejected: RejectStats,
}

impl Stats {
    /// Combines the driver's verdict counters with the other counters.
    #[must_use]
    pub const fn of(
        generation: u32,
        verdicts: Verdicts,
        flows: u64,
        names: NameStats,
        rejected: RejectStats,
    ) -> Self {
        let Verdicts {
            allowed_in,
            blocked_in,
            allowed_out,
            blocked_out,
            flows_full,
            allowed_forward,
            blocked_forward,
            refused_connects,
            left_in,
            spare: _,
        } = verdicts;
        let flows_most = (MAX_FLOWS + MAX_UNCONFIRMED_ARRIVALS + RING * RINGS) as u64;
        Self {
            generation,
            allowed_in,
            blocked_in,
            allowed_out,
            blocked_out,
            allowed_forward,
            blocked_forward,
            refused_connects,
            left_in,
            flows_full,
            flows,
            flows_most,
            names,
            rejected,
        }
    }

    /// Returns the counts of the packets that go in this direction.
    #[must_use]
    pub const fn packets(&self, direction: Direction) -> PacketCounts {
        let (allowed, refused, left) = match direction {
            Direction::Inbound => (self.allowed_in, self.blocked_in, self.left_in),
            Direction::Outbound => (self.allowed_out, self.blocked_out, 0),
            Direction::Forward => (self.allowed_forward, self.blocked_forward, 0),
        };
        PacketCounts {
            allowed,
            refused,
            left,
        }
    }
}

/// Counts of the packets that go in one direction: each of them is in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCounts {
    /// Packets that went on.
    pub allowed: u64,
    /// Packets that were dropped, also those about which somebody is asked.
    pub refused: u64,
    /// Packets that a rule left to whoever gets them, and that nobody got who is judged.
    pub left: u64,
}

impl PacketCounts {
    /// Returns the number of all packets that were judged.
    #[must_use]
    pub const fn judged(&self) -> u64 {
        self.allowed
            .wrapping_add(self.refused)
            .wrapping_add(self.left)
    }

    /// Returns whether no more were taken out of a count, to be decided anew, than were in it.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.allowed.cast_signed() >= 0
            && self.refused.cast_signed() >= 0
            && self.left.cast_signed() >= 0
    }
}

/// Counters of the packets whose senders are to be told: they were rejected, or begin a connection that a person's
/// answer blocks, or that nobody has answered for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectStats {
    /// Packets that the driver handed to the service to be answered, since its tables were made.
    pub handed: u64,
    /// Packets that found no room on that way, or could not be copied: nobody was told.
    pub lost: u64,
    /// Answers that were sent, since the service started.
    pub answered: u64,
    /// Packets that were not answered because there were too many, since then.
    pub limited: u64,
    /// Answers that could not be sent, or were not because what this machine sends came from an address that
    /// it does not have, since then.
    pub failed: u64,
}

/// Counters of the DNS answers that the zone got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStats {
    /// Addresses whose names are kept.
    pub known: u64,
    /// Answers that the driver handed to the service, since its tables were made.
    pub answers: u64,
    /// Answers that found no room on that way, or could not be copied: they name nothing.
    pub lost: u64,
    /// Answers that the service could not read, since it started: they name nothing.
    pub unread: u64,
    /// Questions that found no room on that way: what answers them names nothing and has no address join a set.
    pub questions_lost: u64,
    /// Answers that the zone was not seen to ask for, since the service started:
    /// they name nothing and have no address join a set.
    pub unasked: u64,
    /// Answers to what was asked that have no address join a set, since then: of a resolver that neither this machine
    /// nor a set names (they name nothing either), of another than the set that asks for the name takes answers of, or
    /// with addresses that it leaves out.
    pub strange: u64,
    /// Addresses that found no room in sets that ask for their names, since then.
    pub no_room: u64,
}

/// Accounting of every app's records, and of the apps that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Number of references taken.
    pub taken: u64,
    /// Number of references released.
    pub released: u64,
    /// Accounts of the apps that are attached.
    pub apps: Vec<Account>,
    /// Sum of the counters of all apps that are gone.
    pub past: Counted,
    /// `true` if every one of these accounts balances, and the references do.
    pub balances: bool,
}

/// Account of one app's records, as the driver keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Slot of the app.
    pub slot: u32,
    /// Process that attached.
    pub pid: u32,
    /// User who attached.
    pub user: u32,
    /// Counters of the records that the app was offered.
    pub counted: Counted,
    /// `true` if the records offered are the sum of those committed and lost.
    pub balances: bool,
    /// `true` if the app's page of the ring says what no reader can have come to. That harms nobody but itself.
    pub lies: bool,
}

/// Counters of the records offered, and of what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Records that the mask asked for.
    pub offered: u64,
    /// Records put into the ring.
    pub committed: u64,
    /// Records lost for want of room.
    pub lost_no_room: u64,
    /// Records lost because the reference was being let go of.
    pub lost_closing: u64,
    /// Records lost because they are larger than the ring.
    pub lost_too_large: u64,
}

impl From<Totals> for Counted {
    fn from(totals: Totals) -> Self {
        let Totals {
            offered,
            committed,
            lost: [lost_no_room, lost_closing, lost_too_large],
        } = totals;
        Self {
            offered,
            committed,
            lost_no_room,
            lost_closing,
            lost_too_large,
        }
    }
}
