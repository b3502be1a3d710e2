//! Values that many entries share, each kept once.

use super::store::PacketContext;
use control::{HistoryRow, RuleName};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Number of a value.
pub type Symbol = u32;
/// Number of no value.
pub const NONE: Symbol = u32::MAX;

/// Value with a known size on the heap.
pub trait Weighed {
    /// Returns the bytes that the value takes on the heap, itself aside.
    fn heap_bytes(&self) -> usize;
}

/// Bytes of the two counts that stand before what is shared.
const COUNTS: usize = 2 * size_of::<usize>();

impl Weighed for Arc<str> {
    fn heap_bytes(&self) -> usize {
        COUNTS + self.len()
    }
}

impl Weighed for Arc<RuleName> {
    fn heap_bytes(&self) -> usize {
        COUNTS + size_of::<RuleName>() + self.id.len()
    }
}

impl Weighed for Arc<HistoryRow> {
    fn heap_bytes(&self) -> usize {
        let HistoryRow {
            direction,
            verdict,
            reason,
            program,
            process,
            rule,
            name,
            contact,
            ..
        } = &**self;
        let optional = [program, rule, name, contact].into_iter().flatten();
        let strings = [direction, verdict, reason, process].into_iter();
        let strings: usize = strings.chain(optional).map(String::len).sum();
        COUNTS + size_of::<HistoryRow>() + strings
    }
}

impl Weighed for PacketContext {
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Weighed for [u64; 2] {
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Values by their numbers; a value is there as long as somebody uses its number.
#[derive(Debug)]
pub struct Symbols<T> {
    numbers: HashMap<T, Symbol>,
    values: Vec<Option<Used<T>>>,
    free: Vec<Symbol>,
    heap: usize,
}

#[derive(Debug)]
struct Used<T> {
    value: T,
    uses: u32,
}

impl<T> Default for Symbols<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
            free: Vec::new(),
            heap: 0,
        }
    }
}

impl<T: Clone + Eq + Hash + Weighed> Symbols<T> {
    /// Returns the number of a value, which is used once more; `make` makes the value if it is new.
    pub fn take<Q>(&mut self, value: &Q, make: impl FnOnce() -> T) -> Symbol
    where
        T: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let known = self.numbers.get(value).copied();
        if let Some(number) = known
            && let Some(used) = self.used(number)
        {
            used.uses += 1;
            return number;
        }
        self.add(make())
    }

    fn add(&mut self, value: T) -> Symbol {
        let number = self.free.pop().unwrap_or_else(|| {
            self.values.push(None);
            // A store has fewer entries than there are numbers, even if each uses ten.
            (self.values.len() - 1) as Symbol
        });
        self.heap += value.heap_bytes();
        self.numbers.insert(value.clone(), number);
        self.values[number as usize] = Some(Used { value, uses: 1 });
        number
    }

    fn used(&mut self, number: Symbol) -> Option<&mut Used<T>> {
        self.values.get_mut(number as usize)?.as_mut()
    }

    /// Ends one use of a number. The value goes with its last use, and is returned then.
    pub fn give_back(&mut self, number: Symbol) -> Option<T> {
        let used = self.used(number)?;
        used.uses -= 1;
        if used.uses > 0 {
            return None;
        }
        let Used { value, .. } = self.values[number as usize].take()?;
        self.heap -= value.heap_bytes();
        self.numbers.remove(&value);
        self.free.push(number);
        Some(value)
    }

    /// Gives room back that was needed once.
    pub fn tidy(&mut self) {
        if self.numbers.capacity() > 4 * self.numbers.len() {
            self.numbers.shrink_to(2 * self.numbers.len());
        }
        if self.numbers.is_empty() {
            (self.values, self.free) = (Vec::new(), Vec::new());
        }
    }

    /// Returns the value with this number, or `None` for [`NONE`].
    pub fn get(&self, number: Symbol) -> Option<&T> {
        let used = self.values.get(number as usize)?.as_ref()?;
        Some(&used.value)
    }

    /// Returns the bytes that all of it takes.
    pub fn bytes(&self) -> usize {
        self.heap
            + map_bytes::<T, Symbol>(self.numbers.capacity())
            + self.values.capacity() * size_of::<Option<Used<T>>>()
            + self.free.capacity() * size_of::<Symbol>()
    }
}

/// Returns the bytes of a table of the standard library with room for so many: an eighth of it stays empty, and each
/// place has a byte beside it.
pub const fn map_bytes<K, V>(capacity: usize) -> usize {
    capacity / 7 * 8 * (size_of::<(K, V)>() + 1)
}
