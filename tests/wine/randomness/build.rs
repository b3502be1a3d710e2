//! Links a library without a C runtime.

fn main() {
    for argument in ["/DLL", "/NODEFAULTLIB", "/NOENTRY", "/EXPORT:ProcessPrng"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
