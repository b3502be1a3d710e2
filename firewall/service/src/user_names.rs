//! Users' names and numbers, asked of the system by a thread of its own: where they come from a directory (LDAP,
//! systemd-homed), that may take as long as the network does, and the main loop has packets' rules to look after.
//!
//! Rules that hold here:
//! - A thread that asks waits for a while, and goes on without an answer.
//!   What is late by then nobody else waits for either.
//! - What comes late is known when it is asked for again.

use crate::capabilities;
use nix::unistd::{Uid, User};
use rules::{Resolver as _, SystemResolver};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tracing::error;

/// Longest wait for a name in the rules.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for a name that is only shown.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);
/// Names that wait at once, and that are remembered.
const MOST: usize = 1024;

/// Question to the system about a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// The number of this name's user.
    Number(String),
    /// The name of this number's.
    Name(u32),
}

/// Answer of the system: for a number its name, or `None`; for a name its number, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Number(Result<u32, String>),
    Name(Option<String>),
}

#[derive(Default)]
struct State {
    said: HashMap<Asked, Said>,
    waiting: HashSet<Asked>,
    /// Something was waited for in vain, and has not come yet.
    late: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handle of the thread that asks the system.
struct UserNames {
    shared: Arc<Shared>,
    ask: SyncSender<Asked>,
}

/// Returns the number of the user with this name.
///
/// # Errors
/// There is none, or it is not known in time; the text says what would be right.
pub fn number(name: &str) -> Result<u32, String> {
    match ours().look_up(Asked::Number(name.to_owned()), PATIENCE) {
        Some(Said::Number(number)) => number,
        _ => Err(format!(
            "the system does not say in time who `{name}` is; write the number, or see what keeps `id {name}` waiting"
        )),
    }
}

/// A user, and who they logged in as, for people.
pub fn person(user: u32, process: Option<u32>) -> String {
    store::person(user, process, |user| {
        match ours().look_up(Asked::Name(user), SHORT_PATIENCE) {
            Some(Said::Name(Some(name))) => name,
            _ => user.to_string(),
        }
    })
}

fn ours() -> &'static UserNames {
    static OURS: OnceLock<UserNames> = OnceLock::new();
    OURS.get_or_init(|| UserNames::begin(of_the_system))
}

fn of_the_system(asked: &Asked) -> Said {
    match asked {
        Asked::Number(name) => Said::Number(SystemResolver::beside(Path::new("/")).user(name)),
        Asked::Name(user) => {
            let found = User::from_uid(Uid::from_raw(*user)).ok().flatten();
            Said::Name(found.map(|user| user.name))
        }
    }
}

impl UserNames {
    fn begin(find: impl Fn(&Asked) -> Said + Send + 'static) -> Self {
        let (ask, asked) = sync_channel(MOST);
        let shared = Arc::new(Shared::default());
        let tell = shared.clone();
        let started = std::thread::Builder::new()
            .name("user names".to_owned())
            .spawn(move || answer(&asked, &tell, &find));
        if let Err(cause) = started {
            error!("users are known by their numbers alone: {cause}");
        }
        Self { shared, ask }
    }

    /// Returns the system's answer, or its last one if it does not answer in this time;
    /// `None` if it has not answered yet.
    fn look_up(&self, asked: Asked, patience: Duration) -> Option<Said> {
        let end = Instant::now() + patience;
        let mut state = self.shared.state();
        if !state.waiting.contains(&asked) {
            // Where too many wait, or nobody answers, nothing is known anew.
            if self.ask.try_send(asked.clone()).is_err() {
                return state.said.get(&asked).cloned();
            }
            state.waiting.insert(asked.clone());
        }
        while state.waiting.contains(&asked) && !state.late {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.late = true;
                error!(
                    "the system takes long to say who a user is; meanwhile what it said before counts, or the number alone"
                );
                break;
            }
            let waited = self.shared.news.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.said.get(&asked).cloned()
    }
}

fn answer(asked: &Receiver<Asked>, tell: &Shared, find: &impl Fn(&Asked) -> Said) {
    // The name service has libraries of others' in this process.
    if let Err(cause) = capabilities::give_up() {
        error!("users are known by their numbers alone: giving up capabilities: {cause}");
        return;
    }
    for asked in asked {
        let said = find(&asked);
        let mut state = tell.state();
        if state.said.len() >= MOST {
            state.said.clear();
        }
        state.waiting.remove(&asked);
        state.said.insert(asked, said);
        // Behind it others may be as late; who waits for them finds out.
        state.late = false;
        tell.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    fn name(of: u32) -> Option<Said> {
        Some(Said::Name(Some(format!("user-{of}"))))
    }

    #[test]
    fn a_directory_that_does_not_answer_is_waited_for_once_and_what_comes_late_is_known() {
        let (go_on, wait) = channel::<()>();
        let names = UserNames::begin(move |asked| match asked {
            Asked::Name(user) => {
                if *user >= 100 {
                    // It hangs.
                    let _until_told = wait.recv();
                }
                Said::Name(Some(format!("user-{user}")))
            }
            Asked::Number(_) => Said::Number(Ok(7)),
        });
        assert_eq!(names.look_up(Asked::Name(1), LONG), name(1));
        assert_eq!(names.look_up(Asked::Name(100), SHORT), None);
        let begun = Instant::now();
        for user in 101..5000 {
            assert_eq!(names.look_up(Asked::Name(user), LONG), None);
        }
        assert_eq!(names.look_up(Asked::Name(1), LONG), name(1), "as before");
        assert!(begun.elapsed() < LONG / 2, "nobody waits again");
        assert!(names.shared.state().waiting.len() <= MOST + 1);
        // It goes on, with all that waits.
        drop(go_on);
        let end = Instant::now() + LONG;
        while !names.shared.state().waiting.is_empty() {
            assert!(Instant::now() < end, "it answers all");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(names.look_up(Asked::Name(2), LONG), name(2));
        assert_eq!(names.look_up(Asked::Name(100), LONG), name(100));
    }
}
