//! Parts that loom's tests of the driver's half share: a limit of how far they look, and a lock that loom knows.

use channel::driver::table::Lock;
use loom::sync::Mutex;

/// Runs the check in every interleaving with three preemptions at most.
pub fn explore(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

/// A spin lock of the kernel's, as loom has it.
pub struct SpinLock<T>(Mutex<T>);

impl<T: Send> Lock<T> for SpinLock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        run(&mut self.0.lock().unwrap())
    }
}
