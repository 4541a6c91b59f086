//! The opening handshake: headers, subprotocols, paths, plain requests. And pings.

use crate::{
    http::{Exchange, Head, http_server, switching_protocols, upgrade_request},
    peer::{Peer, websocket_server},
    raw::{
        BINARY, CLOSE, CONTINUATION, PING, PONG, RawPeer, TEXT, from_client, from_server, raw_peer_server, unfinished,
    },
    support::{Folder, LIMIT, Running, Serving, one_connection, run, wsplice},
};
use std::{
    io::{Read, Write},
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

/// The opening handshake that a client with these arguments sends.
#[track_caller]
fn request_of(path: &str, args: &[&str]) -> Head {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    run([&[&*format!("{url}{path}")], args].concat(), "").succeeds();
    server.join().expect("the server")
}

#[test]
fn the_request_is_what_the_rfc_asks_for_and_no_more() {
    let head = request_of("chat?room=1", &[]);
    assert_eq!(head.first(), "GET /chat?room=1 HTTP/1.1");
    assert!(head.get("Host").is_some_and(|host| host.starts_with("127.0.0.1:")), "{head:?}");
    assert_eq!(head.get("Upgrade"), Some("websocket"));
    assert_eq!(head.get("Connection"), Some("Upgrade"));
    assert_eq!(head.get("Sec-WebSocket-Version"), Some("13"));
    assert_eq!(head.get("Sec-WebSocket-Extensions"), Some("permessage-deflate; client_max_window_bits"));
    assert_eq!(head.0.len(), 7, "with the request line and the key: {head:?}");
}

#[test]
fn each_header_option_takes_one_value_and_may_stand_anywhere() {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    run(["-H", "X-One: 1", &url, "-H", "X-Two: a: b", "--header", "x-one: again", "-H", "X-Empty:"], "").succeeds();
    let head = server.join().expect("the server");
    assert_eq!(head.all("X-One"), ["1", "again"]);
    assert_eq!(head.all("X-Two"), ["a: b"]);
    assert_eq!(head.all("X-Empty"), [""]);
}

#[test]
fn a_header_replaces_ours() {
    let head = request_of("", &["-H", "Host: example.com", "-H", "Origin: http://b", "--origin", "http://a"]);
    assert_eq!(head.all("Host"), ["example.com"]);
    assert_eq!(head.all("Origin"), ["http://b"]);
}

#[test]
fn origin_user_agent_and_subprotocols_have_options() {
    let (port, server) = one_connection(|stream| {
        let mut peer = Peer::accept_with(stream, "Sec-WebSocket-Protocol: v2\r\n");
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    let url = format!("ws://127.0.0.1:{port}/");
    run([&url, "--origin", "https://example.com", "--ua", "tester/1", "--protocol", "v2, v1"], "").succeeds();
    let head = server.join().expect("the server");
    assert_eq!(head.get("Origin"), Some("https://example.com"));
    assert_eq!(head.get("User-Agent"), Some("tester/1"));
    assert_eq!(head.all("Sec-WebSocket-Protocol"), ["v2, v1"]);
}

#[test]
fn a_login_comes_from_the_option_or_the_url() {
    let (option, url) = ("Basic dXNlcjpwYTpzcw==", "Basic dXNlcjpwQHNz");
    assert_eq!(request_of("", &["--basic-auth", "user:pa:ss"]).get("Authorization"), Some(option));
    for args in [&[][..], &["--basic-auth", "other:word"]] {
        let (port, server) = one_connection(|stream| {
            let mut peer = Peer::accept(stream);
            peer.close(1000, "");
            peer.ends();
            peer.head
        });
        let address = format!("ws://user:p%40ss@127.0.0.1:{port}/");
        run([&[&*address], args].concat(), "").succeeds();
        let head = server.join().expect("the server");
        assert_eq!(head.all("Authorization"), [url]);
        assert!(head.get("Host").is_some_and(|host| !host.contains('@')), "{head:?}");
    }
}

#[test]
fn a_password_is_shown_nowhere() {
    let (port, server) = one_connection(|stream| {
        let mut peer = Peer::accept(stream);
        peer.close(4000, "");
        peer.ends()
    });
    let url = format!("ws://user:secret@127.0.0.1:{port}/");
    let finished = run(["-vv", &url, "-H", "Authorization: Bearer secret"], "");
    assert_eq!(finished.code, 8, "{finished:?}");
    assert!(!finished.stderr.contains("secret"), "{finished:?}");
    server.join().expect("the server");
    let explained = run(["--explain", &url], "");
    assert!(!explained.succeeds().out().contains("secret"), "{explained:?}");
}

#[test]
fn localhost_finds_a_server_that_listens_on_one_ip_version() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    for address in [format!("ws://localhost:{}/", server.port), format!("localhost:{}", server.port)] {
        assert_eq!(run([address], "hello\n").succeeds().out(), "hello\n");
    }
}

#[test]
fn a_ws_c_overlay_requests_its_url() {
    let (port, server) = one_connection(|stream| {
        let mut peer = Peer::accept(stream);
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    let address = format!("ws-c:tcp:127.0.0.1:{port}");
    run([&address, "--ws-c-uri", "ws://example.com/chat"], "").succeeds();
    let head = server.join().expect("the server");
    assert_eq!((head.first(), head.get("Host")), ("GET /chat HTTP/1.1", Some("example.com")));
}

#[test]
fn frames_that_come_with_the_answer_are_not_lost() {
    let (port, server) = http_server(|request| {
        let mut bytes = switching_protocols(&request.head, "").into_bytes();
        bytes.extend(from_server(TEXT, b"early"));
        bytes.extend(from_server(CLOSE, 1000_u16.to_be_bytes()));
        let mut stream = request.into_parts().0;
        stream.write_all(&bytes).expect("write");
        stream.read_to_end(&mut Vec::new()).expect("read");
    });
    assert_eq!(run([format!("ws://127.0.0.1:{port}/")], "").succeeds().out(), "early\n");
    server.join().expect("the server");
}

#[test]
fn frames_that_come_with_the_request_are_not_lost() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut stream = server.connect();
    let mut bytes = upgrade_request("/", "").into_bytes();
    bytes.extend(from_client(TEXT, b"early"));
    stream.write_all(&bytes).expect("write");
    let mut peer = Peer::client(Exchange::request(stream, "").switched());
    assert_eq!(peer.receive_text(), "early");
}

#[test]
fn the_first_offered_subprotocol_is_chosen_or_the_one_that_the_option_names() {
    let chosen = |args: &[&str], offer: &str| {
        let server = Serving::start([&["ws-l:0", "mirror:"], args].concat());
        let head = Peer::connect_with(server.port, "/", offer).head;
        head.all("Sec-WebSocket-Protocol").join("|")
    };
    let offer = "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n";
    assert_eq!(chosen(&[], offer), "a");
    assert_eq!(chosen(&[], ""), "");
    assert_eq!(chosen(&["--server-protocol", "c"], offer), "c");
    assert_eq!(chosen(&["--server-protocol", "d"], offer), "");
    assert_eq!(chosen(&["--server-protocol", "a"], ""), "");
}

#[test]
fn server_headers_are_in_every_answer() {
    let server =
        Serving::start(["ws-l:0", "mirror:", "--server-header", "X-One: 1", "--server-header", "Set-Cookie: a=b"]);
    for head in
        [Peer::connect(server.port, "/").head, Exchange::connect(server.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").head]
    {
        assert_eq!((head.get("X-One"), head.get("Set-Cookie")), (Some("1"), Some("a=b")), "{head:?}");
    }
}

#[test]
fn a_plain_request_gets_426_with_an_explanation_and_the_connection_can_still_be_upgraded() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut plain = Exchange::connect(server.port, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(plain.head.first(), "HTTP/1.1 426 Upgrade Required");
    assert_eq!(plain.head.get("Upgrade"), Some("websocket"));
    assert_eq!(plain.body(), "This is a WebSocket server: connect with a ws:// or wss:// URL.\n");
    let mut upgraded = Peer::client(plain.again(&upgrade_request("/", "")).switched());
    upgraded.send_text("hello");
    assert_eq!(upgraded.receive_text(), "hello");
}

#[test]
fn with_restrict_uri_websockets_are_at_that_path_only() {
    let server = Serving::start(["ws-l:0", "mirror:", "--restrict-uri", "/chat"]);
    Peer::connect(server.port, "/chat");
    Peer::connect(server.port, "/chat?token=1");
    for path in ["/", "/chat/", "/other"] {
        let head = Exchange::connect(server.port, &upgrade_request(path, "")).head;
        assert_eq!(head.first(), "HTTP/1.1 404 Not Found", "{path}");
    }
    run([format!("ws://127.0.0.1:{}/other", server.port)], "").fails_with(5, "404").hints("path");
}

#[test]
fn static_files_are_served_beside_the_websocket() {
    let folder = Folder::new("static");
    let page = folder.path("a:page.html");
    let big: String = "0123456789".repeat(100_000);
    std::fs::write(&page, "<p>hello</p>").expect("write");
    std::fs::write(folder.path("big"), &big).expect("write");
    let files = [
        format!("/:text/html:{page}"),
        format!("/big.txt:text/plain:{}", folder.path("big")),
        format!("/gone:text/plain:{}", folder.path("gone")),
    ];
    let server = Serving::start(["ws-l:0", "mirror:", "-F", &files[0], "-F", &files[1], "--static-file", &files[2]]);
    let get = |path: &str| Exchange::connect(server.port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let mut page = get("/?cache=no");
    assert_eq!((page.head.first(), page.head.get("Content-Type")), ("HTTP/1.1 200 OK", Some("text/html")));
    assert_eq!(page.body(), "<p>hello</p>");
    assert_eq!(page.again("GET /big.txt HTTP/1.1\r\nHost: x\r\n\r\n").body(), big);
    assert_eq!(get("/gone").head.first(), "HTTP/1.1 404 Not Found");
    assert_eq!(get("/other").head.first(), "HTTP/1.1 426 Upgrade Required");
    let head = Exchange::connect(server.port, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").head;
    assert_eq!((head.first(), head.get("Content-Length")), ("HTTP/1.1 200 OK", Some("12")));
    let mut client = Peer::connect(server.port, "/");
    client.send_text("hello");
    assert_eq!(client.receive_text(), "hello");
}

#[test]
fn a_client_that_sends_no_request_is_closed_after_the_connect_timeout() {
    let server = Serving::start(["ws-l:0", "mirror:", "--connect-timeout", "0.4"]);
    let mut silent = server.connect();
    silent.write_all(b"GET / HT").expect("write");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).expect("the connection ends");
}

#[test]
fn path_query_and_subprotocol_travel_through_a_proxy() {
    let (port, server) = one_connection(|stream| {
        let mut peer = Peer::accept_with(stream, "Sec-WebSocket-Protocol: b\r\n");
        peer.receive_close();
        peer.head
    });
    let proxy = Serving::start(["ws-l:0", &format!("ws://127.0.0.1:{port}")]);
    let mut client = Peer::connect_with(proxy.port, "/room/7?name=%20x", "Sec-WebSocket-Protocol: a, b\r\n");
    assert_eq!(client.head.all("Sec-WebSocket-Protocol"), ["b"]);
    client.close(1000, "");
    client.receive();
    let head = server.join().expect("the server");
    assert_eq!(head.first(), "GET /room/7?name=%20x HTTP/1.1");
    assert_eq!(head.all("Sec-WebSocket-Protocol"), ["a, b"]);
}

#[test]
fn a_proxy_whose_url_has_a_path_requests_that_one() {
    let (url, server) = websocket_server(|mut peer| {
        peer.receive_close();
        peer.head
    });
    let proxy = Serving::start(["ws-l:0", &format!("{url}fixed")]);
    let mut client = Peer::connect(proxy.port, "/room/7");
    client.close(1000, "");
    client.receive();
    assert_eq!(server.join().expect("the server").first(), "GET /fixed HTTP/1.1");
}

#[test]
fn a_proxy_chooses_no_subprotocol_that_its_server_did_not() {
    let (url, server) = websocket_server(|mut peer| peer.receive_close());
    let proxy = Serving::start(["ws-l:0", &url]);
    let mut client = Peer::connect_with(proxy.port, "/", "Sec-WebSocket-Protocol: a\r\n");
    assert_eq!(client.head.get("Sec-WebSocket-Protocol"), None);
    client.close(1000, "");
    client.receive();
    server.join().expect("the server");
}

#[test]
fn a_far_end_that_cannot_be_reached_is_a_502() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    let proxy = Serving::start(["ws-l:0", &format!("ws://{closed}/")]);
    let head = Exchange::connect(proxy.port, &upgrade_request("/", "")).head;
    assert_eq!(head.first(), "HTTP/1.1 502 Bad Gateway");
    run([proxy.url()], "").fails_with(5, "502 Bad Gateway");
}

#[test]
fn pings_go_out_at_their_interval_on_both_sides() {
    let (url, server) = raw_peer_server(|mut peer| {
        for _ in 0..3 {
            let ping = peer.frame().expect("a ping");
            assert_eq!(ping.first, PING);
            peer.send(PONG, ping.payload);
        }
        peer.close(1000, "");
        peer.ends()
    });
    Running::start(wsplice([&url, "--ping-interval", "0.1"])).finish().succeeds();
    server.join().expect("the server");
    let server = Serving::start(["ws-l:0", "mirror:", "--ping-interval", "100ms"]);
    let mut client = RawPeer::connect(server.port, "/");
    for _ in 0..3 {
        assert_eq!(client.frame().map(|frame| frame.first), Some(PING));
    }
}

#[test]
fn a_peer_that_answers_no_ping_is_lost() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.send_text("hello");
        peer.ends()
    });
    let finished = Running::start(wsplice([&url, "--ping-interval", "0.1", "--ping-timeout", "0.5"])).finish();
    finished.fails_with(7, "no answer to a ping for 0.5 s");
    assert_eq!(finished.out(), "hello\n");
    server.join().expect("the server");
}

#[test]
fn a_peer_that_answers_pings_is_kept() {
    let (url, server) = raw_peer_server(|mut peer| {
        // Longer than the ping timeout.
        for _ in 0..20 {
            let ping = peer.frame().expect("a ping");
            assert_eq!(ping.first, PING);
            peer.send(PONG, ping.payload);
        }
        peer.close(1000, "");
        peer.ends()
    });
    Running::start(wsplice([&url, "--ping-interval", "0.1", "--ping-timeout", "1"])).finish().succeeds();
    server.join().expect("the server");
}

#[test]
fn a_slow_reader_of_our_output_is_not_taken_for_a_lost_peer() {
    let (told, full) = mpsc::channel();
    let (url, server) = raw_peer_server(move |mut peer| {
        assert_eq!(peer.frame().map(|frame| frame.first), Some(PING));
        let mut writer = peer.writer();
        let writing = thread::spawn(move || {
            let piece = from_server(BINARY, [b'x'; 100_000]);
            (0..200).for_each(|_| writer.write_all(&piece).expect("write"));
            // The pong comes after all that.
            writer.write_all(&from_server(PONG, b"")).expect("write");
            writer.write_all(&from_server(CLOSE, 1000_u16.to_be_bytes())).expect("write");
        });
        // Nobody reads the client's output, so it reads no pong for more than two ping timeouts.
        thread::sleep(Duration::from_millis(1100));
        told.send(()).expect("the test waits");
        writing.join().expect("the writer");
        peer.ends();
    });
    let mut child = wsplice([&url, "-b", "--ping-interval", "0.1", "--ping-timeout", "0.5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    full.recv_timeout(LIMIT).expect("the server");
    let mut printed = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut printed).expect("read");
    let finished = child.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&finished.stderr), "");
    assert!(finished.status.success());
    assert_eq!(printed.len(), 200 * 100_000);
    server.join().expect("the server");
}

#[test]
fn after_our_close_frame_no_ping_is_sent_or_missed() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.receive().close().0, 1000);
        peer.stream().set_read_timeout(Some(Duration::from_millis(600))).expect("set a limit");
        assert_eq!(peer.frame(), None);
        peer.send_text("last words");
        peer.close(1000, "");
        peer.ends()
    });
    let finished = run([&url, "--linger", "0", "--ping-interval", "0.1", "--ping-timeout", "0.3"], "");
    assert_eq!(finished.succeeds().out(), "last words\n");
    server.join().expect("the server");
}

#[test]
fn pings_of_the_peer_are_answered_also_between_the_fragments_of_its_messages() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = RawPeer::connect(server.port, "/");
    client.send(unfinished(TEXT), b"one ");
    client.send(PING, "mid");
    let pong = client.frame().expect("a pong");
    assert_eq!((pong.first, pong.text()), (PONG, "mid".into()));
    client.send(CONTINUATION, b"message");
    assert_eq!(client.receive_text(), "one message");
}

#[test]
fn a_subprotocol_may_be_offered_with_a_header_option() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let finished = run(["-H", "Sec-WebSocket-Protocol: chat", &server.url()], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n");
}

#[test]
fn the_connect_timeout_covers_a_handshake_with_a_process() {
    run(["--connect-timeout", "0.2", "ws-c:sh-c:exec sleep 100"], "").fails_with(124, "WebSocket handshake");
    run(["--connect-timeout", "0.2", "tls:sh-c:exec sleep 100"], "").fails_with(124, "TLS handshake");
}

#[test]
fn a_process_that_fails_in_the_handshake_is_exit_10() {
    run(["ws-c:sh-c:exit 3"], "").fails_with(10, "exited with status 3");
}

#[test]
fn every_refusal_has_a_content_length() {
    let args = ["ws-l:0", "tcp:127.0.0.1:1", "--restrict-uri", "/ws", "--allow-origin", "https://a.example"];
    let server = Serving::start(args);
    let upgrade = |target: &str, more: &str| upgrade_request(target, more);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426"),
        (upgrade("/other", ""), "404"),
        (upgrade("/ws", "").replace("Connection: Upgrade\r\n", ""), "400"),
        (upgrade("/ws", "Origin: https://b.example\r\n"), "403"),
        (upgrade("/ws", ""), "502"),
    ] {
        let mut peer = Exchange::connect(server.port, &request);
        assert_eq!(peer.head.first().split(' ').nth(1), Some(status));
        assert!(peer.head.get("Content-Length").is_some(), "{:?}", peer.head);
        assert!(peer.body().ends_with(".\n"));
    }
}

#[test]
fn a_long_message_is_sent_in_fragments_in_both_roles() {
    let payload = "x".repeat(150_000);
    let fragments = |peer: &mut RawPeer| {
        let frames: Vec<_> = (0..3).map(|_| peer.frame().expect("a frame")).collect();
        frames.iter().map(|frame| (frame.first, frame.payload.len())).collect::<Vec<_>>()
    };
    let expected = [(unfinished(TEXT), 65_536), (unfinished(CONTINUATION), 65_536), (CONTINUATION, 18_928)];
    let (url, server) = raw_peer_server(move |mut peer| {
        let frames = fragments(&mut peer);
        peer.close(1000, "");
        peer.ends();
        frames
    });
    run([&url], &payload).succeeds();
    assert_eq!(server.join().expect("the server"), expected);
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = RawPeer::connect(mirror.port, "/");
    client.send_text(&payload);
    assert_eq!(fragments(&mut client), expected);
}

#[test]
fn a_close_code_that_may_not_be_sent_is_not_passed_on() {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(1006, "");
        peer.receive_close().0
    });
    let proxy = Serving::start(["ws-l:0", &url]);
    let mut client = Peer::connect(proxy.port, "/");
    assert_eq!(client.receive_close().0, 1011);
    assert_eq!(server.join().expect("the server"), 1002);
}
