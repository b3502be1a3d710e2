//! Linker arguments and version resource of a WDM driver, for its `build.rs`.
//!
//! It depends on nothing but mingw-w64's `windres`, which makes the resource.
//!
//! Rules that hold here:
//! - The same source gives the same image, wherever it is built.
//! - What each argument is for stands beside it; a test reads the image's headers as a whole.

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Command;

/// Version information of the driver's image: people see it in its properties, in a crash dump, in the list of drivers.
/// The version is that of the package. Any text of one line may stand in it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Description of the driver, in a few words.
    pub description: &'a str,
    /// Name of the company whose driver it is.
    pub company: &'a str,
    /// The image's file name.
    pub file: &'a str,
}

const ARGUMENTS: [&str; 9] = [
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
];

/// Tells cargo how to link the driver of this package: prints the linker's arguments for its `build.rs`.
///
/// # Errors
/// If the resource can't be made; the text says what is missing.
pub fn wdm_driver(about: &About<'_>) -> Result<()> {
    let resource = resource(about)?;
    // The same source gives the same bytes.
    let beside = [
        "/Brepro".to_owned(),
        resource.to_string_lossy().into_owned(),
    ];
    for argument in ARGUMENTS.map(str::to_owned).iter().chain(&beside) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// Makes the version resource, and returns the path of its object for the linker.
fn resource(about: &About<'_>) -> Result<PathBuf> {
    const WINDRES: &str = "x86_64-w64-mingw32-windres";
    let folder = PathBuf::from(variable("OUT_DIR")?);
    let (script, object) = (folder.join("version.rc"), folder.join("version.o"));
    std::fs::write(&script, script_of(about, &variable("CARGO_PKG_VERSION")?))?;
    let made = Command::new(WINDRES)
        .args(["-O", "coff", "-c", "65001", "-i"])
        .arg(&script)
        .arg("-o")
        .arg(&object)
        .status()
        .map_err(|why| Error::other(format!("{WINDRES} (of mingw-w64's binutils): {why}")))?;
    if made.success() {
        Ok(object)
    } else {
        Err(Error::other(format!("{WINDRES} failed: {made}")))
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|why| Error::other(format!("{name}: {why}: run by cargo only")))
}

/// Returns a text as it stands in a script's string.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\"\"")
}

/// Returns the script of a VERSIONINFO resource, in US English and Unicode, of a system driver for Windows NT.
fn script_of(about: &About<'_>, version: &str) -> String {
    // A version's numbers end where its pre-release or its build begins.
    let numbers = version
        .split(['-', '+'])
        .next()
        .unwrap_or_default()
        .replace('.', ",");
    let [description, company, file] = [about.description, about.company, about.file].map(escaped);
    format!(
        r#"1 VERSIONINFO
FILEVERSION {numbers},0
PRODUCTVERSION {numbers},0
FILEFLAGSMASK 0x3f
FILEOS 0x40004
FILETYPE 3
FILESUBTYPE 7
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904b0"
    BEGIN
      VALUE "CompanyName", "{company}"
      VALUE "FileDescription", "{description}"
      VALUE "FileVersion", "{version}"
      VALUE "InternalName", "{file}"
      VALUE "OriginalFilename", "{file}"
      VALUE "ProductName", "{description}"
      VALUE "ProductVersion", "{version}"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_takes_any_text_and_any_version() {
        let about = About {
            description: r#"The "best" of C:\x"#,
            company: "Müller",
            file: "pager.sys",
        };
        for version in [
            "1.2.3",
            "1.2.3-beta.4",
            "1.2.3+build.5",
            "1.2.3-beta.4+build.5",
        ] {
            let script = script_of(&about, version);
            for line in [
                "FILEVERSION 1,2,3,0\n",
                r#"VALUE "FileDescription", "The ""best"" of C:\\x""#,
                r#"VALUE "CompanyName", "Müller""#,
            ] {
                assert!(script.contains(line), "{line}: {script}");
            }
        }
    }
}
