//! How a Windows driver is linked.

fn main() {
    for argument in [
        // Not `/DRIVER:WDM`: that marks an image as a PnP driver, which Windows unloads only when PnP asks.
        "/DRIVER",
        "/SUBSYSTEM:NATIVE,10.00",
        "/VERSION:10.0",
        "/ENTRY:DriverEntry",
        "/NODEFAULTLIB",
        "/DYNAMICBASE",
        "/NXCOMPAT",
        // The kernel checks the image's checksum, and calls process callbacks of images that ask for this check only.
        "/RELEASE",
        "/INTEGRITYCHECK",
        // The same source gives the same bytes.
        "/Brepro",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
