//! HTTP requests: `http:` and `http-request:`.

use crate::net::HttpUrl;
use hyper::{
    Method,
    header::{HeaderName, HeaderValue},
};

/// The request that is sent.
#[derive(Clone, Debug)]
pub struct HttpRequestOptions {
    /// The method.
    pub method: Method,
    /// Additional headers; they replace default headers with the same name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What `http-request:` requests; `None`: the root of the host behind it.
    pub url: Option<HttpUrl>,
}
