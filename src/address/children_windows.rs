//! Child processes on Windows, which has neither signals nor process groups: a child whose session is over sees the end of its
//! input, and is killed with what it has started when its time is up.

use crate::{
    config::ProgramOptions,
    flow::{DescriptorReader, DescriptorWriter},
};
use std::{ffi::OsString, io, process::Stdio};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::either::Either;

/// Where the input of a child is written. It is always a pipe.
pub type Input = Either<ChildStdin, DescriptorWriter>;
/// Where the output of a child is read.
pub type Output = Either<ChildStdout, DescriptorReader>;

/// How `sh-c:` runs a command line.
pub const SHELL: &str = "As exec:, with cmd /C COMMAND.";

/// The variables that every program needs.
pub const NEEDED_VARIABLES: [&str; 2] = ["PATH", "SystemRoot"];

/// Runs a command line with the shell, which has rules of its own for quotes.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("cmd");
    command.arg("/C").raw_arg(line);
    command
}

/// The value of a variable, from bytes that a client sent.
pub fn os_string(bytes: Vec<u8>) -> OsString {
    match String::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into(),
    }
}

/// The signals that Unix has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// The terminal was closed.
    pub const HUP: Self = Self(1);
    /// Asks a process to end.
    pub const TERM: Self = Self(15);
    /// Ends a process.
    pub const KILL: Self = Self(9);
}

/// A child with all processes that it has started.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group(u32);

impl Group {
    /// `None` if the child has ended already.
    pub fn of(child: &Child) -> Option<Self> {
        child.id().map(Self)
    }

    /// Kills all of its processes; other signals do nothing.
    pub fn signal(self, signal: Signal) {
        if signal == Signal::KILL {
            // Nothing in std ends the processes that a process has started. The number is still that of the child, whose handle is
            // open.
            let mut command = std::process::Command::new("taskkill");
            command.args(["/F", "/T", "/PID", &self.0.to_string()]);
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        }
    }
}

/// Starts a child.
///
/// # Errors
/// The program cannot be run, or the options ask for what Windows lacks.
pub fn spawn(command: &mut Command, options: &ProgramOptions) -> io::Result<(Child, Input, Output)> {
    let lacks = |what| Err(io::Error::new(io::ErrorKind::Unsupported, format!("Windows has no {what}")));
    if options.terminal {
        return lacks("terminals for programs (--pty)");
    }
    if options.hang_up_at_end || options.hang_up_on_empty {
        return lacks("SIGHUP (--exec-sighup-on-stdin-close, --exec-sighup-on-zero-msg)");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
    Ok((child, Either::Left(stdin), Either::Left(stdout)))
}

/// There are no terminals.
pub fn is_hung_up(_: &io::Error) -> bool {
    false
}
