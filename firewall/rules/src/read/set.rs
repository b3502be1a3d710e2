//! Reads sets and their lists.

use crate::list::{self, List};
use crate::report::{Finding, Report};
use crate::resolver::{Resolver, SetFile};
use crate::section::Section;
use crate::set::{Members, Set, Subscription, grouped};
use crate::value::{
    addresses, boolean, host, id, list_address, refresh, resolver as resolver_of_names, text,
};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

const SET_KEYS: &[&str] = &[
    "id",
    "addresses",
    "file",
    "url",
    "refresh",
    "names",
    "resolvers",
    "except",
    "strict",
    "comment",
];
/// Highest number of host names in a set.
const MOST_NAMES: usize = 4096;
/// Highest number of sets in a file whose lists are fetched.
const MOST_FETCHED: usize = 64;

/// A set, its members, and the places of its name and its file's name in the text.
pub(super) type ReadSet = (Set, Members, [Range<usize>; 2]);

pub(super) fn set(
    table: &DeTable<'_>,
    place: Range<usize>,
    report: &mut Report<'_>,
    resolver: &dyn Resolver,
) -> ReadSet {
    let mut section = Section {
        table,
        place: place.clone(),
        report,
    };
    section.unknown_keys(SET_KEYS);
    let id_place = section.value("id").map_or(place.clone(), Spanned::span);
    let name = section
        .required("id", "\"bad-hosts\"", id)
        .unwrap_or_default();
    let mut members = Members::default();
    // An empty list is a set that is filled while the rules are in force.
    let is_filled_later = section.value("addresses").is_some_and(|value| {
        let list = value.get_ref().as_array();
        list.is_some_and(|list| list.is_empty())
    });
    if !is_filled_later {
        section
            .several("addresses", addresses)
            .into_iter()
            .for_each(|addresses| members.add(addresses));
    }
    let except = section.several("except", addresses);
    let strict = section.optional("strict", boolean).unwrap_or(false);
    let file = section.optional("file", text);
    let subscription = subscription(&mut section);
    let list_place = ["file", "url"]
        .iter()
        .find_map(|key| section.value(key))
        .map_or(place.clone(), Spanned::span);
    let mut is_awaited = false;
    let mut found = None;
    if let Some(path) = &file {
        found = Some(resolver.set_file(path));
    } else if let Some(list) = &subscription {
        found = Some(resolver.fetched(&list.url).and_then(|fetched| {
            is_awaited = fetched.is_none();
            fetched.ok_or_else(|| format!("{} has not been fetched yet", list.shown()))
        }));
    } else if ["addresses", "file", "url", "names"]
        .iter()
        .all(|key| section.value(key).is_none())
    {
        let message = "this set holds nothing; add addresses = [\"192.0.2.0/24\"], file = \"list.txt\", url = \"https://…\" or names = [\"example.org\"]; \
                       addresses = [] is a set that is filled while it runs: gatebell set add";
        section.report.missing(place, message);
    }
    let key = list_key(subscription.is_some());
    let found = found.map(|file| {
        file.and_then(|file| listed(&file, strict, (key, &list_place), section.report))
    });
    let mut trouble = None;
    match found {
        Some(Ok(more)) => members.append(more),
        Some(Err(wrong)) => trouble = Some(wrong),
        None => {}
    }
    let names = section.several("names", host);
    if let Some(value) = section.value("names").filter(|_| names.len() > MOST_NAMES) {
        let message = format!(
            "`names`: there are {}, and {} is the most of a set; *.example.org is all that lies below a domain",
            grouped(names.len()),
            grouped(MOST_NAMES)
        );
        section.report.error(value.span(), message);
    }
    let resolvers = section.several("resolvers", resolver_of_names);
    if let Some(value) = section
        .value("resolvers")
        .filter(|_| section.value("names").is_none())
    {
        let message = "`resolvers` goes with `names`";
        section.report.error(value.span(), message);
    }
    let comment = section.optional("comment", text);
    let line = section.report.line(id_place.start);
    let entries = members.entries();
    members.except(&except);
    (
        Set {
            id: name,
            line,
            file,
            subscription,
            is_awaited,
            entries,
            trouble,
            except,
            names,
            resolvers,
            comment,
        },
        members,
        [id_place, list_place],
    )
}

/// Reads the URL that a set's list is fetched from, and how often.
fn subscription(section: &mut Section<'_, '_, '_>) -> Option<Subscription> {
    let url = section.optional("url", list_address);
    let refresh = section.optional("refresh", refresh);
    let wrong = |key| section.value(key).map(Spanned::span);
    let wrong = match (wrong("file"), wrong("url"), wrong("refresh")) {
        (Some(_), Some(url), _) => Some((
            url,
            "a set has a `file` or a `url`, not both; a rule may ask for two sets",
        )),
        (_, None, Some(refresh)) => Some((refresh, "`refresh` goes with `url`")),
        _ => None,
    };
    if let Some((place, message)) = wrong {
        section.report.error(place, message.to_owned());
    }
    Some(Subscription {
        url: url?,
        refresh: refresh.unwrap_or(Subscription::USUAL_REFRESH),
    })
}

/// Reports a file with too many fetched lists: the service fetches them all, one after the other.
pub(super) fn check_fetched(sets: &[ReadSet], report: &mut Report<'_>) {
    let mut fetched = sets.iter().filter(|(set, ..)| set.subscription.is_some());
    if let Some((.., [_, place])) = fetched.nth(MOST_FETCHED) {
        let message = format!("`url`: at most {MOST_FETCHED} lists of a file are fetched");
        report.error(place.clone(), message);
    }
}

/// Returns the key that names a set's list.
const fn list_key(is_fetched: bool) -> &'static str {
    if is_fetched { "url" } else { "file" }
}

/// Reads the members of a set from its file, and reports wrong entries.
fn listed(
    file: &SetFile,
    strict: bool,
    (key, place): (&str, &Range<usize>),
    report: &mut Report<'_>,
) -> Result<Members, String> {
    if let Some(trouble) = &file.trouble {
        report.trouble(place.clone(), format!("`{key}`: {trouble}"));
    }
    let List {
        members,
        remarks,
        wrong,
        ..
    } = list::read(file).map_err(|what| format!("{} is no list: {what}", file.name))?;
    for remark in remarks {
        report.warning_elsewhere(Finding {
            file: file.name.clone(),
            line: remark.line,
            column: remark.column,
            message: remark.message,
        });
    }
    if strict && wrong > 0 {
        return Err(format!(
            "{} has entries that can't be read ({}), and the set is strict",
            file.name,
            grouped(wrong)
        ));
    }
    Ok(members)
}

/// Returns the sets, and the members of those that a rule asks for.
pub(super) fn asked_sets(
    sets: Vec<ReadSet>,
    asked: &[bool],
    report: &mut Report<'_>,
) -> (Vec<Set>, Vec<Members>) {
    let mut kept = (
        Vec::with_capacity(sets.len()),
        Vec::with_capacity(sets.len()),
    );
    for ((set, members, [place, file]), asked) in sets.into_iter().zip(asked) {
        if !asked {
            report.warning(
                place,
                format!(
                    "no rule asks for the set `{0}`; one would by \"@{0}\"",
                    set.id
                ),
            );
        } else if let Some(trouble) = &set.trouble {
            report.trouble(
                file,
                format!(
                    "`{}`: {trouble}; until it can be read, rules that block take `@{}` for every address but those of \
                     its `except`, and rules that allow for none that is not in its `addresses`",
                    list_key(set.subscription.is_some()),
                    set.id
                ),
            );
        } else if set.entries == 0 && (set.file.is_some() || set.subscription.is_some()) {
            report.warning(
                place,
                format!("the set `{}` is empty: it holds no address", set.id),
            );
        }
        kept.0.push(set);
        kept.1
            .push(if *asked { members } else { Members::default() });
    }
    kept
}
