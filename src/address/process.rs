//! `exec:`, `cmd:` and `sh-c:`: child processes.

use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry},
    error::{Error, io_message},
    flow::{BoxFuture, ByteEnd, EndKind},
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    ffi::OsString,
    future::Future,
    io,
    pin::{Pin, pin},
    process::Stdio,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout, Command},
};

pub(super) static EXEC: Entry = Entry {
    names: &["exec"],
    arg: Some("PROGRAM"),
    summary: "Run a program",
    details: "Connects to the standard input and output of the program; its standard error is that of wsplice. \
              --exec-args gives its arguments. If the other end carries messages, each line of output is a text \
              message. The program runs once per session. When the session ends, a program that still runs gets \
              SIGHUP, with the processes that it has started. A status other than 0 is exit code 10.",
    example: "ws-l:127.0.0.1:8080 exec:date --exec-args -u",
    flags: &["exec-args"],
    build: Build::Dial(|arg, config| Ok(endpoint("exec", arg, arg.into(), config.exec_args.clone()))),
};

pub(super) static SHELL: Entry = Entry {
    names: &["sh-c", "cmd"],
    arg: Some("COMMAND"),
    summary: "Run a shell command line",
    details: "As exec:, with sh -c COMMAND.",
    example: "ws-l:127.0.0.1:8080 sh-c:sort",
    flags: &[],
    build: Build::Dial(|arg, _| Ok(endpoint("sh-c", arg, "sh".into(), vec!["-c".into(), arg.into()]))),
};

fn endpoint(name: &str, arg: &str, program: OsString, args: Vec<OsString>) -> Endpoint<Dialled> {
    let dial = Spawn { shown: arg.to_owned(), program, args };
    ByteEndpoint::dial(format_args!("{name}:{arg}"), dial).into()
}

struct Spawn {
    shown: String,
    program: OsString,
    args: Vec<OsString>,
}

impl Dial<ByteEnd> for Spawn {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let failed = |reason: &str| Error::Child { program: self.shown.clone(), reason: reason.to_owned() };
            let mut child = Command::new(&self.program)
                .args(&self.args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .process_group(0)
                .spawn()
                .map_err(|error| failed(&format!("cannot start: {}", io_message(&error))))?;
            let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(failed("has no pipes"));
            };
            let process = Process { child, stdin: Some(stdin), stdout, shown: self.shown.clone() };
            Ok(ByteEnd::new(process, self.kind(), self.shown.as_str()))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Process
    }
}

/// A running child process. Its output ends when the pipe is closed and the exit status is known.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    shown: String,
}

impl AsyncRead for Process {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stdout).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.capacity() == before {
            return Poll::Ready(Ok(()));
        }
        let status = ready!(pin!(this.child.wait()).poll(cx))?;
        if status.success() { Poll::Ready(Ok(())) } else { Poll::Ready(Err(Error::child(&this.shown, status).into())) }
    }
}

impl AsyncWrite for Process {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stdin) = &mut self.stdin else {
            return Poll::Ready(Ok(buf.len()));
        };
        match ready!(Pin::new(stdin).poll_write(cx, buf)) {
            // It is not an error if a child does not read all input, as `head` does. Its output is still read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stdin = None;
                Poll::Ready(Ok(buf.len()))
            }
            other => Poll::Ready(other),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Dropping the pipe closes it, which ends the child's input.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGHUP, as when a terminal is closed: it ends programs that do not ignore it.
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()))
        {
            // Signal the process group, so that processes that a shell started end too.
            let _ = kill_process_group(pid, Signal::HUP);
        }
    }
}
