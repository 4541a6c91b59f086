//! Proxies: `--proxy`, `--socks5`, the overlays of SOCKS5, and the variables of the environment.

use crate::{
    http::{Exchange, Head},
    peer::{Peer, websocket_server},
    support::{Finished, Folder, LIMIT, Running, Serving, connect, one_connection, run, wsplice},
};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

/// Copies both ways until both ends have ended.
fn join(one: TcpStream, other: TcpStream) {
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    let (from, to) = (other.try_clone().expect("clone"), one.try_clone().expect("clone"));
    let back = thread::spawn(move || copy(from, to));
    copy(one, other);
    let _ = back.join();
}

/// A proxy that serves any number of connections with `serve`.
fn proxy(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// A proxy with CONNECT, which connects to the port asked for on this machine. Gives its port and the requests.
fn http_proxy(login: Option<&'static str>) -> (u16, mpsc::Receiver<Head>) {
    let (sender, requests) = mpsc::channel();
    let port = proxy(move |stream| {
        let request = Exchange::accept(stream);
        let head = request.head.clone();
        let _ = sender.send(head.clone());
        let (mut stream, early) = request.into_parts();
        assert!(early.is_empty(), "the client sends nothing before the tunnel is open");
        if head.get("Proxy-Authorization") != login {
            let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let target = head.first().strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("a CONNECT");
        let (_, port) = target.rsplit_once(':').expect("a port");
        let target = connect(port.parse().expect("a port"));
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("write");
        join(stream, target);
    });
    (port, requests)
}

fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).expect("the client sends what the protocol asks for");
    bytes
}

/// What the client of a SOCKS5 proxy asks for: the command, and the host as it was sent.
#[derive(Debug, PartialEq)]
struct Asked {
    command: u8,
    host: String,
    port: u16,
}

/// The first part of the protocol, up to the request.
fn socks_request(stream: &mut TcpStream, login: Option<(&str, &str)>) -> Option<Asked> {
    let [version, count] = read(stream);
    assert_eq!(version, 5);
    let mut methods = vec![0; count.into()];
    stream.read_exact(&mut methods).expect("read");
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff]).expect("write");
        return None;
    }
    stream.write_all(&[5, method]).expect("write");
    if let Some((user, password)) = login {
        let [version, length] = read(stream);
        assert_eq!(version, 1);
        let mut given = vec![0; length.into()];
        stream.read_exact(&mut given).expect("read");
        let [length] = read(stream);
        let mut word = vec![0; length.into()];
        stream.read_exact(&mut word).expect("read");
        let is_right = given == user.as_bytes() && word == password.as_bytes();
        stream.write_all(&[1, u8::from(!is_right)]).expect("write");
        if !is_right {
            return None;
        }
    }
    let [version, command, reserved, kind] = read(stream);
    assert_eq!((version, reserved), (5, 0));
    let host = match kind {
        1 => std::net::Ipv4Addr::from(read::<4>(stream)).to_string(),
        4 => std::net::Ipv6Addr::from(read::<16>(stream)).to_string(),
        3 => {
            let [length] = read(stream);
            let mut name = vec![0; length.into()];
            stream.read_exact(&mut name).expect("read");
            String::from_utf8(name).expect("text")
        }
        other => panic!("address type {other}"),
    };
    Some(Asked { command, host, port: u16::from_be_bytes(read(stream)) })
}

/// A reply with the address 127.0.0.1 and this port.
fn socks_reply(status: u8, port: u16) -> Vec<u8> {
    [&[5, status, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat()
}

/// A SOCKS5 proxy, which connects to the port asked for on this machine.
fn socks_proxy(login: Option<(&'static str, &'static str)>) -> (u16, mpsc::Receiver<Asked>) {
    let (sender, asked) = mpsc::channel();
    let port = proxy(move |mut stream| {
        let Some(request) = socks_request(&mut stream, login) else { return };
        let target = connect(request.port);
        let _ = sender.send(request);
        stream.write_all(&socks_reply(0, 1)).expect("write");
        join(stream, target);
    });
    (port, asked)
}

/// Runs a client with these variables of the environment.
#[track_caller]
fn run_with(variables: &[(&str, &str)], args: &[&str]) -> Finished {
    let mut command = wsplice(args);
    command.envs(variables.iter().copied());
    let mut running = Running::start(command);
    running.write("hello\n");
    running.close_input();
    running.finish()
}

#[test]
fn a_websocket_goes_through_an_http_proxy() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let (port, requests) = http_proxy(None);
    let url = format!("ws://localhost:{}/", server.port);
    let finished = run(["-v", &url, "--proxy", &format!("http://127.0.0.1:{port}")], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n");
    let target = format!("localhost:{}", server.port);
    assert!(finished.stderr.contains(&format!("> CONNECT {target} HTTP/1.1")), "{finished:?}");
    let head = requests.recv_timeout(LIMIT).expect("a request");
    assert_eq!(head.first(), format!("CONNECT {target} HTTP/1.1"));
    assert_eq!(head.all("Host"), [&*target]);
    assert_eq!(head.0.len(), 2, "{head:?}");
}

#[test]
fn a_tls_websocket_goes_through_each_kind_of_proxy() {
    let server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    let (http, _requests) = http_proxy(None);
    let (socks, _asked) = socks_proxy(None);
    // TLS in front of the same proxy.
    let https = Serving::start(["tls-l:127.0.0.1:0", &format!("tcp:127.0.0.1:{http}"), "--self-signed"]);
    let url = format!("wss://localhost:{}/", server.port);
    let long = format!("{}\n", "x".repeat(300_000));
    for proxy in [
        format!("http://127.0.0.1:{http}"),
        format!("https://127.0.0.1:{}", https.port),
        format!("socks5://127.0.0.1:{socks}"),
        format!("socks5h://127.0.0.1:{socks}"),
    ] {
        assert_eq!(run(["-k", &url, "--proxy", &proxy], &long).succeeds().out(), long, "{proxy}");
    }
    let proxy = format!("https://127.0.0.1:{}", https.port);
    run([&url, "--proxy", &proxy], "").fails_with(4, "TLS with");
}

#[test]
fn the_proxy_looks_names_up_with_socks5h_and_we_do_with_socks5() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let (port, asked) = socks_proxy(None);
    let url = format!("ws://localhost:{}/", server.port);
    for (args, host) in [
        (["--proxy".to_owned(), format!("socks5h://127.0.0.1:{port}")], "localhost"),
        (["--socks5".to_owned(), format!("127.0.0.1:{port}")], "localhost"),
        (["--proxy".to_owned(), format!("socks5://127.0.0.1:{port}")], "127.0.0.1"),
    ] {
        assert_eq!(run([&url, &args[0], &args[1]], "hello\n").succeeds().out(), "hello\n");
        let asked = asked.recv_timeout(LIMIT).expect("a request");
        let is_ours = asked.host == host || host == "127.0.0.1" && asked.host == "::1";
        assert!(is_ours && asked.command == 1 && asked.port == server.port, "{asked:?} for {args:?}");
    }
}

#[test]
fn a_login_for_the_proxy_comes_from_its_url_or_an_option_and_is_shown_nowhere() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let (http, _requests) = http_proxy(Some("Basic bWU6czpAY3JldA=="));
    let (socks, _asked) = socks_proxy(Some(("me", "s:@cret")));
    for (scheme, port) in [("http", http), ("socks5h", socks)] {
        let bare = format!("{scheme}://127.0.0.1:{port}");
        let url = format!("{scheme}://me:s%3A%40cret@127.0.0.1:{port}");
        for args in [&["--proxy", &url][..], &["--proxy", &bare, "--proxy-user", "me:s:@cret"]] {
            let finished = run([&["-vv", &server.url()], args].concat(), "hello\n");
            assert_eq!(finished.succeeds().out(), "hello\n", "{args:?}");
            assert!(!finished.stderr.contains("cret") && !finished.stderr.contains("bWU6"), "{finished:?}");
        }
        let explained = run(["--explain", &server.url(), "--proxy", &url], "");
        assert!(explained.succeeds().out().contains(&format!("through the proxy {bare}")), "{explained:?}");
        assert!(!explained.out().contains("cret"), "{explained:?}");
        let wrong = format!("{scheme}://me:wrong@127.0.0.1:{port}");
        let finished = run([&server.url(), "--proxy", &wrong], "");
        finished.fails_with(5, &format!("handshake with the proxy {bare} failed"));
        assert!(finished.stderr.contains("the user name or the password is wrong"), "{finished:?}");
        let finished = run([&server.url(), "--proxy", &bare], "");
        finished.fails_with(5, "handshake with the proxy").hints("log in with --proxy");
    }
}

#[test]
fn the_environment_names_the_proxy_by_the_rules_of_curl() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let (http, requests) = http_proxy(None);
    let (socks, asked) = socks_proxy(None);
    let (http, socks) = (format!("127.0.0.1:{http}"), format!("socks5h://127.0.0.1:{socks}"));
    let dead = "http://127.0.0.1:1";
    for (variables, args, used) in [
        (&[("HTTP_PROXY", &*http)][..], &[][..], "http"),
        (&[("http_proxy", &http), ("HTTP_PROXY", dead)], &[], "http"),
        (&[("ws_proxy", &http), ("http_proxy", dead)], &[], "http"),
        (&[("ALL_PROXY", &socks), ("HTTPS_PROXY", dead)], &[], "socks"),
        (&[("http_proxy", &http), ("all_proxy", &socks)], &[], "http"),
        // An empty variable means none, and --proxy goes before the environment.
        (&[("http_proxy", ""), ("all_proxy", dead)], &[], "none"),
        (&[("http_proxy", dead)], &["--proxy", ""], "none"),
        (&[("http_proxy", dead)], &["--proxy", &socks], "socks"),
        // A CGI program gets HTTP_PROXY from a header of the request.
        (&[("HTTP_PROXY", dead), ("REQUEST_METHOD", "GET")], &[], "none"),
        (&[("http_proxy", dead), ("NO_PROXY", "example.com, 127.0.0.0/8")], &[], "none"),
        (&[("http_proxy", dead), ("no_proxy", "*")], &[], "none"),
        (&[("http_proxy", dead)], &["--noproxy", "127.0.0.1"], "none"),
        (&[("http_proxy", &http), ("no_proxy", "*")], &["--noproxy", ""], "http"),
        (&[("no_proxy", "127.0.0.1")], &["--proxy", dead], "none"),
        // Only URLs have a scheme that the environment can name.
        (&[("https_proxy", dead)], &[], "none"),
    ] {
        let finished = run_with(variables, &[&[&*server.url()], args].concat());
        assert_eq!(finished.succeeds().out(), "hello\n", "{variables:?} {args:?}");
        assert_eq!(requests.try_recv().is_ok(), used == "http", "{variables:?} {args:?}");
        assert_eq!(asked.try_recv().is_ok(), used == "socks", "{variables:?} {args:?}");
    }
    run_with(&[("HTTP_PROXY", "ftp://a:secret@b")], &[&server.url()])
        .fails_with(2, "the environment variable HTTP_PROXY is not the URL of a proxy: `ftp` is not http")
        .hints("--proxy ''");
}

#[test]
fn tcp_and_tls_go_through_a_proxy_that_an_option_names() {
    let (http, requests) = http_proxy(None);
    let proxy = format!("http://127.0.0.1:{http}");
    // The server speaks first, and half-closes.
    let (port, server) = one_connection(|mut stream| {
        stream.write_all(b"welcome\n").expect("write");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        text
    });
    let address = format!("tcp:127.0.0.1:{port}");
    assert_eq!(run([&address, "--proxy", &proxy], "hello\n").succeeds().out(), "welcome\n");
    assert_eq!(server.join().expect("the server"), "hello\n");
    let server = Serving::start(["tls-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    let address = format!("tls:127.0.0.1:{}", server.port);
    assert_eq!(run(["-k", &address, "--proxy", &proxy], "hello\n").succeeds().out(), "hello\n");
    assert_eq!(requests.try_iter().count(), 2);
    // The environment does not concern it.
    let server = Serving::start(["tcp-l:127.0.0.1:0", "mirror:"]);
    let address = format!("tcp:127.0.0.1:{}", server.port);
    assert_eq!(run_with(&[("ALL_PROXY", "127.0.0.1:1")], &[&address]).succeeds().out(), "hello\n");
}

#[test]
fn bytes_that_come_with_the_response_of_the_proxy_are_not_lost() {
    let (port, server) = one_connection(|mut stream| {
        Head::read(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nwelcome\n").expect("write");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        text
    });
    let proxy = format!("http://127.0.0.1:{port}");
    assert_eq!(run(["tcp:example.com:22", "--proxy", &proxy], "hello\n").succeeds().out(), "welcome\n");
    assert_eq!(server.join().expect("the server"), "hello\n");
    let (port, server) = one_connection(|mut stream| {
        socks_request(&mut stream, None).expect("a request");
        stream.write_all(&[&socks_reply(0, 1)[..], b"welcome\n"].concat()).expect("write");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        text
    });
    let proxy = format!("socks5h://127.0.0.1:{port}");
    assert_eq!(run(["tcp:example.com:22", "--proxy", &proxy], "hello\n").succeeds().out(), "welcome\n");
    assert_eq!(server.join().expect("the server"), "hello\n");
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let proxy = format!("{scheme}://127.0.0.1:{port}");
        run(["ws://127.0.0.1:9/", "--proxy", &proxy], "")
            .fails_with(3, &format!("cannot connect to the proxy {proxy}: Connection refused"));
    }
}

/// What a client says about a SOCKS5 proxy whose answers are these bytes.
#[track_caller]
fn socks_answers(bytes: &'static [u8]) -> Finished {
    let (port, proxy) = one_connection(move |mut stream| {
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let finished = run(["ws://example.com/", "--proxy", &format!("socks5h://127.0.0.1:{port}")], "");
    proxy.join().expect("the proxy");
    finished
}

#[test]
fn each_refusal_of_a_socks_proxy_is_told() {
    for (answer, code, text) in [
        (&b"\x05\x00\x05\x01\x00\x01"[..], 3, "cannot connect to example.com:80: the proxy socks5h://127.0.0.1:"),
        (b"\x05\x00\x05\x02\x00\x01", 5, "its rules do not allow this connection"),
        (b"\x05\x00\x05\x03\x00\x01", 3, "network unreachable"),
        (b"\x05\x00\x05\x04\x00\x01", 3, "host unreachable"),
        (b"\x05\x00\x05\x05\x00\x01", 3, "connection refused"),
        (b"\x05\x00\x05\x06\x00\x01", 3, "TTL expired"),
        (b"\x05\x00\x05\x07\x00\x01", 5, "does not support this command"),
        (b"\x05\x00\x05\x08\x00\x01", 5, "does not support this type of address"),
        (b"\x05\x00\x05\x63\x00\x01", 5, "unknown status 99"),
        (b"\x05\x00\x05\x00\x00\x07", 5, "unknown type of address"),
        (b"\x05\x00\x04\x00\x00\x01", 5, "not SOCKS5"),
        (b"\x05\x02", 5, "a login that was not offered"),
        (b"\x05\xff", 5, "it requires a login"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 5, "not SOCKS5"),
        (b"\x05\x00\x05\x00\x00\x03\xff", 5, "closed the connection before it answered"),
        (b"\x05", 5, "closed the connection before it answered"),
        (b"", 5, "closed the connection before it answered"),
    ] {
        socks_answers(answer).fails_with(code, text);
    }
}

/// What a client says about an HTTP proxy whose answer is this.
#[track_caller]
fn http_answers(bytes: impl Into<Vec<u8>>) -> Finished {
    let bytes = bytes.into();
    let (port, proxy) = one_connection(move |mut stream| {
        Head::read(&mut stream);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let finished = run(["wss://example.com/", "--proxy", &format!("http://127.0.0.1:{port}")], "");
    proxy.join().expect("the proxy");
    finished
}

#[test]
fn each_refusal_of_an_http_proxy_is_told() {
    for (answer, code, text) in [
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 7\r\n\r\nno such", 3, "answered 502 Bad Gateway: no such"),
        ("HTTP/1.0 503 Service Unavailable\r\n\r\n<html>", 3, "cannot connect to example.com:443: the proxy http://"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 5, "answered 403 Forbidden"),
        ("HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n", 5, "407 Proxy Authentication Required"),
        ("HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n", 5, "405 Method Not Allowed"),
        ("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\nContent-Length: 0\r\n\r\n", 5, "302 Found"),
        ("SSH-2.0-OpenSSH\r\n", 5, "its response is not HTTP"),
        ("HTTP/1.1 403 X\r\nX-Note: a\x01b\r\n\r\n", 5, "the response has an invalid header: X-Note"),
        ("HTTP/1.1 200 OK\r\nX-Y", 5, "closed the connection before it answered"),
        ("", 5, "closed the connection before it answered"),
    ] {
        http_answers(answer).fails_with(code, text);
    }
    http_answers("\x05\x00").fails_with(5, "its response is not HTTP").hints("socks5h://HOST:PORT");
}

#[test]
fn a_head_without_end_is_cut_off() {
    http_answers(format!("HTTP/1.1 200 OK\r\nX-Y: {}", "y".repeat(1 << 20)))
        .fails_with(5, "its response is longer than 64 KiB");
    let headers: String = (0..20_000).map(|number| format!("X-{number}: y\r\n")).collect();
    http_answers(format!("HTTP/1.1 200 OK\r\n{headers}")).fails_with(5, "handshake with the proxy");
}

#[test]
fn a_proxy_that_says_nothing_is_waited_for_as_long_as_the_limit_allows() {
    let silent = proxy(|mut stream| _ = io::copy(&mut stream, &mut io::sink()));
    for scheme in ["http", "socks5h"] {
        let proxy = format!("{scheme}://127.0.0.1:{silent}");
        let args = ["ws://example.com/", "--proxy", &proxy, "--connect-timeout", "300ms"];
        let doing = format!("waiting for the proxy {proxy} to connect to example.com:80");
        run(args, "").fails_with(124, &doing).hints("--connect-timeout");
    }
}

#[test]
fn a_socks5_connect_overlay_asks_for_its_destination() {
    let (url, server) = websocket_server(|mut peer: Peer| {
        let text = peer.receive_text();
        peer.send_text(&text);
        peer.receive_close()
    });
    let (port, asked) = socks_proxy(Some(("me", "pw")));
    let target = url.trim_start_matches("ws://").trim_end_matches('/').replace("127.0.0.1", "localhost");
    let address = format!("ws-c:socks5-connect:tcp:127.0.0.1:{port}");
    let args = ["-", &address, "--socks5-destination", &target, "--socks5-user-pass", "me:pw"];
    assert_eq!(run(args, "hello\n").succeeds().out(), "hello\n");
    server.join().expect("the server");
    assert_eq!(asked.recv_timeout(LIMIT).expect("a request").host, "localhost");
    run(["socks5-connect:127.0.0.1:1"], "").fails_with(2, "needs --socks5-destination");
    run(["socks5-connect:127.0.0.1:1", "--socks5-destination", "host"], "").fails_with(2, "--socks5-destination");
}

#[test]
fn a_socks5_bind_overlay_accepts_one_connection_and_tells_a_script_the_port() {
    let folder = Folder::new("socks5-bind");
    let (script, written) = (folder.path("script"), folder.path("port"));
    std::fs::write(&script, format!("#!/bin/sh\necho $1 >{written}.new && mv {written}.new {written}\n"))
        .expect("write");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let port = proxy(move |mut stream| {
        let asked = socks_request(&mut stream, None).expect("a request");
        assert_eq!((asked.command, &*asked.host, asked.port), (2, "0.0.0.0", 7));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        stream.write_all(&socks_reply(0, port)).expect("write");
        let (peer, from) = listener.accept().expect("accept");
        stream.write_all(&socks_reply(0, from.port())).expect("write");
        join(stream, peer);
    });
    let address = format!("socks5-bind:tcp:127.0.0.1:{port}");
    let args = ["-", &address, "--socks5-destination", "0.0.0.0:7", "--socks5-bind-script", &script];
    let mut running = Running::start(wsplice(args));
    let bound = crate::support::wait_for("the script", || std::fs::read_to_string(&written).ok());
    let mut peer = connect(bound.trim().parse().expect("a port"));
    running.error_line(&format!("listening: 127.0.0.1:{} at the proxy", bound.trim()));
    peer.write_all(b"hello\n").expect("write");
    assert_eq!(running.line(), "hello\n");
    running.write("answer\n");
    running.close_input();
    let mut text = String::new();
    peer.read_to_string(&mut text).expect("read");
    assert_eq!(text, "answer\n");
    drop(peer);
    running.finish().succeeds();
    let args = ["-", &address, "--socks5-destination", "0.0.0.0:7", "--socks5-bind-script", "/does/not/exist"];
    run(args, "").fails_with(10, "`/does/not/exist` cannot start: No such file or directory");
}

#[test]
fn a_wrong_proxy_is_an_error_that_does_not_show_a_password() {
    for (args, text) in [
        (&["--proxy", "ftp://me:secret@host"][..], "`ftp` is not http"),
        (&["--proxy", "http://me:secret@host:99999"], "--proxy"),
        (&["--proxy", "http://host/path"], "expected [SCHEME://]"),
        (&["--socks5", "http://host:1"], "SOCKS5"),
        (&["--socks5", "host:1", "--proxy", "host:1"], "cannot be used with"),
        (&["--socks5-user-pass", ":secret"], "the user name is missing"),
    ] {
        let finished = run([&["ws://127.0.0.1:9/"], args].concat(), "");
        finished.fails_with(2, text);
    }
}
