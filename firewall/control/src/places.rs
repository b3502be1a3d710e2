//! Paths at which the service and those who ask it meet, unless their command lines say otherwise.

use std::path::{Path, PathBuf};

/// Path of the driver's device: on Linux its service's socket.
pub const DEVICE: &str = if cfg!(windows) {
    r"\\.\Gatebell"
} else {
    "/run/gatebell/device.sock"
};
/// Path of the control socket.
pub const SOCKET: &str = "/run/gatebell/gatebell.sock";
/// Group whose members may ask the service and attach to the device.
pub const GROUP: &str = "gatebell";
/// Folder in which the service writes down what the next one has to know.
pub const STATE: &str = "/run/gatebell";
/// Folder in which the kernel keeps the driver when the service is gone.
pub const PINS: &str = "/sys/fs/bpf/gatebell";

/// Returns the path of the control socket that is for root alone, beside the one that is at `path`: what others keep
/// the service waiting with is no hindrance there.
#[must_use]
pub fn root_socket(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".root");
    name.into()
}
