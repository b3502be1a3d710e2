//! Tests that the header which C programs include is what the library offers.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::path::Path;

#[test]
fn the_header_says_what_the_library_offers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut written = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(folder.join("src/lib.rs"))
        .generate()
        .expect("a header can be written")
        .write(&mut written);
    let file = folder.join("include/gatebell_channel.h");
    if std::env::var_os("GOLDEN").is_some_and(|golden| golden == "write") {
        std::fs::write(&file, &written).unwrap();
    }
    let kept = std::fs::read(&file).unwrap_or_default();
    assert!(
        kept == written,
        "{} is not what src/lib.rs says: write it with `GOLDEN=write cargo test -p gatebell-channel-c`",
        file.display()
    );
}
