//! Errors in addresses: what is wrong, with a caret below the place.

use crate::{
    access::without_secrets,
    error::{Error, carets},
};
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
        let advice = self.advice.map(|advice| format!(" {advice}")).unwrap_or_default();
        let shown = without_secrets(text);
        let carets = match shown == text {
            true => carets(text, self.span) + &advice,
            // With the secret hidden the columns are others.
            false => format!("\n  {shown}{advice}"),
        };
        Error::usage_hint(format!("invalid address `{shown}`: {}", self.message), carets)
    }
}
