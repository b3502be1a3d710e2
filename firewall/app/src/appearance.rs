//! Light or dark, as the desktop chooses: where the window's library can't ask, on Linux, the desktop's portal says so.
//!
//! It speaks D-Bus, `org.freedesktop.portal.Settings`, on a thread of its own.
//! A desktop without a portal leaves the window dark.

use eframe::egui::ThemePreference;
use zbus::blocking::{Connection, MessageIterator};
use zbus::zvariant::Value;
use zbus::{MatchRule, message};

const NAME: &str = "org.freedesktop.portal.Desktop";
const PLACE: &str = "/org/freedesktop/portal/desktop";
const SETTINGS: &str = "org.freedesktop.portal.Settings";
/// Namespace and key of the choice in the portal's settings.
const CHOICE: (&str, &str) = ("org.freedesktop.appearance", "color-scheme");
/// Number of signals that are kept while others are read.
const QUEUED: usize = 16;

/// Reports the desktop's choice now, and whenever it changes. Returns where there is no portal.
pub fn follow(chosen: &dyn Fn(ThemePreference)) -> zbus::Result<()> {
    let bus = Connection::session()?;
    let changes = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(NAME)?
        .interface(SETTINGS)?
        .member("SettingChanged")?
        .build();
    // Before it is read, so that no change is missed in between.
    let changes = MessageIterator::for_match_rule(changes, &bus, Some(QUEUED))?;
    let reply = bus.call_method(Some(NAME), PLACE, Some(SETTINGS), "Read", &CHOICE)?;
    let body = reply.body();
    chosen(preference(&body.deserialize::<Value<'_>>()?));
    for change in changes {
        let change = change?;
        let body = change.body();
        if let Ok((space, key, value)) = body.deserialize::<(&str, &str, Value<'_>)>()
            && (space, key) == CHOICE
        {
            chosen(preference(&value));
        }
    }
    Ok(())
}

/// Returns the theme that a portal's value stands for; it may be wrapped once more. A desktop that chooses nothing
/// leaves the window dark.
fn preference(value: &Value<'_>) -> ThemePreference {
    match value {
        Value::Value(inner) => preference(inner),
        Value::U32(2) => ThemePreference::Light,
        _ => ThemePreference::Dark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_desktops_choice_is_read_wrapped_or_not_and_what_is_none_is_dark() {
        let wrapped = Value::Value(Box::new(Value::U32(2)));
        assert_eq!(preference(&wrapped), ThemePreference::Light);
        assert_eq!(preference(&Value::U32(2)), ThemePreference::Light);
        for dark in [Value::U32(1), Value::U32(0), Value::Bool(true)] {
            assert_eq!(preference(&dark), ThemePreference::Dark);
        }
    }
}
