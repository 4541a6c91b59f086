//! The parts of `--help` that come from the table of addresses.

use super::Cli;
use crate::registry::{self, Build, Entry};
use clap::{Command, CommandFactory};
use std::fmt::Write;

/// The whole command: options, and the addresses behind them.
pub fn command() -> Command {
    Cli::command()
        .override_usage("wsplice [OPTIONS] ADDR1 [ADDR2]\n       wsplice [OPTIONS] -s [ADDR:]PORT [ADDR2]")
        .after_help(
            "ADDR is TYPE:ARGUMENT with overlays in front, such as ws-u:unix-l:/run/x.sock; --help lists them all.",
        )
        .after_long_help(addresses())
}

fn addresses() -> String {
    let mut text = String::new();
    for (heading, overlay) in [("Addresses", false), ("Overlays (in front of an address)", true)] {
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
    text.push_str(concat!(
        "Exit codes: 0 clean, 1 other I/O error, 2 wrong usage, 3 cannot resolve, connect or listen, 4 TLS failed,\n",
        "5 handshake refused, 6 protocol violated, 7 connection lost, 8 closed by the peer with an error code,\n",
        "9 too few replies, 10 the child failed, 124 timed out, 128+N signal N.",
    ));
    text
}

fn is_available(entry: &Entry) -> bool {
    !matches!(entry.build, Build::Absent { .. })
}

fn aliases(entry: &Entry) -> String {
    entry.names[1..].iter().map(|name| format!("{name}:")).collect::<Vec<_>>().join(" ").replace("-: ", "- ")
}
