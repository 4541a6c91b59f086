//! Python's `websockets`, as a server and as a client, with and without TLS.

use crate::{
    peer::{Peer, python},
    pem::Pem,
    support::{Finished, Running, Serving, run, wsplice},
};

fn server<'a>(args: impl IntoIterator<Item = &'a str>) -> Peer {
    Peer::start(python("ws_server.py", args), "port ")
}

fn client(args: &[&str]) -> Finished {
    Running::start(python("ws_client.py", args.iter().copied())).finish()
}

const KINDS: &str = "protocol \"chat\"\ntext \"hello\"\ntext \"\"\ntext \"zwei\\nZeilen ✓\"\nbinary 00ff0a\nbinary \n\
                     text \"one two\"\nbinary 3132\nclosed 4000 \"done here\"\n";

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn lines_come_back() {
    let mut peer = server(["echo"]);
    let finished = run([&peer.url(), "--protocol", "chat"], "hello\n\nzwei ✓");
    finished.succeeds();
    assert_eq!((finished.out().as_str(), finished.stderr.as_str()), ("hello\n\nzwei ✓\n", ""));
    peer.says(r#"protocol "chat""#).says(r#"text "hello""#).says(r#"text """#).says(r#"text "zwei ✓""#);
    peer.says(r#"closed 1000 """#);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn binary_comes_back() {
    let mut peer = server(["echo"]);
    let finished = run(["-b", &peer.url(), "--close-status-code", "4001", "--close-reason", "so"], [0, 255, 10, 13]);
    finished.succeeds();
    assert_eq!(finished.stdout, [0, 255, 10, 13]);
    peer.says("protocol null").says("binary 00ff0a0d").says(r#"closed 4001 "so""#);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn fragments_are_one_message() {
    let peer = server(["fragments"]);
    let finished = Running::start(wsplice([peer.url()])).finish();
    finished.succeeds();
    assert_eq!(finished.out(), "one two three\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_close_code_of_the_server_is_exit_8() {
    let peer = server(["close"]);
    let finished = run([peer.url()], "");
    finished.fails_with(8, "4321").fails_with(8, "because of that");
    assert_eq!(finished.out(), "a word\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_mirror_sends_each_kind_of_message_back() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let finished = client(&["kinds", &mirror.url()]);
    assert_eq!(finished.out(), KINDS, "{finished:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_listener_closes_in_good_order_after_its_last_word() {
    let server = Serving::start(["ws-l:0", "sh-c:printf 'one\\ntwo\\n'"]);
    let finished = client(&["listen", &server.url()]);
    assert_eq!(finished.out(), "protocol \"chat\"\ntext \"one\"\ntext \"two\"\nclosed 1000 \"\"\n", "{finished:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_server_with_tls_is_trusted_through_its_authority() {
    let pem = Pem::new("python-server");
    let [cert, key] = ["server.pem", "server.key"].map(|name| pem.path(name));
    let peer = server(["echo", &cert, &key]);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{}/", peer.port);
        let finished = run([&[url][..], &pem.trusting()].concat(), "hello\n");
        finished.succeeds();
        assert_eq!(finished.out(), "hello\n");
    }
    run([format!("wss://localhost:{}/", peer.port)], "").fails_with(4, "").hints("--cacert");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_server_that_demands_a_certificate_gets_it() {
    let pem = Pem::new("python-demanding");
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| pem.path(name));
    let peer = server(["echo", &cert, &key, &ca]);
    let url = [format!("wss://localhost:{}/", peer.port)];
    let finished = run([&url[..], &pem.trusting(), &pem.known()].concat(), "hello\n");
    finished.succeeds();
    assert_eq!(finished.out(), "hello\n");
    // Python drops the connection before its alert is sent, so the reason cannot be known here.
    run([&url[..], &pem.trusting()].concat(), "hello\n").fails_with(7, "lost");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_client_speaks_to_a_listener_with_tls() {
    let pem = Pem::new("python-client");
    let mirror = Serving::start([&["wss-l:0".into(), "mirror:".into()][..], &pem.serving()].concat());
    let finished = client(&["kinds", &format!("wss://localhost:{}/", mirror.port), &pem.path("ca.pem")]);
    assert_eq!(finished.out(), KINDS, "{finished:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_listener_turns_clients_away_that_its_authority_does_not_know() {
    let pem = Pem::new("python-known");
    pem.make_stranger();
    let listener = [&["wss-l:0".into(), "mirror:".into()][..], &pem.serving(), &pem.demanding()].concat();
    let mirror = Serving::start(listener);
    let url = format!("wss://localhost:{}/", mirror.port);
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| pem.path(name));
    assert_eq!(client(&["kinds", &url, &ca, &cert, &key]).out(), KINDS);
    let [cert, key] = ["stranger.pem", "stranger.key"].map(|name| pem.path(name));
    for arguments in [&["kinds", &url, &ca, &cert, &key][..], &["kinds", &url, &ca]] {
        let out = client(arguments).out();
        assert!(out.starts_with("cannot connect:"), "{out}");
    }
    // It goes on to serve those that are known.
    let [cert, key] = ["client.pem", "client.key"].map(|name| pem.path(name));
    assert_eq!(client(&["kinds", &url, &ca, &cert, &key]).out(), KINDS);
}
