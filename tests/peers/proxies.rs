//! Proxies that other people wrote: tinyproxy with CONNECT, microsocks and Dante with SOCKS5.

use crate::{
    peer::merged,
    support::{Folder, Running, Serving, run, wait_for},
};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A proxy, and the folder with its configuration.
struct Proxy {
    _running: Running,
    _folder: Folder,
    port: u16,
}

impl Proxy {
    /// Starts a proxy on a free port, with the configuration and the arguments that `command` gives for it: the file is `{}` there.
    fn start(program: &str, config: impl Fn(u16) -> String, args: impl Fn(u16, &str) -> Vec<String>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let folder = Folder::new(&format!("{program}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        // Between the release of a port and its use another program can take it.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").expect("bind");
            let port = free.local_addr().expect("address").port();
            drop(free);
            let file = folder.path("config");
            fs::write(&file, config(port)).expect("write");
            let args = args(port, &file);
            let mut running = Running::start(merged(program, args.iter().map(String::as_str)));
            let listens = wait_for("the proxy", || {
                if !running.is_running() {
                    return Some(false);
                }
                TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
            });
            if listens {
                return Self { _running: running, _folder: folder, port };
            }
        }
        panic!("{program} does not start");
    }

    /// tinyproxy, which allows connections to any port.
    fn http(login: &str) -> Self {
        let config =
            |port| format!("Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nStartServers 2\n{login}");
        Self::start("tinyproxy", config, |_, file| vec!["-d".into(), "-c".into(), file.into()])
    }

    /// microsocks.
    fn socks(login: &[&str]) -> Self {
        let args = |port: u16, _: &str| {
            let fixed = ["-i", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
            fixed.into_iter().chain(login.iter().map(|word| (*word).to_owned())).collect()
        };
        Self::start("microsocks", |_| String::new(), args)
    }

    /// Dante, without a login.
    fn dante() -> Self {
        let config = |port| {
            format!(
                "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nclientmethod: none\n\
                 socksmethod: none\nclient pass {{ from: 0/0 to: 0/0 }}\nsocks block {{ from: 0/0 to: 0/0 port = 9 }}\n\
                 socks pass {{ from: 0/0 to: 0/0 }}\n"
            )
        };
        Self::start("danted", config, |_, file| vec!["-f".into(), file.into()])
    }
}

/// More than a proxy holds in its buffers.
fn long_line() -> String {
    format!("{}\n", "wsplice ".repeat(60_000))
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn websockets_go_through_tinyproxy_with_and_without_tls() {
    let proxy = Proxy::http("");
    let at = format!("http://127.0.0.1:{}", proxy.port);
    let plain = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let tls = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    for url in [plain.url(), format!("wss://localhost:{}/", tls.port)] {
        assert_eq!(run(["-k", &url, "--proxy", &at], long_line()).succeeds().out(), long_line(), "{url}");
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    run([&format!("ws://127.0.0.1:{port}/"), "--proxy", &at], "").fails_with(3, &format!("the proxy {at} answered 5"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn tinyproxy_checks_the_login() {
    let proxy = Proxy::http("BasicAuth me secret\n");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let at = |login: &str| format!("http://{login}127.0.0.1:{}", proxy.port);
    assert_eq!(run([&server.url(), "--proxy", &at("me:secret@")], "hello\n").succeeds().out(), "hello\n");
    run([&server.url(), "--proxy", &at("me:wrong@")], "").fails_with(5, "handshake with the proxy");
    run([&server.url(), "--proxy", &at("")], "").fails_with(5, "407").hints("log in with --proxy");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn websockets_go_through_microsocks_with_a_login() {
    let proxy = Proxy::socks(&["-u", "me", "-P", "secret"]);
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    for scheme in ["socks5", "socks5h"] {
        let at = |login: &str| format!("{scheme}://{login}127.0.0.1:{}", proxy.port);
        let url = format!("ws://localhost:{}/", server.port);
        assert_eq!(run([&url, "--proxy", &at("me:secret@")], long_line()).succeeds().out(), long_line());
        run([&url, "--proxy", &at("me:wrong@")], "").fails_with(5, "the user name or the password is wrong");
        run([&url, "--proxy", &at("")], "").fails_with(5, "it requires a login");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn each_way_to_name_a_socks_proxy_works_with_dante() {
    let proxy = Proxy::dante();
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let (at, target) = (format!("127.0.0.1:{}", proxy.port), format!("127.0.0.1:{}", server.port));
    let overlay = format!("ws-c:socks5-connect:tcp:{at}");
    for args in [
        &[&*server.url(), "--socks5", &at][..],
        &[&*server.url(), "--proxy", &format!("socks5://{at}")],
        &["-", &overlay, "--socks5-destination", &target],
    ] {
        assert_eq!(run(args, long_line()).succeeds().out(), long_line(), "{args:?}");
    }
    run(["ws://127.0.0.1:9/", "--socks5", &at], "").fails_with(5, "its rules do not allow this connection");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    run([&format!("ws://127.0.0.1:{port}/"), "--socks5", &at], "").fails_with(3, "connection refused");
}
