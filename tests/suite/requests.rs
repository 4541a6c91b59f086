//! The opening handshake of clients: redirects, cookies, headers from files and of other clients, and name look-ups.

use crate::{
    http::{Exchange, Head, http_server},
    peer::{Peer, websocket_server},
    support::{Folder, LIMIT, Serving, one_connection, run, wait_for},
};
use std::{io::Write, sync::mpsc, thread::JoinHandle};

/// A server that redirects once: its port, and the request.
fn redirect(status: u16, location: String) -> (u16, JoinHandle<Head>) {
    http_server(move |request| {
        let head = request.head.clone();
        let answer = format!("HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        request.into_parts().0.write_all(answer.as_bytes()).expect("write");
        head
    })
}

/// A server that echoes one message and closes.
fn echo() -> (String, JoinHandle<Head>) {
    websocket_server(|mut peer| {
        let text = peer.receive_text();
        peer.send_text(&text);
        peer.close(1000, "");
        peer.ends();
        peer.head
    })
}

#[test]
fn a_redirect_is_an_error_that_names_the_whole_url() {
    for (location, url) in [
        ("/login?x=1", "ws://127.0.0.1:PORT/login?x=1"),
        ("other", "ws://127.0.0.1:PORT/a/other"),
        ("https://example.com/x#part", "wss://example.com/x"),
        ("//example.com/", "ws://example.com/"),
        ("http://me:secret@example.com/", "ws://me:…@example.com/"),
    ] {
        let (port, server) = redirect(302, location.into());
        let finished = run([format!("ws://127.0.0.1:{port}/a/b")], "");
        finished.fails_with(5, "expected 101, got 302 Found");
        finished
            .hints(&format!("redirected to {}: use that address, or --follow", url.replace("PORT", &port.to_string())));
        server.join().expect("the server");
    }
    for location in ["ftp://example.com/", "http://", "ws://example.com:0/"] {
        let (port, _server) = redirect(301, location.into());
        run([format!("ws://127.0.0.1:{port}/"), "--follow".into()], "").fails_with(5, "301 Moved Permanently");
    }
}

#[test]
fn follow_goes_where_redirects_lead() {
    for status in [301, 302, 303, 307, 308] {
        let (url, server) = echo();
        let (port, first) = redirect(status, format!("{}there?x=1", url.replace("ws:", "http:")));
        let finished = run(["-v", "-L", &format!("ws://127.0.0.1:{port}/")], "hello\n");
        assert_eq!(finished.succeeds().out(), "hello\n");
        assert!(finished.stderr.contains(&format!("redirected to {url}there?x=1")), "{finished:?}");
        first.join().expect("the first server");
        assert_eq!(server.join().expect("the server").first(), "GET /there?x=1 HTTP/1.1");
    }
    let server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    let (port, _first) = redirect(307, format!("https://localhost:{}/", server.port));
    assert_eq!(run(["--follow", "-k", &format!("ws://127.0.0.1:{port}/")], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn another_host_or_port_gets_no_login_and_no_cookies() {
    let options = [
        "--basic-auth",
        "me:secret",
        "--cookie",
        "a=secret",
        "-H",
        "Cookie: b=secret",
        "-H",
        "Authorization: Bearer secret",
        "-H",
        "X-Trace: 7",
        "--follow",
    ];
    let (url, server) = echo();
    let (port, first) = redirect(307, url);
    run([&[&*format!("ws://u:secret@127.0.0.1:{port}/")], &options[..]].concat(), "hello\n").succeeds();
    let head = first.join().expect("the first server");
    assert_eq!(head.all("Authorization"), ["Bearer secret"]);
    assert_eq!(head.all("Cookie"), ["b=secret", "a=secret"]);
    let head = server.join().expect("the server");
    assert!(!head.0.iter().any(|line| line.contains("secret") || line.starts_with("Cookie")), "{head:?}");
    assert_eq!(head.get("X-Trace"), Some("7"));
}

#[test]
fn the_same_host_and_port_gets_the_login_again() {
    for (login, options) in [("", &["--user", "me:secret"][..]), ("me:secret@", &[])] {
        // Both requests come to one port.
        let (sender, heads) = mpsc::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let server = std::thread::spawn(move || {
            let first = Exchange::accept(listener.accept().expect("accept").0);
            sender.send(first.head.clone()).expect("send");
            let answer = b"HTTP/1.1 307 Go\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
            first.into_parts().0.write_all(answer).expect("write");
            let mut peer = Peer::accept(listener.accept().expect("accept").0);
            sender.send(peer.head.clone()).expect("send");
            peer.close(1000, "");
            peer.ends();
        });
        run([&[&*format!("ws://{login}127.0.0.1:{port}/"), "-L"], options].concat(), "").succeeds();
        for path in ["/", "/there"] {
            let head = heads.recv_timeout(LIMIT).expect("a request");
            assert_eq!(head.first(), format!("GET {path} HTTP/1.1"));
            assert_eq!(head.get("Authorization"), Some("Basic bWU6c2VjcmV0"));
        }
        server.join().expect("the server");
    }
}

#[test]
fn a_circle_of_redirects_ends() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let served = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = served.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let answer = b"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
            let _ = Exchange::accept(stream).into_parts().0.write_all(answer);
        }
    });
    let url = format!("ws://127.0.0.1:{port}/");
    run(["-L", "--max-redirects", "3", &url], "").fails_with(5, "more than 3 redirects").hints("--max-redirects");
    assert_eq!(served.load(std::sync::atomic::Ordering::SeqCst), 4);
    run(["-L", "--max-redirects", "x", &url], "").fails_with(2, "--max-redirects");
}

/// The request of a client with these arguments.
#[track_caller]
fn request_of(args: &[&str]) -> Head {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    run([&[&*url], args].concat(), "").succeeds();
    server.join().expect("the server")
}

#[test]
fn cookies_user_agent_and_login_have_the_names_of_curl_and_wscat() {
    let head = request_of(&["--cookie", "a=1", "--cookie", "b=2", "-A", "me/1", "--user", "me:secret"]);
    assert_eq!(head.all("Cookie"), ["a=1; b=2"]);
    assert_eq!(head.all("User-Agent"), ["me/1"]);
    assert_eq!(head.all("Authorization"), ["Basic bWU6c2VjcmV0"]);
    assert_eq!(request_of(&["--user-agent", "me/2", "--auth", "me:secret"]).all("User-Agent"), ["me/2"]);
    run(["ws://127.0.0.1:9/", "--cookie", "jar.txt"], "").fails_with(2, "expected NAME=VALUE; -H @FILE");
}

#[test]
fn headers_are_read_from_a_file() {
    let folder = Folder::new("headers");
    let file = folder.path("headers");
    std::fs::write(&file, "# a comment\nX-One: 1\n\nX-Two: a: b\r\n").expect("write");
    let head = request_of(&["-H", &format!("@{file}"), "-H", "X-Three: 3"]);
    assert_eq!((head.get("X-One"), head.get("X-Two"), head.get("X-Three")), (Some("1"), Some("a: b"), Some("3")));
    std::fs::write(&file, "X-One: 1\nnothing\n").expect("write");
    run(["ws://127.0.0.1:9/", "-H", &format!("@{file}")], "")
        .fails_with(2, &format!("line 2 of {file}: expected `Name"));
    run(["ws://127.0.0.1:9/", "-H", "@/does/not/exist"], "").fails_with(2, "cannot read /does/not/exist: No such file");
}

#[test]
fn headers_of_the_client_are_forwarded_on_demand() {
    let headers =
        "Cookie: a=1\r\nCookie: b=2\r\nAuthorization: Bearer x\r\nOrigin: https://a.example\r\nX-Other: 1\r\n";
    for (args, cookies, logins, origins) in [
        (&[][..], &[][..], &[][..], &[][..]),
        (
            &["--forward-header", "cookie", "--forward-header", "Authorization", "--forward-header", "Origin"],
            &["a=1", "b=2"],
            &["Bearer x"],
            &["https://a.example"],
        ),
        // What an option sets goes before.
        (&["--forward-header", "Cookie", "-H", "Cookie: own=1"], &["own=1"], &[], &[]),
    ] {
        let (port, server) = one_connection(|stream| {
            let mut peer = Peer::accept(stream);
            peer.send_text("hello");
            peer.close(1000, "");
            peer.ends();
            peer.head
        });
        let far = format!("ws://127.0.0.1:{port}/");
        let near = Serving::start([&["ws-l:127.0.0.1:0", &far], args].concat());
        let mut client = Peer::connect_with(near.port, "/", headers);
        assert_eq!(client.receive_text(), "hello");
        let head = server.join().expect("the server");
        assert_eq!((head.all("Cookie"), head.all("Authorization")), (cookies.to_vec(), logins.to_vec()), "{args:?}");
        assert_eq!((head.all("Origin"), head.all("X-Other")), (origins.to_vec(), vec![]), "{args:?}");
    }
    for name in ["Host", "Sec-WebSocket-Key", "Connection", "a b"] {
        run(["ws-l:0", "ws://127.0.0.1:9/", "--forward-header", name], "").fails_with(2, "--forward-header");
    }
}

#[test]
fn names_are_looked_up_as_the_options_say() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let port = server.port;
    let url = format!("ws://nowhere.invalid:{port}/");
    for known in [format!("nowhere.invalid:{port}:127.0.0.1"), format!("*:{port}:[::1],127.0.0.1")] {
        assert_eq!(run([&url, "--resolve", &known], "hello\n").succeeds().out(), "hello\n", "{known}");
    }
    run([&url, "--resolve", "nowhere.invalid:1:127.0.0.1"], "").fails_with(3, "cannot resolve `nowhere.invalid`");
    run([&url, "--resolve", "nowhere.invalid"], "").fails_with(2, "expected HOST:PORT:ADDR");
    let here = format!("ws://127.0.0.1:{port}/");
    assert_eq!(run(["-4", &here], "hello\n").succeeds().out(), "hello\n");
    run(["-6", &here], "").fails_with(3, "it has no IPv6 address, and -6 allows no other");
    run(["-4", &format!("ws://[::1]:{port}/")], "").fails_with(3, "it has no IPv4 address, and -4 allows no other");
    run(["-4", "-6", &here], "").fails_with(2, "cannot be used with");
}

#[test]
fn a_websocket_on_a_unix_socket_is_named_as_in_ws_and_curl() {
    let folder = Folder::new("ws-unix");
    let socket = folder.path("socket");
    let _server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut listener =
        crate::support::Running::start(crate::support::wsplice([&format!("ws-u:unix-l:{socket}"), "mirror:", "-v"]));
    listener.error_line("listening");
    wait_for("the socket", || std::fs::metadata(&socket).ok());
    for address in
        [format!("ws+unix:{socket}"), format!("ws+unix:{socket}:/chat?x=1"), format!("ws+unix://{socket}:/chat?x=1")]
    {
        assert_eq!(run([&address], "hello\n").succeeds().out(), "hello\n", "{address}");
        let path = if address.contains("chat") { "/chat?x=1" } else { "/" };
        listener.error_line(&format!("GET {path} HTTP/1.1"));
    }
}

#[test]
fn the_options_of_requests_belong_to_every_websocket_client() {
    for address in ["ws://127.0.0.1:9/", "wss://127.0.0.1:9/", "ws+unix:/tmp/x", "ws-c:tcp:127.0.0.1:9"] {
        for options in [&["--cookie", "a=b"][..], &["--slash"], &["--show-ping-pong"], &["-4"], &["--user", "a:b"]] {
            run([&["--explain", address], options].concat(), "").succeeds();
        }
    }
    for options in [&["--follow"][..], &["--max-redirects", "2"], &["--proxy", "x"], &["--noproxy", "*"]] {
        for url in ["ws://127.0.0.1:9/", "wss://127.0.0.1:9/"] {
            run([&["--explain", url], options].concat(), "").succeeds();
        }
        run([&["--explain", "ws-l:0", "mirror:"], options].concat(), "").fails_with(2, "does not apply");
    }
}
