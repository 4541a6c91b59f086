//! Options that are given more than once: all values count, or it is an error.

use crate::{applicable_options::given, peer::websocket_server, support::run};
use clap::ArgAction;
use wsplice::cli::command;

#[test]
fn every_protocol_option_offers_its_subprotocols_each_once() {
    let (url, server) = websocket_server(|mut peer| {
        peer.close(1000, "");
        peer.ends();
        peer.head
    });
    run([&url, "--protocol", "b", "--protocol", "a, b", "--protocol=c"], "").succeeds();
    let head = server.join().expect("the server");
    assert_eq!(head.get("sec-websocket-protocol"), Some("b, a, c"));
}

#[test]
fn an_option_with_one_value_is_refused_the_second_time() {
    let command = command();
    let single = |arg: &&clap::Arg| {
        // `--exec-args` takes the rest of the command line, `--healthcheck` stands alone, and `-B` has no effect.
        let others = ["exec-args", "healthcheck", "buffer-size"];
        matches!(arg.get_action(), ArgAction::Set) && arg.get_long().is_some_and(|long| !others.contains(&long))
    };
    let mut checked = 0;
    for option in command.get_arguments().filter(single) {
        let args = given(option, "/dev/null");
        let twice: Vec<_> = [vec!["mirror:".to_owned()], args.clone(), args].concat();
        let long = format!("'--{} <", option.get_long().expect("a long name"));
        run(twice, "").fails_with(2, "cannot be used multiple times").fails_with(2, &long);
        checked += 1;
    }
    assert!(checked > 30, "only {checked} options");
}

#[test]
fn a_flag_may_be_repeated() {
    for flag in ["-k", "-t", "-q", "-E", "--oneshot", "--deflate-no-context-takeover"] {
        run(["--explain", flag, flag, "ws-l:127.0.0.1:0", "ws://127.0.0.1:1/"], "").succeeds();
    }
}
