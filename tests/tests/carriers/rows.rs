//! Rows that ran, and the kernels that have to have them.

/// Names that `cargo xtask test` has for the kernels of the emulated machine; each has what it packages as a module.
pub const DEBIANS: &[&str] = &["linux-6.12", "linux-newest"];

/// Kernel on which a device was seen to take the number of ours in another namespace.
pub const DEBIANS_NEWEST: &[&str] = &["linux-newest"];

/// Kernel that still has DCCP and UDP-Lite.
pub const DEBIANS_OLDER: &[&str] = &["linux-6.12"];

/// Says that a row ran.
pub fn ran(row: &str) {
    println!("{row}: ran");
}

/// Says that this kernel lacks what a row needs.
///
/// # Panics
///
/// When this is one of the kernels that have it: it ran nowhere, then.
pub fn is_absent(row: &str, kernels: &[&str]) {
    let line = std::env::var("GATEBELL_KERNEL").unwrap_or_default();
    assert!(
        !kernels.contains(&&*line),
        "{row}: not on {line}, where it has to run"
    );
    println!("{row}: not on this kernel");
}
