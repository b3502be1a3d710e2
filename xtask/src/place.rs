//! Paths of the clone, of cargo's target folder, and of what this project keeps beside it.

use std::env;
use std::path::{Path, PathBuf};

/// The clone's root: where the workspace's Cargo.toml lies.
pub fn root() -> PathBuf {
    // The program is run by `cargo xtask`, so the folder it was built from is the clone it is meant for.
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Returns cargo's target folder: `CARGO_TARGET_DIR`, else the one in the clone.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(chosen) => env::current_dir().unwrap_or_default().join(chosen),
        None => root().join("target"),
    }
}

/// Drivers, always at the same place in the clone, so that tests and the service find them.
pub fn drivers() -> PathBuf {
    root().join("target/drivers")
}

/// Windows programs, always at the same place in the clone.
pub fn windows() -> PathBuf {
    root().join("target/windows")
}

/// Returns the folder of the channel for C and C++, as it would be installed: `include` and `lib`; in `windows` the
/// libraries for there.
pub fn c() -> PathBuf {
    root().join("target/c")
}

/// Returns the folder of what only the tests under Wine need: stand-ins and their programs.
pub fn wine() -> PathBuf {
    root().join("target/wine")
}

/// Tools that Debian has no package for.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Returns the folder that NetworkManager is unpacked into, for the tests.
pub fn network_manager() -> PathBuf {
    root().join("target/network-manager")
}

/// The emulated machine's kernel and images.
pub fn machine() -> PathBuf {
    root().join("target/vm")
}

/// Returns the folder of the Debian packages, and of the folders that they are made of.
pub fn packages() -> PathBuf {
    root().join("target/package")
}

/// Returns the folder of the built fuzz targets, and of what they found.
pub fn fuzz() -> PathBuf {
    root().join("target/fuzz")
}

/// The output of each test step.
pub fn logs() -> PathBuf {
    root().join("target/test-logs")
}

/// Returns the first program of this name on `PATH`, or in `/usr/sbin` and `/sbin`, which `PATH` may lack for a user.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
