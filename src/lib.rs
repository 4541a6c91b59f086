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
pub mod endpoint;
pub mod error;
pub mod flow;
pub mod framing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod http;
mod memory;
pub mod message;
pub mod net;
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
use std::{io::Write, sync::Arc};
use tokio::runtime::{Builder, Runtime};

/// Runs a parsed command line to its end, tells its error if there is one, and gives the exit code.
pub fn run(cli: Cli) -> u8 {
    report::init(cli.output.verbose, cli.output.quiet, cli.output.log_format);
    finish(execute(cli))
}

fn execute(cli: Cli) -> Result<(), Error> {
    if let Some(url) = &cli.rooms.healthcheck {
        return health::check(url.as_deref());
    }
    let (first, second) = cli.addresses()?;
    let explain = cli.explain;
    let config = Arc::new(cli.into_config()?);
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

/// One thread for a single session, all cores for a listener.
fn runtime(plan: &Plan) -> std::io::Result<Runtime> {
    let mut builder = if plan.is_serving() { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()
}

async fn run_plan(plan: Plan, config: &Arc<Config>) -> Result<(), Error> {
    let stop = session::Shutdown::on_signals().map_err(|source| Error::io("cannot listen for signals", source))?;
    let running = async {
        match plan {
            Plan::Splice(splice) => session::run(splice, config, &stop).await,
            Plan::Rooms(server) => rooms::serve(server, config, &stop).await,
        }
    };
    match config.max_time {
        None => running.await,
        Some(limit) => tokio::time::timeout(limit, running).await.unwrap_or(Err(Error::TimedOut {
            doing: String::new(),
            limit,
            option: "--max-time",
        })),
    }
}

/// The exit code of a finished run, after its error, if any, was told.
pub fn finish(result: Result<(), Error>) -> u8 {
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            report::fatal(&error);
            error.exit_code()
        }
    };
    report::flush();
    code
}

pub use cli::Parsed;
