//! Writes a recording.

use super::{Seen, append_line};
use crate::{
    error::{Error, io_message},
    flow::Transfer,
    report,
};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// Lines are written when there are so many bytes of them, or when nothing more comes for now.
const GATHER: usize = 64 * 1024;

/// A file that sessions are written to.
pub struct Recorder {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// `None` after a failure: then nothing more is written.
    file: Option<File>,
    lines: Vec<u8>,
}

impl Recorder {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// [`Error::Setup`] if that is not possible.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|error| Error::unusable_file(&path.display().to_string(), &error))?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(State { file: Some(file), lines: Vec::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame of now. If the file cannot be written, for example because the disk is full, a warning says so once, and nothing
    /// more is written.
    pub fn record(&self, transfer: Transfer, seen: Seen<'_>) {
        let mut state = self.lock();
        if state.file.is_some() {
            append_line(&mut state.lines, SystemTime::now(), transfer, seen);
            state.lines.push(b'\n');
            if state.lines.len() >= GATHER {
                self.write(&mut state);
            }
        }
    }

    /// Writes what was added.
    pub fn flush(&self) {
        let mut state = self.lock();
        if !state.lines.is_empty() {
            self.write(&mut state);
        }
    }

    fn write(&self, state: &mut State) {
        let Some(file) = &mut state.file else { return };
        let written = file.write_all(&state.lines);
        if state.lines.capacity() > 4 * GATHER {
            state.lines = Vec::new();
        } else {
            state.lines.clear();
        }
        if let Err(error) = written {
            state.file = None;
            self.warn(&error);
        }
    }

    fn warn(&self, error: &io::Error) {
        let path = self.path.display();
        report::warn(format_args!(
            "cannot write {path}: {}; the session goes on and is no longer recorded",
            io_message(error)
        ));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}
