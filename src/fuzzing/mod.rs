//! The entry points of the fuzz targets in `fuzz/`: a function for each parser, with assertions that must hold for any input. Only
//! compiled with `cfg(fuzzing)`.

mod handshake;
mod http;

pub use crate::rooms::fuzzing::rooms;
pub use crate::ws::fuzzing::{deflate, extensions, frame_log, reader};
use crate::{
    cli::{Cli, Parsed},
    config::Config,
    plan::{FirstAddress, Plan},
    spec::Spec,
};
pub use handshake::handshake;
pub use http::{access, headers};
use std::sync::{Arc, OnceLock};

/// The default options, and -k: without it each TLS client would read the CA certificates, which would take most of the time.
fn config() -> Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(config_of(["-k"]))).clone()
}

/// What these options mean.
fn config_of<'a>(options: impl IntoIterator<Item = &'a str>) -> Config {
    let words = ["wsplice"].into_iter().chain(options).chain(["-"]);
    let Ok(Parsed::Run(cli)) = Cli::parse_args(words.map(Into::into)) else { unreachable!("it is a command line") };
    cli.into_config().unwrap_or_else(|error| unreachable!("{error}"))
}

/// Parses one or two addresses, separated by a newline, and makes a plan of them, as `--explain` does.
pub fn address(text: &str) {
    let mut specs = Vec::new();
    for word in text.splitn(2, '\n') {
        match Spec::parse(word) {
            Ok(spec) => specs.push(spec),
            Err(error) => check(&error),
        }
    }
    let mut specs = specs.into_iter();
    if let Some(first) = specs.next() {
        match Plan::new(&FirstAddress::Typed(first), specs.next().as_ref(), &config()) {
            Ok(plan) => assert!(!plan.to_string().is_empty()),
            Err(error) => check(&error),
        }
    }
}

/// An error must have a message, and an exit code other than 0.
fn check(error: &crate::error::Error) {
    assert!(!error.to_string().is_empty());
    assert_ne!(error.exit_code(), 0);
    let _ = error.hint();
}
