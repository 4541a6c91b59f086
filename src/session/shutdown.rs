//! SIGINT, SIGTERM and SIGHUP.

use crate::{address, error::Error};
use std::{fs, future::Future};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// A request to shut down, and the signal that made it.
#[derive(Clone)]
pub struct Shutdown {
    signal: watch::Receiver<Option<i32>>,
}

impl Shutdown {
    /// Listens for the signals from now on. The second one ends the process at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        // The terminal is closed. nohup(1) and the like have it ignored.
        if !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        for kind in kinds {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    let number = kind.as_raw_value();
                    if sender.send_replace(Some(number)).is_some() {
                        address::kill_children();
                        std::process::exit(128 + number);
                    }
                }
            });
        }
        Ok(Self { signal: receiver })
    }

    /// The signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        *self.signal.borrow()
    }

    /// Waits for `work`, or for a signal, which is an error then.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Signal`].
    pub async fn interrupts<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            done = work => done,
            signal = self.requested() => Err(Error::Signal(signal)),
        }
    }

    /// Waits for a signal.
    pub async fn requested(&self) -> i32 {
        let mut signal = self.signal.clone();
        loop {
            if let Some(number) = *signal.borrow_and_update() {
                return number;
            }
            if signal.changed().await.is_err() {
                // Nobody listens for signals any more, so none will come.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Whether this process was started with the signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (kind.as_raw_value() - 1) & 1 == 1)
}
