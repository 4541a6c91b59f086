//! The parts of `--help` that come from the table of addresses.

use super::Cli;
use crate::{
    endpoint::{Build, Entry},
    registry,
};
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// The whole command: options, and the addresses behind them.
pub fn command() -> Command {
    Cli::command()
        .override_usage("wsplice [OPTIONS] ADDR1 [ADDR2]\n       wsplice [OPTIONS] -s [ADDR:]PORT [ADDR2]")
        .after_help(format!("{VALUES}\n\n{EXAMPLES}\n\n--help lists all addresses, overlays and exit codes."))
        .after_long_help(format!("{VALUES}\n\n{EXAMPLES}\n\n{}\n{}", addresses(), exit_codes()))
}

const VALUES: &str = "SECONDS may have a unit: 300ms, 5s, 2m, 1h. BYTES may end in k, m or g.";

const EXAMPLES: &str = "\
Examples:
  wsplice wss://example.com/chat                    talk to a server
  wsplice -s 8080                                   be a server, on 127.0.0.1
  wsplice ws-l:0.0.0.0:8080 tcp:127.0.0.1:22        a tunnel's far end
  wsplice tcp-l:127.0.0.1:2222 ws://HOST:8080/      and its near end
  wsplice ws-u:unix-l:/tmp/x.sock sh-c:'sort -u'    overlays go in front";

/// Every exit code and its meaning: for `--help` and the manual.
pub const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "The session ended well."),
    ("1", "Another input or output error, such as a full disk or a line that is not UTF-8."),
    ("2", "The command line, or a file that it names, cannot be used."),
    ("3", "A name could not be resolved, or an address not connected to or listened on."),
    ("4", "TLS failed, for example over a certificate."),
    ("5", "The WebSocket handshake was refused; the HTTP status is shown."),
    ("6", "The peer broke the WebSocket protocol, or a message was too long."),
    ("7", "The connection was lost without a close frame."),
    ("8", "The peer closed with another code than 1000, 1001 or none."),
    ("9", "The session ended before --replies was fulfilled."),
    ("10", "A process could not start, or ended with another status than 0."),
    ("124", "A time limit ran out."),
    ("128+N", "Signal N ended the run: 130 SIGINT, 143 SIGTERM, 141 nobody reads the output any more."),
];

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:");
    for (code, meaning) in EXIT_CODES {
        let _ = write!(text, "\n  {code:<6} {}", meaning.trim_end_matches('.'));
    }
    text
}

fn addresses() -> String {
    let mut text = String::new();
    for (heading, overlay) in [("Addresses", false), ("Overlays, in front of an address", true)] {
        let _ = writeln!(text, "{heading}:");
        for entry in registry::table().filter(|entry| is_available(entry) && entry.build.is_overlay() == overlay) {
            let title = format!("{}:{}", entry.names[0], entry.arg.unwrap_or_default());
            let _ = writeln!(text, "  {title:<32} {}", entry.summary);
            if entry.names.len() > 1 {
                let _ = writeln!(text, "  {:<32}   also {}", "", aliases(entry));
            }
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn is_available(entry: &Entry) -> bool {
    !matches!(entry.build, Build::Absent { .. })
}

fn aliases(entry: &Entry) -> String {
    entry.names[1..].iter().map(|name| format!("{name}:")).collect::<Vec<_>>().join(" ").replace("-: ", "- ")
}
