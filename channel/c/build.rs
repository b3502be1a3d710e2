//! Sets the shared library's soname, by which programs look for it: with the number that changes when they would break.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libgatebell_channel.so.0");
    }
}
