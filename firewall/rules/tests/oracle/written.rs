//! Writes a file of the oracle as text, and makes its resolver.

use super::{End, File, Span, Wish, verdict};
use crate::place::Place;
use std::fmt::{Display, Write};

pub fn text(file: &File) -> String {
    let action = |allow: bool, log: bool| verdict(allow, log).name();
    let mut text = String::from("[default]\n");
    for (name, (allow, log)) in ["inbound", "outbound", "forward"].iter().zip(file.defaults) {
        writeln!(
            text,
            "{name} = '{}'\nlog_{name} = {log}",
            action(allow, log)
        )
        .unwrap();
    }
    for (n, set) in file.sets.iter().enumerate() {
        let (here, there) = set.split_at(set.len() / 2);
        writeln!(text, "[[set]]\nid = 's{n}'").unwrap();
        list(&mut text, "addresses", here);
        if !there.is_empty() {
            writeln!(text, "file = 's{n}.txt'").unwrap();
        }
    }
    for (n, wish) in file.wishes.iter().enumerate() {
        let Wish {
            allow,
            log,
            enabled,
            ..
        } = *wish;
        writeln!(
            text,
            "[[rule]]\nid = 'r{n}'\naction = '{}'\nenabled = {enabled}\nlog = {log}",
            action(allow, log)
        )
        .unwrap();
        wish.direction
            .iter()
            .for_each(|way| writeln!(text, "direction = '{}'", way.name()).unwrap());
        let numbers: Vec<_> = wish.protocols.iter().map(ToString::to_string).collect();
        if !numbers.is_empty() {
            writeln!(text, "protocol = [{}]", numbers.join(",")).unwrap();
        }
        list(&mut text, "source", &wish.sources);
        list(&mut text, "destination", &wish.destinations);
        let range = |(first, last): &(u16, u16)| format!("{first}-{last}");
        list(
            &mut text,
            "source_ports",
            &wish.source_ports.iter().map(range).collect::<Vec<_>>(),
        );
        list(
            &mut text,
            "ports",
            &wish.ports.iter().map(range).collect::<Vec<_>>(),
        );
        for (key, numbers) in [
            (
                "icmp_type",
                wish.types.iter().map(|n| u32::from(*n)).collect::<Vec<_>>(),
            ),
            ("user", wish.users.clone()),
        ] {
            if !numbers.is_empty() {
                writeln!(text, "{key} = {numbers:?}").unwrap();
            }
        }
        list(&mut text, "interface", &wish.interfaces);
        list(&mut text, "out_interface", &wish.out_interfaces);
        list(
            &mut text,
            "program",
            &wish
                .programs
                .iter()
                .map(|n| format!("/p{n}"))
                .collect::<Vec<_>>(),
        );
    }
    text
}

fn list(text: &mut String, key: &str, items: &[impl Display]) {
    let items: Vec<_> = items.iter().map(|item| format!("'{item}'")).collect();
    if !items.is_empty() {
        writeln!(text, "{key} = [{}]", items.join(", ")).unwrap();
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(address, bits) => write!(f, "{address}/{bits}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Span(span) => span.fmt(f),
            Self::Set(set) => write!(f, "@s{set}"),
        }
    }
}

pub fn place(file: &File) -> Place {
    let mut place = Place::default()
        .program("/p1", [1, 1])
        .program("/p2", [1, 2]);
    for (n, set) in file.sets.iter().enumerate() {
        let lines: String = set[set.len() / 2..]
            .iter()
            .map(|span| format!("{span} # a comment\n"))
            .collect();
        place = place.file(&format!("s{n}.txt"), lines);
    }
    place
}
