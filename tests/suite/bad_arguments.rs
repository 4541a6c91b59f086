//! Wrong command lines; and that the table of addresses agrees with the parser and the help.

use crate::support::{Finished, run};
use std::collections::HashSet;
use wsplice::{
    cli::command,
    endpoint::{Build, Entry},
    registry::{find, table},
    spec::Spec,
};

#[track_caller]
fn wrong<const N: usize>(args: [&str; N], message: &str, hint: &str) -> Finished {
    let finished = run(args, "");
    finished.fails_with(2, message).hints(hint);
    assert_eq!(finished.out(), "");
    finished
}

#[test]
fn an_unknown_option_is_named_and_a_similar_one_suggested() {
    wrong(["--exlpain", "mirror:"], "--exlpain", "--explain");
    wrong(["--qqqqqqqqqq", "mirror:"], "--qqqqqqqqqq", "wsplice --help");
    wrong(["-Z", "mirror:"], "-Z", "wsplice --help");
}

#[test]
fn an_option_of_websocat_that_is_not_here_says_what_to_use() {
    wrong(["--unix-socket", "x", "mirror:"], "--unix-socket", "ws+unix:PATH");
}

#[test]
fn a_wrong_value_is_named_with_its_option_and_the_reason() {
    for (option, value, reason) in [
        ("--linger", "soon", "not a number of seconds"),
        ("--linger", "-1", "--linger"),
        ("--connect-timeout", "1d", "the unit must be ms, s, m or h"),
        ("--close-status-code", "1006", "must be 1000 to 1003, 1007 to 1014 or 3000 to 4999"),
        ("--close-status-code", "70000", "must be 1000 to 1003, 1007 to 1014 or 3000 to 4999"),
        ("--max-ws-message-length", "0", "at least 1"),
        ("--max-ws-message-length", "lots", "not a number of bytes"),
        ("--deflate", "maybe", "possible values: auto, off, on"),
        ("--deflate-level", "10", "0..=9"),
        ("--deflate-window-bits", "8", "9..=15"),
        ("--deflate-threshold", "x", "not a number of bytes"),
        ("--header", "no colon", "Name: value"),
        ("--header", "b@d: x", "not a header name"),
        ("--header", "x: a\nb", "visible ASCII"),
        ("--origin", "a\r\nEvil: yes", "visible ASCII"),
        ("--ua", "a\nb", "visible ASCII"),
        ("--protocol", "chat,super chat", "`super chat` is not a subprotocol"),
        ("--server-protocol", "", "not a subprotocol"),
        ("--restrict-uri", "chat", "must start with a slash: /chat"),
        ("--replies", "0", "--replies"),
        ("--conncap", "0", "--conncap"),
        ("--static-file", "page.html", "/URI:CONTENT-TYPE:FILE"),
        ("-s", "99999", "99999"),
        ("-s", "host", "port is missing"),
    ] {
        let finished = run([option, value, "mirror:"], "");
        finished.fails_with(2, reason);
        assert_eq!(finished.stderr.lines().filter(|line| line.starts_with("wsplice: ")).count(), 1, "{finished:?}");
    }
    let reason = "x".repeat(124);
    wrong(["--close-reason", &reason, "mirror:"], "the maximum is 123", "wsplice --help");
}

#[test]
fn a_missing_value_is_named() {
    wrong(["mirror:", "--origin"], "--origin", "wsplice --help");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (args, refused) in [
        (&["-E", "-n"][..], "--exit-on-eof"),
        (&["-v", "-q"], "--verbose"),
        (&["--replies", "1", "-n"], "--replies"),
        (&["--cert", "x", "--key", "x", "--self-signed"], "--cert"),
    ] {
        run(args.iter().chain(&["mirror:"]), "").fails_with(2, refused).fails_with(2, "cannot be used with");
    }
}

#[test]
fn options_that_need_another_say_so() {
    for (option, value, other) in [
        ("--cert", "c.pem", "--key"),
        ("--key", "k.pem", "--cert"),
        ("--client-cert", "c.pem", "--client-key"),
        ("--ping-timeout", "1", "--ping-interval"),
    ] {
        run([option, value, "mirror:"], "").fails_with(2, other).fails_with(2, "required");
    }
}

#[test]
fn a_word_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    run([std::ffi::OsStr::from_bytes(b"ws://\xff/")], "").fails_with(2, "UTF-8");
}

#[test]
fn too_few_and_too_many_addresses_are_refused() {
    wrong([], "an address is missing", "wsplice ws://HOST/PATH");
    wrong(["mirror:", "mirror:", "mirror:"], "mirror:", "wsplice --help");
    run(["-s", "0", "mirror:", "mirror:"], "").fails_with(2, "-s is the first address");
    run([""], "").fails_with(2, "an address is missing");
}

/// The caret line stands below the specifier and marks exactly `part`.
#[track_caller]
fn points_at(text: &str, part: &str, message: &str, advice: &str) {
    let finished = run([text], "");
    finished.fails_with(2, message).fails_with(2, &format!("invalid address `{text}`")).hints(advice);
    let lines: Vec<_> = finished.stderr.lines().collect();
    let [.., shown, carets] = lines[..] else { panic!("no caret in {finished:?}") };
    assert_eq!(shown.trim_start(), text);
    let start = carets.find('^').expect("a caret");
    let marked: String =
        shown.chars().skip(start).take(carets.chars().filter(|letter| *letter == '^').count()).collect();
    assert_eq!(marked, part, "{finished:?}");
}

#[test]
fn an_unknown_address_is_marked_and_a_similar_one_suggested() {
    points_at("miror:", "miror", "unknown address type `miror`", "did you mean `mirror:`?");
    points_at("tpc:127.0.0.1:80", "tpc", "unknown address type `tpc`", "did you mean `tcp:`?");
    points_at("log:lines:tpc:x:80", "tpc", "unknown address type `tpc`", "did you mean `tcp:`?");
    points_at("qqqqqq:x", "qqqqqq", "unknown address type `qqqqqq`", "wsplice --help");
    points_at("https://example.com/", "https", "`https:` is not available", "use wss:// for a WebSocket");
    points_at("mirror", "mirror", "the colon is missing", "did you mean `mirror:`?");
    points_at("example.com/chat", "example.com/chat", "is not an address", "did you mean `ws://example.com/chat`?");
    points_at("tls:example.com", "example.com", "is not an address", "did you mean `example.com:443`?");
    points_at("8080", "8080", "is not an address", "did you mean `-s 8080`?");
    points_at("mirror:x", "x", "takes no argument", "mirror:x");
    points_at("log:", ":", "needs an address after it", "for example");
    points_at("tcp:", ":", "needs HOST:PORT", "for example");
}

#[test]
fn an_address_with_a_wrong_argument_says_what_is_wrong_with_it() {
    for (address, reason) in [
        ("ws://", "host"),
        ("ws://host:99999/", "port"),
        ("ws://host:0/", "port 0"),
        ("http://host:0/", "port 0"),
        ("ws://host/#part", "fragment"),
        ("ws://[::1/", "IPv6"),
        ("wss://ho st/", "domain name"),
        ("tcp:host", "port is missing"),
        ("tcp:host:http", "not a port"),
        ("tcp:::1:80", "[::1]:PORT"),
        ("tcp::80", "host is missing"),
        ("ws-l:nowhere", "port is missing"),
        ("ws-l:127.0.0.1:70000", "not a port"),
    ] {
        run([address, "mirror:"], "").fails_with(2, reason).fails_with(2, address.split_once(':').expect("a colon").1);
    }
}

#[test]
fn overlays_that_do_not_fit_say_so() {
    run(["ws-c:ws://127.0.0.1:1/"], "").fails_with(2, "needs a byte stream").hints("leave it out");
    run(["tls:mirror:"], "").fails_with(2, "needs a byte stream").hints("leave it out");
    run(["autoreconnect:ws-l:0", "mirror:"], "").fails_with(2, "is a listener").hints("session of its own");
}

#[test]
fn a_tls_listener_without_a_certificate_says_what_to_give() {
    for listener in ["wss-l:0", "tls-l:0", "tls-a:tcp-l:0"] {
        run([listener, "mirror:"], "").fails_with(2, "needs a certificate").hints("--self-signed");
    }
}

fn is_absent(entry: &Entry) -> bool {
    matches!(entry.build, Build::Unsupported { .. })
}

/// An address of the row, with an argument or an address after the colon where it needs one.
fn address(entry: &Entry, name: &str) -> String {
    let behind = match (entry.build.is_overlay(), entry.arg) {
        (true, _) => "tcp:127.0.0.1:7",
        (false, Some(arg)) if arg.contains("PORT") && !arg.starts_with("//") => "127.0.0.1:7",
        (false, Some(arg)) if arg.starts_with("//") => "//127.0.0.1:7/",
        (false, Some(_)) => "x",
        (false, None) => "",
    };
    format!("{name}:{behind}")
}

#[test]
fn every_alias_parses_as_its_row() {
    for entry in table().filter(|entry| !is_absent(entry)) {
        for name in entry.names {
            let spec = Spec::parse(&address(entry, name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(spec.entry().names[0], entry.names[0], "{name}");
        }
    }
}

#[test]
fn names_are_unique_and_can_be_typed() {
    let mut seen = HashSet::new();
    for entry in table() {
        assert!(!entry.names.is_empty());
        for name in entry.names {
            assert!(seen.insert(*name), "`{name}` is in the table twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-+_0123456789".contains(&byte)), "{name}");
            assert!(find(name).is_some_and(|found| std::ptr::eq(found, entry)), "{name}");
        }
    }
}

#[test]
fn every_example_can_be_explained() {
    for entry in table().filter(|entry| !is_absent(entry)) {
        assert!(!entry.example.is_empty() && !entry.summary.is_empty(), "{entry:?}");
        let used = |word: &str| entry.names.iter().any(|name| word.contains(&format!("{name}:")) || word == *name);
        assert!(entry.example.split(' ').any(used) || entry.names.contains(&"-"), "{entry:?} is not in its example");
        // --explain comes first: --exec-args takes everything that follows it.
        let args = ["--explain"].into_iter().chain(entry.example.split(' '));
        let finished = run(args, "");
        finished.succeeds();
        assert!(finished.out().contains("and copy "), "{entry:?}: {finished:?}");
    }
}

#[test]
fn every_absent_row_is_named_and_says_what_to_use() {
    for entry in table() {
        let Build::Unsupported { why, .. } = entry.build else { continue };
        assert!(!why.is_empty(), "{entry:?}");
        for name in entry.names {
            let error = Spec::parse(&address(entry, name)).expect_err(name);
            let (message, hint) = (error.to_string(), error.hint().unwrap_or_default());
            assert!(message.contains(&format!("`{name}")), "{name}: {message}");
            assert!(hint.contains(why), "{name}: {hint}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}

#[test]
fn every_flag_of_a_row_is_an_option() {
    let command = command();
    let options: HashSet<_> = command.get_arguments().filter_map(|option| option.get_long()).collect();
    for entry in table() {
        for flag in entry.options() {
            assert!(options.contains(flag), "{entry:?} names --{flag}, which does not exist");
        }
    }
}
