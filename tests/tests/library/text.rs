//! Tokens as text, the same whichever version of a library prints them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// Returns tokens as text, with a space only where it helps to read.
pub fn text(tokens: &impl ToTokens) -> String {
    let mut written = String::new();
    write(tokens.to_token_stream(), &mut written);
    // As people write them.
    for (from, to) in [
        (", )", ")"),
        (", }", " }"),
        (", >", ">"),
        (", ]", "]"),
        ("; ]", ";]"),
    ] {
        written = written.replace(from, to);
    }
    written.replace("->", " -> ").replace("  ", " ")
}

fn write(tokens: TokenStream, written: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => (" { ", " }"),
                    Delimiter::None => ("", ""),
                };
                written.push_str(open);
                write(group.stream(), written);
                written.push_str(close);
            }
            TokenTree::Punct(mark) => {
                let mark = mark.as_char();
                if matches!(mark, '=' | '+') && !written.ends_with([' ', '=']) {
                    written.push(' ');
                }
                if matches!(mark, '&' | '*' | '\'' | '<' | '!') && ends_in_colon(written) {
                    written.push(' ');
                }
                written.push(mark);
                if matches!(mark, ',' | '+' | ';') {
                    written.push(' ');
                }
            }
            word => {
                let follows = |c: char| {
                    c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '>' | '}' | '"' | '=')
                };
                if written.ends_with(follows) || ends_in_colon(written) {
                    written.push(' ');
                }
                written.push_str(&word.to_string());
            }
        }
    }
}

/// A type follows, and no path goes on.
fn ends_in_colon(written: &str) -> bool {
    written.ends_with(':') && !written.ends_with("::")
}
