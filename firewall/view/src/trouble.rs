//! Troubles of the service in words: for the command line and for the window.

use crate::text;
use control::{FetchFailure, Status, SubscribedList, TroubleCause, TroubleStatus, shell_word};

/// Returns all troubles in words, worst first.
#[must_use]
pub fn troubles(status: &Status) -> Vec<String> {
    let troubles = status.trouble.iter();
    troubles
        .map(|trouble| words(trouble, &status.lists))
        .collect()
}

/// Describes a trouble, and what to do, where these are the lists. In English the service says all of it; in another
/// language what it says is told apart from what is known by its kind.
#[must_use]
pub fn words(trouble: &TroubleStatus, lists: &[SubscribedList]) -> String {
    let TroubleStatus {
        cause,
        about,
        detail,
    } = trouble;
    let detail = detail.as_str();
    let set = about.as_deref().unwrap_or_default();
    let Some(cause) = TroubleCause::named(cause) else {
        return text!("trouble-other", cause = cause, detail = detail);
    };
    match cause {
        TroubleCause::Hooks => text!("trouble-hooks", detail = detail),
        TroubleCause::StandIn => text!("trouble-stand-in", detail = detail),
        TroubleCause::RuleFile => text!("trouble-rule-file", detail = detail),
        TroubleCause::Missing => text!("trouble-missing", detail = detail),
        TroubleCause::Lease => text!("trouble-lease", detail = detail),
        TroubleCause::Rules => text!("trouble-rules", detail = detail),
        TroubleCause::Networks => text!("trouble-networks", detail = detail),
        TroubleCause::Routes => text!("trouble-routes", detail = detail),
        TroubleCause::Programs => text!("trouble-programs", detail = detail),
        TroubleCause::Members => text!("trouble-members", detail = detail),
        TroubleCause::AskedAgain => text!("trouble-asked-again", detail = detail),
        TroubleCause::Answers => text!("trouble-answers", detail = detail),
        TroubleCause::AnswersAskedAgain => text!("trouble-answers-asked-again", detail = detail),
        TroubleCause::Sweep => text!("trouble-sweep", detail = detail),
        TroubleCause::History => text!("trouble-rule-file-states", detail = detail),
        TroubleCause::Answering => text!("trouble-answering", detail = detail),
        TroubleCause::Fallback => text!("trouble-fallback", detail = detail),
        TroubleCause::DeviceServer => text!("trouble-device-server", detail = detail),
        TroubleCause::Lists => text!("trouble-lists", detail = detail),
        TroubleCause::ListNotTaken => text!(
            "trouble-list-not-taken",
            set = set,
            set_word = shell_word(set).into_owned(),
            detail = detail,
        ),
        TroubleCause::ListOld => {
            let list = lists.iter().find(|list| list.set == set);
            let failed = list.and_then(|list| list.failed.as_ref());
            let why = failed.map_or_else(|| text!("list-nobody-fetches"), fetch_failure);
            text!("trouble-list-old", set = set, why = why)
        }
        TroubleCause::ProgramFiles => text!("trouble-program-files", detail = detail),
        TroubleCause::Kept => text!("trouble-kept", detail = detail),
        TroubleCause::LostMembers => text!("trouble-lost-members", detail = detail),
        TroubleCause::AnswersFile => text!("trouble-answers-file", detail = detail),
        TroubleCause::State => text!("trouble-state", detail = detail),
        TroubleCause::Names => text!("trouble-names", detail = detail),
        TroubleCause::NamedSets => text!("trouble-named-sets", detail = detail),
        TroubleCause::Rejected => text!("trouble-rejected", detail = detail),
        TroubleCause::Recorder => text!("trouble-recorder", detail = detail),
        TroubleCause::HistoryRows => text!("trouble-history-rows", detail = detail),
    }
}

/// Describes the reason for which a list could not be fetched.
#[must_use]
pub fn fetch_failure(failure: &FetchFailure) -> String {
    let FetchFailure { kind, detail } = failure;
    let detail = detail.as_deref().unwrap_or_default();
    match kind.as_str() {
        "status" => text!("fetch-status", detail = detail),
        "no_end" => text!("fetch-no-end"),
        "too_long" => text!("fetch-too-long", detail = detail),
        "too_slow" => text!("fetch-too-slow", detail = detail),
        "unknown_host" => text!("fetch-unknown-host"),
        "redirects" => text!("fetch-redirects", detail = detail),
        "without_tls" => text!("fetch-without-tls"),
        "cut_off" => text!("fetch-cut-off"),
        "not_written" => text!("fetch-not-written", detail = detail),
        "no_roots" => text!("fetch-no-roots", detail = detail),
        _ => text!("fetch-other", kind = kind, detail = detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::{Language, speaking};
    use store::lists::FetchFailureKind;

    #[test]
    fn every_trouble_is_said_by_its_cause_in_each_language_with_what_the_service_says_of_it() {
        let said = |language: Language| -> Vec<String> {
            let _spoken = speaking(language);
            let of = |cause| TroubleStatus::of(cause, Some("a b".to_owned()), "no room".to_owned());
            TroubleCause::ALL.map(|cause| words(&of(cause), &[])).into()
        };
        let english = said(Language::English);
        let german = said(Language::German);
        for ((cause, english), german) in TroubleCause::ALL.iter().zip(&english).zip(&german) {
            if *cause != TroubleCause::ListOld {
                assert!(english.contains("no room"), "{cause:?}: {english}");
                assert!(german.contains("no room"), "{cause:?}: {german}");
            }
            assert_ne!(english, german, "{cause:?}");
        }
        let not_taken = &english[TroubleCause::ListNotTaken as usize];
        assert!(
            not_taken.contains("`gatebell set refresh 'a b' --take`"),
            "{not_taken}"
        );
        let later = TroubleStatus {
            cause: "of_a_later_release".to_owned(),
            about: None,
            detail: "no room".to_owned(),
        };
        assert_eq!(words(&later, &[]), "of_a_later_release: no room");
    }

    #[test]
    fn why_a_list_could_not_be_fetched_is_said_by_its_kind() {
        let of = |kind: &str| FetchFailure {
            kind: kind.to_owned(),
            detail: Some("5 s".to_owned()),
        };
        let other = fetch_failure(&of("of_a_later_release"));
        assert_eq!(other, "of_a_later_release: 5 s");
        for kind in FetchFailureKind::ALL {
            let words = fetch_failure(&of(kind.name()));
            let is_other = words == format!("{}: 5 s", kind.name());
            assert_eq!(is_other, kind == FetchFailureKind::Other, "{words}");
        }
        let list = SubscribedList {
            set: "bad".to_owned(),
            failed: Some(of("too_slow")),
            ..SubscribedList::default()
        };
        let old = TroubleStatus::of(TroubleCause::ListOld, Some("bad".to_owned()), String::new());
        assert_eq!(
            words(&old, &[list]),
            "the list of the set `bad` is old, and the last good one stays: it takes longer than 5 s"
        );
    }
}
