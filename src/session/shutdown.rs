//! Shutting down, and reading files again, on signals.

use super::signals::{self, Hangups};
#[cfg(feature = "term")]
use crate::term;
use crate::{address, config::Config, error::Error, message::Close, report, service_manager};
use std::{future::Future, sync::Arc, thread, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// So many parts of a maximum lifetime are certain; in the last one the end is random, so that clients that have come together
/// do not come back together.
const LIFETIME_PARTS: u32 = 10;

/// A request to shut down, and the signal that made it.
#[derive(Clone)]
pub struct Shutdown {
    signal: watch::Receiver<Option<i32>>,
    /// The end of a connection with a maximum lifetime.
    expires: Option<Instant>,
}

impl Shutdown {
    /// Listens for the signals from now on. The second one ends the process at once. `serves` is the configuration of a listener,
    /// which reads its files again on SIGHUP unless that comes because its terminal is closed.
    pub fn on_signals(serves: Option<Arc<Config>>) -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(None);
        let requests = sender.clone();
        signals::watch(move |number| request(&requests, number))?;
        if let Some(mut hangups) = Hangups::watch(serves.is_some())? {
            tokio::spawn(async move {
                while let Some(number) = hangups.next().await {
                    match &serves {
                        Some(config) if hangups.asks_to_reload() => reload(config).await,
                        _ => request(&sender, number),
                    }
                }
            });
        }
        Ok(Self { signal: receiver, expires: None })
    }

    /// The same for a connection that begins now and may last for `max_lifetime` at most.
    pub fn with_lifetime(&self, max_lifetime: Option<Duration>) -> Self {
        Self { signal: self.signal.clone(), expires: end_of_lifetime(max_lifetime) }
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

    /// Waits for a signal, or for the end of the connection's lifetime. Gives the close frame for its peers.
    ///
    /// This is not an `async fn`, which would store `self` twice in each session's task.
    pub fn close_requested(self) -> impl Future<Output = Close> {
        let Self { mut signal, expires } = self;
        async move {
            match expires {
                None => {
                    requested(&mut signal).await;
                    going_away()
                }
                // On the heap: connections without a lifetime need no room for a timer.
                Some(expires) => match Box::pin(timeout_at(expires, requested(&mut signal))).await {
                    Ok(_) => going_away(),
                    Err(_) => lifetime_reached(),
                },
            }
        }
    }

    /// Waits for a signal.
    pub async fn requested(&self) -> i32 {
        requested(&mut self.signal.clone()).await
    }
}

/// The end of a connection that begins now and may last for `most` at most.
pub fn end_of_lifetime(most: Option<Duration>) -> Option<Instant> {
    let lifetime = most.map(|most| most - (most / LIFETIME_PARTS).mul_f64(rand::random()));
    lifetime.map(|lifetime| Instant::now() + lifetime)
}

/// The close frame for peers after a signal.
pub fn going_away() -> Close {
    Close::new(CloseCode::Away.into(), "")
}

/// The close frame for the peers of a connection that has lasted for its maximum lifetime.
pub fn lifetime_reached() -> Close {
    Close::new(CloseCode::Away.into(), "maximum lifetime reached")
}

/// Waits for a signal.
async fn requested(signal: &mut watch::Receiver<Option<i32>>) -> i32 {
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

/// Asks for a shutdown. If that was done before, ends the process.
fn request(shutdown: &watch::Sender<Option<i32>>, number: i32) {
    if shutdown.send_replace(Some(number)).is_some() {
        address::kill_children();
        #[cfg(feature = "term")]
        term::restore();
        std::process::exit(128 + number);
    }
    service_manager::stopping("waiting for sessions to end");
}

/// Reads the files of a listener again.
async fn reload(config: &Arc<Config>) {
    service_manager::reloading();
    let config = config.clone();
    // A file may be on a disk that does not answer.
    let (done, outcome) = oneshot::channel();
    let started = thread::Builder::new().spawn(move || done.send(config.reloads.reload()));
    let failure = match started {
        Ok(_) => "the thread that reads files has failed".to_owned(),
        Err(error) => format!("cannot start a thread: {error}"),
    };
    let Ok((read, failed)) = outcome.await else {
        let failure = format!("SIGHUP: {failure}; what was read before stays in use");
        report::warn(&failure);
        return service_manager::ready(failure);
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lifetime_is_never_exceeded_and_its_last_tenth_is_random() {
        let (_sender, signal) = watch::channel(None);
        let stop = Shutdown { signal, expires: None };
        let most = Duration::from_secs(100);
        let ends = (0..1000).filter_map(|_| stop.with_lifetime(Some(most)).expires);
        let lifetimes: Vec<_> = ends.map(|end| end - Instant::now()).collect();
        assert!(lifetimes.iter().all(|lifetime| (most * 9 / 10..=most).contains(lifetime)));
        let early = lifetimes.iter().filter(|lifetime| **lifetime < most * 95 / 100).count();
        assert!((300..700).contains(&early), "{early} of 1000 end in the first half of it");
        let started = Instant::now();
        let close = stop.with_lifetime(Some(most)).close_requested().await;
        assert_eq!(close, Close::new(1001, "maximum lifetime reached"));
        assert!((most * 9 / 10..=most + Duration::from_millis(1)).contains(&started.elapsed()));
    }
}
