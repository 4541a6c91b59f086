//! Ends that work like devices, and descriptors and devices that are opened.

use crate::{
    peer::{Message, Peer, websocket_server},
    support::{Folder, LIMIT, Running, Serving, program, run, wsplice},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
};

#[test]
fn null_takes_everything_and_lasts_until_the_other_end_has_ended() {
    for address in ["null:", "devnull:"] {
        run(["-", address], vec![b'x'; 1_000_000]).succeeds();
        let (url, peer) = websocket_server(|mut peer| {
            peer.send(Message::binary(vec![0; 100_000]));
            peer.send_text("more");
            peer.close(1000, "");
            peer.receive_close()
        });
        run([url, address.into()], "").succeeds();
        assert_eq!(peer.join().expect("the peer").0, 1000);
    }
}

#[test]
fn empty_ends_at_once() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "empty:"]);
    assert_eq!(Peer::connect(server.port, "/").receive_close().0, 1000);
    run(["empty:", "-"], "").succeeds();
}

#[test]
fn zero_and_random_send_without_end_until_the_other_end_has_enough() {
    let mut first = Vec::new();
    for (address, is_zero) in [("zero:", true), ("random:", false), ("random:", false)] {
        let (url, peer) = websocket_server(|mut peer| {
            let messages: Vec<_> = (0..20).map(|_| peer.receive()).collect();
            peer.close(1000, "");
            assert!(peer.ends());
            messages
        });
        run([address, &url], "").succeeds();
        for message in peer.join().expect("the peer") {
            assert!(message.is_binary());
            let data = message.into_data();
            assert_eq!(data.len(), 65_536);
            assert_eq!(data.iter().all(|byte| *byte == 0), is_zero);
            assert!(is_zero || !first.contains(&data), "random bytes repeat");
            first.push(data);
        }
    }
}

#[test]
fn endless_data_does_not_hold_up_others() {
    let args = ["ws-l:127.0.0.1:0", "random:", "--threads", "1"];
    let server = Serving::start(args);
    let mut unread = server.connect();
    unread.write_all(crate::http::UPGRADE_REQUEST.as_bytes()).expect("write");
    let mut other = Peer::connect(server.port, "/");
    for _ in 0..50 {
        assert_eq!(other.receive().into_data().len(), 65_536);
    }
}

#[test]
fn clogged_takes_and_sends_nothing() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "clogged:", "--grace", "200ms"]);
    let mut peer = Peer::connect(server.port, "/");
    peer.send_text("hello");
    server.running.signal("TERM");
    assert_eq!(peer.receive_close().0, 1001);
    assert_eq!(server.running.finish().code, 143);
}

#[test]
fn assert_compares_all_that_it_receives() {
    run(["literal:hello", "assert:hello"], "").succeeds();
    run(["-", "assert:a\nb\n"], "a\nb\n").succeeds();
    run(["empty:", "assert2:"], "").succeeds();
    let wrong = run(["literal:hallo", "assert2:hello"], "");
    wrong.fails_with(9, r#"assert: expected "hello", received "hallo""#);
    run(["-", "assert:abc"], "ab").fails_with(9, r#"received "ab""#);
    let long = run(["-", "assert:abc"], vec![b'x'; 1_000_000]);
    long.fails_with(9, "received \"xxx");
    assert!(long.stderr.len() < 300, "{long:?}");
    for (sent, code) in [("hello", 0), ("other", 9)] {
        let (url, peer) = websocket_server(|mut peer| {
            peer.send_text(&sent[..2]);
            peer.send_text(&sent[2..]);
            peer.close(1000, "");
            peer.receive_close()
        });
        assert_eq!(run([&url, "assert:hello"], "").code, code);
        peer.join().expect("the peer");
    }
}

#[test]
fn literal_base64_is_one_binary_message() {
    for (args, expected) in [(&[][..], Message::binary(vec![0, 255])), (&["-b"], Message::binary(vec![0, 255]))] {
        let server = Serving::start([&["ws-l:127.0.0.1:0", "literal-base64:AP8="], args].concat());
        let mut peer = Peer::connect(server.port, "/");
        assert_eq!(peer.receive(), expected);
        assert_eq!(peer.receive_close().0, 1000);
    }
    let server = Serving::start(["-t", "ws-l:127.0.0.1:0", "literal-base64:aGkKeW91"]);
    assert_eq!(Peer::connect(server.port, "/").receive(), Message::text("hi\nyou"));
    assert_eq!(run(["literal-base64:aGk=", "-", "-b"], "").succeeds().out(), "hi");
    run(["literal-base64:a b", "-"], "").fails_with(2, "not base64");
    run(["-t", "literal-base64:AP8=", "-"], "").fails_with(2, "not UTF-8");
}

#[test]
fn a_named_pipe_is_read_and_written() {
    let folder = Folder::new("open-async");
    let path = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    let mut running = Running::start(wsplice(["-b", "-", &format!("open-async:{path}")]));
    running.write("hello\n");
    // A pipe gives back what was written to it.
    assert_eq!(running.line(), "hello\n");
    OpenOptions::new().write(true).open(&path).expect("open").write_all(b"other\n").expect("write");
    assert_eq!(running.line(), "other\n");
}

#[test]
fn a_device_is_a_source_of_messages() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "open-async:/dev/zero"]);
    let mut peer = Peer::connect(server.port, "/");
    let message = peer.receive();
    assert!(message.is_binary() && message.into_data().iter().all(|byte| *byte == 0));
}

/// The command line with descriptor 3 as given by a shell's redirection.
fn with_descriptor_3(redirection: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}"), &program()]).args(args);
    command.env_remove("RUST_BACKTRACE");
    command
}

#[test]
fn an_open_descriptor_is_read_and_written() {
    let folder = Folder::new("open-fd");
    let path = folder.path("file");
    fs::write(&path, "first\n").expect("write");
    let mut running = Running::start(with_descriptor_3(&format!("3<'{path}'"), &["-U", "-", "open-fd:3"]));
    assert_eq!(running.line(), "first\n");
    running.finish().succeeds();
    let mut running = Running::start(with_descriptor_3(&format!("3>>'{path}'"), &["-u", "-", "async-fd:3"]));
    running.write("second\n");
    running.close_input();
    running.finish().succeeds();
    assert_eq!(fs::read_to_string(&path).expect("read"), "first\nsecond\n");
}

#[test]
fn clients_share_an_open_descriptor() {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut command = wsplice(["ws-l:127.0.0.1:0", "lines:open-fd:0", "--stdout-announce-listening-ports"]);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    let port = line.trim().rsplit_once("port=").and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut clients = [Peer::connect(port, "/"), Peer::connect(port, "/")];
    let mut socket = &ours;
    for client in &mut clients {
        client.send_text("hi");
        let mut text = [0; 3];
        socket.read_exact(&mut text).expect("read");
        assert_eq!(&text, b"hi\n");
    }
    socket.write_all(b"to both\n").expect("write");
    for client in &mut clients {
        assert_eq!(client.receive_text(), "to both");
    }
    let _ = (child.kill(), child.wait());
}

#[test]
fn descriptors_and_devices_that_cannot_be_opened_are_errors() {
    run(["-", "open-fd:77"], "").fails_with(2, "cannot open descriptor 77: Bad file descriptor");
    for wrong in ["open-fd:x", "open-fd:-1", "open-fd:99999999999"] {
        run(["-", wrong], "").fails_with(2, "not the number of a descriptor").hints("open-fd:3");
    }
    run(["-", "open-async:/wsplice/missing"], "").fails_with(2, "cannot open /wsplice/missing: No such file");
    run(["-", "open-async:/"], "").fails_with(2, "cannot open /: Is a directory");
    let folder = Folder::new("open-errors");
    let path = folder.path("file");
    File::create(&path).expect("create");
    let closed = Running::start(with_descriptor_3("3>&-", &["-", "open-fd:3"])).finish();
    assert_eq!(closed.code, 1, "{closed:?}");
}
