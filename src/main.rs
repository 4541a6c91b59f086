//! Parse, run, exit.

use std::{io::Write, process::ExitCode};
use wsplice::{
    Parsed,
    cli::Cli,
    conclude,
    report::{LogFormat, Report},
    run,
};

fn main() -> ExitCode {
    let code = match Cli::parse_args(std::env::args_os()) {
        Ok(Parsed::Run(cli)) => run(*cli),
        Ok(Parsed::Show(text)) => {
            // A pager that is closed early is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            0
        }
        Err(error) => conclude(Report::new(0, false, LogFormat::Text), Err(error)),
    };
    ExitCode::from(code)
}
