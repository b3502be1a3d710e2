//! The manual names what there is, and every example in the documents does what it says.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod commands;
#[path = "../../rules/tests/place/mod.rs"]
mod place;

use commands::gatebell;
use place::Place;
#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};

#[test]
fn the_manual_has_a_page_for_every_command_and_names_each_of_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let output = gatebell(&["manual", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", commands::err(&output));
    let mut pages = 0;
    visit(&cli::command(), "gatebell", &mut |command, name| {
        let page = folder.path().join("man").join(format!("{name}.1"));
        let page = std::fs::read_to_string(&page)
            .unwrap_or_else(|_| panic!("{} is missing", page.display()));
        let page = page.replace('\\', "");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{option}")), "{name}: --{option}");
        }
        for below in visible(command) {
            assert!(
                page.contains(&format!("{name}-{}(1)", below.get_name())),
                "{name}: {}",
                below.get_name()
            );
        }
        pages += 1;
    });
    // On Linux there are those that ask a running service too.
    assert_eq!(pages, if cfg!(target_os = "linux") { 36 } else { 17 });
    for file in [
        "gatebell.bash",
        "_gatebell",
        "gatebell.fish",
        "_gatebell.ps1",
    ] {
        let completion =
            std::fs::read_to_string(folder.path().join("completions").join(file)).unwrap();
        assert!(
            completion.contains("dry-run") && completion.contains("schema"),
            "{file}"
        );
    }
}

fn visible(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

fn visit(command: &clap::Command, name: &str, check: &mut impl FnMut(&clap::Command, &str)) {
    check(command, name);
    for below in visible(command) {
        visit(below, &format!("{name}-{}", below.get_name()), check);
    }
}

#[test]
fn every_command_says_what_it_is_for_and_its_exit_codes() {
    visit(&cli::command(), "gatebell", &mut |command, name| {
        assert!(command.get_about().is_some(), "{name}");
        assert!(
            command
                .get_after_help()
                .is_some_and(|help| help.to_string().contains("Exit codes:\n  0  ")),
            "{name}"
        );
    });
}

#[test]
fn no_paragraph_of_a_help_text_is_broken_where_a_terminal_would_break_it_again() {
    visit(&cli::command(), "gatebell", &mut |command, name| {
        let help = command.get_after_help().unwrap().to_string();
        let lines: Vec<_> = help.lines().collect();
        for pair in lines.windows(2) {
            let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            let goes_on = is_prose(pair[0]) && is_prose(pair[1]);
            let is_hung = pair[1].starts_with("     ");
            assert!(!goes_on && !is_hung, "{name}: {}", pair[1]);
        }
    });
}

#[test]
fn below_the_keys_of_a_rule_stand_its_keys_alone() {
    let schema: serde_json::Value =
        serde_json::from_slice(&gatebell(&["rules", "schema"]).stdout).unwrap();
    let keys = schema["$defs"]["rule"]["properties"].as_object().unwrap();
    let mut headed = 0;
    visit(&cli::command(), "gatebell", &mut |command, name| {
        for argument in command.get_arguments() {
            if argument.get_help_heading() == Some("Keys of the rule") {
                let key = argument.get_id().as_str();
                assert!(keys.contains_key(key), "{name}: {key}");
                headed += 1;
            }
        }
    });
    assert!(headed > 30, "{headed}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_dry_run_of_nothing_says_all_that_can_be_tried() {
    let output = gatebell(&["dry-run", "rules.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = commands::err(&output);
    assert!(said.contains("<--pcap <FILE>|--history>"), "{said}");
}

/// Words behind the name where it is the product's, or a group's.
#[cfg(target_os = "linux")]
const PROSE: [&str; 4] = ["and", "und", "may", "aufnehmen"];

#[cfg(target_os = "linux")]
#[test]
fn each_command_and_option_that_a_message_names_is_there() {
    let (mut named, mut wrong) = (0, Vec::new());
    for (file, text) in sources_of_messages() {
        for said in commands_named(&text, "gatebell ") {
            named += 1;
            if let Some(unknown) = unknown_word(&said) {
                wrong.push(format!("{}: `{unknown}` in: {said}", file.display()));
            }
        }
    }
    assert!(named > 100, "{named}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(unknown_word("rules shout {name}").as_deref(), Some("shout"));
    assert_eq!(unknown_word("rules show --txt").as_deref(), Some("--txt"));
}

/// Programs that messages tell people to use.
#[cfg(target_os = "linux")]
const ADVISED: [&str; 7] = [
    "gatebell ",
    "sudo ",
    "diff ",
    "chown ",
    "chmod ",
    "systemctl ",
    "journalctl ",
];

/// Placeholders that an advised command may hold without `control::shell_word`.
#[cfg(target_os = "linux")]
const NUMBERS: [&str; 3] = ["{change}", "{generation}", "{number}"];

#[cfg(target_os = "linux")]
#[test]
fn what_a_message_puts_into_a_command_is_a_word_to_the_shell() {
    let (mut put, mut wrong) = (0, Vec::new());
    for (file, text) in sources_of_messages() {
        let whole = joined(&text);
        let advised = ADVISED.iter().flat_map(|name| whole.split(name).skip(1));
        for said in advised.filter_map(|rest| rest.split(['`', '"', ';', '\n']).next()) {
            for part in put_into(said) {
                put += 1;
                let is_word = part.ends_with("_word}") || part.ends_with("_words}");
                if !is_word && !NUMBERS.contains(&part.as_str()) {
                    wrong.push(format!("{}: {part} in: {said}", file.display()));
                }
            }
        }
    }
    assert!(put > 10, "{put}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(put_into("- {0} { $file }"), ["{0}", "{file}"]);
    assert_eq!(put_into("why --record '{{…}}'\\n{more}"), [""; 0]);
}

/// The names of what is put into a command: `{name}` in Rust, `{ $name }` in a catalogue of texts.
#[cfg(target_os = "linux")]
fn put_into(said: &str) -> Vec<String> {
    // A sentence may follow in the next line; two braces stand for one that is printed.
    let said = said.split("\\n").next().unwrap_or(said);
    let said = said.replace("{{", "");
    let behind = said.split('{').skip(1);
    behind
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| format!("{{{}}}", name.trim().trim_start_matches('$')))
        .collect()
}

/// The files that the firewall's messages stand in, and what is in them.
#[cfg(target_os = "linux")]
fn sources_of_messages() -> impl Iterator<Item = (PathBuf, String)> {
    let firewall = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    [
        "app", "cli", "control", "fetcher", "rules", "service", "view",
    ]
    .iter()
    .flat_map(|part| ["src", "texts"].map(|below| firewall.join(part).join(below)))
    .flat_map(|folder| files_below(&folder))
    .map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file, text)
    })
}

/// The files of code and of texts below a folder.
#[cfg(target_os = "linux")]
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            let ends = path.extension().and_then(|end| end.to_str());
            match ends {
                _ if path.is_dir() => files_below(&path),
                Some("rs" | "ftl") => vec![path],
                _ => Vec::new(),
            }
        })
        .collect()
}

/// Returns the arguments behind each mention of a program's name in a text.
#[cfg(target_os = "linux")]
fn commands_named(text: &str, program: &str) -> Vec<String> {
    joined(text)
        .split(program)
        .skip(1)
        .filter_map(|rest| {
            // Two blanks stand between the columns of an example.
            let rest = rest.split("  ").next()?;
            let said = rest
                .split(['`', '"', '|', ';', ',', '(', ')', ':', '\n'])
                .next()?;
            let is_prose = PROSE
                .iter()
                .any(|word| said.split(' ').next() == Some(*word));
            (said.starts_with(|first: char| first.is_ascii_lowercase()) && !is_prose)
                .then(|| said.to_owned())
        })
        .collect()
}

/// A source with each string of Rust's that goes on in the next line in one.
#[cfg(target_os = "linux")]
fn joined(text: &str) -> String {
    text.split("\\\n").map(str::trim_start).collect()
}

/// The first word that is no command or option there is.
#[cfg(target_os = "linux")]
fn unknown_word(said: &str) -> Option<String> {
    let mut command = cli::command();
    let mut is_argument = false;
    for word in said.split_whitespace() {
        let word = word.trim_end_matches(['.', '\'', '\\']);
        let option = word
            .strip_prefix("--")
            .and_then(|option| option.split('=').next());
        if let Some(option) = option {
            let is_there = option.is_empty()
                || option == "help"
                || command
                    .get_arguments()
                    .any(|known| known.get_long() == Some(option));
            if !is_there {
                return Some(word.to_owned());
            }
            is_argument = true;
        }
        if is_argument || !command.has_subcommands() {
            continue;
        }
        match command.find_subcommand(word) {
            Some(below) => command = below.clone(),
            None if word.chars().all(|each| each.is_ascii_lowercase()) => {
                return Some(word.to_owned());
            }
            None => is_argument = true,
        }
    }
    None
}

/// The fenced blocks of a document in one language.
fn blocks<'d>(document: &'d str, language: &str) -> Vec<&'d str> {
    let opening = format!("```{language}\n");
    document
        .split(&opening)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect()
}

const DOCUMENT: &str = include_str!("../../../docs/rules.md");

#[test]
fn every_example_in_the_rules_document_compiles_without_a_warning() {
    let examples = blocks(DOCUMENT, "toml");
    assert!(examples.len() >= 8, "{}", examples.len());
    for example in examples {
        let defaults = "[default]\ninbound = \"block\"\noutbound = \"allow\"\n";
        let text = if example.contains("[default]") {
            example.to_owned()
        } else {
            format!("{defaults}{example}")
        };
        match rules::parse("docs/rules.md", &text, &here()) {
            Ok(rules) => assert_eq!(rules.warnings(), [], "{example}"),
            Err(errors) => panic!("{errors}\n{example}"),
        }
    }
}

#[test]
fn the_rules_document_explains_every_key() {
    let schema: serde_json::Value =
        serde_json::from_slice(&gatebell(&["rules", "schema"]).stdout).unwrap();
    let (file, defs) = (&schema["properties"], &schema["$defs"]);
    for table in [
        &defs["rule"],
        &defs["set"],
        &defs["network"],
        &file["default"],
        &file["service"],
    ] {
        for key in table["properties"].as_object().unwrap().keys() {
            assert!(DOCUMENT.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}

#[test]
fn the_rules_document_states_the_limits_that_hold() {
    use engine::connection::longest_silence_ns;
    use firewall_abi::firewall::FlowEntry;
    use firewall_abi::rules::{MAX_PAGES, MAX_RULES, PAGE_BYTES};
    assert_eq!(
        (MAX_RULES, MAX_PAGES as usize * PAGE_BYTES),
        (16_128, 128 << 20)
    );
    assert!(DOCUMENT.contains("There is room for 16,128 rules") && DOCUMENT.contains("128 MiB"));
    let seconds = |protocol, state| {
        longest_silence_ns(
            protocol,
            &FlowEntry {
                state,
                ..FlowEntry::default()
            },
        ) / 1_000_000_000
    };
    let (answered, confirmed) = (
        FlowEntry::ANSWERED,
        FlowEntry::ANSWERED | FlowEntry::CONFIRMED,
    );
    assert_eq!([seconds(6, confirmed), seconds(17, confirmed)], [7200, 180]);
    assert_eq!(
        [seconds(6, 0), seconds(6, answered), seconds(17, answered)],
        [120, 60, 30]
    );
    assert!(DOCUMENT.contains(
        "after two hours of silence for TCP, three minutes otherwise, and after half a minute (a beginning of TCP\nafter one or two)"
    ));
}

/// Returns the machine for which the document's examples are right.
fn here() -> Place {
    let place = Place::default()
        .user("alice", 1000)
        .user("backup", 34)
        .user("root", 0);
    let programs = [
        "/usr/bin/curl",
        "/usr/bin/rsync",
        "/usr/bin/python3",
        "/usr/lib/firefox-esr/firefox-esr",
        "/usr/lib/gatebell/gatebell-fetch",
    ];
    let place = programs
        .iter()
        .zip(1..)
        .fold(place, |place, (path, inode)| {
            place.program(path, [1, inode])
        });
    let list = "192.0.2.1\n";
    place
        .file("lists/bad.txt", list)
        .file("https://lists.example.org/drop_v4.json", list)
}

/// Documents that tell people what to type; what the manual pages of the packages say is in the format of roff.
#[cfg(target_os = "linux")]
const DOCUMENTS: [(&str, &str); 14] = [
    ("README.md", include_str!("../../../README.md")),
    ("SECURITY.md", include_str!("../../../SECURITY.md")),
    ("CONTRIBUTING.md", include_str!("../../../CONTRIBUTING.md")),
    ("ARCHITECTURE.md", include_str!("../../../ARCHITECTURE.md")),
    ("docs/rules.md", DOCUMENT),
    ("docs/control.md", include_str!("../../../docs/control.md")),
    ("docs/history.md", include_str!("../../../docs/history.md")),
    ("docs/names.md", include_str!("../../../docs/names.md")),
    (
        "docs/languages.md",
        include_str!("../../../docs/languages.md"),
    ),
    ("docs/figures.md", include_str!("../../../docs/figures.md")),
    (
        "rules.toml",
        include_str!("../../../package/gatebell/rules.toml"),
    ),
    (
        "postinst",
        include_str!("../../../package/gatebell/postinst"),
    ),
    (
        "gatebelld.8",
        include_str!("../../../package/gatebell/gatebelld.8"),
    ),
    (
        "gatebell-app.1",
        include_str!("../../../package/gatebell-app/gatebell-app.1"),
    ),
];

#[cfg(target_os = "linux")]
#[test]
fn each_command_and_option_that_a_document_names_is_there() {
    let (mut named, mut wrong) = (0, Vec::new());
    for (document, text) in DOCUMENTS {
        for said in commands_named(&text.replace("\\-", "-"), "gatebell ") {
            named += 1;
            if let Some(unknown) = unknown_word(&said) {
                wrong.push(format!("{document}: `{unknown}` in: {said}"));
            }
        }
    }
    assert!(named > 100, "{named}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn every_command_that_a_document_shows_makes_sense() {
    use clap::Parser;
    let mut shown = 0;
    for (document, text) in DOCUMENTS {
        for line in text.lines().filter_map(command_shown) {
            shown += 1;
            let parsed = cli::Arguments::try_parse_from(words(line));
            assert!(parsed.is_ok(), "{document}: {line}");
        }
    }
    assert!(shown > 60, "{shown}");
}

/// The command of `gatebell` that a line of an example is, without what the shell does with it; `None` if it is another
/// program's, or a part of it is left to the reader.
#[cfg(target_os = "linux")]
fn command_shown(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("sudo ");
    let ends = [" #", " | ", " >", " <", "   "];
    let end = ends.iter().filter_map(|end| line.find(end)).min();
    let command = &line[..end.unwrap_or(line.len())];
    (line.starts_with("gatebell ") && !command.contains('…')).then_some(command)
}

/// Splits a command as a shell does, as far as single quotes go.
fn words(line: &str) -> Vec<String> {
    let quoted = |(number, part): (usize, &str)| {
        let parts: Vec<_> = if number % 2 == 1 {
            vec![part]
        } else {
            part.split_whitespace().collect()
        };
        parts.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    line.split('\'').enumerate().flat_map(quoted).collect()
}
