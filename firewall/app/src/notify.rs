//! Desktop notification of a question, while nobody looks at the window: with buttons that answer it.
//!
//! It speaks D-Bus, `org.freedesktop.Notifications`, on a thread of its own and not before something is asked. A
//! desktop without such a service is said in the window, and nothing else changes.
//!
//! - One notification at a time, of the first question that waits. It goes when its question does.
//! - Of an answer the one who shows the notification alone tells us, not whoever else is on the bus.

use crate::questions::Questions;
use control::Question;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};
use view::{question, text};
use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::zvariant::Value;
use zbus::{MatchRule, Message, message};

const NAME: &str = "org.freedesktop.Notifications";
const PLACE: &str = "/org/freedesktop/Notifications";
/// Longest time that whoever shows notifications may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Number of signals that are kept while others are read.
const QUEUED: usize = 64;
/// Number of the notification that a new one replaces: none.
const NO_OTHER: u32 = 0;
/// Number of characters of a program's path that are shown: the window shows all of it.
const LONGEST_PATH: usize = 160;

/// Event that the thread hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyEvent {
    /// Something else is to be shown, or somebody looks at the window now, or does no more.
    Changed,
    /// A button of a notification was pressed.
    Pressed {
        sender: String,
        id: u32,
        key: String,
    },
    /// A notification is gone.
    Closed { sender: String, id: u32 },
    /// The window was closed: nobody could answer.
    End,
}

/// Notification of a question or of a refused answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Summary in one line.
    pub summary: String,
    /// Body: the rest, in plain text.
    pub body: String,
    /// `true` if the notification can be answered.
    pub asks: bool,
    /// Time after which the notification has nothing to say any more.
    pub expires: Duration,
}

/// Notification that is shown: by whom, and its number there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    sender: String,
    id: u32,
}

/// Desktop that shows notifications.
pub trait Desktop {
    /// Shows a notification.
    fn show(&mut self, notice: &Notice) -> Result<Ticket, String>;
    /// Takes a notification away.
    fn close(&mut self, ticket: &Ticket);
}

/// Window, as far as notifications have to do with it.
pub trait NotifyWindow {
    /// Returns whether somebody looks at the window: the card is enough.
    fn is_looked_at(&self) -> bool;
    /// Brings the window to the front.
    fn raise(&self);
    /// Notes the reason for which no notification is shown, or `None` if it is.
    fn notifications(&self, trouble: Option<String>);
}

impl NotifyWindow for crate::window::Shown {
    fn is_looked_at(&self) -> bool {
        self.is_looked_at()
    }

    fn raise(&self) {
        self.raise();
    }

    fn notifications(&self, trouble: Option<String>) {
        self.set_notifications(trouble);
    }
}

/// Notification that is shown, and the question that it is about.
#[derive(Debug, Default)]
pub struct Notifier {
    shown: Option<(Question, Ticket)>,
    /// Question that was told of last, as far as it was shown: what somebody closed is not shown again.
    told: Option<Told>,
    /// Number of the question that was answered here.
    answered: Option<u64>,
}

/// Part of a question that a notification shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// Number of the question.
    id: u64,
    /// Number of the last address that it shows, to which the buttons answer,
    /// or `None` if they answer about the program.
    listed: Option<u64>,
}

impl Told {
    fn of(question: &Question) -> Self {
        Self {
            id: question.id,
            listed: (!question.many).then_some(question.listed),
        }
    }
}

impl Notifier {
    /// Does what is to be done about an event.
    pub fn hear(
        &mut self,
        event: NotifyEvent,
        questions: &Questions,
        desktop: &mut dyn Desktop,
        window: &dyn NotifyWindow,
    ) {
        match event {
            NotifyEvent::Changed => self.update(questions, desktop, window),
            NotifyEvent::End => {
                if let Some((_, ticket)) = self.shown.take() {
                    desktop.close(&ticket);
                }
            }
            NotifyEvent::Closed { sender, id } => {
                if self.is_shown(&sender, id).is_some() {
                    self.shown = None;
                }
            }
            NotifyEvent::Pressed { sender, id, key } => {
                let Some(question) = self.is_shown(&sender, id) else {
                    return;
                };
                match key.as_str() {
                    "allow" | "block" => {
                        let given = question::usual_for(&question, key == "allow");
                        let id = question.id;
                        if questions.answer(question, given) {
                            self.answered = Some(id);
                        }
                    }
                    _ => window.raise(),
                }
            }
        }
    }

    /// Returns the question that this notification is about.
    fn is_shown(&self, sender: &str, id: u32) -> Option<Question> {
        let (question, ticket) = self.shown.as_ref()?;
        (ticket.sender == sender && ticket.id == id).then(|| question.clone())
    }

    fn update(
        &mut self,
        questions: &Questions,
        desktop: &mut dyn Desktop,
        window: &dyn NotifyWindow,
    ) {
        let state = questions.look();
        let all = state.waiting().len();
        let first = state.waiting().first().cloned();
        let refused = state
            .outcome()
            .filter(|outcome| self.answered == Some(outcome.question.id))
            .and_then(|outcome| Some((outcome.question.clone(), outcome.refused.clone()?)));
        let answering = state.is_being_answered();
        drop(state);
        if answering.is_some() {
            return;
        }
        if let Some((question, why)) = refused {
            self.answered = None;
            let notice = Notice {
                summary: text!("notice-not-answered"),
                body: format!("{}\n{why}", short(&question)),
                asks: false,
                expires: Duration::from_secs(10),
            };
            let _as_before = desktop.show(&notice);
        }
        let wanted = first.filter(|_| !window.is_looked_at());
        if let Some((question, ticket)) = &self.shown
            && wanted.as_ref().map(|waiting| Told::of(&waiting.question))
                != Some(Told::of(question))
        {
            desktop.close(ticket);
            self.shown = None;
        }
        let Some(waiting) = wanted else {
            // What still waits when they look away is told again.
            self.told = None;
            return;
        };
        let told = Some(Told::of(&waiting.question));
        if self.told == told {
            return;
        }
        self.told = told;
        let left = waiting.until.saturating_duration_since(Instant::now());
        let notice = asking(&waiting.question, left, all);
        let ticket = desktop.show(&notice);
        window.notifications(ticket.as_ref().err().cloned());
        self.shown = ticket.ok().map(|ticket| (waiting.question, ticket));
    }
}

/// Returns the notification of a question.
fn asking(asked: &Question, left: Duration, all: usize) -> Notice {
    let summary = if question::comes_in(asked) {
        text!("notice-may-come-in")
    } else {
        text!("notice-may-go-out")
    };
    let unanswered = question::unanswered(asked, left);
    let body = text!(
        "notice-asks",
        question = short(asked),
        unanswered = unanswered
    );
    Notice {
        summary,
        body: match all {
            0 | 1 => body,
            all => text!("notice-more", asked = body, more = all - 1),
        },
        asks: true,
        expires: left,
    }
}

/// Returns the sentence of a question, with the end of a path that is too long: there the program's name is.
fn short(asked: &Question) -> String {
    let mut asked = asked.clone();
    if let Some(program) = &mut asked.program {
        let all = program.chars().count();
        if all > LONGEST_PATH {
            let end: String = program.chars().skip(all - LONGEST_PATH).collect();
            *program = format!("…{end}");
        }
    }
    question::sentence(&asked)
}

/// Desktop of this session.
pub struct Session {
    events: Sender<NotifyEvent>,
    bus: Option<Bus>,
}

/// Connection to the session's bus.
struct Bus {
    connection: Connection,
    /// `true` if what is shown may have tags: what looks like one is to be escaped.
    markup: bool,
}

impl Session {
    /// Returns the desktop of this session, which need not have a bus. What it tells comes as events.
    pub fn new(events: Sender<NotifyEvent>) -> Self {
        Self { events, bus: None }
    }

    fn bus(&mut self) -> zbus::Result<&Bus> {
        let bus = match self.bus.take() {
            Some(bus) => bus,
            None => self.connect()?,
        };
        Ok(self.bus.insert(bus))
    }

    fn connect(&self) -> zbus::Result<Bus> {
        let connection = connection::Builder::session()?
            .method_timeout(PATIENCE)
            .build()?;
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .interface(NAME)?
            .path(PLACE)?
            .build();
        let signals = MessageIterator::for_match_rule(rule, &connection, Some(QUEUED))?;
        let events = self.events.clone();
        std::thread::spawn(move || {
            for signal in signals.map_while(Result::ok) {
                let Some(event) = event(&signal) else {
                    continue;
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        });
        let capabilities = call(&connection, "GetCapabilities", &())?;
        let capabilities: Vec<String> = capabilities.body().deserialize()?;
        let markup = capabilities.iter().any(|name| name == "body-markup");
        Ok(Bus { connection, markup })
    }

    fn notify(&mut self, notice: &Notice) -> zbus::Result<Ticket> {
        let bus = self.bus()?;
        let body = if bus.markup {
            escaped(&notice.body)
        } else {
            notice.body.clone()
        };
        let (open, allow, block) = (
            text!("notice-open"),
            text!("notice-allow"),
            text!("notice-block"),
        );
        let actions: &[&str] = if notice.asks {
            &[
                "default", &open, "allow", &allow, "block", &block, "open", &open,
            ]
        } else {
            &[]
        };
        let hints = HashMap::from([
            ("desktop-entry", Value::from("gatebell-app")),
            ("transient", Value::from(true)),
        ]);
        let expires = i32::try_from(notice.expires.as_millis()).unwrap_or(i32::MAX);
        let parameters = (
            "Gatebell",
            NO_OTHER,
            "",
            notice.summary.as_str(),
            body.as_str(),
            actions,
            hints,
            expires,
        );
        let reply = call(&bus.connection, "Notify", &parameters)?;
        let sender = sender(&reply).unwrap_or_default();
        let id = reply.body().deserialize()?;
        Ok(Ticket { sender, id })
    }
}

impl Desktop for Session {
    fn show(&mut self, notice: &Notice) -> Result<Ticket, String> {
        self.notify(notice).map_err(|error| {
            self.bus = None;
            text!("notice-trouble", why = error.to_string())
        })
    }

    fn close(&mut self, ticket: &Ticket) {
        if let Some(bus) = &self.bus {
            let _gone_already = call(&bus.connection, "CloseNotification", &(ticket.id,));
        }
    }
}

fn call<B>(connection: &Connection, method: &str, parameters: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::zvariant::DynamicType,
{
    connection.call_method(Some(NAME), PLACE, Some(NAME), method, parameters)
}

fn sender(message: &Message) -> Option<String> {
    message.header().sender().map(ToString::to_string)
}

/// Returns the event of a signal, if it is one of those that are waited for.
fn event(signal: &Message) -> Option<NotifyEvent> {
    let sender = sender(signal)?;
    let header = signal.header();
    match header.member()?.as_str() {
        "ActionInvoked" => {
            let (id, key) = signal.body().deserialize().ok()?;
            Some(NotifyEvent::Pressed { sender, id, key })
        }
        "NotificationClosed" => {
            let (id, _why): (u32, u32) = signal.body().deserialize().ok()?;
            Some(NotifyEvent::Closed { sender, id })
        }
        _ => None,
    }
}

/// Escapes what looks like a tag: a program may have any name.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Notifies of what waits, until the end.
pub fn follow(
    events: &Receiver<NotifyEvent>,
    questions: &Questions,
    desktop: &mut dyn Desktop,
    window: &dyn NotifyWindow,
) {
    let mut notifier = Notifier::default();
    while let Ok(event) = events.recv() {
        let ends = event == NotifyEvent::End;
        notifier.hear(event, questions, desktop, window);
        if ends {
            return;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::questions::QuestionsModel;
    use std::cell::{Cell, RefCell};
    use view::example::question;
    use view::question::usual;

    /// Desktop that keeps what it was told.
    #[derive(Default)]
    struct Kept {
        shown: Vec<Notice>,
        closed: Vec<u32>,
        broken: bool,
    }

    impl Desktop for Kept {
        fn show(&mut self, notice: &Notice) -> Result<Ticket, String> {
            if self.broken {
                return Err("nobody shows any".to_owned());
            }
            self.shown.push(notice.clone());
            Ok(Ticket {
                sender: ":1.7".to_owned(),
                id: u32::try_from(self.shown.len()).unwrap(),
            })
        }

        fn close(&mut self, ticket: &Ticket) {
            self.closed.push(ticket.id);
        }
    }

    #[derive(Default)]
    struct Looked {
        at: Cell<bool>,
        raised: Cell<u32>,
        trouble: RefCell<Option<String>>,
    }

    impl NotifyWindow for Looked {
        fn is_looked_at(&self) -> bool {
            self.at.get()
        }
        fn raise(&self) {
            self.raised.set(self.raised.get() + 1);
        }
        fn notifications(&self, trouble: Option<String>) {
            self.trouble.replace(trouble);
        }
    }

    #[derive(Default)]
    struct Tried {
        notifier: Notifier,
        questions: Questions,
        service: QuestionsModel,
        desktop: Kept,
        window: Looked,
    }

    impl Tried {
        fn asks(ids: &[u64]) -> Self {
            let mut tried = Self::default();
            let numbered = |id: &u64| Question {
                id: *id,
                ..question()
            };
            tried.service.waiting = ids.iter().map(numbered).collect();
            tried
        }

        fn hear(&mut self, event: NotifyEvent) {
            self.notifier
                .hear(event, &self.questions, &mut self.desktop, &self.window);
        }

        /// Has the service asked once, and hears that something changed.
        fn turn(&mut self) {
            self.questions.turn(&mut self.service);
            self.hear(NotifyEvent::Changed);
        }

        fn press(&mut self, sender: &str, id: u32, key: &str) {
            self.hear(NotifyEvent::Pressed {
                sender: sender.to_owned(),
                id,
                key: key.to_owned(),
            });
        }
    }

    #[test]
    fn a_question_is_notified_of_once_while_nobody_looks_and_its_button_answers_it() {
        let mut tried = Tried::asks(&[7, 8]);
        tried.window.at.set(true);
        tried.turn();
        assert_eq!(tried.desktop.shown, [], "the card is looked at");
        tried.window.at.set(false);
        tried.turn();
        tried.turn();
        assert_eq!(tried.desktop.shown.len(), 1, "once");
        let notice = &tried.desktop.shown[0];
        assert!(
            notice.body.starts_with(
                "/usr/bin/curl of user 1000 -> 192.0.2.7 tcp port 443\nwithout an answer: block in 23 s; 1 more wait"
            ),
            "{notice:?}"
        );
        tried.press(":1.7", 1, "allow");
        tried.turn();
        assert_eq!(tried.service.answered, [(7, usual(true))]);
        assert_eq!(tried.desktop.closed, [1]);
        assert_eq!(tried.desktop.shown.len(), 2, "the next one");
        tried.press(":1.7", 2, "block");
        tried.turn();
        assert_eq!(tried.service.answered[1], (8, usual(false)));
        assert_eq!(tried.desktop.closed, [1, 2]);
    }

    #[test]
    fn nobody_else_on_the_bus_presses_a_button() {
        let mut tried = Tried::asks(&[7]);
        tried.turn();
        for (sender, id) in [(":1.8", 1), (":1.7", 2), ("", 1)] {
            tried.press(sender, id, "allow");
        }
        tried.turn();
        assert_eq!(tried.service.answered, []);
        tried.press(":1.7", 1, "anything");
        tried.turn();
        assert_eq!(tried.service.answered, [], "only the buttons answer");
        assert_eq!(tried.window.raised.get(), 1);
    }

    #[test]
    fn what_was_closed_is_not_shown_again_and_what_is_over_goes() {
        let mut tried = Tried::asks(&[7, 8]);
        tried.turn();
        tried.hear(NotifyEvent::Closed {
            sender: ":1.7".to_owned(),
            id: 1,
        });
        tried.turn();
        assert_eq!(tried.desktop.shown.len(), 1);
        tried.service.waiting.remove(0);
        tried.turn();
        assert_eq!(tried.desktop.shown.len(), 2, "the next one is");
        tried.service.waiting.clear();
        tried.turn();
        assert_eq!(tried.desktop.closed, [2]);
    }

    #[test]
    fn a_name_that_another_address_has_joined_is_notified_of_again_and_answered_as_it_is_shown() {
        let mut tried = Tried::asks(&[7]);
        tried.turn();
        tried.service.waiting[0].listed = 2;
        tried.questions.turn(&mut tried.service);
        // The button is pressed before it is known here.
        tried.press(":1.7", 1, "allow");
        tried.questions.turn(&mut tried.service);
        assert_eq!(tried.service.listed, [1]);
        tried.service.waiting = vec![Question {
            listed: 2,
            ..question()
        }];
        tried.turn();
        assert_eq!(
            (tried.desktop.shown.len(), &tried.desktop.closed),
            (2, &vec![1])
        );
        tried.press(":1.7", 2, "allow");
        tried.turn();
        assert_eq!(tried.service.listed, [1, 2]);
    }

    #[test]
    fn the_last_notification_goes_with_the_window() {
        let mut tried = Tried::asks(&[7]);
        tried.turn();
        tried.hear(NotifyEvent::End);
        assert_eq!(tried.desktop.closed, [1]);
    }

    #[test]
    fn a_desktop_without_notifications_is_said_and_tried_again_with_the_next_question() {
        let mut tried = Tried::asks(&[7, 8]);
        tried.desktop.broken = true;
        tried.turn();
        let said = tried.window.trouble.borrow().clone();
        assert_eq!(said.as_deref(), Some("nobody shows any"));
        tried.desktop.broken = false;
        tried.service.waiting.remove(0);
        tried.turn();
        assert_eq!(*tried.window.trouble.borrow(), None);
        assert_eq!(tried.desktop.shown.len(), 1);
    }

    #[test]
    fn an_answer_that_is_refused_is_told_where_it_was_given() {
        let mut tried = Tried::asks(&[7]);
        tried.turn();
        tried.service.refuses = Some("answer as that user or as root".to_owned());
        tried.press(":1.7", 1, "allow");
        tried.turn();
        let last = tried.desktop.shown.last().unwrap();
        assert!(!last.asks && last.body.ends_with("as root"), "{last:?}");
    }

    #[test]
    fn a_programs_name_is_no_markup_and_a_long_path_ends_with_it() {
        assert_eq!(escaped("<b>&"), "&lt;b&gt;&amp;");
        let asked = Question {
            program: Some(format!("/{}/the-name", "ä".repeat(4000))),
            ..question()
        };
        let body = short(&asked);
        assert!(
            body.starts_with('…') && body.contains("/the-name of user") && body.len() < 600,
            "{body}"
        );
    }
}
