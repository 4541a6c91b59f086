//! Errors of option parsing, in wsplice's own form, with advice for options that users of other tools know.

use crate::error::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Options of websocat and wscat that this version lacks, and what to do instead.
const NOT_YET: &[(&[&str], &str)] = &[
    (&["--socks5", "--socks5-destination", "--socks5-user-pass", "--proxy"], "proxies are not supported yet"),
    (&["--pkcs12-der", "--pkcs12-passwd"], "convert it with openssl pkcs12 -nodes and use --cert and --key"),
    (
        &["--client-pkcs12-der", "--client-pkcs12-passwd"],
        "convert it with openssl pkcs12 -nodes and use --client-cert and --client-key",
    ),
    (&["-p", "--preamble", "-P", "--preamble-reverse"], "send it through a shell: (echo PREAMBLE; cat) | wsplice …"),
    (&["-S", "--strict"], "lines and messages are never split here, so it is not needed"),
    (&["-B", "--buffer-size"], "messages are never cut here; --max-ws-message-length limits them"),
    (&["--no-exit-on-zeromsg", "--async-stdio", "--no-async-stdio", "--no-fixups"], "not needed here: leave it out"),
    (&["--no-line"], "-b sends what was read without looking for lines"),
    (&["--linemode-strip-newlines"], "lines are always sent without their newline here"),
    (&["--basic-auth-file"], "use --basic-auth \"$(cat FILE)\""),
    (&["-c", "--connect"], "give the URL alone: wsplice wss://host/path"),
    (&["-l", "--listen"], "use -s PORT"),
    (&["-x", "--execute"], "use a pipe: echo MESSAGE | wsplice URL"),
    (&["--max-messages", "--max-messages-rev"], "use -1 or --replies N"),
    (&["-e", "--set-environment", "--header-to-env"], "environment variables for processes are not supported yet"),
    (&["--broadcast"], "the room server is not part of this version yet"),
    (&["--deflate"], "permessage-deflate is not supported yet"),
    (&["--base64", "--base64-text", "--jsonrpc", "--timestamp-monotonic"], "not supported yet: use a filter in a pipe"),
];

/// Turns clap's error into one line and a hint.
pub fn explain(error: &clap::Error) -> Error {
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(arg))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && let Some((_, advice)) = NOT_YET.iter().find(|(names, _)| names.contains(&arg.as_str()))
    {
        return Error::usage_hint(format!("the option {arg} is not available"), *advice);
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    // An error that lists missing arguments does so in indented lines.
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // The tip to pass an unknown option as a value helps nobody here: no address starts with a dash.
    let tip = paragraphs
        .find_map(|part| part.trim_start().strip_prefix("tip: "))
        .filter(|tip| !tip.starts_with("to pass "))
        .map(str::to_owned);
    Error::usage_hint(message, tip.unwrap_or_else(|| "wsplice --help lists the options".into()))
}
