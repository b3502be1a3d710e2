//! Openers of files: which records each may know of, and how many slots a user may have.

use super::Platform;
use channel_abi::{Refusal, SLOTS};

/// Number of slots that one user's apps may have at once, unless the user is an administrator.
pub const SLOTS_PER_USER: usize = 4;

/// The user that has a device open.
#[derive(Clone, Copy, Debug)]
pub struct Opener<U> {
    /// Identity of the user.
    pub user: U,
    /// `true` if the user is an administrator: gets everybody's records, the last slot, and as many slots as there are.
    pub administrator: bool,
}

/// Subject of a record, and so its audience.
#[derive(Clone, Copy, Debug)]
pub enum About<U> {
    /// No user: every app gets the record.
    Nobody,
    /// A user: that user's apps and administrators get the record.
    User(U),
    /// A user whom the kernel would not name: administrators alone get the record.
    Unknown,
}

impl<U: PartialEq> Opener<U> {
    pub(super) fn may_know(&self, about: &About<U>) -> bool {
        match about {
            About::Nobody => true,
            About::User(user) => self.administrator || self.user == *user,
            About::Unknown => self.administrator,
        }
    }
}

pub(super) type Owners<P> = [Option<Opener<<P as Platform>::User>>; SLOTS];

/// A slot that is reserved for a file, to be filled.
pub(super) struct Reserved {
    pub(super) number: usize,
    /// `true` if the slot was nobody's before.
    pub(super) fresh: bool,
}

/// Assigns a slot to the opener of a file, within what one user may have; the last one to an administrator alone.
pub(super) fn own<U: PartialEq>(
    owners: &mut [Option<Opener<U>>; SLOTS],
    opener: Opener<U>,
) -> Result<Reserved, Refusal> {
    let taken = owners.iter().flatten();
    let theirs = taken.clone().filter(|owner| owner.user == opener.user);
    if !opener.administrator && theirs.count() >= SLOTS_PER_USER {
        return Err(Refusal::Quota);
    }
    if !opener.administrator && taken.count() >= SLOTS - 1 {
        return Err(Refusal::NoSlot);
    }
    let mut places = owners.iter_mut().enumerate();
    let (number, free) = places
        .find(|(_, owner)| owner.is_none())
        .ok_or(Refusal::NoSlot)?;
    *free = Some(opener);
    Ok(Reserved {
        number,
        fresh: true,
    })
}
