//! A listener's sessions: any number at once, each with a far end of its own.

use super::{Session, Stop, tell_close};
use crate::{
    config::Config,
    error::Error,
    flow::{ByteEnd, Duplex},
    plan::{Setup, Splice, Stack},
    registry::Accept,
};
use std::{io::Write, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// How long to wait when the system has no descriptors or memory for another connection.
const OUT_OF_RESOURCES_PAUSE: Duration = Duration::from_millis(100);

/// Starts to listen and says so.
pub async fn start_listening(stack: &Stack, config: &Config) -> Result<Box<dyn Accept>, Error> {
    let listener = stack.bind().await?;
    if config.server.announce {
        let mut out = std::io::stdout().lock();
        writeln!(out, "LISTEN {}", listener.announcement())
            .and_then(|()| out.flush())
            .map_err(|source| Error::io("cannot write standard output", source))?;
    }
    let scheme = stack.title().split(':').next().unwrap_or_default();
    let listening = format_args!("listening: {scheme}:{}", listener.local());
    match config.rooms {
        // Whoever reads a service's log wants to see that it is up.
        Some(_) => config.report.notice(listening),
        None => config.report.event(listening),
    }
    Ok(listener)
}

/// What is done with each connection that a listener accepts.
pub trait Handle: Send + Sync + 'static {
    /// Serves one connection to its end. `peer` names its other side.
    fn handle(&self, end: ByteEnd, peer: String) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Accepts until a signal comes, or until one session was served with `--oneshot`.
pub async fn accept_all(
    mut listener: Box<dyn Accept>,
    handler: Arc<impl Handle>,
    config: &Arc<Config>,
    stop: &Stop,
) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(config.server.conncap.map_or(Semaphore::MAX_PERMITS, |cap| cap as usize)));
    let mut sessions = JoinSet::new();
    let mut last_warning: Option<Instant> = None;
    let signal = loop {
        let next = async {
            // A connection beyond the cap is not even accepted: it waits in the system's queue.
            let Ok(place) = places.clone().acquire_owned().await else { unreachable!("it is never closed") };
            listener.accept().await.map(|accepted| (place, accepted))
        };
        let (place, (end, peer)) = tokio::select! {
            biased;
            signal = stop.requested() => break signal,
            Some(ended) = sessions.join_next() => {
                report_panic(config, ended);
                continue;
            }
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if last_warning.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                        last_warning = Some(Instant::now());
                        config.report.warn(format_args!("cannot accept a connection: {error}"));
                    }
                    sleep(OUT_OF_RESOURCES_PAUSE).await;
                    continue;
                }
            },
        };
        if config.server.oneshot {
            match handler.handle(end, peer).await {
                // A request for a file or a health check is no session.
                Err(Error::NoUpgrade { .. }) => continue,
                // Neither is what was no request at all.
                Err(error @ Error::BadRequest { .. }) => {
                    config.report.session_error("", &error);
                    continue;
                }
                ended => return ended,
            }
        }
        let (handler, report) = (handler.clone(), config.report);
        sessions.spawn(async move {
            match handler.handle(end, peer.clone()).await {
                Err(Error::NoUpgrade { .. }) | Ok(()) => {}
                Err(error) => report.session_error(&peer, &error),
            }
            drop(place);
        });
    };
    drop(listener);
    let drained = async { while sessions.join_next().await.is_some() {} };
    // Sessions know the grace themselves; the second is for their farewells.
    let _ = timeout(config.ending.grace + Duration::from_secs(1), drained).await;
    Err(Error::Signal(signal))
}

/// Serves a listener whose connections are joined with a far end each.
pub async fn serve(plan: Splice, config: &Arc<Config>, stop: &Stop) -> Result<(), Error> {
    let listener = start_listening(&plan.left, config).await?;
    let handler = Splicer { plan, config: config.clone(), stop: stop.clone() };
    accept_all(listener, Arc::new(handler), config, stop).await
}

struct Splicer {
    plan: Splice,
    config: Arc<Config>,
    stop: Stop,
}

impl Handle for Splicer {
    /// Opens the connection and its far end, and copies between them.
    async fn handle(&self, end: ByteEnd, peer: String) -> Result<(), Error> {
        let Self { plan, config, stop } = self;
        let mut setup = Setup::new(peer.clone(), &plan.right);
        // On the heap: a session lives long and needs no room for its handshakes.
        let opening = Box::pin(async {
            let left = plan.left.dress(Duplex::Bytes(end), &mut setup).await?;
            let right = setup.take_far().await?;
            Ok::<_, Error>(Session::join(left, right))
        });
        let session = tokio::select! {
            opened = opening => opened?,
            signal = stop.requested() => return Err(Error::Signal(signal)),
        };
        config.report.event(format_args!("{peer}: connected with {}", plan.right.title()));
        let summary = session.run(&config.ending, stop).await?;
        tell_close(config.report, &peer, &summary);
        match stop.signal() {
            Some(signal) => Err(Error::Signal(signal)),
            None => Ok(()),
        }
    }
}

fn report_panic(config: &Config, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        config.report.warn(format_args!("a session failed, which is a bug: {error}"));
    }
}
