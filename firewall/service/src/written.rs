//! Record of what the service has put into the driver's tables, to be compared with what stands there: whoever may,
//! can write there too.
//!
//! What is in a generation, or in a table of sets, nobody can change: it is frozen as it is published. What can be
//! changed is which of them stand in the driver's tables, until when the one that is tried out is in force, and whom
//! the driver takes for the service.

use anyhow::Result;
use channel::sys::linux::{ObjectMap, bpf};
use firewall_abi::firewall::{Lease, Service};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// Last content that the service has put into the driver's tables.
#[derive(Debug, Default)]
pub struct Written {
    pages: RefCell<BTreeMap<(&'static str, u32), OwnedFd>>,
    /// Service entry written last; `None`: none yet, and an earlier service's entry stands there.
    pub service: Cell<Option<Service>>,
    /// Lease written last; `None`: none yet, and an earlier service's entry stands there.
    pub lease: Cell<Option<Lease>>,
}

impl Written {
    /// Notes that these pages were put at this place of this table.
    pub fn put(&self, table: &'static str, place: u32, pages: OwnedFd) {
        self.pages.borrow_mut().insert((table, place), pages);
    }

    /// Notes that nothing is at this place of this table any more.
    pub fn removed(&self, table: &'static str, place: u32) {
        self.pages.borrow_mut().remove(&(table, place));
    }

    /// Takes what stands at the places of a table, which an earlier service has put there.
    pub fn found(
        &self,
        table: &'static str,
        map: &ObjectMap<impl AsFd>,
        places: u32,
    ) -> Result<()> {
        for place in 0..places {
            if let Some(pages) = map.map(place)? {
                self.put(table, place, pages);
            }
        }
        Ok(())
    }

    /// Puts back what does not stand at the places of a table any more. Returns which.
    pub fn put_back(
        &self,
        table: &'static str,
        map: &ObjectMap<impl AsFd>,
        places: u32,
    ) -> Result<Vec<String>> {
        let ours = self.pages.borrow();
        let mut gone = Vec::new();
        for place in 0..places {
            let pages = ours.get(&(table, place));
            let id = pages.map(|pages| bpf::map_info(pages.as_fd()));
            if map.id(place)? == id.transpose()?.map(|info| info.id) {
                continue;
            }
            match pages {
                Some(pages) => map.put(place, pages)?,
                None => drop(map.remove(place)?),
            }
            gone.push(format!("{table} {place}"));
        }
        Ok(gone)
    }
}
