//! `--record` and `replay:`.

use crate::{
    peer::{Message, Peer, websocket_server},
    support::{Folder, Running, Serving, run, wsplice},
};
use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// The frames of a recording, as direction, kind and data.
fn frames(path: &str) -> Vec<(String, String, Value)> {
    let text = fs::read_to_string(path).expect("a recording");
    let frame = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let data = ["data", "base64", "code"].iter().find_map(|name| line.get(name)).cloned().unwrap_or_default();
        (line["dir"].as_str().expect("dir").into(), line["kind"].as_str().expect("kind").into(), data)
    };
    text.lines().map(frame).collect()
}

fn line(at: f64, dir: &str, text: &str) -> String {
    format!("{}\n", json!({"t": at, "dir": dir, "kind": "text", "len": text.len(), "data": text}))
}

fn is_message(frame: &&(String, String, Value)) -> bool {
    matches!(&*frame.1, "text" | "binary")
}

#[test]
fn a_session_is_recorded_with_its_control_frames_and_played_again() {
    let folder = Folder::new("record");
    let (first, second) = (folder.path("first"), folder.path("second"));
    let (url, server) = websocket_server(|mut peer: Peer| {
        assert_eq!(peer.receive_text(), "h\u{e9}");
        peer.send_text("reply");
        peer.send(Message::binary(&b"\xff\0"[..]));
        peer.send(Message::Ping("p".into()));
        peer.receive_close()
    });
    assert_eq!(run(["--record", &first, &url], "h\u{e9}\n").succeeds().stdout, b"reply\n\xff\0\n");
    server.join().expect("the server");
    let recorded = frames(&first);
    let is_there = |dir: &str, kind: &str, data: Value| recorded.contains(&(dir.into(), kind.into(), data));
    assert!(is_there("sent", "text", "h\u{e9}".into()), "{recorded:?}");
    assert!(is_there("received", "text", "reply".into()), "{recorded:?}");
    assert!(is_there("received", "binary", "/wA=".into()), "{recorded:?}");
    assert!(is_there("received", "ping", "p".into()) && is_there("sent", "pong", "p".into()), "{recorded:?}");
    assert!(is_there("sent", "close", 1000.into()), "{recorded:?}");
    // As the client that it was.
    let (url, server) = websocket_server(|mut peer: Peer| {
        let text = peer.receive_text();
        peer.send_text("reply");
        peer.send(Message::binary(&b"\xff\0"[..]));
        (text, peer.receive_close())
    });
    run(["--record", &second, &format!("replay:{first}"), &url], "").succeeds();
    assert_eq!(server.join().expect("the server"), ("h\u{e9}".to_owned(), (1000, String::new())));
    let again: Vec<_> = frames(&second).into_iter().filter(|frame| is_message(&frame)).collect();
    assert_eq!(again, recorded.into_iter().filter(|frame| is_message(&frame)).collect::<Vec<_>>());
    // As the server of a client.
    let server = Serving::start(["ws-l:127.0.0.1:0", &format!("replay:{first}")]);
    let mut client = Peer::connect(server.port, "/");
    assert_eq!((client.receive(), client.receive()), (Message::text("reply"), Message::binary(&b"\xff\0"[..])));
}

#[test]
fn what_json_lines_print_is_played_too() {
    let folder = Folder::new("replay-jsonl");
    let path = folder.path("printed");
    let printed = run(["--jsonl", "mirror:"], "one\ntwo\n");
    fs::write(&path, &printed.succeeds().stdout).expect("write");
    assert_eq!(run([&format!("replay:{path}"), "stdio:"], "").succeeds().out(), "one\ntwo\n");
    assert_eq!(run(["--replay-dir", "received", &format!("replay:{path}"), "-"], "").succeeds().out(), "one\ntwo\n");
}

#[test]
fn pauses_are_those_of_the_recording_or_shorter() {
    let folder = Folder::new("replay-speed");
    let path = folder.path("recording");
    fs::write(&path, line(100.0, "received", "x") + &line(101.0, "sent", "a") + &line(102.0, "sent", "b"))
        .expect("write");
    for (speed, least, most) in [("1x", 2.0, 30.0), ("2", 1.0, 30.0), ("100x", 0.0, 1.9), ("max", 0.0, 1.9)] {
        let (url, server) = websocket_server(|mut peer: Peer| {
            let started = Instant::now();
            assert_eq!((peer.receive_text(), peer.receive_text()), ("a".into(), "b".into()));
            let took = started.elapsed();
            peer.receive_close();
            took
        });
        run(["--replay-speed", speed, &format!("replay:{path}"), &url], "").succeeds();
        let took = server.join().expect("the server").as_secs_f64();
        assert!((least - 0.1..most).contains(&took), "{speed}: {took}");
    }
    for speed in ["0", "-1", "x", "fast", "nan", "inf", ""] {
        run(["--replay-speed", speed, &format!("replay:{path}"), "null:"], "").fails_with(2, "--replay-speed");
    }
    run(["--replay-speed", "2x", "mirror:"], "").fails_with(2, "it is an option of replay:");
}

#[test]
fn a_recording_without_a_close_frame_is_played_to_its_end() {
    let folder = Folder::new("replay_to_the_end");
    let text = line(1.0, "sent", "question") + &line(1.4, "received", "answer");
    fs::write(folder.path("lost"), text).expect("write");
    let (url, server) = websocket_server(|mut peer: Peer| {
        assert_eq!(peer.receive_text(), "question");
        peer.receive_close()
    });
    let played = run([&format!("replay:{}", folder.path("lost")), &url], "");
    assert!(played.took >= Duration::from_millis(400), "{played:?}");
    played.succeeds();
    assert_eq!(server.join().expect("the server").0, 1000);
}

#[test]
fn a_recording_that_is_cut_off_is_played_up_to_there() {
    let folder = Folder::new("replay-cut");
    let path = folder.path("recording");
    let whole = line(1.0, "sent", "one") + &line(1.0, "sent", "two") + &line(1.0, "sent", "three");
    fs::write(&path, &whole[..whole.len() - 10]).expect("write");
    let (url, server) =
        websocket_server(|mut peer: Peer| (peer.receive_text(), peer.receive_text(), peer.receive_close()));
    let finished = run([&format!("replay:{path}"), &url], "");
    finished.fails_with(1, &format!("line 3 from {path} is cut off")).hints("has been played");
    assert_eq!(server.join().expect("the server"), ("one".into(), "two".into(), (1011, String::new())));
    // What is wrong elsewhere.
    for (text, reason) in [
        ("hello\n".to_owned(), "line 1 from"),
        (line(1.0, "sent", "a") + "{\"dir\":\"up\"}\n" + &line(1.0, "sent", "b"), "line 2 from"),
        ("{\"log\":{\"entries\":[]}}".to_owned(), "holds no messages of a WebSocket"),
        (line(1e300, "sent", "a"), "has no valid time"),
        ("\0".repeat(1000), "is cut off"),
    ] {
        fs::write(&path, text).expect("write");
        run([&format!("replay:{path}"), "null:"], "").fails_with(1, reason);
    }
    run(["--max-ws-message-length", "10", &format!("replay:{path}"), "null:"], "").fails_with(1, "");
    run([&format!("replay:{}", folder.path("none")), "null:"], "").fails_with(2, "cannot open");
    run([&format!("replay:{}", folder.path("")), "null:"], "").fails_with(2, "cannot open");
    fs::write(&path, "").expect("write");
    run([&format!("replay:{path}"), "null:"], "").succeeds();
}

#[test]
fn a_recording_of_which_nothing_is_played_says_so() {
    let folder = Folder::new("replay-nothing");
    let path = folder.path("recording");
    let bad = json!({"log": {"entries": [{"_webSocketMessages": [
        {"type": "send", "time": 1.0, "opcode": 2, "data": "!"}, {"type": "send", "time": 1.0, "opcode": 1, "data": "a"},
    ]}]}});
    for text in ["hello\n", "{\"log\":{\n", "{\"log\":{\"entries\":[]}}", &bad.to_string()] {
        fs::write(&path, text).expect("write");
        run([&format!("replay:{path}"), "null:"], "").fails_with(1, "").hints("nothing was played");
    }
}

#[test]
fn a_har_file_with_a_bad_message_is_played_up_to_there() {
    let folder = Folder::new("replay-bad-har");
    let path = folder.path("panel.har");
    let har = json!({"log": {"entries": [{"_webSocketMessages": [
        {"type": "send", "time": 1.0, "opcode": 1, "data": "one"},
        {"type": "receive", "time": 1.0, "opcode": 1, "data": "answer"},
        {"type": "send", "time": 1.0, "opcode": 2, "data": "!"},
        {"type": "send", "time": 1.0, "opcode": 1, "data": "two"},
    ]}]}});
    fs::write(&path, har.to_string()).expect("write");
    let (url, server) = websocket_server(|mut peer: Peer| (peer.receive_text(), peer.receive_close()));
    let finished = run([&format!("replay:{path}"), &url], "");
    finished.fails_with(1, "has a message, number 3, that has invalid base64").hints("has been played");
    assert_eq!(server.join().expect("the server"), ("one".into(), (1011, String::new())));
}

#[test]
fn a_recording_is_not_replaced_while_it_is_played() {
    let folder = Folder::new("replay-itself");
    let path = folder.path("recording");
    let text = line(1.0, "sent", "one");
    fs::write(&path, &text).expect("write");
    run(["--record", &path, &format!("replay:{path}"), "null:"], "").fails_with(2, "which is played");
    let other = folder.path("./recording");
    run(["--record", &other, &format!("replay:{path}"), "null:"], "").fails_with(2, "which is played");
    assert_eq!(fs::read_to_string(&path).expect("the recording"), text);
    run(["--record", "-", "mirror:"], "").fails_with(2, "--record needs the name of a file").hints("--jsonl");
}

#[test]
fn a_recording_without_messages_or_with_a_bad_time_is_told() {
    let folder = Folder::new("replay-empty");
    let path = folder.path("recording");
    fs::write(&path, "").expect("write");
    let finished = run([&format!("replay:{path}"), "null:"], "");
    assert!(finished.succeeds().stderr.contains("has no messages"));
    fs::write(&path, line(1.0, "sent", "a").replace("1.0", "\"x\"")).expect("write");
    let text = fs::read_to_string(&path).expect("the recording");
    assert!(text.contains("\"x\""), "{text}");
    run([&format!("replay:{path}"), "null:"], "").fails_with(1, "has no valid time");
}

#[test]
fn a_recording_may_begin_with_a_byte_order_mark() {
    let folder = Folder::new("replay-mark");
    let path = folder.path("recording");
    let har = json!({"log": {"entries": [{"_webSocketMessages": [
        {"type": "send", "time": 1.0, "opcode": 1, "data": "one"},
    ]}]}});
    for text in [line(1.0, "sent", "one"), har.to_string()] {
        fs::write(&path, format!("\u{feff}{text}")).expect("write");
        assert_eq!(run([&format!("replay:{path}"), "-"], "").succeeds().out(), "one\n");
    }
}

#[test]
fn a_har_file_of_a_browser_is_played() {
    let folder = Folder::new("replay-har");
    let path = folder.path("panel.har");
    let har = json!({"log": {"version": "1.2", "entries": [
        {"request": {"url": "https://example.com/"}},
        {"request": {"url": "wss://example.com/"}, "_webSocketMessages": [
            {"type": "send", "time": 1764115269.1, "opcode": 1, "data": "question"},
            {"type": "receive", "time": 1764115269.2, "opcode": 1, "data": "answer"},
            {"type": "send", "time": 1764115269.3, "opcode": 2, "data": "/wA="},
            {"type": "error", "time": 1764115269.4, "opcode": -1, "data": "Connection closed abnormally"},
        ]},
        {"_webSocketMessages": [{"type": "send", "time": 1764115269.1, "opcode": 1, "data": "other"}]},
    ]}});
    for text in [har.to_string(), serde_json::to_string_pretty(&har).expect("JSON")] {
        fs::write(&path, text).expect("write");
        let (url, server) = websocket_server(|mut peer: Peer| peer.receive_all());
        let finished = run([&format!("replay:{path}"), &url], "");
        assert!(finished.succeeds().stderr.contains("other WebSockets, too (1)"), "{finished:?}");
        let expected = [Message::text("question"), Message::binary(&b"\xff\0"[..])];
        assert_eq!(server.join().expect("the server"), expected);
        let server = Serving::start(["ws-l:127.0.0.1:0", &format!("replay:{path}")]);
        assert_eq!(Peer::connect(server.port, "/").receive_text(), "answer");
    }
}

#[test]
fn a_recorded_scene_is_played_in_a_room() {
    let folder = Folder::new("replay-scene");
    let path = folder.path("scene");
    let server = Serving::start(["--broadcast", "ws-l:127.0.0.1:0"]);
    let room = |name: &str| format!("{}{name}", server.url());
    let mut recorder = Running::start(wsplice(["--record", &path, &room("scene")]));
    recorder.write("me\n");
    assert_eq!(recorder.line(), "me\n");
    let mut others = [0, 1].map(|_| Peer::connect(server.port, "/scene"));
    for (at, other) in others.iter_mut().enumerate() {
        other.send_text(&format!("member {at}"));
        assert_eq!(recorder.line(), format!("member {at}\n"));
    }
    recorder.close_input();
    recorder.finish().succeeds();
    let mut member = Peer::connect(server.port, "/again");
    run(["--replay-dir", "received", "--replay-speed", "max", &format!("replay:{path}"), &room("again")], "")
        .succeeds();
    for text in ["me", "member 0", "member 1"] {
        assert_eq!(member.receive_text(), text);
    }
}

#[test]
fn a_full_disk_is_told_once_and_the_session_goes_on() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut running = Running::start(wsplice(["--record", "/dev/full", &server.url()]));
    for number in 0..20 {
        running.write(format!("{number}\n"));
        assert_eq!(running.line(), format!("{number}\n"));
    }
    running.close_input();
    let finished = running.finish();
    let warnings = finished.succeeds().stderr.matches("cannot write /dev/full: No space left on device").count();
    assert_eq!(warnings, 1, "{finished:?}");
    run(["--record", "/nonexistent/file", &server.url()], "").fails_with(2, "cannot open /nonexistent/file");
    run(["--record", "/tmp", &server.url()], "").fails_with(2, "cannot open /tmp");
}

#[test]
fn a_recording_has_what_was_before_when_the_run_is_killed() {
    let folder = Folder::new("record-killed");
    let path = folder.path("recording");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut running = Running::start(wsplice(["--record", &path, &server.url()]));
    running.write("hello\n");
    assert_eq!(running.line(), "hello\n");
    running.signal("KILL");
    running.finish();
    let texts: Vec<_> = frames(&path).into_iter().map(|(dir, _, data)| (dir, data)).collect();
    assert_eq!(texts, [("sent".to_owned(), "hello".into()), ("received".to_owned(), "hello".into())]);
}

#[test]
fn the_sessions_of_a_listener_are_recorded_into_one_file() {
    let folder = Folder::new("record-listener");
    let path = folder.path("recording");
    let server = Serving::start(["--record", &path, "ws-l:127.0.0.1:0", "mirror:"]);
    let clients: Vec<_> = (0..4)
        .map(|number: u32| {
            let port = server.port;
            thread::spawn(move || {
                let mut client = Peer::connect(port, "/");
                for _ in 0..100 {
                    client.send_text(&number.to_string());
                    assert_eq!(client.receive_text(), number.to_string());
                }
                client.close(1000, "");
                assert!(client.ends());
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    let recorded = crate::support::wait_for("all lines", || {
        let recorded = frames(&path);
        (recorded.iter().filter(is_message).count() == 800).then_some(recorded)
    });
    assert_eq!(recorded.iter().filter(|frame| frame.0 == "sent" && frame.1 == "text").count(), 400);
}
