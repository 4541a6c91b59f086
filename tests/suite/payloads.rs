//! Payloads that are encoded, marked or compressed between a WebSocket and the other end.

use crate::{
    peer::{Message, Peer, websocket_server},
    support::{Finished, Running, Serving, one_connection, run, wsplice},
};
use flate2::{
    Compression,
    read::{DeflateDecoder, GzDecoder, ZlibDecoder},
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use std::io::{Read, Write};

/// What a client with these arguments prints of messages that a server sends.
fn printed(args: &[&str], messages: Vec<Message>) -> Finished {
    let (url, server) = websocket_server(|mut peer| {
        for message in messages {
            peer.send(message);
        }
        peer.close(1000, "");
        peer.ends()
    });
    let finished = Running::start(wsplice(args.iter().copied().chain(["-", &*url]))).finish();
    server.join().expect("the server");
    finished
}

/// What a server receives from a client with these arguments and this input.
fn received(args: &[&str], input: &str) -> Vec<Message> {
    let (url, server) = websocket_server(|mut peer| peer.receive_all());
    run(args.iter().copied().chain(["-", &*url]), input).succeeds();
    server.join().expect("the server")
}

#[test]
fn received_binary_messages_are_encoded_in_base64() {
    let messages = || vec![Message::text("text"), Message::binary(&b"\0\xff\n"[..]), Message::binary(&b""[..])];
    assert_eq!(printed(&["--base64"], messages()).succeeds().out(), "text\nAP8K\n\n");
    assert_eq!(printed(&["--base64", "-b"], messages()).succeeds().out(), "text\nAP8K\n\n");
    assert_eq!(printed(&["--base64-text"], vec![Message::text("a\nb")]).succeeds().out(), "YQpi\n");
}

#[test]
fn with_b_lines_are_the_base64_of_binary_messages() {
    let expected = [Message::binary(&b"\0\xff\n"[..]), Message::binary(&b"x"[..]), Message::binary(&b""[..])];
    assert_eq!(received(&["-b", "--base64"], "AP8K\neA==\r\n\n"), expected);
    assert_eq!(received(&["--base64"], "AP8K\n"), [Message::text("AP8K")]);
    assert_eq!(received(&["--base64-text"], "YQpi\n"), [Message::text("a\nb")]);
}

#[test]
fn a_line_that_is_not_base64_is_an_error() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let finished = run(["-b", "--base64", "-", &server.url()], "eA==\nnot base64\n");
    finished.fails_with(1, "is not base64").hints("padding");
    // The base64 of a byte that no text has.
    run(["--base64-text", "-", &server.url()], "/w==\n").fails_with(1, "UTF-8");
}

#[test]
fn prefixes_mark_the_kind_of_messages_in_both_directions() {
    let args = ["--text-prefix", "T:", "--binary-prefix", "B:", "--base64"];
    let messages = vec![Message::text("a"), Message::binary(&b"\xff"[..]), Message::text("")];
    assert_eq!(printed(&args, messages).succeeds().out(), "T:a\nB:/w==\nT:\n");
    let expected = [Message::text("a"), Message::binary(&b"\xff"[..]), Message::text("plain"), Message::text("")];
    assert_eq!(received(&args, "T:a\nB:/w==\nplain\nT:\n"), expected);
    let expected = [Message::text("a"), Message::binary("T")];
    assert_eq!(received(&["-b", "--base64", "--text-prefix", "T:"], "T:a\nVA==\n"), expected);
}

#[test]
fn between_two_websockets_prefixes_and_base64_change_nothing() {
    let (url, server) = websocket_server(|mut peer| {
        for _ in 0..3 {
            let message = peer.receive();
            peer.send(message);
        }
        peer.receive_close()
    });
    let args = ["--text-prefix", "T", "--binary-prefix", "B", "--base64", "--base64-text", "ws-l:0", &url];
    let proxy = Serving::start(args);
    let mut client = Peer::connect(proxy.port, "/");
    for message in [Message::text("a\nb"), Message::binary(&b"\xff\0"[..]), Message::text("")] {
        client.send(message.clone());
        assert_eq!(client.receive(), message);
    }
    client.close(1000, "");
    assert_eq!(server.join().expect("the server").0, 1000);
}

#[test]
fn empty_messages_are_dropped_on_demand() {
    let messages = || vec![Message::text("a"), Message::text(""), Message::binary(&b""[..]), Message::text("b")];
    assert_eq!(printed(&["--websocket-ignore-zeromsg"], messages()).succeeds().out(), "a\nb\n");
    assert_eq!(printed(&[], messages()).succeeds().out(), "a\n\n\nb\n");
    let many = (0..1000).map(|_| Message::text("")).chain([Message::text("end")]).collect();
    assert_eq!(printed(&["--websocket-ignore-zeromsg"], many).succeeds().out(), "end\n");
}

fn compressed(format: &str, payload: &[u8]) -> Vec<u8> {
    let level = Compression::default();
    match format {
        "gzip" => finish(GzEncoder::new(Vec::new(), level), payload, GzEncoder::finish),
        "zlib" => finish(ZlibEncoder::new(Vec::new(), level), payload, ZlibEncoder::finish),
        _ => finish(DeflateEncoder::new(Vec::new(), level), payload, DeflateEncoder::finish),
    }
}

fn finish<E: Write>(mut encoder: E, payload: &[u8], end: fn(E) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
    encoder.write_all(payload).expect("compress");
    end(encoder).expect("compress")
}

fn uncompressed(format: &str, payload: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let read = match format {
        "gzip" => GzDecoder::new(payload).read_to_end(&mut all),
        "zlib" => ZlibDecoder::new(payload).read_to_end(&mut all),
        _ => DeflateDecoder::new(payload).read_to_end(&mut all),
    };
    read.expect("valid data");
    all
}

#[test]
fn payloads_of_binary_messages_are_compressed_and_uncompressed() {
    let payload = "0123456789".repeat(50_000);
    for format in ["gzip", "zlib", "deflate"] {
        let sent = received(&["-b", &format!("--compress-{format}")], &payload[..60_000]);
        let whole: Vec<u8> = sent.into_iter().flat_map(|message| uncompressed(format, &message.into_data())).collect();
        assert!(whole == payload.as_bytes()[..60_000], "{format}");
        let text = received(&[&format!("--compress-{format}")], "text\n");
        assert_eq!(text, [Message::text("text")], "text messages stay as they are");
        let messages = vec![
            Message::text("text"),
            Message::binary(compressed(format, payload.as_bytes())),
            Message::binary(&b""[..]),
            Message::binary(compressed(format, b"")),
        ];
        let finished = printed(&[&format!("--uncompress-{format}")], messages);
        assert!(finished.succeeds().out() == format!("text\n{payload}\n\n\n"), "{format}");
    }
}

#[test]
fn a_payload_that_is_not_compressed_or_becomes_too_long_is_an_error() {
    for format in ["gzip", "zlib", "deflate"] {
        let option = format!("--uncompress-{format}");
        let invalid = vec![Message::text("before"), Message::binary(&b"\xff\xff\xff"[..])];
        let finished = printed(&[&option], invalid);
        finished.fails_with(1, &format!("is not valid {format} data"));
        assert_eq!(finished.out(), "before\n", "what came before is kept");
        let whole = compressed(format, &[b'x'; 1000]);
        printed(&[&option], vec![Message::binary(whole[..whole.len() / 2].to_vec())]).fails_with(1, "is not valid");
        // A thousand times its size.
        let bomb = compressed(format, &vec![0; 8 << 20]);
        let finished = printed(&[&option, "--max-ws-message-length", "1m"], vec![Message::binary(bomb)]);
        finished
            .fails_with(1, "is longer than 1048576 bytes after it was uncompressed")
            .hints("--max-ws-message-length");
    }
}

#[test]
fn only_one_format_of_compression_can_be_given() {
    run(["--compress-gzip", "--compress-zlib", "mirror:"], "").fails_with(2, "--compress-gzip");
}

#[test]
fn lines_can_end_with_any_byte_and_with_several() {
    let expected = |lines: &[&str]| lines.iter().map(|line| Message::text(*line)).collect::<Vec<_>>();
    assert_eq!(received(&["--separator", "59"], "a;b\n;;c"), expected(&["a", "b\n", "", "c"]));
    assert_eq!(received(&["--separator", "0x3b"], "a;b"), expected(&["a", "b"]));
    assert_eq!(received(&["--separator-n", "2"], "a\nb\n\nc\n\n\nd"), expected(&["a\nb", "c", "\nd"]));
    assert_eq!(received(&["-0", "--separator-n", "2"], "a\0b\0\0c"), expected(&["a\0b", "c"]));
    let messages = || vec![Message::text("a\n\nb\n"), Message::text("c")];
    assert_eq!(printed(&["--separator-n", "2", "--one-line"], messages()).succeeds().out(), "a  b \n\nc\n\n");
    assert_eq!(printed(&["--separator", "59"], messages()).succeeds().out(), "a\n\nb\n;c;");
    for wrong in ["256", "x", "-1", "0xfff"] {
        run([&format!("--separator={wrong}"), "mirror:"], "").fails_with(2, "--separator");
    }
    run(["--separator-n", "0", "mirror:"], "").fails_with(2, "--separator-n");
}

#[test]
fn a_separator_that_arrives_in_pieces_ends_a_line() {
    let (port, socket) = one_connection(|mut stream| {
        for piece in ["a\n", "\nb", "\n", "c\n", "\n"] {
            stream.write_all(piece.as_bytes()).expect("write");
        }
    });
    let server = Serving::start(["--separator-n", "2", "ws-l:0", &format!("lines:tcp:127.0.0.1:{port}")]);
    let mut client = Peer::connect(server.port, "/");
    assert_eq!([client.receive_text(), client.receive_text()], ["a", "b\nc"]);
    socket.join().expect("the socket");
}
