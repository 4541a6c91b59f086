//! `-h`, which is one screen, and `--help TOPIC`: an address, an option or a group of options.

use super::help;
use crate::{
    endpoint::{Build, Entry},
    error::Error,
    registry,
};
use clap::Arg;
use std::fmt::Write;

/// `-h`: what most runs need, and how to find the rest.
pub const SHORT: &str = "\
wsplice connects any two endpoints, WebSockets first.

Usage: wsplice [OPTIONS] ADDR1 [ADDR2]
       wsplice [OPTIONS] -s [ADDR:]PORT [ADDR2]

  wsplice wss://example.com/chat               connect to a WebSocket server
  wsplice -s 8080                              serve on 127.0.0.1:8080
  wsplice ws-l:0.0.0.0:8080 tcp:HOST:22        tunnel: the server side
  wsplice tcp-l:2222 ws://HOST:8080/           tunnel: the client side
  wsplice --broadcast ws-l:0.0.0.0:8080        a room server

  -t, --text / -b, --binary    lines are text / bytes are binary messages
  -1, --one-message            send one message, print one reply, exit
  -x, --execute TEXT           send TEXT in place of standard input
  -E, --exit-on-eof            end as soon as either end has ended
  -u / -U                      only from ADDR1 to ADDR2 / only back
  -H, --header 'NAME: VALUE'   add a header to the opening handshake
  --basic-auth USER:PASSWORD   log in to the server
  --protocol NAME              offer a subprotocol
  -L, --follow                 follow redirects
  -k, --insecure               accept any certificate of the server
  --proxy URL                  connect through an HTTP or SOCKS5 proxy
  --ping-interval SECONDS      ping the peer
  -m, --max-time SECONDS       end after this time
  -v / -vv / -q                log handshakes / frames too / only the last error
  --explain                    print what would be connected

wsplice --help lists everything. wsplice --help TOPIC explains an address such
as ws-l, an option such as --proxy, or a group: addresses, overlays, direction,
";

/// The groups of options, as they are asked for: a word of their headings.
const GROUPS: &str = "text, messages, scripting, payloads, client, proxies, listeners, rooms, tls,
http, udp, programs, terminal, wscat, exit-codes.
";

/// The text that `-h` or `--help` asks for. `topic` is the argument after it.
///
/// # Errors
/// [`Error::Usage`] if there is no such topic.
pub fn text(is_short: bool, topic: Option<&str>) -> Result<String, Error> {
    match topic {
        None if is_short => Ok(format!("{SHORT}{GROUPS}")),
        Some("short") => Ok(format!("{SHORT}{GROUPS}")),
        // What websocat calls these.
        None | Some("long" | "full" | "all") => Ok(help::command().render_long_help().to_string()),
        Some("types") => Ok(format!("{}\n{}", help::addresses(false), help::addresses(true))),
        Some("doc") => {
            let rows = registry::table().filter(|entry| help::is_available(entry)).map(row);
            Ok(format!("{}\n{}", help::command().render_long_help(), rows.collect::<Vec<_>>().join("\n")))
        }
        Some("addresses") => Ok(help::addresses(false)),
        Some("overlays") => Ok(help::addresses(true)),
        Some("exit" | "exit-codes") => Ok(help::exit_codes() + "\n"),
        Some(topic) => about(topic),
    }
}

/// All that a word names: rows of the table, options, groups of options.
fn about(topic: &str) -> Result<String, Error> {
    let name = topic.split("://").next().unwrap_or(topic).trim_end_matches(':').to_lowercase();
    let mut parts = Vec::new();
    if !topic.starts_with('-') || topic == "-" {
        parts.extend(registry::table().find(|entry| entry.names.contains(&name.as_str())).map(row));
    }
    let is_option = |arg: &Arg| {
        let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
        let shorts = arg.get_short_and_visible_aliases().unwrap_or_default();
        match topic.strip_prefix("--") {
            Some(long) => longs.contains(&long),
            None => match topic.strip_prefix('-') {
                Some(short) => !short.is_empty() && shorts.iter().any(|letter| short == letter.to_string()),
                None => longs.contains(&name.as_str()),
            },
        }
    };
    let is_named = |heading: &str| {
        heading.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == name && !name.is_empty())
    };
    let command = help::options();
    let heading = command.get_arguments().filter_map(Arg::get_help_heading).find(|heading| {
        // `room` and `proxy` are in the plural there.
        is_named(heading) || is_plural(heading, &name)
    });
    let option = command.get_opts().find(|arg| is_option(arg));
    // Its group has it, too.
    let is_in_group = option.is_some_and(|arg| arg.get_help_heading() == heading && !topic.starts_with('-'));
    if let Some(option) = option.filter(|_| !is_in_group).and_then(Arg::get_long) {
        parts.push(only(|arg| arg.get_long() == Some(option)) + &rows_with(option));
    }
    if let Some(heading) = heading.filter(|_| !topic.starts_with('-')) {
        parts.push(only(|arg| arg.get_help_heading() == Some(heading)));
    }
    if parts.is_empty() { Err(unknown(topic, &name)) } else { Ok(parts.join("\n")) }
}

fn is_plural(heading: &str, name: &str) -> bool {
    let heading = heading.to_lowercase();
    !name.is_empty() && (heading == format!("{name}s") || heading == format!("{}ies", name.trim_end_matches('y')))
}

/// The help of some options.
fn only(chosen: impl Fn(&Arg) -> bool) -> String {
    let command = help::options().mut_args(|arg| {
        let hides = !chosen(&arg);
        arg.hide(hides).hide_short_help(false)
    });
    let mut command = command.disable_help_flag(true).disable_version_flag(true).help_template("{all-args}\n");
    command.render_long_help().to_string().trim_start().to_owned()
}

/// The addresses and overlays that an option concerns.
fn rows_with(option: &str) -> String {
    let rows = registry::table().filter(|entry| entry.has_option(option));
    let names: Vec<_> = rows.map(|entry| format!("{}:", entry.name())).collect();
    if names.is_empty() { String::new() } else { format!("\nIt concerns {}\n", names.join(", ")) }
}

/// All about an address or an overlay.
fn row(entry: &Entry) -> String {
    if let Build::Unsupported { why, .. } = entry.build {
        return format!("{}: is not available: {why}\n", entry.name());
    }
    let also = help::aliases(entry);
    let also = if also.is_empty() { String::new() } else { format!("  also {}", also.join(", ")) };
    let mut text = format!("{}:{}{also}\n    {}.\n", entry.name(), entry.arg.unwrap_or_default(), entry.summary);
    for line in wrapped(entry.details, 76) {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(text, "\n    Example: wsplice {}", entry.example);
    if entry.options().next().is_some() {
        let flags: Vec<_> = entry.options().map(|flag| format!("--{flag}")).collect();
        let mut lines = wrapped(&flags.join(" "), 66).into_iter();
        let _ = writeln!(text, "    Options: {}", lines.next().unwrap_or_default());
        lines.for_each(|line| _ = writeln!(text, "             {line}"));
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn unknown(topic: &str, name: &str) -> Error {
    let options = help::options();
    let longs = options.get_opts().filter_map(Arg::get_long);
    let rows = registry::table().flat_map(|entry| entry.names).copied();
    let near = rows.chain(longs).map(|known| (strsim::osa_distance(known, name.trim_start_matches('-')), known));
    let near = near.filter(|(typos, known)| *typos <= 2 && typos * 2 < known.len()).min_by_key(|(typos, _)| *typos);
    let hint = match near {
        Some((_, near)) => format!("did you mean wsplice --help {near}?"),
        None => "wsplice -h lists the topics, wsplice --help everything".into(),
    };
    Error::usage_hint(format!("there is no help for `{topic}`"), hint)
}
