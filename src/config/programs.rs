//! Programs: `exec:` and `sh-c:`.

use hyper::header::HeaderName;
use std::ffi::OsString;

/// How programs are run.
#[derive(Clone, Debug, Default)]
pub struct ProgramOptions {
    /// Arguments of `exec:`.
    pub args: Vec<OsString>,
    /// Whether to set the variables of websocat (`-e`).
    pub websocat_variables: bool,
    /// Headers of the request to set as variables of their own.
    pub headers_to_env: Vec<HeaderVariable>,
    /// The variables of wsplice that programs get besides `PATH`; `None`: all.
    pub passed_variables: Option<Vec<String>>,
    /// Whether programs get a terminal instead of pipes.
    pub terminal: bool,
    /// Whether to end a program as soon as its client has ended its direction, instead of the input of the program only.
    pub exit_on_disconnect: bool,
    /// Whether to send SIGHUP at the end of the input.
    pub hang_up_at_end: bool,
    /// Whether to send SIGHUP instead of an empty message.
    pub hang_up_on_empty: bool,
}

/// A header of the request that a program gets as a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderVariable {
    /// The header.
    pub header: HeaderName,
    /// `H_` and the name as it was typed, as websocat has it.
    pub variable: String,
}
