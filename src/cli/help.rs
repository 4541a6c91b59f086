//! `--help`: the options, and the list of addresses from the table.

use super::Cli;
use crate::{
    endpoint::{Build, Entry},
    registry,
};
use clap::{ArgAction, Command, CommandFactory};
use std::fmt::Write;

/// The command of clap as it parses a command line. A flag may be repeated, as in a script that adds one to those of its caller. An
/// option with a value may not, unless all its values count.
pub fn options() -> Command {
    Cli::command()
        .override_usage("wsplice [OPTIONS] ADDR1 [ADDR2]\n       wsplice [OPTIONS] -s [ADDR:]PORT [ADDR2]")
        .mut_args(|arg| match arg.get_action() {
            ArgAction::SetTrue => {
                let id = arg.get_id().clone();
                arg.overrides_with(id)
            }
            _ => arg,
        })
}

/// The command of clap, with the list of addresses after the options. Making that list takes a tenth of the instructions of a short
/// run, so it is made for help only.
pub fn command() -> Command {
    options().after_long_help(format!(
        "{VALUES}\n\n{EXAMPLES}\n\n{}\n{}\n{}",
        addresses(false),
        addresses(true),
        exit_codes()
    ))
}

const VALUES: &str = "SECONDS may have a unit: 300ms, 5s, 2m, 1h. BYTES may have a suffix: k, m or g.";

const EXAMPLES: &str = "\
Examples:
  wsplice wss://example.com/chat                    connect to a WebSocket server
  wsplice -s 8080                                   listen on 127.0.0.1:8080
  wsplice ws-l:0.0.0.0:8080 tcp:127.0.0.1:22        tunnel: the server side
  wsplice tcp-l:127.0.0.1:2222 ws://HOST:8080/      tunnel: the client side
  wsplice ws-u:unix-l:/tmp/x.sock sh-c:'sort -u'    overlays precede the address";

/// Every exit code and its meaning, for `--help` and the man page.
pub const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "The session ended without an error."),
    ("1", "Any other input or output error, such as a full disk or a line that is not UTF-8."),
    ("2", "The command line, or a file that it names, is not usable."),
    ("3", "A name did not resolve, or connecting or listening failed."),
    ("4", "TLS failed, for example because of a certificate."),
    ("5", "The opening handshake, or that with a proxy, failed; the error shows the HTTP status or the reason."),
    ("6", "The peer violated the WebSocket protocol, or sent a message that is too long."),
    ("7", "The connection was lost without a close frame."),
    ("8", "The peer sent a close code other than 1000 or 1001."),
    (
        "9",
        "The session ended before N messages arrived (--replies N), no message came for --within (-1, --replies), none matched \
         (--expect), or assert: received something else than its text.",
    ),
    ("10", "A child process could not start, or did not exit with status 0."),
    ("124", "A time limit was reached."),
    ("128+N", "Signal N ended the run: 130 SIGINT, 143 SIGTERM, 141 SIGPIPE (standard output closed)."),
];

pub fn exit_codes() -> String {
    let mut text = String::from("Exit codes:");
    for (code, meaning) in EXIT_CODES {
        let _ = write!(text, "\n  {code:<6} {}", meaning.trim_end_matches('.'));
    }
    text
}

/// The list of addresses, or of overlays.
pub fn addresses(overlays: bool) -> String {
    let mut text = String::from(if overlays { "Overlays, in front of an address:\n" } else { "Addresses:\n" });
    for entry in registry::table().filter(|entry| is_available(entry) && entry.build.is_overlay() == overlays) {
        let title = format!("{}:{}", entry.name(), entry.arg.unwrap_or_default());
        let _ = writeln!(text, "  {title:<32} {}", entry.summary);
        if entry.names.len() > 1 {
            let _ = writeln!(text, "  {:<32}   also {}", "", aliases(entry).join(" "));
        }
    }
    text
}

/// Whether it is an address or an overlay of ours.
pub fn is_available(entry: &Entry) -> bool {
    !matches!(entry.build, Build::Unsupported { .. })
}

/// Its other names, as they are typed.
pub fn aliases(entry: &Entry) -> Vec<String> {
    let typed = |name: &&str| if *name == "-" { "-".to_owned() } else { format!("{name}:") };
    entry.names.iter().skip(1).map(typed).collect()
}
