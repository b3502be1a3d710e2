//! Who opened a file, what that one may know, and how many slots a user may have.

use super::Platform;
use channel_abi::{Refusal, SLOTS};

/// Slots that one user's apps may have at once, but an administrator's.
pub const SLOTS_PER_USER: usize = 4;

/// Who has a device open.
#[derive(Clone, Copy, Debug)]
pub struct Opener<U> {
    /// The user.
    pub user: U,
    /// Whether that is an administrator: told of everybody's, given the last slot, and as many as there are.
    pub administrator: bool,
}

/// Whom a record is about, and so who is told.
#[derive(Clone, Copy, Debug)]
pub enum About<U> {
    /// Nobody: told to every app.
    Nobody,
    /// A user: told to that user's apps and to administrators.
    User(U),
    /// A user whom the kernel would not name: told to administrators alone.
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

/// A slot that is a file's, to be filled.
pub(super) struct Reserved {
    pub(super) number: usize,
    /// It was nobody's before.
    pub(super) fresh: bool,
}

/// Gives a slot to who opened the file, within what one user may have; the last one to an administrator alone.
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
