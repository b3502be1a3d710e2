//! Makes the version of the layout that driver, service and tools share: a hash of its text, which nobody raises by
//! hand, and nobody forgets to. It changes with more than the layout needs, a method for example; that costs one
//! release its pinned maps.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders whose text is hashed: this layout, and the channel's, which it is made of.
const SOURCES: [&str; 2] = ["src", "../../channel/abi/src"];

fn main() -> io::Result<()> {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut texts = Vec::new();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        texts.extend(texts_in(&own.join(folder))?);
    }
    println!("cargo::rustc-env=LAYOUT_HASH={:08x}", hash(&texts));
    Ok(())
}

/// Reads the Rust files of a folder, in the order of their names.
fn texts_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    files
        .iter()
        .filter(|file| file.extension() == Some("rs".as_ref()))
        .map(fs::read_to_string)
        .collect()
}

/// Hashes what the compiler reads, without comments and white space (FNV-1a, 32 bits).
pub fn hash(texts: &[String]) -> u32 {
    let lines = texts.iter().flat_map(|text| text.lines());
    let code = lines.map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .fold(0x811C_9DC5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}
