//! The mode of the terminal: keys as they are pressed, and back, whatever happens.

use super::tty::{self, Mode};
use std::{
    io, panic,
    sync::{Mutex, MutexGuard, Once, PoisonError, mpsc::sync_channel},
    thread,
    time::Duration,
};

/// How long the end of the process waits for a terminal that takes nothing more.
const LAST_WRITE: Duration = Duration::from_millis(200);
/// Pastes are marked as such. It is written with the line, by those who may wait for the terminal.
pub const BRACKETED_PASTE_ON: &str = "\x1b[?2004h";
/// Behind it the shell's prompt begins a line of its own.
const BRACKETED_PASTE_OFF: &str = "\x1b[?2004l\r\x1b[J";

/// The mode to go back to, while keys are read.
static BEFORE: Mutex<Option<Mode>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Mode>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the terminal give each key at once, without showing it. Line ends of the output stay as they are, for those who write to the
/// terminal besides us.
///
/// # Errors
/// Standard input is not a terminal any more.
pub fn enter() -> io::Result<()> {
    static ON_PANIC: Once = Once::new();
    ON_PANIC.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
    let mut before = before();
    let mode = Mode::current()?;
    before.get_or_insert_with(|| mode.clone());
    mode.with_keys().set()
}

/// Restores the mode of the terminal, if keys are read, and clears what is below the cursor. It is called wherever the process may end,
/// so it does not wait for a terminal that takes nothing more.
pub fn restore() {
    let Some(mode) = before().take() else { return };
    // A terminal that is gone needs nothing.
    let _ = mode.set();
    // A write waits for the terminal, and for the thread that writes to it. It cannot be made non-blocking: that would hold for the
    // shell, too.
    let (done, is_done) = sync_channel(1);
    let write = move || {
        tty::write_now(BRACKETED_PASTE_OFF.as_bytes());
        let _ = done.send(());
    };
    if thread::Builder::new().name("last write".into()).spawn(write).is_ok() {
        let _ = is_done.recv_timeout(LAST_WRITE);
    }
}
