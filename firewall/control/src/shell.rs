//! Words of the commands that messages advise.

use std::borrow::Cow;

/// Quotes a word for a shell of Unix, if it needs that: a file's name may have blanks, a rule's a `$`.
///
/// A message that names a command puts nothing into it but such words and numbers; what holds one is called `…_word`.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    // Refused is a NUL alone, which no argument of a command can have.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_an_advised_command_is_one_word_to_a_shell_whatever_is_in_it() {
        for word in [
            "rules.toml",
            "/my files/Grüße; rm -rf $HOME",
            "a'b\"c`d",
            "",
            "~/x",
            "#x",
        ] {
            let file_word = shell_word(word);
            let said = format!("gatebell rules apply {file_word} --lease 60s");
            let words = shlex::split(&said).expect("a shell takes it");
            assert_eq!(
                words,
                ["gatebell", "rules", "apply", word, "--lease", "60s"]
            );
        }
        assert_eq!(
            shell_word("/etc/gatebell/rules.toml"),
            "/etc/gatebell/rules.toml"
        );
    }
}
