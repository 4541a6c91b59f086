//! Parse, run, tell the error and its hint, exit.

use std::{io::Write, process::ExitCode};
use wsplice::{Parsed, cli::Cli, conclude, run};

fn main() -> ExitCode {
    let result = match Cli::parse_args(std::env::args_os()) {
        Ok(Parsed::Run(cli)) => run(*cli),
        Ok(Parsed::Show(text)) => {
            // A pager that is closed early is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(())
        }
        Err(error) => Err(error),
    };
    ExitCode::from(conclude(result))
}
