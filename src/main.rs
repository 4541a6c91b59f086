//! The program: parses the command line, runs it, and exits with its exit code.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};
use wsplice::{
    Parsed,
    cli::Cli,
    error::Error,
    finish,
    report::{self, LogFormat},
    run,
};

fn main() -> ExitCode {
    let code = match Cli::parse_args(std::env::args_os()) {
        Ok(Parsed::Run(cli)) => run(*cli),
        #[cfg(feature = "jq")]
        Ok(Parsed::JqProcess) => wsplice::run_jq_process(),
        Ok(Parsed::Show(text)) => match std::io::stdout().write_all(text.as_bytes()) {
            // Closing a pager early is not an error.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
            shown => finish_early(shown.map_err(|error| Error::io("cannot write standard output", error))),
        },
        Err(error) => finish_early(Err(error)),
    };
    ExitCode::from(code)
}

/// Ends a run before its options are known, so errors are reported with the default settings.
fn finish_early(result: Result<(), Error>) -> u8 {
    report::init(0, false, LogFormat::Text);
    finish(result)
}
