//! wsplice splices any two endpoints together, WebSockets first.
//!
//! A run, stage by stage:
//!
//! ```text
//! argv ──► Cli ──► Config ──► Spec ──► Plan ──► Duplex × Duplex ──► Session ──► exit code
//!         typed   what it    address   checked,   live ends          pump
//!         by clap  means     tree      explained
//! ```
//!
//! Glossary:
//! - **address**: one end, as it is written: `type:argument` with overlays in front;
//! - **overlay**: a layer around an address, such as TLS or a WebSocket;
//! - **flow**: what passes through an end, bytes or messages;
//! - **message**: what a WebSocket carries, text or binary, whole;
//! - **stack**: an address with its overlays, ready to be opened;
//! - **session**: two live ends and the pump between them.

mod access;
pub mod address;
#[doc(hidden)]
pub mod bench;
pub mod cli;
pub mod config;
pub mod error;
pub mod flow;
pub mod framing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod memory;
pub mod message;
mod net;
pub mod overlay;
pub mod plan;
pub mod registry;
pub mod report;
mod rooms;
mod session;
pub mod spec;
mod tls;
mod ws;

use cli::Cli;
use config::Config;
use error::Error;
use plan::Plan;
use report::Report;
use spec::Spec;
use std::{io::Write, sync::Arc};
use tokio::runtime::{Builder, Runtime};

/// Runs a parsed command line to its end, tells its error if there is one, and gives the exit code.
pub fn run(cli: Cli) -> u8 {
    let report = Report::new(cli.output.verbose, cli.output.quiet, cli.output.log_format);
    conclude(report, execute(cli, report))
}

fn execute(cli: Cli, report: Report) -> Result<(), Error> {
    if let Some(url) = &cli.rooms.healthcheck {
        return http::check_health(url.as_deref());
    }
    let (first, second) = specs(&cli)?;
    let explain = cli.explain;
    let config = Arc::new(cli.into_config(report)?);
    let plan = Plan::new(&first, second.as_ref(), &config)?;
    if explain {
        return writeln!(std::io::stdout(), "{plan}")
            .map_err(|source| Error::io("cannot write standard output", source));
    }
    memory::prepare();
    let runtime = runtime(&plan).map_err(|source| Error::io("cannot start", source))?;
    let result = runtime.block_on(run_plan(plan, &config));
    // A read of standard input may be under way on a thread; it must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Where `--broadcast` alone listens.
const ROOM_LISTENER: &str = "127.0.0.1:8080";

/// The addresses that were typed.
fn specs(cli: &Cli) -> Result<(Spec, Option<Spec>), Error> {
    let parse = |text: &Option<String>| text.as_deref().map(Spec::parse).transpose();
    let (first, second) = (parse(&cli.first)?, parse(&cli.second)?);
    match (&cli.server, first, second) {
        (None, None, _) if cli.rooms.broadcast => Ok((Spec::row("ws-listen", ROOM_LISTENER), None)),
        (Some(_), _, Some(_)) => Err(Error::usage("-s is the first address already; one more can follow")),
        (Some(at), second, None) => Ok((Spec::row("ws-listen", at), second)),
        (None, Some(first), second) => Ok((first, second)),
        (None, None, _) => Err(Error::usage_hint(
            "an address is missing",
            "wsplice ws://HOST/PATH connects, wsplice -s PORT serves, wsplice --help lists everything",
        )),
    }
}

/// One thread for a single session, all cores for a listener.
fn runtime(plan: &Plan) -> std::io::Result<Runtime> {
    let mut builder = if plan.is_serving() { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()
}

async fn run_plan(plan: Plan, config: &Arc<Config>) -> Result<(), Error> {
    let stop = session::Stop::on_signals().map_err(|source| Error::io("cannot listen for signals", source))?;
    let session = session::run(plan, config, &stop);
    match config.max_time {
        None => session.await,
        Some(limit) => tokio::time::timeout(limit, session).await.unwrap_or(Err(Error::TimedOut {
            doing: "of the whole run".into(),
            limit,
            option: "--max-time",
        })),
    }
}

/// The exit code of a finished run, after its error, if any, was told.
pub fn conclude(report: Report, result: Result<(), Error>) -> u8 {
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            report.fatal(&error);
            error.exit_code()
        }
    };
    report::flush();
    code
}

pub use cli::Parsed;
