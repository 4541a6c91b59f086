//! A listener's sessions: any number at once, each with a far end of its own.

use super::{Session, Stop, tell_close};
use crate::{
    cli::Config,
    error::Error,
    flow::{ByteEnd, Duplex},
    plan::{Plan, Setup, Stack},
    registry::Accept,
};
use std::{io::Write, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
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
            .map_err(|source| Error::io("standard output", source))?;
    }
    let scheme = stack.title().split(':').next().unwrap_or_default();
    config.report.event(format_args!("listening: {scheme}:{}", listener.local()));
    Ok(listener)
}

/// Serves until a signal comes, or one session with `--oneshot`.
pub async fn serve(plan: Plan, config: &Arc<Config>, stop: &Stop) -> Result<(), Error> {
    let mut listener = start_listening(&plan.left, config).await?;
    let plan = Arc::new(plan);
    let places = Arc::new(Semaphore::new(config.server.conncap.map_or(Semaphore::MAX_PERMITS, |cap| cap as usize)));
    let mut sessions = JoinSet::new();
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
                    config.report.warn(format_args!("cannot accept a connection: {error}"));
                    sleep(OUT_OF_RESOURCES_PAUSE).await;
                    continue;
                }
            },
        };
        if config.server.oneshot {
            match one_session(&plan, config, stop, end, peer).await {
                // A request for a file or a health check is no session.
                Err(Error::NoUpgrade { .. }) => continue,
                ended => return ended,
            }
        }
        let (plan, config, stop) = (plan.clone(), config.clone(), stop.clone());
        sessions.spawn(async move {
            let report = config.report;
            match one_session(&plan, &config, &stop, end, peer.clone()).await {
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

/// Opens a connection that was accepted and its far end, and copies between them.
async fn one_session(plan: &Plan, config: &Config, stop: &Stop, end: ByteEnd, peer: String) -> Result<(), Error> {
    let mut setup = Setup::new(peer.clone(), &plan.right);
    let opening = async {
        let left = plan.left.dress(Duplex::Bytes(end), &mut setup).await?;
        let right = setup.take_far().await?;
        Ok::<_, Error>(Session::join(left, right))
    };
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

fn report_panic(config: &Config, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        config.report.warn(format_args!("a session failed, which is a bug: {error}"));
    }
}
