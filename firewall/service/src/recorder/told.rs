//! Log messages about programs that talk for the first time.

use history::{Contact, Conversation};
use tracing::info;

/// Limiter of log messages about programs that talk for the first time: so many in a minute, then a count of the rest.
#[derive(Default)]
pub struct Told {
    minute: u64,
    many: u64,
}

impl Told {
    /// Lines of a minute.
    const MOST: u64 = 20;

    /// Tells of it, if its program talks for the first time.
    pub fn tell(&mut self, of: &Conversation, at: u64) {
        let what = match of.contact {
            Contact::Known => return,
            Contact::First => "talks for the first time",
            Contact::Changed => "talks for the first time since its file has changed",
        };
        let minute = at / history::MINUTE;
        if minute != self.minute {
            let more = self.many.saturating_sub(Self::MOST);
            if more > 0 {
                info!(
                    "{more} more programs have talked for the first time: gatebell history --first"
                );
            }
            (self.minute, self.many) = (minute, 0);
        }
        self.many += 1;
        if self.many > Self::MOST {
            return;
        }
        let program = of.program.as_deref().unwrap_or_default();
        let user = of
            .user
            .map_or("no user".to_owned(), |user| format!("user {user}"));
        let remote = of
            .remote
            .map_or("many".to_owned(), |remote| remote.to_string());
        let port = of
            .port
            .map_or(String::new(), |port| format!(" port {port}"));
        let way = of.direction.name();
        let became = of.verdict.name();
        info!("{program} ({user}) {what}: {way} {remote}{port}, {became}");
    }
}
