//! `lengthprefixed:`: messages with their length in front of them.

use crate::{
    peer::{Message, Peer, websocket_server},
    support::{Folder, Running, Serving, one_connection, run, wsplice},
};
use std::{
    fs,
    io::{Read, Write},
};

/// The file that a client with these arguments writes of these messages.
fn written(name: &str, args: &[&str], messages: Vec<Message>) -> Vec<u8> {
    let folder = Folder::new(name);
    let file = folder.path("messages");
    let (url, server) = websocket_server(|mut peer| {
        for message in messages {
            peer.send(message);
        }
        peer.close(1000, "");
        peer.ends()
    });
    run(args.iter().copied().chain(["-u", &*url, &format!("lengthprefixed:writefile:{file}")]), "").succeeds();
    server.join().expect("the server");
    fs::read(&file).expect("it is there")
}

/// What a server receives of a file.
fn read(name: &str, args: &[&str], bytes: &[u8]) -> Vec<Message> {
    let folder = Folder::new(name);
    let file = folder.path("messages");
    fs::write(&file, bytes).expect("write");
    let (url, server) = websocket_server(|mut peer| peer.receive_all());
    run(args.iter().copied().chain([&*format!("lengthprefixed:readfile:{file}"), &*url]), "").succeeds();
    server.join().expect("the server")
}

#[test]
fn messages_are_written_and_read_with_their_lengths() {
    let messages = || vec![Message::text("abc\n"), Message::binary(&b"\xff\0"[..]), Message::binary(&b""[..])];
    let cases: [(&[&str], &[u8]); 4] = [
        (&[], b"\0\0\0\x04abc\n\0\0\0\x02\xff\0\0\0\0\0"),
        (&["--lengthprefixed-nbytes", "2", "--lengthprefixed-little-endian"], b"\x04\0abc\n\x02\0\xff\0\0\0"),
        (&["--lengthprefixed-nbytes=8"], b"\0\0\0\0\0\0\0\x04abc\n\0\0\0\0\0\0\0\x02\xff\0\0\0\0\0\0\0\0\0"),
        (&["--lengthprefixed-tag-text", "--lengthprefixed-nbytes=1"], b"\x84abc\n\x02\xff\0\0"),
    ];
    for (args, bytes) in cases {
        assert_eq!(written("lengths", args, messages()), bytes, "{args:?}");
        let received = read("lengths", args, bytes);
        let expected = if args.contains(&"--lengthprefixed-tag-text") {
            messages()
        } else {
            messages().into_iter().map(|message| Message::binary(message.into_data())).collect()
        };
        assert_eq!(received, expected, "{args:?}");
    }
    assert_eq!(read("lengths", &["-t"], b"\0\0\0\x01a"), [Message::text("a")]);
}

#[test]
fn one_direction_can_be_without_lengths() {
    let bytes =
        written("one-way", &["--lengthprefixed-skip-write-direction"], vec![Message::text("a"), Message::text("b")]);
    assert_eq!(bytes, b"ab");
    let received = read("one-way", &["--lengthprefixed-skip-read-direction"], b"\0\0\0\x01a");
    assert_eq!(received, [Message::binary(&b"\0\0\0\x01a"[..])]);
}

#[test]
fn a_socket_carries_messages_both_ways_however_they_are_cut() {
    let (port, server) = one_connection(|mut stream| {
        let mut request = [0; 9];
        stream.read_exact(&mut request).expect("read");
        for byte in *b"\0\0\0\x03one\0\0\0\0\0\0\0\x03two" {
            stream.write_all(&[byte]).expect("write");
        }
        request
    });
    let serving = Serving::start(["ws-l:0", &format!("lengthprefixed:tcp:127.0.0.1:{port}")]);
    let mut client = Peer::connect(serving.port, "/");
    client.send_text("hello");
    assert_eq!((0..3).map(|_| client.receive_text()).collect::<Vec<_>>(), ["one", "", "two"]);
    assert_eq!(server.join().expect("the server"), *b"\0\0\0\x05hello");
}

#[test]
fn lengths_that_are_too_large_or_cut_off_are_errors() {
    let error = |args: &[&str], input: &[u8]| run(args.iter().copied().chain(["lengthprefixed:-", "mirror:"]), input);
    let finished = error(&[], b"\0\0\0\x01a\xff\xff\xff\xffrest");
    finished.fails_with(1, "message 2 from standard input is 4294967295 bytes long").hints("--max-ws-message-length");
    let folder = Folder::new("too-large");
    let file = folder.path("messages");
    run(["lengthprefixed:-", &format!("writefile:{file}")], b"\0\0\0\x01a\xff\xff\xff\xffrest")
        .fails_with(1, "message 2");
    assert_eq!(fs::read(&file).expect("it is there"), b"a\n", "what came before is kept");
    error(&["--lengthprefixed-nbytes=8"], &[0xff; 8]).fails_with(1, "is 18446744073709551615 bytes long");
    error(&["--max-ws-message-length", "3"], b"\0\0\0\x04abcd").fails_with(1, "more than 3");
    error(&[], b"\0\0\0\x04abc").fails_with(1, "message 1 from standard input is cut off");
    error(&[], b"\0\0").fails_with(1, "is cut off");
    error(&["-t"], b"\0\0\0\x01\xff").fails_with(1, "UTF-8");
    let long = "x".repeat(256);
    let finished =
        run(["--lengthprefixed-nbytes", "1", "-u", "-", "lengthprefixed:exec:cat"], format!("short\n{long}\n"));
    finished.fails_with(1, "a message of 256 bytes").hints("--lengthprefixed-nbytes");
    for wrong in ["0", "9", "x"] {
        run(["--lengthprefixed-nbytes", wrong, "mirror:"], "").fails_with(2, "--lengthprefixed-nbytes");
    }
}

#[test]
fn long_messages_pass_and_short_ones_share_writes() {
    let payload = vec![7; 3 << 20];
    let mut input = Vec::new();
    for length in [0, 1, payload.len(), 65_535, 65_536, 65_537] {
        input.extend(u32::try_from(length).expect("it fits").to_be_bytes());
        input.extend(&payload[..length]);
    }
    let mut client = Running::start(wsplice(["lengthprefixed:-", "mirror:"]));
    client.write(&input);
    client.close_input();
    assert!(client.finish().succeeds().stdout == input);
}
