//! socat, on the TCP side and on the TLS side.

use crate::{
    peer::{Peer, merged},
    pem::Pem,
    support::{Running, Serving, run, wsplice},
};
use std::process::Command;

/// Waits for answers long after one direction has ended.
const PATIENT: [&str; 2] = ["-t", "25"];

fn listener(address: &str, then: &str) -> Peer {
    Peer::start(merged("socat", ["-d", "-d", PATIENT[0], PATIENT[1], address, then]), "listening on ")
}

fn client(address: &str) -> Running {
    let mut command = Command::new("socat");
    command.args(PATIENT).args(["-", address]);
    Running::start(command)
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_filter_behind_socat_answers_after_the_half_close() {
    let peer = listener("TCP-LISTEN:0,bind=127.0.0.1", "SYSTEM:sort");
    let finished = run([&format!("tcp:127.0.0.1:{}", peer.port)], "b\na\n");
    finished.succeeds();
    assert_eq!(finished.out(), "a\nb\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_websocket_client_reaches_a_filter_behind_socat() {
    let peer = listener("TCP-LISTEN:0,bind=127.0.0.1,fork", "SYSTEM:sort");
    let server = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{}", peer.port)]);
    let finished = run(["-b", &server.url()], "b\na\n");
    finished.succeeds();
    assert_eq!(finished.out(), "a\nb\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn the_half_close_of_socat_reaches_a_filter_through_a_tunnel() {
    let far = Serving::start(["-b", "ws-l:0", "sh-c:sort"]);
    let near = Serving::start(["tcp-l:0", &far.url()]);
    let mut socat = client(&format!("TCP:127.0.0.1:{}", near.port));
    socat.write("b\na\n");
    socat.close_input();
    assert_eq!(socat.finish().out(), "a\nb\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn the_half_close_of_socat_reaches_a_filter_behind_a_tcp_listener() {
    let server = Serving::start(["tcp-l:0", "sh-c:sort"]);
    let mut socat = client(&format!("TCP:127.0.0.1:{}", server.port));
    socat.write("b\na\n");
    socat.close_input();
    assert_eq!(socat.finish().out(), "a\nb\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn socat_mirrors_through_tls() {
    let pem = Pem::new("socat-listen");
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| pem.path(name));
    let address = format!("OPENSSL-LISTEN:0,bind=127.0.0.1,cert={cert},key={key},cafile={ca},verify=1");
    let peer = listener(&address, "PIPE");
    let address = format!("tls:localhost:{}", peer.port);
    let mut client = Running::start(wsplice([&[address][..], &pem.trusting(), &pem.known()].concat()));
    client.write("hello\n");
    assert_eq!(client.line(), "hello\n");
    client.close_input();
    client.finish().succeeds();
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn socat_speaks_to_a_tls_listener_that_demands_its_certificate() {
    let pem = Pem::new("socat-client");
    let server = Serving::start([&["tls-l:0".into(), "mirror:".into()][..], &pem.serving(), &pem.demanding()].concat());
    let [cert, key, ca] = ["client.pem", "client.key", "ca.pem"].map(|name| pem.path(name));
    let mut socat = client(&format!("OPENSSL:localhost:{},cert={cert},key={key},cafile={ca}", server.port));
    socat.write("hello\n");
    assert_eq!(socat.line(), "hello\n");
    socat.close_input();
    assert_eq!(socat.finish().code, 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn the_end_of_tls_from_socat_is_the_end_of_a_filters_input() {
    let pem = Pem::new("socat-end");
    let server = Serving::start([&["tls-l:0".into(), "sh-c:sort".into()][..], &pem.serving()].concat());
    let mut socat = client(&format!("OPENSSL:localhost:{},cafile={}", server.port, pem.path("ca.pem")));
    socat.write("b\na\n");
    socat.close_input();
    assert_eq!(socat.finish().out(), "a\nb\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn socat_reaches_a_websocket_by_a_unix_socket() {
    let folder = crate::support::Folder::new("socat-unix");
    let path = folder.path("socket");
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let mut relay = wsplice([&format!("unix-l:{path}"), &mirror.url()]);
    relay.arg("--stdout-announce-listening-ports");
    let mut relay = Running::start(relay);
    assert_eq!(relay.line(), format!("LISTEN proto=unix,path={path}\n"));
    let mut socat = client(&format!("UNIX-CONNECT:{path}"));
    socat.write("hello\n");
    assert_eq!(socat.line(), "hello\n");
    socat.close_input();
    assert_eq!(socat.finish().code, 0);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn datagrams_pass_between_socat_and_us_in_both_roles() {
    let server = Serving::start(["udp-server:127.0.0.1:0", "mirror:"]);
    let mut socat = client(&format!("UDP:127.0.0.1:{}", server.port));
    socat.write("one\n");
    assert_eq!(socat.line(), "one\n");
    let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("bind").port();
    let address = format!("UDP-RECVFROM:{free},bind=127.0.0.1,fork");
    let mut listener = Command::new("socat");
    listener.args(["-d", "-d", &address, "SYSTEM:cat"]);
    let mut listener = Running::start(listener);
    listener.error_line("receiving on");
    assert_eq!(run(["-", &format!("udp:127.0.0.1:{free}")], "two\n").succeeds().out(), "two\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn packets_and_abstract_names_are_those_of_socat() {
    let name = format!("wsplice-socat-{}", std::process::id());
    let _server = Running::announced(&[&format!("seqpacket-l:@{name}"), "mirror:"]);
    let mut socat = client(&format!("ABSTRACT-CONNECT:{name},type=5"));
    socat.write("packet\n");
    assert_eq!(socat.line(), "packet\n");
    let stream = format!("{name}-stream");
    let _server = Running::announced(&[&format!("abstract-l:{stream}"), "sh-c:sort"]);
    let mut socat = client(&format!("ABSTRACT-CONNECT:{stream}"));
    socat.write("b\na\n");
    socat.close_input();
    assert_eq!(socat.finish().out(), "a\nb\n");
}
