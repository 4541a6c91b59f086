//! Errors of option parsing in the format of wsplice, with advice for options of other tools.

use crate::error::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options of websocat and wscat that wsplice does not support, and what to do instead.
const UNSUPPORTED: &[(&[&str], &str)] = &[
    (
        &["--exec-sighup-on-stdin-close", "--exec-sighup-on-zero-msg", "--exec-exit-on-disconnect"],
        "a program sees the end of its input, and gets SIGHUP when its session ends",
    ),
    (&["-X", "--request-method", "--request-header", "--request-uri"], "HTTP requests are not supported yet: use curl"),
    (&["--queue-len"], "--backlog BYTES limits the backlog of a member of a room, or of a client of reuse:"),
];

/// Converts an error of clap to one line and a hint.
pub fn explain(error: &clap::Error) -> Error {
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(arg))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && let Some((_, advice)) = UNSUPPORTED.iter().find(|(names, _)| names.contains(&arg.as_str()))
    {
        return Error::usage_hint(format!("the option {arg} is not available"), *advice);
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    // clap lists missing arguments in indented lines.
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // Omit the tip to pass an unknown option as a value: no address starts with a dash.
    let tip = paragraphs
        .find_map(|part| part.trim_start().strip_prefix("tip: "))
        .filter(|tip| !tip.starts_with("to pass "))
        .map(str::to_owned);
    Error::usage_hint(message, tip.unwrap_or_else(|| "wsplice --help lists the options".into()))
}
