//! Parse, run, exit.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};
use wsplice::{
    Parsed,
    cli::Cli,
    conclude,
    error::Error,
    report::{self, LogFormat},
    run,
};

fn main() -> ExitCode {
    let code = match Cli::parse_args(std::env::args_os()) {
        Ok(Parsed::Run(cli)) => run(*cli),
        Ok(Parsed::Show(text)) => match std::io::stdout().write_all(text.as_bytes()) {
            // A pager that is closed early is no error.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
            shown => refuse(shown.map_err(|error| Error::io("cannot write standard output", error))),
        },
        Err(error) => refuse(Err(error)),
    };
    ExitCode::from(code)
}

/// The end of a run that never began, so nothing is known of how it would report.
fn refuse(result: Result<(), Error>) -> u8 {
    report::init(0, false, LogFormat::Text);
    conclude(result)
}
