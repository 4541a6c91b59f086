//! Options of programs.

use crate::config::{HeaderVariable, ProgramOptions};
use clap::Args;
use hyper::header::HeaderName;
use std::ffi::OsString;

/// Programs.
#[derive(Args, Default)]
#[command(next_help_heading = "Programs")]
pub struct ProgramArgs {
    /// Arguments of exec:; must be the last option, since it takes the rest of the command line
    #[arg(long, value_name = "ARG", num_args = 0..)]
    pub exec_args: Vec<OsString>,
    /// Run the program in DIR that the URL names, for each client; same as exec-dir:DIR as ADDR2
    #[arg(long, value_name = "DIR")]
    pub dir: Option<String>,
    /// Set the environment variables of websocat for programs: WEBSOCAT_URI is the path and query that the client
    /// requests, WEBSOCAT_CLIENT its address
    #[arg(short = 'e', long)]
    pub set_environment: bool,
    /// Set the environment variable H_NAME for programs to this header of the request; may be repeated. Most headers
    /// are in HTTP_NAME anyway, but not Authorization
    #[arg(long = "header-to-env", value_name = "NAME", value_parser = header_variable)]
    pub headers_to_env: Vec<HeaderVariable>,
    /// Pass only these environment variables of wsplice on to programs, separated by commas, and PATH; those of the
    /// request are set anyway. Default: all
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub passenv: Option<Vec<String>>,
    /// Run programs on a terminal of their own instead of pipes; their output is sent as it is read
    #[arg(long)]
    pub pty: bool,
    /// End a program as soon as the other side of its session has ended, without waiting for more output
    #[arg(long)]
    pub exec_exit_on_disconnect: bool,
    /// Send SIGHUP to a program when its input ends
    #[arg(long)]
    pub exec_sighup_on_stdin_close: bool,
    /// Send SIGHUP to a program for each empty message, in its place
    #[arg(long)]
    pub exec_sighup_on_zero_msg: bool,
}

impl From<ProgramArgs> for ProgramOptions {
    fn from(args: ProgramArgs) -> Self {
        Self {
            args: args.exec_args,
            websocat_variables: args.set_environment,
            headers_to_env: args.headers_to_env,
            passed_variables: args.passenv,
            terminal: args.pty,
            exit_on_disconnect: args.exec_exit_on_disconnect,
            hang_up_at_end: args.exec_sighup_on_stdin_close,
            hang_up_on_empty: args.exec_sighup_on_zero_msg,
        }
    }
}

fn header_variable(text: &str) -> Result<HeaderVariable, String> {
    let header = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not a header name".to_owned())?;
    Ok(HeaderVariable { header, variable: format!("H_{text}") })
}
