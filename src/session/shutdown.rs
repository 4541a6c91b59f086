//! SIGINT and SIGTERM.

use crate::error::Error;
use std::future::Future;
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
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    let number = kind.as_raw_value();
                    if sender.send_replace(Some(number)).is_some() {
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
