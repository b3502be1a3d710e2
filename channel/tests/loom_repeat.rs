//! Work that a timer repeats, as the WDM driver does it, beside files that are closed and others that begin.
//!
//! The model of the kernel is as strict as NT: a file that was closed is touched by no tick any more (loom fails where
//! it is), and a timer that nobody has anything for is not left armed.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod explored;

use channel::Refusal;
use channel::driver::repeat::{Again, RepeatKernel, Repeats};
use explored::{SpinLock, explore};
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// Memory of a file, which its CLOSE gives back.
#[derive(Default)]
struct Memory(UnsafeCell<bool>);

/// An open file, as the driver has it.
#[derive(Clone, Copy)]
struct File(&'static Memory);

// SAFETY: whether accesses are kept apart is what loom is to find out.
unsafe impl Send for File {}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl File {
    fn open() -> Self {
        Self(Box::leak(Box::default()))
    }

    fn touch(self) {
        // SAFETY: loom fails where somebody writes at the same time.
        let closed = self.0.0.with(|closed| unsafe { *closed });
        assert!(!closed, "a tick of a file that is closed");
    }

    fn close(self) {
        // SAFETY: as above.
        self.0.0.with_mut(|closed| unsafe { *closed = true });
    }
}

/// State of each timer, by its place: armed or not. Both sides know it.
#[derive(Clone, Default)]
struct Timers(Arc<[Mutex<bool>; 2]>);

/// Timer of a place, as the driver has it. There are more places than a test has files.
struct Timer(Timers, usize);

impl RepeatKernel for Timer {
    type Lock<T: Send> = SpinLock<T>;
    type File = File;
    /// Number of ticks that are still to come.
    type Tick = u32;

    fn arm(&self, _: u32) {
        *self.0.0[self.1].lock().unwrap() = true;
    }

    fn disarm(&self) {
        *self.0.0[self.1].lock().unwrap() = false;
    }
}

struct Machine {
    timers: Timers,
    repeats: Arc<Repeats<Timer>>,
}

impl Machine {
    fn boot() -> Self {
        let timers = Timers::default();
        let repeats = Repeats::new(|number| Timer(timers.clone(), number));
        Self {
            timers,
            repeats: Arc::new(repeats),
        }
    }

    fn start(&self, file: File, ticks: u32) -> Result<(), Refusal> {
        self.repeats.start(file, 0, ticks)
    }

    /// Starts a processor on which the first place's timer comes due `often` times, if it is armed.
    fn processor(&self, often: u32) -> JoinHandle<()> {
        let (timers, repeats) = (self.timers.clone(), self.repeats.clone());
        thread::spawn(move || {
            for _ in 0..often {
                let due = std::mem::take(&mut *timers.0[0].lock().unwrap());
                if due {
                    repeats.tick(0, tick);
                }
            }
        })
    }

    fn armed(&self) -> usize {
        let timers = self.timers.0.iter();
        timers.filter(|armed| *armed.lock().unwrap()).count()
    }
}

fn tick(file: File, left: &mut u32) -> Again {
    file.touch();
    *left -= 1;
    if *left == 0 {
        Again::Never
    } else {
        Again::In(1)
    }
}

#[test]
fn no_tick_of_a_file_comes_or_is_under_way_once_it_was_stopped() {
    explore(|| {
        let (machine, file) = (Machine::boot(), File::open());
        machine.start(file, 3).unwrap();
        let processor = machine.processor(2);
        machine.repeats.stop(file);
        file.close();
        processor.join().unwrap();
        assert_eq!(machine.armed(), 0);
        machine.start(File::open(), 1).unwrap();
    });
}

#[test]
fn what_is_stopped_is_nothing_of_a_file_that_has_the_place_by_now() {
    explore(|| {
        let (machine, first, second) = (Machine::boot(), File::open(), File::open());
        machine.start(first, 1).unwrap();
        let processor = machine.processor(1);
        let beginning = thread::spawn({
            let repeats = machine.repeats.clone();
            move || repeats.start(second, 0, 9).unwrap()
        });
        machine.repeats.stop(first);
        first.close();
        beginning.join().unwrap();
        processor.join().unwrap();
        assert_eq!(machine.armed(), 1, "the second's goes on");
        machine.repeats.stop(second);
        second.close();
        assert_eq!(machine.armed(), 0);
    });
}

#[test]
fn what_begins_beside_a_files_cleanup_is_over_after_its_close() {
    explore(|| {
        let (machine, file) = (Machine::boot(), File::open());
        let dispatch = thread::spawn({
            let repeats = machine.repeats.clone();
            move || repeats.start(file, 0, 3).unwrap()
        });
        let processor = machine.processor(1);
        machine.repeats.stop(file);
        // CLOSE comes after the last request, and stops once more.
        dispatch.join().unwrap();
        machine.repeats.stop(file);
        file.close();
        processor.join().unwrap();
        assert_eq!(machine.armed(), 0);
    });
}

#[test]
fn whose_last_tick_was_begins_again() {
    explore(|| {
        let (machine, file) = (Machine::boot(), File::open());
        machine.start(file, 1).unwrap();
        assert_eq!(machine.start(file, 1), Err(Refusal::Busy));
        machine.processor(1).join().unwrap();
        machine.start(file, 1).unwrap();
    });
}
