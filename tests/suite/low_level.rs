//! WebSocket frames without the opening handshake.

use crate::support::{Serving, one_connection, run};
use std::io::{Read, Write};

#[test]
fn both_sides_understand_each_other() {
    for (server, client) in [("ws-ll-s", "ws-ll-c"), ("ws-lowlevel-server", "ws-lowlevel-client")] {
        let server = Serving::start([&format!("{server}:tcp-l:127.0.0.1:0"), "mirror:"]);
        let address = format!("{client}:tcp:127.0.0.1:{}", server.port);
        assert_eq!(run(["-", &address], "one\ntwo\n").succeeds().out(), "one\ntwo\n");
    }
}

#[test]
fn a_client_masks_its_first_frame_and_reads_frames_that_are_not() {
    let (port, server) = one_connection(|mut stream| {
        let mut frame = [0; 8];
        stream.read_exact(&mut frame).expect("a frame");
        stream.write_all(b"\x82\x02ab\x88\x00").expect("write");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the close");
        (frame, rest)
    });
    let finished = run(["-", &format!("ws-ll-client:127.0.0.1:{port}")], "hi\n");
    assert_eq!(finished.succeeds().out(), "ab\n");
    let (frame, rest) = server.join().expect("the server");
    assert_eq!(frame[..2], [0x81, 0x82]);
    let unmasked: Vec<_> = frame[6..].iter().zip(&frame[2..6]).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(unmasked, b"hi");
    // A ping asks whether the server has received everything.
    assert_eq!([rest[0], rest[rest.len() - 6]], [0x89, 0x88]);
}

#[test]
fn an_opening_handshake_is_a_violation() {
    let server = Serving::start(["ws-ll-s:tcp-l:127.0.0.1:0", "mirror:"]);
    let mut client = server.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).expect("read");
    assert_eq!(reply[..4], [0x88, reply[1], 0x03, 0xea], "close code 1002");
    let (port, _) = one_connection(|mut stream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
    run(["-", &format!("ws-ll-c:tcp:127.0.0.1:{port}")], "").fails_with(6, "protocol violation");
}
