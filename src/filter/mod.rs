//! Which messages are meant: regular expressions, and programs in the language of jq.

#[cfg(feature = "jq")]
mod jq;
#[cfg(feature = "jq")]
#[cfg_attr(windows, path = "limits_windows.rs")]
mod limits;
mod pattern;
#[cfg(feature = "jq")]
mod program;

#[cfg(feature = "jq")]
pub use jq::JqError;
pub use pattern::Pattern;
#[cfg(feature = "jq")]
pub use program::{ARGUMENT, Answer, Program, Question, serve};

use crate::error::{Error, carets};
use std::ops::Range;

/// A regular expression or a program that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The whole text.
    pub text: String,
    /// The place of the error in it, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub reason: String,
}

impl Malformed {
    /// The error of the option `option`, with a caret below the place.
    pub fn into_error(self, option: &str) -> Error {
        Error::usage_hint(format!("invalid value for {option}: {}", self.reason), carets(&self.text, self.span))
    }
}
