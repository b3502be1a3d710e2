//! Fuzzes requests on the control socket: answered, refused by name or hung up on, in whatever bites they come.
#![no_main]

use gatebell_fuzz::Bytes;
use service::control_server::fuzzing::Talk;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| any_requests_are_answered_or_hung_up_on(bytes));

/// Number of spaces before a request: with them it is longer than one who is not root may make it.
const LONG: usize = 17 << 10;

fn any_requests_are_answered_or_hung_up_on(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let [how, bite] = bytes.array();
    let mut said = if how & 2 == 0 {
        Vec::new()
    } else {
        vec![b' '; LONG]
    };
    said.extend_from_slice(bytes.take(usize::MAX));
    let may_change = how & 1 == 1;
    let answers = answered(may_change, [said.as_slice()]);
    for answer in answers.split_inclusive(|byte| *byte == 0) {
        let (end, object) = answer.split_last().expect("an answer");
        assert_eq!(*end, 0, "half an answer");
        assert!(
            object.starts_with(b"{") && object.ends_with(b"}"),
            "{}",
            String::from_utf8_lossy(object)
        );
        assert!(
            std::str::from_utf8(object).is_ok(),
            "an answer that is no text"
        );
    }
    // In bites of one byte a long one takes long and says no more.
    let bite = usize::from(bite).max(said.len() / 256 + 1);
    assert_eq!(
        answered(may_change, said.chunks(bite)),
        answers,
        "other answers, in bites of {bite}"
    );
}

fn answered<'a>(may_change: bool, bites: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut talk, mut answers) = (Talk::begin(may_change), Vec::new());
    for bite in bites {
        if !talk.say(bite, &mut answers) {
            break;
        }
    }
    answers
}
