//! Errors of option parsing in the format of wsplice, with advice for options of other tools.

use crate::error::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;

/// The hint where clap has none.
const HINT: &str = "wsplice --help lists the options";

/// Options of other tools that wsplice does not have, and what to do instead.
const UNSUPPORTED: &[(&[&str], &str)] = &[
    // curl's.
    (
        &["-d", "--data", "--data-raw", "--data-binary"],
        "send it as a message: wsplice -x TEXT URL, or echo TEXT | wsplice URL",
    ),
    (&["-o", "--output", "-O", "--remote-name"], "messages go to standard output: wsplice URL >FILE"),
    (&["--unix-socket"], "write it into the address: ws+unix:PATH:/URI"),
    (&["--abstract-unix-socket"], "write it into the address: ws-c:unix:@NAME"),
    (&["--connect-to"], "--resolve HOST:PORT:ADDR, or ws-c:tcp:HOST:PORT with --ws-c-uri URL"),
    (&["--referer"], "use -H 'Referer: URL'"),
    (&["-i", "--include"], "-v shows the headers of the opening handshake"),
    (&["--trace", "--trace-ascii"], "-vv shows handshakes and frames"),
    (&["--silent"], "use -q"),
    (&["--socks4", "--socks4a", "--preproxy"], "use --proxy socks5://HOST:PORT, or http://HOST:PORT"),
    (&["--compressed"], "use --deflate on"),
    (&["--tlsv1.2", "--tlsv1.3"], "TLS 1.2 and 1.3 are supported: remove it"),
    (&["--retry-delay"], "use --autoreconnect-delay-millis MS"),
    (&["--keepalive-time"], "use --ping-interval SECONDS"),
    (&["--http1.1", "-N", "--no-buffer", "-f", "--fail"], "not needed: remove it"),
    (&["--url"], "write the URL as an address: wsplice URL"),
    // websocat's.
    (&["--prometheus"], "use --metrics ADDR"),
    (&["--crypto-key", "--crypto-reverse"], "crypto: does not protect against replay; use wss: or tls:"),
    (&["--tee", "--filter", "--filter-reverse"], "not supported yet: use a program in a pipe"),
    #[cfg(not(feature = "jq"))]
    (&["--expect-json", "--filter-json"], "this build is without jq (feature `jq`): use jq in a pipe"),
    (&["--doctor", "--bench", "--dev-page"], "not supported yet"),
    // wscat's.
    (&["--no-check"], "use -k"),
    (&["--host"], "use -H 'Host: NAME'"),
    // websocketd's.
    (&["--port", "--address"], "use -s PORT, or the address ws-l:ADDR:PORT"),
    (&["--ssl"], "use the address wss-l:ADDR:PORT with --cert and --key"),
    (&["--sslcert", "--sslkey", "--sslca"], "use --cert, --key and --client-ca"),
    (&["--devconsole"], "serve a page: -F /:text/html:page.html"),
    (&["--loglevel"], "use -v or -vv"),
    (&["--closems"], "use --grace SECONDS"),
    (&["--header-ws", "--header-http"], "use --server-header"),
];

/// Options whose values are secrets, or may have one. Errors do not show them; what the parsers say does not contain them.
const SECRET: &[&str] = &[
    "--basic-auth",
    "--client-pkcs12-passwd",
    "--cookie",
    "--header",
    "--passphrase",
    "--pkcs12-passwd",
    "--proxy",
    "--request-header",
    "--request-uri",
    "--server-header",
    "--socks5",
    "--socks5-user-pass",
    "--ws-c-uri",
];

/// Converts an error of clap to one line and a hint.
pub fn explain(error: &clap::Error) -> Error {
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(arg))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && let Some((_, advice)) = UNSUPPORTED.iter().find(|(names, _)| names.contains(&arg.as_str()))
    {
        return Error::usage_hint(format!("the option {arg} is not available"), *advice);
    }
    if let (Some(ContextValue::String(arg)), Some(reason)) = (error.get(ContextKind::InvalidArg), error.source())
        && SECRET.contains(&arg.split(' ').next().unwrap_or_default())
    {
        return Error::usage_hint(format!("invalid value for '{arg}': {reason}"), HINT);
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
    Error::usage_hint(message, tip.unwrap_or_else(|| HINT.into()))
}
