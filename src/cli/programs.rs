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
}

impl From<ProgramArgs> for ProgramOptions {
    fn from(args: ProgramArgs) -> Self {
        Self {
            args: args.exec_args,
            websocat_variables: args.set_environment,
            headers_to_env: args.headers_to_env,
            passed_variables: args.passenv,
        }
    }
}

fn header_variable(text: &str) -> Result<HeaderVariable, String> {
    let header = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "not a header name".to_owned())?;
    Ok(HeaderVariable { header, variable: format!("H_{text}") })
}
