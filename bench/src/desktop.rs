//! A desktop's bus that nobody else is on, and who shows notifications there: us.

use crate::gatebell::now_ns;
use crate::ground::Server;
use anyhow::{Context, Result};
use lab::in_bus_address;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::message;

const NAME: &str = "org.freedesktop.Notifications";

/// Signal about a notification that was heard on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The notification is to be shown; the time at which that was heard, on the records' clock.
    Shown(u64),
    /// The notification is to be closed.
    Gone,
}

/// The bus.
pub struct Desktop {
    _daemon: Server,
    address: String,
    heard: Receiver<Heard>,
}

impl Desktop {
    /// Starts it, with its socket in this folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let configuration = folder.join("bus.conf");
        std::fs::write(
            &configuration,
            BUS.replace("FOLDER", &in_bus_address(folder)),
        )?;
        let mut command = Command::new("dbus-daemon");
        command
            .arg(format!("--config-file={}", configuration.display()))
            .args(["--nofork", "--print-address"])
            .stdin(Stdio::null());
        let (daemon, mut says) = Server::that_says(&mut command)?;
        let address = says.next().context("dbus-daemon has ended")??;
        let connection = connection::Builder::address(address.as_str())?.build()?;
        // Nothing is missed between the two: a message that comes is kept from here on.
        let messages = MessageIterator::from(&connection);
        connection.request_name(NAME)?;
        let (tell, heard) = channel();
        std::thread::spawn(move || serve(&connection, messages, &tell));
        Ok(Self {
            _daemon: daemon,
            address,
            heard,
        })
    }

    /// Returns the address of the bus, as programs are given it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next that is heard.
    pub fn hear(&self, most: Duration) -> Result<Heard> {
        self.heard
            .recv_timeout(most)
            .context("the desktop hears of no notification")
    }
}

/// Takes notifications until the bus ends.
fn serve(connection: &Connection, messages: MessageIterator, tell: &Sender<Heard>) {
    let mut last = 0_u32;
    for message in messages.map_while(Result::ok) {
        let header = message.header();
        if header.message_type() != message::Type::MethodCall {
            continue;
        }
        let member = header.member().map(|member| member.to_string());
        let replied = match member.as_deref() {
            Some("Notify") => {
                let _nobody_listens = tell.send(Heard::Shown(now_ns()));
                last += 1;
                connection.reply(&header, &last)
            }
            Some("CloseNotification") => {
                let _nobody_listens = tell.send(Heard::Gone);
                connection.reply(&header, &())
            }
            _ => connection.reply(&header, &Vec::<String>::new()),
        };
        if replied.is_err() {
            return;
        }
    }
}

/// Starts nothing by itself.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=FOLDER</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_any_name_is_one_word_in_a_buss_address() {
        let escaped = in_bus_address(Path::new("/tmp/a-b_1.x"));
        assert_eq!(escaped, "/tmp/a-b_1.x");
        let escaped = in_bus_address(Path::new("/tmp/gr\u{fc}n, <a>"));
        assert_eq!(escaped, "/tmp/gr%c3%bcn%2c%20%3ca%3e");
    }
}
