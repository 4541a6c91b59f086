//! The mode of the terminal: keys as they are pressed, and back, whatever happens.

use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::{
    io::{self, Write, stdin, stdout},
    panic,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

/// Pastes are marked as such.
const BRACKETED_PASTE_ON: &str = "\x1b[?2004h";
/// Behind it the shell's prompt begins a line of its own.
const BRACKETED_PASTE_OFF: &str = "\x1b[?2004l\r\x1b[J";

/// The mode to go back to, while keys are read.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
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
    let mut mode = tcgetattr(stdin())?;
    before.get_or_insert_with(|| mode.clone());
    mode.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
    mode.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::IXON;
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(stdin(), OptionalActions::Now, &mode)?;
    let mut stdout = stdout().lock();
    stdout.write_all(BRACKETED_PASTE_ON.as_bytes())?;
    stdout.flush()
}

/// Restores the mode of the terminal, if keys are read, and clears what is below the cursor. It is called wherever the process may end.
pub fn restore() {
    let Some(mode) = before().take() else { return };
    // A terminal that is gone needs nothing.
    let _ = tcsetattr(stdin(), OptionalActions::Now, &mode);
    // The lock of standard output may be held by a thread that waits for the terminal.
    let _ = rustix::io::write(rustix::stdio::stdout(), BRACKETED_PASTE_OFF.as_bytes());
}
