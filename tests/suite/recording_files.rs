//! Files that `--record` cannot, or should not, write as others.

use crate::{
    peer::{Peer, websocket_server},
    support::{Folder, Running, Serving, run, wait_for, wsplice},
};
use serde_json::Value;
use std::{fs, io::Read, process::Command, thread};

fn fifo(folder: &Folder) -> String {
    let path = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    path
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_fifo_that_nobody_reads_is_refused_at_once() {
    let folder = Folder::new("record-fifo-unread");
    let path = fifo(&folder);
    let finished = run(["--record", &path, "--send", "a", "mirror:"], "");
    finished
        .fails_with(2, &format!("cannot record to {path}: nobody reads it"))
        .hints(&format!("start `cat {path}` first"));
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    run(["--record", &path, &server.url()], "").fails_with(2, "nobody reads it");
}

#[test]
fn a_fifo_that_is_read_gets_the_recording() {
    let folder = Folder::new("record-fifo");
    let path = fifo(&folder);
    let of_reader = path.clone();
    let reader = thread::spawn(move || fs::read_to_string(of_reader).expect("read"));
    // More than fits into a FIFO.
    let message = "x".repeat(300_000);
    wait_for("a reader", || {
        let finished = run(["--record", &path, "mirror:"], format!("{message}\n"));
        (finished.code != 2).then_some(finished)
    })
    .succeeds();
    let recorded = lines(&reader.join().expect("the reader"));
    let data: Vec<_> =
        recorded.iter().filter_map(|line| line["data"].as_str()).filter(|data| !data.is_empty()).collect();
    assert!(data.len() == 2 && data.iter().all(|data| *data == message), "{} lines", recorded.len());
}

#[test]
fn a_run_ends_on_time_though_nobody_takes_what_is_in_its_fifo() {
    let folder = Folder::new("record-fifo-full");
    let path = fifo(&folder);
    // It is open for reading, and nothing is read.
    let held = fs::OpenOptions::new().read(true).write(true).open(&path).expect("open");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    for (limit, signal, code) in [("3", None, 124), ("100", Some("TERM"), 143), ("100", Some("INT"), 130)] {
        let mut running = Running::start(wsplice(["--record", &path, "-m", limit, &server.url()]));
        running.write(format!("{}\n", "x".repeat(300_000)));
        assert_eq!(running.line().len(), 300_001);
        if let Some(signal) = signal {
            running.signal(signal);
        }
        let finished = running.finish();
        assert_eq!(finished.code, code, "{finished:?}");
        let warnings = finished.stderr.matches(&format!("cannot write {path}: its reader is too slow")).count();
        assert_eq!(warnings, 1, "{finished:?}");
        assert!(finished.took.as_secs() < 20, "{finished:?}");
    }
    drop(held);
}

#[test]
fn what_is_no_file_is_written_or_refused_as_it_is() {
    run(["--record", "/dev/null", "mirror:"], "a\n").succeeds();
    let folder = Folder::new("record-odd");
    run(["--record", &folder.path(""), "mirror:"], "").fails_with(2, "Is a directory");
    for output in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        run(["--record", output, "mirror:"], "").fails_with(2, "--record needs the name of a file").hints("--jsonl");
    }
}

#[test]
fn two_runs_do_not_record_into_one_file() {
    let folder = Folder::new("record-twice");
    let path = folder.path("recording");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut first = Running::start(wsplice(["--record", &path, &server.url()]));
    first.write("one\n");
    assert_eq!(first.line(), "one\n");
    let second = run(["--record", &path, &server.url()], "other\n");
    second
        .fails_with(2, &format!("cannot record to {path}: another run records to it"))
        .hints("record to another file");
    first.write("two\n");
    assert_eq!(first.line(), "two\n");
    first.close_input();
    first.finish().succeeds();
    let sent = |text: &str| {
        let lines = lines(text).into_iter().filter(|line| line["dir"] == "sent" && line["kind"] == "text");
        lines.map(|line| line["data"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sent(&fs::read_to_string(&path).expect("read")), ["one", "two"]);
    // The lock ends with the run, and the next one replaces the file.
    run(["--record", &path, &server.url()], "three\n").succeeds();
    assert_eq!(sent(&fs::read_to_string(&path).expect("read")), ["three"]);
}

#[test]
fn each_session_of_a_listener_has_a_number_and_the_first_one_is_played() {
    let folder = Folder::new("record-sessions");
    let (path, other) = (folder.path("recording"), folder.path("other"));
    let server = Serving::start(["--record", &path, "ws-l:127.0.0.1:0", "mirror:"]);
    let mut clients = ["a", "b"].map(|_| Peer::connect(server.port, "/"));
    for number in 1..=3 {
        for (client, name) in clients.iter_mut().zip(["a", "b"]) {
            let text = format!("{name}{number}");
            client.send_text(&text);
            assert_eq!(client.receive_text(), text);
        }
    }
    let recorded = wait_for("all lines", || {
        let text = fs::read_to_string(&path).expect("read");
        (text.lines().count() >= 12).then_some(text)
    });
    let of = |name: &str| {
        let lines = lines(&recorded)
            .into_iter()
            .filter(|line| line["data"].as_str().is_some_and(|data| data.starts_with(name)));
        lines.map(|line| line["session"].as_u64()).collect::<Vec<_>>()
    };
    assert!(of("a").iter().all(|session| *session == of("a")[0]) && of("a").len() == 6, "{recorded}");
    assert!(of("b").iter().all(|session| *session == of("b")[0]) && of("b") != of("a"), "{recorded}");
    let finished = run(["--replay-speed", "max", &format!("replay:{path}"), "-"], "");
    assert_eq!(finished.succeeds().out(), "a1\na2\na3\n");
    let hint = format!("\"session\":{},", of("b")[0].expect("a number"));
    assert!(finished.stderr.contains("other sessions, too"), "{finished:?}");
    let others: Vec<_> = recorded.lines().filter(|line| line.contains(&hint)).collect();
    fs::write(&other, others.join("\n")).expect("write");
    let finished = run(["--replay-speed", "max", &format!("replay:{other}"), "-"], "");
    assert_eq!(
        (&*finished.succeeds().out(), finished.stderr.contains("other")),
        ("b1\nb2\nb3\n", false),
        "{finished:?}"
    );
}

#[test]
fn a_single_session_has_no_number() {
    let folder = Folder::new("record-single");
    let path = folder.path("recording");
    let (url, server) = websocket_server(|mut peer: Peer| {
        assert_eq!(peer.receive_text(), "a");
        peer.receive_close()
    });
    run(["--record", &path, &url], "a\n").succeeds();
    server.join().expect("the server");
    let mut text = String::new();
    fs::File::open(&path).expect("open").read_to_string(&mut text).expect("read");
    assert!(lines(&text).iter().all(|line| line["session"].is_null()), "{text}");
}
