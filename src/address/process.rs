//! `exec:`, `cmd:` and `sh-c:`: child processes.

use super::{
    cgi,
    children::{self, Group, Input, Output, Signal, is_hung_up},
};
use crate::{
    config::Config,
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry},
    error::{Error, io_message},
    flow::{BoxFuture, ByteEnd, EndKind},
    service_manager,
};
use std::{
    collections::HashSet,
    convert::Infallible,
    env,
    ffi::OsString,
    fmt::Display,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    process::ExitStatus,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, Command},
    sync::{Notify, oneshot, watch},
    time::timeout,
};
use tokio_util::either::Either;

/// Options of programs.
pub(super) const PROGRAMS: &[&str] = &[
    "set-environment",
    "header-to-env",
    "passenv",
    "pty",
    "exec-exit-on-disconnect",
    "exec-sighup-on-stdin-close",
    "exec-sighup-on-zero-msg",
    "grace",
];

pub(super) static EXEC: Entry = Entry {
    names: &["exec"],
    arg: Some("PROGRAM"),
    summary: "Run a program",
    details: "Connects to the standard input and output of the program; its standard error is that of wsplice. \
              --exec-args gives its arguments. If the other end carries messages, each line of output is a text \
              message. The program runs once per session. For a client of a WebSocket listener its environment has the \
              variables of CGI (RFC 3875), such as REMOTE_ADDR, PATH_INFO, QUERY_STRING, and HTTP_NAME for each header \
              of the request but Authorization; it inherits no variables with such names unless --passenv names them. For \
              a client of another listener it has REMOTE_ADDR and REMOTE_PORT. When the session ends, a program that still runs gets \
              SIGHUP, with the processes that it has started, SIGTERM after half of --grace, and SIGKILL after \
              --grace. If wsplice itself is killed, the program is too. A status other than 0 is exit code 10.",
    example: "ws-l:127.0.0.1:8080 exec:date --exec-args -u",
    flags: &[&["exec-args"], PROGRAMS],
    build: Build::Dial(|arg, config| {
        let program = Program::Named(arg.into(), config.programs.args.clone());
        Ok(endpoint(format_args!("exec:{arg}"), arg, program, config))
    }),
};

pub(super) static SHELL: Entry = Entry {
    names: &["sh-c", "cmd"],
    arg: Some("COMMAND"),
    summary: "Run a shell command line",
    details: children::SHELL,
    example: "ws-l:127.0.0.1:8080 sh-c:sort",
    flags: &[PROGRAMS],
    build: Build::Dial(|arg, config| Ok(endpoint(format_args!("sh-c:{arg}"), arg, Program::Shell(arg.into()), config))),
};

/// Which program is run.
pub(super) enum Program {
    /// This one, with these arguments.
    Named(OsString, Vec<OsString>),
    /// The shell, with this command line.
    Shell(String),
    /// The one below this directory that the client requests.
    InDirectory(PathBuf),
}

/// An endpoint that runs a program, which is called `shown` in errors.
pub(super) fn endpoint(title: impl Display, shown: &str, program: Program, config: &Arc<Config>) -> Endpoint<Dialled> {
    let spawn = Spawn { shown: shown.to_owned(), program, config: config.clone() };
    ByteEndpoint::dial(title, spawn).into()
}

struct Spawn {
    shown: String,
    program: Program,
    config: Arc<Config>,
}

impl Spawn {
    /// Starts the program.
    async fn start(&self, context: &ConnectContext) -> Result<Process, Error> {
        let failed = |reason: &str| Error::Child { program: self.shown.clone(), reason: reason.to_owned() };
        let cannot_start = |error: io::Error| failed(&format!("cannot start: {}", io_message(&error)));
        let options = &self.config.programs;
        let (mut command, script) = match &self.program {
            Program::Named(program, arguments) => {
                let mut command = Command::new(program);
                command.args(arguments);
                (command, None)
            }
            Program::Shell(line) => (children::shell(line), None),
            Program::InDirectory(directory) => {
                let request = context.request.as_ref().ok_or_else(|| {
                    Error::usage_hint(
                        format!("exec-dir: serves clients of a WebSocket listener, which {} is not", context.peer.name),
                        "for example wsplice ws-l:127.0.0.1:8080 exec-dir:/usr/lib/programs",
                    )
                })?;
                let (path, script) = cgi::find_script(directory, &request.target).await?;
                (Command::new(path), Some(script))
            }
        };
        service_manager::VARIABLES.iter().for_each(|variable| _ = command.env_remove(variable));
        if context.request.is_some() {
            env::vars_os()
                .filter(|(name, _)| cgi::is_of_request(name))
                .for_each(|(name, _)| _ = command.env_remove(name));
        }
        if let Some(passed) = &options.passed_variables {
            command.env_clear();
            let passed = passed.iter().map(String::as_str).chain(children::NEEDED_VARIABLES);
            command.envs(passed.filter_map(|name| Some((name, env::var_os(name)?))));
        }
        command.envs(cgi::variables(context, script.as_ref(), options));
        let (child, stdin, stdout) = children::spawn(&mut command, options).map_err(cannot_start)?;
        let group = Group::of(&child).ok_or_else(|| failed("has no process ID"))?;
        GROUPS.send_modify(|groups| _ = groups.insert(group));
        let (ended, status) = oneshot::channel();
        let (session, session_ended) = oneshot::channel();
        let hang_up = Arc::new(Notify::new());
        tokio::spawn(supervise(child, group, self.config.session.grace, ended, session_ended, hang_up.clone()));
        Ok(Process {
            stdin: Some(stdin),
            stdout,
            is_at_line_start: true,
            status: Some(status),
            shown: self.shown.clone(),
            hang_up,
            hang_up_at_end: options.hang_up_at_end,
            exit_on_disconnect: options.exit_on_disconnect,
            session: Some(session),
        })
    }
}

impl Dial<ByteEnd> for Spawn {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let process = self.start(context).await?;
            let on_empty_message = self.config.programs.hang_up_on_empty.then(|| process.hang_up.clone());
            Ok(ByteEnd { on_empty_message, ..ByteEnd::new(process, self.kind(), self.shown.as_str()) })
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Process { terminal: self.config.programs.terminal }
    }
}

/// The process groups of all children that run, each named by its child.
static GROUPS: LazyLock<watch::Sender<HashSet<Group>>> = LazyLock::new(watch::Sender::default);

/// Waits for a child, so that it is reaped as soon as it has ended, and ends it when its session is over. Sends it SIGHUP whenever
/// `hang_up` is notified.
async fn supervise(
    mut child: Child,
    group: Group,
    grace: Duration,
    ended: oneshot::Sender<io::Result<ExitStatus>>,
    mut session: oneshot::Receiver<Infallible>,
    hang_up: Arc<Notify>,
) {
    let signal = |signal| group.signal(signal);
    loop {
        tokio::select! {
            status = child.wait() => {
                let _ = ended.send(status);
                break;
            }
            _ = &mut session => {
                escalate(grace, signal, async { _ = child.wait().await }).await;
                break;
            }
            () = hang_up.notified() => signal(Signal::HUP),
        }
    }
    GROUPS.send_modify(|groups| _ = groups.remove(&group));
}

/// Ends processes: asks them, as when a terminal is closed, asks again, and then kills them. The groups get the signals, so
/// that what a shell has started does not outlive it.
async fn escalate(grace: Duration, signal: impl Fn(Signal), ended: impl Future<Output = ()>) {
    let mut ended = Box::pin(ended);
    for next in [Signal::HUP, Signal::TERM] {
        signal(next);
        if timeout(grace / 2, &mut ended).await.is_ok() {
            return;
        }
    }
    signal(Signal::KILL);
    // Only the system can keep a process that was killed, for instance in an access to a disk that does not answer.
    let _ = timeout(KILLED_WAIT, ended).await;
}

/// Maximum wait for the end of a process that was killed.
const KILLED_WAIT: Duration = Duration::from_secs(1);

/// Ends all children that still run, at the end of the run.
pub async fn end_all(grace: Duration) {
    let mut groups = GROUPS.subscribe();
    if groups.borrow().is_empty() {
        return;
    }
    escalate(grace, signal_all, async { _ = groups.wait_for(HashSet::is_empty).await }).await;
}

/// Kills all children, before the process ends at once.
pub fn kill_all() {
    signal_all(Signal::KILL);
}

fn signal_all(signal: Signal) {
    for group in &*GROUPS.borrow() {
        group.signal(signal);
    }
}

/// A child's input and output. It has ended when its output has ended and its status is known.
struct Process {
    stdin: Option<Input>,
    stdout: Output,
    /// What was written to a terminal ends with a line.
    is_at_line_start: bool,
    /// `None` once it has been told.
    status: Option<oneshot::Receiver<io::Result<ExitStatus>>>,
    shown: String,
    hang_up: Arc<Notify>,
    hang_up_at_end: bool,
    exit_on_disconnect: bool,
    /// Dropped with the session, which ends the child.
    session: Option<oneshot::Sender<Infallible>>,
}

/// What ends the input of a program that reads lines from a terminal: control-D, at the start of a line.
const END_OF_INPUT: u8 = 4;

impl Process {
    /// Sends the end of input to a terminal. In the middle of a line the first one only passes on what there is of it.
    fn poll_end_terminal(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Either::Right(terminal)) = &mut self.stdin {
            match ready!(Pin::new(terminal).poll_write(cx, &[END_OF_INPUT])) {
                Ok(1..) if !self.is_at_line_start => self.is_at_line_start = true,
                // A child that is gone needs no end.
                _ => self.stdin = None,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Process {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.session.is_none() {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match ready!(Pin::new(&mut this.stdout).poll_read(cx, buf)) {
            // The end of a terminal: no process has it open any more.
            Err(error) if matches!(this.stdout, Either::Right(_)) && is_hung_up(&error) => {}
            read => read?,
        }
        if buf.filled().len() > before || buf.capacity() == before {
            return Poll::Ready(Ok(()));
        }
        let Some(status) = &mut this.status else { return Poll::Ready(Ok(())) };
        let status = ready!(Pin::new(status).poll(cx)).map_err(io::Error::other)??;
        this.status = None;
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
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe || is_hung_up(&error) => {
                self.stdin = None;
                Poll::Ready(Ok(buf.len()))
            }
            Ok(written) => {
                let last = written.checked_sub(1).and_then(|last| buf.get(last));
                self.is_at_line_start = last.is_none_or(|last| *last == b'\n');
                Poll::Ready(Ok(written))
            }
            failed => Poll::Ready(failed),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_end_terminal(cx));
        // Dropping the pipe closes it, which ends the child's input.
        self.stdin = None;
        if std::mem::take(&mut self.hang_up_at_end) {
            self.hang_up.notify_one();
        }
        if self.exit_on_disconnect {
            self.session = None;
        }
        Poll::Ready(Ok(()))
    }
}
