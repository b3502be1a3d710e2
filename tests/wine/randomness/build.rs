//! A library without a C runtime.

fn main() {
    for argument in ["/NODEFAULTLIB", "/NOENTRY", "/EXPORT:ProcessPrng"] {
        println!("cargo::rustc-link-arg-cdylib={argument}");
    }
}
