//! `exec:`, `cmd:` and `sh-c:`: child processes.

use super::cgi;
use crate::{
    config::Config,
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry},
    error::{Error, io_message},
    flow::{BoxFuture, ByteEnd, EndKind},
    net, service_manager,
};
use rustix::process::{Pid, Resource, Signal, kill_process_group};
use std::{
    collections::HashSet,
    convert::Infallible,
    env,
    ffi::OsString,
    future::Future,
    io,
    pin::Pin,
    process::{ExitStatus, Stdio},
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{oneshot, watch},
    time::timeout,
};

pub(super) static EXEC: Entry = Entry {
    names: &["exec"],
    arg: Some("PROGRAM"),
    summary: "Run a program",
    details: "Connects to the standard input and output of the program; its standard error is that of wsplice. \
              --exec-args gives its arguments. If the other end carries messages, each line of output is a text \
              message. The program runs once per session. For a client of a WebSocket listener its environment has the \
              variables of CGI (RFC 3875), such as REMOTE_ADDR, PATH_INFO, QUERY_STRING, and HTTP_NAME for each header \
              of the request but Authorization; for one of another listener REMOTE_ADDR and REMOTE_PORT. When the session ends, a program that still runs gets \
              SIGHUP, with the processes that it has started, SIGTERM after half of --grace, and SIGKILL after \
              --grace. If wsplice itself is killed, the program is too. A status other than 0 is exit code 10.",
    example: "ws-l:127.0.0.1:8080 exec:date --exec-args -u",
    flags: &["exec-args", "set-environment", "header-to-env", "passenv", "grace"],
    build: Build::Dial(|arg, config| Ok(endpoint("exec", arg, arg.into(), config.programs.args.clone(), config))),
};

pub(super) static SHELL: Entry = Entry {
    names: &["sh-c", "cmd"],
    arg: Some("COMMAND"),
    summary: "Run a shell command line",
    details: "As exec:, with sh -c COMMAND.",
    example: "ws-l:127.0.0.1:8080 sh-c:sort",
    flags: &["set-environment", "header-to-env", "passenv", "grace"],
    build: Build::Dial(|arg, config| Ok(endpoint("sh-c", arg, "sh".into(), vec!["-c".into(), arg.into()], config))),
};

fn endpoint(name: &str, arg: &str, program: OsString, args: Vec<OsString>, config: &Arc<Config>) -> Endpoint<Dialled> {
    let dial = Spawn { shown: arg.to_owned(), program, args, config: config.clone() };
    ByteEndpoint::dial(format_args!("{name}:{arg}"), dial).into()
}

struct Spawn {
    shown: String,
    program: OsString,
    args: Vec<OsString>,
    config: Arc<Config>,
}

impl Dial<ByteEnd> for Spawn {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let failed = |reason: &str| Error::Child { program: self.shown.clone(), reason: reason.to_owned() };
            let mut command = Command::new(&self.program);
            command.args(&self.args).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
            service_manager::VARIABLES.iter().for_each(|variable| _ = command.env_remove(variable));
            if let Some(passed) = &self.config.programs.passed_variables {
                command.env_clear();
                let passed = passed.iter().map(String::as_str).chain(["PATH"]);
                command.envs(passed.filter_map(|name| Some((name, env::var_os(name)?))));
            }
            command.envs(cgi::variables(context, None, &self.config.programs));
            prepare_child(&mut command);
            let mut child =
                command.spawn().map_err(|error| failed(&format!("cannot start: {}", io_message(&error))))?;
            let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
            let (Some(stdin), Some(stdout), Some(group)) = (child.stdin.take(), child.stdout.take(), group) else {
                return Err(failed("has no pipes"));
            };
            GROUPS.send_modify(|groups| _ = groups.insert(group));
            let (ended, status) = oneshot::channel();
            let (session, session_ended) = oneshot::channel();
            tokio::spawn(supervise(child, group, self.config.session.grace, ended, session_ended));
            let process = Process {
                stdin: Some(stdin),
                stdout,
                status: Some(status),
                shown: self.shown.clone(),
                _session: session,
            };
            Ok(ByteEnd::new(process, self.kind(), self.shown.as_str()))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Process
    }
}

/// Has the system kill the child when we die without a chance to do it, and restores the limit on descriptors.
#[expect(unsafe_code, reason = "only the child itself can do this, between fork and exec")]
fn prepare_child(command: &mut Command) {
    #[cfg(target_os = "linux")]
    let parent = rustix::process::getpid();
    let descriptors = net::original_descriptor_limit();
    let prepare = move || {
        #[cfg(target_os = "linux")]
        {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // We died before the child could ask.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        if let Some(limit) = &descriptors {
            rustix::process::setrlimit(Resource::Nofile, *limit)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe functions may be called. `prepare` makes system calls and neither
    // allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// The process groups of all children that run, each named by its child.
static GROUPS: LazyLock<watch::Sender<HashSet<Pid>>> = LazyLock::new(watch::Sender::default);

/// Waits for a child, so that it is reaped as soon as it has ended, and ends it when its session is over.
async fn supervise(
    mut child: Child,
    group: Pid,
    grace: Duration,
    ended: oneshot::Sender<io::Result<ExitStatus>>,
    session: oneshot::Receiver<Infallible>,
) {
    tokio::select! {
        status = child.wait() => {
            let _ = ended.send(status);
        }
        _ = session => {
            escalate(grace, |signal| _ = kill_process_group(group, signal), async { _ = child.wait().await }).await;
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
        let _ = kill_process_group(*group, signal);
    }
}

/// A child's input and output. It has ended when its output has ended and its status is known.
struct Process {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// `None` once it has been told.
    status: Option<oneshot::Receiver<io::Result<ExitStatus>>>,
    shown: String,
    /// Dropped with the session, which ends the child.
    _session: oneshot::Sender<Infallible>,
}

impl AsyncRead for Process {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stdout).poll_read(cx, buf))?;
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
