//! Steps that a page of the documentation has its reader do, read from its fenced blocks.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Component, Path};

/// One block of a page, as its reader takes it.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A file to write: `` `its/name` `` stands by itself before the block.
    Write {
        /// Path of the file, seen from the folder that the page is followed in.
        name: String,
        /// Content of the file.
        text: String,
    },
    /// Commands for a shell that end by themselves (`sh`).
    Run(String),
    /// Commands whose last one goes on (`sh background`), in a terminal of its own.
    Begin(String),
    /// Lines that the last of the programs that go on has to have said by now (`text`). A number stands for any number.
    Expect(String),
}

/// The page's blocks, in order.
pub fn read(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut before = "";
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(information) = line.strip_prefix("```") else {
            before = if line.is_empty() { before } else { line };
            continue;
        };
        let mut text = String::new();
        loop {
            let (line, _) = lines
                .next()
                .with_context(|| format!("line {number}: a block without an end"))?;
            if line == "```" {
                break;
            }
            text.push_str(line);
            text.push('\n');
        }
        let step = step(information, before, text);
        steps.push(step.with_context(|| format!("line {number}"))?);
        before = "";
    }
    Ok(steps)
}

fn step(information: &str, before: &str, text: String) -> Result<Step> {
    Ok(match information {
        "sh" => Step::Run(text),
        "sh background" => Step::Begin(text),
        "text" => Step::Expect(text),
        "c" | "rust" | "toml" => {
            let name = before
                .strip_prefix('`')
                .and_then(|name| name.strip_suffix('`'))
                .context("a file's name has to stand by itself before its block")?;
            ensure_lies_below(name)?;
            let name = name.to_owned();
            Step::Write { name, text }
        }
        other => bail!("nobody knows what to do with a block of {other:?}"),
    })
}

fn ensure_lies_below(name: &str) -> Result<()> {
    let below = |part| matches!(part, Component::Normal(_));
    ensure!(
        Path::new(name).components().all(below),
        "{name} is no file below the folder that the page is followed in"
    );
    Ok(())
}

/// Returns whether a program has said each of these lines by now, whatever the numbers in them are.
pub fn is_said(expected: &str, said: &str) -> bool {
    let said: Vec<String> = said.lines().map(without_numbers).collect();
    let mut expected = expected.lines().map(without_numbers);
    expected.all(|line| said.contains(&line))
}

fn without_numbers(line: &str) -> String {
    let mut kept = String::new();
    for character in line.chars() {
        match character {
            '0'..='9' if kept.ends_with('0') => {}
            '0'..='9' => kept.push('0'),
            other => kept.push(other),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# A page

    a picture

`a/b.toml`

```toml
[package]
```

```sh
cd a
cargo build
```

- it goes on

```sh background
a/b
```

```text
ready
```
";

    #[test]
    fn a_pages_blocks_are_what_its_reader_does_in_this_order() {
        let steps = read(PAGE).expect("a page");
        assert_eq!(
            steps,
            [
                Step::Write {
                    name: "a/b.toml".to_owned(),
                    text: "[package]\n".to_owned()
                },
                Step::Run("cd a\ncargo build\n".to_owned()),
                Step::Begin("a/b\n".to_owned()),
                Step::Expect("ready\n".to_owned()),
            ]
        );
    }

    #[test]
    fn a_block_that_nobody_could_follow_is_refused() {
        for page in [
            "```sh\ncargo build\n",
            "```\ncargo build\n```\n",
            "Some words:\n\n```rust\nfn main() {}\n```\n",
            "`/etc/passwd`\n\n```toml\n```\n",
            "`a/../../b`\n\n```toml\n```\n",
            "`a.rs`\n\n```sh\n```\n\n```rust\n```\n",
        ] {
            assert!(read(page).is_err(), "{page}");
        }
    }

    #[test]
    fn a_number_that_a_page_shows_stands_for_any() {
        let said = "watching\nopened by process 17 of user 0\n";
        assert!(is_said("opened by process 4711 of user 0\n", said));
        assert!(is_said("watching\n", said));
        assert!(!is_said("watching 3\n", said));
        assert!(!is_said("opened by process 4711\n", said));
    }
}
