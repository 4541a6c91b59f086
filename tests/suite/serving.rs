//! Listeners: many clients, ends that they share, Unix sockets, and connections that are opened again.

use crate::{
    http::{Exchange, upgrade_request},
    peer::{Message, Peer, websocket_server},
    raw::{CLOSE, PING, PONG, RawPeer, TEXT, from_client, raw_peer_server},
    support::{Finished, Folder, LIMIT, Running, Serving, accept, one_connection, program, run, wait_for, wsplice},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::Duration,
};

fn stop(server: Serving) -> Finished {
    server.running.signal("TERM");
    let finished = server.running.finish();
    assert_eq!(finished.code, 143, "{finished:?}");
    finished
}

#[test]
fn the_announcement_has_the_port_that_the_kernel_chose() {
    for args in [&["ws-l:0", "mirror:"][..], &["-s", "0", "mirror:"], &["-s", "127.0.0.1:0", "mirror:"]] {
        let server = Serving::start(args);
        assert_ne!(server.port, 0);
        assert_eq!(run([server.url()], "hello\n").succeeds().out(), "hello\n");
        let finished = stop(server);
        let port = finished.out().trim().rsplit_once('=').map(|(_, port)| port.to_owned()).unwrap_or_default();
        assert_eq!(finished.out(), format!("LISTEN proto=tcp,ip=127.0.0.1,port={port}\n"));
    }
}

#[test]
fn nothing_is_announced_unless_asked_for() {
    let folder = Folder::new("silent");
    let path = folder.path("socket");
    let server = Running::start(wsplice([&format!("unix-l:{path}"), "mirror:", "-v"]));
    until_connected(&path);
    server.signal("TERM");
    let finished = server.finish();
    assert_eq!(finished.out(), "");
    assert!(finished.stderr.contains(&format!("* listening: unix-listen:{path}\n")), "{finished:?}");
}

/// Connects as soon as something listens.
#[track_caller]
fn until_connected(path: &str) -> UnixStream {
    wait_for("a listener", || UnixStream::connect(path).ok())
}

#[test]
fn a_listener_on_the_right_is_announced_too_and_takes_one_client() {
    let mut server = Serving::start(["-", "ws-l:0"]);
    let mut plain = Exchange::connect(server.port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(plain.head.first().starts_with("HTTP/1.1 426 "), "{:?}", plain.head);
    assert!(plain.ends(), "a plain request is no session");
    let mut client = Peer::connect(server.port, "/");
    server.running.write("hello\n");
    assert_eq!(client.receive_text(), "hello");
    client.close(1000, "");
    server.running.finish().succeeds();
}

#[test]
fn every_client_has_an_end_of_its_own() {
    let server = Serving::start(["ws-l:0", "sh-c:read name; echo \"hello $name\"; cat"]);
    let mut clients: Vec<_> = (0..5).map(|_| Peer::connect(server.port, "/")).collect();
    for (number, client) in clients.iter_mut().enumerate().rev() {
        client.send_text(&format!("client {number}"));
        assert_eq!(client.receive_text(), format!("hello client {number}"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_text(&format!("again {number}"));
        assert_eq!(client.receive_text(), format!("again {number}"));
        client.close(1000, "");
        assert_eq!(client.receive_close().0, 1000);
    }
}

#[test]
fn a_client_that_breaks_off_does_not_disturb_the_others() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let mut stays = Peer::connect(server.port, "/");
    drop(Peer::connect(server.port, "/"));
    stays.send_text("still here");
    assert_eq!(stays.receive_text(), "still here");
}

#[test]
fn all_clients_share_standard_input_and_output() {
    let mut server = Serving::start(["ws-l:0"]);
    let mut clients = [Peer::connect(server.port, "/"), Peer::connect(server.port, "/")];
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_text(&format!("from {number}"));
        assert_eq!(server.running.line(), format!("from {number}\n"));
    }
    server.running.write("to all\n");
    for client in &mut clients {
        assert_eq!(client.receive(), Message::text("to all"));
    }
    let [mut first, mut second] = clients;
    first.close(1000, "");
    assert_eq!(first.receive_close().0, 1000);
    server.running.write("to the rest\n");
    assert_eq!(second.receive_text(), "to the rest");
}

#[test]
fn a_server_goes_on_after_the_end_of_standard_input() {
    let mut server = Serving::start(["ws-l:0"]);
    server.running.close_input();
    for round in ["first\n", "second\n"] {
        let mut client = Peer::connect(server.port, "/");
        client.send_text(round.trim());
        assert_eq!(server.running.line(), round);
        client.close(1000, "");
        assert_eq!(client.receive_close().0, 1000);
    }
    assert!(server.running.is_running());
    stop(server);
}

#[test]
fn standard_input_waits_for_the_first_client() {
    let mut server = Serving::start(["ws-l:0"]);
    server.running.write("for the first\n");
    assert_eq!(Peer::connect(server.port, "/").receive_text(), "for the first");
}

#[test]
fn tcp_clients_share_standard_input_and_output_byte_for_byte() {
    let mut server = Serving::start(["tcp-l:0"]);
    let mut client = server.connect();
    client.write_all(b"no newline").expect("write");
    client.write_all(b", then one\n").expect("write");
    assert_eq!(server.running.line(), "no newline, then one\n");
    server.running.write("a\0b");
    let mut heard = [0; 3];
    client.read_exact(&mut heard).expect("read");
    assert_eq!(&heard, b"a\0b");
}

#[test]
fn messages_sent_before_a_signal_are_still_printed() {
    const COUNT: usize = 20_000;
    let mut command = wsplice(["ws-l:0", "--stdout-announce-listening-ports", "--grace", "30"]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut announcement = String::new();
    stdout.read_line(&mut announcement).expect("an announcement");
    let port = announcement.trim().rsplit_once('=').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut client = RawPeer::connect(port, "/");
    let frames: Vec<u8> = (0..COUNT).flat_map(|number| from_client(TEXT, number.to_string().as_bytes())).collect();
    let mut writer = client.writer();
    let writing = thread::spawn(move || writer.write_all(&frames));
    let signalled = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(signalled.expect("kill runs").success());
    // The server's close frame asks the client to finish; everything that it sends before its own counts.
    writing.join().expect("the writer").expect("write");
    assert_eq!(client.receive_close().0, 1001);
    let mut printed = String::new();
    stdout.read_to_string(&mut printed).expect("read");
    assert_eq!(child.wait().expect("wait").code(), Some(143));
    assert!(printed.lines().map(str::to_owned).eq((0..COUNT).map(|number| number.to_string())), "none lost");
}

#[test]
fn oneshot_serves_one_client_and_its_exit_code_is_that_session_s() {
    for (code, exit) in [(1000, 0), (4000, 8)] {
        let server = Serving::start(["--oneshot", "ws-l:0", "mirror:"]);
        let mut client = Peer::connect(server.port, "/");
        client.send_text("hello");
        assert_eq!(client.receive_text(), "hello");
        client.close(code, "");
        assert_eq!(client.receive_close().0, code);
        assert_eq!(server.running.finish().code, exit);
    }
}

#[test]
fn oneshot_answers_plain_requests_until_a_client_comes() {
    let server = Serving::start(["--oneshot", "ws-l:0", "mirror:"]);
    for _ in 0..2 {
        let plain = Exchange::connect(server.port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(plain.head.first().starts_with("HTTP/1.1 426 "), "{:?}", plain.head);
    }
    let mut client = Peer::connect(server.port, "/");
    client.close(1000, "");
    assert_eq!(client.receive_close().0, 1000);
    server.running.finish().succeeds();
}

#[test]
fn oneshot_with_stdio_waits_for_replies_as_a_client_does() {
    let mut server = Serving::start(["--oneshot", "ws-l:0"]);
    server.running.write("question\n");
    server.running.close_input();
    let mut client = Peer::connect(server.port, "/");
    assert_eq!(client.receive_text(), "question");
    client.send_text("answer");
    assert_eq!(client.receive_close().0, 1000);
    let finished = server.running.finish();
    assert!(finished.succeeds().out().ends_with("\nanswer\n"), "{finished:?}");
}

#[test]
fn at_the_connection_limit_a_client_waits_until_another_has_left() {
    let server = Serving::start(["--conncap", "1", "ws-l:0", "mirror:"]);
    let mut first = Peer::connect(server.port, "/");
    let mut waiting = server.connect();
    waiting.write_all(upgrade_request("/", "").as_bytes()).expect("write");
    waiting.set_read_timeout(Some(Duration::from_millis(500))).expect("set a limit");
    assert!(waiting.read(&mut [0; 16]).is_err(), "it is not answered yet");
    waiting.set_read_timeout(Some(LIMIT)).expect("set a limit");
    first.send_text("I was first");
    assert_eq!(first.receive_text(), "I was first");
    first.close(1000, "");
    assert_eq!(first.receive_close().0, 1000);
    drop(first);
    let mut answer = [0; 12];
    waiting.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[test]
fn a_websocket_passes_a_unix_socket() {
    let folder = Folder::new("unix");
    let path = folder.path("socket");
    let mut server =
        Running::start(wsplice([&format!("ws-u:unix-l:{path}"), "mirror:", "--stdout-announce-listening-ports"]));
    assert_eq!(server.line(), format!("LISTEN proto=unix,path={path}\n"));
    for client in [format!("ws-c:unix:{path}"), format!("ws+unix:{path}"), format!("ws+unix:{path}:/chat")] {
        assert_eq!(run([&client], "hello\n").succeeds().out(), "hello\n", "{client}");
    }
    server.signal("TERM");
    assert_eq!(server.finish().code, 143);
    assert!(!std::path::Path::new(&path).exists(), "the path is removed at the end");
}

#[test]
fn a_stale_unix_socket_needs_unlink() {
    let folder = Folder::new("left-behind");
    let path = folder.path("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    let address = format!("unix-l:{path}");
    run([&address, "mirror:"], "").fails_with(3, "cannot listen on").hints("--unlink");
    let mut server = Running::start(wsplice(["--unlink", &address, "mirror:", "--stdout-announce-listening-ports"]));
    server.line();
    assert_eq!(run([&format!("unix:{path}")], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn unlink_removes_no_file() {
    let folder = Folder::new("no-file");
    let path = folder.path("precious");
    std::fs::write(&path, "data").expect("write");
    run(["--unlink", &format!("unix-l:{path}"), "mirror:"], "").fails_with(3, "not a socket").hints("sockets only");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "data");
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_has_no_path() {
    let name = format!("@wsplice-test-{}", std::process::id());
    let address = format!("unix-l:{name}");
    let mut server = Running::start(wsplice([&address, "sh-c:sort", "--stdout-announce-listening-ports"]));
    assert_eq!(server.line(), format!("LISTEN proto=unix,path={name}\n"));
    assert_eq!(run([&format!("unix:{name}")], "b\na\n").succeeds().out(), "a\nb\n");
    run([&address, "mirror:"], "").fails_with(3, "cannot listen on").hints("another program");
}

// reuse:

#[test]
fn with_reuse_all_clients_share_one_connection() {
    let (port, server) = one_connection(|stream| {
        let mut reader = BufReader::new(stream);
        for expected in ["from a\n", "from b\n"] {
            let mut line = String::new();
            reader.read_line(&mut line).expect("read");
            assert_eq!(line, expected);
        }
        reader.get_mut().write_all(b"to all\n").expect("write");
        // The connection stays open until the clients have received it.
        reader.read_line(&mut String::new()).expect("read");
    });
    let serving = Serving::start(["ws-l:0", &format!("reuse:lines:tcp:127.0.0.1:{port}")]);
    let (mut a, mut b) = (RawPeer::connect(serving.port, "/"), RawPeer::connect(serving.port, "/"));
    a.send_text("from a");
    // The pong shows that the server has read the message before the ping.
    a.send(PING, "taken?");
    assert_eq!(a.frame().map(|frame| frame.first), Some(PONG));
    b.send_text("from b");
    assert_eq!([a.receive_text(), b.receive_text()], ["to all", "to all"]);
    serving.running.signal("TERM");
    assert_eq!([a.receive_close().0, b.receive_close().0], [1001, 1001]);
    assert_eq!(serving.running.finish().code, 143);
    server.join().expect("the server");
}

#[test]
fn with_reuse_the_close_of_the_shared_end_reaches_all_and_the_next_client_opens_it_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("reuse:ws://127.0.0.1:{}/", listener.local_addr().expect("address").port());
    let serving = Serving::start(["ws-l:0", &url]);
    let server = thread::spawn(move || {
        for (code, reason) in [(4001, "shift ends"), (1000, "")] {
            let mut peer = Peer::accept(accept(&listener));
            peer.send_text("hello");
            assert_eq!(peer.receive_text(), "go");
            peer.close(code, reason);
            assert_eq!(peer.receive_close().0, code);
        }
    });
    let mut first = Peer::connect(serving.port, "/");
    assert_eq!(first.receive_text(), "hello");
    let mut second = Peer::connect(serving.port, "/");
    second.send_text("go");
    for client in [&mut first, &mut second] {
        assert_eq!(client.receive_close(), (4001, "shift ends".into()));
    }
    let mut third = Peer::connect(serving.port, "/");
    assert_eq!(third.receive_text(), "hello");
    third.send_text("go");
    assert_eq!(third.receive_close().0, 1000);
    server.join().expect("the server");
}

#[test]
fn with_reuse_the_loss_of_the_shared_end_closes_all_clients() {
    let (url, server) = websocket_server(|mut peer| {
        peer.send_text("last words");
        assert_eq!(peer.receive_text(), "go");
    });
    let serving = Serving::start(["ws-l:0", &format!("reuse:{url}")]);
    let mut client = Peer::connect(serving.port, "/");
    assert_eq!(client.receive_text(), "last words");
    client.send_text("go");
    assert_eq!(client.receive_close().0, 1011);
    server.join().expect("the server");
    let finished = stop(serving);
    assert!(finished.stderr.contains("without a close frame"), "{finished:?}");
}

// autoreconnect:

#[test]
fn autoreconnect_comes_back_to_a_server_that_was_restarted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = listener.local_addr().expect("address");
    // The test waits for error lines too: messages that are sent before the client notices a loss are lost.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&1", &program()]);
    shell.args([&format!("autoreconnect:ws://{at}/"), "--autoreconnect-delay-millis", "10"]);
    let mut client = Running::start(shell);
    let mut peer = Peer::accept(accept(&listener));
    client.write("one\n");
    assert_eq!(peer.receive_text(), "one");
    peer.send_text("heard one");
    assert_eq!(client.line(), "heard one\n");
    peer.close(1012, "restarting");
    let noticed = client.line();
    assert!(noticed.starts_with(&format!("wsplice: closed by ws://{at}/: 1012 (service restart) \"restarting\"; ")));
    let mut peer = Peer::accept(accept(&listener));
    client.write("two\n");
    assert_eq!(peer.receive_text(), "two");
    // For a while nobody listens.
    drop(listener);
    drop(peer);
    let noticed = client.line();
    assert!(noticed.starts_with(&format!("wsplice: connection to ws://{at}/ lost: ")), "{noticed:?}");
    client.write("three\n");
    assert!(client.line().starts_with(&format!("wsplice: cannot connect to {at}: ")));
    let listener = TcpListener::bind(at).expect("the port is free again");
    let mut peer = Peer::accept(accept(&listener));
    assert_eq!(peer.receive_text(), "three");
    client.close_input();
    assert_eq!(peer.receive_close().0, 1000);
    client.finish().succeeds();
}

#[test]
fn autoreconnect_also_retries_the_first_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = listener.local_addr().expect("address");
    // The first attempt is accepted and dropped without an answer.
    let client = Running::start(wsplice([&format!("autoreconnect:ws://{at}/"), "--autoreconnect-delay-millis", "10"]));
    drop(accept(&listener));
    let mut peer = Peer::accept(accept(&listener));
    client.signal("TERM");
    assert_eq!(peer.receive_close().0, 1001);
    assert_eq!(client.finish().code, 143);
}

#[test]
fn a_signal_ends_autoreconnect_while_it_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = listener.local_addr().expect("address");
    let client =
        Running::start(wsplice([&format!("autoreconnect:ws://{at}/"), "--autoreconnect-delay-millis", "3600000"]));
    drop(accept(&listener));
    drop(listener);
    client.signal("TERM");
    assert_eq!(client.finish().code, 143);
}

#[test]
fn a_tcp_listener_passes_each_client_to_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let to = format!("tcp:{}", listener.local_addr().expect("address"));
    let serving = Serving::start(["tcp-l:0", &to]);
    let (accepted, streams) = mpsc::channel();
    let server = thread::spawn(move || {
        for _ in 0..2 {
            accepted.send(accept(&listener)).expect("the test waits");
        }
    });
    for word in ["one", "two"] {
        let mut client = serving.connect();
        let mut far = streams.recv_timeout(LIMIT).expect("a connection");
        client.write_all(word.as_bytes()).expect("write");
        client.shutdown(Shutdown::Write).expect("half-close");
        let mut heard = String::new();
        far.read_to_string(&mut heard).expect("read");
        assert_eq!(heard, word);
    }
    server.join().expect("the server");
}

#[test]
fn two_sockets_that_send_at_the_same_time_receive_everything() {
    const LENGTH: usize = 20_000_000;
    fn say_and_hear(mut stream: TcpStream, step: usize) -> Vec<u8> {
        let mut writer = stream.try_clone().expect("clone");
        let saying = thread::spawn(move || {
            let said: Vec<u8> = (0..LENGTH).map(|at| (at / step) as u8).collect();
            writer.write_all(&said).expect("write");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("read");
        saying.join().expect("said");
        heard
    }
    let (port, far) = one_connection(|stream| say_and_hear(stream, 7));
    let serving = Serving::start(["tcp-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let heard = say_and_hear(serving.connect(), 1000);
    let far_heard = far.join().expect("the far end");
    for (heard, step) in [(heard, 7), (far_heard, 1000)] {
        assert_eq!(heard.len(), LENGTH);
        assert!(heard.iter().enumerate().all(|(at, byte)| *byte == (at / step) as u8), "in steps of {step}");
    }
}

#[test]
fn with_u_nothing_passes_in_the_other_direction() {
    let (port, far) = one_connection(|mut stream| {
        stream.write_all(&[b'x'; 1_000_000]).expect("write");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("read");
        heard
    });
    let serving = Serving::start(["-u", "tcp-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let mut client = serving.connect();
    client.write_all(b"there").expect("write");
    client.shutdown(Shutdown::Write).expect("half-close");
    assert_eq!(far.join().expect("the far end"), "there");
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("read");
    assert_eq!(back, b"");
}

#[test]
fn sockets_are_spliced_even_when_descriptors_are_scarce() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", &program()]);
    command.args(["tcp-l:127.0.0.1:0", "--stdout-announce-listening-ports"]);
    command.arg(format!("tcp:{}", listener.local_addr().expect("address")));
    let serving = Serving::from_command(command);
    // With pipes for each session the descriptors would suffice for eight.
    let sessions: Vec<_> = (0..20).map(|_| (serving.connect(), accept(&listener))).collect();
    for (mut client, mut far) in sessions {
        client.write_all(b"hello").expect("write");
        let mut heard = [0; 5];
        far.read_exact(&mut heard).expect("read");
        assert_eq!(&heard, b"hello");
    }
}

#[test]
fn reuse_in_front_of_a_single_client_s_end_changes_nothing() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let finished = run([&format!("reuse:{}", server.url())], "one\ntwo\n");
    assert_eq!(finished.succeeds().out(), "one\ntwo\n");
}

#[test]
fn a_shared_websocket_answers_pings_while_it_has_no_clients() {
    let (gone, is_gone) = std::sync::mpsc::channel();
    let (url, upstream) = raw_peer_server(move |mut peer| {
        assert_eq!(peer.receive_text(), "hello");
        peer.send_text("answer");
        is_gone.recv().expect("the client ends");
        peer.send(PING, "still there?");
        assert_eq!(peer.frame().map(|frame| frame.first), Some(PONG));
    });
    let server = Serving::start(["ws-l:0".to_owned(), format!("reuse:{url}")]);
    let mut client = RawPeer::connect(server.port, "/");
    client.send_text("hello");
    assert_eq!(client.receive_text(), "answer");
    client.close(1000, "");
    client.receive_close();
    assert!(client.ends());
    gone.send(()).expect("the upstream waits");
    upstream.join().expect("the upstream");
}

#[test]
fn a_server_that_took_over_a_socket_keeps_it_when_the_first_ends() {
    let folder = Folder::new("successor");
    let path = folder.path("socket");
    let listener = format!("ws-u:unix-l:{path}");
    let first = Running::announced(&[&listener, "mirror:"]);
    let _second = Running::announced(&[&listener, "mirror:", "--unlink"]);
    first.signal("TERM");
    first.finish();
    assert_eq!(run([format!("ws-c:unix:{path}")], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn a_connection_without_a_request_does_not_use_up_oneshot() {
    let server = Serving::start(["--oneshot", "ws-l:0", "mirror:"]);
    let mut garbage = server.connect();
    garbage.write_all(b"garbage\r\n\r\n").expect("write");
    let _ = garbage.read_to_end(&mut Vec::new());
    assert_eq!(run([server.url()], "hello\n").succeeds().out(), "hello\n");
    server.running.finish().succeeds();
}

#[test]
fn a_blocked_standard_error_blocks_neither_clients_nor_signals() {
    let mut command = wsplice(["ws-l:0", "mirror:"]);
    command.arg("--stdout-announce-listening-ports");
    let (server, _never_read) = Serving::with_stuck_stderr(command);
    // Each line is over a hundred bytes, and a pipe holds 64 KiB.
    for _ in 0..1000 {
        let mut garbage = server.connect();
        garbage.write_all(b"garbage\r\n\r\n").expect("write");
        let _ = garbage.read_to_end(&mut Vec::new());
    }
    assert_eq!(run([server.url()], "hello\n").succeeds().out(), "hello\n");
    server.running.signal("TERM");
    assert_eq!(server.running.finish().code, 143);
}

#[test]
fn options_set_how_far_a_client_of_a_shared_end_may_be_behind_and_for_how_long_it_may_stall_the_others() {
    const LINES: usize = 1_000;
    let line = format!("{}\n", "x".repeat(20_000));
    for (args, is_closed) in
        [(&["--slow-timeout", "0.2"][..], true), (&["--backlog", "64m", "--slow-timeout", "0"], false)]
    {
        let mut server = Serving::start(["-s", "0"].iter().chain(args));
        let mut stuck = RawPeer::connect(server.port, "/");
        let mut reads = RawPeer::connect(server.port, "/");
        let reading = thread::spawn(move || (0..LINES).for_each(|_| _ = reads.receive_text()));
        server.running.write(line.repeat(LINES));
        reading.join().expect("it gets everything");
        if is_closed {
            server.running.error_line("too slow: it took nothing from stdio for 0.2 s while others waited");
        } else {
            (0..LINES).for_each(|_| _ = stuck.receive_text());
        }
    }
}

#[test]
fn a_client_of_a_shared_end_that_reads_nothing_is_closed_with_1013_and_the_others_go_on() {
    const LINES: usize = 2_000;
    let line = "x".repeat(20_000);
    let mut server = Serving::start(["-s", "0"]);
    let mut stuck = RawPeer::connect(server.port, "/");
    let mut reads = RawPeer::connect(server.port, "/");
    let reading = thread::spawn(move || {
        for _ in 0..LINES {
            reads.receive_text();
        }
        reads
    });
    for _ in 0..LINES {
        server.running.write(format!("{line}\n"));
    }
    let mut reads = reading.join().expect("it gets everything");
    // Behind what was on its way to it.
    let close = std::iter::from_fn(|| stuck.frame()).find(|frame| frame.first == CLOSE).expect("a close frame");
    assert_eq!(close.close().0, 1013);
    server.running.error_line("too slow: it took nothing from stdio for 10 s while others waited");
    server.running.write("more\n");
    assert_eq!(reads.receive_text(), "more");
}
