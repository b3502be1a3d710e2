//! The driver's tables of sets: which of the places for them are taken, and what the service knows of the sets in each.

use crate::driver::Driver;
use crate::last_good::Compiled;
use crate::members::{KnownSets, KnownTables, Members};
use anyhow::{Context, Result};
use firewall_abi::rules::{NO_SETS, SETS_TABLES};
use std::sync::Arc;

/// The places for tables of sets, by index. A place is empty until this service puts a table there.
#[derive(Debug, Default)]
pub(super) struct SetTables([Option<SetTable>; SETS_TABLES as usize]);

/// A table of sets that this service has put into the driver.
#[derive(Clone, Debug)]
struct SetTable {
    /// The hash of its content.
    content: u64,
    /// Sets of the table, or `None` if an earlier service compiled it: only the driver reads it.
    known: Option<Arc<KnownSets>>,
}

impl SetTable {
    /// Returns whether rules with these tables can ask this one too: an address that joins their set joins this one's.
    fn serves(&self, compiled: &Compiled, known: Option<&Arc<KnownSets>>) -> bool {
        let content = compiled.sets.as_ref().map(|(content, _)| *content);
        let is_known = match (&self.known, known) {
            (Some(one), Some(other)) => one.is_like(other),
            (None, None) => true,
            _ => false,
        };
        content == Some(self.content) && is_known
    }
}

impl SetTables {
    /// Puts the sets of these tables where no generation asks, unless they are there already. Returns the index. Before
    /// any rules ask them, whatever has joined a set is known to be in it there;
    /// in none where nothing is known of the sets.
    pub(super) fn put(
        &mut self,
        driver: &Driver,
        compiled: &Compiled,
        known: Option<&Arc<KnownSets>>,
        used: &[u32],
        members: &Members,
    ) -> Result<u32> {
        let Some((content, pages)) = &compiled.sets else {
            return Ok(NO_SETS);
        };
        if let Some(index) = self.index_of(compiled, known) {
            return Ok(index as u32);
        }
        let index = (0..SETS_TABLES)
            .find(|index| !used.contains(index))
            .context("every place for sets is in use")?;
        driver.put_sets(index, pages)?;
        if known.is_none() {
            members.leave_place(driver, index)?;
        }
        self.0[index as usize] = Some(SetTable {
            content: *content,
            known: known.cloned(),
        });
        members.put_all(driver, &self.known())?;
        Ok(index)
    }

    /// Returns the index of the table that serves rules with these tables.
    pub(super) fn index_of(
        &self,
        compiled: &Compiled,
        known: Option<&Arc<KnownSets>>,
    ) -> Option<usize> {
        let serves = |table: &Option<SetTable>| {
            table
                .as_ref()
                .is_some_and(|table| table.serves(compiled, known))
        };
        self.0.iter().position(serves)
    }

    /// Takes out each table that no generation asks. Once the update of a generation has returned,
    /// no program runs that still reads the old one.
    pub(super) fn free(&mut self, driver: &Driver, used: &[u32]) -> Result<()> {
        for index in (0..SETS_TABLES).filter(|index| !used.contains(index)) {
            self.0[index as usize] = None;
            driver.drop_sets(index)?;
        }
        Ok(())
    }

    /// Returns the known sets of each table.
    pub(super) fn known(&self) -> KnownTables {
        std::array::from_fn(|index| self.known_at(index as u32))
    }

    /// Returns the known sets of the table at this index.
    pub(super) fn known_at(&self, index: u32) -> Option<Arc<KnownSets>> {
        let table = self.0.get(index as usize)?.as_ref()?;
        table.known.clone()
    }
}
