//! Options of pings and pongs.

use crate::{
    raw::{PING, PONG, RawPeer},
    support::{Running, Serving, one_connection, run, wsplice},
};

#[test]
fn the_time_between_a_ping_and_its_pong_is_logged() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = Running::start(wsplice(["--ping-interval", "10ms", "--print-ping-rtts", "-", &server.url()]));
    for _ in 0..3 {
        let line = client.error_line("RTT ");
        let time = line.trim().strip_prefix("* RTT ").and_then(|rest| rest.strip_suffix(" s")).expect("a time");
        assert!((0.0..30.0).contains(&time.parse::<f64>().expect("a number")), "{line}");
    }
    client.close_input();
    client.finish().succeeds();
}

#[test]
fn only_some_pings_are_sent() {
    let (port, server) = one_connection(|stream| {
        let mut peer = RawPeer::accept(stream);
        let mut pings = 0;
        while let Some(frame) = peer.frame() {
            if frame.first == PING {
                pings += 1;
                peer.send(PONG, frame.payload);
            }
        }
        pings
    });
    // There is time for more of them.
    let args = ["--ping-interval", "10ms", "--max-sent-pings", "2", "--max-time", "300ms", "-"];
    let client = Running::start(wsplice(args.iter().copied().chain([&*format!("ws://127.0.0.1:{port}/")])));
    client.finish().fails_with(124, "--max-time");
    assert_eq!(server.join().expect("the server"), 2);
}

#[test]
fn only_some_pings_are_answered() {
    let server = Serving::start(["ws-l:0", "mirror:", "--inhibit-pongs", "2"]);
    let mut client = RawPeer::connect(server.port, "/");
    for payload in ["one", "two", "three", "four"] {
        client.send(PING, payload);
        client.send_text(payload);
    }
    let mut heard = Vec::new();
    while heard.len() < 6 {
        let frame = client.frame().expect("a frame");
        heard.push((frame.first, frame.text()));
    }
    let pongs: Vec<_> = heard.iter().filter(|(first, _)| *first == PONG).map(|(_, text)| text.as_str()).collect();
    assert_eq!(pongs, ["one", "two"], "{heard:?}");
}

#[test]
fn options_of_pings_need_pings() {
    for option in ["--print-ping-rtts", "--max-sent-pings=1"] {
        run([option, "mirror:"], "").fails_with(2, "--ping-interval is required").hints("--ping-interval 30");
    }
}
