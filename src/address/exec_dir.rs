//! `exec-dir:`, programs by URL.

use super::{
    cgi::ScriptPath,
    process::{self, Program},
};
use crate::{
    endpoint::{Build, Entry},
    error::Error,
    net::path_segments,
};
use hyper::http::uri::PathAndQuery;
use std::path::{Path, PathBuf};
use tokio::fs;

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

/// The program for a request below a directory, and its part of the path.
///
/// # Errors
/// [`Error::NoProgram`].
pub(super) async fn find(directory: &Path, target: &PathAndQuery) -> Result<(PathBuf, ScriptPath), Error> {
    let missing = || Error::NoProgram { target: target.path().to_owned() };
    let segments = path_segments(target.path()).ok_or_else(missing)?;
    let (mut path, mut script) = (directory.to_owned(), String::new());
    let mut rest = segments.iter();
    for segment in rest.by_ref() {
        path.push(segment);
        script = format!("{script}/{segment}");
        let found = fs::metadata(&path).await.map_err(|_| missing())?;
        if found.is_file() {
            let rest: String = rest.map(|segment| format!("/{segment}")).collect();
            return Ok((path, ScriptPath { script, rest: rest.into() }));
        }
    }
    Err(missing())
}
