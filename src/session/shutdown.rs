//! SIGINT, SIGTERM and SIGHUP.

use crate::{address, config::Config, error::Error, report, service_manager};
use std::{
    fs::{self, File},
    future::Future,
    sync::Arc,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::spawn_blocking,
};

/// A request to shut down, and the signal that made it.
#[derive(Clone)]
pub struct Shutdown {
    signal: watch::Receiver<Option<i32>>,
}

impl Shutdown {
    /// Listens for the signals from now on. The second one ends the process at once. `serves` is the configuration of a listener,
    /// which reads its files again on SIGHUP unless that comes because its terminal is closed.
    pub fn on_signals(serves: Option<Arc<Config>>) -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    request(&sender, kind);
                }
            });
        }
        let hangup = SignalKind::hangup();
        // As by nohup(1): the terminal may be closed.
        let is_ignored = is_ignored(hangup);
        if serves.is_some() || !is_ignored {
            let has_terminal_to_lose = !is_ignored && has_terminal();
            let mut signals = signal(hangup)?;
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    match &serves {
                        Some(config) if !has_terminal_to_lose || has_terminal() => reload(config).await,
                        _ => request(&sender, hangup),
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

/// Asks for a shutdown. If that was done before, ends the process.
fn request(shutdown: &watch::Sender<Option<i32>>, kind: SignalKind) {
    let number = kind.as_raw_value();
    if shutdown.send_replace(Some(number)).is_some() {
        address::kill_children();
        std::process::exit(128 + number);
    }
    service_manager::stopping("waiting for sessions to end");
}

/// Reads the files of a listener again.
async fn reload(config: &Arc<Config>) {
    service_manager::reloading();
    let config = config.clone();
    // A file may be on a disk that does not answer.
    let Ok((read, failed)) = spawn_blocking(move || config.reloads.reload()).await else { return };
    let mut status = None;
    for error in &failed {
        let failure = format!("SIGHUP: {error}; what was read before stays in use");
        report::warn(&failure);
        status = Some(failure);
    }
    if failed.is_empty() || !read.is_empty() {
        let files = read.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        let done = match files.as_str() {
            "" => "SIGHUP: there are no files to read again".to_owned(),
            files => format!("SIGHUP: read {files} again"),
        };
        report::notice(&done);
        status.get_or_insert(done);
    }
    service_manager::ready(status.unwrap_or_default());
}

/// Whether this process has a terminal that controls it. One that was closed does not any more.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether this process was started with the signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (kind.as_raw_value() - 1) & 1 == 1)
}
