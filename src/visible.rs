//! Text of strangers, as logs and errors show it: a request target, a close reason, a name in a certificate.

use crate::access::without_token;
use std::fmt::Write;

/// Escapes what steers a terminal or hides text from its reader: control characters, newlines among them, and format
/// characters, such as those that reverse the direction of what follows. Hides access tokens.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in without_token(text).chars() {
        if is_hidden(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The same for a JSON text, whose strings keep their value.
pub fn visible_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The control characters (general category Cc), the format characters (Cf), and the separators of lines and paragraphs.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_words_of_any_language_are_not() {
        for (text, shown) in [
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\r\nb\tc\u{7f}", "a\\r\\nb\\tc\\u{7f}"),
            ("exe.\u{202e}gpj", "exe.\\u{202e}gpj"),
            ("\u{2066}\u{feff}\u{e0041}", "\\u{2066}\\u{feff}\\u{e0041}"),
            ("Grüße, नमस्ते, 你好, שלום, e\u{301} 👋", "Grüße, नमस्ते, 你好, שלום, e\u{301} 👋"),
            ("C:\\new \"quoted\"", "C:\\new \"quoted\""),
        ] {
            assert_eq!(visible(text), shown);
            assert_eq!(visible(shown), shown, "a second time changes nothing");
        }
    }

    #[test]
    fn in_json_the_value_stays_the_same() {
        for text in ["\u{1b}[31m", "\u{9b}\u{7f}", "exe.\u{202e}gpj", "\u{e0041}", "Grüße"] {
            let json = visible_json(&serde_json::Value::from(text).to_string());
            assert!(!json.chars().any(is_hidden), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
