//! SIGINT and SIGTERM, which ask to shut down, and SIGHUP.

use std::{
    fs::File,
    io::{self, Read},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Calls `request` with the number of each signal that asks to shut down.
///
/// # Errors
/// The system refuses it.
pub fn watch(request: impl Fn(i32) + Clone + Send + 'static) -> io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        let request = request.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                request(kind.as_raw_value());
            }
        });
    }
    Ok(())
}

/// SIGHUP.
pub struct Hangups {
    signals: Signal,
    /// It may come because the terminal is closed.
    has_terminal_to_lose: bool,
}

impl Hangups {
    /// `None` if it was ignored at the start, as by nohup(1): the terminal may be closed. A listener that `serves` takes it anyway.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn watch(serves: bool) -> io::Result<Option<Self>> {
        let kind = SignalKind::hangup();
        let is_ignored = is_ignored(kind);
        if is_ignored && !serves {
            return Ok(None);
        }
        let has_terminal_to_lose = serves && !is_ignored && has_terminal();
        Ok(Some(Self { signals: signal(kind)?, has_terminal_to_lose }))
    }

    /// Waits for the next one, and tells its number.
    pub async fn next(&mut self) -> Option<i32> {
        self.signals.recv().await.map(|()| SignalKind::hangup().as_raw_value())
    }

    /// Whether it has another reason than that the terminal is closed.
    pub fn asks_to_reload(&self) -> bool {
        !self.has_terminal_to_lose || has_terminal()
    }
}

/// Whether this process has a terminal that controls it. One that was closed does not any more.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether this process was started with the signal ignored, which only Linux tells.
fn is_ignored(kind: SignalKind) -> bool {
    // More than it usually has, so that one read gives all of it.
    let mut status = Vec::with_capacity(4096);
    let _ = File::open("/proc/self/status").and_then(|file| file.take(u64::MAX).read_to_end(&mut status));
    let status = String::from_utf8_lossy(&status);
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (kind.as_raw_value() - 1) & 1 == 1)
}
