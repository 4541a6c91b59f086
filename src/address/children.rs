//! Child processes: how they are started, and how a child is signalled with what it has started.

use super::pty;
use crate::{
    config::ProgramOptions,
    flow::{DescriptorReader, DescriptorWriter},
    net,
};
pub use rustix::process::Signal;
use rustix::{
    io::Errno,
    process::{Pid, Resource, kill_process_group},
};
use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    process::Stdio,
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::either::Either;

/// Where the input of a child is written: a pipe or a terminal.
pub type Input = Either<ChildStdin, DescriptorWriter>;
/// Where the output of a child is read.
pub type Output = Either<ChildStdout, DescriptorReader>;

/// How `sh-c:` runs a command line.
pub const SHELL: &str = "As exec:, with sh -c COMMAND.";

/// The variables that every program needs.
pub const NEEDED_VARIABLES: [&str; 1] = ["PATH"];

/// Runs a command line with the shell.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

/// The value of a variable, from bytes that a client sent.
pub fn os_string(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// A child with all processes that it has started: the process group that it leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group(Pid);

impl Group {
    /// `None` if the child has ended already.
    pub fn of(child: &Child) -> Option<Self> {
        child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).map(Self)
    }

    /// Signals all of its processes.
    pub fn signal(self, signal: Signal) {
        // It fails if all have ended.
        let _ = kill_process_group(self.0, signal);
    }
}

/// Starts a child.
///
/// # Errors
/// The program cannot be run, or there are not enough descriptors, processes or terminals.
pub fn spawn(command: &mut Command, options: &ProgramOptions) -> io::Result<(Child, Input, Output)> {
    if options.terminal {
        let (ours, theirs) = pty::open()?;
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs.try_clone()?);
        prepare(command, Some(theirs));
        let child = command.spawn()?;
        let writer = DescriptorWriter::new(&ours)?;
        return Ok((child, Either::Right(writer), Either::Right(DescriptorReader::new(&ours)?)));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    prepare(command, None);
    let mut child = command.spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
    Ok((child, Either::Left(stdin), Either::Left(stdout)))
}

/// Has the system kill the child when we die without a chance to do it, restores the limit on descriptors, and makes `terminal` the
/// one that controls the child.
#[expect(unsafe_code, reason = "only the child itself can do this, between fork and exec")]
fn prepare(command: &mut Command, terminal: Option<OwnedFd>) {
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
        if let Some(terminal) = &terminal {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(terminal)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe functions may be called. `prepare` makes system calls and neither
    // allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// Whether this error of a terminal means that no process has it open any more.
pub fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}
