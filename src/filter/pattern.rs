//! Regular expressions.

use super::Malformed;
use regex_lite::Regex;
use std::ops::Range;

/// A regular expression. Its time is linear in the length of a message, whatever the expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// The place of an error is looked for in expressions of at most this length, in bytes.
const LONGEST_EXPLAINED: usize = 1000;

impl Pattern {
    /// Parses a regular expression.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Regex::new(text).map(Self).map_err(|error| {
            let reason = error.to_string();
            Malformed { span: place(text, &reason), text: text.to_owned(), reason }
        })
    }

    /// Whether it matches somewhere in a message. What is not UTF-8 in it counts as U+FFFD.
    pub fn is_match(&self, payload: &[u8]) -> bool {
        self.0.is_match(&String::from_utf8_lossy(payload))
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The library does not say where an error is. It is at the end of the shortest start of the text that is wrong in the same way.
fn place(text: &str, reason: &str) -> Range<usize> {
    let is_wrong = |end: usize| {
        let start = text.get(..end).unwrap_or_default();
        Regex::new(start).is_err_and(|error| error.to_string() == reason)
    };
    let mut letters = text.char_indices().map(|(at, letter)| at..at + letter.len_utf8());
    if text.len() > LONGEST_EXPLAINED {
        return 0..text.len();
    }
    letters.find(|letter| is_wrong(letter.end)).unwrap_or(0..text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_place_of_an_error_is_found() {
        for (text, at) in [("ab(c", 2), ("*a", 0), ("a[z-b]x", 4), ("x)", 1), ("é(", 2)] {
            let malformed = Pattern::parse(text).expect_err(text);
            assert_eq!(malformed.span.start, at, "{malformed:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_can_be_matched() {
        let pattern = Pattern::parse("^a.b$").expect("an expression");
        assert!(pattern.is_match(b"a\xffb") && pattern.is_match("aéb".as_bytes()) && !pattern.is_match(b"ab"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_an_error(text in "[a-c()\\[\\]*+?{}|\\\\^$.0-9é-]{0,12}") {
            if let Err(malformed) = Pattern::parse(&text) {
                prop_assert!(text.get(malformed.span).is_some());
            }
        }
    }
}
