//! Options for scripts: what is sent first, what must come, and what is printed.

use crate::{
    peer::{Message, Peer, websocket_server},
    support::{Folder, Running, Serving, run, wsplice},
};
use serde_json::Value;
use std::{fs, thread::JoinHandle, time::Duration};

/// A server that sends these texts, and gives what it received.
fn server_that_sends(texts: &'static [&'static str]) -> (String, JoinHandle<Vec<Message>>) {
    websocket_server(move |mut peer: Peer| {
        texts.iter().for_each(|text| peer.send_text(text));
        peer.receive_all()
    })
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn messages_of_send_come_before_standard_input() {
    let folder = Folder::new("send");
    let (text, bytes) = (folder.path("text"), folder.path("bytes"));
    fs::write(&text, "two\nlines\n").expect("write");
    fs::write(&bytes, b"\0\xff").expect("write");
    let (url, server) = server_that_sends(&["welcome"]);
    let args = ["--send", "first", "--send", &format!("@{text}"), "--send", &format!("@{bytes}"), "--send=-@@x", &url];
    let args = args.map(|arg| arg.replace("=-@@", "=@@"));
    assert_eq!(run(&args, "input\n").succeeds().out(), "welcome\n");
    let expected = [
        Message::text("first"),
        Message::text("two\nlines\n"),
        Message::binary(&b"\0\xff"[..]),
        Message::text("@x"),
        Message::text("input"),
    ];
    assert_eq!(server.join().expect("the server"), expected);
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    assert_eq!(run(["-1", "--send", "-x", &server.url()], "").succeeds().out(), "-x\n");
    assert_eq!(run(["-b", "--send", "raw", &server.url()], "").succeeds().out(), "raw");
}

#[test]
fn what_cannot_be_sent_first_is_told() {
    let folder = Folder::new("send-bad");
    let bytes = folder.path("bytes");
    fs::write(&bytes, b"\xff\xff").expect("write");
    run(["--send", "@/nonexistent", "mirror:"], "").fails_with(2, "cannot read /nonexistent");
    run(["--send", &format!("@{}", folder.path("")), "mirror:"], "").fails_with(2, "cannot read");
    run(["-t", "--send", &format!("@{bytes}"), "mirror:"], "").fails_with(2, "not valid UTF-8").hints("without -t");
    run(["--max-ws-message-length", "1", "--send", &format!("@{bytes}"), "ws://127.0.0.1:9/"], "")
        .fails_with(2, "longer than 1 bytes");
    run(["-s", "0", "--send", "x"], "").fails_with(2, "need a second address").hints("-P TEXT");
    run(["--broadcast", "--send", "x"], "").fails_with(2, "cannot be used with --broadcast");
}

#[test]
fn json_values_are_messages_however_many_lines_they_have() {
    let (url, server) = server_that_sends(&[]);
    let input = "{\n  \"a\": 1\n}\n[1,\n2] \"x\ny\" 3".replace("x\ny", "x y");
    run(["--json-in", &url], input).succeeds();
    let expected = ["{\n  \"a\": 1\n}", "[1,\n2]", "\"x y\"", "3"].map(Message::text);
    assert_eq!(server.join().expect("the server"), expected);
    // An overlay does the same for any address, and replies are lines as usual.
    assert_eq!(run(["json:-", "mirror:"], "{\n}\n[ ]").succeeds().out(), "{\n}\n[ ]\n");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut running = Running::start(wsplice(["--json-in", &server.url()]));
    // A value is sent as soon as it is complete.
    running.write("{\"a\":");
    running.write("1}");
    assert_eq!(running.line(), "{\"a\":1}\n");
    drop(running);
    run(["--json-in", "tcp:127.0.0.1:9"], "").fails_with(2, "--json-in does not apply");
}

#[test]
fn what_is_not_json_is_told_with_its_place_after_what_was_before_it() {
    for (input, message) in [
        ("{\"a\":1}\n{\"b\" 2}\n", "line 2, column 6 from standard input is not JSON: expected a colon"),
        ("{\"a\":1}\nhello\n", "line 2, column 1 from standard input is not JSON: expected a value"),
        ("{\"a\":1}\n[1,2", "line 2, column 5 from standard input is not JSON: it ends within a value"),
    ] {
        let (url, server) = server_that_sends(&[]);
        run(["--json-in", &url], input).fails_with(1, message).hints("each line is a message");
        assert_eq!(server.join().expect("the server"), [Message::text("{\"a\":1}")]);
    }
    let (url, server) = server_that_sends(&[]);
    let args = ["--json-in", "--max-ws-message-length", "100", &url];
    run(args, format!("[{}0]", "1,".repeat(100))).fails_with(1, "value 1 from standard input is longer than 100 bytes");
    server.join().expect("the server");
    run(["--json-in", "mirror:"], b"\"\xff\"").fails_with(1, "not valid UTF-8");
    run(["--json-in", "mirror:"], "[".repeat(20_000)).fails_with(1, "nested deeper");
}

#[test]
fn a_json_value_of_many_mebibytes_arrives_whole() {
    let value = format!("[{}0]", "1234567,\n".repeat(2_000_000));
    let args = ["--json-in", "--max-ws-message-length", "100m", "mirror:"];
    assert_eq!(run(args, &value).succeeds().out(), value + "\n");
}

#[test]
fn json_lines_show_each_message_with_its_direction() {
    let (url, server) = websocket_server(|mut peer: Peer| {
        assert_eq!(peer.receive_text(), "ask");
        peer.send_text("h\u{e9}\n\0");
        peer.send(Message::binary(&b"\xff\0"[..]));
        peer.receive_close()
    });
    let finished = run(["--jsonl", &url], "ask\n");
    let printed = lines(&finished.succeeds().out());
    server.join().expect("the server");
    let shown: Vec<_> =
        printed.iter().map(|line| (line["dir"].as_str(), line["kind"].as_str(), &line["len"])).collect();
    assert_eq!(
        shown,
        [
            (Some("sent"), Some("text"), &Value::from(3)),
            (Some("received"), Some("text"), &Value::from(5)),
            (Some("received"), Some("binary"), &Value::from(2)),
        ]
    );
    assert_eq!((&printed[1]["data"], &printed[2]["base64"]), (&Value::from("h\u{e9}\n\0"), &Value::from("/wA=")));
    assert!(printed.iter().all(|line| line["t"].as_f64().is_some_and(|time| time > 1.7e9)), "{printed:?}");
    // Also where nothing else ends a line.
    let printed = run(["-b", "--jsonl", "mirror:"], "a\nb").succeeds().out();
    assert_eq!(lines(&printed).len(), 2, "{printed}");
    run(["--jsonl", "tcp-l:127.0.0.1:0", "mirror:"], "").fails_with(2, "it is an option of stdio:");
}

#[test]
fn json_lines_show_control_frames_if_they_are_shown() {
    let (url, server) = websocket_server(|mut peer: Peer| {
        peer.send(Message::Ping("abc".into()));
        assert_eq!(peer.receive_text(), "done");
        peer.close(4000, "bye");
        peer.ends()
    });
    let mut running = Running::start(wsplice(["--jsonl", "--show-ping-pong", "-q", &url]));
    let printed = running.line() + &running.line();
    let printed = lines(&printed);
    let shown = |line: &Value| (line["dir"].clone(), line["kind"].clone(), line["data"].clone());
    assert_eq!(shown(&printed[0]), ("received".into(), "ping".into(), "abc".into()));
    assert_eq!(shown(&printed[1]), ("sent".into(), "pong".into(), "abc".into()));
    running.write("done\n");
    let finished = running.finish();
    server.join().expect("the server");
    let printed = lines(&finished.out());
    let closes: Vec<_> = printed.iter().filter(|line| line["kind"] == "close").collect();
    assert!(closes.iter().any(|close| close["dir"] == "received" && close["code"] == 4000 && close["reason"] == "bye"));
}

#[test]
fn an_expected_message_ends_the_session_and_is_all_that_is_printed() {
    for option in ["--expect", "--expect-json"] {
        let wanted = if option == "--expect" { "\"type\":\"pong\"" } else { "select(.type == \"pong\")" };
        let (url, server) = websocket_server(|mut peer: Peer| {
            peer.send_text("hello");
            assert_eq!(peer.receive_text(), "{\"type\":\"ping\"}");
            peer.send_text("{\"type\":\"other\"}");
            peer.send_text("{\"type\":\"pong\",\"n\":1}");
            peer.receive_close()
        });
        // Standard input stays open.
        let running =
            Running::start(wsplice(["--send", "{\"type\":\"ping\"}", option, wanted, "--within", "20s", &url]));
        assert_eq!(running.finish().succeeds().out(), "{\"type\":\"pong\",\"n\":1}\n");
        assert_eq!(server.join().expect("the server").0, 1000);
        // And after it has ended, longer than replies are waited for otherwise.
        let (url, server) = websocket_server(|mut peer: Peer| {
            peer.send_text("hello");
            std::thread::sleep(Duration::from_millis(700));
            peer.send_text("{\"type\":\"pong\"}");
            peer.receive_close()
        });
        assert_eq!(run([option, wanted, &url], "").succeeds().out(), "{\"type\":\"pong\"}\n");
        server.join().expect("the server");
    }
}

#[test]
fn each_of_several_expectations_must_be_met() {
    let (url, server) = server_that_sends(&["b", "x", "a", "c"]);
    let args = ["--expect", "^a$", "--expect", "^b$", &url];
    assert_eq!(run(args, "").succeeds().out(), "b\na\n");
    server.join().expect("the server");
    let (url, server) = server_that_sends(&["b"]);
    run(["--within", "200ms", "--expect", "^b$", "--expect", "^a$", &url], "")
        .fails_with(9, "matches --expect \"^a$\"");
    server.join().expect("the server");
}

#[test]
fn what_came_instead_is_shown() {
    let (url, server) = server_that_sends(&["one", "two", "th\u{1b}ree", "four"]);
    let finished = run(["--send", "hello", "--expect", "pong", "--within", "300ms", &url], "");
    finished
        .fails_with(9, "matches --expect \"pong\" within 0.3 s")
        .hints("the last 3 of 4 that were received:\n    text 3 B \"two\"");
    assert!(finished.stderr.contains("\"th\\u{1b}ree\""), "{finished:?}");
    assert!(finished.took < Duration::from_secs(10), "{finished:?}");
    assert_eq!(server.join().expect("the server"), [Message::text("hello")]);
    // Nothing, and a close frame.
    let (url, server) = server_that_sends(&[]);
    run(["--expect", "x", "--within", "0.1", &url], "").fails_with(9, "within 0.1 s").hints("nothing was received");
    server.join().expect("the server");
    let (url, server) = websocket_server(|mut peer: Peer| {
        peer.send(Message::binary(&b"\xff"[..]));
        peer.close(1008, "who are you");
        peer.ends()
    });
    run(["--expect", "x", &url], "")
        .fails_with(9, "1008 (policy violation) \"who are you\"")
        .hints("binary 1 B \"\\xff\"");
    server.join().expect("the server");
}

#[test]
fn a_server_that_never_stops_to_send_does_not_prolong_the_wait() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "sh-c:while :; do echo other; done"]);
    let finished = run(["--expect", "never", "--within", "0.5", &server.url()], "");
    assert!(finished.fails_with(9, "within 0.5 s").took < Duration::from_secs(10), "{finished:?}");
}

#[test]
fn a_signal_is_the_reason_though_a_message_is_missing() {
    let (url, server) = server_that_sends(&["other"]);
    let mut running = Running::start(wsplice(["--expect", "never", "-v", &url]));
    running.error_line("101");
    running.signal("TERM");
    assert_eq!(running.finish().code, 143);
    server.join().expect("the server");
}

#[test]
fn expressions_and_programs_that_are_wrong_are_shown_with_a_caret() {
    for (args, message, hint) in [
        (["--expect", "a(b"], "invalid value for --expect", "a(b\n   ^"),
        (["--expect-json", ".a | foo"], "there is no filter foo", ".a | foo\n       ^^^"),
        (["--filter-json", ".a | ("], "expected closing parenthesis", ".a | (\n        ^"),
    ] {
        run([args[0], args[1], "mirror:"], "").fails_with(2, message).hints(hint);
    }
    for args in [["--expect", "x", "-1"], ["--expect", "x", "-E"], ["--expect", "x", "-u"]] {
        run([&args[..], &["mirror:"]].concat(), "").fails_with(2, "cannot be used with");
    }
    run(["--within", "5s", "mirror:"], "").fails_with(2, "--expect is required with --within");
    run(["--expect", "x", "-s", "0"], "").fails_with(2, "need a second address");
    // An address in front of standard input and output is not a listener's.
    let (url, server) = server_that_sends(&["a", "b"]);
    assert_eq!(run(["--send", "hello", "--expect", "b", &url, "-"], "").succeeds().out(), "b\n");
    assert_eq!(server.join().expect("the server"), [Message::text("hello")]);
}

#[test]
fn what_comes_is_filtered_with_a_program() {
    let texts = &["{\"id\":1,\"v\":[1,2]}", "not json", "{\"id\":2,\"v\":\"x\"}", "[]", "{\"id\":1}"];
    let (url, server) = server_that_sends(texts);
    let finished = run(["--filter-json", "select(.id == 1) | .v", &url], "");
    assert_eq!(finished.succeeds().out(), "[1,2]\nnull\n");
    assert!(finished.stderr.contains("leaves out a message") && finished.stderr.matches("wsplice:").count() == 1);
    server.join().expect("the server");
    // Several results, and as many as wanted.
    let (url, server) = server_that_sends(&["[1,2,3]", "[4]"]);
    assert_eq!(run(["--filter-json", ".[]", "--replies", "4", &url], "").succeeds().out(), "1\n2\n3\n4\n");
    server.join().expect("the server");
    // Of the message that was expected.
    let (url, server) = server_that_sends(&["{\"t\":\"a\"}", "{\"t\":\"b\",\"id\":7}"]);
    let args = ["--expect-json", ".t == \"b\"", "--filter-json", ".id", &url];
    assert_eq!(run(args, "").succeeds().out(), "7\n");
    server.join().expect("the server");
}

#[test]
fn a_caret_is_below_its_place_behind_tabs_and_wide_letters() {
    for (pattern, hint) in [("a\tb(", "a b(\n     ^"), ("日本(", "日本(\n      ^"), ("é(", "é(\n   ^")] {
        run(["--expect", pattern, "mirror:"], "").fails_with(2, "invalid value for --expect").hints(hint);
    }
}

#[test]
fn a_reply_that_the_filter_leaves_out_is_a_reply() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let finished =
        run(["--reply-wait", "30s", "--filter-json", "select(.a > 5)", "--send", "{\"a\":1}", &server.url()], "");
    assert_eq!(finished.succeeds().out(), "");
    assert!(finished.took < Duration::from_secs(20), "{finished:?}");
    assert!(!finished.stderr.contains("no reply"), "{}", finished.stderr);
}

#[test]
fn a_program_that_never_ends_does_not_hold_up_the_session() {
    for (program, cause) in [
        ("repeat(.)", "more than 10000 results"),
        ("[range(infinite)]", "is too much for the program of --filter-json"),
        ("def f: 1 + f; f", "called itself too often"),
    ] {
        let (url, server) = websocket_server(|mut peer: Peer| {
            peer.send_text("1");
            // Pings are answered meanwhile.
            peer.send(Message::Ping("x".into()));
            peer.ends()
        });
        let finished = run(["--filter-json", program, &url], "");
        finished.fails_with(1, cause).hints("first(");
        assert!(finished.took < Duration::from_secs(15), "{finished:?}");
        server.join().expect("the server");
    }
    let deep = "[".repeat(1_000_000);
    let (url, server) = websocket_server(move |mut peer: Peer| {
        peer.send_text(&deep);
        peer.send_text("1");
        peer.receive_close()
    });
    assert_eq!(run(["--filter-json", ".", &url], "").succeeds().out(), "1\n");
    server.join().expect("the server");
}

#[test]
fn a_long_message_and_many_of_a_byte_pass_all_of_it() {
    let folder = Folder::new("pass-all");
    let (big, recording) = (folder.path("big"), folder.path("recording"));
    fs::write(&big, vec![0xff; 16 << 20]).expect("write");
    let limit = ["--deflate", "off"];
    let server = Serving::start([&limit[..], &["ws-l:127.0.0.1:0", "mirror:"]].concat());
    let (send, url) = (format!("@{big}"), server.url());
    let args = ["-b", "--send", &send, "--stats", "--record", &recording, "--expect", "^.{100}", &url];
    let finished = run([&limit[..], &args].concat(), "");
    assert_eq!(finished.succeeds().stdout.len(), 16 << 20);
    assert!(finished.stderr.contains("received 1 message, 16777216 bytes"), "{}", finished.stderr);
    let input = "7\n".repeat(20_000);
    let finished = run(["--stats", "--filter-json", ". + 1", "--replies", "20000", &url], &input);
    assert_eq!(finished.succeeds().out(), "8\n".repeat(20_000));
    assert!(finished.stderr.contains("* sent 20000 messages, 20000 bytes in "), "{}", finished.stderr);
}

#[test]
fn totals_rates_and_round_trips_are_told_at_the_end() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let finished = run(["--stats", &server.url()], "a\nbc\n");
    assert_eq!(finished.succeeds().out(), "a\nbc\n");
    for text in [
        "* sent 2 messages, 3 bytes in ",
        "* received 2 messages, 3 bytes in ",
        " messages/s",
        " B/s",
        "* round trips of 1 ping: shortest ",
    ] {
        assert!(finished.stderr.contains(text), "no {text:?} in {finished:?}");
    }
    // Also when it is stopped.
    let mut running = Running::start(wsplice(["--stats", &server.url()]));
    running.write("hello\n");
    assert_eq!(running.line(), "hello\n");
    running.signal("TERM");
    let finished = running.finish();
    assert!(finished.code == 143 && finished.stderr.contains("* sent 1 message, 5 bytes"), "{finished:?}");
}
