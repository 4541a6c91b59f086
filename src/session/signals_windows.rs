//! What Windows has in place of signals: Ctrl-C and Ctrl-Break, and that the console is closed or the machine shut down.

use std::io;
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

/// The number of SIGINT, from which the exit code is made.
const INTERRUPT: i32 = 2;
/// The number of SIGTERM.
const TERMINATE: i32 = 15;

/// Calls `request` with the number of a signal for each event that asks to shut down.
///
/// # Errors
/// The system refuses it.
pub fn watch(request: impl Fn(i32) + Clone + Send + 'static) -> io::Result<()> {
    let (mut c, mut pause, mut close, mut shutdown) = (ctrl_c()?, ctrl_break()?, ctrl_close()?, ctrl_shutdown()?);
    tokio::spawn(async move {
        loop {
            let (next, number) = tokio::select! {
                next = c.recv() => (next, INTERRUPT),
                next = pause.recv() => (next, INTERRUPT),
                next = close.recv() => (next, TERMINATE),
                next = shutdown.recv() => (next, TERMINATE),
            };
            match next {
                Some(()) => request(number),
                None => return,
            }
        }
    });
    Ok(())
}

/// There is no SIGHUP.
pub enum Hangups {}

impl Hangups {
    /// # Errors
    /// Never.
    pub fn watch(_: bool) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub async fn next(&mut self) -> Option<i32> {
        match *self {}
    }

    pub fn asks_to_reload(&self) -> bool {
        match *self {}
    }
}
