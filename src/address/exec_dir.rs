//! `exec-dir:`, programs by URL.

use super::process::{self, Program};
use crate::endpoint::{Build, Entry};

pub(super) static EXEC_DIR: Entry = Entry {
    names: &["exec-dir"],
    arg: Some("PATH"),
    summary: "Run the program in a directory that the URL names",
    details: "As exec:, for clients of a WebSocket listener. /a/b runs the file a in PATH with PATH_INFO=/b, or the \
              file b in the directory a. If there is none, the client gets 404; names that start with a dot do not \
              count. --dir PATH is the same as exec-dir:PATH as second address.",
    example: "ws-l:127.0.0.1:8080 exec-dir:/tmp",
    flags: &[super::process::PROGRAMS],
    build: Build::Dial(|arg, config| {
        Ok(process::endpoint(format_args!("exec-dir:{arg}"), arg, Program::InDirectory(arg.into()), config))
    }),
};
