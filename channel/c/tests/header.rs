//! Tests that the header which C programs include is what the library offers.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use channel_abi::Refusal;
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

#[test]
fn every_refusal_has_its_name_and_number_in_c() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/gatebell_channel.h");
    let header = std::fs::read_to_string(file).unwrap();
    for refusal in Refusal::ALL {
        let name = refusal.name().to_uppercase();
        let line = format!("  GB_REFUSAL_{name} = {},\n", refusal.number());
        assert!(header.contains(&line), "{line}");
    }
    let names = header.matches("  GB_REFUSAL_").count();
    assert_eq!(names, Refusal::ALL.len());
}
