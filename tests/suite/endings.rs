//! How a session ends: what it waits for, its close frames and its exit code.

use crate::{
    peer::{Peer, websocket_server},
    raw::{BINARY, CLOSE, Frame, PING, PONG, RawPeer, TEXT, from_client, from_server, raw_peer_server},
    support::{Folder, LIMIT, Running, Serving, connect, one_connection, program, run, wsplice},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The delay of a slow peer. No test waits for an event with this.
fn take_time(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// Expects the ping that a client sends after the end of its input, and answers it.
#[track_caller]
fn answer_ping(peer: &mut RawPeer) {
    let ping = peer.frame().expect("a ping");
    assert_eq!(ping.first, PING, "{ping:?}");
    peer.send(PONG, ping.payload);
}

fn read_all(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it ends in good order");
    text
}

#[test]
fn the_close_frame_after_the_end_of_input_waits_for_a_pong() {
    let (url, server) = raw_peer_server(|mut peer| {
        let (message, ping) = (peer.frame(), peer.frame().expect("a ping"));
        assert_eq!(message.map(|frame| frame.text()), Some("question".into()));
        assert_eq!(ping.first, PING);
        // Longer than the linger time, which starts with the pong.
        take_time(600);
        peer.send_text("answer");
        peer.send(PONG, ping.payload);
        peer.receive_close()
    });
    let finished = run([&url], "question\n");
    assert_eq!(finished.succeeds().out(), "answer\n");
    assert_eq!(server.join().expect("the server"), (1000, String::new()));
}

#[test]
fn a_shared_end_waits_for_the_pong_as_well() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.frame().map(|frame| frame.text()), Some("question".into()));
        let ping = peer.frame();
        // Longer than the linger time, which starts with the pong.
        take_time(600);
        peer.send_text("answer");
        if let Some(ping) = ping.filter(|frame| frame.first == PING) {
            peer.send(PONG, ping.payload);
        }
        // The connection outlives its sessions until the run ends.
        peer.ends();
    });
    let finished = run(["-", &format!("reuse:{url}")], "question\n");
    assert_eq!(finished.succeeds().out(), "answer\n");
    server.join().expect("the server");
}

#[test]
fn an_answer_that_takes_longer_than_the_pong_is_waited_for_with_linger() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.frame();
        answer_ping(&mut peer);
        take_time(500);
        peer.send_text("answer");
        peer.close(1000, "");
        peer.receive().close()
    });
    let finished = run([&url, "--linger", "25"], "question\n");
    assert_eq!(finished.succeeds().out(), "answer\n");
    assert_eq!(server.join().expect("the server").0, 1000);
    assert!(finished.took < Duration::from_secs(20), "the peer's close ends the wait: {finished:?}");
}

#[test]
fn every_reply_restarts_the_linger_time() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.frame();
        answer_ping(&mut peer);
        for answer in ["1", "2", "3"] {
            take_time(400);
            peer.send_text(answer);
        }
        peer.receive_close()
    });
    let finished = run([&url, "--linger", "1"], "question\n");
    assert_eq!(finished.succeeds().out(), "1\n2\n3\n");
    assert_eq!(server.join().expect("the server").0, 1000);
}

#[test]
fn a_server_that_sends_nothing_is_left_when_its_pong_has_come() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.frame();
        answer_ping(&mut peer);
        let answered = Instant::now();
        (peer.receive_close().0, answered.elapsed())
    });
    let finished = run([&url, "--reply-wait", "0"], "no question\n");
    assert_eq!(finished.succeeds().out(), "");
    let (code, took) = server.join().expect("the server");
    assert!(took < Duration::from_secs(5), "the pong was not noticed in {took:?}");
    assert_eq!(code, 1000);
}

#[test]
fn a_ping_that_is_never_answered_delays_the_close_frame_by_five_seconds() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.frame();
        assert_eq!(peer.frame().map(|frame| frame.first), Some(PING));
        take_time(3000);
        peer.send_text("answer");
        let close = peer.frame().expect("a close frame");
        peer.send(CLOSE, &close.payload);
        close.close().0
    });
    let finished = run([&url], "question\n");
    assert_eq!(finished.succeeds().out(), "answer\n");
    assert_eq!(server.join().expect("the server"), 1000);
    assert!(finished.took >= Duration::from_secs(5), "{finished:?}");
}

#[test]
fn a_server_of_ours_answers_after_a_delay_of_its_own() {
    let server = Serving::start(["ws-l:0", "sh-c:read line; sleep 0.3; echo \"heard $line\""]);
    let finished = run([&server.url(), "--linger", "20"], "hello\n");
    assert_eq!(finished.succeeds().out(), "heard hello\n");
}

#[test]
fn with_empty_input_the_server_s_first_message_is_still_printed() {
    let server = Serving::start(["ws-l:0", "literal:welcome"]);
    assert_eq!(run([&server.url()], "").succeeds().out(), "welcome\n");
}

#[test]
fn the_close_frame_follows_the_end_of_a_file_at_once() {
    let folder = Folder::new("file-end");
    let file = folder.path("lines");
    std::fs::write(&file, "a\nb").expect("write");
    for source in [format!("readfile:{file}"), "literal:a\nb".into(), format!("sh-c:cat {file}")] {
        let (url, server) = raw_peer_server(|mut peer| {
            let opcodes: Vec<_> = (0..3).map(|_| peer.frame().expect("a frame").first).collect();
            peer.close(1000, "");
            opcodes
        });
        run([&source, &url], "").succeeds();
        assert_eq!(server.join().expect("the server"), [TEXT, TEXT, CLOSE], "{source}");
    }
}

#[test]
fn messages_after_our_close_frame_still_arrive() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.receive().payload, b"question");
        let close = peer.frame().expect("a close frame").close();
        peer.send(BINARY, "still ");
        take_time(300);
        peer.send(BINARY, "here");
        peer.close(1000, "");
        close
    });
    let tunnel = Serving::start(["tcp-l:0", &url]);
    let mut client = tunnel.connect();
    client.write_all(b"question").expect("write");
    client.shutdown(Shutdown::Write).expect("half-close");
    assert_eq!(read_all(client), "still here");
    assert_eq!(server.join().expect("the server"), (1000, String::new()));
}

#[test]
fn a_peer_may_answer_the_close_frame_by_ending_the_connection() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.send_text("answer");
        assert_eq!(peer.receive().close().0, 1000);
    });
    let finished = run([&url, "--linger", "0"], "");
    assert_eq!(finished.succeeds().out(), "answer\n");
    server.join().expect("the server");
}

#[test]
fn a_peer_that_never_answers_the_close_frame_times_out() {
    let (finish, over) = mpsc::channel::<()>();
    let (url, server) = raw_peer_server(move |mut peer| {
        peer.send_text("answer");
        assert_eq!(peer.receive().close().0, 1000);
        let _ = over.recv_timeout(LIMIT);
    });
    let finished = run([&url, "--linger", "0", "--close-timeout", "0.4"], "");
    finished.fails_with(124, "waiting for ws://127.0.0.1").hints("--close-timeout");
    assert!(finished.stderr.contains("to answer the close frame"), "{finished:?}");
    assert_eq!(finished.out(), "answer\n");
    drop(finish);
    server.join().expect("the server");
}

#[test]
fn messages_after_our_close_frame_restart_the_close_timeout() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.receive().close().0, 1000);
        for _ in 0..4 {
            take_time(400);
            peer.send_text("more");
        }
        peer.close(1000, "");
        peer.ends();
    });
    // Longer than the close timeout in all; it measures the time without messages.
    let finished = run([&url, "--linger", "0", "--close-timeout", "1.2"], "");
    assert_eq!(finished.succeeds().out(), "more\nmore\nmore\nmore\n");
    server.join().expect("the server");
}

#[test]
fn with_e_the_end_of_the_input_ends_the_session_at_once() {
    let (url, server) = raw_peer_server(|mut peer| {
        let frames: Vec<_> = (0..2).filter_map(|_| peer.frame()).map(|frame| frame.first).collect();
        peer.ends();
        frames
    });
    let finished = run([&url, "-E", "--close-timeout", "60"], "last words\n");
    assert_eq!(finished.succeeds().out(), "");
    assert_eq!(server.join().expect("the server"), [TEXT, CLOSE]);
}

#[test]
fn with_n_no_close_frame_is_sent_and_answers_may_come_late() {
    let (url, server) = raw_peer_server(|mut peer| {
        assert_eq!(peer.receive_text(), "question");
        peer.stream().set_read_timeout(Some(Duration::from_millis(600))).expect("set a limit");
        assert_eq!(peer.frame(), None, "nothing is said after the end of the input");
        peer.stream().set_read_timeout(Some(LIMIT)).expect("set a limit");
        peer.send_text("late answer");
        peer.close(1000, "");
        peer.receive().close().0
    });
    let finished = run([&url, "-n"], "question\n");
    assert_eq!(finished.succeeds().out(), "late answer\n");
    assert_eq!(server.join().expect("the server"), 1000);
}

#[test]
fn with_n_and_u_a_push_ends_when_all_is_sent() {
    let (url, server) = websocket_server(|mut peer| {
        let texts = [peer.receive_text(), peer.receive_text()];
        (texts, peer.receive_close().0)
    });
    run([&url, "-n", "-u"], "one\ntwo\n").succeeds();
    assert_eq!(server.join().expect("the server"), (["one".into(), "two".into()], 1000));
}

#[test]
fn with_1_one_message_goes_out_and_the_first_answer_ends_the_session() {
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "question");
        take_time(500);
        peer.send_text("answer");
        peer.send_text("another");
        peer.receive_close().0
    });
    let mut running = Running::start(wsplice(["-1", &url]));
    running.write("question\nnever sent\n");
    // Its input stays open.
    let finished = running.finish();
    assert_eq!(finished.succeeds().out(), "answer\n");
    assert_eq!(server.join().expect("the server"), 1000);
}

#[test]
fn with_1_an_empty_input_waits_for_one_message() {
    let (url, server) = websocket_server(|mut peer| {
        take_time(500);
        peer.send_text("news");
        peer.receive_close().0
    });
    assert_eq!(run(["-1", &url], "").succeeds().out(), "news\n");
    assert_eq!(server.join().expect("the server"), 1000);
}

#[test]
fn with_replies_the_session_ends_after_that_many() {
    let (url, server) = websocket_server(|mut peer| {
        assert_eq!(peer.receive_text(), "go");
        peer.send_text("1");
        take_time(500);
        peer.send_text("2");
        peer.send_text("3");
        peer.receive_close().0
    });
    let finished = run([&url, "--replies", "2"], "go\n");
    assert_eq!(finished.succeeds().out(), "1\n2\n");
    assert_eq!(server.join().expect("the server"), 1000);
}

#[test]
fn with_replies_the_session_ends_also_while_the_input_is_open() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut running = Running::start(wsplice([&server.url(), "--replies", "2"]));
    running.write("a\nb\n");
    assert_eq!(running.finish().succeeds().out(), "a\nb\n");
}

#[test]
fn too_few_replies_are_exit_9() {
    let (url, server) = websocket_server(|mut peer| {
        peer.send_text("one");
        peer.close(1000, "");
        peer.ends();
    });
    let finished = run([&url, "--replies", "2"], "");
    finished.fails_with(9, "1 of 2 replies");
    assert_eq!(finished.out(), "one\n");
    server.join().expect("the server");
}

#[test]
fn with_u_nothing_is_printed_and_the_close_frame_follows_the_input_at_once() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.send_text("ignored");
        let opcodes: Vec<_> = (0..2).filter_map(|_| peer.frame()).map(|frame| frame.first).collect();
        peer.close(1000, "");
        opcodes
    });
    assert_eq!(run(["-u", &url], "said\n").succeeds().out(), "");
    assert_eq!(server.join().expect("the server"), [TEXT, CLOSE]);
}

#[test]
fn with_u_the_peer_s_pings_are_answered_and_its_close_frame_ends_the_session() {
    let (url, server) = raw_peer_server(|mut peer| {
        peer.send(PING, "still there?");
        let pong = peer.frame().expect("a pong");
        peer.close(4000, "enough");
        (pong.first, pong.text(), peer.receive().close().0)
    });
    let running = Running::start(wsplice(["-u", &url]));
    running.finish().fails_with(8, "4000");
    assert_eq!(server.join().expect("the server"), (PONG, "still there?".into(), 4000));
}

#[test]
fn with_capital_u_the_input_is_not_read() {
    let (url, server) = websocket_server(|mut peer| {
        peer.send_text("news");
        peer.close(1000, "");
        peer.receive_close().0
    });
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$0\" -U \"$1\"; echo \"exit $?\"; cat", &program(), &url]);
    let mut running = Running::start(shell);
    running.write("for whoever reads next\n");
    running.close_input();
    assert_eq!(running.finish().out(), "news\nexit 0\nfor whoever reads next\n");
    assert_eq!(server.join().expect("the server"), 1000);
}

#[test]
fn with_u_a_process_may_finish_its_input() {
    let folder = Folder::new("worked-off");
    let file = folder.path("out");
    let slow = format!("sh-c:while read line; do sleep 0.1; echo $line >>{file}; done");
    run(["-u", "-", &slow], "a\nb\nc\n").succeeds();
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), "a\nb\nc\n");
    let server = Serving::start(["-u", "ws-l:0", &slow]);
    run([&server.url()], "d\ne\n").succeeds();
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), "a\nb\nc\nd\ne\n");
}

#[test]
fn the_status_of_a_process_counts_with_u_too() {
    run(["-u", "-", "sh-c:cat >/dev/null; exit 3"], "x\n").fails_with(10, "exited with status 3");
}

#[test]
fn with_u_a_socket_that_sends_something_still_gets_all_its_input() {
    let (port, server) = one_connection(|mut stream| {
        stream.write_all(b"unwanted greeting").expect("write");
        read_all(stream)
    });
    let finished = run(["-u", "-", &format!("tcp:127.0.0.1:{port}")], "for the log\n");
    assert_eq!(finished.succeeds().out(), "");
    assert_eq!(server.join().expect("the server"), "for the log\n");
}

#[test]
fn max_time_ends_the_run_with_exit_124() {
    let (url, server) = websocket_server(|mut peer| {
        peer.send_text("news");
        peer.ends()
    });
    let finished = Running::start(wsplice([&url, "-m", "1"])).finish();
    finished.fails_with(124, "timed out: `--max-time` ");
    assert_eq!(finished.out(), "news\n");
    server.join().expect("the server");
}

#[test]
fn a_server_that_accepts_and_sends_nothing_times_out() {
    let (port, server) = one_connection(read_all);
    let finished = run([format!("ws://127.0.0.1:{port}/"), "--connect-timeout".into(), "0.5".into()], "");
    finished.fails_with(124, "to answer the WebSocket handshake").hints("--connect-timeout");
    assert!(server.join().expect("the server").starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn a_clean_close_ends_the_session_while_the_input_is_open() {
    for code in [1000, 1001, 1005] {
        let (url, server) = websocket_server(move |mut peer| {
            peer.send_text("goodbye");
            peer.close(code, "");
            peer.receive_close().0
        });
        let finished = Running::start(wsplice([&url])).finish();
        assert_eq!(finished.succeeds().out(), "goodbye\n", "{code}");
        assert_eq!(finished.stderr, "", "{code}");
        assert_eq!(server.join().expect("the server"), code, "the close is answered as it came");
    }
}

#[test]
fn another_close_code_is_exit_8_and_its_reason_is_shown() {
    for (code, shown) in [(4001, "4001 \"no such room\""), (1011, "1011 (internal error) \"no such room\"")] {
        let (url, server) = websocket_server(move |mut peer| {
            peer.send_text("goodbye");
            peer.close(code, "no such room");
            peer.receive_close().0
        });
        let finished = Running::start(wsplice([&url])).finish();
        assert_eq!(finished.fails_with(8, shown).out(), "goodbye\n");
        assert_eq!(server.join().expect("the server"), code);
    }
}

#[test]
fn the_close_of_a_peer_that_reads_no_more_is_noticed() {
    let (finish, over) = mpsc::channel::<()>();
    let (url, server) = websocket_server(move |mut peer| {
        // Long enough for the sockets' buffers to fill up.
        take_time(500);
        peer.close(4008, "too much");
        let _ = over.recv_timeout(LIMIT);
    });
    let input = "a line that nobody reads\n".repeat(1_000_000);
    run([&url, "--close-timeout", "0.5"], &input).fails_with(8, "4008 \"too much\"");
    drop(finish);
    server.join().expect("the server");
}

#[test]
fn the_close_of_a_server_that_reads_no_more_reaches_the_client_of_a_proxy() {
    let (finish, over) = mpsc::channel::<()>();
    let (url, server) = raw_peer_server(move |mut peer| {
        take_time(500);
        peer.close(4008, "too much");
        let _ = over.recv_timeout(LIMIT);
    });
    let proxy = Serving::start(["ws-l:0", &url, "--close-timeout", "0.5"]);
    let mut client = RawPeer::connect(proxy.port, "/");
    let mut writer = client.writer();
    let writing = thread::spawn(move || {
        let piece = from_client(BINARY, [0; 100_000]);
        (0..200).for_each(|_| writer.write_all(&piece).expect("write"));
        writer
    });
    let close = client.receive();
    assert_eq!(close.close(), (4008, "too much".into()));
    // The client may finish its messages before it answers.
    writing.join().expect("the writer");
    client.send(CLOSE, &close.payload);
    assert!(client.ends());
    drop(finish);
    server.join().expect("the server");
}

#[test]
fn a_connection_lost_without_a_close_frame_is_exit_7_after_all_that_came() {
    let (url, server) = websocket_server(|mut peer| {
        for number in 0..1000 {
            peer.send_text(&format!("message {number}"));
        }
    });
    let finished = Running::start(wsplice([&url])).finish();
    server.join().expect("the server");
    finished.fails_with(7, "without a close frame");
    let expected: String = (0..1000).map(|number| format!("message {number}\n")).collect();
    assert_eq!(finished.out(), expected);
}

#[test]
fn a_process_may_finish_its_output_before_the_close_is_answered() {
    let server = Serving::start(["ws-l:0", "sh-c:sort"]);
    assert_eq!(run([&server.url()], "b\na\n").succeeds().out(), "a\nb\n");
    let mut client = Peer::connect(server.port, "/");
    client.send_text("b");
    client.send_text("a");
    client.close(1000, "done");
    assert_eq!([client.receive_text(), client.receive_text()], ["a", "b"]);
    assert_eq!(client.receive_close(), (1000, "done".into()));
    assert!(client.ends());
}

#[test]
fn a_process_that_does_not_end_gets_the_close_timeout() {
    let server = Serving::start(["ws-l:0", "sh-c:cat >&2; sleep 60", "--close-timeout", "0.3"]);
    let mut client = Peer::connect(server.port, "/");
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn a_process_that_outlives_its_session_gets_a_hangup() {
    let process = "sh-c:trap 'echo hung up >&2; exit' HUP; echo ready; while :; do sleep 0.05; done";
    let server = Serving::start(["ws-l:0", process, "--close-timeout", "0.3"]);
    let mut client = Peer::connect(server.port, "/");
    assert_eq!(client.receive_text(), "ready");
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
    assert!(client.ends());
    server.running.signal("TERM");
    // The process shares the standard error of the server, which ends when both have ended. `sleep` gets the hangup too, and
    // the shell may report that.
    let finished = server.running.finish();
    assert!(finished.stderr.ends_with("hung up\n"), "{finished:?}");
}

#[test]
fn a_tcp_server_behind_a_tunnel_may_answer_after_the_end() {
    let (port, server) = one_connection(|mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the end arrives");
        take_time(300);
        stream.write_all(&heard).expect("write");
        stream.write_all(b" was heard").expect("write");
    });
    let far = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let near = Serving::start(["tcp-l:0", &far.url()]);
    let mut client = near.connect();
    client.write_all(b"hello").expect("write");
    client.shutdown(Shutdown::Write).expect("half-close");
    assert_eq!(read_all(client), "hello was heard");
    server.join().expect("the server");
}

#[test]
fn a_tcp_server_behind_a_tunnel_that_ends_first_still_gets_the_rest() {
    let (port, server) = one_connection(|mut stream| {
        stream.write_all(b"greeting").expect("write");
        stream.shutdown(Shutdown::Write).expect("half-close");
        read_all(stream)
    });
    let far = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let near = Serving::start(["tcp-l:0", &far.url()]);
    let mut client = near.connect();
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).expect("the greeting and its end");
    assert_eq!(greeting, "greeting");
    client.write_all(b"late reply").expect("write");
    drop(client);
    assert_eq!(server.join().expect("the server"), "late reply");
}

#[test]
fn bytes_to_bytes_pass_the_half_close_on() {
    let (port, server) = one_connection(|mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the end arrives");
        take_time(300);
        stream.write_all(&heard).expect("write");
    });
    let finished = run(["-", &format!("tcp:127.0.0.1:{port}")], "a\0b\nc");
    assert_eq!(finished.succeeds().stdout, b"a\0b\nc");
    server.join().expect("the server");
}

#[test]
fn an_answer_is_printed_even_when_the_peer_reads_no_more() {
    let (port, server) = one_connection(|mut stream| {
        stream.read_exact(&mut [0; 5]).expect("read");
        stream.write_all(b"too much").expect("write");
        // Closing a socket with unread data resets the connection.
    });
    let input = "x".repeat(8 << 20);
    let finished = run(["-", &format!("tcp:127.0.0.1:{port}")], &input);
    finished.fails_with(7, "connection to 127.0.0.1");
    assert_eq!(finished.out(), "too much");
    server.join().expect("the server");
}

#[test]
fn large_streams_pass_a_tunnel_in_both_directions_at_once() {
    const SIZE: usize = 8 << 20;
    let data = |seed: u32| -> Vec<u8> {
        (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
    };
    fn exchange(mut stream: TcpStream, send: Vec<u8>) -> Vec<u8> {
        let mut writer = stream.try_clone().expect("clone");
        let writing = thread::spawn(move || {
            writer.write_all(&send).expect("write");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("read");
        writing.join().expect("the writer");
        received
    }
    let (there, back) = (data(1), data(2));
    let answer = back.clone();
    let (port, server) = one_connection(move |stream| exchange(stream, answer));
    let far = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let near = Serving::start(["tcp-l:0", &far.url()]);
    assert!(exchange(connect(near.port), there.clone()) == back, "what came back");
    assert!(server.join().expect("the server") == there, "what arrived");
}

#[test]
fn the_close_of_a_client_passes_a_proxy_with_its_code_and_reason() {
    for (code, reason) in [(1000, ""), (4001, "client is tired"), (1005, "")] {
        let (url, server) = raw_peer_server(|mut peer| {
            let close = peer.receive();
            peer.send(CLOSE, &close.payload);
            close.close()
        });
        let proxy = Serving::start(["ws-l:0", &url]);
        let mut client = RawPeer::connect(proxy.port, "/");
        client.close(code, reason);
        assert_eq!(server.join().expect("the server"), (code, reason.into()));
        assert_eq!(client.receive().close(), (code, reason.into()));
        assert!(client.ends());
    }
}

#[test]
fn the_close_of_a_server_passes_a_proxy_with_its_code_and_reason() {
    for (code, reason) in [(1000, "done"), (4002, "server is tired"), (1005, "")] {
        let (url, server) = websocket_server(move |mut peer| {
            peer.send_text("last words");
            peer.close(code, reason);
            peer.receive_close()
        });
        let proxy = Serving::start(["ws-l:0", &url]);
        let mut client = Peer::connect(proxy.port, "/");
        assert_eq!(client.receive_text(), "last words");
        assert_eq!(client.receive_close(), (code, reason.into()));
        assert!(client.ends());
        assert_eq!(server.join().expect("the server"), (code, reason.into()));
    }
}

#[test]
fn a_server_behind_a_proxy_may_finish_before_it_answers_the_close() {
    let (url, server) = raw_peer_server(|mut peer| {
        let close = peer.receive();
        peer.send_text("one more thing");
        take_time(300);
        peer.send(CLOSE, &close.payload);
        close.close()
    });
    let proxy = Serving::start(["ws-l:0", &url]);
    let mut client = RawPeer::connect(proxy.port, "/");
    client.close(1000, "bye");
    assert_eq!(client.receive_text(), "one more thing");
    assert_eq!(client.receive().close(), (1000, "bye".into()));
    server.join().expect("the server");
}

#[test]
fn a_client_behind_a_proxy_whose_server_is_lost_gets_close_1011() {
    let (url, server) = websocket_server(|mut peer| peer.send_text("last words"));
    let proxy = Serving::start(["ws-l:0", &url]);
    let mut client = Peer::connect(proxy.port, "/");
    assert_eq!(client.receive_text(), "last words");
    assert_eq!(client.receive_close().0, 1011);
    server.join().expect("the server");
}

#[test]
fn our_close_frame_has_the_code_and_reason_of_the_options() {
    let (url, server) = websocket_server(|mut peer| peer.receive_close());
    run([&url, "-E", "--close-status-code", "4123", "--close-reason", "that is all"], "").succeeds();
    assert_eq!(server.join().expect("the server"), (4123, "that is all".into()));
}

#[test]
fn a_signal_makes_a_client_close_with_1001_and_still_print_the_last_messages() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let (url, server) = raw_peer_server(|mut peer| {
            peer.send_text("ready");
            let close = peer.frame().expect("a close frame").close();
            peer.send_text("last words");
            peer.close(1000, "");
            peer.ends();
            close
        });
        let mut running = Running::start(wsplice([&url, "--grace", "20"]));
        assert_eq!(running.line(), "ready\n");
        running.signal(signal);
        let finished = running.finish();
        assert_eq!((finished.code, &*finished.stderr), (code, ""), "{finished:?}");
        assert_eq!(finished.out(), "ready\nlast words\n");
        assert_eq!(server.join().expect("the server"), (1001, String::new()));
    }
}

#[test]
fn a_signal_makes_a_server_close_all_its_clients_with_1001() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let server = Serving::start(["ws-l:0", "mirror:", "--grace", "20"]);
        let mut clients: Vec<_> = (0..3).map(|_| Peer::connect(server.port, "/")).collect();
        for client in &mut clients {
            client.send_text("ready");
            assert_eq!(client.receive_text(), "ready");
        }
        server.running.signal(signal);
        for client in &mut clients {
            assert_eq!(client.receive_close(), (1001, String::new()));
            assert!(client.ends());
        }
        let finished = server.running.finish();
        assert_eq!((finished.code, &*finished.stderr), (code, ""), "{finished:?}");
    }
}

#[test]
fn a_client_that_never_answers_delays_a_server_s_end_by_the_grace_only() {
    let server = Serving::start(["ws-l:0", "mirror:", "--grace", "0.4"]);
    let mut client = RawPeer::connect(server.port, "/");
    client.send_text("ready");
    assert_eq!(client.receive_text(), "ready");
    server.running.signal("TERM");
    assert_eq!(server.running.finish().code, 143);
    assert_eq!(client.receive().close().0, 1001);
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let server = Serving::start(["ws-l:0", "mirror:", "--grace", "3600"]);
    let mut client = RawPeer::connect(server.port, "/");
    client.send_text("ready");
    assert_eq!(client.receive_text(), "ready");
    server.running.signal("TERM");
    assert_eq!(client.receive().close().0, 1001);
    server.running.signal("INT");
    assert_eq!(server.running.finish().code, 130);
}

#[test]
fn a_signal_ends_a_server_without_clients_and_one_that_is_still_connecting() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    server.running.signal("TERM");
    assert_eq!(server.running.finish().code, 143);
    let (asked, request) = mpsc::channel();
    let (port, silent) = one_connection(move |mut stream| {
        let mut start = [0; 16];
        stream.read_exact(&mut start).expect("a request");
        asked.send(()).expect("the test waits");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let connecting = Running::start(wsplice([format!("ws://127.0.0.1:{port}/")]));
    request.recv_timeout(LIMIT).expect("a request");
    connecting.signal("TERM");
    assert_eq!(connecting.finish().code, 143);
    silent.join().expect("the server");
}

#[test]
fn the_status_of_a_process_is_exit_10() {
    let finished = run(["-", "sh-c:cat; exit 3"], "said\n");
    assert_eq!(finished.fails_with(10, "exited with status 3").out(), "said\n");
    run(["-", "sh-c:kill -9 $$"], "").fails_with(10, "killed by signal 9");
}

#[test]
fn the_client_of_a_process_that_fails_gets_its_output_and_close_1011() {
    let server = Serving::start(["ws-l:0", "sh-c:echo so far; exit 4"]);
    let mut client = Peer::connect(server.port, "/");
    assert_eq!(client.receive_text(), "so far");
    assert_eq!(client.receive_close().0, 1011);
    server.running.signal("TERM");
    assert!(server.running.finish().stderr.contains("exited with status 4"));
}

#[test]
fn a_process_that_does_not_read_its_input_causes_no_error() {
    let input = "line\n".repeat(200_000);
    assert_eq!(run(["-", "sh-c:exec <&-; echo hello"], &input).succeeds().out(), "hello\n");
    assert_eq!(run(["-", "exec:head", "--exec-args", "-n", "2"], &input).succeeds().out(), "line\nline\n");
    let server = Serving::start(["ws-l:0", "sh-c:head -n 2"]);
    assert_eq!(run([&server.url()], &input).succeeds().out(), "line\nline\n");
}

#[test]
fn a_process_that_ends_first_ends_the_session() {
    let mut running = Running::start(wsplice(["-", "sh-c:read line; echo \"heard $line\""]));
    running.write("one\n");
    // Its input stays open.
    assert_eq!(running.finish().succeeds().out(), "heard one\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_session_silently() {
    let (url, server) = raw_peer_server(|mut peer| {
        let payload = encode_lines(100_000);
        let _ = peer.stream().write_all(&payload);
        peer.ends();
    });
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "(\"$0\" \"$1\"; echo \"exit $?\" >&2) | head -n 1", &program(), &url]);
    let finished = Running::start(shell).finish();
    assert_eq!((finished.out(), finished.stderr), ("0\n".into(), "exit 141\n".into()));
    server.join().expect("the server");
}

/// Text frames with the numbers up to `count`.
fn encode_lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| from_server(TEXT, number.to_string().as_bytes())).collect()
}

#[test]
fn a_slow_reader_of_our_output_loses_nothing() {
    const COUNT: usize = 40_000;
    let (told, closed) = mpsc::channel();
    let (url, server) = raw_peer_server(move |mut peer| {
        peer.send_bytes(encode_lines(COUNT));
        peer.close(1000, "");
        // Nobody reads for several close timeouts.
        peer.stream().set_read_timeout(Some(Duration::from_millis(700))).expect("set a limit");
        let early: Option<Frame> = peer.frame();
        told.send(()).expect("the test waits");
        peer.stream().set_read_timeout(Some(LIMIT)).expect("set a limit");
        (early, peer.receive().close().0)
    });
    let mut child = wsplice([&url, "--close-timeout", "0.2", "--linger", "0.1"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    closed.recv_timeout(LIMIT).expect("the server");
    let printed = read_all(child.stdout.take().expect("piped"));
    assert!(child.wait().expect("wait").success());
    assert_eq!(server.join().expect("the server"), (None, 1000));
    assert!(printed.lines().map(str::to_owned).eq((0..COUNT).map(|number| number.to_string())), "in order, none lost");
}

#[test]
fn the_sender_of_data_that_could_not_be_written_gets_close_1011() {
    let server = Serving::start(["ws-l:0", "writefile:/dev/full"]);
    run([server.url()], "lost\n").fails_with(8, "1011");
}
