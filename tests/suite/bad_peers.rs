//! Peers, files and child processes that fail or break the rules: each gives one line of error and its exit code, and
//! nothing hangs.

use crate::{
    http::{Head, UPGRADE_REQUEST, accept_key, switching_protocols},
    raw::{
        BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, close_payload, from_client, from_server, header,
        raw_client, raw_server, read_close, read_frame, unfinished,
    },
    support::{Finished, Folder, LIMIT, Running, Serving, connect, one_connection, run, wsplice},
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    process::Stdio,
    sync::mpsc,
    thread,
};

/// Runs a client whose standard input stays open.
#[track_caller]
fn client<const N: usize>(args: [&str; N]) -> Finished {
    Running::start(wsplice(args)).finish()
}

/// Sends a good message and then `bytes` to a client of ours: it prints the message, answers the bytes with this close code
/// and fails with the reason.
#[track_caller]
fn client_refuses(bytes: Vec<u8>, code: u16, reason: &str) -> Finished {
    client_with_options_refuses([], bytes, code, reason)
}

#[track_caller]
fn client_with_options_refuses<const N: usize>(
    options: [&str; N],
    bytes: Vec<u8>,
    code: u16,
    reason: &str,
) -> Finished {
    let (url, server) = raw_server(move |mut stream| {
        stream.write_all(&[from_server(TEXT, "before"), bytes].concat()).expect("write");
        read_close(&mut stream)
    });
    let finished = Running::start(wsplice(options.into_iter().chain([url.as_str()]))).finish();
    finished.fails_with(6, reason).fails_with(6, &url);
    assert_eq!(finished.out(), "before\n");
    assert_eq!(server.join().expect("served"), Some(code));
    finished
}

/// The same for a server of ours, which then serves another client.
#[track_caller]
fn server_refuses(bytes: Vec<u8>, code: u16, reason: &str) {
    let mut server = Serving::start(["ws-l:0", "-"]);
    let mut client = raw_client(server.connect());
    let from = client.local_addr().expect("an address").to_string();
    client.write_all(&[from_client(TEXT, "before"), bytes].concat()).expect("write");
    assert_eq!(server.running.line(), "before\n");
    assert_eq!(read_close(&mut client), Some(code));
    // The server waits a second for the client's end.
    drop(client);
    let line = server.running.error_line(reason);
    assert!(line.starts_with("wsplice: ") && line.contains(&from), "{line}");
    let mut next = raw_client(server.connect());
    next.write_all(&from_client(TEXT, "next")).expect("write");
    assert_eq!(server.running.line(), "next\n");
}

#[test]
fn reserved_bits_from_a_server_are_refused() {
    for bit in [0x40, 0x20, 0x10] {
        client_refuses(from_server(TEXT | bit, "x"), 1002, "reserved bits");
    }
}

#[test]
fn reserved_bits_from_a_client_are_refused() {
    server_refuses(from_client(BINARY | 0x40, "x"), 1002, "reserved bits");
}

/// The answer to the message comes before the close frame, and nothing after it.
#[track_caller]
fn is_answered_and_refused(mut stream: TcpStream) {
    let answer = read_frame(&mut stream).expect("an answer");
    assert_eq!((answer.first, &answer.payload[..]), (TEXT, &b"before"[..]));
    let close = read_frame(&mut stream).expect("a close frame");
    assert_eq!((close.first, close.payload.first_chunk()), (CLOSE, Some(&1002_u16.to_be_bytes())));
    assert_eq!(read_frame(&mut stream), None);
}

#[test]
fn a_message_that_comes_together_with_a_violation_is_still_answered() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let mut stream = raw_client(mirror.connect());
    stream.write_all(&[from_client(TEXT, "before"), from_client(0xa1, "wrong")].concat()).expect("write");
    is_answered_and_refused(stream);
    let (url, peer) = raw_server(|mut stream| {
        stream.write_all(&[from_server(TEXT, "before"), from_server(0xa1, "wrong")].concat()).expect("write");
        is_answered_and_refused(stream);
    });
    run([&url, "mirror:"], "").fails_with(6, "reserved bits");
    peer.join().expect("served");
}

#[test]
fn nothing_follows_the_close_frame_after_a_violation() {
    let server = Serving::start(["--oneshot", "ws-l:0", "sh-c:yes"]);
    let mut stream = raw_client(server.connect());
    read_frame(&mut stream).expect("a message");
    stream.write_all(&from_client(0xa1, "wrong")).expect("write");
    assert_eq!(read_close(&mut stream), Some(1002));
    assert_eq!(read_frame(&mut stream), None);
    drop(stream);
    server.running.finish().fails_with(6, "reserved bits");
}

#[test]
fn reserved_opcodes_from_a_server_are_refused() {
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        client_refuses(from_server(0x80 | opcode, "x"), 1002, "opcode");
    }
}

#[test]
fn reserved_opcodes_from_a_client_are_refused() {
    server_refuses(from_client(0x83, "x"), 1002, "opcode");
}

#[test]
fn a_masked_frame_from_a_server_is_refused() {
    client_refuses(from_client(TEXT, "x"), 1002, "masked");
}

#[test]
fn an_unmasked_frame_from_a_client_is_refused() {
    server_refuses(from_server(TEXT, "x"), 1002, "unmasked");
}

#[test]
fn a_fragmented_control_frame_is_refused() {
    client_refuses(from_server(unfinished(PING), "x"), 1002, "control frame");
    server_refuses(from_client(unfinished(PING), "x"), 1002, "control frame");
}

#[test]
fn a_control_frame_of_126_bytes_is_refused() {
    client_refuses(from_server(PING, [b'x'; 126]), 1002, "125 bytes");
    server_refuses(from_client(PING, [b'x'; 126]), 1002, "125 bytes");
}

#[test]
fn a_continuation_without_a_start_is_refused() {
    client_refuses(from_server(CONTINUATION, "x"), 1002, "continu");
    server_refuses(from_client(CONTINUATION, "x"), 1002, "continu");
}

#[test]
fn a_new_message_inside_a_fragmented_one_is_refused() {
    let bytes = [from_server(unfinished(TEXT), "begun"), from_server(TEXT, "x")].concat();
    client_refuses(bytes, 1002, "fragment");
}

#[test]
fn a_close_frame_of_one_byte_is_refused() {
    client_refuses(from_server(CLOSE, "x"), 1002, "close");
    server_refuses(from_client(CLOSE, "x"), 1002, "close");
}

#[test]
fn close_codes_that_may_not_be_sent_are_refused() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        client_refuses(from_server(CLOSE, close_payload(code, "")), 1002, &format!("close code {code}"));
    }
    server_refuses(from_client(CLOSE, close_payload(1006, "")), 1002, "close code 1006");
}

#[test]
fn a_close_reason_that_is_not_utf_8_is_refused() {
    client_refuses(from_server(CLOSE, b"\x03\xe8\xff"), 1007, "UTF-8");
}

#[test]
fn every_close_code_that_may_be_sent_is_answered_with_itself() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999] {
        let (url, server) = raw_server(move |mut stream| {
            stream.write_all(&from_server(CLOSE, close_payload(code, "bye"))).expect("write");
            read_close(&mut stream)
        });
        let finished = client([&url]);
        assert_eq!(server.join().expect("served"), Some(code));
        if code <= 1001 {
            finished.succeeds();
        } else {
            finished.fails_with(8, &code.to_string()).fails_with(8, "bye");
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_1007() {
    client_refuses(from_server(TEXT, b"\xff\xfe"), 1007, "UTF-8");
    server_refuses(from_client(TEXT, b"\xff\xfe"), 1007, "UTF-8");
}

#[test]
fn a_character_that_is_cut_off_by_the_end_of_its_message_is_refused() {
    let bytes = [from_server(unfinished(TEXT), b"\xc3"), from_server(CONTINUATION, b"x")].concat();
    client_refuses(bytes, 1007, "UTF-8");
}

#[test]
fn a_character_that_is_split_over_two_fragments_is_accepted() {
    let (url, server) = raw_server(|mut stream| {
        let bytes =
            [from_server(unfinished(TEXT), b"\xc3"), from_server(CONTINUATION, b"\xa4"), from_server(CLOSE, "")]
                .concat();
        stream.write_all(&bytes).expect("write");
        read_close(&mut stream)
    });
    assert_eq!(client([&url]).succeeds().out(), "ä\n");
    server.join().expect("served");
}

#[test]
fn a_message_over_the_limit_is_refused_with_1009() {
    let long = from_server(TEXT, "12345678901");
    client_with_options_refuses(["--max-ws-message-length", "10"], long, 1009, "too long")
        .hints("--max-ws-message-length");
}

#[test]
fn fragments_that_are_too_long_together_are_refused_with_1009() {
    let long = [from_server(unfinished(BINARY), "123456"), from_server(CONTINUATION, "123456")].concat();
    client_with_options_refuses(["--max-ws-message-length", "10"], long, 1009, "too long")
        .hints("--max-ws-message-length");
}

#[test]
fn a_frame_over_the_limit_is_refused_with_1009() {
    let long = from_server(BINARY, "12345678901");
    client_with_options_refuses(["--max-ws-frame-length", "10"], long, 1009, "too long").hints("--max-ws-frame-length");
}

#[test]
fn a_message_of_exactly_the_limit_is_taken() {
    let (url, server) = raw_server(|mut stream| {
        let bytes = [from_server(TEXT, "1234567890"), from_server(CLOSE, "")].concat();
        stream.write_all(&bytes).expect("write");
        read_close(&mut stream)
    });
    assert_eq!(client(["--max-ws-message-length", "10", &url]).succeeds().out(), "1234567890\n");
    server.join().expect("served");
}

#[test]
fn an_announced_length_beyond_all_memory_is_refused_before_its_payload_comes() {
    for length in [64 * 1024 * 1024 + 1, 1 << 62, 1 << 63, u64::MAX] {
        client_refuses(header(BINARY, None, length), 1009, "too long");
    }
    server_refuses(header(BINARY, Some([0; 4]), 1 << 63), 1009, "too long");
}

#[test]
fn a_peer_that_dies_in_the_middle_of_a_frame_is_a_lost_connection() {
    let (url, server) = raw_server(|mut stream| {
        let bytes = [from_server(TEXT, "before"), header(TEXT, None, 10), b"abc".to_vec()].concat();
        stream.write_all(&bytes).expect("write");
    });
    let finished = client([&url]);
    finished.fails_with(7, "without a close frame").fails_with(7, &url);
    assert_eq!(finished.out(), "before\n");
    server.join().expect("served");
}

#[test]
fn a_peer_that_dies_in_the_middle_of_a_message_is_a_lost_connection() {
    let (url, server) = raw_server(|mut stream| {
        let bytes = [from_server(TEXT, "before"), from_server(unfinished(TEXT), "begun")].concat();
        stream.write_all(&bytes).expect("write");
    });
    let finished = client([&url]);
    finished.fails_with(7, "without a close frame");
    assert_eq!(finished.out(), "before\n");
    server.join().expect("served");
}

#[test]
fn a_connection_that_is_reset_is_a_lost_connection() {
    let (url, server) = raw_server(|mut stream| {
        // Closing a socket with unread data resets the connection.
        stream.write_all(&from_server(TEXT, "before")).expect("write");
        stream.peek(&mut [0]).expect("something unread");
    });
    let mut running = Running::start(wsplice([&url]));
    assert_eq!(running.line(), "before\n");
    running.write("unread\n");
    running.finish().fails_with(7, &url);
    server.join().expect("served");
}

#[test]
fn a_client_that_dies_in_the_middle_of_a_frame_is_reported_and_others_are_served() {
    let mut server = Serving::start(["ws-l:0", "-"]);
    let mut dying = raw_client(server.connect());
    let from = dying.local_addr().expect("an address").to_string();
    dying.write_all(&[from_client(TEXT, "before"), header(TEXT, Some([0; 4]), 10)].concat()).expect("write");
    drop(dying);
    assert_eq!(server.running.line(), "before\n");
    let line = server.running.error_line("without a close frame");
    assert!(line.contains(&from), "{line}");
    let mut next = raw_client(server.connect());
    next.write_all(&from_client(TEXT, "next")).expect("write");
    assert_eq!(server.running.line(), "next\n");
}

#[test]
fn a_closed_port_is_named_with_a_hint() {
    let port = closed_port();
    let finished = run([format!("ws://127.0.0.1:{port}/")], "");
    finished.fails_with(3, &format!("cannot connect to 127.0.0.1:{port}: Connection refused")).hints("nothing listens");
    run([format!("tcp:127.0.0.1:{port}")], "").fails_with(3, "Connection refused");
}

/// A port where nobody listens: a listener was just closed.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn a_name_that_does_not_resolve_is_named_with_a_hint() {
    run(["ws://nonexistent.invalid/"], "").fails_with(3, "cannot resolve `nonexistent.invalid`").hints("spelling");
    run(["ws-l:nonexistent.invalid:0", "mirror:"], "").fails_with(3, "cannot resolve `nonexistent.invalid`");
}

#[test]
fn a_unix_socket_that_is_not_there_is_named() {
    let folder = Folder::new("no-socket");
    run([format!("unix:{}", folder.path("none.sock"))], "")
        .fails_with(3, &format!("cannot connect to {}: No such file", folder.path("none.sock")));
}

/// Answers the opening handshake of a client of ours with this, and waits until the client has ended the connection.
#[track_caller]
fn answered_with(answer: &str) -> Finished {
    let answer = answer.to_owned();
    answered(move |_| answer)
}

#[track_caller]
fn answered(answer: impl FnOnce(&Head) -> String + Send + 'static) -> Finished {
    let (port, server) = one_connection(move |mut stream| {
        let request = Head::read(&mut stream);
        stream.write_all(answer(&request).as_bytes()).expect("write");
        // A client must not wait for a server that keeps the connection open.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let finished = client([&format!("ws://127.0.0.1:{port}/chat")]);
    server.join().expect("served");
    assert!(finished.stderr.contains(&format!("127.0.0.1:{port}")), "{finished:?}");
    finished
}

#[test]
fn a_redirect_gets_a_hint_with_its_location() {
    let finished =
        answered_with("HTTP/1.1 302 Found\r\nLocation: https://example.com/chat\r\nContent-Length: 5\r\n\r\nMoved");
    finished.fails_with(5, "expected 101, got 302 Found").hints("redirected to wss://example.com/chat");
}

#[test]
fn a_401_gets_a_hint_about_basic_auth() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 9\r\n\r\nWho\nare\tu";
    answered_with(answer).fails_with(5, "expected 101, got 401 Unauthorized: Who are u").hints("--basic-auth");
}

#[test]
fn a_404_gets_a_hint_about_the_path() {
    let answer = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nno chat\r\n0\r\n\r\n";
    answered_with(answer).fails_with(5, "expected 101, got 404 Not Found: no chat").hints("path");
}

#[test]
fn a_refused_extension_offer_gets_a_hint_about_deflate() {
    let body = "Invalid or unacceptable Sec-WebSocket-Extensions header";
    let answer = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    answered_with(&answer).fails_with(5, body).hints("--deflate off");
}

#[test]
fn a_server_error_shows_the_start_of_its_body() {
    let body = "x".repeat(100_000);
    let finished = answered_with(&format!("HTTP/1.1 500 Oh No\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    finished.fails_with(5, "expected 101, got 500 Internal Server Error: xxx");
    assert!(finished.stderr.len() < 1000, "all of the body is shown: {finished:?}");
}

#[test]
fn a_plain_http_server_is_recognised() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>\n\x1b[2J!";
    let finished = answered_with(answer);
    finished.fails_with(5, "expected 101, got 200 OK: <html>").hints("plain HTTP server");
    assert!(!finished.stderr.contains('\x1b'), "it can move the terminal's cursor: {finished:?}");
}

#[test]
fn a_body_without_an_end_is_not_waited_for() {
    let finished = answered_with("HTTP/1.1 200 OK\r\n\r\nand then");
    finished.fails_with(5, "expected 101, got 200 OK: and then");
}

#[test]
fn a_refusal_of_our_own_server_reads_well() {
    let server = Serving::start(["ws-l:0", "mirror:", "--restrict-uri", "/chat"]);
    run([server.url()], "").fails_with(5, "expected 101, got 404 Not Found: There is no WebSocket at /.").hints("path");
}

#[test]
fn an_answer_that_is_not_http_is_named() {
    for answer in ["SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x03\x00\x02\x02\x16", "-ERR unknown command\r\n"] {
        answered_with(answer).fails_with(5, "the response is not HTTP").hints("wss://");
    }
}

#[test]
fn an_answer_with_an_invalid_header_names_it() {
    for (header, name) in [("X-Note: a\x01b", "X-Note"), ("bad name: x", "bad name"), ("no colon", "no colon")] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nServer: x\r\n{header}\r\n\r\n");
        let finished = answered_with(&answer);
        finished.fails_with(5, &format!("the response has an invalid header: {name}"));
    }
}

#[test]
fn a_server_that_hangs_up_before_it_answers_is_a_lost_connection() {
    let (port, server) = one_connection(|mut stream| drop(Head::read(&mut stream)));
    client([&format!("ws://127.0.0.1:{port}/")]).fails_with(7, "before it sent a response");
    server.join().expect("served");
}

#[test]
fn a_wrong_accept_key_is_refused() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    answered_with(answer).fails_with(5, "Sec-WebSocket-Accept");
}

#[test]
fn a_subprotocol_that_was_not_offered_is_refused() {
    answered(|request| switching_protocols(request, "Sec-WebSocket-Protocol: chat\r\n"))
        .fails_with(5, "subprotocol `chat`, which was not offered");
}

#[test]
fn an_extension_that_was_not_offered_is_refused() {
    answered(|request| switching_protocols(request, "Sec-WebSocket-Extensions: x-other; x=1\r\n"))
        .fails_with(5, "extension `x-other; x=1`, which was not offered");
}

#[test]
fn a_101_to_another_protocol_is_refused() {
    answered(|request| switching_protocols(request, "").replace("websocket", "h2c"))
        .fails_with(5, "Upgrade: websocket");
    answered(|request| switching_protocols(request, "").replace("Connection: Upgrade\r\n", ""))
        .fails_with(5, "Connection: Upgrade");
}

#[test]
fn frames_behind_a_101_in_the_same_segment_are_not_lost() {
    let (port, server) = one_connection(|mut stream| {
        let answer = switching_protocols(&Head::read(&mut stream), "")
            .replace("Connection: Upgrade", "connection:keep-alive, Upgrade")
            .into_bytes();
        let bytes = [answer, from_server(TEXT, "at once"), from_server(BINARY, "and more")].concat();
        stream.write_all(&bytes).expect("write");
        stream.write_all(&from_server(CLOSE, close_payload(1000, ""))).expect("write");
        read_close(&mut stream)
    });
    let finished = client([&format!("ws://127.0.0.1:{port}/")]);
    assert_eq!(finished.succeeds().out(), "at once\nand more\n");
    assert_eq!(server.join().expect("served"), Some(1000));
}

#[test]
fn frames_behind_an_upgrade_request_in_the_same_segment_are_not_lost() {
    let mut server = Serving::start(["ws-l:0", "-"]);
    let mut client = server.connect();
    client.write_all(&[UPGRADE_REQUEST.as_bytes().to_vec(), from_client(TEXT, "at once")].concat()).expect("write");
    assert_eq!(server.running.line(), "at once\n");
    assert_eq!(Head::read(&mut client).status(), 101);
}

#[test]
fn a_server_that_sends_nothing_times_out_and_the_phase_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = silent.local_addr().expect("an address");
    let finished = client(["--connect-timeout", "0.5", &format!("ws://{at}/")]);
    finished.fails_with(124, &format!("waiting for ws://{at}/ to answer the WebSocket handshake"));
    finished.hints("--connect-timeout");
    let finished = client(["--connect-timeout", "0.5", &format!("wss://{at}/")]);
    finished.fails_with(124, &at.to_string()).fails_with(124, "in the TLS handshake");
    finished.hints("--connect-timeout");
}

#[test]
fn half_a_response_times_out() {
    let (port, server) = one_connection(|mut stream| {
        Head::read(&mut stream);
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web").expect("write");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    client(["--connect-timeout", "0.5", &format!("ws://127.0.0.1:{port}/")])
        .fails_with(124, "to answer the WebSocket handshake");
    server.join().expect("served");
}

#[test]
fn the_whole_run_can_be_limited() {
    let (url, server) = raw_server(|mut stream| {
        stream.write_all(&from_server(TEXT, "before")).expect("write");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let finished = client(["--max-time", "1", &url]);
    finished.fails_with(124, "timed out: `--max-time` ");
    assert_eq!(finished.out(), "before\n");
    server.join().expect("served");
}

#[test]
fn a_port_in_use_is_named_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = taken.local_addr().expect("an address");
    for listener in ["ws-l", "tcp-l"] {
        run([format!("{listener}:{at}"), "mirror:".into()], "")
            .fails_with(3, &format!("cannot listen on {at}: Address already in use"))
            .hints("choose another port");
    }
}

#[test]
fn an_address_of_another_machine_cannot_be_listened_on() {
    // RFC 5737 reserves this address for documentation, so no machine has it.
    run(["ws-l:192.0.2.1:0", "mirror:"], "").fails_with(3, "cannot listen on 192.0.2.1:0").hints("0.0.0.0");
}

#[test]
fn a_unix_path_in_use_is_kept_unless_unlink_is_given() {
    let folder = Folder::new("path-in-use");
    let path = folder.path("server.sock");
    drop(UnixListener::bind(&path).expect("bind"));
    let listener = format!("ws-u:unix-l:{path}");
    run([&listener, "mirror:"], "")
        .fails_with(3, &format!("cannot listen on {path}: Address already in use"))
        .hints("--unlink");
    let mut command = wsplice([&listener, "mirror:", "--unlink", "--stdout-announce-listening-ports"]);
    command.env("LC_ALL", "C");
    let mut server = Running::start(command);
    assert_eq!(server.line(), format!("LISTEN proto=unix,path={path}\n"));
}

#[test]
fn unlink_does_not_remove_a_regular_file() {
    let folder = Folder::new("unlink-file");
    let path = folder.path("precious.txt");
    fs::write(&path, "precious").expect("write");
    run([&format!("unix-l:{path}"), "mirror:", "--unlink"], "")
        .fails_with(3, &format!("cannot listen on {path}: it exists and is not a socket"))
        .hints("another path");
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
}

#[test]
fn a_full_disk_is_reported_and_the_peer_gets_a_close_frame() {
    let (url, server) = raw_server(|mut stream| {
        stream.write_all(&from_server(TEXT, "too much")).expect("write");
        read_close(&mut stream)
    });
    client([&url, "writefile:/dev/full"]).fails_with(1, "cannot write /dev/full: No space left on device");
    assert!(server.join().expect("served").is_some(), "no close frame");
    run(["-", "writefile:/dev/full"], "bytes").fails_with(1, "cannot write /dev/full: No space left on device");
}

#[test]
fn a_full_disk_behind_standard_output_is_reported() {
    let (url, server) = raw_server(|mut stream| {
        stream.write_all(&from_server(TEXT, "too much")).expect("write");
        read_close(&mut stream)
    });
    let full = File::options().write(true).open("/dev/full").expect("a full disk");
    let finished = with_stdout(&[&url], full.into());
    finished.fails_with(1, "cannot write standard output: No space left on device");
    assert!(server.join().expect("served").is_some(), "no close frame");
}

/// Runs with this standard output.
#[track_caller]
fn with_stdout(args: &[&str], stdout: Stdio) -> Finished {
    let mut command = wsplice(args);
    command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let stdin = child.stdin.take();
    let pid = child.id().to_string();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(LIMIT) else {
        let _ = std::process::Command::new("kill").args(["-KILL", &pid]).status();
        panic!("it does not end");
    };
    drop(stdin);
    let output = output.expect("output");
    Finished {
        code: output.status.code().expect("no signal"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: std::time::Duration::ZERO,
    }
}

#[test]
fn an_output_that_is_closed_early_ends_it_quietly() {
    let (url, server) = raw_server(|mut stream| {
        // More than any pipe holds.
        while stream.write_all(&from_server(TEXT, [b'x'; 10_000])).is_ok() {}
    });
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let reading = thread::spawn(move || {
        let mut first = [0; 10_001];
        reader.read_exact(&mut first).expect("the first line");
        first
    });
    let finished = with_stdout(&[&url], writer.into());
    assert_eq!((finished.code, finished.stderr.as_str()), (141, ""));
    assert!(reading.join().expect("read").ends_with(b"x\n"));
    server.join().expect("served");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new("unreadable");
    let missing = folder.path("missing.txt");
    run([&format!("readfile:{missing}"), "-"], "").fails_with(2, &format!("cannot open {missing}: No such file"));
    run([&format!("readfile:{}", folder.path("")), "-"], "").fails_with(2, "irectory");
    let nowhere = folder.path("missing/out.txt");
    run(["-", &format!("writefile:{nowhere}")], "").fails_with(2, &format!("cannot open {nowhere}: No such file"));
}

#[test]
fn a_file_that_cannot_be_opened_refuses_the_handshake() {
    let folder = Folder::new("no-file");
    let server = Serving::start(["ws-l:0", &format!("readfile:{}", folder.path("missing.txt"))]);
    run([server.url()], "").fails_with(5, "expected 101, got 502 Bad Gateway");
    let mut running = server.running;
    running.error_line("missing.txt: No such file");
}

#[test]
fn a_child_that_cannot_start_is_named() {
    run(["-", "exec:/nonexistent/program"], "").fails_with(10, "`/nonexistent/program` cannot start: No such file");
    run(["-", "exec:/"], "").fails_with(10, "`/` cannot start: Permission denied");
}

#[test]
fn a_child_that_fails_is_an_error_and_its_output_is_not_lost() {
    let finished = run(["-", "sh-c:echo last words; exit 3"], "");
    finished.fails_with(10, "`echo last words; exit 3` exited with status 3");
    assert_eq!(finished.out(), "last words\n");
}

#[test]
fn a_child_that_dies_by_a_signal_is_an_error_and_its_output_is_not_lost() {
    let finished = run(["-", "sh-c:echo last words; kill -KILL $$"], "");
    finished.fails_with(10, "was killed by signal 9 (SIGKILL)");
    assert_eq!(finished.out(), "last words\n");
}

#[test]
fn a_child_of_a_session_that_cannot_start_is_a_502_and_the_server_goes_on() {
    let server = Serving::start(["ws-l:0", "exec:/nonexistent/program"]);
    for _ in 0..2 {
        run([server.url()], "").fails_with(5, "expected 101, got 502 Bad Gateway");
    }
    let mut running = server.running;
    running.error_line("`/nonexistent/program` cannot start");
}

#[test]
fn input_that_is_not_utf_8_is_reported_by_line_and_earlier_lines_are_sent() {
    let (url, server) = raw_server(|mut stream| {
        let first = read_frame(&mut stream);
        (first, read_close(&mut stream))
    });
    let finished = run([&url], b"good\n\xff\xfe\n");
    finished.fails_with(1, "line 2 from standard input is not valid UTF-8").hints("-b");
    let good = Frame { first: TEXT, masked: true, payload: b"good".to_vec() };
    assert_eq!(server.join().expect("served"), (Some(good), Some(1011)));
}

#[test]
fn a_chunk_that_is_not_utf_8_is_reported() {
    let (url, server) = raw_server(|mut stream| read_close(&mut stream));
    run(["-t", "chunks:-", &url], b"\xff\xfe").fails_with(1, "standard input is not valid UTF-8").hints("-b");
    assert_eq!(server.join().expect("served"), Some(1011));
}

#[test]
fn a_line_over_the_limit_is_reported_and_earlier_lines_are_sent() {
    let (url, server) = raw_server(|mut stream| {
        let first = read_frame(&mut stream);
        (first, read_close(&mut stream))
    });
    let finished = run(["--max-ws-message-length", "10", &url], "good\n12345678901\n");
    finished.fails_with(1, "line 2 from standard input is longer than 10 bytes").hints("--max-ws-message-length");
    let good = Frame { first: TEXT, masked: true, payload: b"good".to_vec() };
    assert_eq!(server.join().expect("served"), (Some(good), Some(1011)));
}

#[test]
fn a_line_of_exactly_the_limit_is_sent() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let finished = run(["--max-ws-message-length", "10", &server.url()], "1234567890\n");
    assert_eq!(finished.succeeds().out(), "1234567890\n");
}

/// The head of the answer of a server of ours to this request, and the connection.
fn server_answers(server: &Serving, request: &[u8]) -> (Head, TcpStream) {
    let mut stream = server.connect();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    (Head::read(&mut stream), stream)
}

/// A new client gets its message back from a mirror.
#[track_caller]
fn is_served(server: &Serving) {
    let mut stream = raw_client(server.connect());
    stream.write_all(&from_client(TEXT, "hello")).expect("write");
    assert_eq!(read_frame(&mut stream), Some(Frame { first: TEXT, masked: false, payload: b"hello".to_vec() }));
}

#[test]
fn a_request_line_of_a_megabyte_is_refused() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = server.connect();
    let writing = stream.try_clone().expect("a second handle");
    let writer = thread::spawn(move || {
        let mut writing = writing;
        let _ = writing.write_all(line.as_bytes());
    });
    let answer = Head::read(&mut stream);
    assert!(matches!(answer.status(), 414 | 431), "{answer:?}");
    drop(stream);
    writer.join().expect("written");
    is_served(&server);
}

#[test]
fn garbage_instead_of_a_request_is_refused_and_reported() {
    let mut server = Serving::start(["ws-l:0", "mirror:"]);
    let (answer, mut stream) = server_answers(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert_eq!(stream.read_to_end(&mut Vec::new()).ok(), Some(0));
    let line = server.running.error_line("not HTTP");
    assert!(line.starts_with("wsplice: invalid request from 127.0.0.1:"), "{line}");
    is_served(&server);
}

#[test]
fn an_upgrade_by_another_method_or_version_is_refused() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    for start in ["GET / HTTP/1.0", "POST / HTTP/1.1", "OPTIONS / HTTP/1.1"] {
        let request = UPGRADE_REQUEST.replace("GET / HTTP/1.1", start);
        let (answer, _) = server_answers(&server, request.as_bytes());
        assert!(answer.first().ends_with(" 400 Bad Request"), "{start}: {answer:?}");
    }
    is_served(&server);
}

#[test]
fn a_plain_request_gets_426_with_an_explanation() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n",
    ] {
        let (answer, mut stream) = server_answers(&server, request.as_bytes());
        assert!(answer.first().ends_with(" 426 Upgrade Required"), "{request}: {answer:?}");
        assert_eq!(answer.get("Upgrade"), Some("websocket"));
        let mut body = String::new();
        stream.read_to_string(&mut body).expect("the connection is closed");
        assert!(body.starts_with("This is a WebSocket server"), "{request}: {body}");
    }
    is_served(&server);
}

#[test]
fn another_version_of_the_protocol_gets_426_with_ours() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let (answer, _) = server_answers(&server, UPGRADE_REQUEST.replace("Version: 13", "Version: 8").as_bytes());
    assert_eq!(answer.status(), 426, "{answer:?}");
    assert_eq!(answer.get("Sec-WebSocket-Version"), Some("13"));
    is_served(&server);
}

#[test]
fn a_missing_or_wrong_key_is_refused() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for other in ["", "Sec-WebSocket-Key: short\r\n", &key.repeat(2)] {
        let (answer, _) = server_answers(&server, UPGRADE_REQUEST.replace(key, other).as_bytes());
        assert_eq!(answer.status(), 400, "{other}: {answer:?}");
    }
    is_served(&server);
}

#[test]
fn a_good_request_can_follow_a_refused_one_on_the_same_connection() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let (answer, mut stream) = server_answers(&server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let length = answer.get("Content-Length").and_then(|length| length.parse().ok()).expect("a length");
    stream.read_exact(&mut vec![0; length]).expect("the sentence");
    let mut stream = raw_client(stream);
    stream.write_all(&from_client(TEXT, "hello")).expect("write");
    assert_eq!(read_frame(&mut stream).map(|frame| frame.payload), Some(b"hello".to_vec()));
}

#[test]
fn half_a_request_is_closed_after_the_limit() {
    let mut server = Serving::start(["ws-l:0", "mirror:", "--connect-timeout", "0.5", "-v"]);
    let mut stream = server.connect();
    let from = stream.local_addr().expect("an address");
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").expect("write");
    is_served(&server);
    stream.read_to_end(&mut Vec::new()).expect("the server closes it");
    server.running.error_line(&format!("* {from}: no request for 0.5 s"));
    is_served(&server);
}

#[test]
fn a_connection_that_sends_nothing_is_closed_after_the_limit() {
    let server = Serving::start(["ws-l:0", "mirror:", "--connect-timeout", "0.5"]);
    let mut stream = server.connect();
    stream.read_to_end(&mut Vec::new()).expect("the server closes it");
    is_served(&server);
}

#[test]
fn clients_that_leave_or_keep_a_connection_cause_no_errors() {
    let folder = Folder::new("no-errors");
    fs::write(folder.path("page.html"), "hello").expect("write");
    let file = format!("/:text/html:{}", folder.path("page.html"));
    let server = Serving::start(["ws-l:0", "mirror:", "--connect-timeout", "0.5", "-F", &file]);
    drop(server.connect());
    let mut gone = server.connect();
    gone.write_all(b"GET / HTT").expect("write");
    drop(gone);
    let (answer, mut kept) = server_answers(&server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status(), 200, "{answer:?}");
    // The page comes, and after the limit the end.
    let mut page = String::new();
    kept.read_to_string(&mut page).expect("the server closes it");
    assert_eq!(page, "hello");
    server.running.signal("TERM");
    assert_eq!(server.running.finish().stderr, "");
}

#[test]
fn two_hundred_silent_connections_do_not_hinder_a_new_client() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let silent: Vec<_> = (0..200).map(|_| connect(server.port)).collect();
    is_served(&server);
    drop(silent);
    is_served(&server);
}

#[test]
fn a_far_end_that_cannot_be_reached_is_a_502_and_the_server_reports_why() {
    let port = closed_port();
    let mut server = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let (answer, mut stream) = server_answers(&server, UPGRADE_REQUEST.as_bytes());
    assert_eq!(answer.status(), 502, "{answer:?}");
    let mut body = String::new();
    stream.read_to_string(&mut body).expect("the connection is closed");
    assert!(body.contains("cannot be reached"), "{body}");
    let line = server.running.error_line(&format!("cannot connect to 127.0.0.1:{port}: Connection refused"));
    assert!(line.starts_with("wsplice: 127.0.0.1:"), "{line}");
}

#[test]
fn a_far_end_that_does_not_answer_is_a_502_too() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let far = format!("ws://{}/", silent.local_addr().expect("an address"));
    let mut server = Serving::start(["ws-l:0", &far, "--connect-timeout", "0.5"]);
    run([server.url()], "").fails_with(5, "expected 101, got 502 Bad Gateway");
    server.running.error_line("to answer the WebSocket handshake");
}

#[test]
fn the_far_end_is_closed_when_its_client_leaves_during_the_handshake() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let far = format!("ws://{}/", silent.local_addr().expect("an address"));
    let server = Serving::start(["ws-l:0", &far, "--connect-timeout", "1"]);
    let mut leaving = server.connect();
    leaving.write_all(UPGRADE_REQUEST.as_bytes()).expect("write");
    let (mut dialled, _) = silent.accept().expect("the far end is dialled");
    dialled.set_read_timeout(Some(LIMIT)).expect("set a limit");
    Head::read(&mut dialled);
    leaving.shutdown(Shutdown::Both).expect("leave");
    // The connection to the far end is closed.
    assert_eq!(dialled.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn the_accept_key_of_the_rfc_is_computed() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn pings_are_answered_in_both_roles_also_between_fragments() {
    let (url, server) = raw_server(|mut stream| {
        let bytes =
            [from_server(unfinished(TEXT), "one "), from_server(PING, "?"), from_server(CONTINUATION, "message")]
                .concat();
        stream.write_all(&bytes).expect("write");
        let pong = read_frame(&mut stream);
        stream.write_all(&from_server(CLOSE, "")).expect("write");
        read_close(&mut stream);
        pong
    });
    assert_eq!(client([&url]).succeeds().out(), "one message\n");
    assert_eq!(server.join().expect("served"), Some(Frame { first: PONG, masked: true, payload: b"?".to_vec() }));

    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = raw_client(server.connect());
    client.write_all(&from_client(PING, "?")).expect("write");
    assert_eq!(read_frame(&mut client), Some(Frame { first: PONG, masked: false, payload: b"?".to_vec() }));
}

#[test]
fn a_flood_of_pings_does_not_delay_messages() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = raw_client(server.connect());
    let mut writing = client.try_clone().expect("a second handle");
    let writer = thread::spawn(move || {
        let pings = from_client(PING, [b'x'; 125]).repeat(100);
        // More than the sockets' buffers hold, so that the answers pile up.
        for _ in 0..1000 {
            writing.write_all(&pings).expect("write");
        }
        writing.write_all(&from_client(TEXT, "last")).expect("write");
    });
    // The peer does not read until it has sent everything.
    writer.join().expect("written");
    let last = std::iter::from_fn(|| read_frame(&mut client)).find(|frame| frame.first == TEXT);
    assert_eq!(last.map(|frame| frame.payload), Some(b"last".to_vec()));
}

#[test]
fn a_full_disk_is_reported_wherever_standard_output_is_written() {
    for args in [&["--help"][..], &["--explain", "mirror:"], &["ws-l:0", "--stdout-announce-listening-ports"]] {
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        with_stdout(args, full.into()).fails_with(1, "cannot write standard output: No space left on device");
    }
}
