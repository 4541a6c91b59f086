//! The options for scripts, against Node's `ws` and Python's `websockets`, and a HAR file of Chromium's network panel.

use crate::{
    peer::{Peer, node, python, script},
    support::{Folder, Running, Serving, run},
};
use serde_json::Value;
use std::fs;

/// A server of each kind, which sends everything back and prints a line for each message. Lines about the handshake are read.
fn echoes() -> [Peer; 2] {
    let node = Peer::start(node("ws_server.js", ["echo"]), "port ");
    let python = Peer::start(python("ws_server.py", ["echo"]), "port ");
    [node, python]
}

/// The peer says these lines, after what Python says of the handshake.
#[track_caller]
fn says(peer: &mut Peer, lines: &[&str]) {
    for (at, expected) in lines.iter().enumerate() {
        let mut line = peer.running.line();
        if at == 0 && line.starts_with("protocol ") {
            line = peer.running.line();
        }
        assert_eq!(line.trim_end_matches('\n'), *expected);
    }
}

fn frames(text: &str) -> Vec<(String, String, Value)> {
    let frame = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let data = ["data", "base64", "code"].iter().find_map(|name| line.get(name)).cloned().unwrap_or_default();
        (line["dir"].as_str().expect("dir").into(), line["kind"].as_str().expect("kind").into(), data)
    };
    text.lines().map(frame).collect()
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn messages_are_sent_first_and_the_expected_reply_is_printed() {
    for mut peer in echoes() {
        let args = ["--send", "{\"id\":1}", "--send", "{\"id\":7}", "--within", "20s"];
        for expected in [["--expect", "\"id\": ?7"], ["--expect-json", ".id == 7"]] {
            let finished = run([&args[..], &expected, &[&peer.url()]].concat(), "");
            assert_eq!(finished.succeeds().out(), "{\"id\":7}\n");
            says(&mut peer, &[r#"text "{\"id\":1}""#, r#"text "{\"id\":7}""#, r#"closed 1000 """#]);
        }
        let finished = run([&args[..4], &["--within", "0.3s", "--expect-json", ".id == 8", &peer.url()]].concat(), "");
        finished.fails_with(9, "matches --expect-json \".id == 8\" within 0.3 s").hints(r#"{\"id\":7}"#);
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn results_of_a_program_are_printed_in_place_of_messages() {
    for peer in echoes() {
        let input = "{\"id\":1,\"name\":\"a\"}\nno JSON\n{\"id\":2,\"name\":\"zw\u{f6}lf \u{2713}\"}\n";
        let finished = run(["--filter-json", "select(.id > 1).name", &peer.url()], input);
        assert_eq!(finished.succeeds().out(), "\"zw\u{f6}lf \u{2713}\"\n");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn each_json_value_is_a_message_and_each_message_a_json_line() {
    for mut peer in echoes() {
        let input = "{\n  \"a\": 1\n}\n[1,\n2] \"\u{2713}\"";
        let finished = run(["--json-in", "--jsonl", &peer.url()], input);
        says(&mut peer, &[r#"text "{\n  \"a\": 1\n}""#, r#"text "[1,\n2]""#, "text \"\\\"\u{2713}\\\"\""]);
        let values = ["{\n  \"a\": 1\n}", "[1,\n2]", "\"\u{2713}\""];
        let printed = frames(&finished.succeeds().out());
        for direction in ["sent", "received"] {
            let texts: Vec<_> = printed.iter().filter(|frame| frame.0 == direction).map(|frame| &frame.2).collect();
            assert_eq!(texts, values, "{direction}: {printed:?}");
        }
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn totals_and_the_round_trips_of_pings_are_printed_at_the_end() {
    for peer in echoes() {
        let finished = run(["--stats", &peer.url()], "a\nbc\n");
        assert_eq!(finished.succeeds().out(), "a\nbc\n");
        for text in ["* sent 2 messages, 3 bytes", "* received 2 messages, 3 bytes", "* round trips of 1 ping: "] {
            assert!(finished.stderr.contains(text), "no {text:?} in {finished:?}");
        }
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_session_with_one_peer_is_recorded_and_played_to_the_other() {
    let folder = Folder::new("peers-record");
    let (path, bytes) = (folder.path("recording"), folder.path("bytes"));
    fs::write(&bytes, [0, 255, 10]).expect("write");
    let [mut first, mut second] = echoes();
    let args = ["--record", &path, "--send", &format!("@{bytes}"), &first.url()];
    run(args, "zw\u{f6}lf \u{2713}\nlast\n").succeeds();
    let heard = ["binary 00ff0a", "text \"zw\u{f6}lf \u{2713}\"", "text \"last\"", r#"closed 1000 """#];
    says(&mut first, &heard);
    run([&format!("replay:{path}"), &second.url()], "").succeeds();
    says(&mut second, &heard);
    let recorded = frames(&fs::read_to_string(&path).expect("the recording"));
    for frame in [("sent", "close", Value::from(1000)), ("received", "close", Value::from(1000))] {
        let is_there = recorded.iter().any(|(dir, kind, data)| (&**dir, &**kind, data) == (frame.0, frame.1, &frame.2));
        assert!(is_there, "no {frame:?} in {recorded:?}");
    }
    // What the first peer said, said to clients of each kind.
    for client in [node("ws_client.js", ["listen"]), python("ws_client.py", ["listen"])] {
        let server = Serving::start(["ws-l:127.0.0.1:0", &format!("replay:{path}")]);
        let mut client = client;
        let out = Running::start({
            client.arg(server.url());
            client
        })
        .finish()
        .out();
        let expected = [&heard[..3], &["closed 1000 \"\""]].concat().join("\n");
        assert!(out.ends_with(&format!("{expected}\n")), "{out}");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_har_file_that_chromium_wrote_is_played_in_a_room() {
    let folder = Folder::new("peers-har");
    let path = folder.path("panel.har");
    let page = format!("/page.html:text/html:{}", script("page.html"));
    let mirror = Serving::start(["-F", &page, "ws-l:127.0.0.1:0", "mirror:"]);
    let url = format!("http://127.0.0.1:{}/page.html", mirror.port);
    let finished = Running::start(node("har.js", [&*url, &path])).finish();
    assert_eq!(finished.code, 0, "{finished:?}");
    let har: Value = serde_json::from_slice(&fs::read(&path).expect("a HAR file")).expect("JSON");
    assert_eq!(har["log"]["creator"]["name"], "WebInspector");
    let rooms = Serving::start(["--broadcast", "ws-l:127.0.0.1:0"]);
    let mut member = Peer::client(node("room_member.js", [&*format!("{}room", rooms.url())]));
    assert!(member.running.line().starts_with("joined"));
    let args = ["--replay-speed", "max", &format!("replay:{path}"), &format!("{}room", rooms.url())];
    run(args, "").succeeds();
    let heard =
        [r#"text "hello""#, r#"text """#, "text \"zwei\\nZeilen \u{2713} \u{1f980}\"", "binary 00ff0a", "binary "];
    heard.iter().for_each(|line| _ = member.says(line));
    // What the page received.
    let server = Serving::start(["ws-l:127.0.0.1:0", "--replay-speed", "max", &format!("replay:{path}")]);
    let client = Running::start(node("ws_client.js", ["listen", &server.url()])).finish();
    assert_eq!(client.out(), format!("{}\nclosed 1000 \"\"\n", heard.join("\n")));
}
