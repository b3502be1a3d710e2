//! gatebell-app: what was refused, by which rule, as it happens; in a window, in a terminal, or as JSON.
//!
//! It may depend on `view` for what records look like, and on what that needs. It decides nothing.
//!
//! Rules that hold here:
//! - One thread reads, the views only show: what is slow to show is never slow to read.
//! - What people read in the window comes from the catalogue, `firewall/view/texts/*.ftl`, by `view::text!`: a page
//!   names each of its texts by a key of its own (`rules-none`), its tab by `tab-…` and its columns by `column-…`, in
//!   every language at once. A text is made where it is painted, or by the thread that says it, and is compared with
//!   nothing. docs/languages.md says more.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod appearance;
#[cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        reason = "on this system there is no service that takes rules"
    )
)]
mod changes;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "on this system there is no service to ask")
)]
mod contacts;
#[cfg(target_os = "linux")]
mod failed;
mod followed;
#[cfg(target_os = "linux")]
mod notify;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "on this system there is no service to ask")
)]
mod overview;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "on this system there is no service to ask")
)]
mod past;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "on this system there is no service that asks")
)]
mod questions;
#[cfg(target_os = "linux")]
mod tray;
mod window;

use anyhow::{Context, Result};
use clap::Parser;
use control::Names;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use view::json;
use view::reader::{self, Told};
use view::terminal::Terminal;
use view::text;
use view::texts::{self, Language};
use window::Shown;

/// Shows each refused packet and each new process as it happens.
#[derive(Parser)]
#[command(name = "gatebell-app", version, max_term_width = 100)]
struct Arguments {
    /// The driver's device: on Linux its service's socket, on Windows a name such as \\.\Gatebell
    #[arg(long, default_value = control::DEVICE)]
    device: PathBuf,
    /// The service's control socket, which knows the names of rules and what they ask
    #[cfg(target_os = "linux")]
    #[arg(long, default_value = control::SOCKET)]
    control: PathBuf,
    /// The window's language, en or de; left out: the desktop's, English where there are no texts in that
    #[arg(long)]
    language: Option<Language>,
    /// One JSON object per record instead of a view
    #[arg(long)]
    json: bool,
    /// The terminal view, also where there is a display
    #[arg(long, conflicts_with = "json")]
    terminal: bool,
    /// Write the account here at the end, as a JSON object
    #[arg(long)]
    account: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatebell-app: {}", words(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let stop = stop_flag()?;
    if arguments.json {
        let mut names = names(arguments);
        return read(arguments, &mut names, &stop, &mut |told| json::print(&told));
    }
    if arguments.terminal || !display() {
        let mut view = Terminal::new("gatebell-app");
        let mut names = names(arguments);
        return read(arguments, &mut names, &stop, &mut |told| view.show(&told));
    }
    texts::speak(arguments.language.unwrap_or_else(Language::of_desktop));
    in_window(arguments, &stop)
}

/// Reads to the end and writes the account.
fn read(
    arguments: &Arguments,
    names: &mut (dyn Names + Send),
    stop: &Arc<AtomicBool>,
    sink: reader::Sink<'_>,
) -> Result<()> {
    let device = &arguments.device;
    let summary = reader::read(&name(device), reader::everything(), names, stop, sink)
        .with_context(|| text!("not-told-by", device = device.display().to_string()))?;
    let Some(file) = &arguments.account else {
        return Ok(());
    };
    std::fs::write(file, format!("{}\n", json::summary(&summary)))
        .with_context(|| format!("can't write the account to {}", file.display()))
}

/// Describes the reason for which the driver can't be read, and what to do.
fn words(error: &anyhow::Error) -> String {
    #[cfg(target_os = "linux")]
    if let Some(failed) = reader::unreachable(error) {
        return failed::words(&failed);
    }
    format!("{error:#}")
}

/// Time for which a driver that has ended, or can't be read, is left alone.
const BREATH: Duration = Duration::from_secs(2);

/// Waits before the driver is tried again. Returns `true` if it is to be tried no more.
fn rest(stop: &AtomicBool) -> bool {
    let end = Instant::now() + BREATH;
    while !stop.load(Ordering::Acquire) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    stop.load(Ordering::Acquire)
}

/// Runs the window and the reader. The window has the main thread, as every desktop wants it; the reader has its own
/// and locks the rows itself: the ring is the bound between the two. A driver that ends is read again once it is back.
/// Closing the window ends both.
fn in_window(arguments: &Arguments, stop: &Arc<AtomicBool>) -> Result<()> {
    let shown = Arc::new(Shown::default());
    let notified = follow_questions(arguments, &shown);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                // Another service counts from one again: its names are its own.
                let mut names = names(arguments);
                let done = read(
                    arguments,
                    &mut names,
                    stop,
                    &mut |Told { update, .. }| {
                        shown.take(update);
                        true
                    },
                );
                if let Err(error) = &done {
                    shown.end(&words(error));
                }
                if rest(stop) {
                    if !shown.is_closed() {
                        // Asked to end: the window has no say in it.
                        std::process::exit(i32::from(done.is_err()));
                    }
                    return done;
                }
            }
        });
        let title = arguments.device.display().to_string();
        window::run(shown.clone(), &title)?;
        shown.close();
        shown.questions.end();
        shown.changes.end();
        shown.overview.end();
        shown.past.end();
        shown.contacts.end();
        notified();
        stop.store(true, Ordering::Release);
        reader
            .join()
            .unwrap_or_else(|_| anyhow::bail!("the reader broke down"))
    })
}

/// Starts the threads beside the window: one for each kind of request to the service, and those for the desktop's
/// notifications, tray and theme. Nobody waits for their end: a service or a desktop that hangs holds up no window that
/// is closed. The function that is returned ends the notifications.
#[cfg(target_os = "linux")]
fn follow_questions(arguments: &Arguments, shown: &Arc<Shown>) -> impl FnOnce() {
    use notify::NotifyEvent;
    use std::sync::mpsc::channel;
    use view::entry::{Entry, Update};

    let (tell, hear) = channel();
    let (told, done) = channel();
    let mut desktop = notify::Session::new(tell.clone());
    let changed = tell.clone();
    let (tell_tray, tray) = channel();
    let tray_changed = tell_tray.clone();
    shown.listen(Box::new(move || {
        drop(changed.send(NotifyEvent::Changed));
        let _no_tray = tray_changed.send(tray::TrayEvent::Changed);
    }));
    let window = shown.clone();
    let own = tell_tray.clone();
    std::thread::spawn(move || {
        // Without a bus, or a tray, there is no icon.
        let _no_tray = tray::follow(&tray, &own, window);
    });
    let window = shown.clone();
    std::thread::spawn(move || {
        notify::follow(&hear, &window.questions, &mut desktop, &*window);
        let _nobody_waits = told.send(());
    });
    let window = shown.clone();
    std::thread::spawn(move || {
        // Without a portal it stays as it is.
        let _no_portal = appearance::follow(&|theme| window.set_theme(theme));
    });
    let mut service = questions::AtSocket::new(&arguments.control);
    let mut rules = questions::AtSocket::new(&arguments.control);
    let window = shown.clone();
    std::thread::spawn(move || {
        window.changes.follow(&mut rules, &|| {
            window.overview.ask_at_once();
            window.repaint();
        });
    });
    let mut asked = questions::AtSocket::new(&arguments.control);
    let window = shown.clone();
    std::thread::spawn(move || {
        window.overview.follow(&mut asked, &|| window.repaint());
    });
    let mut kept = questions::AtSocket::new(&arguments.control);
    let window = shown.clone();
    std::thread::spawn(move || {
        window.past.follow(&mut kept, &|| window.repaint());
    });
    let mut met = questions::AtSocket::new(&arguments.control);
    let window = shown.clone();
    std::thread::spawn(move || {
        let tell = |row| window.take(Update::Entry(Entry::contact(row)));
        window.contacts.follow(&mut met, &tell);
    });
    let shown = shown.clone();
    std::thread::spawn(move || {
        shown.questions.follow(&mut service, &|| shown.changed());
    });
    move || {
        let _no_tray = tell_tray.send(tray::TrayEvent::End);
        let _ended_before = tell.send(NotifyEvent::End);
        let _either_way = done.recv_timeout(DESKTOPS_TIME);
    }
}

/// Time for which a window that is closed waits for the desktop to take a notification away.
#[cfg(target_os = "linux")]
const DESKTOPS_TIME: Duration = Duration::from_millis(500);

/// Does nothing: on this system there is no service to ask.
#[cfg(not(target_os = "linux"))]
fn follow_questions(_: &Arguments, _: &Arc<Shown>) -> impl FnOnce() {
    || ()
}

/// Returns the names of the service that the records are of.
#[cfg(target_os = "linux")]
fn names(arguments: &Arguments) -> control::ServiceNames {
    control::ServiceNames::new(&arguments.control)
}

/// Returns no names: on this system there is no service to ask.
#[cfg(not(target_os = "linux"))]
fn names(_: &Arguments) -> control::NoNames {
    control::NoNames
}

#[cfg(unix)]
fn name(device: &Path) -> PathBuf {
    device.to_owned()
}

#[cfg(windows)]
fn name(device: &Path) -> String {
    device.display().to_string()
}

/// Returns whether there is a display to open a window on.
fn display() -> bool {
    let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(windows) || named("DISPLAY") || named("WAYLAND_DISPLAY")
}

/// Returns a flag that is set by Ctrl-C and by a polite request to end.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("can't watch for Ctrl-C")?;
    }
    Ok(stop)
}
