//! What the system does to bound the process of a jq program.

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use std::{
    env, io,
    os::unix::process::{CommandExt, ExitStatusExt, parent_id},
    path::PathBuf,
    process::{Command, ExitStatus},
};

/// The binary of this process.
///
/// # Errors
/// The system does not tell it.
pub fn own_binary() -> io::Result<PathBuf> {
    // It may have been replaced by another version since.
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { env::current_exe() }
}

/// Keeps the keys of a terminal from ending the process: ^C is for the run, which may have messages left.
pub fn detach(command: &mut Command) {
    command.arg0("wsplice").process_group(0);
}

/// The process that this one was started by; another one, if that has ended.
pub fn parent() -> u32 {
    parent_id()
}

/// Limits the memory of this process, in bytes. It is aborted when it needs more.
pub fn limit_memory(most: u64) {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    // Where that is not possible, the time alone is limited.
    #[cfg(not(target_os = "openbsd"))]
    let _ = setrlimit(Resource::As, limit(most));
    let _ = setrlimit(Resource::Data, limit(most));
    let _ = setrlimit(Resource::Core, limit(0));
}

/// Whether a process ended because it needed too much memory or stack.
pub fn is_exhausted(status: ExitStatus) -> bool {
    let signals = [Signal::ABORT, Signal::SEGV, Signal::BUS];
    status.signal().is_some_and(|signal| signals.map(Signal::as_raw).contains(&signal))
}
