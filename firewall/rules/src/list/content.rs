//! Contents of a list, for comparing one copy with the next.

use super::read;
use crate::resolver::SetFile;
use std::cmp::Ordering;

/// Entries of a list, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListContent {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Number of entries that could not be read.
    pub unreadable: usize,
}

impl ListContent {
    /// Reads a list.
    ///
    /// # Errors
    /// Fails if it is no list: nothing of it could be read. The text says what it is, and what would be right.
    pub fn read(file: &SetFile) -> Result<Self, String> {
        let list = read(file)?;
        let (mut v4, mut v6) = (list.members.v4, list.members.v6);
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Ok(Self {
            v4,
            v6,
            unreadable: list.wrong,
        })
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Returns the number of entries that the other list does not have.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> usize {
        beyond(&self.v4, &other.v4) + beyond(&self.v6, &other.v6)
    }
}

/// Counts those of `these` that are not among `others`; both are sorted.
fn beyond<T: Ord>(these: &[T], others: &[T]) -> usize {
    let mut others = others.iter().peekable();
    these
        .iter()
        .filter(|one| {
            while others.next_if(|other| *other < *one).is_some() {}
            others.peek().map(|other| (*other).cmp(one)) != Some(Ordering::Equal)
        })
        .count()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn content(text: &str) -> ListContent {
        let file = SetFile {
            name: "list".to_owned(),
            bytes: text.into(),
            confidential: false,
            trouble: None,
        };
        ListContent::read(&file).unwrap()
    }

    #[test]
    fn what_a_list_gained_and_lost_is_counted_entry_by_entry() {
        let old = content("192.0.2.1\n192.0.2.0/24\n2001:db8::/32\nnonsense\n192.0.2.1\n");
        let new = content("192.0.2.1\n198.51.100.7\n2001:db8::/33\n203.0.113.0/24\n");
        assert_eq!((old.entries(), old.unreadable), (3, 1));
        assert_eq!((new.beyond(&old), old.beyond(&new)), (3, 2));
        assert_eq!((new.beyond(&new), content("").beyond(&new)), (0, 0));
    }
}
