//! Node's `ws`, as a server and as a client.

use crate::{
    peer::{Peer, node},
    support::{Finished, Running, Serving, run},
};

fn server<'a>(args: impl IntoIterator<Item = &'a str>) -> Peer {
    Peer::start(node("ws_server.js", args), "port ")
}

fn client(what: &str, url: &str, args: &[&str]) -> Finished {
    Running::start(node("ws_client.js", [what, url].into_iter().chain(args.iter().copied()))).finish()
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn lines_come_back_as_text_messages() {
    let mut peer = server(["echo"]);
    let finished = run([&peer.url()], "hello\n\nzwei Wörter ✓\nthe last");
    finished.succeeds();
    assert_eq!(finished.out(), "hello\n\nzwei Wörter ✓\nthe last\n");
    assert_eq!(finished.stderr, "");
    peer.says(r#"text "hello""#).says(r#"text """#).says(r#"text "zwei Wörter ✓""#).says(r#"text "the last""#);
    peer.says(r#"closed 1000 """#);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn binary_comes_back_byte_for_byte() {
    let mut peer = server(["echo"]);
    let every_byte: Vec<u8> = (0..=255).collect();
    let finished = run(["-b", &peer.url()], &every_byte);
    finished.succeeds();
    assert_eq!(finished.stdout, every_byte);
    let hex: String = every_byte.iter().map(|byte| format!("{byte:02x}")).collect();
    peer.says(&format!("binary {hex}"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn path_and_query_arrive_as_they_were_typed() {
    let mut peer = server(["echo"]);
    run([format!("{}rooms/a%20b?x=1&y=%2F", peer.url())], "").succeeds();
    peer.says("asked for /rooms/a%20b?x=1&y=%2F").says(r#"closed 1000 """#);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_close_code_of_ours_arrives_with_its_reason() {
    let mut peer = server(["echo"]);
    let url = peer.url();
    run([&url, "--close-status-code", "4000", "--close-reason", "das wär’s"], "x\n").succeeds();
    peer.says(r#"text "x""#).says(r#"closed 4000 "das wär’s""#);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_clean_close_of_the_server_ends_the_run_while_input_is_open() {
    for code in [&["1000", "bye"][..], &["1001"], &[]] {
        let mut peer = server(["close"].into_iter().chain(code.iter().copied()));
        let finished = Running::start(crate::support::wsplice([peer.url()])).finish();
        finished.succeeds();
        assert_eq!((finished.out().as_str(), finished.stderr.as_str()), ("a word\n", ""));
        let line = peer.running.line();
        assert!(line.starts_with(&format!("closed {}", code.first().unwrap_or(&"1005"))), "{line}");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn another_close_code_of_the_server_is_exit_8_with_its_reason() {
    let peer = server(["close", "4321", "because of that"]);
    let finished = run([peer.url()], "");
    finished.fails_with(8, "4321").fails_with(8, "because of that");
    assert_eq!(finished.out(), "a word\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_connection_that_ends_without_a_close_frame_is_exit_7() {
    let peer = server(["vanish"]);
    let finished = Running::start(crate::support::wsplice([peer.url()])).finish();
    finished.fails_with(7, "");
    assert_eq!(finished.out(), "a word\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn pings_of_the_server_are_answered() {
    let mut peer = server(["ping"]);
    Running::start(crate::support::wsplice([peer.url()])).finish().succeeds();
    peer.says("pong are you there");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn pings_of_ours_arrive() {
    let peer = server(["pinged"]);
    let arguments = [&peer.url(), "--ping-interval", "0.02", "--ping-timeout", "20"];
    Running::start(crate::support::wsplice(arguments)).finish().succeeds();
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_mirror_sends_each_kind_of_message_back() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let finished = client("kinds", &mirror.url(), &[]);
    let expected =
        "text \"hello\"\ntext \"\"\ntext \"zwei\\nZeilen\\u0000 ✓\"\nbinary 00ff0a\nbinary \nclosed 1000 \"\"\n";
    assert_eq!(finished.out(), expected, "{finished:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_relay_between_two_websockets_alters_no_message() {
    let mut peer = server(["echo"]);
    let relay = Serving::start(["ws-l:0", &format!("ws://127.0.0.1:{}", peer.port)]);
    let finished = client("kinds", &format!("{}a/path?q", relay.url()), &[]);
    let expected =
        "text \"hello\"\ntext \"\"\ntext \"zwei\\nZeilen\\u0000 ✓\"\nbinary 00ff0a\nbinary \nclosed 1000 \"\"\n";
    assert_eq!(finished.out(), expected, "{finished:?}");
    peer.says("asked for /a/path?q");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_relay_passes_close_codes_on_in_both_directions() {
    let mut peer = server(["echo"]);
    let relay = Serving::start(["ws-l:0", &peer.url()]);
    let finished = client("close", &relay.url(), &["4001", "from the client"]);
    assert_eq!(finished.out(), "closed 4001 \"from the client\"\n");
    peer.says(r#"closed 4001 "from the client""#);

    let peer = server(["close", "4002", "from the server"]);
    let relay = Serving::start(["ws-l:0", &peer.url()]);
    let finished = client("listen", &relay.url(), &[]);
    assert_eq!(finished.out(), "text \"a word\"\nclosed 4002 \"from the server\"\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn fragments_become_one_message_and_a_ping_between_them_is_answered() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let finished = client("fragments", &mirror.url(), &[]);
    assert_eq!(finished.out(), "pong between\ntext \"one two three\"\nclosed 1000 \"\"\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_burst_comes_back_in_order() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let finished = client("burst", &mirror.url(), &["200000"]);
    assert_eq!(finished.out(), "200000 in order\nclosed 1000 \"\"\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn close_codes_of_a_client_come_back() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    for (arguments, answer) in [
        (&["1000", "done"][..], "closed 1000 \"done\"\n"),
        (&["4999", "other"], "closed 4999 \"other\"\n"),
        (&[], "closed 1005 \"\"\n"),
    ] {
        assert_eq!(client("close", &mirror.url(), arguments).out(), answer);
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_subprotocol_is_chosen_from_those_that_are_offered() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    assert_eq!(client("protocols", &mirror.url(), &["b", "a"]).out(), "protocol \"b\"\nclosed 1000 \"\"\n");
    assert_eq!(client("protocols", &mirror.url(), &[]).out(), "protocol \"\"\nclosed 1000 \"\"\n");

    let choosy = Serving::start(["ws-l:0", "mirror:", "--server-protocol", "a"]);
    assert_eq!(client("protocols", &choosy.url(), &["b", "a"]).out(), "protocol \"a\"\nclosed 1000 \"\"\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_server_closes_with_the_code_that_it_was_told() {
    let arguments = ["ws-l:0", "literal:hello", "--close-status-code", "4100", "--close-reason", "that is all"];
    let server = Serving::start(arguments);
    let finished = client("listen", &server.url(), &[]);
    let out = finished.out();
    assert!(out.ends_with("closed 4100 \"that is all\"\n"), "{out}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_listener_outlives_clients_that_vanish() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    for _ in 0..20 {
        client("vanish", &mirror.url(), &[]);
    }
    assert_eq!(client("burst", &mirror.url(), &["10"]).out(), "10 in order\nclosed 1000 \"\"\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn another_path_than_the_only_one_is_refused() {
    let mirror = Serving::start(["ws-l:0", "mirror:", "--restrict-uri", "/only"]);
    assert_eq!(client("kinds", &mirror.url(), &[]).out(), "refused 404\n");
    assert_eq!(client("burst", &format!("{}only", mirror.url()), &["3"]).out(), "3 in order\nclosed 1000 \"\"\n");
}
