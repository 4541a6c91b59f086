//! Addresses as they are typed, and what `--explain` makes of them.

use crate::support::{Serving, run};

#[track_caller]
fn explain(args: &[&str]) -> String {
    run([args, &["--explain"]].concat(), "").succeeds().out()
}

#[test]
fn explain_prints_the_plan_and_what_was_inserted() {
    assert_eq!(
        explain(&["ws://example.com/chat"]),
        "connect stdio:\n  \
           lines:         Each line becomes one message [inserted: bytes here, messages on the other side]\n\
         with ws://example.com/chat\n  \
           ws-connect:    WebSocket, client side\n\
         and copy messages both ways\n"
    );
    assert_eq!(run(["--dump-spec", "ws://example.com/chat"], "").out(), explain(&["ws://example.com/chat"]));
}

#[test]
fn explain_knows_the_direction() {
    for (option, direction) in
        [("-u", "from the first to the second only"), ("-U", "from the second to the first only")]
    {
        assert!(explain(&[option, "ws://h/"]).ends_with(&format!("\nand copy messages {direction}\n")), "{option}");
    }
}

#[test]
fn explain_shows_how_bytes_are_framed() {
    for (args, framing) in [
        (&["ws-l:0", "tcp:127.0.0.1:7"][..], "chunks:"),
        (&["-t", "ws-l:0", "tcp:127.0.0.1:7"], "lines:"),
        (&["ws-l:0", "sh-c:cat"], "lines:"),
        (&["-b", "ws-l:0", "sh-c:cat"], "chunks:"),
        (&["readfile:x", "ws://h/"], "lines:"),
        (&["literal:x", "ws://h/"], "lines:"),
    ] {
        let plan = explain(args);
        let inserted: Vec<_> = plan.lines().filter(|line| line.contains("[inserted: ")).collect();
        assert!(inserted.len() == 1 && inserted[0].trim_start().starts_with(framing), "{args:?}: {plan}");
    }
    for args in [["-", "tcp:127.0.0.1:7"], ["ws-l:0", "mirror:"], ["ws-l:0", "ws://h/"]] {
        assert!(!explain(&args).contains("inserted"), "{args:?}");
    }
}

#[test]
fn explain_shows_which_ends_clients_share() {
    let plan = explain(&["-s", "0"]);
    assert!(plan.starts_with("for each client of ws-listen:127.0.0.1:0\n"), "{plan}");
    assert!(
        plan.contains("  reuse:         Share one connection between all sessions [inserted: it exists once"),
        "{plan}"
    );
    assert!(!explain(&["-s", "0", "--oneshot"]).contains("reuse:"));
}

#[test]
fn explain_lists_the_overlays_that_were_typed_from_the_inside_out() {
    let plan = explain(&["-", "log:ws-c:tls-c:tcp:127.0.0.1:8443"]);
    let names: Vec<_> = plan.lines().filter_map(|line| line.strip_prefix("  ")?.split(':').next()).collect();
    assert_eq!(names, ["lines", "tls", "ws-connect", "log"], "{plan}");
}

#[test]
fn aliases_and_other_orders_mean_the_same() {
    let plan = explain(&["ws-l:127.0.0.1:0", "mirror:"]);
    for address in ["ws-listen:0", "l-ws:0", "listen-ws:127.0.0.1:0", "ws-l:127.0.0.1:0"] {
        assert_eq!(explain(&[address, "mirror:"]), plan, "{address}");
    }
    assert_eq!(explain(&["-s", "0", "mirror:"]), plan);
    let plan = explain(&["-", "ws://h:1/x"]);
    for address in ["ws://h:1/x", "ws:h:1/x", "h:1/x"] {
        assert_eq!(explain(&[address]), plan, "{address}");
    }
}

#[test]
fn a_bare_host_and_port_connects_to_a_websocket() {
    let server = Serving::start(["-s", "0", "mirror:"]);
    for address in [format!("127.0.0.1:{}", server.port), format!("127.0.0.1:{}/path?query", server.port)] {
        assert_eq!(run([&address], "hello\n").succeeds().out(), "hello\n");
    }
}

#[test]
fn a_wrong_address_gets_a_caret_and_a_suggestion() {
    run(["ws-l:0", "lines:tpc:127.0.0.1:80"], "")
        .fails_with(2, "invalid address `lines:tpc:127.0.0.1:80`: unknown address type `tpc`")
        .hints("lines:tpc:127.0.0.1:80\n        ^^^ did you mean `tcp:`?");
    run(["https://example.com/x"], "").fails_with(2, "`https:`").hints("use wss:// for a WebSocket");
    run(["mirror"], "").fails_with(2, "the colon is missing").hints("did you mean `mirror:`?");
    run(["example.com"], "").fails_with(2, "`example.com` is not an address").hints("did you mean `ws://example.com`?");
    run(["8080"], "").fails_with(2, "`8080` is not an address").hints("did you mean `-s 8080`?");
    run(["ws-u:"], "").fails_with(2, "needs an address after it").hints("for example");
    run(["ws://h/#top"], "").fails_with(2, "must not have a fragment");
    run(["-s", "0", "mirror:", "mirror:"], "").fails_with(2, "-s is the first address");
    run::<&str>([], "").fails_with(2, "an address is missing");
}

#[test]
fn an_overlay_in_the_wrong_place_says_so() {
    run(["-", "ws-c:ws://h/"], "").fails_with(2, "`ws-connect:` needs a byte stream").hints("nearer to the socket");
    run(["autoreconnect:ws-l:0", "-"], "").fails_with(2, "is a listener");
}

#[test]
fn a_wrong_argument_gets_a_caret_too() {
    run(["ws-l:70000", "mirror:"], "")
        .fails_with(2, "`70000` is not a port")
        .hints("ws-l:70000\n       ^^^^^ for example `0.0.0.0:8080`");
    run(["lines:tcp:127.0.0.1"], "").fails_with(2, "the port is missing").hints("            ^^^^^^^^^ for example");
    run(["ws://h:99999/"], "").fails_with(2, "invalid port number").hints("     ^^^^^^^^^^ for example");
}

#[test]
fn a_bare_host_with_a_path_gets_no_suggestion_however_similar_to_an_address() {
    run(["ws1.invalid:8080/chat"], "").fails_with(3, "cannot resolve `ws1.invalid`");
    assert!(run(["--explain", "ws1:8080/chat"], "").succeeds().out().contains("ws://ws1:8080/chat"));
    run(["ws1:8080"], "").fails_with(2, "unknown address type `ws1`");
}

#[test]
fn overlays_without_end_are_refused() {
    run([format!("{}tcp:127.0.0.1:7", "log:".repeat(30_000))], "").fails_with(2, "overlays");
}
