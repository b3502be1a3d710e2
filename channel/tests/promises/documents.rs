//! Checks that the documents show what is compiled.

/// Both pages are compiled as documentation; the program that they show is the one that runs on a kernel.
#[test]
fn the_readmes_show_the_program_that_is_compiled() {
    let program = include_str!("../../examples/read.rs");
    let start = program.find("use channel::").unwrap();
    let main = program.find("\npub fn main").unwrap();
    // Its doc is of the program alone.
    let end = program[..main].rfind("\n\n").unwrap() + 1;
    let block = format!("\n{}```\n", &program[start..end]);
    for readme in [
        include_str!("../../README.md"),
        include_str!("../../../README.md"),
    ] {
        let at = readme.find(&block).expect("the same lines");
        let fence = readme[..at].lines().last().unwrap();
        assert!(fence.starts_with("```rust"), "{fence}");
    }
}

#[test]
fn the_guide_to_a_driver_of_ones_own_shows_the_files_that_are_compiled() {
    let guide = include_str!("../../../docs/your-own-driver.md");
    for (name, file) in [
        (
            "tripwire/record/src/lib.rs",
            include_str!("../../../examples/tripwire/record/src/lib.rs"),
        ),
        (
            "tripwire/driver/src/main.rs",
            include_str!("../../../examples/tripwire/driver/src/main.rs"),
        ),
        (
            "tripwire/app/src/main.rs",
            include_str!("../../../examples/tripwire/app/src/main.rs"),
        ),
        (
            "tripwire/c/opened.c",
            include_str!("../../../examples/tripwire/c/opened.c"),
        ),
        (
            "pager/record/src/lib.rs",
            include_str!("../../../examples/pager/record/src/lib.rs"),
        ),
        (
            "pager/driver/src/main.rs",
            include_str!("../../../examples/pager/driver/src/main.rs"),
        ),
        (
            "pager/app/src/main.rs",
            include_str!("../../../examples/pager/app/src/main.rs"),
        ),
    ] {
        let language = if name.ends_with(".c") { "c" } else { "rust" };
        let shown = format!("`{name}`\n\n```{language}\n{file}```\n");
        assert!(guide.contains(&shown), "{name} differs");
    }
}
