//! `-h`, `--help` and `--help TOPIC`, and the words of other tools.

use crate::support::run;
use wsplice::{cli::command, registry::table};

#[test]
fn short_help_is_one_screen_whose_options_exist() {
    let finished = run(["-h"], "");
    let text = finished.succeeds().out();
    assert!(text.lines().count() <= 40 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let command = command();
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '/' | '(' | ')')) {
        let is_known = match word.strip_prefix("--") {
            Some(long) => {
                long == "help"
                    || command.get_opts().any(|arg| arg.get_long() == Some(long.trim_matches(',')))
                    || command.get_arguments().any(|arg| arg.get_long() == Some(long))
            }
            None => match word.strip_prefix('-') {
                Some(short) => {
                    short.is_empty()
                        || short == "h"
                        || short
                            .chars()
                            .all(|letter| command.get_arguments().any(|arg| arg.get_short() == Some(letter)))
                }
                None => true,
            },
        };
        assert!(is_known, "{word} in {text}");
    }
    assert_eq!(run(["--help=short"], "").succeeds().out(), text);
}

#[test]
fn long_help_has_everything_under_each_of_its_names() {
    let long = run(["--help"], "").succeeds().out();
    assert!(long.contains("Addresses:") && long.contains("Exit codes:") && long.contains("--broadcast"));
    for args in [&["--help=long"][..], &["--help=full"], &["--help", "long"], &["ws://x/", "--help"]] {
        assert_eq!(run(args, "").succeeds().out(), long, "{args:?}");
    }
    // What websocat calls these has the details of each address besides, or all addresses and overlays.
    let doc = run(["--help=doc"], "").succeeds().out();
    assert!(doc.starts_with(&long) && doc.matches("Example: wsplice ").count() > 40, "{doc}");
    let types = run(["--help=types"], "").succeeds().out();
    assert!(types.contains("ws-listen:") && types.contains("reuse:"), "{types}");
}

#[test]
fn each_group_that_short_help_names_is_a_topic() {
    let short = run(["-h"], "").out();
    let (_, groups) = short.split_once("or a group: ").expect("the groups");
    for group in groups.split([',', '\n', '.', ' ']).filter(|word| !word.is_empty()) {
        let text = run(["--help", group], "").succeeds().out();
        assert!(text.lines().count() > 3, "{group}: {text}");
    }
    for (topic, has, lacks) in [
        ("rooms", "--room-prefix", "--cert"),
        ("room", "--room-prefix", "--cert"),
        ("tls", "--cert", "--room-prefix"),
        ("listeners", "--conncap", "--cert"),
        ("proxy", "--noproxy", "--cert"),
        ("exit-codes", "124", "--cert"),
        ("addresses", "ws-listen:", "reuse:"),
        ("overlays", "reuse:", "ws-listen:"),
    ] {
        let text = run(["--help", topic], "").succeeds().out();
        assert!(text.contains(has) && !text.contains(lacks), "{topic}: {text}");
    }
}

#[test]
fn each_address_and_each_option_is_a_topic() {
    for entry in table() {
        for name in entry.names {
            let text = run(["--help", name], "").succeeds().out();
            assert!(text.contains(entry.names[0]), "{name}: {text}");
        }
    }
    for (topic, part) in [("ws-l:", "l-ws:"), ("ws://", "ws:"), ("wss://example.com/chat", "wss:"), ("-", "stdio:")] {
        let text = run(["--help", topic], "").succeeds().out();
        assert!(text.contains(part) && text.contains("Example: wsplice"), "{topic}: {text}");
    }
    for (topic, part) in
        [("--proxy", "socks5h://"), ("-k", "--insecure"), ("--user", "--basic-auth"), ("insecure", "-k")]
    {
        let text = run(["--help", topic], "").succeeds().out();
        assert!(text.contains(part) && text.lines().count() < 12, "{topic}: {text}");
    }
    for arg in command().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)) {
        if !matches!(arg.as_str(), "help" | "version") {
            run(["--help", &format!("--{arg}")], "").succeeds();
        }
    }
}

#[test]
fn an_unknown_topic_is_an_error_with_a_similar_one() {
    run(["--help", "mirro"], "").fails_with(2, "there is no help for `mirro`").hints("--help mirror");
    run(["--help", "--exlpain"], "").fails_with(2, "no help for `--exlpain`").hints("--help explain");
    run(["--help", "qqqqqq"], "").fails_with(2, "no help for `qqqqqq`").hints("wsplice -h");
    run(["--help", ""], "").fails_with(2, "no help for ``");
}

#[test]
fn the_words_of_other_tools_lead_to_ours() {
    for (option, hint) in [
        ("--data", "-x TEXT"),
        ("-d", "-x TEXT"),
        ("--output", ">FILE"),
        ("--unix-socket", "ws+unix:PATH"),
        ("--connect-to", "--resolve"),
        ("--referer", "-H 'Referer:"),
        ("--include", "-v"),
        ("--trace-ascii", "-vv"),
        ("--socks4", "--proxy socks5"),
        ("--compressed", "--deflate"),
        ("--no-check", "-k"),
        ("--host", "-H 'Host:"),
        ("--port", "-s PORT"),
        ("--ssl", "wss-l:"),
        ("--sslcert", "--cert"),
        ("--devconsole", "-F"),
    ] {
        run([option, "x", "ws://127.0.0.1:9/"], "")
            .fails_with(2, &format!("the option {option} is not available"))
            .hints(hint);
    }
}
