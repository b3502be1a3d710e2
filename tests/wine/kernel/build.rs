//! Links the stand-in as a driver, for Wine's loader.

fn main() {
    for argument in [
        "/DRIVER",
        "/SUBSYSTEM:NATIVE,10.00",
        "/ENTRY:DriverEntry",
        "/NODEFAULTLIB",
        "/DYNAMICBASE",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
