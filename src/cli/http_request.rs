//! Options of HTTP requests.

use super::values;
use crate::{config::HttpRequestOptions, net::HttpUrl};
use clap::Args;
use hyper::{
    Method,
    header::{HeaderName, HeaderValue},
};

/// HTTP requests.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "HTTP requests")]
pub struct HttpRequestArgs {
    /// Method of http: and http-request:; with POST, PUT and PATCH the other side of the session is the body
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method, default_value = "GET")]
    pub request_method: Method,
    /// Add a header to the request of http: or http-request:, or replace a default one; may be repeated
    #[arg(long = "request-header", value_name = "NAME: VALUE", value_parser = values::header)]
    pub request_headers: Vec<(HeaderName, HeaderValue)>,
    /// URL that http-request: requests
    #[arg(long, value_name = "URL", value_parser = HttpUrl::parse)]
    pub request_uri: Option<HttpUrl>,
}

impl From<HttpRequestArgs> for HttpRequestOptions {
    fn from(args: HttpRequestArgs) -> Self {
        Self { method: args.request_method, headers: args.request_headers, url: args.request_uri }
    }
}

fn method(text: &str) -> Result<Method, String> {
    match text.parse() {
        Ok(Method::CONNECT) => Err("--proxy connects through a proxy".into()),
        Ok(method) => Ok(method),
        Err(_) => Err("not a method, such as GET or POST".into()),
    }
}
