//! wsplice connects any two endpoints, WebSockets first. `docs/architecture.md` describes how the code is organised.
//!
//! The stages of a run:
//!
//! ```text
//! argv ──► Cli ──► Config ──► Spec ──► Plan ──► two ends ──► Session ──► exit code
//!        options  options,  address  endpoints    open        pump
//!        as typed  checked    tree    that fit
//! ```
//!
//! With `--broadcast` the plan is a room server: the clients of a listener become members of rooms, and there are no sessions.
//!
//! Glossary:
//! - **address**: one end as written on the command line, `type:argument`, with any overlays before it.
//! - **overlay**: a layer around an address, such as TLS or a WebSocket, written before it: `tls:tcp:HOST:PORT`.
//! - **endpoint**: an address with its overlays, which can be dialled or listened on.
//! - **end**: a live connection, process or file: a stream of bytes or of messages.
//! - **flow**: the kind of data that an end carries, bytes or messages.
//! - **message**: a complete WebSocket message, text or binary.
//! - **framing**: a layer that makes messages of bytes: `lines:`, `chunks:` or a WebSocket.
//! - **session**: two ends, and the pump that copies messages between them.
//! - **room**: the clients of a room server that requested the same path and query. Each message is sent to all of them.
//! - **member**: a client in a room.

// Input from outside must not end the process. Tests and fuzz targets fail by a panic.
#![cfg_attr(
    not(any(test, fuzzing)),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

// Each module imports only from those above it (docs/architecture.md).
pub mod message;

pub mod error;

pub mod reload;

mod memory;

pub mod metrics;

pub mod readiness;

mod access;

pub mod net;

pub mod flow;

mod allocator;

mod visible;

pub mod report;

mod service_manager;

mod json;

mod filter;

mod recording;

pub mod framing;

mod payload;

mod tls;

mod ws;

pub mod cluster;

pub mod config;

#[cfg(feature = "term")]
mod term;

pub mod endpoint;

mod http;

pub mod overlay;

pub mod address;

pub mod registry;

pub mod spec;

pub mod plan;

#[allow(clippy::indexing_slicing, reason = "a session has two ends and two directions, numbered 0 and 1")]
mod session;

mod rooms;

pub mod cli;

mod health;

#[doc(hidden)]
pub mod bench;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

use cli::Cli;
use config::Config;
use error::Error;
use plan::Plan;
use std::{
    fmt::Display,
    io::{self, Write},
    num::NonZeroUsize,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread::available_parallelism,
};

/// Runs wsplice with the options of a command line. Reports its error, if there is one, and returns the exit code.
pub fn run(cli: Cli) -> u8 {
    report::init(cli.output.verbose, cli.output.quiet, cli.log.log_format);
    finish(execute(cli))
}

/// Is the process of a jq program (`filter/program.rs`), and returns its exit code.
#[cfg(feature = "jq")]
pub fn run_jq_process() -> u8 {
    filter::serve().unwrap_or_else(|error| {
        report::init(0, false, report::LogFormat::Text);
        finish(Err(error))
    })
}

fn execute(mut cli: Cli) -> Result<(), Error> {
    if let Some(url) = &cli.rooms.healthcheck {
        return health::check(url.as_deref());
    }
    if let Some(key) = cli.keys.generated()? {
        return print(key);
    }
    let (first, second) = cli.addresses()?;
    let explain = cli.explain;
    net::set_resolve_options(std::mem::take(&mut *cli.resolve).into());
    let given = std::mem::take(&mut cli.given);
    let config = Arc::new(cli.into_config()?);
    let plan = Plan::new(&first, second.as_ref(), &config)?;
    cli::check_applicable(&given, &first, second.as_ref(), &plan)?;
    if explain {
        return print(access::without_secrets(&plan.to_string()));
    }
    allocator::prepare();
    if plan.is_serving() {
        memory::set_limit(config.server.max_memory.unwrap_or_else(memory::default_limit));
        net::raise_descriptor_limit();
    }
    with_threads(move || {
        let runtime = session::runtime().map_err(|source| Error::io("cannot start", source))?;
        let threads = match config.server.threads {
            _ if !plan.is_serving() => NonZeroUsize::MIN,
            Some(threads) => threads,
            None => available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let workers = Arc::new(session::Workers::start(runtime.handle(), threads)?);
        if plan.is_serving() {
            // Files and name look-ups need a thread. Here it is still an error if there is none to be had.
            workers.runtimes().for_each(|runtime| _ = runtime.spawn_blocking(|| ()));
        }
        let result = runtime.block_on(run_plan(plan, &config, &workers));
        // A thread may be blocked in a read of standard input; do not wait for it.
        runtime.shutdown_background();
        result
    })
}

/// Prints a line on standard output.
fn print(text: impl Display) -> Result<(), Error> {
    writeln!(io::stdout(), "{text}").map_err(|source| Error::io("cannot write standard output", source))
}

/// Runs `work`, and turns the panic of tokio, where the system refuses it a thread, into an error.
fn with_threads<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if session::refused_thread(info.payload()).is_none() {
            report(info);
        }
    }));
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| match session::refused_thread(&*payload) {
        Some(reason) => Err(Error::io("cannot start a thread", io::Error::other(reason))),
        None => panic::resume_unwind(payload),
    })
}

async fn run_plan(plan: Plan, config: &Arc<Config>, workers: &Arc<session::Workers>) -> Result<(), Error> {
    tokio::select! {
        result = serve_plan(plan, config, workers) => result,
        never = service_manager::feed_watchdog(workers.runtimes()) => match never {},
    }
}

async fn serve_plan(plan: Plan, config: &Arc<Config>, workers: &Arc<session::Workers>) -> Result<(), Error> {
    let serves = plan.is_serving().then(|| config.clone());
    let stop =
        session::Shutdown::on_signals(serves).map_err(|source| Error::io("cannot listen for signals", source))?;
    let running = async {
        match plan {
            // On the heap: the stack would hold both, several times over.
            Plan::Splice(splice) => Box::pin(session::run(splice, config, &stop, workers)).await,
            Plan::Rooms(server) => Box::pin(rooms::serve(server, config, &stop, workers)).await,
        }
    };
    let result = match config.max_time {
        None => running.await,
        Some(limit) => tokio::time::timeout(limit, running).await.unwrap_or(Err(Error::TimedOut {
            doing: String::new(),
            limit,
            option: "--max-time",
        })),
    };
    address::end_children(config.session.grace).await;
    result
}

/// Reports the error of a finished run, if there is one, and returns the exit code.
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
