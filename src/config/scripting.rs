//! Options for scripts: what is sent, expected, printed and recorded.

#[cfg(feature = "jq")]
use crate::filter::Program;
use crate::{filter::Pattern, flow::Transfer, message::Message};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// What is sent, expected, printed and recorded.
#[derive(Default)]
pub struct ScriptingOptions {
    /// Messages that are sent before those of the input.
    pub first: Vec<Message>,
    /// Print what passes as JSON lines.
    pub json_lines: bool,
    /// Report totals at the end of a session.
    pub stats: bool,
    /// The file that sessions are recorded to.
    pub record: Option<PathBuf>,
    /// Messages that must come.
    pub expect: Option<ExpectOptions>,
    /// What is made of the messages of the peer.
    #[cfg(feature = "jq")]
    pub filter: Option<Arc<Program>>,
    /// How `replay:` plays.
    pub replay: ReplayOptions,
}

/// Messages that must come.
#[derive(Clone)]
pub struct ExpectOptions {
    /// Each must match a message; at least one.
    pub expectations: Arc<[Expectation]>,
    /// The longest wait after the last message was sent; no limit without it.
    pub within: Option<Duration>,
}

/// A message that must come.
pub enum Expectation {
    /// One that a regular expression matches.
    Matches(Pattern),
    /// One for which a program has a result that is neither `false` nor `null`.
    #[cfg(feature = "jq")]
    Json(Arc<Program>),
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matches(pattern) => write!(f, "--expect {:?}", pattern.as_str()),
            #[cfg(feature = "jq")]
            Self::Json(program) => write!(f, "--expect-json {:?}", program.as_str()),
        }
    }
}

/// How a recording is played.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    /// How much faster than it was recorded, more than 0; `None`: without pauses.
    pub speed: Option<f64>,
    /// What is played; `None`: it depends on the other end.
    pub direction: Option<Transfer>,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { speed: Some(1.0), direction: None }
    }
}
