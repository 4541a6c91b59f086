//! Errors in addresses: what is wrong, with a caret below the place.

use crate::{access::without_secrets, error::Error};
use std::ops::Range;

/// The error of a specifier that cannot be parsed.
pub struct SpecError {
    /// What is wrong.
    pub message: String,
    /// Where in the specifier, in bytes.
    pub span: Range<usize>,
    /// What to type instead.
    pub advice: Option<String>,
}

impl SpecError {
    /// Makes a usage error: one line that says what is wrong, and a hint with the specifier, a caret line and advice.
    pub fn into_error(self, text: &str) -> Error {
        // Count characters, not bytes, so that the caret is in the right column after non-ASCII text.
        let before = text[..self.span.start].chars().count();
        let width = text[self.span.clone()].chars().count().max(1);
        let advice = self.advice.map(|advice| format!(" {advice}")).unwrap_or_default();
        let shown = without_secrets(text);
        let carets = match shown == text {
            true => format!("\n  {text}\n  {}{}{advice}", " ".repeat(before), "^".repeat(width)),
            // With the secret hidden the columns are others.
            false => format!("\n  {shown}{advice}"),
        };
        Error::usage_hint(format!("invalid address `{shown}`: {}", self.message), carets)
    }
}
