//! What Windows does to bound the process of a jq program. Its memory has no limit of its own.

use std::{
    env, io,
    os::windows::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitStatus},
};

/// `CREATE_NEW_PROCESS_GROUP`: ^C is for the run. `CREATE_NO_WINDOW`.
const FLAGS: u32 = 0x0000_0200 | 0x0800_0000;

pub fn own_binary() -> io::Result<PathBuf> {
    env::current_exe()
}

pub fn detach(command: &mut Command) {
    command.creation_flags(FLAGS);
}

/// Windows does not tell when it has ended.
pub fn parent() -> u32 {
    0
}

pub fn limit_memory(_: u64) {}

pub fn is_exhausted(status: ExitStatus) -> bool {
    // Codes of exceptions, such as that of a stack that has overflowed.
    status.code().is_some_and(|code| code < 0)
}
