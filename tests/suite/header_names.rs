//! Header names of the opening handshake are written as in RFC 6455, on the wire and in the log.

use crate::{
    http::{Exchange, upgrade_request},
    peer::websocket_server,
    support::{Serving, connect, run},
};

/// The names that start so, in any case.
fn names(lines: &[String]) -> Vec<&str> {
    let names = lines.iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
    names.filter(|name| name.to_ascii_lowercase().starts_with("sec-websocket-")).collect()
}

#[test]
fn a_client_writes_them_so() {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    let finished = run([&url, "-v", "--protocol", "chat", "-H", "X-Sec-Websocket-Y: Sec-Websocket-Z"], "");
    let sent = server.join().expect("the server").0;
    let expected = ["Sec-WebSocket-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"];
    assert_eq!(names(&sent), expected, "{sent:?}");
    assert!(sent.iter().any(|line| line == "X-Sec-Websocket-Y: Sec-Websocket-Z"), "{sent:?}");
    for name in expected.iter().chain(&["Sec-WebSocket-Accept"]) {
        assert!(finished.succeeds().stderr.contains(&format!(" {name}: ")), "{finished:?}");
    }
    assert!(!finished.stderr.contains("Sec-Websocket-Key"), "{finished:?}");
}

#[test]
fn a_server_writes_them_so() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let request = upgrade_request("/", "Sec-WebSocket-Protocol: chat\r\n");
    let accepted = Exchange::request(connect(server.port), &request);
    assert_eq!(accepted.head.status(), 101);
    let mut found = names(&accepted.head.0);
    found.sort_unstable();
    assert_eq!(found, ["Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"], "{:?}", accepted.head);
    let refused = Exchange::request(connect(server.port), &request.replace("Version: 13", "Version: 12"));
    assert_eq!(refused.head.status(), 426);
    assert_eq!(names(&refused.head.0), ["Sec-WebSocket-Version"]);
}
