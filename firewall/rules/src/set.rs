//! Sets of addresses, in the rule file itself or in files, such as public block lists.

use crate::HostPattern;
use crate::address::Addresses;
use crate::compile::{Key, joined};
use std::net::IpAddr;
use std::time::Duration;

/// A named set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Name of the set, unique in the file; rules ask for it as `@name`.
    pub id: String,
    /// Line of the file that the name stands in, from 1.
    pub line: usize,
    /// File that holds addresses of it, as the rule file names it.
    pub file: Option<String>,
    /// Subscription to a published list that holds addresses of it.
    pub subscription: Option<Subscription>,
    /// `true` if that list was never fetched.
    pub is_awaited: bool,
    /// Number of its entries, those of its file included.
    pub entries: usize,
    /// Reason for which the contents of its file are not known. Rules that block then take the set to hold all but
    /// [`Set::except`], rules that allow only what the rule file itself lists.
    pub trouble: Option<String>,
    /// Addresses that it does not hold, whatever its file says.
    pub except: Vec<Addresses>,
    /// Host names whose addresses join it while DNS answers give them.
    pub names: Vec<HostPattern>,
    /// DNS resolvers whose answers count for that; if empty, those that this machine asks.
    pub resolvers: Vec<IpAddr>,
    /// Comment of the file on its purpose.
    pub comment: Option<String>,
}

/// Subscription to a published list, which is fetched again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// URL of the list.
    pub url: String,
    /// Interval at which it is fetched again.
    pub refresh: Duration,
}

impl Subscription {
    /// Interval of lists whose set gives none.
    pub const USUAL_REFRESH: Duration = Duration::from_secs(24 * 60 * 60);

    /// Returns the URL without its query (behind a question mark), which may be a secret of the subscriber.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

impl Set {
    /// Returns the addresses that the set may hold while its file is not known; none if it is known.
    pub(crate) fn presumed(&self) -> Vec<Addresses> {
        if self.trouble.is_none() {
            return Vec::new();
        }
        let v4: Vec<_> = self.except.iter().filter_map(|a| a.v4()).collect();
        let v6: Vec<_> = self.except.iter().filter_map(|a| a.v6()).collect();
        let v4 = outside(&v4).into_iter().map(Addresses::of_v4);
        v4.chain(outside(&v6).into_iter().map(Addresses::of_v6))
            .collect()
    }
}

/// Addresses of a set, as ranges, in any order, with duplicates.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) v4: Vec<(u32, u32)>,
    pub(crate) v6: Vec<(u128, u128)>,
}

impl Members {
    pub(crate) fn add(&mut self, addresses: Addresses) {
        self.v4.extend(addresses.v4());
        self.v6.extend(addresses.v6());
    }

    pub(crate) fn append(&mut self, mut more: Self) {
        self.v4.append(&mut more.v4);
        self.v6.append(&mut more.v6);
    }

    /// Removes these addresses.
    pub(crate) fn except(&mut self, except: &[Addresses]) {
        if except.is_empty() {
            return;
        }
        let v4: Vec<_> = except.iter().filter_map(|a| a.v4()).collect();
        let v6: Vec<_> = except.iter().filter_map(|a| a.v6()).collect();
        self.v4 = without(std::mem::take(&mut self.v4), &v4);
        self.v6 = without(std::mem::take(&mut self.v6), &v6);
    }

    pub(crate) fn entries(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// Returns the spans without the parts that lie in `except`.
fn without<K: Key>(spans: Vec<(K, K)>, except: &[(K, K)]) -> Vec<(K, K)> {
    let outside = outside(except);
    let mut kept = Vec::new();
    let mut from = 0;
    for (first, last) in joined(spans) {
        // Those that end before this span do so before all that follow it, too.
        from += outside
            .iter()
            .skip(from)
            .take_while(|(_, end)| *end < first)
            .count();
        let meeting = outside
            .iter()
            .skip(from)
            .take_while(|(start, _)| *start <= last);
        kept.extend(meeting.map(|(start, end)| (first.max(*start), last.min(*end))));
    }
    kept
}

/// Returns, as spans, all values that are in none of these spans.
pub(crate) fn outside<K: Key>(spans: &[(K, K)]) -> Vec<(K, K)> {
    let mut rest = Vec::new();
    let mut from = Some(K::default());
    for (first, last) in joined(spans.to_vec()) {
        if let (Some(from), Some(before)) = (from, first.before())
            && from <= before
        {
            rest.push((from, before));
        }
        from = last.next();
    }
    rest.extend(from.map(|from| (from, K::HIGHEST)));
    rest
}

/// Writes a number with separators between thousands: `1,234`.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
