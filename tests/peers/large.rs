//! Much data: all of it arrives, in order.

use crate::{
    peer::{Peer, bash, node, random_file, sha256},
    support::{Folder, Serving, connect},
};
use std::{
    fs::File,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

const MEGABYTES: u64 = 200;
/// In a debug build on a busy machine such a transfer takes a while.
const LIMIT: Duration = Duration::from_secs(120);

/// `tcp-l: -> ws: -> ws-l: -> tcp:` in front of a server of the test's; `serve` gets its connection.
fn through_a_tunnel<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
    ask: impl FnOnce(TcpStream),
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let far = Serving::start(["ws-l:0", &format!("tcp:127.0.0.1:{port}")]);
    let near = Serving::start(["tcp-l:0", &far.url()]);
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("set a limit");
        serve(stream)
    });
    ask(connect(near.port));
    server.join().expect("the server's side is content")
}

fn send(file: &str, mut to: &TcpStream) {
    std::io::copy(&mut File::open(file).expect("open"), &mut to).expect("send");
    to.shutdown(Shutdown::Write).expect("end");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_large_file_arrives_through_a_tunnel_and_the_answer_to_its_end_comes_back() {
    let folder = Folder::new("large-up");
    let file = folder.path("file");
    random_file(&file, MEGABYTES);
    let sent = sha256(File::open(&file).expect("open"));
    let received = through_a_tunnel(
        |mut stream| {
            let received = sha256(&stream);
            stream.write_all(received.1.as_bytes()).expect("answer");
            received
        },
        |mut stream| {
            send(&file, &stream);
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert_eq!(answer, sent.1);
        },
    );
    assert_eq!(received, sent);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_large_file_comes_back_through_a_tunnel() {
    let folder = Folder::new("large-down");
    let file = folder.path("file");
    random_file(&file, MEGABYTES);
    let sent = sha256(File::open(&file).expect("open"));
    through_a_tunnel(
        move |mut stream| {
            // The request ends with a half-close.
            let mut request = String::new();
            stream.read_to_string(&mut request).expect("a request");
            assert_eq!(request, "the file, please");
            send(&file, &stream);
        },
        |mut stream| {
            stream.write_all(b"the file, please").expect("ask");
            stream.shutdown(Shutdown::Write).expect("end");
            assert_eq!(sha256(&stream), sent);
        },
    );
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn large_files_pass_each_other_in_a_tunnel() {
    let folder = Folder::new("large-both");
    let [up, down] = ["up", "down"].map(|name| folder.path(name));
    random_file(&up, MEGABYTES);
    random_file(&down, MEGABYTES);
    let [sent_up, sent_down] = [&up, &down].map(|file| sha256(File::open(file).expect("open")));
    fn both(file: String, stream: TcpStream) -> (u64, String) {
        let reading = stream.try_clone().expect("clone");
        let sending = thread::spawn(move || send(&file, &stream));
        let received = sha256(&reading);
        sending.join().expect("sent");
        received
    }
    let received_up =
        through_a_tunnel(move |stream| both(down, stream), |stream| assert_eq!(both(up, stream), sent_down));
    assert_eq!(received_up, sent_up);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_message_of_50_mb_comes_back_to_node() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let mut client = Peer::client(node("ws_client.js", ["large", &mirror.url(), "50000000"]));
    client.says("binary 50000000 same").says(r#"closed 1000 """#);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_line_of_50_mb_is_one_message_for_node_and_comes_back() {
    let folder = Folder::new("large-line");
    let mut server = Peer::start(node("ws_server.js", ["echo"]), "port ");
    let [line, back] = ["line", "back"].map(|name| folder.path(name));
    let script = format!(
        "head -c 25000000 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' > {line}
        wsplice {} < {line} > {back} && cmp {back} <(cat {line}; echo) && head -c -1 {back} | sha256sum | cut -d' ' -f1",
        server.url()
    );
    let shell = bash(LIMIT, &script);
    assert_eq!((shell.code, shell.stderr.as_str()), (0, ""), "{shell:?}");
    server.says(&format!("text 50000000 {}", shell.out.trim()));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_message_of_50_mb_from_node_is_printed_as_it_was() {
    let mut server = Peer::start(node("ws_server.js", ["large", "50000000"]), "port ");
    let shell = bash(LIMIT, &format!("wsplice {} < /dev/null | head -c -1 | sha256sum | cut -d' ' -f1", server.url()));
    server.says(&format!("text 50000000 {}", shell.out.trim()));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn five_million_lines_arrive_at_node_in_order() {
    let mut server = Peer::start(node("ws_server.js", ["count"]), "port ");
    bash(LIMIT, &format!("seq 5000000 | wsplice -u {}", server.url())).prints("");
    // The order of its two listeners for the end.
    server.says(r#"closed 1000 """#).says("counted to 5000000");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn five_million_messages_are_printed_in_order() {
    let server = Serving::start(["ws-l:0", "sh-c:seq 5000000"]);
    bash(LIMIT, &format!("wsplice {} </dev/null | cmp - <(seq 5000000) && echo same", server.url())).prints("same\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn five_million_lines_come_back_from_a_mirror_in_order() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let line = format!("seq 5000000 | wsplice {} | cmp - <(seq 5000000) && echo same", server.url());
    bash(LIMIT, &line).prints("same\n");
}
