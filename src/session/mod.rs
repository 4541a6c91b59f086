//! Running: one session or a listener's many, and how they end.

mod ending;
mod pump;
mod serve;
mod signal;
mod spliced;

pub use pump::{Session, Summary};
pub use serve::{Handle, accept_all, serve, start_listening};
pub use signal::Stop;

use crate::{
    config::Config,
    error::Error,
    plan::{Plan, Setup, Splice},
    report::Report,
    rooms,
};
use std::sync::Arc;

/// Runs a plan to its end.
pub async fn run(plan: Plan, config: &Arc<Config>, stop: &Stop) -> Result<(), Error> {
    match plan {
        Plan::Rooms(listener) => rooms::serve(listener, config, stop).await,
        Plan::Splice(plan) if plan.left.is_listener() => serve(plan, config, stop).await,
        Plan::Splice(plan) => run_once(plan, config, stop).await,
    }
}

/// Runs a single session.
async fn run_once(plan: Splice, config: &Config, stop: &Stop) -> Result<(), Error> {
    let session = async {
        let mut setup = Setup::new(plan.left.title().to_owned(), &plan.right);
        let left = plan.left.dial(&mut setup).await?;
        let right = setup.take_far().await?;
        Ok::<_, Error>(Session::join(left, right))
    };
    let session = tokio::select! {
        opened = session => opened?,
        signal = stop.requested() => return Err(Error::Signal(signal)),
    };
    // A line that is connected again and again tells so itself.
    if !plan.right.is_opened_later() {
        let from = if plan.left.exists_once() { String::new() } else { format!("{} ", plan.left.title()) };
        config.report.event(format_args!("connected {from}to {}", plan.right.title()));
    }
    let summary = session.run(&config.ending, stop).await;
    if let Ok(summary) = &summary {
        tell_close(config.report, "", summary);
    }
    summary?;
    match stop.signal() {
        Some(signal) => Err(Error::Signal(signal)),
        None => Ok(()),
    }
}

/// The line at the end of a session.
fn tell_close(report: Report, peer: &str, summary: &Summary) {
    let at = if peer.is_empty() { String::new() } else { format!("{peer}: ") };
    let [sent, received] = summary.moved;
    let how = match &summary.close {
        Some((Some(by), close)) => format!(" by {by}: {close}"),
        Some((None, close)) => format!(": {close}"),
        None => String::new(),
    };
    report.event(format_args!("{at}closed{how} ({sent} sent, {received} received)"));
}
