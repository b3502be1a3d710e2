//! Texts in the language of the reader: every text of the window, and those that it has in common with the command
//! line, which says them in English.
//!
//! The texts are in two catalogues, `texts/en.ftl` and `texts/de.ftl`, in the format of Fluent; [`text!`](crate::text)
//! finds one by its key. Both are part of the program. Whoever starts a window says once which language it has
//! ([`speak`]); what is written for other programs is said in English whatever the window speaks ([`speaking`]).

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};

/// Value that stands in a text.
#[derive(Clone, Debug)]
pub struct Value<'a>(FluentValue<'a>);

/// Largest number that Fluent's numbers hold as it is. A larger one stands for itself, in the plural.
const MOST: u64 = 1 << f64::MANTISSA_DIGITS;

impl<'a> From<&'a str> for Value<'a> {
    fn from(word: &'a str) -> Self {
        Self(word.into())
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(word: &'a String) -> Self {
        Self(word.as_str().into())
    }
}

impl From<String> for Value<'_> {
    fn from(word: String) -> Self {
        Self(word.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self(if number <= MOST {
            number.into()
        } else {
            number.to_string().into()
        })
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self(number.into())
    }
}

impl From<u8> for Value<'_> {
    fn from(number: u8) -> Self {
        Self(number.into())
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        u64::try_from(number).unwrap_or(u64::MAX).into()
    }
}

type Bundle = FluentBundle<FluentResource>;

/// Returns a text of the catalogue in the language that is spoken: `text!("rules-hits", count = 7)`.
#[macro_export]
macro_rules! text {
    ($key:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::texts::find($key, &[$((stringify!($name), $crate::texts::Value::from($value))),*])
    };
}

/// Language with a catalogue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

/// Language of the window, once one was chosen.
static SPOKEN: OnceLock<Language> = OnceLock::new();

thread_local! {
    /// Language on this thread alone.
    #[cfg_attr(
        all(windows, target_env = "gnu"),
        expect(
            clippy::missing_const_for_thread_local,
            reason = "it is const; the macro makes a function of that on this system, and the lint sees the function"
        )
    )]
    static HERE: Cell<Option<Language>> = const { Cell::new(None) };
}

static ENGLISH: LazyLock<Bundle> = LazyLock::new(|| bundle(Language::English));
static GERMAN: LazyLock<Bundle> = LazyLock::new(|| bundle(Language::German));

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Returns the language's tag of BCP 47.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Returns the language that the desktop's user has chosen, or English if there is no catalogue of it.
    #[cfg(not(windows))]
    #[must_use]
    pub fn of_desktop() -> Self {
        Self::of_environment(|name| std::env::var(name).ok())
    }

    /// Returns the language that the desktop's user has chosen, or English if there is no catalogue of it.
    #[cfg(windows)]
    #[must_use]
    pub fn of_desktop() -> Self {
        let mut chosen = sys_locale::get_locales();
        chosen
            .find_map(|locale| Self::of_locale(&locale))
            .unwrap_or(Self::English)
    }

    /// Returns the language of the environment as POSIX and GNU's gettext have it: the first of `LC_ALL`, `LC_MESSAGES`
    /// and `LANG` that is set; before it the languages of `LANGUAGE`, unless it is C itself. C.UTF-8 is another locale;
    /// C among them ends the list.
    #[cfg_attr(windows, allow(dead_code, reason = "Windows is asked otherwise"))]
    fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set);
        let locale = locale.unwrap_or_else(|| "C".to_owned());
        let is_c = |locale: &str| matches!(locale, "C" | "POSIX");
        if is_c(&locale) {
            return Self::English;
        }
        let listed = set("LANGUAGE").unwrap_or_default();
        let chosen = listed.split(':').chain([locale.as_str()]);
        let mut chosen = chosen.take_while(|one| !is_c(one));
        chosen.find_map(Self::of_locale).unwrap_or(Self::English)
    }

    /// Returns the language of a locale such as `de_AT.UTF-8` or `de-CH`.
    fn of_locale(locale: &str) -> Option<Self> {
        let language = part_before(locale, &['_', '-', '.', '@']);
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.tag().eq_ignore_ascii_case(language))
    }

    const fn catalogue(self) -> &'static str {
        match self {
            Self::English => include_str!("../texts/en.ftl"),
            Self::German => include_str!("../texts/de.ftl"),
        }
    }

    fn bundle(self) -> &'static Bundle {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// Error of choosing a language that has no catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLanguage(String);

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(asked) = self;
        let known = Language::ALL.map(Language::tag).join(" or ");
        write!(f, "there are no texts in `{asked}`; choose {known}")
    }
}

impl std::error::Error for UnknownLanguage {}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, UnknownLanguage> {
        Self::of_locale(text).ok_or_else(|| UnknownLanguage(text.to_owned()))
    }
}

fn part_before<'a>(text: &'a str, ends: &[char]) -> &'a str {
    text.split(ends).next().unwrap_or_default()
}

/// Has every text said in this language from now on, on each thread. Only the first call counts: what is on the screen
/// already is in that language.
pub fn speak(language: Language) {
    let _only_once = SPOKEN.set(language);
}

/// Returns the language that is spoken.
#[must_use]
pub fn spoken() -> Language {
    let here = HERE.get().or_else(|| SPOKEN.get().copied());
    here.unwrap_or(Language::English)
}

/// Has texts said in this language on this thread, as long as the guard lives:
/// in English for a file that programs read.
#[must_use = "the language is spoken as long as this lives"]
pub fn speaking(language: Language) -> Speaking {
    Speaking {
        before: HERE.replace(Some(language)),
    }
}

/// Guard of the language on this thread; see [`speaking`].
#[derive(Debug)]
pub struct Speaking {
    before: Option<Language>,
}

impl Drop for Speaking {
    fn drop(&mut self) {
        HERE.set(self.before);
    }
}

/// Returns the text of a key with these values; see [`text!`](crate::text). A key without a text stands for itself: the
/// tests let none through.
#[must_use]
pub fn find(key: &str, values: &[(&'static str, Value<'_>)]) -> String {
    let bundle = spoken().bundle();
    let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
        return key.to_owned();
    };
    let values = values.iter().cloned();
    let values: FluentArgs<'_> = values.map(|(name, Value(value))| (name, value)).collect();
    let mut wrong = Vec::new();
    let text = bundle.format_pattern(pattern, Some(&values), &mut wrong);
    text.into_owned()
}

/// Reads a catalogue, made ready at the first text. What in it is no Fluent is left out: the tests let nothing such
/// through.
fn bundle(language: Language) -> Bundle {
    let tag = language.tag().parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // Only text from left to right: marks around each value would be shown as boxes, and be copied.
    bundle.set_use_isolating(false);
    let resource = FluentResource::try_new(language.catalogue().to_owned());
    let resource = resource.unwrap_or_else(|(resource, _)| resource);
    bundle.add_resource_overriding(resource);
    bundle
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
