//! A test program that was started again to be somebody else.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Name of the variable that says which user the program is to be; not there, or 0: it stays who it is.
pub const USER: &str = "GATEBELL_USER";

/// Goes on as the user that [`USER`] names: starts this program's image once more with the same words, as them.
///
/// A harness runs tests in threads. glibc's `setuid` interrupts each other thread, which handles that on its alternate
/// signal stack, and Rust's `std::process::exit` takes the first thread's away: where both happened in one image, some
/// runs ended with SIGSEGV. By its link below /proc the image is found also where the user
/// may not walk the folders to it.
///
/// # Panics
///
/// When the image can't be started, or the variable holds no number.
pub fn go_on_as_the_user() {
    let Ok(user) = env::var(USER) else { return };
    let user: u32 = user.parse().expect("the number of a user");
    if user == 0 {
        return;
    }
    // It may have been built for its maker alone.
    let everybodys = Permissions::from_mode(0o755);
    fs::set_permissions("/proc/self/exe", everybodys).expect("to be root");
    let failed = Command::new("/proc/self/exe")
        .args(env::args_os().skip(1))
        .env_remove(USER)
        .uid(user)
        .gid(user)
        .exec();
    panic!("this program can't go on as user {user}: {failed}");
}
