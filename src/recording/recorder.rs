//! Writes a recording.

use super::{Seen, append_line};
use crate::{
    error::{Error, io_message},
    flow::{Transfer, file_options},
    report,
};
use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Lines are written when there are so many bytes of them, or when nothing more comes for now.
const GATHER: usize = 64 * 1024;
/// The longest wait for the reader of a FIFO. Recording ends then.
const READER_WAIT: Duration = Duration::from_secs(1);
/// The pause before another attempt.
const PAUSE: Duration = Duration::from_millis(1);

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
    /// Creates the file, or empties it. It is locked against other runs while it is recorded to.
    ///
    /// # Errors
    /// It cannot be opened without waiting, or is locked.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let unusable = |error: io::Error| {
            if file_options::is_without_reader(&error) {
                Error::usage_hint(
                    format!("cannot record to {name}: nobody reads it"),
                    format!("start `cat {name}` first"),
                )
            } else {
                Error::unusable_file(&name.to_string(), &error)
            }
        };
        let file = file_options::non_blocking().write(true).create(true).open(path).map_err(unusable)?;
        if file.metadata().map_err(unusable)?.is_file() {
            // Some file systems have no locks.
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(Error::usage_hint(
                    format!("cannot record to {name}: another run records to it"),
                    "record to another file, or end that run".to_owned(),
                ));
            }
            file.set_len(0).map_err(unusable)?;
        }
        Ok(Self { path: path.to_owned(), state: Mutex::new(State { file: Some(file), lines: Vec::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame of now; `session` is the number of its session, if there may be several. If the file cannot be written, for example
    /// because the disk is full, a warning says so once, and nothing more is written.
    pub fn record(&self, session: Option<u64>, transfer: Transfer, seen: Seen<'_>) {
        let mut state = self.lock();
        if state.file.is_some() {
            append_line(&mut state.lines, SystemTime::now(), session, transfer, seen);
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
        let written = write_all(file, &state.lines);
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

/// Writes all, unless that takes the reader of a FIFO too long.
fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let started = Instant::now();
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if started.elapsed() < READER_WAIT => thread::sleep(PAUSE),
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader is too slow")),
        }
    }
    Ok(())
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}
