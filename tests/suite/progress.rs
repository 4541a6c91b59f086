//! The progress of files on a terminal.

use crate::{
    peer::websocket_server,
    support::{Folder, Serving, program, run, wsplice},
    terminal::InTerminal,
};
use std::{
    fs::{self, File},
    process::Command,
    sync::mpsc,
    time::{Duration, Instant},
};

/// More than the buffers of two sockets.
const LENGTH: usize = 64 << 20;

/// A file of this length, with one line a megabyte.
fn file(folder: &Folder, length: usize) -> String {
    let path = folder.path("file");
    let line = [&vec![b'x'; (1 << 20) - 1][..], b"\n"].concat();
    fs::write(&path, line.repeat(length >> 20)).expect("write");
    path
}

/// The binary in a shell, which redirects its standard input.
fn in_shell(command: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command, &program()]).args(args);
    shell
}

#[test]
fn a_file_that_is_sent_shows_its_progress_while_that_takes_long() {
    let folder = Folder::new("progress_sent");
    let path = file(&folder, LENGTH);
    for is_redirected in [true, false] {
        let (go, wait) = mpsc::channel::<()>();
        let (url, server) = websocket_server(move |mut peer| {
            wait.recv().expect("the test has looked");
            let length: usize = (0..LENGTH >> 20).map(|_| peer.receive_text().len() + 1).sum();
            peer.send_text("\x1b[2Janswer");
            peer.close(1000, "");
            peer.ends();
            length
        });
        let command = match is_redirected {
            true => in_shell("exec \"$0\" - \"$1\" <\"$2\"", &[&url, &path]),
            false => in_shell("exec \"$0\" -u readfile:\"$2\" \"$1\"", &[&url, &path]),
        };
        let terminal = InTerminal::from_command(&command);
        // Nothing moves, and it is drawn all the same.
        terminal.shows("% of 64.00 MiB, ");
        terminal.shows("/s, ");
        go.send(()).expect("the server waits");
        assert_eq!(server.join().expect("the server"), LENGTH);
        let (code, printed) = terminal.ends();
        assert_eq!(code, Some(0), "{printed:?}");
        assert!(printed.contains("100% of 64.00 MiB"), "{printed:?}");
        assert!(printed.contains("* connected"), "{printed:?}");
    }
}

#[test]
fn a_file_that_is_written_shows_how_much_has_come() {
    let folder = Folder::new("progress_written");
    let (go, wait) = mpsc::channel::<()>();
    let (url, server) = websocket_server(move |mut peer| {
        peer.send_text(&"x".repeat(3 << 20));
        wait.recv().expect("the test has looked");
        peer.close(1000, "");
        peer.ends();
    });
    let path = folder.path("received");
    let terminal = InTerminal::from_command(&wsplice([&url, &format!("writefile:{path}")]));
    terminal.shows("3.00 MiB, ");
    go.send(()).expect("the server waits");
    server.join().expect("the server");
    assert_eq!(terminal.ends().0, Some(0));
    assert_eq!(fs::metadata(&path).expect("it is there").len(), (3 << 20) + 1);
}

#[test]
fn nothing_is_shown_of_short_files_with_q_and_without_a_terminal() {
    let folder = Folder::new("no_progress");
    let path = file(&folder, 1 << 20);
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let source = format!("readfile:{path}");
    for args in [&[&*source][..], &["-q", &source]] {
        let started = Instant::now();
        let (code, printed) = InTerminal::from_command(&wsplice([args, &[&server.url()]].concat())).ends();
        // On a busy machine it may take long enough to be shown.
        let may_be_shown = !args.contains(&"-q") && started.elapsed() >= Duration::from_millis(500);
        assert_eq!((code, printed.contains("MiB") && !may_be_shown), (Some(0), false), "{printed:?}");
    }
    assert_eq!(run([&source, &server.url()], "").succeeds().stderr, "");
    let mut command = wsplice(["-", &server.url()]);
    let output = command.stdin(File::open(&path).expect("open")).output().expect("the binary starts");
    assert_eq!((output.status.success(), String::from_utf8_lossy(&output.stderr)), (true, "".into()));
}
