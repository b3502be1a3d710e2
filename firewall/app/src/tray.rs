//! Icon in the desktop's tray: whether something is asked, and the way to the window.
//!
//! It speaks D-Bus, `org.kde.StatusNotifierItem`, on a thread of its own. A desktop without a tray has none, and
//! nothing else changes; one whose tray comes later, or comes back, gets it then.

use crate::window::Shown;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use view::text;
use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::{MatchRule, interface, message};

const PLACE: &str = "/StatusNotifierItem";
const ITEM: &str = "org.kde.StatusNotifierItem";
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const WATCHER_PLACE: &str = "/StatusNotifierWatcher";
/// Number of signals that are kept while others are read.
const QUEUED: usize = 16;

/// Event that the thread hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrayEvent {
    /// Something else may be to be shown.
    Changed,
    /// A tray is there now.
    Tray,
    /// The window was closed.
    End,
}

/// Appearance of the icon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Number of questions that wait.
    pub waiting: usize,
    /// Reason for which nothing can be asked.
    pub trouble: Option<String>,
}

impl Look {
    fn status(&self) -> &'static str {
        if self.waiting > 0 || self.trouble.is_some() {
            "NeedsAttention"
        } else {
            "Active"
        }
    }

    fn words(&self) -> String {
        match (&self.trouble, self.waiting) {
            (Some(why), _) => why.clone(),
            (None, 0) => text!("tray-nothing"),
            (None, waiting) => text!("tray-waiting", count = waiting),
        }
    }
}

/// Window, as far as the tray has to do with it.
pub trait TrayWindow: Send + Sync {
    /// Returns the appearance of the icon.
    fn look(&self) -> Look;
    /// Brings the window to the front when somebody clicks the icon.
    fn raise(&self);
}

impl TrayWindow for Shown {
    fn look(&self) -> Look {
        let state = self.questions.look();
        Look {
            waiting: state.waiting().len(),
            trouble: state.unreachable().map(str::to_owned),
        }
    }

    fn raise(&self) {
        self.raise();
    }
}

/// Icon as the bus knows it.
struct Icon {
    window: Arc<dyn TrayWindow>,
}

/// Picture: width, height and its points.
type Picture = (i32, i32, Vec<u8>);

#[interface(name = "org.kde.StatusNotifierItem")]
impl Icon {
    #[zbus(property)]
    fn category(&self) -> &'static str {
        "SystemServices"
    }

    #[zbus(property)]
    fn id(&self) -> &'static str {
        "gatebell-app"
    }

    #[zbus(property)]
    fn title(&self) -> &'static str {
        "Gatebell"
    }

    #[zbus(property)]
    fn status(&self) -> &'static str {
        self.window.look().status()
    }

    #[zbus(property)]
    fn icon_name(&self) -> &'static str {
        "security-high"
    }

    #[zbus(property)]
    fn attention_icon_name(&self) -> &'static str {
        "dialog-question"
    }

    #[zbus(property)]
    fn tool_tip(&self) -> (String, Vec<Picture>, String, String) {
        let look = self.window.look();
        (
            String::new(),
            Vec::new(),
            "Gatebell".to_owned(),
            look.words(),
        )
    }

    #[zbus(property)]
    fn item_is_menu(&self) -> bool {
        false
    }

    /// Brings the window to the front: the icon was clicked.
    fn activate(&self, _x: i32, _y: i32) {
        self.window.raise();
    }

    /// Brings the window to the front: the icon was clicked otherwise.
    fn secondary_activate(&self, _x: i32, _y: i32) {
        self.window.raise();
    }

    /// Brings the window to the front: the icon's menu is asked for, and the window is all that there is.
    fn context_menu(&self, _x: i32, _y: i32) {
        self.window.raise();
    }

    /// Does nothing: a wheel was turned above the icon.
    fn scroll(&self, _delta: i32, _orientation: &str) {}
}

/// Has a tray show the icon. Returns `false` if there is none.
fn register(connection: &Connection) -> bool {
    let name = connection.unique_name().map(ToString::to_string);
    // Without a name of its own it is known by its place.
    let name = name.unwrap_or_else(|| PLACE.to_owned());
    let method = "RegisterStatusNotifierItem";
    let watcher = Some(WATCHER);
    let asked = connection.call_method(watcher, WATCHER_PLACE, watcher, method, &(name,));
    asked.is_ok()
}

/// Tells whoever shows the icon that there is something else to show.
fn tell(connection: &Connection, look: &Look) -> zbus::Result<()> {
    let nobody_in_particular: Option<&str> = None;
    connection.emit_signal(
        nobody_in_particular,
        PLACE,
        ITEM,
        "NewStatus",
        &(look.status(),),
    )?;
    connection.emit_signal(nobody_in_particular, PLACE, ITEM, "NewToolTip", &())
}

/// Shows the icon until the end. Returns where there is no bus.
pub fn follow(
    events: &Receiver<TrayEvent>,
    own: &Sender<TrayEvent>,
    window: Arc<dyn TrayWindow>,
) -> zbus::Result<()> {
    let icon = Icon {
        window: window.clone(),
    };
    let connection = connection::Builder::session()?
        .serve_at(PLACE, icon)?
        .build()?;
    watch(&connection, own.clone())?;
    show(&connection, events, &*window);
    Ok(())
}

/// Shows the icon over a connection until the end.
fn show(connection: &Connection, events: &Receiver<TrayEvent>, window: &dyn TrayWindow) {
    // Before it is registered: what changes while a tray reads it is told.
    let mut shown = window.look();
    let mut registered = register(connection);
    while let Ok(event) = events.recv() {
        match event {
            TrayEvent::End => return,
            TrayEvent::Tray => registered = register(connection),
            TrayEvent::Changed => {
                let look = window.look();
                if registered && look != shown {
                    // Who is not there any more need not know.
                    let _nobody_hears = tell(connection, &look);
                }
                shown = look;
            }
        }
    }
}

/// Tells when a tray comes.
fn watch(connection: &Connection, own: Sender<TrayEvent>) -> zbus::Result<()> {
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender("org.freedesktop.DBus")?
        .interface("org.freedesktop.DBus")?
        .member("NameOwnerChanged")?
        .arg(0, WATCHER)?
        .build();
    let changes = MessageIterator::for_match_rule(rule, connection, Some(QUEUED))?;
    std::thread::spawn(move || {
        for change in changes.map_while(Result::ok) {
            let owners = change.body();
            let owners = owners.deserialize::<(&str, &str, &str)>();
            let is_there = owners.is_ok_and(|(_, _, new)| !new.is_empty());
            if is_there && own.send(TrayEvent::Tray).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Window, as far as the tray has to do with it.
    #[derive(Default)]
    struct Window {
        look: Mutex<Look>,
        raised: Mutex<u32>,
    }

    impl TrayWindow for Window {
        fn look(&self) -> Look {
            self.look.lock().unwrap().clone()
        }

        fn raise(&self) {
            *self.raised.lock().unwrap() += 1;
        }
    }

    /// Tray that says by what it was asked to show something.
    struct Watcher(Mutex<Sender<String>>);

    #[interface(name = "org.kde.StatusNotifierWatcher")]
    impl Watcher {
        fn register_status_notifier_item(&self, name: &str) {
            self.0.lock().unwrap().send(name.to_owned()).unwrap();
        }
    }

    /// Returns the two ends of a bus that nobody else is on: the icon's and the tray's.
    fn ends(window: Arc<Window>, asked: Sender<String>) -> (Connection, Connection) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let icon = std::thread::spawn(move || {
            let guid = zbus::Guid::generate();
            let builder = connection::Builder::async_io_unix_stream(ours);
            let builder = builder.server(guid).unwrap().p2p();
            builder.serve_at(PLACE, Icon { window }).unwrap().build()
        });
        let watcher = Watcher(Mutex::new(asked));
        let builder = connection::Builder::async_io_unix_stream(theirs).p2p();
        let tray = builder.serve_at(WATCHER_PLACE, watcher).unwrap().build();
        (icon.join().unwrap().unwrap(), tray.unwrap())
    }

    fn property<T>(tray: &Connection, name: &str) -> T
    where
        T: TryFrom<zbus::zvariant::OwnedValue>,
        T::Error: std::fmt::Debug,
    {
        let properties = Some("org.freedesktop.DBus.Properties");
        let reply = tray.call_method(None::<&str>, PLACE, properties, "Get", &(ITEM, name));
        let value: zbus::zvariant::OwnedValue = reply.unwrap().body().deserialize().unwrap();
        T::try_from(value).unwrap()
    }

    #[test]
    fn the_tray_shows_that_something_is_asked_and_a_click_on_it_leads_to_the_window() {
        let window = Arc::new(Window::default());
        let (asked, hear) = channel();
        let (icon, tray) = ends(window.clone(), asked);
        let rule = MatchRule::builder()
            .msg_type(message::Type::Signal)
            .member("NewStatus")
            .unwrap()
            .build();
        let mut signals = MessageIterator::for_match_rule(rule, &tray, Some(QUEUED)).unwrap();
        let (tell, events) = channel();
        let shown = window.clone();
        let follows = std::thread::spawn(move || show(&icon, &events, &*shown));
        let patience = Duration::from_secs(60);
        hear.recv_timeout(patience).expect("it is registered");
        assert_eq!(property::<String>(&tray, "Status"), "Active");
        window.look.lock().unwrap().waiting = 2;
        tell.send(TrayEvent::Changed).unwrap();
        let signal = signals.next().unwrap().unwrap();
        let status: String = signal.body().deserialize().unwrap();
        assert_eq!(status, "NeedsAttention");
        assert_eq!(property::<String>(&tray, "Status"), "NeedsAttention");
        assert!(window.look().words().starts_with("2 questions wait"));
        tray.call_method(None::<&str>, PLACE, Some(ITEM), "Activate", &(1, 2))
            .unwrap();
        assert_eq!(*window.raised.lock().unwrap(), 1);
        tell.send(TrayEvent::Tray).unwrap();
        hear.recv_timeout(patience)
            .expect("a tray that came back shows it too");
        tell.send(TrayEvent::End).unwrap();
        follows.join().unwrap();
    }

    #[test]
    fn what_the_tray_says_of_a_service_that_can_not_be_asked_is_why() {
        let look = Look {
            waiting: 0,
            trouble: Some("gatebelld is not running".to_owned()),
        };
        assert_eq!(
            (look.status(), look.words().as_str()),
            ("NeedsAttention", "gatebelld is not running")
        );
        assert_eq!(Look::default().status(), "Active");
    }
}
