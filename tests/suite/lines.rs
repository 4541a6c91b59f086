//! Lines and messages: kinds, boundaries, emptiness and size from end to end.

use crate::{
    peer::{Message, Peer, websocket_server},
    raw::{BINARY, CONTINUATION, RawPeer, TEXT, from_client, unfinished},
    rooms_bad_input::{memory, until_memory_is_back},
    support::{Folder, Serving, one_connection, run},
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    thread,
};

/// The messages that a server gets from a run with these arguments (its URL is added) and this input.
#[track_caller]
fn messages_sent(args: &[&str], input: &[u8]) -> Vec<Message> {
    let (url, server) = websocket_server(|mut peer| {
        std::iter::from_fn(|| Some(peer.receive()).filter(|message| !message.is_close())).collect()
    });
    run([args, &[&*url]].concat(), input).succeeds();
    server.join().expect("the server")
}

/// What a run with these arguments prints of these messages.
#[track_caller]
fn printed<const N: usize>(args: &[&str], messages: [Message; N]) -> Vec<u8> {
    let (url, server) = websocket_server(move |mut peer| {
        messages.into_iter().for_each(|message| peer.send(message));
        peer.close(1000, "");
        peer.ends();
    });
    let finished = run([args, &[&*url]].concat(), "");
    server.join().expect("the server");
    finished.succeeds();
    finished.stdout
}

#[test]
fn lines_come_back_from_a_mirror_as_they_were() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let finished = run([&server.url()], "one\n\ntwo words\nlast without newline");
    finished.succeeds();
    assert_eq!(finished.out(), "one\n\ntwo words\nlast without newline\n");
    assert_eq!(finished.stderr, "");
}

#[test]
fn a_line_of_standard_input_is_a_text_message_without_its_newline() {
    let sent = messages_sent(&[], "one\n\n two\t\r\nlast".as_bytes());
    assert_eq!(sent, [Message::text("one"), Message::text(""), Message::text(" two\t\r"), Message::text("last")]);
}

#[test]
fn a_line_of_a_process_a_file_or_a_literal_is_a_text_message() {
    let folder = Folder::new("lines");
    let file = folder.path("file");
    std::fs::write(&file, "a\nb\n").expect("write");
    for source in [format!("readfile:{file}"), "literal:a\nb".into(), format!("cmd:cat {file}")] {
        assert_eq!(messages_sent(&[&source], b""), [Message::text("a"), Message::text("b")], "{source}");
    }
}

#[test]
fn with_b_what_was_read_is_a_binary_message() {
    assert_eq!(messages_sent(&["-b"], b"one\ntwo\n"), [Message::binary("one\ntwo\n")]);
    assert_eq!(messages_sent(&["-b", "lines:-"], b"one\ntwo\n"), [Message::binary("one"), Message::binary("two")]);
}

#[test]
fn chunks_in_front_of_standard_input_take_what_was_read() {
    assert_eq!(messages_sent(&["chunks:-"], b"one\ntwo\n"), [Message::binary("one\ntwo\n")]);
    assert_eq!(messages_sent(&["-t", "chunks:-"], b"one\ntwo\n"), [Message::text("one\ntwo\n")]);
}

#[test]
fn with_0_a_zero_byte_ends_a_line() {
    assert_eq!(messages_sent(&["-0"], b"one\ntwo\0three\0"), [Message::text("one\ntwo"), Message::text("three")]);
    assert_eq!(printed(&["-0"], [Message::text("a\nb"), Message::text("")]), b"a\nb\0\0");
}

#[test]
fn what_a_socket_sends_is_binary_unless_options_say_otherwise() {
    for (args, address, expected) in [
        (&[][..], "tcp:", vec![Message::binary("a\nb\n")]),
        (&["-t"], "tcp:", vec![Message::text("a"), Message::text("b")]),
        (&[], "lines:tcp:", vec![Message::text("a"), Message::text("b")]),
    ] {
        let (port, server) = one_connection(|mut stream| {
            stream.write_all(b"a\nb\n").expect("write");
            stream.shutdown(Shutdown::Write).expect("half-close");
            stream.read_to_end(&mut Vec::new()).expect("read");
        });
        let serving = Serving::start([args, &["ws-l:0", &format!("{address}127.0.0.1:{port}")]].concat());
        let mut client = Peer::connect(serving.port, "/");
        for message in expected {
            assert_eq!(client.receive(), message, "{args:?} {address}");
        }
        assert_eq!(client.receive_close().0, 1000);
        server.join().expect("the server");
    }
}

#[test]
fn a_socket_gets_messages_without_newlines_unless_it_has_lines() {
    for (address, expected) in [("tcp:", "onetwo\n"), ("lines:tcp:", "one\ntwo\n\n\n")] {
        let (port, server) = one_connection(|mut stream| {
            let mut heard = String::new();
            stream.read_to_string(&mut heard).expect("read");
            heard
        });
        let serving = Serving::start(["ws-l:0", &format!("{address}127.0.0.1:{port}")]);
        let mut client = Peer::connect(serving.port, "/");
        client.send_text("one");
        client.send(Message::binary("two\n"));
        client.send_text("");
        client.close(1000, "");
        client.receive();
        assert_eq!(server.join().expect("the server"), expected);
    }
}

#[test]
fn a_message_is_printed_as_its_own_bytes_and_one_newline() {
    let messages =
        [Message::text("a\nb"), Message::text(""), Message::binary(&b"\xff\0\x80"[..]), Message::text("c\r\n")];
    assert_eq!(printed(&[], messages), b"a\nb\n\n\xff\0\x80\nc\r\n\n");
}

#[test]
fn with_one_line_newlines_inside_a_message_become_spaces() {
    assert_eq!(printed(&["--one-line"], [Message::text("a\nb\n"), Message::text("c")]), b"a b \nc\n");
}

#[test]
fn with_b_messages_are_printed_without_a_newline() {
    assert_eq!(
        printed(
            &["-b"],
            [Message::text("a"), Message::binary(&b"\xff"[..]), Message::binary(&b""[..]), Message::text("b\n")]
        ),
        b"a\xffb\n"
    );
}

#[test]
fn a_file_gets_a_line_for_each_message() {
    let folder = Folder::new("write");
    let file = folder.path("out");
    std::fs::write(&file, "old\n").expect("write");
    for (address, expected) in [("appendfile", "old\na\n\n"), ("writefile", "a\n\n")] {
        let (url, server) = websocket_server(|mut peer| {
            peer.send_text("a");
            peer.send_text("");
            peer.close(1000, "");
            peer.ends()
        });
        run([&url, &format!("{address}:{file}")], "").succeeds();
        server.join().expect("the server");
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), expected);
    }
}

#[test]
fn kind_emptiness_and_boundaries_pass_a_proxy_and_a_mirror() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let proxy = Serving::start(["ws-l:0", &mirror.url()]);
    let mut client = Peer::connect(proxy.port, "/");
    let messages = [
        Message::text("text"),
        Message::binary(&b"bin\xff"[..]),
        Message::text(""),
        Message::binary(&b""[..]),
        Message::text("\u{1f310}\n\0"),
        Message::text("x"),
    ];
    for message in &messages {
        client.send(message.clone());
    }
    for message in messages {
        assert_eq!(client.receive(), message);
    }
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn t_and_b_change_nothing_between_messages() {
    for option in ["-t", "-b"] {
        let server = Serving::start([option, "ws-l:0", "mirror:"]);
        let mut client = Peer::connect(server.port, "/");
        for message in [Message::text("a\nb"), Message::binary("a\nb")] {
            client.send(message.clone());
            assert_eq!(client.receive(), message, "{option}");
        }
    }
}

#[test]
fn a_literal_reply_answers_each_message() {
    let server = Serving::start(["ws-l:0", "literalreply:pong"]);
    assert_eq!(run([&server.url()], "a\nb\n\n").succeeds().out(), "pong\npong\npong\n");
}

#[test]
fn messages_of_every_size_stay_whole() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = RawPeer::connect(server.port, "/");
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 200_000, 12 << 20] {
        let payload: Vec<u8> = (0..size).map(|i: u32| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
        let mut writer = client.writer();
        let bytes = from_client(BINARY, &payload);
        // From a thread, since the mirror answers before it has received everything.
        let writing = thread::spawn(move || writer.write_all(&bytes).expect("write"));
        let message = client.receive();
        writing.join().expect("the writer");
        assert_eq!(message.first, BINARY);
        assert!(message.payload == payload, "{size} bytes");
    }
}

#[test]
fn a_line_of_several_megabytes_is_one_message_and_one_line_again() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let line = "0123456789abcdef".repeat(300_000);
    let finished = run([server.url()], format!("{line}\nshort\n"));
    assert!(finished.succeeds().out() == format!("{line}\nshort\n"));
}

#[test]
fn fragments_of_the_peer_are_joined() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = RawPeer::connect(server.port, "/");
    // A character is cut in two, and one fragment is empty.
    client.send(unfinished(TEXT), b"caf\xc3");
    client.send(unfinished(CONTINUATION), b"");
    client.send(unfinished(CONTINUATION), b"\xa9 ");
    client.send(CONTINUATION, b"noir");
    let message = client.receive();
    assert_eq!((message.first, message.text()), (TEXT, "caf\u{e9} noir".into()));
}

#[test]
fn a_hundred_thousand_lines_come_back_in_order() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let lines: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
    let finished = run([server.url()], &lines);
    assert!(finished.succeeds().out() == lines, "in order, none lost");
}

#[test]
fn the_memory_of_a_long_message_is_freed_while_its_session_lasts() {
    for how in ["-b", "-t"] {
        let cat = Serving::start([how, "--deflate", "off", "ws-l:0", "exec:cat"]);
        let before = memory(&cat.running);
        let mut peer = RawPeer::connect(cat.port, "/");
        peer.send(BINARY, vec![b'x'; 32 << 20]);
        let mut missing = 32 << 20;
        while missing > 0 {
            missing -= peer.receive().payload.len();
        }
        // Code pages that were used for the first time take memory too.
        until_memory_is_back(&cat.running, before + (4 << 10));
    }
}
