//! The channel from C and C++, on this machine's kernel and the sample's driver.
//!
//! Needs root, a C and a C++ compiler with pkg-config, and what `cargo xtask build ebpf` and `… c` build.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[expect(dead_code, reason = "it serves the tests of linux.rs too")]
#[path = "linux/place.rs"]
mod place;

use gatebell_channel::{
    GbAttachment, GbDevice, GbEnding, GbHeader, GbStatus, GbWake, gb_account, gb_attach, gb_close,
    gb_descriptor, gb_drain, gb_error_text, gb_open, gb_release, gb_request, gb_set_pace,
    gb_signal, gb_wait,
};
use gatebell_tests::PATIENCE;
use place::{Folder, Host, within};
use sample_abi::{Operate, Operation, kind};
use std::ffi::{CStr, CString, c_void};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zerocopy::IntoBytes;

fn clone() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Runs a line of a shell's in the clone's folder, as documentation shows it; what it wrote.
fn shell(line: &str, surroundings: &[(&str, &Path)]) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-ec", line]).current_dir(clone());
    shell.envs(surroundings.iter().copied());
    shell.env("PKG_CONFIG_PATH", "target/c/lib/pkgconfig");
    let output = shell.output().unwrap();
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{line}: {said}{wrong}");
    said.into_owned()
}

/// Builds the example with these words between the compiler's, runs it, and looks at what it says.
fn reads_notices(compile: &str) {
    let (host, folder) = (Host::start(None), Folder::make());
    let program = folder.path("notices");
    shell(compile, &[("PROGRAM", &program)]);
    let said = shell(
        "LD_LIBRARY_PATH=target/c/lib \"$PROGRAM\" \"$DEVICE\" 20",
        &[("PROGRAM", &program), ("DEVICE", &host.socket)],
    );
    let lines: Vec<&str> = said.lines().collect();
    let [notices @ .., account] = &lines[..] else {
        panic!("{said}");
    };
    assert_eq!(notices.len(), 20, "{said}");
    assert!(notices[7].starts_with("notice 7 from processor "), "{said}");
    assert_eq!(
        *account, "offered 20, committed 20, delivered 20: balances",
        "{said}"
    );
}

#[test]
fn a_c_program_with_the_shared_library_reads_what_the_driver_tells_it() {
    reads_notices(
        "cc -std=c11 -Wall -Wextra -Wpedantic -Werror examples/c/notices.c \
         $(pkg-config --cflags --libs gatebell-channel) -o \"$PROGRAM\"",
    );
}

#[test]
fn a_c_program_with_the_static_library_reads_what_the_driver_tells_it() {
    reads_notices(
        "cc examples/c/notices.c $(pkg-config --cflags gatebell-channel) \
         target/c/lib/libgatebell_channel.a -lgcc_s -lpthread -lm -ldl -o \"$PROGRAM\"",
    );
}

#[test]
fn the_guides_program_in_c_is_told_how_the_driver_ends() {
    let (host, folder) = (Host::start(None), Folder::make());
    let program = folder.path("opened");
    shell(
        "cc -std=c11 -Wall -Wextra -Wpedantic -Werror examples/tripwire/c/opened.c \
         $(pkg-config --cflags --libs gatebell-channel) -o \"$PROGRAM\"",
        &[("PROGRAM", &program)],
    );
    let mut app = Command::new(&program)
        .arg(&host.socket)
        .env("LD_LIBRARY_PATH", clone().join("target/c/lib"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(app.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "attached");
    drop(host);
    assert_eq!(said.next().unwrap().unwrap(), "the driver ended it: 2");
    assert!(app.wait().unwrap().success());
}

#[test]
fn the_header_is_c_plus_plus_too() {
    shell(
        "echo '#include <gatebell_channel.h>\n\
         int main() { GbDevice *device; return gb_open(\"/\", &device) == GB_STATUS_OPEN ? 0 : 1; }' \
         | c++ -x c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror - \
         $(pkg-config --cflags --libs gatebell-channel) -o \"$PROGRAM\"\n\
         LD_LIBRARY_PATH=target/c/lib \"$PROGRAM\"",
        &[("PROGRAM", &Folder::make().path("a"))],
    );
}

/// Attachment as C has it. Dropping it releases it.
struct Attached {
    device: *mut GbDevice,
    attachment: *mut GbAttachment,
}

// SAFETY: what it points to may be used from any thread: the library says so of each call.
unsafe impl Sync for Attached {}

impl Attached {
    fn to(host: &Host) -> Self {
        let name = CString::new(host.socket.to_str().unwrap()).unwrap();
        let (mut device, mut attachment) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: a terminated string, and room for a pointer.
        let opened = unsafe { gb_open(name.as_ptr(), &raw mut device) };
        assert_eq!(opened, GbStatus::Ok, "{}", last_error());
        // SAFETY: a device that was just opened, and room for a pointer.
        let attached = unsafe {
            gb_attach(
                device,
                64 * 1024,
                1 << kind::NOTICE.number(),
                &raw mut attachment,
            )
        };
        assert_eq!(attached, GbStatus::Ok, "{}", last_error());
        Self { device, attachment }
    }

    fn ask_for_notices(&self, count: u32) {
        let mut ask = Operate::new(Operation::Notify, count, 0);
        let bytes = ask.as_mut_bytes();
        // SAFETY: an open device, and so many bytes.
        let asked = unsafe { gb_request(self.device, 64, bytes.as_mut_ptr().cast(), bytes.len()) };
        assert_eq!(asked, GbStatus::Ok, "{}", last_error());
    }

    fn wait(&self, milliseconds: i64) -> (GbStatus, GbWake) {
        let (mut wake, mut ending) = (GbWake::Ended, GbEnding::None);
        // SAFETY: an attachment that is not released, and room for both answers.
        let status = unsafe {
            gb_wait(
                self.attachment,
                milliseconds,
                &raw mut wake,
                &raw mut ending,
            )
        };
        (status, wake)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: neither was freed before.
        unsafe { gb_release(self.attachment) };
        // SAFETY: the same.
        unsafe { gb_close(self.device) };
    }
}

fn last_error() -> String {
    // SAFETY: a terminated string, which stays until this thread's next call that fails.
    let text = unsafe { CStr::from_ptr(gb_error_text()) };
    text.to_string_lossy().into_owned()
}

/// Results of the calls that a callback made, and the count of its own calls.
#[derive(Default)]
struct Within {
    attachment: Option<*mut GbAttachment>,
    statuses: Vec<GbStatus>,
    records: u64,
}

/// Tries to free the record that it is called with, and to have it handed over once more; then asks for no more.
unsafe extern "C" fn releases(context: *mut c_void, record: *const GbHeader) -> bool {
    // SAFETY: the test's own, and nobody else uses it while it drains.
    let within = unsafe { &mut *context.cast::<Within>() };
    let attachment = within.attachment.unwrap();
    // SAFETY: not released: that is refused, as the test sees.
    within.statuses.push(unsafe { gb_release(attachment) });
    // SAFETY: the same.
    let paced = unsafe { gb_set_pace(attachment, 0, 0) };
    within.statuses.push(paced);
    within
        .statuses
        // SAFETY: the same.
        .push(unsafe {
            gb_drain(
                attachment,
                Some(releases),
                None,
                context,
                std::ptr::null_mut(),
            )
        });
    // SAFETY: the library's promise of a whole record.
    let header = unsafe { &*record };
    assert_eq!((header.kind, header.length), (kind::NOTICE.number(), 72));
    within.records += 1;
    within.records < 2
}

#[test]
fn an_attachment_that_is_in_use_refuses_the_second_caller() {
    let host = Host::start(None);
    let attached = Attached::to(&host);
    attached.ask_for_notices(5);
    let mut within_drain = Within {
        attachment: Some(attached.attachment),
        ..Within::default()
    };
    let mut handed_over = 0;
    // SAFETY: not released; the callback takes this context; room for a number.
    let drained = unsafe {
        gb_drain(
            attached.attachment,
            Some(releases),
            None,
            (&raw mut within_drain).cast(),
            &raw mut handed_over,
        )
    };
    assert_eq!(drained, GbStatus::Ok);
    assert_eq!(within_drain.statuses, [GbStatus::Busy; 6]);
    assert_eq!((within_drain.records, handed_over), (2, 2));
    // What was not handed over waits, and nothing was let go.
    assert_eq!(attached.wait(0), (GbStatus::Ok, GbWake::Ready));
    assert_eq!(host.open().references().unwrap().attached, 1);
}

#[test]
fn a_thread_that_waits_is_woken_by_another_one_and_nothing_else_gets_in() {
    let host = Host::start(None);
    let attached = Attached::to(&host);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| attached.wait(120_000));
        let mut account = std::mem::MaybeUninit::uninit();
        within(PATIENCE, || {
            // SAFETY: an attachment that is not released, and room for an account.
            let asked = unsafe { gb_account(attached.attachment, account.as_mut_ptr()) };
            asked == GbStatus::Busy
        });
        assert!(last_error().contains("in use"), "{}", last_error());
        // SAFETY: an attachment that is not released.
        assert_eq!(unsafe { gb_signal(attached.attachment) }, GbStatus::Ok);
        assert_eq!(waiting.join().unwrap(), (GbStatus::Ok, GbWake::Ready));
    });
}

#[test]
fn a_c_program_chooses_its_pace_and_no_two_at_once() {
    let host = Host::start(None);
    let attached = Attached::to(&host);
    for (gather_us, spin_us, expected) in [
        (0, 0, GbStatus::Ok),
        (0, 100, GbStatus::Ok),
        (0, u64::MAX, GbStatus::Ok),
        (u64::MAX, 0, GbStatus::Ok),
        (1, 1, GbStatus::Argument),
    ] {
        // SAFETY: an attachment that is not released.
        let set = unsafe { gb_set_pace(attached.attachment, gather_us, spin_us) };
        assert_eq!(set, expected, "{gather_us}, {spin_us}");
        attached.ask_for_notices(1);
        assert_eq!(attached.wait(120_000), (GbStatus::Ok, GbWake::Ready));
        assert_eq!(attached.wait(0).0, GbStatus::Ok);
    }
}

#[test]
fn a_loop_of_the_apps_own_polls_one_descriptor() {
    let host = Host::start(None);
    let attached = Attached::to(&host);
    // SAFETY: an attachment that is not released.
    let fd = unsafe { gb_descriptor(attached.attachment) };
    let mut entry = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, as said.
    assert_eq!(unsafe { libc::poll(&raw mut entry, 1, 0) }, 0);
    attached.ask_for_notices(1);
    // SAFETY: one entry, as said.
    assert_eq!(unsafe { libc::poll(&raw mut entry, 1, 5000) }, 1);
    assert_eq!(attached.wait(0), (GbStatus::Ok, GbWake::Ready));
}
