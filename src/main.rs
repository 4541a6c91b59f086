//! Parse, run, exit.

use std::{io::Write, process::ExitCode};
use wsplice::{
    Parsed,
    cli::Cli,
    conclude,
    report::{LogFormat, Report},
    run,
};

/// glibc keeps what a server of many rooms has freed: it gives only the end of a heap back, and there is always something
/// in use near it. jemalloc returns unused pages by itself, on a thread of its own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
