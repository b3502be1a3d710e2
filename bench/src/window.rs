//! The window, on a display and a desktop's bus of its own, as a person has it:
//! nothing in it knows that it is measured.

use crate::desktop::Desktop;
use crate::display::Display;
use crate::gatebell::{Gatebell, Programs, now_ns};
use crate::ground::{Ground, Server, go_on};
use anyhow::Result;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

/// Lines of the display in which the window has its tabs,
const TABS: Range<u64> = 0..40;
/// and some in which its live page has rows, once it is full.
pub const ROWS: Range<u64> = 300..340;
/// Maximum time to wait for the window.
const PATIENCE: Duration = Duration::from_secs(20);

/// The window's program, which shows something. Dropped, it is closed.
pub struct Window {
    // In this order: the window goes before its display and its bus.
    program: Server,
    /// Display on which the window is seen.
    pub display: Display,
    /// Bus on which its notifications are heard.
    pub desktop: Desktop,
    /// Time from the start to the first frame.
    pub first_frame: Duration,
}

impl Window {
    /// Opens it for this service, and waits until it shows something.
    pub fn open(programs: &Programs, ground: &Ground, gatebell: &Gatebell) -> Result<Self> {
        go_on()?;
        let folder = ground.lab.folder();
        let (display, desktop) = (Display::start(folder)?, Desktop::start(folder)?);
        let mut command = Command::new(&programs.app);
        command
            .arg("--device")
            .arg(gatebell.device())
            .arg("--control")
            .arg(gatebell.control())
            // Whatever this machine's user reads, and whatever it draws with.
            .args(["--language", "en"])
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("DISPLAY", display.name())
            .env("DBUS_SESSION_BUS_ADDRESS", desktop.address())
            .env("XDG_RUNTIME_DIR", folder)
            .env("HOME", folder)
            .env_remove("WAYLAND_DISPLAY");
        let began = now_ns();
        let program = Server::start(&mut command)?;
        let shown = display.words(&TABS, PATIENCE)?;
        Ok(Self {
            program,
            display,
            desktop,
            first_frame: Duration::from_nanos(shown.saturating_sub(began)),
        })
    }

    /// Returns the process identifier of the window.
    pub fn pid(&self) -> u32 {
        self.program.0.id()
    }
}
