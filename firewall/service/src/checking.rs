//! Has the kernel check the driver's programs, several at a time: it takes seconds for them all,
//! and each by itself keeps one processor busy.

use anyhow::Result;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Maximum number of programs checked at a time: while the kernel checks a large one, it holds tens of MiB for it.
const MOST: usize = 4;

/// Check of one program by the kernel.
pub type Check<'a, T> = Box<dyn FnOnce() -> Result<T> + Send + 'a>;

/// Runs all checks, several at a time, and returns the results in the order of the checks.
///
/// # Errors
/// Returns the error of the first check, in their order, that failed.
pub fn all<T: Send>(checks: Vec<Check<'_, T>>) -> Result<Vec<T>> {
    let at_once = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let waiting = Mutex::new(checks.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    // The lock is held for as long as it takes to have the next one, and no longer.
    let next = || lock(&waiting).next();
    let work = || {
        while let Some((place, check)) = next() {
            let outcome = check();
            lock(&done).push((place, outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once.min(MOST) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn numbers(which: std::ops::Range<u32>) -> Vec<Check<'static, u32>> {
        let check = |number| -> Check<'static, u32> {
            Box::new(move || match number {
                13 | 14 => bail!("{number} is refused"),
                _ => Ok(number),
            })
        };
        which.map(check).collect()
    }

    #[test]
    fn each_is_checked_once_and_answers_in_its_place() {
        assert_eq!(all(numbers(0..10)).ok(), Some((0..10).collect()));
        assert_eq!(all(numbers(0..0)).ok(), Some(Vec::new()));
    }

    #[test]
    fn the_first_that_is_refused_is_the_one_that_is_said() {
        let said = all(numbers(0..20)).err().map(|why| why.to_string());
        assert_eq!(said.as_deref(), Some("13 is refused"));
    }
}
