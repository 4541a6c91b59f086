//! `--metrics`: a listener for Prometheus.

use crate::{
    address, endpoint::Accept, error::Error, flow::ByteEnd, http, metrics::CONTENT_TYPE, net::HostPort,
    readiness::Readiness, report,
};
use std::sync::Arc;

/// A listener that serves metrics once it is started.
pub struct MetricsServer(Box<dyn Accept<ByteEnd>>);

impl MetricsServer {
    /// Listens, if there is an address.
    ///
    /// # Errors
    /// If that fails.
    pub async fn bind(at: Option<&HostPort>) -> Result<Option<Self>, Error> {
        Ok(match at {
            Some(at) => Some(Self(address::tcp_listener(at).origin.bind().await?)),
            None => None,
        })
    }

    /// Serves what `render` gives, and the health check, and logs where.
    pub fn start(self, render: impl Fn() -> String + Send + Sync + 'static, readiness: Option<Arc<Readiness>>) {
        report::notice(format_args!("metrics: http://{}/metrics", self.0.local()));
        tokio::spawn(http::serve_text(self.0, "/metrics", CONTENT_TYPE, render, readiness));
    }
}
