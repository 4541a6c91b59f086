//! Options that cannot apply to the addresses of a run are errors, by the table of addresses.

use crate::support::{Finished, Folder, run};
use clap::{
    Arg,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::collections::BTreeSet;
use wsplice::{cli::command, registry::table};

/// What a wrong use is told.
const REFUSED: &str = "does not apply to these addresses";

#[track_caller]
fn explained(args: &[&str]) -> Finished {
    run([&["--explain"], args].concat(), "")
}

#[track_caller]
fn refused(args: &[&str], owner: &str, hint: &str) {
    let finished = explained(args);
    finished.fails_with(2, REFUSED).fails_with(2, owner);
    finished.fails_with(2, args[0]);
    assert!(finished.stderr.contains(hint), "{finished:?}");
    assert_eq!(finished.out(), "");
}

#[test]
fn options_of_a_client_on_a_server_name_those_of_servers() {
    let server = ["ws-l:127.0.0.1:0", "mirror:"];
    for (option, value, hint) in [
        ("--basic-auth", "user:secret", "--require-basic-auth FILE"),
        ("--origin", "https://example.com", "--allow-origin ORIGIN"),
        ("--header", "X: y", "--server-header"),
        ("--protocol", "chat", "--server-protocol"),
    ] {
        refused(&[&[option, value][..], &server].concat(), "ws-connect:", hint);
        refused(&[option, value, "-s", "0"], "ws-connect:", hint);
        refused(&[option, value, "--broadcast"], "ws-connect:", hint);
        explained(&[option, value, server[0], "ws://127.0.0.1:1/"]).succeeds();
    }
}

#[test]
fn arguments_of_programs_do_not_apply_to_other_addresses_even_if_there_are_none() {
    for arguments in [&["--exec-args"][..], &["--exec-args="], &["--exec-args", "-u"]] {
        let finished = explained(&[&["ws://127.0.0.1:1/"], arguments].concat());
        finished.fails_with(2, REFUSED).fails_with(2, "it is an option of exec:");
        explained(&[&["-", "exec:date"], arguments].concat()).succeeds();
    }
}

#[test]
fn options_of_a_server_on_a_client_name_those_of_clients() {
    let folder = Folder::new("server-options");
    let file = folder.path("secrets");
    std::fs::write(&file, "user:secret\n").expect("write");
    for (option, value, hint) in [
        ("--server-header", "X: y", "--header"),
        ("--server-protocol", "chat", "--protocol"),
        ("--allow-origin", "https://example.com", "--origin"),
        ("--require-basic-auth", &file, "--basic-auth"),
        ("--require-token", &file, "Authorization: Bearer"),
    ] {
        refused(&[option, value, "ws://127.0.0.1:1/"], "ws-upgrade:", hint);
        refused(&[option, value, "tcp-l:127.0.0.1:0", "ws://127.0.0.1:1/"], "ws-upgrade:", "");
    }
}

#[test]
fn a_certificate_for_a_listener_without_tls_is_refused() {
    for listener in ["ws-l:127.0.0.1:0", "tcp-l:127.0.0.1:0", "l-ws-unix:/tmp/x.sock"] {
        refused(&["--self-signed", listener, "mirror:"], "wss-listen:", "wss-l: and tls-l: listen with TLS");
        refused(&["--cert", "c", "--key", "k", listener, "mirror:"], "tls-accept:", "wss-l:");
        refused(&["--client-ca", "c", listener, "mirror:"], "tls-accept:", "wss-l:");
    }
    refused(&["--self-signed", "--broadcast"], "wss-listen:", "wss-l:");
    refused(&["--cacert", "c", "ws://127.0.0.1:1/"], "wss:", "wss://");
}

#[test]
fn options_of_sessions_are_refused_for_rooms() {
    for option in [
        &["-u"][..],
        &["-U"],
        &["-t"],
        &["-b"],
        &["-1"],
        &["-E"],
        &["-n"],
        &["--replies", "1"],
        &["-0"],
        &["-p", "x"],
        &["--base64"],
    ] {
        let finished = explained(&[option, &["--broadcast"]].concat());
        finished.fails_with(2, "cannot be used with --broadcast").hints("without --broadcast");
    }
}

#[test]
fn options_of_listeners_are_refused_where_nothing_listens() {
    for option in ["--conncap", "--threads", "--max-per-address", "--max-lifetime", "--max-memory"] {
        refused(&[option, "1", "ws://127.0.0.1:1/"], "listeners", "");
        // One connection per session is accepted there, whatever the limit.
        refused(&[option, "1", "ws://127.0.0.1:1/", "tcp-l:127.0.0.1:0"], "listeners", "");
        explained(&[option, "1", "tcp-l:127.0.0.1:0", "mirror:"]).succeeds();
        explained(&[option, "1", "--broadcast"]).succeeds();
    }
    refused(&["--oneshot", "ws://127.0.0.1:1/"], "listeners", "");
    refused(&["--stdout-announce-listening-ports", "ws://127.0.0.1:1/"], "listeners", "");
    explained(&["--oneshot", "--stdout-announce-listening-ports", "-", "ws-l:127.0.0.1:0"]).succeeds();
}

#[test]
fn options_that_scripts_give_out_of_habit_are_accepted() {
    explained(&["-k", "ws://127.0.0.1:1/"]).succeeds();
    explained(&["-t", "-E", "ws-l:127.0.0.1:0", "ws://127.0.0.1:1/"]).succeeds();
    explained(&["-b", "tcp-l:127.0.0.1:0", "tcp:127.0.0.1:1"]).succeeds();
}

#[test]
fn options_of_what_the_plan_inserts_are_accepted() {
    explained(&["--backlog", "1m", "-s", "0"]).succeeds();
    explained(&["--backlog", "1m", "--slow-timeout", "1", "--broadcast"]).succeeds();
    explained(&["--max-ws-message-length", "1m", "-t", "tcp-l:127.0.0.1:0", "mirror:"]).succeeds();
    refused(&["--backlog", "1m", "ws://127.0.0.1:1/"], "reuse:", "");
}

/// The arguments that give an option a valid value, and the options that it requires.
pub fn given(option: &Arg, file: &str) -> Vec<String> {
    let long = option.get_long().expect("a long name");
    let flag = format!("--{long}");
    let values = [
        "9",
        "9k",
        "4",
        "n=v",
        "localhost:80:127.0.0.1",
        "127.0.0.1:9",
        "/x",
        "x: y",
        "user:secret",
        "https://example.com",
        "ws://localhost/",
        "1001",
        "/x:text/plain:x",
        "/",
        "127.0.0.1",
        "224.0.0.1",
        "redis://localhost",
    ];
    let possible = option.get_possible_values();
    let candidates = possible.iter().map(|value| value.get_name()).chain([file]).chain(values);
    let mut args = match option.get_action().takes_values() {
        false => vec![flag],
        true if option.get_value_names().is_some_and(|names| names[0] == "FILE") => vec![flag, file.to_owned()],
        true => candidates
            .map(|value| vec![flag.clone(), value.to_owned()])
            .find(|args| !matches!(error_of(args), Some((ErrorKind::ValueValidation | ErrorKind::InvalidValue, _))))
            .unwrap_or_else(|| panic!("no value for {flag}")),
    };
    if let Some((ErrorKind::MissingRequiredArgument, missing)) = error_of(&args) {
        let names = missing.iter().filter_map(|usage| usage.strip_prefix("--")?.split(' ').next());
        let value = |name| match name {
            "cluster" => "redis://localhost",
            "history" => "9",
            _ => file,
        };
        args.extend(names.flat_map(|name| [format!("--{name}"), value(name).to_owned()]));
    }
    match long {
        "ping-timeout" | "print-ping-rtts" | "max-sent-pings" => {
            args.extend(["--ping-interval", "1"].map(str::to_owned))
        }
        "passphrase" => args.extend(["--cert", file, "--key", file].map(str::to_owned)),
        _ => {}
    }
    args
}

/// The error of a command line, and the options that it misses.
fn error_of(args: &[String]) -> Option<(ErrorKind, Vec<String>)> {
    let words = ["wsplice", "mirror:"].map(str::to_owned).into_iter().chain(args.iter().cloned());
    let error = command().try_get_matches_from(words).err()?;
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => missing.clone(),
        _ => Vec::new(),
    };
    Some((error.kind(), missing))
}

/// Options that rows list but that all sessions have.
const OF_ALL_SESSIONS: [&str; 11] = [
    "connect-timeout",
    "grace",
    "linger",
    "reply-wait",
    "text",
    "binary",
    "null-terminated",
    "separator",
    "separator-n",
    "one-line",
    "insecure",
];

#[test]
fn every_option_of_a_row_is_accepted_with_it_and_refused_without_it() {
    let folder = Folder::new("every-option");
    let file = folder.path("file");
    std::fs::write(&file, "user:secret\n").expect("write");
    let listed: BTreeSet<_> = table().flat_map(|row| row.options()).collect();
    let command = command();
    for option in command.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| listed.contains(long))) {
        let long = option.get_long().expect("a long name");
        let args = given(option, &file);
        if !OF_ALL_SESSIONS.contains(&long) {
            // Addresses that no option belongs to.
            let without: Vec<_> =
                ["--explain", "literal:a", "literal:b"].map(str::to_owned).into_iter().chain(args.clone()).collect();
            run(without, "").fails_with(2, "--").fails_with(2, REFUSED);
        }
        for row in table().filter(|row| row.has_option(long) && !row.example.is_empty()) {
            let example = row.example.split(' ').map(str::to_owned);
            let with = run(std::iter::once("--explain".to_owned()).chain(example).chain(args.clone()), "");
            assert!(!with.stderr.contains(REFUSED), "{row:?} {args:?}: {with:?}");
        }
    }
}

#[test]
fn the_table_lists_all_options_of_websockets_and_tls() {
    let headings: [(&str, &[&[&str]]); 3] = [
        ("WebSocket client", &[&["ws-connect", "ws"]]),
        ("WebSocket, both sides", &[&["ws-connect"], &["ws-upgrade"]]),
        ("TLS", &[&["tls", "tls-accept"]]),
    ];
    let command = command();
    for (heading, rows) in headings {
        for option in command.get_arguments().filter(|arg| arg.get_help_heading() == Some(heading)) {
            let long = option.get_long().expect("a long name");
            // These print a line and exit.
            for any in rows.iter().filter(|_| !long.starts_with("just-generate-")) {
                let is_listed = table().any(|row| any.contains(&row.names[0]) && row.has_option(long));
                assert!(is_listed, "none of {any:?} lists --{long}");
            }
        }
    }
}
