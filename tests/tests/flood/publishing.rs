//! Rules that change ten times a second.

use super::zone::{Protected, RULES};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);

/// The place in the lab's rules of the one that refuses the discard port.
const NO_DISCARD: u32 = 5;

/// Rule that matches nothing here. Where it stands first, the others have other numbers.
const BEFORE: &str = "[[rule]]\nid = \"first\"\naction = \"block\"\nprotocol = \"udp\"\ndirection = \"out\"\nports = 7\n\n";

/// Two rule files that take each other's place, for as long as this value lives.
pub struct Publishing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<HashMap<u32, u32>>,
}

impl Publishing {
    pub fn start(zone: &Protected) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mut service) = (stop.clone(), zone.ask());
        let at = RULES.find("[[rule]]").unwrap();
        let other = format!("{}{BEFORE}{}", &RULES[..at], &RULES[at..]);
        let thread = std::thread::spawn(move || {
            let mut refusing = HashMap::from([(1, NO_DISCARD)]);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let places = [(RULES, NO_DISCARD), (&other, NO_DISCARD + 1)];
                let (text, rule) = places[refusing.len() % 2];
                let taken = service.apply("rules.toml", text, None).unwrap();
                assert_eq!(
                    refusing.insert(taken.generation, rule),
                    None,
                    "each generation has its number"
                );
                std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
            }
            refusing
        });
        Self { stop, thread }
    }

    /// Ends the publishing, and returns the rule of each generation that refuses the discard port.
    pub fn end(self) -> HashMap<u32, u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
