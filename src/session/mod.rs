//! Sessions: one, or a listener's many, and how they end.

mod address_limit;
mod ending;
#[cfg_attr(not(target_os = "linux"), path = "no_kernel_splice.rs")]
mod kernel_splice;
mod metrics_server;
mod pump;
mod serve;
mod shutdown;
#[cfg_attr(windows, path = "signals_windows.rs")]
mod signals;
#[cfg(test)]
mod tests;
mod timers;
mod under_way;
mod workers;

pub use metrics_server::MetricsServer;
pub use pump::{Session, Summary};
pub use serve::{Handle, accept_all};
pub use shutdown::{Shutdown, end_of_lifetime, going_away, lifetime_reached};
pub use workers::{Workers, refused_thread, runtime};

use crate::{
    config::Config,
    endpoint::{About, ConnectContext, Dialled, MessageEndpoint, Opening},
    error::Error,
    flow::MessageEnd,
    net::Peer,
    plan::{Pair, Splice},
    report, service_manager,
};
use std::sync::Arc;

/// Runs a splice to its end: once, or for each client of a listener until a signal comes.
///
/// # Errors
/// When an end cannot be opened or listened on, what ended the session badly, and [`Error::Signal`].
pub async fn run(splice: Splice, config: &Arc<Config>, stop: &Shutdown, workers: &Arc<Workers>) -> Result<(), Error> {
    if let (Some(server), Some(metrics)) =
        (MetricsServer::bind(config.server.metrics.as_ref()).await?, config.session.metrics.clone())
    {
        server.start(move || metrics.render(), None);
    }
    match splice.pair {
        Pair::Bytes(left, right) => {
            let opening = async |context: &mut ConnectContext| {
                let left = left.open(context).await?;
                Ok(Session::Bytes(left, right.open(context).await?))
            };
            let mut context = context_of(&left.about, config);
            let session = stop.interrupts(opening(&mut context)).await?;
            run_once(session, [&left.about, &right.about], config, stop).await
        }
        Pair::Messages(left, right) => {
            let opening = async |context: &mut ConnectContext| {
                let left = left.begin(context).await?;
                open_far(left, &right, context).await
            };
            let mut context = context_of(&left.about, config);
            let session = stop.interrupts(opening(&mut context)).await?;
            run_once(session, [&left.about, &right.about], config, stop).await
        }
        Pair::ServeBytes(left, right) => serve::bytes(left, right, config, stop, workers).await,
        Pair::ServeMessages(left, right) => serve::messages(left, right, config, stop, workers).await,
    }
}

fn context_of(left: &About, config: &Config) -> ConnectContext {
    ConnectContext { is_single: true, ..ConnectContext::new(Peer::named(left.title.as_str()), config.connect_timeout) }
}

/// Dials the right end. A client on the left that waits for the answer to its opening handshake gets it then: a far end
/// that cannot be reached is an HTTP 502, not a connection that opens and closes. If the client leaves meanwhile, the dial
/// is given up.
async fn open_far(
    left: Opening<'_>,
    right: &MessageEndpoint<Dialled>,
    context: &mut ConnectContext,
) -> Result<Session, Error> {
    let mut pending = match left {
        Opening::Ready(left) => return Ok(Session::Messages(left, right.open(context).await?)),
        Opening::Pending(pending) => pending,
    };
    let opened = tokio::select! {
        biased;
        opened = right.open(context) => opened,
        left = pending.left() => return Err(left),
    };
    match opened {
        Ok(right) => {
            let left: MessageEnd = pending.accept(Some(&right), context).await?;
            Ok(Session::Messages(left, right))
        }
        Err(error) => {
            pending.refuse(&error).await;
            Err(error)
        }
    }
}

/// Runs a single session.
async fn run_once(session: Session, [left, right]: [&About; 2], config: &Config, stop: &Shutdown) -> Result<(), Error> {
    service_manager::ready(format_args!("connected to {}", right.title));
    // `autoreconnect:` logs its own connections.
    if !right.connects_lazily {
        let from = if left.exists_once { String::new() } else { format!("{} ", left.title) };
        report::event(format_args!("connected {from}to {}", right.title));
    }
    // In front of the first message, where a terminal shows both.
    report::flush();
    finish(session, config, stop).await
}

/// Runs a session that is open, and reports its end.
async fn finish(session: Session, config: &Config, stop: &Shutdown) -> Result<(), Error> {
    let ended = session.run(&config.session, stop).await;
    match (ended, stop.signal()) {
        // The replies are missing because of the signal.
        (Err(Error::Replies { .. } | Error::Expectation { .. }), Some(signal)) => Err(Error::Signal(signal)),
        (Err(error), _) => Err(error),
        (Ok(summary), signal) => {
            report_close(&summary);
            signal.map_or(Ok(()), |signal| Err(Error::Signal(signal)))
        }
    }
}

/// The line at the end of a session.
fn report_close(summary: &Summary) {
    let [sent, received] = summary.moved;
    let how = match &summary.close {
        Some((Some(by), close)) => format!(" by {by}: {close}"),
        Some((None, close)) => format!(": {close}"),
        None => String::new(),
    };
    report::event(format_args!("closed{how} ({sent} sent, {received} received)"));
}
