//! The kernel's structures and constants as our drivers write them by hand,
//! held against the driver headers of mingw-w64.
//!
//! `channel/src/driver/wdm/nt.rs` asserts its own layout as it is compiled; here a C compiler says that the headers
//! have the same numbers. Needs `x86_64-w64-mingw32-gcc` and its headers,
//! which `cargo xtask setup windows` installs. Nothing is run.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const NT: &str = include_str!("../../channel/src/driver/wdm/nt.rs");

/// Fields that lie deeper in the headers' structures, or have another name there.
const DEEPER: [(&str, &str, &str); 5] = [
    ("TOKEN_USER", "Sid", "User.Sid"),
    ("IRP", "SystemBuffer", "AssociatedIrp.SystemBuffer"),
    ("IRP", "DriverContext", "Tail.Overlay.DriverContext"),
    (
        "IRP",
        "CurrentStackLocation",
        "Tail.Overlay.CurrentStackLocation",
    ),
    (
        "IO_STACK_LOCATION",
        "DeviceIoControl",
        "Parameters.DeviceIoControl",
    ),
];

/// Names of ours that the headers have by others, with those.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("KERNEL_MODE", "KernelMode"),
    ("USER_MODE", "UserMode"),
    ("NOTIFICATION_EVENT", "NotificationEvent"),
    ("NOTIFICATION_TIMER", "NotificationTimer"),
    ("EXECUTIVE", "Executive"),
    ("WAIT_ANY", "WaitAny"),
    ("TOKEN_USER_CLASS", "TokenUser"),
    ("IRP_MJ_FUNCTIONS", "(IRP_MJ_MAXIMUM_FUNCTION + 1)"),
];

/// Names that these headers lack, or have wrong: from Microsoft's documentation alone.
const NOT_THERE: [&str; 3] = [
    "POOL_FLAG_USE_QUOTA",
    "POOL_FLAG_NON_PAGED",
    // 328 there; the symbols that Microsoft publishes say 336.
    "size_of::<DEVICE_OBJECT>",
];

/// Returns the constants of our code: `pub const NAME: TYPE = VALUE;`
fn constants() -> Vec<(&'static str, String)> {
    let lines = NT
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "));
    let parts = lines.filter_map(|line| {
        let (name, rest) = line.split_once(": ")?;
        let (_, value) = rest.strip_suffix(';')?.split_once(" = ")?;
        let value = value.trim_start_matches("status(").trim_end_matches(')');
        Some((name, value.replace('_', "")))
    });
    parts.collect()
}

/// Returns the asserted layouts in C's words: `size_of::<NAME>() == VALUE` and `offset_of!(NAME, FIELD) == VALUE`.
fn layouts() -> Vec<(String, String)> {
    let asserted = &NT[NT.find("use core::mem::offset_of;").unwrap()..];
    let words = asserted.replace(['\n', ';'], " ");
    let facts = words.split(" == ").zip(words.split(" == ").skip(1));
    let facts = facts.map(|(before, after)| {
        let value = after.split([' ', ')']).next().unwrap();
        let subject = before.rsplit("assert!(").next().unwrap();
        let subject = subject.rsplit("&& ").next().unwrap().trim();
        (subject.to_owned(), value.replace('_', ""))
    });
    facts.collect()
}

fn in_c(subject: &str) -> Option<String> {
    if NOT_THERE.iter().any(|lacking| subject.starts_with(lacking)) {
        return None;
    }
    in_any_c(subject)
}

fn in_any_c(subject: &str) -> Option<String> {
    if let Some(name) = subject.strip_prefix("size_of::<") {
        return Some(format!("sizeof({})", name.strip_suffix(">()")?));
    }
    let place = subject.strip_prefix("offset_of!(")?.strip_suffix(')')?;
    let (name, field) = place.split_once(", ")?;
    if name == "DEVICE_IO_CONTROL" {
        // A part of the stack location there.
        let outer = "Parameters.DeviceIoControl";
        return Some(format!(
            "(offsetof(IO_STACK_LOCATION, {outer}.{field}) - offsetof(IO_STACK_LOCATION, {outer}))"
        ));
    }
    let deeper = DEEPER
        .iter()
        .find(|(at, of, _)| (*at, *of) == (name, field));
    Some(format!(
        "offsetof({name}, {})",
        deeper.map_or(field, |(.., path)| path)
    ))
}

/// A C file that compiles if the headers say the same.
fn claims() -> String {
    let mut text = "#include <ntifs.h>\n#include <ntddk.h>\n#include <stddef.h>\n".to_owned();
    for (name, value) in constants() {
        if !NOT_THERE.contains(&name) {
            let other = OTHER_NAMES.iter().find(|(ours, _)| *ours == name);
            let theirs = other.map_or(name, |(_, theirs)| theirs);
            writeln!(
                text,
                "_Static_assert((unsigned long long)(unsigned)({theirs}) == {value}, \"{name}\");"
            )
            .unwrap();
        }
    }
    for (subject, value) in layouts() {
        if let Some(theirs) = in_c(&subject) {
            writeln!(text, "_Static_assert({theirs} == {value}, \"{subject}\");").unwrap();
        }
    }
    text
}

fn compile(text: &str) -> Result<(), String> {
    let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
    compiler
        .args(["-x", "c", "-std=gnu11", "-fsyntax-only", "-"])
        // Where the driver headers are depends on the release of Debian's.
        .args(["-isystem", "/usr/x86_64-w64-mingw32/include/ddk"])
        .args(["-isystem", "/usr/share/mingw-w64/include/ddk"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = compiler.spawn().map_err(|why| why.to_string())?;
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().map_err(|why| why.to_string())?;
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(wrong)
}

#[test]
fn what_a_driver_says_of_the_kernel_is_what_its_headers_say() {
    let text = claims();
    assert!(text.lines().count() > 55, "{text}");
    compile(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    // A number that is not theirs does not compile: the one before is no accident.
    let lie = text.replacen("== 0x18,", "== 0x20,", 1);
    assert!(lie != text && compile(&lie).is_err());
}

/// The source of what uses the structures: the drivers' half of the channel, and the sample's driver.
fn users() -> String {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = ["channel/src/driver/wdm", "sample/driver/windows/src/driver"];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(clone.join(folder)).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|file| file.file_name().is_some_and(|name| name != "nt.rs"));
    files
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect()
}

/// Returns each structure with the names of its fields.
fn structures() -> Vec<(&'static str, Vec<&'static str>)> {
    let parts = NT.split("pub struct ").skip(1);
    let parts = parts.map(|part| {
        let name = part.split([' ', '(']).next().unwrap();
        let body = part.split("\n}").next().unwrap();
        let fields = body
            .lines()
            .filter_map(|line| line.strip_prefix("    pub ")?.split(':').next());
        (name, fields.collect())
    });
    parts.collect()
}

/// Returns whether a structure is made, with all of its fields, and not only pointed to.
fn is_made(users: &str, name: &str) -> bool {
    let made = format!("{name} {{");
    let mut places = users.match_indices(&made);
    places.any(|(at, _)| !users[..at].trim_end_matches("nt::").ends_with("mut "))
}

#[test]
fn every_field_that_a_driver_uses_has_its_place_asserted() {
    let (asserted, users) = (layouts(), users());
    let is_asserted = |subject: &str| asserted.iter().any(|(known, _)| known == subject);
    let mut lacking = Vec::new();
    for (name, fields) in structures() {
        // Objects without an inside of ours.
        if !["OBJECT_TYPE", "EPROCESS"].contains(&name) {
            let size = is_asserted(&format!("size_of::<{name}>()"));
            let place = |field: &&str| is_asserted(&format!("offset_of!({name}, {field})"));
            let used = |field: &&str| users.contains(&format!(".{field}")) || is_made(&users, name);
            lacking.extend((!size && !fields.iter().any(place)).then(|| name.to_owned()));
            let missing = fields.iter().filter(|field| used(field) && !place(field));
            lacking.extend(missing.map(|field| format!("{name}.{field}")));
        }
    }
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// Program that a person with Windows compiles against Microsoft's own headers: those that are here lack some of it,
/// and say one thing wrong.
const PROGRAM: &str = "sample/driver/windows/verify/offsets.c";

fn program() -> String {
    let mut text = "/* Says where the fields of the kernel's structures are, by the headers that it is compiled with, and whether our drivers\n \
        * have them there. Written from channel/src/driver/wdm/nt.rs: GOLDEN=write cargo test -p gatebell-tests --test\n \
        * windows_headers. */\n\
        #include <ntifs.h>\n#include <ntddk.h>\n#include <stddef.h>\n#include <stdio.h>\n\n\
        static int wrong;\n\n\
        static void is(const char *what, unsigned long long theirs, unsigned long long ours)\n{\n    \
        wrong += theirs != ours;\n    \
        printf(\"%s 0x%llx, ours 0x%llx%s\\n\", what, theirs, ours, theirs == ours ? \"\" : \": WRONG\");\n}\n\n\
        int main(void)\n{\n"
        .to_owned();
    for (name, value) in constants() {
        let other = OTHER_NAMES.iter().find(|(ours, _)| *ours == name);
        let theirs = other.map_or(name, |(_, theirs)| theirs);
        let line = format!("    is(\"{name}\", (unsigned)({theirs}), {value});\n");
        if NOT_THERE.contains(&name) {
            write!(text, "#ifdef {theirs}\n{line}#endif\n").unwrap();
        } else {
            text.push_str(&line);
        }
    }
    for (subject, value) in layouts() {
        if let Some(theirs) = in_any_c(&subject) {
            writeln!(text, "    is(\"{subject}\", {theirs}, {value});").unwrap();
        }
    }
    text.push_str("    return wrong != 0;\n}\n");
    text
}

#[test]
fn the_program_that_asks_microsofts_headers_asks_for_all_that_a_driver_says_of_the_kernel() {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (file, program) = (clone.join(PROGRAM), program());
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(&file, &program).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), program);
    compile(&program).unwrap_or_else(|wrong| panic!("{wrong}\n{program}"));
}
