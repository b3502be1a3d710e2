//! Meaning of a line typed at `gatebell ask`.

use control::{Given, Question};
use view::question::{self, Choice};
use view::text;

/// Returns the help on the keys that can be typed.
pub fn keys() -> String {
    format!(
        "{}, {} leave it, {} {}, q quit; then {}; then {}: `a` is `amp`, `bwe` blocks the program for always, `ac` allows this one \
         connection; where it is about many places `a` is `ame`, and `ap` is those listed",
        Choice::keys(&question::VERDICTS),
        question::LEAVE,
        question::MUTE,
        text!("choice-mute"),
        Choice::keys(&question::LASTS),
        Choice::keys(&question::WIDTHS)
    )
}

/// Meaning of a typed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    Given(Given),
    Skip,
    Quit,
    Nothing,
}

impl Typed {
    /// Parses a line typed about a question, if one waits; returns `None` if it has no known meaning.
    pub fn of(line: &str, asked: Option<&Question>) -> Option<Self> {
        let line = line.trim();
        let mut keys = line.chars();
        let allow = match keys.next() {
            None => return Some(Self::Nothing),
            Some('q') if line.len() == 1 => return Some(Self::Quit),
            Some(question::LEAVE) if line.len() == 1 => return Some(Self::Skip),
            // Where none waits it is said that none does.
            Some(question::MUTE) if line.len() == 1 => {
                return Some(asked.map_or(Self::Skip, |asked| Self::Given(question::mute(asked))));
            }
            Some(key) => Choice::of(&question::VERDICTS, key)?,
        };
        let mut given = asked.map_or(question::usual(allow), |asked| {
            question::usual_for(asked, allow)
        });
        let mut rest = keys.peekable();
        if let Some(lasts) = rest
            .peek()
            .and_then(|key| Choice::of(&question::LASTS, *key))
        {
            given.lasts = lasts;
            rest.next();
        }
        if let Some(width) = rest
            .peek()
            .and_then(|key| Choice::of(&question::WIDTHS, *key))
        {
            given.width = width;
            rest.next();
        }
        let makes_sense = question::can_be_wide(given.lasts, given.width);
        (rest.next().is_none() && makes_sense).then_some(Self::Given(given))
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::about_many;
    use super::*;
    use control::Lasts;
    use firewall_abi::asking::Width;

    #[test]
    fn a_verdict_alone_is_about_the_program_where_it_is_asked_about_many_places_and_one_key_mutes_it()
     {
        let many = about_many(7, 1..=8, 0);
        let given = |line, asked| match Typed::of(line, asked) {
            Some(Typed::Given(given)) => Some(given),
            _ => None,
        };
        let wide = given("a", Some(&many)).expect("an answer");
        assert!(wide.allow && wide.width == Width::Anywhere);
        assert_eq!(given("ap", Some(&many)), Some(question::usual(true)));
        assert_eq!(given("a", None), Some(question::usual(true)));
        assert_eq!(given("n", Some(&many)), Some(question::mute(&many)));
        assert_eq!(Typed::of("n", None), Some(Typed::Skip));
        assert_eq!(Typed::of("na", Some(&many)), None);
    }

    #[test]
    fn a_key_is_an_answer_and_more_keys_say_for_how_long_and_about_what() {
        let given = |line: &str| match Typed::of(line, None) {
            Some(Typed::Given(Given {
                allow,
                width,
                lasts,
            })) => Some((allow, width, lasts)),
            _ => None,
        };
        let usual = question::USUAL;
        assert_eq!(given("a"), Some((true, Width::Endpoint, usual)));
        assert_eq!(given(" b "), Some((false, Width::Endpoint, usual)));
        assert_eq!(given("ae"), Some((true, Width::Anywhere, usual)));
        assert_eq!(given("bwe"), Some((false, Width::Anywhere, Lasts::Always)));
        assert_eq!(given("aro"), Some((true, Width::Port, Lasts::UntilRestart)));
        assert_eq!(
            given("ac"),
            Some((true, Width::Endpoint, Lasts::Connection))
        );
        assert_eq!(
            given("bcp"),
            Some((false, Width::Endpoint, Lasts::Connection))
        );
        assert_eq!(given("ate"), Some((true, Width::Anywhere, Lasts::Process)));
        // A connection is to one endpoint.
        for nothing in ["x", "aa", "ax", "awpp", "apw", "allow", "A", "ace", "aco"] {
            assert_eq!(Typed::of(nothing, None), None, "{nothing}");
        }
        assert_eq!(Typed::of("q", None), Some(Typed::Quit));
        assert_eq!(Typed::of("", None), Some(Typed::Nothing));
    }
}
