//! Standard input and output of every kind: pipes, sockets, files, devices, blocking or not.

use crate::{
    raw::{BINARY, from_server, raw_server},
    support::{Folder, LIMIT, Serving, one_connection, wait_for, wsplice},
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::{
    fs::{self, File},
    io::{Read, Write, pipe},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

/// A run whose standard streams the test has chosen. It is killed when the test drops it.
struct Run(Child);

impl Run {
    fn start(args: &[&str], stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> Self {
        let mut command: Command = wsplice(args);
        // The command keeps its copies of the descriptors until it is dropped, at the end of this function.
        Self(command.stdin(stdin).stdout(stdout).spawn().expect("the binary starts"))
    }

    #[track_caller]
    fn succeeds(self) {
        self.ends_with(0);
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) {
        let status = wait_for("its end", || self.0.try_wait().expect("wait"));
        assert_eq!(status.code(), Some(code));
    }

    /// Waits until it has read and written nothing for a while.
    #[track_caller]
    fn is_stuck(&self) {
        let mut seen = (String::new(), 0);
        wait_for("the end of all progress", || {
            let now = fs::read_to_string(format!("/proc/{}/io", self.0.id())).expect("it runs");
            seen = if now == seen.0 { (now, seen.1 + 1) } else { (now, 0) };
            (seen.1 == 50).then_some(())
        });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All that can be read, within the limit of a test.
#[track_caller]
fn all_of(mut from: impl Read + Send + 'static) -> Vec<u8> {
    let (sender, all) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("read");
        let _ = sender.send(bytes);
    });
    all.recv_timeout(LIMIT).expect("it ends within the limit")
}

fn make_non_blocking(descriptor: impl AsFd) {
    let flags = fcntl_getfl(&descriptor).expect("flags");
    fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK).expect("set the flags");
}

fn is_non_blocking(descriptor: impl AsFd) -> bool {
    fcntl_getfl(descriptor).expect("flags").contains(OFlags::NONBLOCK)
}

/// Three thousand lines, more than a pipe holds.
fn lines() -> Vec<u8> {
    (0..3000).flat_map(|number| format!("{number:099}\n").into_bytes()).collect()
}

#[test]
fn a_non_blocking_pipe_as_standard_input_is_waited_for() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let (input, mut feed) = pipe().expect("a pipe");
    make_non_blocking(&input);
    let (mut printed, output) = pipe().expect("a pipe");
    let run = Run::start(&[&server.url()], input, output);
    for line in ["first\n", "second\n"] {
        feed.write_all(line.as_bytes()).expect("write");
        let mut echo = vec![0; line.len()];
        printed.read_exact(&mut echo).expect("its echo");
        assert_eq!(echo, line.as_bytes());
    }
    drop(feed);
    run.succeeds();
}

#[test]
fn nothing_is_lost_on_a_non_blocking_pipe_as_standard_output() {
    let folder = Folder::new("streams");
    let file = folder.path("lines");
    fs::write(&file, lines()).expect("write");
    let (printed, output) = pipe().expect("a pipe");
    make_non_blocking(&output);
    let run = Run::start(&["-", &format!("readfile:{file}")], Stdio::null(), output);
    assert!(all_of(printed) == lines());
    run.succeeds();
}

#[test]
fn the_flags_of_pipes_that_others_share_stay_as_they_are() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let (input, mut feed) = pipe().expect("a pipe");
    let (mut printed, output) = pipe().expect("a pipe");
    let shared = [OwnedFd::from(input.try_clone().expect("clone")), output.try_clone().expect("clone").into()];
    let run = Run::start(&[&server.url()], input, output);
    feed.write_all(b"line\n").expect("write");
    printed.read_exact(&mut [0; 5]).expect("its echo");
    assert!(!shared.iter().any(is_non_blocking));
    drop((feed, shared));
    run.succeeds();
}

#[test]
fn a_socket_serves_as_standard_input_and_output_and_keeps_its_flags() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let shared = theirs.try_clone().expect("clone");
    let stdin: OwnedFd = theirs.try_clone().expect("clone").into();
    let run = Run::start(&[&server.url()], stdin, OwnedFd::from(theirs));
    let mut writer = ours.try_clone().expect("clone");
    let writing = thread::spawn(move || {
        writer.write_all(&lines()).expect("write");
        writer.shutdown(Shutdown::Write).expect("end");
    });
    let mut first = [0; 100];
    (&ours).read_exact(&mut first).expect("the first line");
    assert!(!is_non_blocking(&shared));
    drop(shared);
    assert!([&first[..], &all_of(ours)].concat() == lines());
    writing.join().expect("all is written");
    run.succeeds();
}

#[test]
fn files_and_devices_serve_as_standard_input_and_output() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let folder = Folder::new("streams_files");
    let (from, to) = (folder.path("from"), folder.path("to"));
    fs::write(&from, lines()).expect("write");
    let open = || File::open(&from).expect("open");
    Run::start(&[&server.url()], open(), File::create(&to).expect("create")).succeeds();
    assert!(fs::read(&to).expect("read") == lines());
    Run::start(&[&server.url()], Stdio::null(), File::create(&to).expect("create")).succeeds();
    assert_eq!(fs::read(&to).expect("read"), b"");
    Run::start(&[&server.url()], open(), Stdio::null()).succeeds();
}

/// Sends without end, and never reads.
fn send_only(mut stream: TcpStream, data: Vec<u8>) {
    while stream.write_all(&data).is_ok() {}
}

#[test]
fn a_run_ends_when_nobody_reads_its_output_although_its_peer_takes_nothing_either() {
    let (url, websocket) = raw_server(|stream| send_only(stream, from_server(BINARY, vec![7; 16 * 1024])));
    let (port, tcp) = one_connection(|stream| send_only(stream, vec![7; 16 * 1024]));
    for peer in [url, format!("tcp:127.0.0.1:{port}")] {
        let (mut printed, output) = pipe().expect("a pipe");
        let run = Run::start(&["-b", "-", &peer], File::open("/dev/zero").expect("open"), output);
        printed.read_exact(&mut [0; 100]).expect("some output");
        run.is_stuck();
        drop(printed);
        run.ends_with(141);
    }
    websocket.join().expect("the server");
    tcp.join().expect("the server");
}

#[test]
fn datagrams_of_a_socket_are_read_whole() {
    let (ours, theirs) = UnixDatagram::pair().expect("a pair of sockets");
    let (mut printed, output) = pipe().expect("a pipe");
    let server = Serving::start(["tcp-l:127.0.0.1:0", "mirror:"]);
    let run = Run::start(&["-", &format!("tcp:127.0.0.1:{}", server.port)], OwnedFd::from(theirs), output);
    ours.send(&[7; 40_000]).expect("send");
    printed.read_exact(&mut [0; 40_000]).expect("all of it");
    drop(run);
}
