//! Text of strangers, as logs and errors show it: a request target, a close reason, a name in a certificate.

use crate::access::without_secrets;
use std::fmt::Write;

/// Bytes as a terminal shows them: control characters, format characters and what is not UTF-8 are escaped. Newlines, tabs and joiners,
/// which emoji contain, stay as they are, and so does a carriage return before a newline.
#[derive(Default)]
pub struct TerminalText {
    /// The last bytes, if what they mean depends on those that follow: a part of a character, or a carriage return.
    undecided: Vec<u8>,
}

impl TerminalText {
    /// Appends `bytes` to `shown`, except for what has to wait for the next ones.
    pub fn push(&mut self, bytes: &[u8], shown: &mut String) {
        let joined = match &*self.undecided {
            [] => None,
            undecided => Some([undecided, bytes].concat()),
        };
        self.undecided.clear();
        let mut chunks = joined.as_deref().unwrap_or(bytes).utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let (text, broken) = (chunk.valid(), chunk.invalid());
            let is_last = chunks.peek().is_none();
            match text.strip_suffix('\r') {
                Some(text) if is_last && broken.is_empty() => {
                    show(text, shown);
                    self.undecided.push(b'\r');
                }
                _ => show(text, shown),
            }
            if is_last && is_incomplete(broken) {
                self.undecided.extend_from_slice(broken);
            } else {
                show_bytes(broken, shown);
            }
        }
    }

    /// Appends what has waited for more bytes, which do not come.
    pub fn finish(&mut self, shown: &mut String) {
        show_bytes(&self.undecided, shown);
        self.undecided.clear();
    }
}

/// Whether more bytes can make a character of these, which are not UTF-8 by themselves.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn show_bytes(bytes: &[u8], shown: &mut String) {
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

fn show(text: &str, shown: &mut String) {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' | '\u{200c}' | '\u{200d}' => shown.push(letter),
            '\r' if letters.peek() == Some(&'\n') => shown.push(letter),
            _ if is_hidden(letter) => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
}

/// The first `most` bytes of a payload, in quotes and escaped so that they can be read back: `\n`, and in text `\u{1}` for a character,
/// in other data `\xff` for a byte. `…` says that there are more.
pub fn excerpt(payload: &[u8], most: usize) -> String {
    let start = payload.get(..most).unwrap_or(payload);
    let is_cut = start.len() < payload.len();
    let mut shown = match std::str::from_utf8(start) {
        Ok(text) => format!("{text:?}"),
        // The cut is within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            format!("{:?}", String::from_utf8_lossy(start.get(..error.valid_up_to()).unwrap_or_default()))
        }
        Err(_) => format!("\"{}\"", start.escape_ascii()),
    };
    shown.extend(is_cut.then_some('…'));
    shown
}

/// Escapes what steers a terminal or hides text from its reader: control characters, newlines among them, and format
/// characters, such as those that reverse the direction of what follows. Hides passwords of URLs and access tokens.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in without_secrets(text).chars() {
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
    fn on_a_terminal_only_line_ends_tabs_and_joiners_are_obeyed_however_the_bytes_are_cut() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        for (bytes, expected) in [
            (b"\x1b]0;owned\x07\x08" as &[u8], "\\u{1b}]0;owned\\u{7}\\u{8}"),
            (b"a\tb\nc\r\nd", "a\tb\nc\r\nd"),
            (b"over\rwritten\r", "over\\rwritten\\x0d"),
            (b"\xc2\x9b2J\x9b2J \xe2\x80\xae", "\\u{9b}2J\\x9b2J \\u{202e}"),
            (b"\xff\xc3", "\\xff\\xc3"),
            (family.as_bytes(), family),
        ] {
            for cut in 0..=bytes.len() {
                let (mut text, mut shown) = (TerminalText::default(), String::new());
                let (start, rest) = bytes.split_at(cut);
                text.push(start, &mut shown);
                text.push(rest, &mut shown);
                text.finish(&mut shown);
                assert_eq!(shown, expected, "cut at {cut}");
            }
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
