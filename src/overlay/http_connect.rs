//! A tunnel through a proxy that speaks HTTP, for `--proxy`.

use super::ByteLayer;
use crate::{
    endpoint::{ConnectContext, Transform},
    error::Error,
    flow::{BoxFuture, ByteEnd},
    http,
    net::{HostPort, ProxyUrl},
};

/// A tunnel to `target` on a connection to this proxy.
pub fn http_connect(proxy: &ProxyUrl, target: &HostPort) -> ByteLayer {
    Box::new(HttpConnect { proxy: proxy.clone(), target: target.clone() })
}

struct HttpConnect {
    proxy: ProxyUrl,
    target: HostPort,
}

impl Transform<ByteEnd, ByteEnd> for HttpConnect {
    fn apply<'a>(&'a self, inner: ByteEnd, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async move {
            let proxy = self.proxy.to_string();
            context.stage = format!("waiting for the proxy {proxy} to connect to {}", self.target);
            http::connect(inner, &self.target, self.proxy.login.as_ref(), &proxy).await
        })
    }
}
