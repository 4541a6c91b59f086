//! JSON texts with colour and indentation. Names, numbers and their order stay as they were written.

use super::style::{Style, escaped};
use serde_json::Value;

/// A longer text is not looked at, in bytes.
const LONGEST: usize = 1 << 20;

/// The text in colour, over several lines if `indented`. `None` if it is not a JSON object or array.
pub fn pretty(text: &str, style: Style, indented: bool) -> Option<String> {
    let is_container = text.trim_start().starts_with(['{', '[']) && text.len() <= LONGEST;
    // Only whether it is valid matters: a value would not keep what was written.
    if !is_container || serde_json::from_str::<Value>(text).is_err() {
        return None;
    }
    let mut out = String::with_capacity(2 * text.len());
    let mut depth = 0;
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '{' | '[' | '}' | ']' | ',' | ':' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || ",]}".contains(c)).unwrap_or(rest.len()).max(1),
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = behind.trim_start();
        match first {
            '{' | '[' => {
                out.push(first);
                if rest.starts_with(['}', ']']) {
                    out.push_str(rest.get(..1).unwrap_or_default());
                    rest = rest.get(1..).unwrap_or_default().trim_start();
                } else {
                    depth += 1;
                    line(&mut out, depth, indented);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth, indented);
                out.push(first);
            }
            ',' if indented => {
                out.push(first);
                line(&mut out, depth, indented);
            }
            ',' | ':' => {
                out.push(first);
                out.push(' ');
            }
            '"' if rest.starts_with(':') => style.push(&mut out, Style::NAME, &escaped(token)),
            '"' => style.push(&mut out, Style::STRING, &escaped(token)),
            't' | 'f' | 'n' => style.push(&mut out, Style::LITERAL, token),
            _ => style.push(&mut out, Style::NUMBER, token),
        }
    }
    Some(out)
}

fn line(out: &mut String, depth: usize, indented: bool) {
    if indented {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// The length of the string at the start, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Style = Style { color: false };

    #[test]
    fn what_was_written_stays_and_only_the_space_between_changes() {
        let text = r#"{"z":1.0,"a":[1e40,-0,12345678901234567890123],"a":{"s":"\"\\é\u001b","e":{},"l":[ ]},"t":true}"#;
        assert_eq!(
            pretty(text, PLAIN, false).expect("JSON"),
            r#"{"z": 1.0, "a": [1e40, -0, 12345678901234567890123], "a": {"s": "\"\\é\u001b", "e": {}, "l": []}, "t": true}"#
        );
        assert_eq!(pretty("[1,{\"a\":null}]", PLAIN, true).expect("JSON"), "[\n  1,\n  {\n    \"a\": null\n  }\n]");
        let color = pretty("{\"a\":1}", Style { color: true }, false).expect("JSON");
        assert_eq!(color, "{\x1b[1m\"a\"\x1b[0m: \x1b[36m1\x1b[0m}");
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        for text in ["", "{", "plain", "3", "\"text\"", "[1,]", "{\"a\":}", "[1] [2]", "\u{1b}[31m", &"[".repeat(5000)]
        {
            assert_eq!(pretty(text, PLAIN, true), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn indented_text_has_the_same_value(text in "[\\[\\]{}\",:0-9tn a\\\\]{0,30}", numbers in prop::collection::vec(any::<i32>(), 0..5)) {
            let value = serde_json::json!({"text": text, "list": numbers, "nested": [{}, [], {"x": [text]}]});
            for indented in [false, true] {
                let shown = pretty(&value.to_string(), PLAIN, indented).expect("JSON");
                prop_assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), value.clone());
            }
            let _ = pretty(&text, PLAIN, true);
        }
    }
}
